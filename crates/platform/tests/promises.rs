//! What the database and the log promise, whichever engine stands behind them.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_kernel::id::EventId;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::clock::{ManualClock, RealClock};
use jangbu_platform::consumer::{Consumer, Handler, Redriven, Reject, Sweep, letters};
use jangbu_platform::db::lines::Line;
use jangbu_platform::db::{Answer, Db, Event, Fault, Inserted, Key, Recall, Tx, Value};
use jangbu_platform::dice::Dice;
use jangbu_platform::log::Log;
use jangbu_platform::migrate::{self, Migration, Schema};
use jangbu_platform::relay::{self, Outbox};
use jangbu_platform::service::Stop;

const TABLE: &[Migration] = &[Migration {
    version: 1,
    name: "test",
    sql: "CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, v BIGINT NOT NULL);\n",
}];

async fn world(dir: &std::path::Path) -> (Db, Log) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
    let db = Db::open_embedded(&dir.join("t.db"), clock.clone(), Dice::seeded(1)).unwrap();
    migrate::apply(&db, TABLE).await.unwrap();
    let log = Log::open_embedded(&dir.join("log.db"), clock, Dice::seeded(2)).await.unwrap();
    (db, log)
}

async fn count(db: &Db) -> i64 {
    db.read("count").await.unwrap().query_one("SELECT COUNT(*) FROM t", &[]).await.unwrap().unwrap().int(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_of_work_is_whole_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = world(dir.path()).await;
    assert_eq!(migrate::check(&db, TABLE).await.unwrap(), Schema::Current);
    let other = [Migration { sql: "CREATE TABLE u (id BIGINT);\n", ..TABLE[0] }];
    assert!(matches!(migrate::check(&db, &other).await.unwrap(), Schema::Foreign(_)));

    let mut tx = db.begin("dropped").await.unwrap();
    assert_eq!(tx.insert("INSERT INTO t (id, v) VALUES (?*)", &[1.into(), 1.into()]).await.unwrap(), Inserted::New);
    drop(tx);
    assert_eq!(count(&db).await, 0, "dropping rolls back");

    let mut tx = db.begin("kept").await.unwrap();
    let _ = tx.insert("INSERT INTO t (id, v) VALUES (?*)", &[1.into(), 1.into()]).await.unwrap();
    let again = tx.insert("INSERT INTO t (id, v) VALUES (?*)", &[1.into(), 2.into()]).await.unwrap();
    assert_eq!(again, Inserted::Duplicate, "a duplicate key is a value");
    tx.commit().await.unwrap();
    assert_eq!(count(&db).await, 1);

    let mut tx = db.begin("failed").await.unwrap();
    assert!(tx.execute("INSERT INTO nowhere VALUES (1)", &[]).await.is_err());
    assert!(tx.execute("DELETE FROM t", &[]).await.is_err(), "after an error it takes nothing more");
    assert!(tx.commit().await.is_err());
    assert_eq!(count(&db).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flows_that_meet_share_a_flush_and_each_stands_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = world(dir.path()).await;
    let flow = |id: i64| {
        let db = db.clone();
        tokio::spawn(async move {
            let mut tx = db.begin("flow").await?;
            let _ = tx.insert("INSERT INTO t (id, v) VALUES (?*)", &[id.into(), id.into()]).await?;
            tokio::task::yield_now().await;
            if id % 3 == 0 { Ok(false) } else { tx.commit().await.map(|()| true) }
        })
    };
    let flows: Vec<_> = (0..300).map(flow).collect();
    // Some callers leave while they wait; nobody may hang on that.
    for (i, task) in flows.iter().enumerate() {
        if i % 50 == 7 {
            task.abort();
        }
    }
    let mut committed = 0;
    for flow in flows {
        if let Ok(done) = flow.await {
            let done: Result<bool, Fault> = done;
            committed += i64::from(done.unwrap());
        }
    }
    let stored = count(&db).await;
    assert!(stored >= committed && stored <= 200, "{stored} stored, {committed} answered");
}

#[tokio::test]
async fn units_of_work_lost_at_their_flush_are_counted_before_anybody_hears_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = world(dir.path()).await;
    let mut tx = db.begin("weather").await.unwrap();
    // A negative value fails the flush; a value of a million has the engine throw everything away at once.
    for sql in [
        "CREATE TABLE sand (v BIGINT REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TRIGGER flush AFTER INSERT ON t WHEN NEW.v < 0 BEGIN INSERT INTO sand VALUES (0); END",
        "CREATE TRIGGER all_of_it AFTER INSERT ON t WHEN NEW.v = 1000000 BEGIN SELECT RAISE(ROLLBACK, 'gone'); END",
    ] {
        tx.execute(sql, &[]).await.unwrap();
    }
    tx.commit().await.unwrap();
    let begin = async |id: i64, v: i64| {
        let mut tx = db.begin("test").await.unwrap();
        let _ = tx.insert("INSERT INTO t (id, v) VALUES (?*)", &[id.into(), v.into()]).await?;
        Ok::<Tx, Fault>(tx)
    };
    assert_eq!(db.lost(), 0);
    begin(1, -1).await.unwrap().commit().await.unwrap_err();
    assert_eq!((db.lost(), count(&db).await), (1, 0));
    begin(1, 1).await.unwrap().commit().await.unwrap();
    begin(2, 1_000_000).await.map(drop).unwrap_err();
    assert_eq!((db.lost(), count(&db).await), (1, 1), "its statements had not ended: nobody could rely on it");

    // Two that would share a flush, the second of which takes the first along.
    let mut first = begin(3, 1).await.unwrap();
    let mut second = Box::pin(begin(4, 1_000_000));
    assert!((&mut second).now_or_never().is_none(), "it waits for its turn");
    let first = first.finish().await.unwrap();
    second.await.map(drop).unwrap_err();
    assert_eq!(db.lost(), 2);
    first.await.unwrap_err();
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn a_key_gives_its_answer_again() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = world(dir.path()).await;
    let key = Key { caller: "operator:a".into(), key: "k".into() };
    let answer = Answer { status: 201, body: "{}".into() };
    let mut tx = db.begin("first").await.unwrap();
    assert_eq!(tx.recall(&key, 7).await.unwrap(), Recall::New);
    tx.remember(&key, 7, &answer).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = db.begin("second").await.unwrap();
    assert_eq!(tx.recall(&key, 7).await.unwrap(), Recall::Same(answer));
    assert_eq!(tx.recall(&key, 8).await.unwrap(), Recall::KeyReused);
    let stranger = Key { caller: "operator:b".into(), ..key };
    assert_eq!(tx.recall(&stranger, 8).await.unwrap(), Recall::New);
}

/// Adds the payload to the table; refuses "bad" until it is healed.
struct Adder(AtomicUsize);

impl Handler for Adder {
    fn apply<'a>(&'a self, tx: &'a mut Tx, events: &'a [Event]) -> BoxFuture<'a, Result<(), Reject>> {
        Box::pin(async move {
            for event in events {
                let id: i64 = match event.payload.parse() {
                    Ok(id) => id,
                    Err(_) if self.0.load(Ordering::SeqCst) > 0 => 99,
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

#[tokio::test]
async fn events_arrive_once_in_effect_and_a_bad_one_is_parked_with_those_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let (db, log) = world(dir.path()).await;
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

/// Notes each event of topic "deeds" in the order of arrival; refuses payloads that begin with "bad" until healed.
#[derive(Default)]
struct Notes {
    healed: AtomicUsize,
    calls: AtomicUsize,
    applied: AtomicUsize,
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
                let _ = tx.insert("INSERT INTO t (id, v) VALUES (?*)", &[next.into(), n.into()]).await?;
            }
            Ok(())
        })
    }
    fn applied<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, ()> {
        self.applied.fetch_add(events.len(), Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }
}

fn deed(id: u128, key: &str, payload: &str) -> Event {
    let (topic, event_type) = ("deeds".to_owned(), "deed.v1".to_owned());
    Event { id: EventId::from_parts(1, id), topic, key: key.into(), event_type, payload: payload.into() }
}

async fn noted(db: &Db) -> Vec<i64> {
    let mut tx = db.read("noted").await.unwrap();
    tx.query("SELECT v FROM t ORDER BY id", &[]).await.unwrap().iter().map(|row| row.int(0)).collect()
}

fn notes(db: &Db) -> (Consumer, Arc<Notes>) {
    let handler = Arc::new(Notes::default());
    let group = Consumer { group: "g", topics: vec!["deeds".into()], db: db.clone(), handler: handler.clone() };
    (group, handler)
}

#[tokio::test]
async fn one_bad_event_among_many_costs_few_tries_and_repeats_cost_none_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (db, log) = world(dir.path()).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_keeps_the_order_of_a_key_while_its_events_go_on_coming() {
    let dir = tempfile::tempdir().unwrap();
    let (db, log) = world(dir.path()).await;
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

/// Memory follows what is durable, whoever still listens.
#[tokio::test]
async fn a_caller_who_leaves_while_a_redrive_commits_leaves_nothing_half_told() {
    let dir = tempfile::tempdir().unwrap();
    let (db, log) = world(dir.path()).await;
    let (group, handler) = notes(&db);
    log.append(&[deed(0, "k", "bad0")]).await.unwrap();
    group.drain(&log).await.unwrap();
    handler.healed.store(1, Ordering::SeqCst);
    let mut driving = Box::pin(group.redrive("k", "operator:kim", ""));
    // One look: the embedded engine is done with the statements, and the flush is under way.
    let _ = driving.as_mut().now_or_never();
    drop(driving);
    let seen = async {
        while handler.applied.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    let told = tokio::time::timeout(std::time::Duration::from_secs(5), seen).await;
    assert_eq!(noted(&db).await, [0], "the event took effect");
    assert!(told.is_ok(), "and the service's memory was not told");
}

#[tokio::test]
async fn events_taken_long_ago_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (db, log) = world(dir.path()).await;
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

async fn put(db: &Db, rows: std::ops::Range<i64>) {
    let mut tx = db.begin("put").await.unwrap();
    for id in rows {
        let _ = tx.insert("INSERT INTO t (id, v) VALUES (?*)", &[id.into(), (id * 10).into()]).await.unwrap();
    }
    tx.commit().await.unwrap();
}

fn names(dir: &std::path::Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("t.db")).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_read_beside_its_writer_and_when_nobody_has_it() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::new(Timestamp::from_micros(0))));
    let path = dir.path().join("t.db");
    assert!(Db::open_to_read(&path, clock.clone(), Dice::seeded(1)).is_err(), "nothing is made");
    let (db, _) = world(dir.path()).await;
    put(&db, 0..3).await;
    let beside = Db::open_to_read(&path, clock.clone(), Dice::seeded(1)).unwrap();
    let mut snapshot = beside.read("beside").await.unwrap();
    let mut seen = Vec::new();
    let mut see = |line: &Line<'_>| {
        seen.push((line.int(0)?, line.int(1)?));
        line.text(1).map(|_| ()).or(Ok(())) // what it isn't is told, not a panic
    };
    let sql = "SELECT id, v FROM t WHERE id >= ? ORDER BY id";
    assert_eq!(snapshot.each(sql, &[1.into()], &mut see).await.unwrap(), 2);
    assert_eq!(seen, [(1, 10), (2, 20)]);
    put(&db, 3..4).await;
    let mut later = 0;
    let mut see = |_: &Line<'_>| {
        later += 1;
        Ok(())
    };
    snapshot.each(sql, &[0.into()], &mut see).await.unwrap();
    assert_eq!(later, 3, "a snapshot stands still");
    assert_eq!(count(&beside).await, 4);
    assert!(beside.begin("write").await.is_err());
    drop((snapshot, beside, db));

    // The writer's own threads may be the last to let go of the file; then it is tidied up.
    for _ in 0..200 {
        if names(dir.path()) == ["t.db"] {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let alone = Db::open_to_read(&path, clock.clone(), Dice::seeded(1)).unwrap();
    assert_eq!(count(&alone).await, 4);
    assert_eq!(names(dir.path()), ["t.db"], "nothing is laid beside it");
    let mut look = alone.read("look").await.unwrap();
    let (db, _) = world(dir.path()).await;
    put(&db, 4..5).await;
    let disturbed = look.query("SELECT id FROM t", &[]).await.unwrap_err();
    assert!(disturbed.to_string().contains("try again"), "{disturbed}");
}

/// The journal is moved into the file and begun anew although somebody reads all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_does_not_grow_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = world(dir.path()).await;
    let mut tx = db.begin("table").await.unwrap();
    tx.execute("CREATE TABLE big (id BIGINT NOT NULL PRIMARY KEY, v TEXT NOT NULL)", &[]).await.unwrap();
    tx.commit().await.unwrap();
    let reading = |db: Db| {
        tokio::spawn(async move {
            loop {
                let mut tx = db.read("reading").await.unwrap();
                tx.query("SELECT COUNT(*) FROM t", &[]).await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(3)).await;
            }
        })
    };
    let readers = [reading(db.clone()), reading(db.clone()), reading(db.clone())];
    let text = "x".repeat(1 << 20);
    let journal = dir.path().join("t.db-wal");
    let mut largest = 0;
    for id in 0..500i64 {
        let mut tx = db.begin("write").await.unwrap();
        let _ = tx.insert("INSERT INTO big (id, v) VALUES (?*)", &[id.into(), text.as_str().into()]).await.unwrap();
        tx.commit().await.unwrap();
        largest = largest.max(journal.metadata().unwrap().len());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await; // a bank has more to do than write
    }
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(largest < 350 << 20, "500 MiB were written, and the journal had {} MiB", largest >> 20);
}

