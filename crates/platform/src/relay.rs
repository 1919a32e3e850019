//! Moves events from a service's outbox to the log, in order, at least once.
//!
//! It takes what is unsent, never "ids greater than the last": on engines with several writers a smaller id can
//! become visible after a greater one. A crash between append and delete sends an event twice; inboxes know.

use std::sync::Arc;
use std::time::Duration;

use jangbu_kernel::id::EventId;

use crate::db::{Db, Event, Fault, Value};
use crate::defect::planted;
use crate::kv::{Kv, Lease};
use crate::log::Log;
use crate::service::Stop;

/// Events moved by one round.
const EVENTS_PER_ROUND_MAX: u32 = 2_000;
/// Events that one statement takes out of the outbox.
const IDS_PER_DELETE: usize = 64;
/// How long a turn lasts, in microseconds; it is renewed at half of it.
const TURN_US: i64 = 5_000_000;
/// How long it waits after a round that was not full, in milliseconds: what is told meanwhile shares the next one's
/// flushes, which else would keep those waiting who tell it.
const GATHER_MS: u64 = 30;
/// How long a relay sleeps when nothing wakes it, in milliseconds.
const IDLE_MS_MAX: u64 = 200;

/// Where events wait to leave. The outbox is one; a service whose rows are themselves the message has its own.
pub trait Outgoing: Send + Sync {
    /// The next unsent events in order, for [`Outgoing::sent`]; one without a type is marked as sent, but not told.
    fn unsent(&self, limit: u32) -> futures_util::future::BoxFuture<'_, Result<Vec<Event>, Fault>>;
    /// Marks as sent what `unsent` gave.
    fn sent<'a>(&'a self, events: &'a [Event]) -> futures_util::future::BoxFuture<'a, Result<(), Fault>>;
    /// How many wait; cheap enough to be asked every second.
    fn waiting(&self) -> futures_util::future::BoxFuture<'_, Result<u64, Fault>>;
}

/// The outbox table of a service.
#[derive(Debug)]
pub struct Outbox(pub Db);

impl Outgoing for Outbox {
    fn unsent(&self, limit: u32) -> futures_util::future::BoxFuture<'_, Result<Vec<Event>, Fault>> {
        Box::pin(async move {
            let mut tx = self.0.glance("relay.unsent").await?;
            let sql = "SELECT id, topic, event_key, event_type, payload FROM outbox ORDER BY id LIMIT ?";
            let rows = tx.query(sql, &[limit.into()]).await?;
            let event = |r: &crate::db::Row| Event {
                id: EventId::from_bytes(r.id(0)),
                topic: r.text(1).to_owned(),
                key: r.text(2).to_owned(),
                event_type: r.text(3).to_owned(),
                payload: r.text(4).to_owned(),
            };
            Ok(rows.iter().map(event).collect())
        })
    }

    fn sent<'a>(&'a self, events: &'a [Event]) -> futures_util::future::BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let mut tx = self.0.begin("relay.sent").await?;
            let ids: Vec<[u8; 16]> = events.iter().map(|event| event.id.to_bytes()).collect();
            let sql = format!("DELETE FROM outbox WHERE id IN ({})", ["?"; IDS_PER_DELETE].join(","));
            for some in ids.chunks(IDS_PER_DELETE) {
                // Filled up with the last one: the statement stays the same, and a server has it prepared.
                let last = some.last().into_iter().cycle();
                let ids: Vec<Value<'_>> =
                    some.iter().chain(last).take(IDS_PER_DELETE).map(|id| Value::Bytes(id)).collect();
                tx.execute(&sql, &ids).await?;
            }
            tx.commit().await
        })
    }

    fn waiting(&self) -> futures_util::future::BoxFuture<'_, Result<u64, Fault>> {
        Box::pin(async move {
            let row = self.0.glance("relay.waiting").await?.query_one("SELECT COUNT(*) FROM outbox", &[]).await?;
            Ok(row.map_or(0, |r| r.int(0).cast_unsigned()))
        })
    }
}

