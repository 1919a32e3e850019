# Interest is taken once a day, up to yesterday, whatever is tried.
clock 2026-01-01T09:00:00+09:00
account alice KRW 10_000_000
claim alice                   -> refused NOTHING_TO_PAY
preview alice                 -> gross 0 net 0
time 23:59:59.999999
claim alice                   -> refused NOTHING_TO_PAY
day 2026-01-02
claim alice                   -> gross 547
claim alice                   -> refused ALREADY_CLAIMED
credit alice 1_000_000_000
claim alice                   -> refused ALREADY_CLAIMED
preview alice                 -> gross 0
restart
claim alice                   -> refused ALREADY_CLAIMED
time 23:00:00
claim alice by service        -> refused ALREADY_CLAIMED
day 2026-01-03
claim alice by operator       -> from 2026-01-02 to 2026-01-02
claim alice                   -> refused ALREADY_CLAIMED
entries alice                 -> +10_000_000 +477 +1_000_000_000 +46_832
