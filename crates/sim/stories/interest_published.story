# The bank's own examples: a day at 2 % pays 99, 2,329 and 4,649 won after tax.
clock 2026-01-01T00:00:00+09:00
account two     KRW 2_000_000
account fifty   KRW 50_000_000
account hundred KRW 100_000_000
day 2026-01-02
preview two                   -> gross 109 tax 10 net 99 from 2026-01-01 to 2026-01-01
claim two                     -> gross 109 tax 10 net 99
claim fifty                   -> gross 2_739 income 380 local 30 net 2_329
claim hundred                 -> gross 5_479 income 760 local 70 net 4_649
balance two                   -> 2_000_099
balance fifty                 -> 50_002_329
balance hundred               -> 100_004_649
entries two                   -> +2_000_000 +99

# The smallest sum that is taxed is 72 won, and the smallest that is paid is one.
account tax    KRW 1_314_000
account untax  KRW 1_313_999
account least  KRW 18_250
account none   KRW 18_249
day 2026-01-03
claim tax                     -> gross 72 income 10 local 0 net 62
claim untax                   -> gross 71 tax 0 net 71
claim least                   -> gross 1 net 1
claim none                    -> refused NOTHING_TO_PAY
day 2026-01-04
claim none                    -> gross 1 from 2026-01-02 to 2026-01-03
