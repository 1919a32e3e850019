# A customer sees and moves own money only; what is another's doesn't exist.
clock 2026-01-01T09:00:00+09:00
account alice KRW 10_000
account bob   KRW 10_000
pay alice bob 1 by bob        -> refused NOT_FOUND
pay alice bob 1 by alice      -> posted
balance alice by bob          -> refused NOT_FOUND
balance alice by service      -> 9_999
close alice by bob            -> refused NOT_FOUND
account alice.new KRW by bob  -> refused FORBIDDEN
account alice.own KRW by alice -> opened
day 2026-01-05
claim alice by bob            -> refused NOT_FOUND
claim alice by alice          -> gross 2

# Money in and out over the counter, holds and corrections are the bank's.
credit bob 1_000 by bob       -> refused FORBIDDEN
debit bob 1 by bob            -> refused FORBIDDEN
hold bob 1 by bob             -> refused FORBIDDEN
credit bob 1 as gift
reverse gift by bob           -> refused FORBIDDEN
hold bob 5
release bob by bob            -> refused FORBIDDEN
capture bob by bob            -> refused FORBIDDEN
debit bob 1 by operator       -> posted

# A refusal tells nothing about the other's account.
pay bob alice 999_999         -> refused INSUFFICIENT_AVAILABLE available 9_996
pay nobody bob 5 by bob       -> refused NOT_FOUND
claim nobody by bob           -> refused NOT_FOUND
claim nobody                  -> refused NOT_FOUND
