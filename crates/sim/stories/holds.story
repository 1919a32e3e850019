# A hold keeps a part of the balance until it is captured, in whole or in part, or released.
clock 2026-03-02T10:00:00+09:00
account alice KRW 100_000
hold alice 40_000
balance alice            -> 100_000 held 40_000 available 60_000 serial 1
debit alice 60_001       -> refused INSUFFICIENT_AVAILABLE available 60_000
hold alice 60_001 as more -> refused INSUFFICIENT_AVAILABLE available 60_000
hold alice 60_000 as more
balance alice            -> 100_000 held 100_000 available 0

# A capture takes at most what is held; what it leaves is free again.
capture alice 40_001     -> refused CAPTURE_EXCEEDS_HOLD
capture alice 15_000     -> posted amount 15_000 serial 2
balance alice            -> 85_000 held 60_000 available 25_000
capture alice            -> refused HOLD_SETTLED
release alice            -> refused HOLD_SETTLED
release more             -> posted amount 60_000
release more             -> refused HOLD_SETTLED
balance alice            -> 85_000 held 0 available 85_000 serial 2

# All of it, to an account of the bank's choice.
hold alice 85_000 as last_one
capture last_one to fees
balance alice            -> 0 held 0 serial 3
capture nothing 1        -> refused HOLD_NOT_FOUND
release nothing          -> refused HOLD_NOT_FOUND
hold nobody 1            -> refused ACCOUNT_NOT_FOUND
entries alice            -> +100_000 -15_000 -85_000
