# Many commands at once, each accepted or refused on its own, in order.
clock 2026-02-02T09:00:00+09:00
account alice KRW 1_000
account bob   KRW
account dollars USD
batch
  pay alice bob 600               -> posted serial 2
  pay alice bob 600               -> refused INSUFFICIENT_AVAILABLE
  pay bob alice 500               -> posted serial 2
  pay alice bob 600               -> posted serial 4
  hold bob 700 as kept            -> posted
  debit bob 1                     -> refused INSUFFICIENT_AVAILABLE
  credit nobody 5                 -> refused ACCOUNT_NOT_FOUND
  pay alice alice 5               -> refused SAME_ACCOUNT
  credit bob 5 from vault         -> refused UNKNOWN_BANK_ACCOUNT
  pay alice dollars 5             -> refused ACCOUNT_NOT_FOUND
  credit bob 11 key twice         -> posted
end
balance alice                     -> 300 held 0 serial 4
balance bob                       -> 711 held 700 serial 4

# Keys of a batch are keys like others.
credit bob 11 key twice           -> posted again
altered credit bob 12             -> refused KEY_REUSED
batch
  credit bob 11 key twice         -> posted
  capture kept 300                -> posted
  capture kept 300                -> refused HOLD_SETTLED
  debit bob 411                   -> posted
end
balance bob                       -> 0 held 0

# What comes later in a batch sees what came before.
batch
  credit alice 700 as first       -> posted
  hold alice 1_000 as second      -> posted
  pay alice bob 1                 -> refused INSUFFICIENT_AVAILABLE
end
batch
  release second                  -> posted
  reverse first                   -> posted
  reverse first                   -> refused ALREADY_REVERSED
  pay alice bob 300               -> posted
end
balance alice                     -> 0
restart
balance bob                       -> 300
