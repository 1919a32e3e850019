//! Takes events from the log into a service, once in effect.
//!
//! One unit of work notes the events' ids and runs the handler; a repeat does nothing; the offset is committed
//! after it. A batch that fails is retried with growing waits, then event by event, until the culprit stands
//! alone and is parked as a dead letter; later events of its key queue behind it, those of other keys go on.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jangbu_kernel::id::{DeadLetterId, EventId};

use crate::db::{Db, Event, Fault, Inserted, Row, Tx, Value};
use crate::log::{Log, PARTITIONS};
use crate::service::Stop;

/// Events taken by one unit of work.
const EVENTS_PER_TX_MAX: u32 = 512;
/// Tries of a single event before it is parked.
pub const TRIES_MAX: u32 = 5;
/// First wait after a failure, in milliseconds; each next one is doubled.
const BACKOFF_MS_FIRST: u64 = 20;
/// How long a consumer sleeps when nothing wakes it, in milliseconds.
const IDLE_MS_MAX: u64 = 200;

/// Why an event was not taken.
#[derive(Clone, Debug)]
pub enum Reject {
    /// The world failed; the same may succeed later.
    Fault(Fault),
    /// The event itself can't be taken (unknown form, broken rule).
    Poison(String),
}

impl From<Fault> for Reject {
    fn from(fault: Fault) -> Self {
        Reject::Fault(fault)
    }
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reject::Fault(e) => write!(f, "{e}"),
            Reject::Poison(why) => write!(f, "{why}"),
        }
    }
}

/// A service's way of taking events.
pub trait Handler: Send + Sync {
    /// Takes a batch, in order, in the given unit of work.
    fn apply<'a>(&'a self, tx: &'a mut Tx, events: &'a [Event]) -> BoxFuture<'a, Result<(), Reject>>;
    /// Called after the unit of work is durable.
    fn applied(&self, _events: &[Event]) {}
}

/// A group that reads topics into one service's database.
#[derive(Clone)]
pub struct Consumer {
    /// The group's name, like `accounting`.
    pub group: &'static str,
    /// What it reads.
    pub topics: Vec<String>,
    /// Where it writes.
    pub db: Db,
    /// How.
    pub handler: Arc<dyn Handler>,
}

