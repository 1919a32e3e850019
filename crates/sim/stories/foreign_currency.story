# Accounts in dollars and yen: each in its own minor unit, none mixed with another.
clock 2026-01-01T09:00:00+09:00
account alice     KRW 100_000
account alice.usd USD 1_234.56
account alice.jpy JPY 50_000
account bob.usd   USD
account bob.jpy   JPY
pay alice.usd bob.usd 234.56  -> posted amount 234.56
pay alice.jpy bob.jpy 49_999  -> posted
pay alice.usd bob.jpy 1.00    -> refused CURRENCY_MISMATCH
pay alice.usd alice 1.00      -> refused ACCOUNT_NOT_FOUND
pay alice alice.usd 1         -> refused ACCOUNT_NOT_FOUND
pay bob.jpy alice.usd 1       -> refused CURRENCY_MISMATCH
pay alice.usd bob.usd 1_000.01 -> refused INSUFFICIENT_AVAILABLE available 1_000.00
hold bob.usd 200.00
capture bob.usd 99.99 to exchange
balance bob.usd               -> 134.57 held 0.00
credit bob.jpy 1 from exchange
entries bob.usd               -> +234.56 -99.99
days bob.jpy                  -> 2026-01-01 50_000
balance alice.jpy             -> 1
account bob.eur EUR 9.99
debit bob.eur 10.00           -> refused INSUFFICIENT_AVAILABLE available 9.99
account bob.odd USD 1.00 product fx-jpy -> refused CURRENCY_MISMATCH

# These accounts bear no interest; a product may.
day 2026-02-01
claim alice.usd               -> refused NOTHING_TO_PAY
product fx-save USD from 2026-02-01 rest 0.0360 count ACT/360
account carol.usd USD 10_000.00 product fx-save
day 2026-02-11
claim carol.usd               -> gross 10.00 income 1.40 local 0.14 net 8.46
day 2026-02-12
claim carol.usd               -> gross 1.00 income 0.14 local 0.01 net 0.85
restart
balance carol.usd             -> 10_009.31
