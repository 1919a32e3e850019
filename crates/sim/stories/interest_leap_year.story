# A year has 365 days for deposits, also when it has 366; a product may say otherwise.
clock 2024-02-27T09:00:00+09:00
product actual KRW from 2024-02-01 rest 0.0366 count ACT/ACT
product money  KRW from 2024-02-01 rest 0.036 count ACT/360
account alice  KRW 36_500_000
account bob    KRW 36_600_000 product actual
account carol  KRW 36_000_000 product money
day 2024-03-01
days alice                    -> 2024-02-27 36_500_000, 2024-02-28 36_500_000, 2024-02-29 36_500_000, 2024-03-01 36_500_000
claim alice                   -> gross 6_000 from 2024-02-27 to 2024-02-29
claim bob                     -> gross 10_980
claim carol                   -> gross 10_800

# Over the end of the year each day has the length of its own year.
clock 2024-12-31T09:00:00+09:00
claim bob
day 2025-01-02
preview bob                   -> from 2024-12-31 to 2025-01-01 periods 1
claim bob
clock 2025-12-31T23:00:00+09:00
claim alice                   -> from 2024-03-01 to 2025-12-30
