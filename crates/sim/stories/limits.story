# Limits of debits: per transaction, per day, per month.
clock 2026-01-30T09:00:00+09:00
product tight KRW from 2026-01-01 rest 0.02 transaction 1_000 day 2_500 month 6_000
account alice KRW 100_000 product tight
account bob   KRW
pay alice bob 1_001           -> refused LIMIT_EXCEEDED
pay alice bob 1_000
debit alice 1_000
pay alice bob 501             -> refused LIMIT_EXCEEDED
pay alice bob 500
debit alice 1                 -> refused LIMIT_EXCEEDED
credit alice 50_000           -> posted

# The day's limit begins anew, the month's goes on.
day 2026-01-31
pay alice bob 1_000
pay alice bob 1_000
pay alice bob 500
day 2026-02-01
pay alice bob 1_000
pay alice bob 1_000
day 2026-02-02
pay alice bob 1_000
pay alice bob 1_000
day 2026-02-03
pay alice bob 1_000
pay alice bob 1_000
pay alice bob 1               -> refused LIMIT_EXCEEDED
restart
pay alice bob 1               -> refused LIMIT_EXCEEDED
day 2026-03-01
pay alice bob 1               -> posted

# New limits hold from their day on.
product tight KRW from 2026-03-03 rest 0.02 transaction 50 day 60
debit alice 1_000             -> posted
day 2026-03-02
debit alice 1_000             -> posted
time 23:59:59.999999
debit alice 51                -> posted
day 2026-03-03
debit alice 51                -> refused LIMIT_EXCEEDED
debit alice 50                -> posted
debit alice 11                -> refused LIMIT_EXCEEDED
debit alice 10                -> posted
