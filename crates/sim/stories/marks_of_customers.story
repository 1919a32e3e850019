# What restricts a customer restricts all accounts, at home and in foreign currency.
clock 2026-01-01T09:00:00+09:00
account alice     KRW 100_000
account alice.two KRW 100_000
account alice.usd USD 50.00
account bob       KRW 100_000
account bob.usd   USD 50.00

mark alice deceased
debit alice 1                 -> refused OWNER_DECEASED
pay alice.two bob 1           -> refused OWNER_DECEASED
pay alice.usd bob.usd 1.00    -> refused OWNER_DECEASED
credit alice 1                -> posted
unmark alice deceased

mark alice identity_theft
debit alice 1                 -> refused OWNER_IDENTITY_THEFT
credit alice.two 1            -> refused OWNER_IDENTITY_THEFT
pay bob.usd alice.usd 1.00    -> refused OWNER_IDENTITY_THEFT
unmark alice identity_theft

mark alice kyc_expired
pay alice bob 1               -> refused KYC_EXPIRED
pay bob alice 1               -> posted
unmark alice kyc_expired

mark alice sanctioned
pay alice bob 1               -> refused SANCTIONED
pay bob alice 1               -> refused SANCTIONED
unmark alice sanctioned

mark alice minor_restricted
hold alice 1                  -> refused OWNER_MINOR_RESTRICTED
credit alice 1                -> posted
unmark alice minor_restricted

# Nobody who is barred opens an account.
mark bob deceased
account bob.new KRW           -> refused OWNER_DECEASED
unmark bob deceased
mark bob kyc_expired
mark bob sanctioned
account bob.new KRW           -> refused SANCTIONED KYC_EXPIRED
unmark bob kyc_expired
unmark bob sanctioned
account bob.new KRW           -> opened
restart
pay alice bob 1               -> posted
mark alice deceased
restart
pay alice bob 1               -> refused OWNER_DECEASED
