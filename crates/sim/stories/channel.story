# A customer's screen: the account as it is, and today's interest, kept until midnight and never yesterday's.
clock 2026-01-01T09:00:00+09:00
account alice     KRW 2_000_000
account alice.usd USD 10.00
account bob       KRW 1_000
screen alice                  -> 2_000_000 net 0 on 2026-01-01
screen alice.usd              -> 10.00 net 0.00
screen alice by bob           -> refused NOT_FOUND
day 2026-01-02
screen alice                  -> 2_000_000 gross 109 net 99 on 2026-01-02 from 2026-01-01 to 2026-01-01

# What happens today changes the balance at once, and today's interest not at all.
pay alice bob 1_000_000
hold alice 5
screen alice                  -> 1_000_000 held 5 gross 109 net 99
time 23:59:59.999999
screen alice                  -> 1_000_000 net 99 on 2026-01-02
day 2026-01-03
screen alice                  -> 1_000_000 gross 164 on 2026-01-03 from 2026-01-01 to 2026-01-02
screen bob                    -> 1_001_000 gross 54

# Taking it through the channel is taking it.
claim alice through channel by bob -> refused NOT_FOUND
claim alice through channel key c-1 -> gross 164 tax 20 net 144
again                         -> paid again net 144
screen alice                  -> 1_000_144 net 0
claim alice through channel   -> refused ALREADY_CLAIMED
claim alice                   -> refused ALREADY_CLAIMED
claim bob                     -> gross 54
screen bob                    -> 1_001_054 net 0
claim bob through channel     -> refused ALREADY_CLAIMED

# A restriction shows at once; the figure stays what it is.
day 2026-01-04
screen alice                  -> gross 54
mark alice deceased
claim alice through channel   -> refused OWNER_DECEASED
unmark alice deceased
restart
screen alice                  -> 1_000_144 gross 54 on 2026-01-04
claim alice through channel key c-1 -> paid again net 144
claim alice through channel   -> gross 54
entries alice                 -> +2_000_000 -1_000_000 +144 +54
