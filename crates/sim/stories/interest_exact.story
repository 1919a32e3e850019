# Interest of many days is one exact sum, truncated once: 109.589 won a day are 767 in a week, not 763.
clock 2026-01-01T12:00:00+09:00
account alice KRW 2_000_000
account daily KRW 2_000_000
day 2026-01-02
claim daily                   -> gross 109
day 2026-01-03
claim daily                   -> gross 109
day 2026-01-08
preview alice                 -> gross 767 tax 110 net 657 periods 1
claim alice                   -> gross 767 income 100 local 10 net 657 from 2026-01-01 to 2026-01-07

# The balance of each day's end counts: what came and went within a day doesn't.
account bob KRW 1_000_000
credit bob 9_000_000
debit bob 9_000_000
day 2026-01-09
credit bob 1_000_000
day 2026-01-11
pay bob alice 1_500_000
day 2026-01-12
preview bob                   -> gross 301 periods 3
claim bob                     -> gross 301 from 2026-01-08 to 2026-01-11

# What was paid as interest bears interest from its day on.
day 2026-01-13
claim bob                     -> gross 27 from 2026-01-12 to 2026-01-12
