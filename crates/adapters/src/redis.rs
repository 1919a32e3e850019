//! Redis as the key-value store that processes share: cache, leases, sorted sets, counters.
//!
//! | operation | round trips |
//! |---|---|
//! | any | one, beside those of other callers on the same connection |
//! | a script after a restart of the server | three, once |
//!
//! The client is the `redis` crate: one connection carries what all callers ask, the crate is small, and making a
//! connection anew is in it. What a dead server costs is bounded here ([`link`]): a quarter of a second for those who
//! wait, nothing for those who ask soon after.
//!
//! Instants are the bank's: what is kept carries its end, and whoever asks compares it with the bank's clock. The server's
//! own expiry only clears away. Everything lives under one hash tag, so that scripts see it in one place.

mod link;
mod scripts;

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::clock::Clock;
use jangbu_platform::db::Fault;
use jangbu_platform::kv::{Back, Engine, KvLimits, Op};
use redis::{Client, FromRedisValue, IntoConnectionInfo as _, ScriptInvocation, cmd};

use link::Link;
use scripts::{COMMANDS, Scripts};

/// How much longer than needed the server keeps a value, in milliseconds: clocks of processes differ, and the instant
/// itself is in the value.
const SLACK_MS: i64 = 60_000;
/// Keys looked at by one step of losing everything.
const KEYS_PER_STEP: usize = 1_000;
/// Oldest version that has what is needed: scripts may write after they have asked the time.
const VERSION_MIN: u32 = 5;

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its address, like `redis://host:6379/0`.
    pub url: String,
    /// Its password; from the environment, never from a file.
    pub password: Option<String>,
    /// What all keys of this bank begin with, so that banks can share a server.
    pub namespace: String,
}

fn refused(why: &str) -> Fault {
    Fault::Storage { doing: "looking whether Redis can be used".into(), why: why.to_owned() }
}

/// The engine.
pub struct Redis {
    link: Link,
    scripts: Scripts,
    prefix: String,
    clock: Arc<dyn Clock>,
    limits: KvLimits,
}

impl Redis {
    /// The store at an address; nothing is asked of it yet. Of the limits those of leases, members and counters hold,
    /// for all processes together; how much the cache takes is the server's `maxmemory`.
    ///
    /// # Errors
    /// It is no address.
    pub fn new(settings: &Settings, clock: Arc<dyn Clock>, limits: KvLimits) -> Result<Redis, Fault> {
        let wrong = |e: redis::RedisError| refused(&format!("{} is no address of it: {e}", settings.url));
        let mut info = settings.url.as_str().into_connection_info().map_err(wrong)?;
        if let Some(password) = &settings.password {
            let login = info.redis_settings().clone().set_password(password);
            info = info.set_redis_settings(login);
        }
        let link = Link::new(Client::open(info).map_err(wrong)?)?;
        let (scripts, prefix) = (Scripts::new(), format!("{{{}}}:", settings.namespace));
        Ok(Redis { link, scripts, prefix, clock, limits })
    }

    fn key(&self, kind: &str) -> String {
        format!("{}{kind}", self.prefix)
    }

    async fn ask<T: FromRedisValue>(&self, command: redis::Cmd) -> Result<T, Fault> {
        self.link.run(|mut at| async move { command.query_async(&mut at).await }).await
    }

    async fn script<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, Fault> {
        self.link.run(|mut at| async move { script.invoke_async(&mut at).await }).await
    }