impl Consumer {
    /// Runs until `stop`.
    pub async fn run(self, log: Log, stop: Stop) {
        let appended = log.appended();
        let mut failures = 0;
        loop {
            let mut woken = Box::pin(appended.notified());
            woken.as_mut().enable(); // an append between the look and the sleep still wakes
            match self.round(&log).await {
                Ok(0) if stop.is_stopping() => return,
                Ok(0) => {
                    failures = 0;
                    tokio::select! {
                        () = woken => {}
                        () = stop.wait() => {}
                        () = tokio::time::sleep(Duration::from_millis(IDLE_MS_MAX)) => {}
                    }
                }
                Ok(_) => failures = 0,
                Err(e) => {
                    tracing::warn!(group = self.group, error = %e, "events could not be taken; trying again");
                    if stop.is_stopping() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(BACKOFF_MS_FIRST << failures.min(8))).await;
                    failures += 1;
                }
            }
        }
    }

    /// Takes what has come to every partition once; how many events.
    ///
    /// # Errors
    /// The database or the log failed.
    pub async fn round(&self, log: &Log) -> Result<usize, Fault> {
        let mut taken = 0;
        for topic in &self.topics {
            for part in 0..PARTITIONS {
                let from = log.committed(self.group, topic, part).await?;
                let records = log.read(topic, part, from, EVENTS_PER_TX_MAX).await?;
                let Some(last) = records.last().map(|r| r.offset) else { continue };
                let events: Vec<Event> = records.into_iter().map(|r| r.event).collect();
                self.take(&events).await?;
                log.commit(self.group, topic, part, last + 1).await?;
                taken += events.len();
            }
        }
        Ok(taken)
    }

    async fn take(&self, events: &[Event]) -> Result<(), Fault> {
        if self.attempt(events).await.is_ok() {
            return Ok(());
        }
        for event in events {
            self.take_one(event).await?;
        }
        Ok(())
    }

    async fn take_one(&self, event: &Event) -> Result<(), Fault> {
        let mut why = String::new();
        for tries in 0..TRIES_MAX {
            match self.attempt(std::slice::from_ref(event)).await {
                Ok(()) => return Ok(()),
                Err(reject) => why = reject.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(BACKOFF_MS_FIRST << tries)).await;
        }
        tracing::error!(group = self.group, event = %event.id, reason = why, "an event is parked");
        let mut tx = self.db.begin("consumer.park").await?;
        if note(&mut tx, self.group, event).await? == Inserted::New {
            park(&mut tx, self.group, event, &why).await?;
        }
        tx.commit().await
    }

    async fn attempt(&self, events: &[Event]) -> Result<(), Reject> {
        let mut tx = self.db.begin("consumer.take").await?;
        let parked = parked_keys(&mut tx, self.group).await?;
        let mut fresh = Vec::with_capacity(events.len());
        for event in events {
            if note(&mut tx, self.group, event).await? == Inserted::Duplicate {
                continue;
            }
            if parked.contains(&event.key) {
                park(&mut tx, self.group, event, "an earlier event of this key is parked").await?;
            } else {
                fresh.push(event.clone());
            }
        }
        self.handler.apply(&mut tx, &fresh).await?;
        tx.commit().await?;
        self.handler.applied(&fresh);
        Ok(())
    }

    /// Drives a parked letter and those queued behind it again, in order; how many went through.
    ///
    /// # Errors
    /// The event was rejected again (it stays parked, with the new reason), or the engine failed.
    pub async fn redrive(&self, id: DeadLetterId) -> Result<usize, Reject> {
        let mut tx = self.db.read("dead_letter.find").await?;
        let Some(letter) = find_letter(&mut tx, id).await? else { return Ok(0) };
        let letters = letters_of_key(&mut tx, self.group, &letter.event.key).await?;
        drop(tx);
        let mut done = 0;
        for letter in letters {
            let mut tx = self.db.begin("dead_letter.redrive").await?;
            if let Err(reject) = self.handler.apply(&mut tx, std::slice::from_ref(&letter.event)).await {
                drop(tx);
                let mut tx = self.db.begin("dead_letter.rejected").await?;
                let id = letter.id.to_bytes();
                let sql = "UPDATE dead_letter SET tries = tries + 1, reason = ? WHERE id = ?";
                tx.execute(sql, &[reject.to_string().as_str().into(), Value::Bytes(&id)]).await?;
                tx.commit().await?;
                return Err(reject);
            }
            settle(&mut tx, letter.id, "redriven").await?;
            tx.commit().await?;
            self.handler.applied(std::slice::from_ref(&letter.event));
            done += 1;
        }
        Ok(done)
    }
}

/// A parked event.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Its identity.
    pub id: DeadLetterId,
    /// The event.
    pub event: Event,
    /// Why it was parked.
    pub reason: String,
    /// How often it was tried.
    pub tries: i64,
    /// `parked`, `redriven` or `dropped`.
    pub state: String,
    /// When it was parked, microseconds UTC.
    pub parked_at: i64,
}

const LETTER: &str = "SELECT id, topic, event_key, event_id, event_type, payload, reason, tries, state, parked_at \
                      FROM dead_letter";

fn letter(row: &Row) -> DeadLetter {
    DeadLetter {
        id: DeadLetterId::from_bytes(row.id(0)),
        event: Event {
            id: EventId::from_bytes(row.id(3)),
            topic: row.text(1).to_owned(),
            key: row.text(2).to_owned(),
            event_type: row.text(4).to_owned(),
            payload: row.text(5).to_owned(),
        },
        reason: row.text(6).to_owned(),
        tries: row.int(7),
        state: row.text(8).to_owned(),
        parked_at: row.int(9),
    }
}

