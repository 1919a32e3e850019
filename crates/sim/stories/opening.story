# Who may open what.
clock 2026-01-01T09:00:00+09:00
account alice KRW product none -> refused PRODUCT_NOT_FOUND
product later KRW from 2026-02-01 rest 0.03
account alice KRW product later -> refused PRODUCT_NOT_FOUND
day 2026-02-01
account alice KRW 365_000 product later -> opened
day 2026-02-02
claim alice                   -> gross 30

# Corporations only where the terms say so.
customer acme kind corporation born 2015-01-01
account acme KRW              -> refused PRODUCT_NOT_ELIGIBLE
product firm KRW from 2026-02-02 rest 0 corporations yes
account acme KRW 1_000 product firm -> opened
pay acme alice 1_000

# Several accounts of one owner are several accounts.
account alice.two KRW 5
pay alice alice.two 10
pay alice.two alice 15
balance alice.two             -> 0 serial 3
