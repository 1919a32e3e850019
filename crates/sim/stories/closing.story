# An account is closed when nothing is on it and nothing is held; then nothing moves on it any more.
clock 2026-04-01T09:00:00+09:00
account alice KRW 1_000
account bob   KRW 5_000
close alice                   -> refused ACCOUNT_NOT_EMPTY
hold alice 400
debit alice 600
close alice                   -> refused ACCOUNT_NOT_EMPTY
capture alice
close alice by alice          -> closed
close alice                   -> refused ACCOUNT_CLOSED
balance alice                 -> 0 held 0 serial 3 status closed
credit alice 1                -> refused ACCOUNT_CLOSED
debit alice 1                 -> refused ACCOUNT_CLOSED INSUFFICIENT_AVAILABLE
pay bob alice 1               -> refused ACCOUNT_CLOSED
pay alice bob 1               -> refused ACCOUNT_CLOSED INSUFFICIENT_AVAILABLE
hold alice 1                  -> refused ACCOUNT_CLOSED INSUFFICIENT_AVAILABLE
entries alice                 -> +1_000 -600 -400
day 2026-04-02
claim alice                   -> refused ACCOUNT_CLOSED
days alice                    -> 2026-04-01 0, 2026-04-02 0
restart
credit alice 1                -> refused ACCOUNT_CLOSED
balance alice                 -> 0 status closed
close bob by alice            -> refused NOT_FOUND

# A dormant account may be closed, and nothing else.
account carol KRW
mark carol dormant
credit carol 1                -> refused ACCOUNT_DORMANT
close carol                   -> closed