/// One letter by its id.
///
/// # Errors
/// The engine failed.
pub async fn find_letter(tx: &mut Tx, id: DeadLetterId) -> Result<Option<DeadLetter>, Fault> {
    let row = tx.query_one(&format!("{LETTER} WHERE id = ?"), &[Value::Bytes(&id.to_bytes())]).await?;
    Ok(row.as_ref().map(letter))
}

/// Letters after `after`, oldest first.
///
/// # Errors
/// The engine failed.
pub async fn list_letters(tx: &mut Tx, after: Option<DeadLetterId>, limit: u32) -> Result<Vec<DeadLetter>, Fault> {
    let after = after.map_or([0; 16], DeadLetterId::to_bytes);
    let sql = format!("{LETTER} WHERE id > ? ORDER BY id LIMIT ?");
    Ok(tx.query(&sql, &[Value::Bytes(&after), limit.into()]).await?.iter().map(letter).collect())
}

/// How many letters are parked.
///
/// # Errors
/// The engine failed.
pub async fn parked_count(tx: &mut Tx) -> Result<i64, Fault> {
    let row = tx.query_one("SELECT COUNT(*) FROM dead_letter WHERE state = 'parked'", &[]).await?;
    Ok(row.map_or(0, |r| r.int(0)))
}

/// Marks a letter `redriven` or `dropped`.
///
/// # Errors
/// The engine failed.
pub async fn settle(tx: &mut Tx, id: DeadLetterId, state: &str) -> Result<(), Fault> {
    let sql = "UPDATE dead_letter SET state = ?, tries = tries + 1 WHERE id = ?";
    tx.execute(sql, &[state.into(), Value::Bytes(&id.to_bytes())]).await?;
    Ok(())
}

async fn letters_of_key(tx: &mut Tx, group: &str, key: &str) -> Result<Vec<DeadLetter>, Fault> {
    let sql = format!("{LETTER} WHERE consumer = ? AND state = 'parked' AND event_key = ? ORDER BY id");
    Ok(tx.query(&sql, &[group.into(), key.into()]).await?.iter().map(letter).collect())
}

async fn parked_keys(tx: &mut Tx, group: &str) -> Result<std::collections::HashSet<String>, Fault> {
    let sql = "SELECT DISTINCT event_key FROM dead_letter WHERE consumer = ? AND state = 'parked'";
    Ok(tx.query(sql, &[group.into()]).await?.iter().map(|r| r.text(0).to_owned()).collect())
}

async fn note(tx: &mut Tx, group: &str, event: &Event) -> Result<Inserted, Fault> {
    let id = event.id.to_bytes();
    let sql = "INSERT INTO inbox (consumer, event_id, taken_at) VALUES (?*)";
    let now = tx.now().micros();
    tx.insert(sql, &[group.into(), Value::Bytes(&id), now.into()]).await
}

async fn park(tx: &mut Tx, group: &str, event: &Event, reason: &str) -> Result<(), Fault> {
    let (id, event_id, now) = (tx.new_id(), event.id.to_bytes(), tx.now().micros());
    let sql = "INSERT INTO dead_letter (id, consumer, topic, event_key, event_id, event_type, payload, reason, \
               tries, state, parked_at) VALUES (?*)";
    let row = [
        Value::Bytes(&id),
        group.into(),
        (&event.topic).into(),
        (&event.key).into(),
        Value::Bytes(&event_id),
        (&event.event_type).into(),
        (&event.payload).into(),
        reason.into(),
        i64::from(TRIES_MAX).into(),
        "parked".into(),
        now.into(),
    ];
    match tx.insert(sql, &row).await? {
        Inserted::New => Ok(()),
        Inserted::Duplicate => Err(Fault::Damaged("a dead letter's id came twice".into())),
    }
}
