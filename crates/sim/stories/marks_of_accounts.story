# What restricts an account: each mark with what it stops and what it lets pass.
clock 2026-01-01T09:00:00+09:00
account alice KRW 100_000
account bob   KRW 100_000
hold alice 1_000

mark alice deposit_stop
credit alice 1                -> refused DEPOSIT_BLOCKED
pay bob alice 1               -> refused DEPOSIT_BLOCKED
debit alice 1                 -> posted
pay alice bob 1               -> posted
unmark alice deposit_stop

mark alice withdrawal_stop
debit alice 1                 -> refused WITHDRAWAL_BLOCKED
pay alice bob 1               -> refused WITHDRAWAL_BLOCKED
hold alice 1 as more          -> refused WITHDRAWAL_BLOCKED
capture alice                 -> refused WITHDRAWAL_BLOCKED
credit alice 1                -> posted
pay bob alice 1               -> posted
unmark alice withdrawal_stop

mark alice loss_report
debit alice 1                 -> refused LOSS_REPORTED
credit alice 1                -> posted
unmark alice loss_report

mark alice attached
pay alice bob 1               -> refused ATTACHED
credit alice 1                -> posted
unmark alice attached

mark alice pledged
hold alice 1 as more          -> refused PLEDGED
credit alice 1                -> posted
unmark alice pledged

mark alice fraud_freeze
debit alice 1                 -> refused FRAUD_FROZEN
credit alice 1                -> posted
unmark alice fraud_freeze

mark alice dormant
debit alice 1                 -> refused ACCOUNT_DORMANT
credit alice 1                -> refused ACCOUNT_DORMANT
unmark alice dormant

mark alice suspended
pay alice bob 1               -> refused ACCOUNT_SUSPENDED
pay bob alice 1               -> refused ACCOUNT_SUSPENDED
unmark alice suspended

# A hold can be ended whatever stands on the account, and when all is cleared all goes again.
mark alice withdrawal_stop
release alice                 -> posted
unmark alice withdrawal_stop
balance alice                 -> 100_004 held 0 status active
restart
mark alice attached
restart
debit alice 1                 -> refused ATTACHED
