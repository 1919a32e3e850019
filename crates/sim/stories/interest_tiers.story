# Tiers are marginal: only the part above a limit has the other rate. Rates hold from their day on.
clock 2022-01-10T09:00:00+09:00
account rich KRW 110_000_000
account edge KRW 100_000_000
day 2022-01-11
claim rich                    -> gross 5_506 income 770 local 70 net 4_666
claim edge                    -> gross 5_479
day 2022-01-12
claim edge                    -> gross 5_479

# From 2022-12-13 the upper part has the better rate, 4.0 % above 50 million against 2.3 %.
account saver KRW 80_000_000
day 2022-12-12
claim saver                   -> gross 1_464_109
debit saver 1_238_649
balance saver                 -> 80_000_000
day 2022-12-15
preview saver                 -> gross 17_260 from 2022-12-12 to 2022-12-14 periods 3
claim saver                   -> gross 17_260
