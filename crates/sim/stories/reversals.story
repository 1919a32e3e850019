# What was posted stays; it is undone by an entry the other way round, once.
clock 2026-05-04T09:00:00+09:00
account alice KRW 100_000
account bob   KRW 10_000
debit alice 40_000 to cash as out
reverse out because "paid at the wrong counter" -> posted amount 40_000
balance alice            -> 100_000 serial 3
reverse out              -> refused ALREADY_REVERSED
pay alice bob 70_000 as gift
reverse gift
balance alice            -> 100_000
balance bob              -> 10_000
credit bob 5_000 from nostro as wages
reverse wages
balance bob              -> 10_000
hold alice 30_000
capture alice 20_000 as card
balance alice            -> 80_000 held 0
reverse card
balance alice            -> 100_000
entries alice            -> +100_000 -40_000 +40_000 -70_000 +70_000 -20_000 +20_000

# What can't be undone.
reverse last             -> refused NOT_REVERSIBLE
hold alice 1_000 as kept
reverse kept             -> refused NOT_REVERSIBLE
release kept
reverse last             -> refused NOT_REVERSIBLE
reverse nothing          -> refused POSTING_NOT_FOUND
day 2026-05-05
claim alice
reverse last             -> refused NOT_REVERSIBLE
reverse gift because ""  -> refused INVALID_FIELD

# Money that is gone can't be given back, and money that is held neither.
credit bob 90_000 as loan
debit bob 95_000
reverse loan             -> refused INSUFFICIENT_AVAILABLE available 5_000
credit bob 85_000
hold bob 1
reverse loan             -> refused INSUFFICIENT_AVAILABLE available 89_999
release bob
reverse loan
balance bob              -> 0

# A stop doesn't hinder that a mistake is undone; a closed account does.
pay alice bob 1_000 as slip
mark bob withdrawal_stop
mark alice deposit_stop
reverse slip
balance bob              -> 0
unmark bob withdrawal_stop
pay alice bob 10 as last_slip
debit bob 10 as emptied
close bob                -> closed
reverse emptied          -> refused ACCOUNT_CLOSED
reverse last_slip        -> refused ACCOUNT_CLOSED INSUFFICIENT_AVAILABLE available 0
