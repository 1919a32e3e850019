# A refusal tells everything that is wrong, not the first thing only.
clock 2026-01-01T09:00:00+09:00
product tight KRW from 2026-01-01 rest 0.02 transaction 1_000 day 1_500 month 2_000
account alice KRW 2_000 product tight
account bob   KRW 1
mark alice withdrawal_stop
mark alice pledged
mark alice limited
mark alice kyc_expired
mark bob deposit_stop
mark bob sanctioned
pay alice bob 3_000           -> refused WITHDRAWAL_BLOCKED PLEDGED KYC_EXPIRED LIMIT_EXCEEDED INSUFFICIENT_AVAILABLE DEPOSIT_BLOCKED SANCTIONED available 2_000
pay alice nobody 1            -> refused WITHDRAWAL_BLOCKED PLEDGED KYC_EXPIRED ACCOUNT_NOT_FOUND
again                         -> refused WITHDRAWAL_BLOCKED PLEDGED KYC_EXPIRED ACCOUNT_NOT_FOUND again
debit nobody 1                -> refused ACCOUNT_NOT_FOUND
