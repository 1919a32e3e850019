# Days without a movement have balances too, and they bear interest.
clock 2026-01-05T09:00:00+09:00
account alice KRW 1_000_000
account idle  KRW
days alice                    -> 2026-01-05 1_000_000
day 2026-01-08
days alice                    -> 2026-01-05 1_000_000, 2026-01-06 1_000_000, 2026-01-07 1_000_000, 2026-01-08 1_000_000
days idle                     -> 2026-01-05 0, 2026-01-06 0, 2026-01-07 0, 2026-01-08 0
debit alice 400_000
hold alice 1
day 2026-01-10
release alice
day 2026-01-12
days alice from 2026-01-07    -> 2026-01-07 1_000_000, 2026-01-08 600_000, 2026-01-09 600_000, 2026-01-10 600_000, 2026-01-11 600_000, 2026-01-12 600_000
days alice from 2026-01-07 to 2026-01-08 -> 2026-01-07 1_000_000, 2026-01-08 600_000
credit alice 5
debit alice 5
restart
days alice from 2026-01-10    -> 2026-01-10 600_000, 2026-01-11 600_000, 2026-01-12 600_000
preview alice                 -> gross 295 from 2026-01-05 to 2026-01-11 periods 2
claim alice                   -> gross 295 income 40 local 0 net 255
claim idle                    -> refused NOTHING_TO_PAY
day 2026-02-01
claim idle                    -> refused NOTHING_TO_PAY
