# Money in, money out, money between customers, money kept aside.
clock 2026-01-01T09:00:00+09:00
account alice KRW 100_000
account bob   KRW
hold  alice 30_000
pay   alice bob 80_000   -> refused INSUFFICIENT_AVAILABLE available 70_000
pay   alice bob 70_000   -> posted on 2026-01-01 serial 2
balance alice            -> 30_000 held 30_000 available 0 serial 2
balance bob              -> 70_000 held 0 status active
capture alice 12_500 to nostro
balance alice            -> 17_500 held 0 available 17_500
debit bob 20_000 to cash memo "rent for January"
credit alice 2_500 from nostro
entries alice            -> +100_000 -70_000 -12_500 +2_500
entries bob              -> +70_000 -20_000
entries alice after 2 limit 1 -> -12_500
days bob                 -> 2026-01-01 50_000
