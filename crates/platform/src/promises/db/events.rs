//! Events on their way out and in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use jangbu_kernel::id::EventId;

use super::{World, count};
use crate::consumer::{Consumer, Handler, Redriven, Reject, Sweep, letters};
use crate::db::{Db, Event, Fault, Inserted, Tx, Value};
use crate::relay::{self, Outbox};
use crate::service::Stop;

/// Adds the payload to the table; refuses "bad" until it is healed, and knows no store for "away" until then.
struct Adder(AtomicUsize);

impl Handler for Adder {
    fn apply<'a>(&'a self, tx: &'a mut Tx, events: &'a [Event]) -> BoxFuture<'a, Result<(), Reject>> {
        Box::pin(async move {
            for event in events {
                let id: i64 = match event.payload.parse() {
                    Ok(id) => id,
                    Err(_) if self.0.load(Ordering::SeqCst) > 0 => 99,
                    Err(_) if event.payload == "away" => return Err(Fault::Unavailable("away".into()).into()),
                    Err(_) => return Err(Reject::Poison("not a number".into())),
                };
                if tx.insert("INSERT INTO t (id, v) VALUES (?*)", &[id.into(), id.into()]).await? != Inserted::New {
                    return Err(Reject::Poison("came twice".into()));
                }
            }
            Ok(())
        })
    }
}

pub(super) async fn they_arrive_once_in_effect_and_a_bad_one_is_parked_with_those_behind_it(world: World) {
    let (db, log) = (world.db.clone(), world.log.clone());
    let mut tx = db.begin("emit").await.unwrap();
    for (key, payload) in [("a", "1"), ("b", "bad"), ("a", "2"), ("b", "3"), ("c", "4")] {
        tx.emit("things", key, "thing.v1", payload.into());
    }
    tx.commit().await.unwrap();
    let outbox = Outbox(db.clone());
    let events = relay::Outgoing::unsent(&outbox, 10).await.unwrap();
    log.append(&events).await.unwrap(); // as if the relay had crashed before its mark
    assert_eq!(relay::round(&outbox, &log).await.unwrap(), 5);
    assert_eq!(relay::round(&outbox, &log).await.unwrap(), 0, "the outbox is drained");

    let handler = Arc::new(Adder(AtomicUsize::new(0)));
    let group = Consumer { group: "g", topics: vec!["things".into()], db: db.clone(), handler: handler.clone() };
    group.drain(&log).await.unwrap();
    assert_eq!(log.lag("g", "things").await.unwrap(), 0);
    assert_eq!(count(&db).await, 3, "1, 2 and 4; 3 queues behind the bad one");

    let mut tx = db.read("letters").await.unwrap();
    let letters = letters::list(&mut tx, None, None, 10).await.unwrap();
    drop(tx);
    assert_eq!(letters.iter().map(|l| l.event.payload.as_str()).collect::<Vec<_>>(), ["bad", "3"]);
    let redriven = group.redrive("b", "operator:kim", "again").await.unwrap();
    assert!(matches!(redriven, Redriven { done: 0, rejected: Some((id, _)) } if id == letters[0].id));
    handler.0.store(1, Ordering::SeqCst);
    assert_eq!(group.redrive("b", "operator:kim", "again").await.unwrap().done, 2);
    assert_eq!(count(&db).await, 5);
    let mut tx = db.read("letters").await.unwrap();
    assert_eq!(letters::parked_count(&mut tx).await.unwrap(), 0);
}

pub(super) async fn an_event_waits_for_a_store_that_is_away(world: World) {
    let handler = Arc::new(Adder(AtomicUsize::new(0)));
    let group = Consumer { group: "g", topics: vec!["deeds".into()], db: world.db.clone(), handler: handler.clone() };
    world.log.append(&[deed(1, "a", "away"), deed(2, "a", "2")]).await.unwrap();
    assert!(matches!(group.drain(&world.log).await, Err(Fault::Unavailable(_))));
    assert_eq!(letters::parked_count(&mut world.db.read("letters").await.unwrap()).await.unwrap(), 0, "none is parked");
    handler.0.store(1, Ordering::SeqCst);
    assert_eq!(group.drain(&world.log).await.unwrap(), 2);
    assert_eq!(count(&world.db).await, 2);
}

/// Notes each event of topic "deeds" in the order of arrival; refuses payloads that begin with "bad" until healed.
#[derive(Default)]
pub struct Notes {
    /// Above zero once bad events are taken too.
    pub healed: AtomicUsize,
    /// Batches that came.
    pub calls: AtomicUsize,
    /// Events whose effects are durable.
    pub applied: AtomicUsize,
}

impl Handler for Notes {
    fn apply<'a>(&'a self, tx: &'a mut Tx, events: &'a [Event]) -> BoxFuture<'a, Result<(), Reject>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            for event in events {
                if event.payload.starts_with("bad") && self.healed.load(Ordering::SeqCst) == 0 {
                    return Err(Reject::Poison("bad".into()));
                }
                let next = tx.query_one("SELECT COUNT(*) FROM t", &[]).await?.unwrap().int(0);
                let n: i64 = event.payload.trim_start_matches("bad").parse().unwrap();
                if tx.insert("INSERT INTO t (id, v) VALUES (?*)", &[next.into(), n.into()]).await? != Inserted::New {
                    return Err(Reject::Fault(Fault::Conflict("another took the next place".into())));
                }
            }
            Ok(())
        })
    }
    fn applied<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, ()> {
        self.applied.fetch_add(events.len(), Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }
}

