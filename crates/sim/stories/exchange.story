# Exchanges at the counter: prices, both ways, once, within limits.
clock 2026-01-05T09:30:00+09:00
account alice     KRW 30_000_000
account alice.usd USD 100.00
account alice.jpy JPY
quote alice buy USD 100.00    -> refused BOARD_STALE
board USD 1266.62 1288.78 1244.46 JPY 905.17 921.01 889.33 -> published round 1
board USD 1266.62 1288.78 1244.46 JPY 905.17 921.01 889.33 -> published round 2

# The named amount stays, the other is rounded once: won up for who buys, foreign money down.
quote alice buy USD 500.00    -> quoted rate 1288.78 foreign 500.00 won 644_390
exchange alice alice alice.usd key e-1 -> succeeded
exchange alice alice alice.usd key e-1 -> succeeded again
exchange alice alice alice.usd         -> refused QUOTE_USED
balance alice                 -> 29_355_610
balance alice.usd             -> 600.00
quote alice buy USD 100_000 in krw  -> quoted rate 1288.78 foreign 77.59 won 100_000
exchange alice alice alice.usd      -> succeeded
quote alice sell USD 600.00   -> quoted rate 1244.46 foreign 600.00 won 746_676
exchange alice alice alice.usd      -> succeeded
quote alice buy JPY 10_000    -> quoted rate 921.01 won 92_101
exchange alice alice alice.jpy      -> succeeded
balance alice.usd             -> 77.59
balance alice.jpy             -> 10_000
left alice                    -> 8_416_833 month 98_416_833 resets 2026-01-06T00:00:00.000000Z
exchanges alice               -> succeeded succeeded succeeded succeeded
restart
exchange alice alice alice.jpy key e-2 -> refused QUOTE_USED
books
