//! Cache, leases, sorted sets and counters: what processes share for speed and may lose at any moment.
//!
//! | kind | holds | beyond its bound |
//! |---|---|---|
//! | cache | a value until an instant | what expires soonest makes room |
//! | lease | whose turn a piece of work is, until an instant, with a number that grows | busy |
//! | sorted set | members by score, those of one score by their text | busy |
//! | counter | a number until an instant | busy |
//!
//! All of it may vanish or be out of reach. That costs speed, never correctness: whoever reads the cache can also ask
//! the source, whoever holds a lease may have lost it without knowing (so what is written carries the lease's number,
//! or is guarded by a version of its own), and no balance ever depends on anything here.
//!
//! Things expire *at* an instant of the bank's clock, not some time after their last use: at the instant itself they
//! are gone.

mod expiring;
mod memory;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use futures_util::future::BoxFuture;
use jangbu_kernel::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Clock;
use crate::db::Fault;
pub use memory::Memory;

/// Longest name of a lease, set, member or counter, and longest key, bytes.
pub const NAME_BYTES_MAX: usize = 200;
/// Largest value that the cache keeps, bytes as JSON; larger ones are not kept.
pub const VALUE_BYTES_MAX: usize = 64 << 10;
/// Farthest score from zero: scores are exact up to here on every engine.
pub const SCORE_MAX: i64 = 1 << 53;

/// How much the engine in this process holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLimits {
    /// Bytes of keys and values in the cache, with what their keeping costs.
    pub cache_bytes_max: usize,
    /// Leases.
    pub leases_max: usize,
    /// Members of all sorted sets together.
    pub members_max: usize,
    /// Counters.
    pub counters_max: usize,
}

impl Default for KvLimits {
    fn default() -> Self {
        Self { cache_bytes_max: 64 << 20, leases_max: 10_000, members_max: 200_000, counters_max: 100_000 }
    }
}

/// The name of a value in the cache, which says of which type it is.
pub struct CacheKey<T> {
    text: String,
    value: PhantomData<fn() -> T>,
}

impl<T> CacheKey<T> {
    /// A key within `space`; every user of the cache has spaces of his own.
    #[must_use]
    pub fn new(space: &str, name: impl fmt::Display) -> Self {
        Self { text: format!("{space}:{name}"), value: PhantomData }
    }
}

impl<T> fmt::Debug for CacheKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A turn at a piece of work.
#[must_use = "a lease that nobody holds keeps others away until it expires"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    name: String,
    fence: i64,
    until: Timestamp,
}

impl Lease {
    /// Greater than that of every lease taken before. A store that remembers the greatest it has seen can turn away
    /// a holder whose turn is over.
    #[must_use]
    pub fn fence(&self) -> i64 {
        self.fence
    }
    /// When the turn is over.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.until
    }
}

