# Whatever was answered is there after a crash, again and again.
clock 2026-01-01T09:00:00+09:00
account alice KRW 1_000_000
account bob   KRW
restart
pay alice bob 100_000 as one
hold alice 50_000
restart
balance alice                 -> 900_000 held 50_000 serial 2
capture alice 20_000
restart
restart
reverse one
debit bob 1                   -> refused INSUFFICIENT_AVAILABLE available 0
restart
again                         -> refused INSUFFICIENT_AVAILABLE again
day 2026-01-02
claim alice                   -> gross 53
restart
claim alice                   -> refused ALREADY_CLAIMED
entries alice                 -> +1_000_000 -100_000 -20_000 +100_000 +53
days alice                    -> 2026-01-01 980_000, 2026-01-02 980_053
reverse one                   -> refused ALREADY_REVERSED
day 2026-01-05
restart
days alice                    -> 2026-01-01 980_000, 2026-01-02 980_053, 2026-01-03 980_053, 2026-01-04 980_053, 2026-01-05 980_053
