# A new rate holds from its day on, for the balance that lies there already; days before keep theirs.
clock 2026-01-01T09:00:00+09:00
product saver KRW from 2026-01-01 rest 0.01
account alice KRW 36_500_000 product saver
day 2026-01-04
product saver KRW from 2026-01-06 rest 0.03
product saver KRW from 2026-01-06 rest 0.05  -> refused TERMS_INVALID
product saver KRW from 2026-01-03 rest 0.05  -> refused TERMS_INVALID
day 2026-01-06
claim alice                   -> gross 5_000 from 2026-01-01 to 2026-01-05
day 2026-01-08
preview alice                 -> gross 6_000 periods 1
product saver KRW from 2026-01-10 tier 20_000_000@0.05 rest 0
day 2026-01-12
preview alice                 -> from 2026-01-06 to 2026-01-11 periods 3
claim alice
restart
day 2026-01-13
claim alice                   -> gross 2_739

# Terms that contradict themselves are not taken.
product odd KRW from 2026-02-01 tier 5_000@0.01 tier 4_000@0.02 rest 0.01 -> refused TERMS_INVALID
product odd KRW from 2026-02-01 rest 1.5  -> refused TERMS_INVALID
product saver KRW from 2026-02-01 rest -0.01 -> refused TERMS_INVALID