/// A clean end leaves everything in the file; a reader of another process keeps the journal and loses nothing.
#[tokio::test]
async fn a_clean_end_empties_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let (db, log) = world(dir.path()).await;
    put(&db, 0..3).await;
    log.append(&[deed(0, "k", "0")]).await.unwrap();
    let bytes = |name: &str| dir.path().join(name).metadata().unwrap().len();
    assert!(bytes("t.db-wal") > 0 && bytes("log.db-wal") > 0);
    db.read("idle").await.unwrap().query("SELECT id FROM t", &[]).await.unwrap();
    let other = Db::open_to_read(&dir.path().join("t.db"), Arc::new(RealClock), Dice::seeded(1)).unwrap();
    let mut look = other.read("look").await.unwrap();
    assert_eq!(look.query("SELECT id FROM t", &[]).await.unwrap().len(), 3);
    put(&db, 3..5).await;
    db.close().await.unwrap();
    assert!(bytes("t.db-wal") > 0, "somebody reads from it");
    assert_eq!(look.query("SELECT id FROM t", &[]).await.unwrap().len(), 3);
    drop(look);
    db.close().await.unwrap();
    log.close().await.unwrap();
    assert_eq!((bytes("t.db-wal"), bytes("log.db-wal")), (0, 0));
    std::fs::copy(dir.path().join("t.db"), dir.path().join("alone.db")).unwrap();
    let alone = Db::open_embedded(&dir.path().join("alone.db"), Arc::new(RealClock), Dice::seeded(1)).unwrap();
    assert_eq!(count(&alone).await, 5, "the file is whole without its journal");
    put(&db, 5..6).await;
    assert_eq!(count(&db).await, 6, "closing ends nothing");
}

