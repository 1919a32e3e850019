# The bank doesn't stop at midnight: a request belongs to the day on which it came in, to the microsecond, in Seoul.
clock 2026-01-31T23:59:59+09:00
account alice KRW 100_000
account bob   KRW
time 23:59:59.999999
pay alice bob 10_000          -> posted on 2026-01-31
clock 2026-02-01T00:00:00+09:00
pay alice bob 20_000          -> posted on 2026-02-01
days alice                    -> 2026-01-31 90_000, 2026-02-01 70_000
days bob                      -> 2026-01-31 10_000, 2026-02-01 30_000

# UTC's midnight is none of ours.
clock 2026-02-01T23:59:59.999999Z
pay alice bob 1               -> posted on 2026-02-02
clock 2026-02-02T00:00:00Z
pay alice bob 1               -> posted on 2026-02-02

# Interest of a day can be taken as soon as the day has ended, and not before.
clock 2026-02-02T23:59:59.999999+09:00
claim bob                     -> paid from 2026-01-31 to 2026-02-01 gross 2
claim bob                     -> refused ALREADY_CLAIMED
clock 2026-02-03T00:00:00+09:00
claim bob                     -> paid from 2026-02-02 to 2026-02-02 gross 1
days bob from 2026-02-02      -> 2026-02-02 30_004, 2026-02-03 30_005
