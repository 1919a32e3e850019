# A hold with an end lets go by itself when its time has come, to the microsecond, also over midnight.
clock 2026-03-02T10:00:00+09:00
account alice KRW 50_000
hold alice 20_000 until 12:00:00 as noon
hold alice 10_000 until 2026-03-03T00:00:00+09:00 as midnight
hold alice 5_000 as open
balance alice            -> 50_000 held 35_000
time 11:59:59.999999
balance alice            -> 50_000 held 35_000
time 12:00:00
balance alice            -> 50_000 held 15_000 available 35_000
capture noon             -> refused HOLD_SETTLED
release noon             -> refused HOLD_SETTLED
debit alice 35_000
time 23:59:59.999999
capture midnight 1_000   -> posted on 2026-03-02
balance alice            -> 14_000 held 5_000
hold alice 9_000 until 2026-03-03T00:00:00+09:00 as again
day 2026-03-03
balance alice            -> 14_000 held 5_000
day 2026-04-01
balance alice            -> 14_000 held 5_000
capture open
days alice from 2026-03-31 -> 2026-03-31 14_000, 2026-04-01 9_000

# One that would lapse at once is none.
hold alice 1 until 2026-04-01T00:00:00+09:00 -> refused INVALID_FIELD

# What was decided is given again, though its time has passed since.
hold alice 10 until 00:30 key short
again                    -> posted again
time 00:31:00
again                    -> posted again
release alice            -> refused HOLD_SETTLED

# Many on the way, in one move of the clock.
hold alice 1_000 until 01:00 as a
hold alice 1_000 until 02:00 as b
hold alice 1_000 until 2026-04-02T01:00:00+09:00 as c
day 2026-04-02
balance alice            -> 9_000 held 1_000
restart
clock 2026-04-02T01:00:00+09:00
balance alice            -> 9_000 held 0
