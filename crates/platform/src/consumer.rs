//! Takes events from the log into a service, once in effect.
//!
//! A member of a group is given events that are its own until it asks again. One unit of work notes their ids and runs
//! the handler; a repeat does nothing; the offset is committed after it. A batch that fails is tried again by halves until
//! the culprit stands alone. That is parked as a dead letter, after growing waits where waiting may help; later events of
//! its key queue behind it, those of other keys go on. While the store is away, or has no room, nobody is the culprit and
//! all wait.
//!
//! | per | statements |
//! |---|---|
//! | batch | one read of parked keys, the handler's own, one update of the offset |
//! | event | one inbox row; one more try of it where the batch holds a repeat |

pub mod letters;
pub mod watch;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_kernel::id::DeadLetterId;

use crate::audit::{self, Deed};
use crate::db::{Db, Event, Fault, Inserted, Tx, Value};
use crate::defect::planted;
use crate::log::Log;
use crate::log::group::Member;
use crate::probe;
use crate::service::Stop;
use crate::task;

/// Events taken by one unit of work, unless the handler says otherwise.
pub const EVENTS_PER_TX_MAX: u32 = 512;
/// Tries of a single event before it is parked, where the store failed; one that can't be taken is tried once.
pub const TRIES_MAX: u32 = 5;
/// First wait after a failure, in milliseconds; each next one is doubled.
const BACKOFF_MS_FIRST: u64 = 20;
/// How long a consumer waits for events before it looks whether there is something else to do, in milliseconds.
const IDLE_MS_MAX: u64 = 200;
/// How long it waits after events that were fewer than it takes at once, in milliseconds: the next ones come together.
const GATHER_MS: u64 = 30;
/// How long a consumer that is told to end goes on taking what is there, in milliseconds. More may come all the time.
const STOPPING_MS_MAX: u64 = 5_000;
/// How long an event that was taken is remembered, in microseconds: thirty days.
const INBOX_KEPT_US: i64 = 30 * 86_400 * 1_000_000;
/// Inbox rows looked at by one look of a sweep.
const ROWS_PER_SWEEP_MAX: u32 = 1_000;
/// How long a sweep rests once it has seen all rows, in microseconds: an hour.
const SWEEP_EVERY_US: i64 = 3_600 * 1_000_000;

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
    /// Events of one unit of work at most. More are cheaper each, but keep the database's other flows waiting longer.
    fn events_per_tx_max(&self) -> u32 {
        EVENTS_PER_TX_MAX
    }
    /// Called after the unit of work is durable.
    fn applied<'a>(&'a self, _events: &'a [Event]) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
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

/// How far the forgetting of events taken long ago has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sweep {
    after: [u8; 16],
    due: i64,
}

/// What came of driving parked letters again.
#[derive(Clone, Debug)]
pub struct Redriven {
    /// How many went through.
    pub done: u64,
    /// The letter that was rejected again, and why; it stays parked, and so do those behind it.
    pub rejected: Option<(DeadLetterId, Reject)>,
}

impl Consumer {
    /// Runs until `stop`, then takes what is there already, for a bounded time.
    pub async fn run(self, log: Log, stop: Stop) {
        let mut member = None;
        self.run_as(&mut member, &log, &stop).await;
        if let Some(member) = member {
            member.leave().await;
        }
    }

