# A key gives the same answer for ever, whatever has happened since; another request under it is refused.
clock 2026-06-01T08:00:00+09:00
account alice KRW 1_000
account bob   KRW
pay alice bob 600 key pay-1   -> posted serial 2
again                         -> posted again serial 2
altered pay alice bob 601     -> refused KEY_REUSED
altered pay bob alice 600     -> refused NOT_FOUND
again                         -> posted again
balance alice                 -> 400 serial 2

# A refusal is an answer too: it stays, though there is money now.
pay alice bob 500 key pay-2   -> refused INSUFFICIENT_AVAILABLE available 400
credit alice 1_000 key in-1
pay alice bob 500 key pay-2   -> refused INSUFFICIENT_AVAILABLE again available 400
altered pay alice bob 1       -> refused KEY_REUSED
balance alice                 -> 1_400

# What became of a key, for one who lost the answer. Keys are each caller's own.
ask pay-1 by alice            -> posted amount 600
ask pay-2 by alice            -> refused INSUFFICIENT_AVAILABLE
ask pay-3 by alice            -> absent
ask pay-1 by bob              -> absent
ask pay-1 by service          -> absent
ask in-1 by service           -> posted amount 1_000
credit alice 5 key pay-1      -> posted amount 5
balance alice                 -> 1_405

# A request that was turned away leaves its key unused.
pay alice alice 5 key pay-4   -> refused SAME_ACCOUNT
pay alice bob 5 key pay-4     -> posted amount 5
credit bob 1 from vault key k -> refused UNKNOWN_BANK_ACCOUNT
credit bob 1 from fees key k  -> posted amount 1

# Interest has keys as well.
day 2026-07-01
credit alice 2_000_000
day 2026-07-02
claim alice key claim-1       -> paid gross 111
again                         -> paid again gross 111
pay alice bob 1 key claim-1   -> refused KEY_REUSED
ask claim-1 by alice          -> posted

# Neither the end of the process nor the years change an answer.
restart
pay alice bob 600 key pay-1   -> posted again serial 2
pay alice bob 500 key pay-2   -> refused INSUFFICIENT_AVAILABLE again available 400
claim alice key claim-1       -> paid again gross 111
ask pay-3 by alice            -> absent
day 2027-07-02
pay alice bob 600 key pay-1   -> posted again on 2026-06-01
altered pay alice bob 2       -> refused KEY_REUSED
