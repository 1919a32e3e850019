//! The embedded log: topics of partitions in a database file of its own, which processes on one directory share.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use jangbu_kernel::id::EventId;
use jangbu_kernel::time::Timestamp;

use super::retention::{RECORDS_PER_STEP_MAX, Retention};
use super::{Engine, MIGRATIONS, PARTITIONS, Record, partition_of};
use crate::clock::Clock;
use crate::db::{Db, Event, Fault, Inserted, Row, Tx, Value};
use crate::dice::Dice;
use crate::migrate;

pub(super) struct Embedded(Db);

impl Embedded {
    pub(super) async fn open(path: &Path, clock: Arc<dyn Clock>, dice: Dice) -> Result<Embedded, Fault> {
        let db = Db::open_embedded(path, clock, dice)?;
        migrate::apply(&db, MIGRATIONS).await?;
        Ok(Embedded(db))
    }

    pub(super) fn open_to_read(path: &Path, clock: Arc<dyn Clock>, dice: Dice) -> Result<Embedded, Fault> {
        Ok(Embedded(Db::open_to_read(path, clock, dice)?))
    }
}

async fn end_of(tx: &mut Tx, (topic, part): (&str, u32)) -> Result<i64, Fault> {
    let sql = "SELECT MAX(off) FROM record WHERE topic = ? AND part = ?";
    let last = tx.query_one(sql, &[topic.into(), part.into()]).await?;
    Ok(last.and_then(|row| row.opt_int(0)).map_or(0, |last| last + 1))
}

/// The topic that comes after `name`.
async fn next_topic(tx: &mut Tx, name: &str) -> Result<Option<String>, Fault> {
    let sql = "SELECT topic FROM record WHERE topic > ? ORDER BY topic LIMIT 1";
    Ok(tx.query_one(sql, &[name.into()]).await?.map(|row| row.text(0).to_owned()))
}

/// The last offset of the oldest records of a partition that the rule lets go, no more than one step takes.
async fn last_old(tx: &mut Tx, (topic, part): (&str, u32), rule: &Retention) -> Result<Option<i64>, Fault> {
    let sql = "SELECT grp, next_off FROM group_offset WHERE topic = ? AND part = ?";
    let groups: HashMap<String, i64> =
        tx.query(sql, &[topic.into(), part.into()]).await?.iter().map(|r| (r.text(0).to_owned(), r.int(1))).collect();
    let readers = rule.readers.iter().filter(|(read, _)| read == topic);
    let expected = readers.map(|(_, group)| groups.get(group).copied().unwrap_or(0));
    // The last record stays: the next offset is the one after it.
    let end = end_of(tx, (topic, part)).await? - 1;
    let passed = expected.chain(groups.values().copied()).fold(end, i64::min);
    let sql = "SELECT off, appended_at FROM record WHERE topic = ? AND part = ? AND off < ? ORDER BY off LIMIT ?";
    let rows = tx.query(sql, &[topic.into(), part.into(), passed.into(), RECORDS_PER_STEP_MAX.into()]).await?;
    let young = tx.now().micros().saturating_sub(rule.kept_us);
    Ok(rows.iter().take_while(|row| row.int(1) < young).last().map(|row| row.int(0)))
}

impl Engine for Embedded {
    fn append<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let mut tx = self.0.begin("log.append").await?;
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
            if tx.insert_rows(sql, 8, &values).await? == Inserted::Duplicate {
                return Err(Fault::Damaged("an offset of the log was taken twice".into()));
            }
            tx.commit().await
        })
    }

    fn read<'a>(
        &'a self,
        topic: &'a str,
        part: u32,
        offset: i64,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Record>, Fault>> {
        Box::pin(async move {
            let mut tx = self.0.read("log.read").await?;
            let sql = "SELECT off, event_id, event_key, event_type, payload, appended_at FROM record \
                       WHERE topic = ? AND part = ? AND off >= ? ORDER BY off LIMIT ?";
            let rows = tx.query(sql, &[topic.into(), part.into(), offset.into(), limit.into()]).await?;
            let record = |r: &Row| Record {
                part,
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
        })
    }

    fn committed<'a>(&'a self, group: &'a str, topic: &'a str) -> BoxFuture<'a, Result<Vec<i64>, Fault>> {
        Box::pin(async move {
            let mut tx = self.0.read("log.committed").await?;
            let mut committed = Vec::new();
            for part in 0..PARTITIONS {
                let sql = "SELECT next_off FROM group_offset WHERE grp = ? AND topic = ? AND part = ?";
                let row = tx.query_one(sql, &[group.into(), topic.into(), part.into()]).await?;
                committed.push(row.map_or(0, |r| r.int(0)));
            }
            Ok(committed)
        })
    }

    fn commit<'a>(&'a self, group: &'a str, topic: &'a str, part: u32, next: i64) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let mut tx = self.0.begin("log.commit").await?;
            let sql = "UPDATE group_offset SET next_off = ? WHERE grp = ? AND topic = ? AND part = ?";
            if tx.execute(sql, &[next.into(), group.into(), topic.into(), part.into()]).await? == 0 {
                let sql = "INSERT INTO group_offset (grp, topic, part, next_off) VALUES (?*)";
                let _ = tx.insert(sql, &[group.into(), topic.into(), part.into(), next.into()]).await?;
            }
            tx.commit().await
        })
    }

    fn ends<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Vec<i64>, Fault>> {
        Box::pin(async move {
            let mut tx = self.0.read("log.ends").await?;
            let mut ends = Vec::new();
            for part in 0..PARTITIONS {
                ends.push(end_of(&mut tx, (topic, part)).await?);
            }
            Ok(ends)
        })
    }
    fn forget<'a>(&'a self, rule: &'a Retention) -> BoxFuture<'a, Result<u64, Fault>> {
        Box::pin(async move {
            let mut look = self.0.read("log.old").await?;
            let mut topic = next_topic(&mut look, "").await?;
            while let Some(name) = topic {
                for part in 0..PARTITIONS {
                    if let Some(last) = last_old(&mut look, (&name, part), rule).await? {
                        drop(look);
                        let mut tx = self.0.begin("log.forget").await?;
                        let sql = "DELETE FROM record WHERE topic = ? AND part = ? AND off <= ?";
                        let forgotten = tx.execute(sql, &[(&name).into(), part.into(), last.into()]).await?;
                        tx.commit().await?;
                        return Ok(forgotten);
                    }
                }
                topic = next_topic(&mut look, &name).await?;
            }
            Ok(0)
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(self.0.close())
    }
}