    /// Looks whether the server can do all that is needed.
    ///
    /// # Errors
    /// [`Fault::Unavailable`] when it can't be reached, which costs speed alone; [`Fault::Storage`] when it lacks
    /// something, with the remedy.
    pub async fn preflight(&self) -> Result<(), Fault> {
        let refuse = |why: String| Err(refused(&why));
        let info: String = self.ask(cmd("INFO")).await?;
        let field = |name: &str| {
            info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim()
        };
        let version = field("redis_version");
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or(0);
        if major < VERSION_MIN {
            return refuse(format!("it is version {version}; at least {VERSION_MIN} is needed"));
        }
        if field("role") != "master" {
            return refuse(format!("it is a {}, which can't be written; name the master", field("role")));
        }
        let policy = field("maxmemory_policy");
        if policy.starts_with("allkeys") {
            let why =
                "evicts queues and counters too; set maxmemory-policy volatile-ttl, under which the cache makes room";
            return refuse(format!("its maxmemory-policy {policy} {why}"));
        }
        let known: Vec<Option<Vec<redis::Value>>> = self.ask(cmd("COMMAND").arg("INFO").arg(&COMMANDS).clone()).await?;
        let missing: Vec<&str> = COMMANDS.iter().zip(&known).filter(|(_, k)| k.is_none()).map(|(c, _)| *c).collect();
        if !missing.is_empty() {
            return refuse(format!("it lacks {}; don't rename or disable them", missing.join(", ")));
        }
        self.probe().await.or_else(|fault| match fault {
            Fault::Storage { why, .. } => {
                let remedy = format!("allow its user these commands on the keys {}*", self.prefix);
                refuse(format!("{why}; {remedy}: {}", COMMANDS.join(" ")))
            }
            Fault::Busy(_) => Ok(()), // it is full, and works
            other => Err(other),
        })
    }

    /// Uses one of each kind: what a user may do is seen only by doing it.
    async fn probe(&self) -> Result<(), Fault> {
        let (name, now) = ("preflight", self.clock.now());
        let until = now.plus_micros(1_000_000);
        self.run(Op::Put { key: name, value: Vec::new(), until }).await?;
        self.run(Op::Get(name)).await?;
        self.run(Op::Forget(name)).await?;
        self.run(Op::SetAdd { set: name, member: name, score: 0 }).await?;
        self.run(Op::SetFirst { set: name, count: 1 }).await?;
        self.run(Op::SetRemove { set: name, member: name }).await?;
        self.run(Op::Count { name, by: 0, until: now }).await?;
        match self.run(Op::TakeLease { name, until }).await? {
            Back::Number(Some(fence)) => self.run(Op::ReleaseLease { name, fence }).await.map(drop),
            _ => Ok(()), // another process is at the same point
        }
    }

    async fn cached(&self, key: &str) -> Result<Back, Fault> {
        let kept: Option<Vec<u8>> = self.ask(cmd("GET").arg(self.key("v:") + key).clone()).await?;
        let lives = |until: &[u8; 8]| self.clock.now().micros() < i64::from_be_bytes(*until);
        let value = kept.as_deref().and_then(<[u8]>::split_first_chunk).filter(|(until, _)| lives(until));
        Ok(Back::Value(value.map(|(_, value)| value.to_vec())))
    }

    async fn put(&self, key: &str, value: &[u8], until: Timestamp) -> Result<Back, Fault> {
        let (key, now) = (self.key("v:") + key, self.clock.now());
        if until <= now {
            return self.number(cmd("DEL").arg(key).clone()).await;
        }
        let kept = [until.micros().to_be_bytes().as_slice(), value].concat();
        let ms = (until.micros() - now.micros()) / 1_000 + SLACK_MS;
        self.ask::<()>(cmd("SET").arg(key).arg(kept).arg("PX").arg(ms).clone()).await?;
        Ok(Back::Number(Some(1)))
    }

    async fn number(&self, command: redis::Cmd) -> Result<Back, Fault> {
        Ok(Back::Number(self.ask(command).await?))
    }

    async fn lease(&self, op: Op<'_>) -> Result<Back, Fault> {
        let now = self.clock.now().micros();
        let (ends, fences) = (self.key("lease-ends"), self.key("lease-fences"));
        let Scripts { take, keep, .. } = &self.scripts;
        let number: Option<i64> = match op {
            Op::TakeLease { name, until } => {
                let mut take = take.key(ends);
                take.key(fences).key(self.key("fence")).arg(name).arg(until.micros()).arg(now);
                self.script(take.arg(self.limits.leases_max)).await?
            }
            Op::RenewLease { name, fence, until } => {
                let mut keep = keep.key(ends);
                self.script(keep.key(fences).arg(name).arg(fence).arg(now).arg(until.micros())).await?
            }
            Op::ReleaseLease { name, fence } => {
                let mut keep = keep.key(ends);
                self.script(keep.key(fences).arg(name).arg(fence).arg(now)).await?
            }
            _ => None,
        };
        Ok(Back::Number(number))
    }

