//! The embedded event log: topics of partitions in a database file of its own; groups with offsets; at least once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;

use jangbu_kernel::id::EventId;
use jangbu_kernel::time::Timestamp;
use tokio::sync::Notify;
use xxhash_rust::xxh3::xxh3_64;

use crate::clock::Clock;
use crate::db::{Db, Event, Fault, Tx, Value};
use crate::dice::Dice;
use crate::migrate::{self, Migration};

/// Partitions of a topic. Order is kept within a key, and a key lives in one partition.
pub const PARTITIONS: u32 = 4;

/// The log's own schema.
pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "log", sql: include_str!("../migrations/log.sql") }];

/// An event with its place in the log.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its place in its partition.
    pub offset: i64,
    /// The event.
    pub event: Event,
    /// When it was appended.
    pub appended_at: Timestamp,
}

/// The log shared by all services of a process.
#[derive(Clone)]
pub struct Log {
    db: Db,
    appended: Arc<Notify>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log")
    }
}

async fn end_of(tx: &mut Tx, (topic, part): (&str, u32)) -> Result<i64, Fault> {
    let sql = "SELECT MAX(off) FROM record WHERE topic = ? AND part = ?";
    let last = tx.query_one(sql, &[topic.into(), part.into()]).await?;
    Ok(last.and_then(|row| row.opt_int(0)).map_or(0, |last| last + 1))
}

/// The partition in which `key` lives.
#[must_use]
pub fn partition_of(key: &str) -> u32 {
    u32::try_from(xxh3_64(key.as_bytes()) % u64::from(PARTITIONS)).unwrap_or(0)
}

impl Log {
    /// Opens the log on `path`, made when missing.
    ///
    /// # Errors
    /// The file can't be opened or belongs to newer code.
    pub async fn open_embedded(path: &Path, clock: Arc<dyn Clock>, dice: Dice) -> Result<Log, Fault> {
        let db = Db::open_embedded(path, clock, dice)?;
        migrate::apply(&db, MIGRATIONS).await?;
        Ok(Log { db, appended: Arc::default() })
    }

    /// Appends events in order; durable when it returns.
    ///
    /// # Errors
    /// The engine failed; whether the events stand is then unknown, and sending them again is right.
    pub async fn append(&self, events: &[Event]) -> Result<(), Fault> {
        let mut tx = self.db.begin("log.append").await?;
        // Asked under the writer's turn: other processes append to the same file.
        let mut ends: HashMap<(&str, u32), i64> = HashMap::new();
        for event in events {
            let place = (event.topic.as_str(), partition_of(&event.key));
            if let Entry::Vacant(unknown) = ends.entry(place) {
                unknown.insert(end_of(&mut tx, place).await?);
            }
        }
        let at = tx.now().micros();
        let ids: Vec<[u8; 16]> = events.iter().map(|e| e.id.to_bytes()).collect();
        let mut values = Vec::with_capacity(events.len() * 8);
        for (event, id) in events.iter().zip(&ids) {
            let part = partition_of(&event.key);
            let end = ends.entry((event.topic.as_str(), part)).or_default();
            values.extend([
                Value::Text(&event.topic),
                part.into(),
                (*end).into(),
                Value::Bytes(id),
                (&event.key).into(),
                (&event.event_type).into(),
                (&event.payload).into(),
                at.into(),
            ]);
            *end += 1;
        }
        let sql = "INSERT INTO record (topic, part, off, event_id, event_key, event_type, payload, appended_at) \
                   VALUES (?*)";
        if tx.insert_rows(sql, 8, &values).await? == crate::db::Inserted::Duplicate {
            return Err(Fault::Damaged("an offset of the log was taken twice".into()));
        }
        tx.commit().await?;
        self.appended.notify_waiters();
        Ok(())
    }

    /// Up to `limit` records of a partition from `offset` on.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn read(&self, topic: &str, part: u32, offset: i64, limit: u32) -> Result<Vec<Record>, Fault> {
        let mut tx = self.db.read("log.read").await?;
        let sql = "SELECT off, event_id, event_key, event_type, payload, appended_at FROM record \
                   WHERE topic = ? AND part = ? AND off >= ? ORDER BY off LIMIT ?";
        let rows = tx.query(sql, &[topic.into(), part.into(), offset.into(), limit.into()]).await?;
        let record = |r: &crate::db::Row| Record {
            offset: r.int(0),
            event: Event {
                id: EventId::from_bytes(r.id(1)),
                topic: topic.to_owned(),
                key: r.text(2).to_owned(),
                event_type: r.text(3).to_owned(),
                payload: r.text(4).to_owned(),
            },
            appended_at: Timestamp::from_micros(r.int(5)),
        };
        Ok(rows.iter().map(record).collect())
    }

    /// The last `limit` records of a partition, in order.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn latest(&self, topic: &str, part: u32, limit: u32) -> Result<Vec<Record>, Fault> {
        let end = self.end(topic, part).await?;
        self.read(topic, part, (end - i64::from(limit)).max(0), limit).await
    }

    /// The offset from which a group reads on.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn committed(&self, group: &str, topic: &str, part: u32) -> Result<i64, Fault> {
        let mut tx = self.db.read("log.committed").await?;
        let sql = "SELECT next_off FROM group_offset WHERE grp = ? AND topic = ? AND part = ?";
        let row = tx.query_one(sql, &[group.into(), topic.into(), part.into()]).await?;
        Ok(row.map_or(0, |r| r.int(0)))
    }

    /// Notes that a group has taken everything before `next`.
    ///
    /// # Errors
    /// The engine failed; the records will come again.
    pub async fn commit(&self, group: &str, topic: &str, part: u32, next: i64) -> Result<(), Fault> {
        let mut tx = self.db.begin("log.commit").await?;
        let sql = "UPDATE group_offset SET next_off = ? WHERE grp = ? AND topic = ? AND part = ?";
        if tx.execute(sql, &[next.into(), group.into(), topic.into(), part.into()]).await? == 0 {
            let sql = "INSERT INTO group_offset (grp, topic, part, next_off) VALUES (?*)";
            let _ = tx.insert(sql, &[group.into(), topic.into(), part.into(), next.into()]).await?;
        }
        tx.commit().await
    }

    /// How many records of a topic a group has not yet taken.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn lag(&self, group: &str, topic: &str) -> Result<i64, Fault> {
        let mut lag = 0;
        for part in 0..PARTITIONS {
            lag += self.end(topic, part).await? - self.committed(group, topic, part).await?;
        }
        Ok(lag)
    }

    /// The offset that the next event of a partition will get.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn end(&self, topic: &str, part: u32) -> Result<i64, Fault> {
        let mut tx = self.db.read("log.end").await?;
        end_of(&mut tx, (topic, part)).await
    }

    /// Woken after each append.
    #[must_use]
    pub fn appended(&self) -> Arc<Notify> {
        Arc::clone(&self.appended)
    }
}
