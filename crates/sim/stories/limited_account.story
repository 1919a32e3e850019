# A limited account pays a million won a day at most.
clock 2026-01-01T09:00:00+09:00
account alice KRW 5_000_000
account bob   KRW
mark alice limited
pay alice bob 1_000_001       -> refused LIMITED_ACCOUNT
pay alice bob 999_999
debit alice 2                 -> refused LIMITED_ACCOUNT
debit alice 1
hold alice 1                  -> refused LIMITED_ACCOUNT
credit alice 1_000_000_000    -> posted
day 2026-01-02
hold alice 1_000_000
pay alice bob 1               -> refused LIMITED_ACCOUNT
release alice
pay alice bob 1_000_000
unmark alice limited
pay alice bob 2_000_000       -> posted
