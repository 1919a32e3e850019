//! What the database and the log promise, whichever engine stands behind them.
#![allow(clippy::unwrap_used, missing_docs)]

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::clock::{ManualClock, RealClock};
use jangbu_platform::db::lines::Line;
use jangbu_platform::db::{Db, Event, Fault, Tx};
use jangbu_platform::dice::Dice;
use jangbu_platform::log::Log;
use jangbu_platform::migrate;
use jangbu_platform::promises::db::events::{deed, noted, notes};
use jangbu_platform::promises::db::{self as promises, World};
use jangbu_platform::promises::hold;

fn open(dir: &std::path::Path) -> Db {
    Db::open_embedded(&dir.join("t.db"), promises::clock(), Dice::seeded(1)).unwrap()
}

async fn world(dir: &std::path::Path) -> (Db, Log) {
    let db = open(dir);
    migrate::apply(&db, promises::TABLES).await.unwrap();
    let log = Log::open_embedded(&dir.join("log.db"), promises::clock(), Dice::seeded(2)).await.unwrap();
    (db, log)
}

async fn count(db: &Db) -> i64 {
    db.read("count").await.unwrap().query_one("SELECT COUNT(*) FROM t", &[]).await.unwrap().unwrap().int(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_engine_keeps_every_promise() {
    let dir = tempfile::tempdir().unwrap();
    let worlds = Cell::new(0);
    let fresh = async || {
        let dir = dir.path().join(worlds.replace(worlds.get() + 1).to_string());
        std::fs::create_dir(&dir).unwrap();
        let db = open(&dir);
        Ok(World::new(db.clone(), db, &dir).await)
    };
    hold(promises::ALL, fresh).await.unwrap();
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
