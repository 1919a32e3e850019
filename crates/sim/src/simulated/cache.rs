//! The key-value store of a simulation: it outlives every node, forgets, lies, and goes away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::clock::{Clock, ticks};
use jangbu_platform::db::Fault as Failed;
use jangbu_platform::kv::{Back, Engine, KvLimits, Memory, Op};
use jangbu_platform::probe;
use tokio::time::Instant;

use super::faults::{Fault, Faults};

/// How long it may be out of reach, milliseconds.
const AWAY_MS_MAX: u64 = 3_000;

/// A store in memory that is not to be trusted.
pub struct Cache {
    memory: Memory,
    clock: Arc<dyn Clock>,
    faults: Arc<Faults>,
    away_until: Mutex<Option<Instant>>,
    /// What each key was given last, and before that.
    kept: Mutex<BTreeMap<String, (Value, Option<Value>)>>,
}

/// A value and when it expires.
type Value = (Vec<u8>, Timestamp);

impl Cache {
    /// An empty store that lives by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, faults: Arc<Faults>) -> Cache {
        let memory = Memory::new(Arc::clone(&clock), KvLimits::default());
        Cache { memory, clock, faults, away_until: Mutex::default(), kept: Mutex::default() }
    }
}

impl Cache {
    /// Whether it can't be reached now; it may go away at this moment.
    fn is_away(&self) -> bool {
        let mut until = self.away_until.lock().unwrap_or_else(PoisonError::into_inner);
        if self.faults.strikes(Fault::CacheAway) {
            *until = Some(ticks() + Duration::from_millis(1 + self.faults.below(Fault::CacheAway, AWAY_MS_MAX)));
        }
        let away = until.is_some_and(|until| ticks() < until);
        self.faults.are_on() && (away || self.faults.strikes(Fault::CacheUnreachable))
    }

    /// Loses a lease that somebody holds.
    async fn lose(&self, name: &str, fence: i64) -> Result<(), Failed> {
        probe::reached("lease-lost-while-held");
        self.memory.run(Op::ReleaseLease { name, fence }).await.map(drop)
    }
}

impl Engine for Cache {
    fn run<'a>(&'a self, op: Op<'a>) -> BoxFuture<'a, Result<Back, Failed>> {
        Box::pin(async move {
            if self.is_away() {
                probe::reached("cache-out-of-reach");
                return Err(Failed::Unavailable("the key-value store is away".to_owned()));
            }
            if self.faults.strikes(Fault::CacheWiped) {
                probe::reached("cache-wiped");
                self.memory.run(Op::Wipe).await?;
            }
            match &op {
                Op::Get(key) if self.faults.strikes(Fault::CacheStale) => {
                    let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                    let older = kept.get(*key).and_then(|(_, older)| older.clone());
                    // A replica may lag; it does not keep what has expired.
                    if let Some((older, _)) = older.filter(|(_, until)| self.clock.now() < *until) {
                        probe::reached("cache-gave-an-older-value");
                        return Ok(Back::Value(Some(older)));
                    }
                }
                Op::Put { key, value, until } => {
                    let kept = self.kept.lock();
                    let mut kept = kept.unwrap_or_else(PoisonError::into_inner);
                    let older = kept.remove(*key).map(|(newest, _)| newest);
                    kept.insert((*key).to_owned(), ((value.clone(), *until), older));
                }
                Op::TakeLease { name, .. } => {
                    let name = (*name).to_owned();
                    let taken = self.memory.run(op).await?;
                    if let Back::Number(Some(fence)) = &taken
                        && self.faults.strikes(Fault::LeaseLost)
                    {
                        // Whoever took it goes on as if he had it, and so may another.
                        self.lose(&name, *fence).await?;
                    }
                    return Ok(taken);
                }
                Op::RenewLease { name, fence, .. } | Op::ReleaseLease { name, fence }
                    if self.faults.strikes(Fault::LeaseLost) =>
                {
                    self.lose(name, *fence).await?;
                    return Ok(Back::Number(Some(0)));
                }
                _ => {}
            }
            self.memory.run(op).await
        })
    }
}
