# Interest is a credit to a living, identified person: what stops that, stops interest, until it is cleared.
clock 2026-01-01T09:00:00+09:00
account alice KRW 2_000_000
account bob   KRW 2_000_000
day 2026-01-02
mark alice deceased
claim alice                   -> refused OWNER_DECEASED
unmark alice deceased
mark alice identity_theft
claim alice                   -> refused OWNER_IDENTITY_THEFT
unmark alice identity_theft
mark alice sanctioned
claim alice                   -> refused SANCTIONED
unmark alice sanctioned
mark alice deposit_stop
claim alice                   -> refused DEPOSIT_BLOCKED
mark alice deceased
claim alice                   -> refused DEPOSIT_BLOCKED OWNER_DECEASED
unmark alice deceased
unmark alice deposit_stop
mark alice dormant
claim alice                   -> refused ACCOUNT_DORMANT
unmark alice dormant
mark alice suspended
claim alice                   -> refused ACCOUNT_SUSPENDED
unmark alice suspended

# What stops only money out doesn't.
mark alice withdrawal_stop
mark alice loss_report
mark alice attached
mark alice pledged
mark alice fraud_freeze
mark alice limited
mark alice kyc_expired
mark alice minor_restricted
claim alice                   -> gross 109 net 99
balance alice                 -> 2_000_099 status restricted

# What was not paid is not lost.
mark bob deceased
day 2026-01-12
claim bob                     -> refused OWNER_DECEASED
unmark bob deceased
claim bob                     -> gross 1_205 from 2026-01-01 to 2026-01-11

# It is for persons.
product firm KRW from 2026-01-01 rest 0.02 corporations yes
customer acme kind corporation born 2015-01-01
account acme KRW 5_000_000 product firm
day 2026-01-13
claim acme                    -> refused CORPORATE_RESTRICTED
preview acme                  -> gross 273
debit bob 2_001_035
close bob
claim bob                     -> refused ACCOUNT_CLOSED
