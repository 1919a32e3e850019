# What was undone counts no more: on its own day and in its own month.
clock 2026-01-10T09:00:00+09:00
product tight KRW from 2026-01-01 rest 0.02 day 1_000 month 1_500
account alice KRW 100_000 product tight
account bob   KRW

# A hold counts when it is made; a capture takes no more, and gives back what it leaves.
hold alice 1_000
debit alice 1                 -> refused LIMIT_EXCEEDED
capture alice 400
debit alice 601               -> refused LIMIT_EXCEEDED
debit alice 600 as spent
hold alice 1                  -> refused LIMIT_EXCEEDED
reverse spent
hold alice 600
release alice
pay alice bob 600 as gift
reverse gift
pay alice bob 600 as gift
debit alice 1                 -> refused LIMIT_EXCEEDED

# The next day only the month's limit is left, and what is undone now frees the month, not the day.
day 2026-01-11
pay alice bob 400 as small
debit alice 101               -> refused LIMIT_EXCEEDED
reverse gift
debit alice 601               -> refused LIMIT_EXCEEDED
debit alice 600
debit alice 1                 -> refused LIMIT_EXCEEDED
reverse small
debit alice 400
debit alice 1                 -> refused LIMIT_EXCEEDED

# In the next month nothing of it matters.
day 2026-02-01
hold alice 1_000 as kept
day 2026-02-02
hold alice 500 as late
debit alice 1                 -> refused LIMIT_EXCEEDED
release kept
debit alice 501               -> refused LIMIT_EXCEEDED
debit alice 500
day 2026-03-01
release late
debit alice 1_000
debit alice 1                 -> refused LIMIT_EXCEEDED
restart
debit alice 1                 -> refused LIMIT_EXCEEDED
