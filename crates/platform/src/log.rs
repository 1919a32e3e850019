//! The event log: topics of partitions, groups with offsets, at least once. Its engine is embedded, or a broker.

mod embedded;
pub mod group;
pub mod retention;

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use jangbu_kernel::time::Timestamp;
use tokio::sync::Notify;
use xxhash_rust::xxh3::xxh3_64;

use crate::clock::Clock;
use crate::db::{Event, Fault};
use crate::dice::Dice;
use crate::log::group::{Groups, Member, Turns};
use crate::log::retention::Retention;
use crate::migrate::Migration;

/// Partitions of a topic of the embedded log. Order is kept within a key, and a key lives in one partition.
pub const PARTITIONS: u32 = 4;

/// The embedded log's own schema.
pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "log", sql: include_str!("../migrations/log.sql") }];

/// An event with its place in the log.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its partition.
    pub part: u32,
    /// Its place in its partition.
    pub offset: i64,
    /// The event.
    pub event: Event,
    /// When it was appended.
    pub appended_at: Timestamp,
}

/// One engine of the kind "log".
///
/// A partition keeps the order of what was appended to it, and gives every record that was acknowledged to every
/// group at least once. It may give records again: after a failed append, a lost acknowledgement, a group that moved.
pub trait Engine: Send + Sync {
    /// Appends events in order; durable when it returns. After a fault nobody knows whether they stand.
    fn append<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), Fault>>;
    /// Up to `limit` records of a partition from `offset` on.
    fn read<'a>(
        &'a self,
        topic: &'a str,
        part: u32,
        offset: i64,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Record>, Fault>>;
    /// Of each partition of a topic, the offset from which a group reads on.
    fn committed<'a>(&'a self, group: &'a str, topic: &'a str) -> BoxFuture<'a, Result<Vec<i64>, Fault>>;
    /// Notes that a group has taken everything before `next`.
    fn commit<'a>(&'a self, group: &'a str, topic: &'a str, part: u32, next: i64) -> BoxFuture<'a, Result<(), Fault>>;
    /// Of each partition of a topic, the offset that its next event will get.
    fn ends<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Vec<i64>, Fault>>;
    /// Takes one step of forgetting what the rule does not keep; how many records. Servers have rules of their own.
    fn forget<'a>(&'a self, _rule: &'a Retention) -> BoxFuture<'a, Result<u64, Fault>> {
        Box::pin(std::future::ready(Ok(0)))
    }
    /// Puts in order what a clean end should leave; what was appended is safe without it.
    fn close(&self) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The log shared by all services of a process.
#[derive(Clone)]
pub struct Log {
    engine: Arc<dyn Engine>,
    groups: Arc<dyn Groups>,
    appended: Arc<Notify>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log")
    }
}

/// The partition of the embedded log in which `key` lives.
#[must_use]
pub fn partition_of(key: &str) -> u32 {
    u32::try_from(xxh3_64(key.as_bytes()) % u64::from(PARTITIONS)).unwrap_or(0)
}

impl Log {
    /// A log on an engine that knows no groups: members of a group are in this process, and take turns.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>) -> Log {
        let appended = Arc::<Notify>::default();
        let groups = Arc::new(Turns::new(Arc::clone(&engine), Arc::clone(&appended)));
        Log { engine, groups, appended }
    }

    /// A log on an engine that keeps groups itself.
    #[must_use]
    pub fn with_groups(engine: Arc<dyn Engine>, groups: Arc<dyn Groups>) -> Log {
        Log { engine, groups, appended: Arc::default() }
    }

    /// Opens the embedded log on `path`, made when missing.
    ///
    /// # Errors
    /// The file can't be opened or belongs to newer code.
    pub async fn open_embedded(path: &Path, clock: Arc<dyn Clock>, dice: Dice) -> Result<Log, Fault> {
        Ok(Log::new(Arc::new(embedded::Embedded::open(path, clock, dice).await?)))
    }

    /// Opens an embedded log to be read alone, whether a bank runs on it or not.
    ///
    /// # Errors
    /// There is no such file, or it can't be read.
    pub fn open_to_read(path: &Path, clock: Arc<dyn Clock>, dice: Dice) -> Result<Log, Fault> {
        Ok(Log::new(Arc::new(embedded::Embedded::open_to_read(path, clock, dice)?)))
    }

    /// Appends events in order; durable when it returns.
    ///
    /// # Errors
    /// The engine failed; whether the events stand is then unknown, and sending them again is right.
    pub async fn append(&self, events: &[Event]) -> Result<(), Fault> {
        let done = self.engine.append(events).await;
        self.appended.notify_waiters(); // also after a fault: the events may stand
        done
    }

    /// Up to `limit` records of a partition from `offset` on.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn read(&self, topic: &str, part: u32, offset: i64, limit: u32) -> Result<Vec<Record>, Fault> {
        self.engine.read(topic, part, offset, limit).await
    }

    /// The last `limit` records of each partition, in order within each.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn latest(&self, topic: &str, limit: u32) -> Result<Vec<Record>, Fault> {
        let mut found = Vec::new();
        for (part, end) in (0..).zip(self.ends(topic).await?) {
            found.extend(self.read(topic, part, (end - i64::from(limit)).max(0), limit).await?);
        }
        Ok(found)
    }

    /// Becomes a member of a group that reads these topics.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn join(&self, group: &str, topics: &[String]) -> Result<Box<dyn Member>, Fault> {
        self.groups.join(group, topics).await
    }

    /// Of each partition of a topic, the offset from which a group reads on.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn committed(&self, group: &str, topic: &str) -> Result<Vec<i64>, Fault> {
        self.engine.committed(group, topic).await
    }

    /// Says for a group without members that it has taken everything before `next`.
    ///
    /// # Errors
    /// The engine failed, or the group has members and a broker lets them alone say so.
    pub async fn commit(&self, group: &str, topic: &str, part: u32, next: i64) -> Result<(), Fault> {
        self.engine.commit(group, topic, part, next).await
    }

    /// How many records of a topic a group has not yet taken.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn lag(&self, group: &str, topic: &str) -> Result<i64, Fault> {
        // In this order: what is taken in between never makes a group be ahead of the log.
        let taken = self.committed(group, topic).await?;
        let ends = self.ends(topic).await?;
        Ok(ends.iter().zip(&taken).map(|(end, taken)| end - taken).sum())
    }

    /// Of each partition of a topic, the offset that its next event will get.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn ends(&self, topic: &str) -> Result<Vec<i64>, Fault> {
        self.engine.ends(topic).await
    }

    /// Takes one small step of forgetting what the rule does not keep; how many records, none when nothing is left to
    /// do or the engine sees to it by itself.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn forget(&self, rule: &Retention) -> Result<u64, Fault> {
        self.engine.forget(rule).await
    }

    /// Leaves the log as a clean end should, see [`Db::close`](crate::db::Db::close).
    ///
    /// # Errors
    /// The engine failed. What was appended is safe all the same.
    pub async fn close(&self) -> Result<(), Fault> {
        self.engine.close().await
    }
}