/// One operation as an engine carries it out.
#[derive(Clone, Debug)]
pub enum Op<'a> {
    /// The value of a key: [`Back::Value`].
    Get(&'a str),
    /// Keeps a value until an instant.
    #[expect(missing_docs, reason = "the names say it")]
    Put { key: &'a str, value: Vec<u8>, until: Timestamp },
    /// Takes a key out.
    Forget(&'a str),
    /// The number of a new lease, none while somebody has it: [`Back::Number`].
    #[expect(missing_docs, reason = "the names say it")]
    TakeLease { name: &'a str, until: Timestamp },
    /// 1 when the lease of that number goes on until an instant, 0 when it was lost.
    #[expect(missing_docs, reason = "the names say it")]
    RenewLease { name: &'a str, fence: i64, until: Timestamp },
    /// 1 when the lease of that number ends, 0 when it was lost.
    #[expect(missing_docs, reason = "the names say it")]
    ReleaseLease { name: &'a str, fence: i64 },
    /// 1 when the member is new, 0 when it was moved.
    #[expect(missing_docs, reason = "the names say it")]
    SetAdd { set: &'a str, member: &'a str, score: i64 },
    /// 1 when the member was there.
    #[expect(missing_docs, reason = "the names say it")]
    SetRemove { set: &'a str, member: &'a str },
    /// How many members stand before this one, none when it is not there.
    #[expect(missing_docs, reason = "the names say it")]
    SetRank { set: &'a str, member: &'a str },
    /// How many members a set has.
    SetLen(&'a str),
    /// The first members with their scores: [`Back::Members`].
    #[expect(missing_docs, reason = "the names say it")]
    SetFirst { set: &'a str, count: usize },
    /// Adds to a counter, which lives until an instant when it is new; what it is then.
    #[expect(missing_docs, reason = "the names say it")]
    Count { name: &'a str, by: i64, until: Timestamp },
    /// What a counter is.
    Counted(&'a str),
    /// Loses everything.
    Wipe,
}

/// What an operation gives back.
#[derive(Clone, Debug)]
pub enum Back {
    /// Of the cache.
    Value(Option<Vec<u8>>),
    /// A number, or yes (1) and no (0).
    Number(Option<i64>),
    /// Of a set, with their scores.
    Members(Vec<(String, i64)>),
}

impl Back {
    fn value(self) -> Option<Vec<u8>> {
        let Back::Value(value) = self else { unreachable!("engines answer in kind") };
        value
    }
    fn number(self) -> Option<i64> {
        let Back::Number(number) = self else { unreachable!("engines answer in kind") };
        number
    }
    fn members(self) -> Vec<(String, i64)> {
        let Back::Members(members) = self else { unreachable!("engines answer in kind") };
        members
    }
    fn yes(self) -> bool {
        self.number() == Some(1)
    }
}

/// One engine of the kind "key-value store": carries operations out, each as one step that nobody sees half done.
pub trait Engine: Send + Sync {
    /// Carries one out.
    fn run<'a>(&'a self, op: Op<'a>) -> BoxFuture<'a, Result<Back, Fault>>;
}

/// The store of a process. Cheap to clone.
///
/// Every function fails with [`Fault::Unavailable`] when the store can't be reached, and with [`Fault::Busy`] beyond
/// a bound.
#[derive(Clone)]
pub struct Kv {
    engine: Arc<dyn Engine>,
    cut_off: Arc<AtomicBool>,
}

impl fmt::Debug for Kv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kv")
    }
}

impl Kv {
    /// A store in the memory of this process.
    #[must_use]
    pub fn in_process(clock: Arc<dyn Clock>, limits: KvLimits) -> Kv {
        Kv::new(Arc::new(Memory::new(clock, limits)))
    }

    /// A store on an engine.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>) -> Kv {
        Kv { engine, cut_off: Arc::default() }
    }

    /// Cuts the store off or lets it be reached again: for simulations and tests.
    pub fn cut_off(&self, cut_off: bool) {
        self.cut_off.store(cut_off, SeqCst);
    }

    /// Loses everything: for simulations and tests.
    ///
    /// # Errors
    /// The store can't be reached.
    pub async fn wipe(&self) -> Result<(), Fault> {
        self.run(&[], Op::Wipe).await.map(drop)
    }

    async fn run(&self, names: &[&str], op: Op<'_>) -> Result<Back, Fault> {
        if let Some(long) = names.iter().find(|name| name.len() > NAME_BYTES_MAX) {
            return Err(Fault::Busy(format!("a name has {} bytes, at most {NAME_BYTES_MAX}", long.len())));
        }
        if self.cut_off.load(SeqCst) {
            return Err(Fault::Unavailable("the key-value store can't be reached".into()));
        }
        self.engine.run(op).await
    }

    /// What the cache holds. A value that is of another type, as after a change of code, is not there.
    ///
    /// # Errors
    /// See [`Kv`].
    pub async fn get<T: DeserializeOwned>(&self, key: &CacheKey<T>) -> Result<Option<T>, Fault> {
        let value = self.run(&[&key.text], Op::Get(&key.text)).await?.value();
        Ok(value.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Keeps a value, which is gone at `until`.
    ///
    /// # Errors
    /// See [`Kv`].
    pub async fn put<T: Serialize>(&self, key: &CacheKey<T>, value: &T, until: Timestamp) -> Result<(), Fault> {
        let value = serde_json::to_vec(value).map_err(|e| Fault::Damaged(format!("a value for the cache: {e}")))?;
        if value.len() > VALUE_BYTES_MAX {
            return self.forget(key).await;
        }
        self.run(&[&key.text], Op::Put { key: &key.text, value, until }).await.map(drop)
    }

    /// Takes a value out of the cache.
    ///
    /// # Errors
    /// See [`Kv`].
    pub async fn forget<T>(&self, key: &CacheKey<T>) -> Result<(), Fault> {
        self.run(&[&key.text], Op::Forget(&key.text)).await.map(drop)
    }

    /// Takes a turn until an instant; none while somebody has it.
    ///
    /// # Errors
    /// See [`Kv`].
    pub async fn take_lease(&self, name: &str, until: Timestamp) -> Result<Option<Lease>, Fault> {
        let fence = self.run(&[name], Op::TakeLease { name, until }).await?.number();
        Ok(fence.map(|fence| Lease { name: name.to_owned(), fence, until }))
    }

    /// The same turn until another instant; none when it was lost.
    ///
    /// # Errors
    /// See [`Kv`].
    pub async fn renew_lease(&self, lease: &Lease, until: Timestamp) -> Result<Option<Lease>, Fault> {
        let op = Op::RenewLease { name: &lease.name, fence: lease.fence, until };
        let held = self.run(&[&lease.name], op).await?.yes();
        Ok(held.then(|| Lease { until, ..lease.clone() }))
    }

    /// Ends a turn; false when it was lost before.
    ///
    /// # Errors
    /// See [`Kv`].
    pub async fn release_lease(&self, lease: Lease) -> Result<bool, Fault> {
        let op = Op::ReleaseLease { name: &lease.name, fence: lease.fence };
        self.run(&[&lease.name], op).await.map(Back::yes)
    }

    /// Puts a member into a set, or moves it to another score; true when it is new.
    ///
    /// # Errors
    /// See [`Kv`].
    pub async fn set_add(&self, set: &str, member: &str, score: i64) -> Result<bool, Fault> {
        if !(-SCORE_MAX..=SCORE_MAX).contains(&score) {
            return Err(Fault::Busy(format!("the score {score} is farther from zero than {SCORE_MAX}")));
        }
        self.run(&[set, member], Op::SetAdd { set, member, score }).await.map(Back::yes)
    }

    /// Takes a member out of a set; false when it was not there.
    ///
    /// # Errors
    /// See [`Kv`].
    pub async fn set_remove(&self, set: &str, member: &str) -> Result<bool, Fault> {
        self.run(&[set, member], Op::SetRemove { set, member }).await.map(Back::yes)
    }

    /// How many members stand before this one; none when it is not there.
    ///
    /// # Errors
    /// See [`Kv`].
    pub async fn set_rank(&self, set: &str, member: &str) -> Result<Option<u64>, Fault> {
        let rank = self.run(&[set, member], Op::SetRank { set, member }).await?.number();
        Ok(rank.and_then(|rank| u64::try_from(rank).ok()))
    }

    /// How many members a set has.
    ///
    /// # Errors
    /// See [`Kv`].
    pub async fn set_len(&self, set: &str) -> Result<u64, Fault> {
        let len = self.run(&[set], Op::SetLen(set)).await?.number();
        Ok(len.and_then(|len| u64::try_from(len).ok()).unwrap_or(0))
    }

    /// The first `count` members of a set with their scores, in order.
    ///
    /// # Errors
    /// See [`Kv`].
    pub async fn set_first(&self, set: &str, count: usize) -> Result<Vec<(String, i64)>, Fault> {
        self.run(&[set], Op::SetFirst { set, count }).await.map(Back::members)
    }

    /// Adds to a counter and tells what it is then. A counter that is new lives until `until`; one that lives keeps
    /// its own end.
    ///
    /// # Errors
    /// See [`Kv`].
    pub async fn count(&self, name: &str, by: i64, until: Timestamp) -> Result<i64, Fault> {
        Ok(self.run(&[name], Op::Count { name, by, until }).await?.number().unwrap_or(0))
    }

    /// What a counter is; zero when there is none.
    ///
    /// # Errors
    /// See [`Kv`].
    pub async fn counted(&self, name: &str) -> Result<i64, Fault> {
        Ok(self.run(&[name], Op::Counted(name)).await?.number().unwrap_or(0))
    }
}