/// Emits events of one topic in a unit of work of their own, each with its key, type and payload: for measurements and
/// tests, since what a service tells it tells with what it did.
///
/// # Errors
/// The database failed.
pub async fn emit_alone(
    db: &Db,
    topic: &str,
    events: impl Iterator<Item = (String, &'static str, String)>,
) -> Result<(), Fault> {
    let mut tx = db.begin("relay.emit").await?;
    for (key, event_type, payload) in events {
        tx.emit(topic, &key, event_type, payload);
    }
    tx.commit().await
}

/// Sends one round; how many events left.
///
/// # Errors
/// The database or the log failed; the round is repeated later.
pub async fn round(outgoing: &dyn Outgoing, log: &Log) -> Result<usize, Fault> {
    let events = outgoing.unsent(EVENTS_PER_ROUND_MAX).await?;
    if !events.is_empty() {
        let told: Vec<Event> = events.iter().filter(|e| !e.event_type.is_empty()).cloned().collect();
        if planted("relay-marks-first") {
            outgoing.sent(&events).await?;
        }
        log.append(&told).await?;
        outgoing.sent(&events).await?;
    }
    Ok(events.len())
}

/// Whose turn it is to relay, where several processes have the same outbox. Two at once would lose nothing, and every
/// event would be sent twice.
pub struct Turn {
    kv: Kv,
    db: Db,
    name: String,
    lease: Option<Lease>,
}

impl Turn {
    /// Turns at an outbox of that name, by the clock of its database.
    #[must_use]
    pub fn new(kv: Kv, db: Db, name: String) -> Turn {
        Turn { kv, db, name, lease: None }
    }

    /// Whether it is ours. When nobody can tell, it is: repeats are known, and what is not sent is not.
    async fn is_ours(&mut self) -> bool {
        let now = self.db.now();
        let (half, until) = (now.plus_micros(TURN_US / 2), now.plus_micros(TURN_US));
        let held = match self.lease.take() {
            Some(lease) if half < lease.until() => Ok(Some(lease)),
            Some(lease) => self.kv.renew_lease(&lease, until).await,
            None => self.kv.take_lease(&self.name, until).await,
        };
        let ours = !matches!(held, Ok(None));
        self.lease = held.ok().flatten();
        ours
    }

    /// Lets another go on at once.
    async fn end(self) {
        if let Some(lease) = self.lease {
            drop(self.kv.release_lease(lease).await); // it ends by itself
        }
    }
}

/// Runs until `stop`, woken by commits that emitted; with a turn only while it is ours.
pub async fn run(
    service: String,
    outgoing: Arc<dyn Outgoing>,
    wake: Arc<tokio::sync::Notify>,
    log: Log,
    stop: Stop,
    mut turn: Option<Turn>,
) {
    let idle = async || {
        tokio::select! {
            biased;
            () = wake.notified() => {}
            () = stop.wait() => {}
            () = tokio::time::sleep(Duration::from_millis(IDLE_MS_MAX)) => {}
        }
    };
    loop {
        if let Some(turn) = &mut turn
            && !turn.is_ours().await
        {
            if stop.is_stopping() {
                break;
            }
            idle().await;
            continue;
        }
        match round(outgoing.as_ref(), &log).await {
            Ok(0) if stop.is_stopping() => break,
            Ok(0) => idle().await,
            Ok(sent) if sent < EVENTS_PER_ROUND_MAX as usize && !stop.is_stopping() => {
                tokio::time::sleep(Duration::from_millis(GATHER_MS)).await;
            }
            Ok(_) => {}
            Err(e) => {
                tracing::warn!(service, error = %e, "the relay could not send; trying again");
                if stop.is_stopping() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(IDLE_MS_MAX)).await;
            }
        }
    }
    if let Some(turn) = turn {
        turn.end().await;
    }
}