/// Two processes may hold the log of one directory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_on_one_file_append_without_gap_or_repeat() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
    let open = |seed| {
        let (path, clock) = (dir.path().join("log.db"), clock.clone());
        async move { Log::open_embedded(&path, clock, Dice::seeded(seed)).await.unwrap() }
    };
    let logs = [open(1).await, open(2).await];
    let append = |n: u64| {
        let (log, dice) = (logs[usize::try_from(n % 2).unwrap()].clone(), Dice::seeded(100 + n));
        tokio::spawn(async move {
            for i in 0..20 {
                let id = jangbu_kernel::id::EventId::from_bytes(dice.bytes());
                let (topic, event_type) = ("t".to_owned(), "x.v1".to_owned());
                let event = Event { id, topic, key: format!("k{n}"), event_type, payload: i.to_string() };
                log.append(&[event]).await.unwrap();
            }
        })
    };
    let tasks: Vec<_> = (0..8).map(append).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut seen = std::collections::BTreeMap::<String, Vec<i32>>::new();
    for part in 0..jangbu_platform::log::PARTITIONS {
        let records = logs[0].read("t", part, 0, 1_000).await.unwrap();
        assert!(records.iter().zip(0..).all(|(record, at)| record.offset == at), "a gap in partition {part}");
        for record in records {
            seen.entry(record.event.key).or_default().push(record.event.payload.parse().unwrap());
        }
    }
    assert_eq!(seen.len(), 8);
    assert!(seen.values().all(|payloads| *payloads == (0..20).collect::<Vec<_>>()), "{seen:?}");
    assert_eq!(logs[1].lag("nobody", "t").await.unwrap(), 160);
}
