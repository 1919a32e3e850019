# The greatest amount of one command, and the greatest balance.
clock 2026-01-01T09:00:00+09:00
account alice KRW 1_000_000_000_000_000
account bob   KRW 1
batch
  credit alice 1_000_000_000_000_000 -> posted
  credit alice 1_000_000_000_000_000 -> posted
  credit alice 1_000_000_000_000_000 -> posted
  credit alice 1_000_000_000_000_000 -> posted
  credit alice 1_000_000_000_000_000 -> posted
  credit alice 1_000_000_000_000_000 -> posted
  credit alice 1_000_000_000_000_000 -> posted
  credit alice 1_000_000_000_000_000 -> posted
  credit alice 1_000_000_000_000_000 -> posted
  credit alice 1                     -> refused BALANCE_OVERFLOW
end
balance alice                 -> 10_000_000_000_000_000
pay bob alice 1               -> refused BALANCE_OVERFLOW
pay alice bob 1_000_000_000_000_000
pay bob alice 1               -> posted
day 2026-01-02
claim bob                     -> gross 54_794_520_547 net 46_356_164_397
restart
balance bob                   -> 1_000_046_356_164_397