    async fn run_as(&self, member: &mut Option<Box<dyn Member>>, log: &Log, stop: &Stop) {
        let (mut failures, mut sweep) = (0, Sweep::default());
        let mut late = Box::pin(async {
            stop.wait().await;
            tokio::time::sleep(Duration::from_millis(STOPPING_MS_MAX)).await;
        });
        while late.as_mut().now_or_never().is_none() {
            match self.round(log, member, stop).await {
                Ok(0) if stop.is_stopping() => return,
                Ok(0) => {
                    failures = 0;
                    if let Err(e) = self.forget_old(&mut sweep).await {
                        tracing::warn!(group = self.group, error = %e, "old events could not be forgotten");
                    }
                }
                Ok(taken) => {
                    failures = 0;
                    if taken < self.handler.events_per_tx_max() as usize && !stop.is_stopping() {
                        tokio::time::sleep(Duration::from_millis(GATHER_MS)).await;
                    }
                }
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

    /// Takes what comes next; how many events.
    async fn round(&self, log: &Log, member: &mut Option<Box<dyn Member>>, stop: &Stop) -> Result<usize, Fault> {
        let from = match member {
            Some(from) => from,
            None => member.insert(log.join(self.group, &self.topics).await?),
        };
        let wait = Duration::from_millis(if stop.is_stopping() { 0 } else { IDLE_MS_MAX });
        let records = tokio::select! {
            biased;
            records = from.next(self.handler.events_per_tx_max(), wait) => records,
            () = stop.wait(), if !stop.is_stopping() => return Ok(1), // as if something had come: it looks once more
        };
        let done = match records {
            Ok(records) => {
                let events: Vec<Event> = records.into_iter().map(|record| record.event).collect();
                if planted("offset-before-work") {
                    from.taken().await?;
                }
                self.take(&events).await?; // the member stays, and gives the same again
                from.taken().await.map(|()| events.len())
            }
            Err(fault) => Err(fault),
        };
        if done.is_err() {
            *member = None; // whatever the log has against it, a new one begins at what is noted
        }
        done
    }

    /// Takes all there is, and ends; how many events.
    ///
    /// # Errors
    /// The database or the log failed.
    pub async fn drain(&self, log: &Log) -> Result<usize, Fault> {
        let mut from = log.join(self.group, &self.topics).await?;
        let mut taken = 0;
        loop {
            let records = from.next(self.handler.events_per_tx_max(), Duration::ZERO).await?;
            if records.is_empty() {
                return Ok(taken);
            }
            taken += records.len();
            let events: Vec<Event> = records.into_iter().map(|record| record.event).collect();
            self.take(&events).await?;
            from.taken().await?;
        }
    }

    async fn take(&self, events: &[Event]) -> Result<(), Fault> {
        let mut left = vec![events];
        while let Some(part) = left.pop() {
            if let [event] = part {
                self.take_one(event).await?;
            } else if !part.is_empty() && self.attempt(part).await.is_err() {
                probe::reached("events-taken-by-halves");
                let (first, second) = part.split_at(part.len() / 2);
                left.extend([second, first]);
            }
        }
        Ok(())
    }

    async fn take_one(&self, event: &Event) -> Result<(), Fault> {
        let mut tries = 0;
        let why = loop {
            let rejected = match self.attempt(std::slice::from_ref(event)).await {
                Ok(()) => return Ok(()),
                Err(rejected) => rejected,
            };
            tries += 1;
            match rejected {
                Reject::Poison(why) => break why,
                // Who is away, or too busy, has nothing against this event: it waits, and those behind it do.
                Reject::Fault(fault @ (Fault::Busy(_) | Fault::Conflict(_) | Fault::Unavailable(_)))
                    if tries == TRIES_MAX =>
                {
                    return Err(fault);
                }
                Reject::Fault(fault) if tries == TRIES_MAX => break fault.to_string(),
                Reject::Fault(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(BACKOFF_MS_FIRST << tries)).await;
        };
        tracing::error!(group = self.group, event = %event.id, reason = why, "an event is parked");
        probe::reached("event-parked");
        let mut tx = self.db.begin("consumer.park").await?;
        if note(&mut tx, self.group, std::slice::from_ref(event)).await? == Inserted::New {
            letters::park(&mut tx, self.group, event, &why, tries).await?;
        }
        tx.commit().await
    }

    async fn attempt(&self, events: &[Event]) -> Result<(), Reject> {
        let mut tx = self.db.begin("consumer.take").await?;
        let mut parked = letters::parked_keys(&mut tx, self.group).await?;
        let all_new = note(&mut tx, self.group, events).await? == Inserted::New;
        if all_new && !events.iter().any(|event| parked.contains(&event.key)) {
            if planted("inbox-before-work") {
                tx.commit().await?;
                tx = self.db.begin("consumer.take").await?;
            }
            return self.apply(tx, events).await; // the common case
        }
        if !all_new {
            drop(tx); // some rows of the insert that met a repeat may stand
            tx = self.db.begin("consumer.take").await?;
            parked = letters::parked_keys(&mut tx, self.group).await?;
        }
        let mut fresh = Vec::with_capacity(events.len());
        for event in events {
            let repeat = !all_new && note(&mut tx, self.group, std::slice::from_ref(event)).await? != Inserted::New;
            if repeat && !planted("inbox-unchecked") {
                probe::reached("event-came-again-after-its-inbox-row");
                continue;
            }
            if parked.contains(&event.key) {
                probe::reached("event-parked-behind-another-of-its-key");
                letters::park(&mut tx, self.group, event, "an earlier event of this key is parked", 0).await?;
            } else {
                fresh.push(event.clone());
            }
        }
        self.apply(tx, &fresh).await
    }

    async fn apply(&self, mut tx: Tx, events: &[Event]) -> Result<(), Reject> {
        if !events.is_empty() {
            self.handler.apply(&mut tx, events).await?;
        }
        tx.commit().await?;
        self.handler.applied(events).await;
        Ok(())
    }

    /// Drives all parked letters of a letter's key again, oldest first, each in a unit of work of its own, until none
    /// is left or one is rejected. Events of the key that come meanwhile queue behind and are driven too: whether a
    /// letter is the oldest is asked under the lock that the next one is parked under.
    ///
    /// # Errors
    /// The engine failed; letters driven before stay so.
    pub async fn redrive(&self, key: &str, who: &str, reason: &str) -> Result<Redriven, Fault> {
        let (mut done, mut tries) = (0, 0);
        loop {
            match self.redrive_oldest(key, who, reason).await {
                Ok(None) => return Ok(Redriven { done, rejected: None }),
                Ok(Some(Ok(()))) => (done, tries) = (done + 1, 0),
                Ok(Some(Err(rejected))) => return Ok(Redriven { done, rejected: Some(rejected) }),
                // Whoever parks the next or drives the same was in the way; what was driven before is told of.
                Err(Fault::Conflict(_)) if tries + 1 < TRIES_MAX => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(BACKOFF_MS_FIRST << tries)).await;
                }
                Err(fault) => return Err(fault),
            }
            if done > 1 {
                probe::reached("dead-letter-driven-with-those-behind-it");
            }
        }
    }

    /// Drives the oldest parked letter of a key; `None` when none is left, the letter and why where it was rejected.
    async fn redrive_oldest(
        &self,
        key: &str,
        who: &str,
        reason: &str,
    ) -> Result<Option<Result<(), (DeadLetterId, Reject)>>, Fault> {
        let mut tx = self.db.begin("dead_letter.redrive").await?;
        let Some(letter) = letters::oldest_of_key(&mut tx, self.group, key).await? else {
            return Ok(None);
        };
        let rejected = self.handler.apply(&mut tx, std::slice::from_ref(&letter.event)).await.err();
        if let Some(Reject::Fault(conflict @ Fault::Conflict(_))) = rejected {
            return Err(conflict); // that says nothing of the letter
        }
        if rejected.is_some() {
            probe::reached("dead-letter-rejected-again");
            drop(tx);
            tx = self.db.begin("dead_letter.rejected").await?;
        }
        let (id, why) = (letter.id.to_string(), rejected.as_ref().map(ToString::to_string));
        match &why {
            None => letters::settle(&mut tx, letter.id, "redriven").await?,
            Some(why) => letters::reject(&mut tx, letter.id, why).await?,
        }
        let result = why.map_or_else(|| "it went through".to_owned(), |why| format!("it was rejected again: {why}"));
        let deed = Deed { who, what: "dead_letter.redrive", subject: &id, reason, result: &result };
        audit::note(&mut tx, &deed).await?;
        match rejected {
            Some(rejected) => tx.commit().await.map(|()| Some(Err((letter.id, rejected)))),
            None => self.finish(tx, letter.event).await.map(|()| Some(Ok(()))),
        }
    }

    /// Commits and tells the handler, in a task of its own: a caller who leaves meanwhile must not leave an event that
    /// is durable and that the service's memory was never told of.
    async fn finish(&self, tx: Tx, event: Event) -> Result<(), Fault> {
        let handler = Arc::clone(&self.handler);
        let finishing = task::spawn(async move {
            tx.commit().await?;
            handler.applied(&[event]).await;
            Ok(())
        });
        let unknown = |e: tokio::task::JoinError| Fault::Storage { doing: "redriving".into(), why: e.to_string() };
        finishing.await.map_err(unknown)?
    }

    /// Forgets events that were taken long ago, a stretch at a time; how many. Only for a consumer that has taken all
    /// there was: then no offset lies behind them, and the log will not bring them again.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn forget_old(&self, sweep: &mut Sweep) -> Result<usize, Fault> {
        let mut tx = self.db.read("inbox.look").await?;
        let now = tx.now().micros();
        if now < sweep.due {
            return Ok(0);
        }
        let sql = "SELECT event_id, taken_at FROM inbox WHERE consumer = ? AND event_id > ? ORDER BY event_id LIMIT ?";
        let after = sweep.after;
        let rows = tx.query(sql, &[self.group.into(), Value::Bytes(&after), ROWS_PER_SWEEP_MAX.into()]).await?;
        drop(tx);
        *sweep = match rows.last() {
            Some(last) => Sweep { after: last.id(0), due: 0 },
            None => Sweep { after: [0; 16], due: now + SWEEP_EVERY_US },
        };
        let old: Vec<_> = rows.iter().filter(|row| row.int(1) < now - INBOX_KEPT_US).map(|row| row.id(0)).collect();
        if old.is_empty() {
            return Ok(0);
        }
        probe::reached("inbox-forgot-events-of-long-ago");
        let mut tx = self.db.begin("inbox.forget").await?;
        for id in &old {
            let sql = "DELETE FROM inbox WHERE consumer = ? AND event_id = ?";
            tx.execute(sql, &[self.group.into(), Value::Bytes(id)]).await?;
        }
        tx.commit().await?;
        Ok(old.len())
    }
}

/// How many events a group has noted as taken and not forgotten.
///
/// # Errors
/// The engine failed.
pub async fn taken_count(tx: &mut Tx, group: &str) -> Result<u64, Fault> {
    let row = tx.query_one("SELECT COUNT(*) FROM inbox WHERE consumer = ?", &[group.into()]).await?;
    Ok(row.map_or(0, |row| row.int(0).unsigned_abs()))
}

/// Notes events as taken. After a duplicate among several the unit of work must be dropped.
async fn note(tx: &mut Tx, group: &str, events: &[Event]) -> Result<Inserted, Fault> {
    let now = tx.now().micros();
    let ids: Vec<[u8; 16]> = events.iter().map(|event| event.id.to_bytes()).collect();
    let mut rows = Vec::with_capacity(events.len() * 3);
    for id in &ids {
        rows.extend([group.into(), Value::Bytes(id), now.into()]);
    }
    tx.insert_rows("INSERT INTO inbox (consumer, event_id, taken_at) VALUES (?*)", 3, &rows).await
}
