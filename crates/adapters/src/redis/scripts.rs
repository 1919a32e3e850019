//! What has to happen in one step, as Lua that the server runs alone.
//!
//! Names live in a sorted set by the instant at which they end, so that what is over is found, counted and cleared; what
//! they hold lives in a hash beside it. Instants and scores are below 2^53 and so exact as Lua's numbers; counts are
//! passed as text. `FULL` says that a bound is reached.

use redis::Script;

/// What is over is cleared in small steps, as in the engine of a process: a day's end ends very many at once.
const CLEAR: &str = "
local function clear(ends, holds, now)
  local over = redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 64)
  if #over > 0 then
    redis.call('ZREM', ends, unpack(over))
    redis.call('HDEL', holds, unpack(over))
  end
end
";

/// Keys: ends, fences, the last fence. Arguments: name, until, now, bound. The new number, or nothing.
///
/// The number comes from the server's clock, so that it goes on growing when the server has lost what it held.
const TAKE: &str = "
local name, untl, now = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local held = redis.call('ZSCORE', KEYS[1], name)
if untl <= now or (held and tonumber(held) > now) then return false end
redis.call('ZREM', KEYS[1], name)
clear(KEYS[1], KEYS[2], now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then
  return redis.error_reply('FULL ' .. ARGV[4] .. ' leases are held, which is all there are')
end
local time = redis.call('TIME')
local last = tonumber(redis.call('GET', KEYS[3]) or '0')
local fence = string.format('%.0f', math.max(time[1] * 1000000 + time[2], last + 1))
redis.call('SET', KEYS[3], fence)
redis.call('ZADD', KEYS[1], ARGV[2], name)
redis.call('HSET', KEYS[2], name, fence)
return fence
";

/// Keys: ends, fences. Arguments: name, fence, now, and until when to go on; without it the lease ends. 1 or 0.
const KEEP: &str = "
local held = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not held or tonumber(held) <= tonumber(ARGV[3]) or redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then
  return 0
end
if ARGV[4] then
  redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('HDEL', KEYS[2], ARGV[1])
end
return 1
";

/// Keys: ends, counts. Arguments: name, by, until, now, bound. What the counter is then.
const COUNT: &str = "
local name, by, untl, now = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local lives = redis.call('ZSCORE', KEYS[1], name)
if lives and tonumber(lives) > now then
  local sum = redis.pcall('HINCRBY', KEYS[2], name, by)
  if type(sum) == 'table' and sum.err then
    if not string.find(sum.err, 'overflow') then return sum end
    local most = string.sub(by, 1, 1) == '-' and '-9223372036854775808' or '9223372036854775807'
    redis.call('HSET', KEYS[2], name, most)
  end
  return redis.call('HGET', KEYS[2], name)
end
redis.call('ZREM', KEYS[1], name)
clear(KEYS[1], KEYS[2], now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[5]) then
  return redis.error_reply('FULL ' .. ARGV[5] .. ' counters are kept, which is all there are')
end
if untl > now then
  redis.call('ZADD', KEYS[1], ARGV[3], name)
  redis.call('HSET', KEYS[2], name, by)
end
return by
";

/// Keys: ends, counts. Arguments: name, now. What the counter is, or nothing.
const COUNTED: &str = "
local lives = redis.call('ZSCORE', KEYS[1], ARGV[1])
if lives and tonumber(lives) > tonumber(ARGV[2]) then return redis.call('HGET', KEYS[2], ARGV[1]) end
return false
";

/// Keys: set, number of all members. Arguments: member, score, bound. 1 when the member is new.
const ADD: &str = "
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not known and tonumber(redis.call('GET', KEYS[2]) or '0') >= tonumber(ARGV[3]) then
  return redis.error_reply('FULL the sorted sets have ' .. ARGV[3] .. ' members, which is all they take')
end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
if known then return 0 end
redis.call('INCR', KEYS[2])
return 1
";

/// Keys: set, number of all members. Arguments: member. 1 when it was there.
const REMOVE: &str = "
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('DECR', KEYS[2])
return 1
";

/// Commands that the scripts and the engine use.
pub(super) const COMMANDS: [&str; 23] = [
    "decr",
    "del",
    "eval",
    "evalsha",
    "get",
    "hdel",
    "hget",
    "hincrby",
    "hset",
    "incr",
    "info",
    "scan",
    "script",
    "set",
    "time",
    "unlink",
    "zadd",
    "zcard",
    "zrange",
    "zrangebyscore",
    "zrank",
    "zrem",
    "zscore",
];

/// The scripts, each known to the server by its hash.
pub(super) struct Scripts {
    pub(super) take: Script,
    pub(super) keep: Script,
    pub(super) count: Script,
    pub(super) counted: Script,
    pub(super) add: Script,
    pub(super) remove: Script,
}

impl Scripts {
    pub(super) fn new() -> Scripts {
        let clearing = |script: &str| Script::new(&format!("{CLEAR}{script}"));
        Scripts {
            take: clearing(TAKE),
            keep: Script::new(KEEP),
            count: clearing(COUNT),
            counted: Script::new(COUNTED),
            add: Script::new(ADD),
            remove: Script::new(REMOVE),
        }
    }
}
