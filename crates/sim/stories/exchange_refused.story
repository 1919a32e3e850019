# What may not be exchanged: each has its code, and nothing moves.
clock 2026-01-05T09:30:00+09:00
account alice     KRW 30_000_000
account alice.usd USD 1_000.00
account alice.jpy JPY
account alice.eur EUR
account bob       KRW 30_000_000
account bob.usd   USD

# Boards with gaps or absurd jumps wait for a second person, who is somebody else; until then the old one holds.
board USD 1266.62 1288.78 1244.46 JPY 905.17 921.01 889.33 -> published
board USD 1500.00 1520.00 1480.00 JPY 905.17 921.01 889.33 -> waits
quote alice buy USD 1.00      -> quoted rate 1288.78
approve by operator           -> refused SAME_PERSON
board USD 1266.62 1288.78 1244.46 -> waits
quote alice buy JPY 1_000     -> quoted rate 921.01
approve by lee                -> approved
approve by lee                -> refused APPROVAL_DECIDED
quote alice buy JPY 1_000     -> refused CURRENCY_NOT_QUOTED
board USD 1266.62 1200.00 1300.00 -> refused INVALID_FIELD
board USD 1266.625 1288.78 1244.46 -> refused INVALID_FIELD

# Quotes: too small, not on the board, another's.
quote alice buy EUR 1.00      -> refused CURRENCY_NOT_QUOTED
quote alice buy USD 12 in krw -> refused AMOUNT_TOO_SMALL
quote alice buy USD 10_000_000_000_000.00 -> refused INVALID_AMOUNT
quote alice buy USD 1.00 by bob -> refused FORBIDDEN
quote alice buy USD 100.00 as hers
exchange hers alice alice.usd by bob -> refused QUOTE_NOT_FOUND
exchange hers bob alice.usd   -> refused ACCOUNT_NOT_FOUND
exchange hers alice bob.usd   -> refused ACCOUNT_NOT_FOUND
exchange hers alice alice.eur -> refused CURRENCY_MISMATCH
exchange hers alice.usd alice -> refused ACCOUNT_NOT_FOUND

# Accounts that may not pay or be paid, as the screen would say it; and closed ones.
mark alice.usd deposit_stop
exchange hers alice alice.usd -> refused DEPOSIT_BLOCKED
unmark alice.usd deposit_stop
mark alice withdrawal_stop
exchange hers alice alice.usd -> refused WITHDRAWAL_BLOCKED
unmark alice withdrawal_stop
mark alice fraud_freeze
exchange hers alice alice.usd -> refused FRAUD_FROZEN
unmark alice fraud_freeze
mark alice.usd dormant
exchange hers alice alice.usd -> refused ACCOUNT_DORMANT
unmark alice.usd dormant
account alice.old USD
close alice.old
exchange hers alice alice.old -> refused ACCOUNT_CLOSED
balance alice                 -> 30_000_000
balance alice.usd             -> 1_000.00
left alice                    -> 10_000_000 month 100_000_000
exchanges alice               ->

# What only the books know ends the exchange: not enough money, an owner who is blocked.
quote alice sell USD 1_000.01
exchange alice alice alice.usd -> failed INSUFFICIENT_AVAILABLE
mark alice identity_theft
exchange hers alice alice.usd -> failed OWNER_IDENTITY_THEFT
unmark alice identity_theft
exchange hers alice alice.usd -> refused QUOTE_USED
left alice                    -> 10_000_000 month 100_000_000

# An account that is full takes no deposit: what was withdrawn is given back.
account alice.full USD 10_000_000_000_000.00
credit alice.full 10_000_000_000_000.00
credit alice.full 10_000_000_000_000.00
credit alice.full 10_000_000_000_000.00
credit alice.full 10_000_000_000_000.00
credit alice.full 10_000_000_000_000.00
credit alice.full 10_000_000_000_000.00
credit alice.full 10_000_000_000_000.00
credit alice.full 10_000_000_000_000.00
credit alice.full 10_000_000_000_000.00
quote alice buy USD 100.00
exchange alice alice alice.full -> pending WITHDRAW_CANCEL_NEEDED BALANCE_OVERFLOW
left alice                    -> 9_871_122
balance alice                 -> 30_000_000
time 09:30:02
exchanges alice               -> failed BALANCE_OVERFLOW failed OWNER_IDENTITY_THEFT failed INSUFFICIENT_AVAILABLE
left alice                    -> 10_000_000 month 100_000_000

# Quotes and boards grow old.
quote alice buy USD 100.00
time 09:31:02
exchange alice alice alice.usd -> refused QUOTE_EXPIRED
day 2026-01-06
time 09:31:00
quote alice buy USD 100.00    -> refused BOARD_STALE
board USD 1266.62 1288.78 1244.46 -> published round 1

# Limits may be reached and not passed; the day's begins anew at nine.
quote alice buy USD 6_000_000 in krw
exchange alice alice alice.usd -> succeeded
quote alice buy USD 4_000_001 in krw
exchange alice alice alice.usd -> refused LIMIT_EXCEEDED limit day resets 2026-01-07T00:00:00.000000Z
quote alice buy USD 4_000_000 in krw
exchange alice alice alice.usd -> succeeded
quote alice sell USD 0.10
exchange alice alice alice.usd -> refused LIMIT_EXCEEDED limit day
balance alice                 -> 20_000_000
day 2026-01-07
time 08:59:59
left alice                    -> 0 month 90_000_000
time 09:00:00
left alice                    -> 10_000_000 month 90_000_000