    async fn set_add(&self, set: &str, member: &str, score: i64) -> Result<Back, Fault> {
        let mut add = self.scripts.add.key(self.key("s:") + set);
        add.key(self.key("members")).arg(member).arg(score).arg(self.limits.members_max);
        Ok(Back::Number(self.script(&add).await?))
    }

    async fn set_remove(&self, set: &str, member: &str) -> Result<Back, Fault> {
        let mut remove = self.scripts.remove.key(self.key("s:") + set);
        Ok(Back::Number(self.script(remove.key(self.key("members")).arg(member)).await?))
    }

    async fn set_first(&self, set: &str, count: usize) -> Result<Back, Fault> {
        let Some(last) = count.checked_sub(1) else { return Ok(Back::Members(Vec::new())) };
        let mut range = cmd("ZRANGE");
        range.arg(self.key("s:") + set).arg(0).arg(last).arg("WITHSCORES");
        Ok(Back::Members(self.ask(range).await?))
    }

    async fn count(&self, name: &str, by: i64, until: Timestamp) -> Result<Back, Fault> {
        let mut count = self.scripts.count.key(self.key("count-ends"));
        count.key(self.key("counts")).arg(name).arg(by).arg(until.micros()).arg(self.clock.now().micros());
        Ok(Back::Number(self.script(count.arg(self.limits.counters_max)).await?))
    }

    async fn counted(&self, name: &str) -> Result<Back, Fault> {
        let mut counted = self.scripts.counted.key(self.key("count-ends"));
        counted.key(self.key("counts")).arg(name).arg(self.clock.now().micros());
        Ok(Back::Number(self.script(&counted).await?))
    }

    /// Everything of this namespace goes, but for the number of the last lease: those from before may still be in use.
    async fn wipe(&self) -> Result<Back, Fault> {
        let mut cursor = 0u64;
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(self.key("*")).arg("COUNT").arg(KEYS_PER_STEP);
            let (next, mut keys): (u64, Vec<String>) = self.ask(scan).await?;
            keys.retain(|key| *key != self.key("fence"));
            if !keys.is_empty() {
                self.ask::<()>(cmd("UNLINK").arg(keys).clone()).await?;
            }
            if next == 0 {
                return Ok(Back::Number(Some(1)));
            }
            cursor = next;
        }
    }
}

impl Engine for Redis {
    fn run<'a>(&'a self, op: Op<'a>) -> BoxFuture<'a, Result<Back, Fault>> {
        async move {
            match op {
                Op::Get(key) => self.cached(key).await,
                Op::Put { key, value, until } => self.put(key, &value, until).await,
                Op::Forget(key) => self.number(cmd("DEL").arg(self.key("v:") + key).clone()).await,
                Op::TakeLease { .. } | Op::RenewLease { .. } | Op::ReleaseLease { .. } => self.lease(op).await,
                Op::SetAdd { set, member, score } => self.set_add(set, member, score).await,
                Op::SetRemove { set, member } => self.set_remove(set, member).await,
                Op::SetRank { set, member } => {
                    self.number(cmd("ZRANK").arg(self.key("s:") + set).arg(member).clone()).await
                }
                Op::SetLen(set) => self.number(cmd("ZCARD").arg(self.key("s:") + set).clone()).await,
                Op::SetFirst { set, count } => self.set_first(set, count).await,
                Op::Count { name, by, until } => self.count(name, by, until).await,
                Op::Counted(name) => self.counted(name).await,
                Op::Wipe => self.wipe().await,
            }
        }
        .boxed()
    }
}