/// An event of topic "deeds".
#[must_use]
pub fn deed(id: u128, key: &str, payload: &str) -> Event {
    let (topic, event_type) = ("deeds".to_owned(), "deed.v1".to_owned());
    Event { id: EventId::from_parts(1, id), topic, key: key.into(), event_type, payload: payload.into() }
}

/// What was noted, in order.
///
/// # Panics
/// The database can't be read.
pub async fn noted(db: &Db) -> Vec<i64> {
    let mut tx = db.read("noted").await.unwrap();
    tx.query("SELECT v FROM t ORDER BY id", &[]).await.unwrap().iter().map(|row| row.int(0)).collect()
}

/// A consumer of them.
#[must_use]
pub fn notes(db: &Db) -> (Consumer, Arc<Notes>) {
    let handler = Arc::new(Notes::default());
    let group = Consumer { group: "g", topics: vec!["deeds".into()], db: db.clone(), handler: handler.clone() };
    (group, handler)
}

pub(super) async fn one_bad_event_among_many_costs_few_tries_and_repeats_cost_none_twice(world: World) {
    let (db, log) = (world.db.clone(), world.log.clone());
    let (group, handler) = notes(&db);
    let events: Vec<Event> = (0..1_000)
        .map(|n| deed(n, if n == 700 { "b" } else { "a" }, &format!("{}{n}", if n == 700 { "bad" } else { "" })))
        .collect();
    log.append(&events).await.unwrap();
    log.append(&events[..10]).await.unwrap();
    group.drain(&log).await.unwrap();
    let want: Vec<i64> = (0..1_000).filter(|n| *n != 700).collect();
    assert_eq!(noted(&db).await, want, "in order, and once");
    let calls = handler.calls.load(Ordering::SeqCst);
    assert!(calls < 30, "{calls} tries");
}

pub(super) async fn a_redrive_keeps_the_order_of_a_key_while_its_events_go_on_coming(world: World) {
    let (db, log) = (world.db.clone(), world.log.clone());
    let (group, handler) = notes(&db);
    let stop = Stop::default();
    let running = tokio::spawn(group.clone().run(log.clone(), stop.clone()));
    log.append(&[deed(0, "k", "bad0")]).await.unwrap();
    let parked = async || letters::parked_count(&mut db.read("parked").await.unwrap()).await.unwrap();
    while parked().await == 0 {
        tokio::task::yield_now().await;
    }
    handler.healed.store(1, Ordering::SeqCst);
    let feed = tokio::spawn({
        let log = log.clone();
        async move {
            for n in 1..200 {
                log.append(&[deed(n, "k", &n.to_string())]).await.unwrap();
            }
        }
    });
    while parked().await < 20 {
        tokio::task::yield_now().await;
    }
    // Two operators at once, while the consumer runs.
    let drive =
        |group: Consumer| tokio::spawn(async move { group.redrive("k", "operator:kim", "").await.unwrap().done });
    let (one, two) = (drive(group.clone()), drive(group.clone()));
    let done = one.await.unwrap() + two.await.unwrap();
    feed.await.unwrap();
    stop.stop();
    running.await.unwrap();
    let rest = group.redrive("k", "operator:kim", "").await.unwrap().done;
    assert_eq!(noted(&db).await, (0..200).collect::<Vec<i64>>());
    assert!(done >= 20, "{done} driven while events came, {rest} after");
    assert_eq!(parked().await, 0);
}

pub(super) async fn those_taken_long_ago_are_forgotten(world: World) {
    let (db, log) = (world.db.clone(), world.log.clone());
    let (group, _) = notes(&db);
    let inbox = async || db.read("inbox").await.unwrap().query("SELECT event_id FROM inbox", &[]).await.unwrap().len();
    log.append(&(0..1_500).map(|n| deed(n, "k", &n.to_string())).collect::<Vec<_>>()).await.unwrap();
    group.drain(&log).await.unwrap();
    let mut sweep = Sweep::default();
    assert_eq!(group.forget_old(&mut sweep).await.unwrap(), 0, "they are young");
    // As if they had been taken a month earlier, but for one.
    let mut tx = db.begin("age").await.unwrap();
    let young = EventId::from_parts(1, 7).to_bytes();
    let aged = [(31i64 * 86_400_000_000).into(), Value::Bytes(&young)];
    tx.execute("UPDATE inbox SET taken_at = taken_at - ? WHERE event_id <> ?", &aged).await.unwrap();
    tx.commit().await.unwrap();
    let mut sweep = Sweep::default();
    let mut forgotten = 0;
    for _ in 0..4 {
        forgotten += group.forget_old(&mut sweep).await.unwrap();
    }
    assert_eq!((forgotten, inbox().await), (1_499, 1), "stretch by stretch to the end, then it rests");
}
