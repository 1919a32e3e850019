//! What a database promises to flows, whichever engine stands behind it.
#![allow(clippy::unwrap_used)]

pub mod events;
mod isolation;
mod values;

use std::sync::Arc;

use futures_util::FutureExt as _;
use jangbu_kernel::time::Timestamp;

use super::Promise;
use crate::clock::ManualClock;
use crate::db::{Answer, Db, Fault, Inserted, Key, Recall};
use crate::dice::Dice;
use crate::log::Log;
use crate::migrate::{self, Migration, Schema};

/// The tables that promises are tried on.
pub const TABLES: &[Migration] = &[Migration {
    version: 1,
    name: "test",
    sql: "-- Numbers, and everything else that a column may hold.\n\
          CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, v BIGINT NOT NULL);\n\
          CREATE TABLE kept (name VARCHAR(64) NOT NULL PRIMARY KEY, n BIGINT, bytes VARBINARY(64), text TEXT);\n\
          CREATE INDEX kept_by_n ON kept (n);\n",
}];

/// Where promises are tried: an empty database on an engine.
#[derive(Clone)]
pub struct World {
    /// The database, with [`TABLES`].
    pub db: Db,
    /// The same as another process has it open; where the engine knows but one owner, the same.
    pub beside: Db,
    /// An empty log.
    pub log: Log,
}

/// The clock of such a world.
#[must_use]
pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)))
}

impl World {
    /// A world of databases just opened; its log lies in `dir`.
    ///
    /// # Panics
    /// The tables can't be made.
    pub async fn new(db: Db, beside: Db, dir: &std::path::Path) -> World {
        let (one, two) = tokio::join!(migrate::apply(&db, TABLES), migrate::apply(&beside, TABLES));
        assert_eq!(one.unwrap().len() + two.unwrap().len(), 2, "of two processes one makes the tables");
        let log = Log::open_embedded(&dir.join("log.db"), clock(), Dice::seeded(2)).await.unwrap();
        World { db, beside, log }
    }
}

macro_rules! promises {
    ($($path:path),* $(,)?) => {
        /// All of them.
        pub const ALL: &[Promise<World>] = &[$((stringify!($path), |world| $path(world).map(Ok).boxed())),*];
    };
}

promises![
    a_unit_of_work_is_whole_or_nothing,
    flows_that_meet_share_a_flush_and_each_stands_alone,
    a_key_gives_its_answer_again,
    a_schema_goes_on_where_it_was_left,
    values::they_come_back_as_they_went,
    values::texts_are_told_apart_byte_by_byte,
    values::many_rows_are_one_call,
    isolation::what_is_read_under_a_lock_stays,
    isolation::a_snapshot_stands_still_and_writes_nothing,
    isolation::a_flow_that_is_left_leaves_nothing,
    isolation::of_two_with_one_key_one_is_told_of_the_other,
    events::they_arrive_once_in_effect_and_a_bad_one_is_parked_with_those_behind_it,
    events::one_bad_event_among_many_costs_few_tries_and_repeats_cost_none_twice,
    events::an_event_waits_for_a_store_that_is_away,
    events::a_redrive_keeps_the_order_of_a_key_while_its_events_go_on_coming,
    events::those_taken_long_ago_are_forgotten,
];

async fn count(db: &Db) -> i64 {
    db.read("count").await.unwrap().query_one("SELECT COUNT(*) FROM t", &[]).await.unwrap().unwrap().int(0)
}

async fn a_unit_of_work_is_whole_or_nothing(world: World) {
    let db = world.db.clone();
    assert_eq!(migrate::check(&db, TABLES).await.unwrap(), Schema::Current);
    let other = [Migration { sql: "CREATE TABLE u (id BIGINT);\n", ..TABLES[0] }];
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

    for kept in [false, true] {
        let mut tx = db.begin("last").await.unwrap();
        tx.execute_last("UPDATE t SET v = ? WHERE id = ?", &[(-7).into(), 1.into()]).await.unwrap();
        tx.execute_last("INSERT INTO t (id, v) VALUES (?, ?)", &[2.into(), 2.into()]).await.unwrap();
        let _ = tx.insert("INSERT INTO t (id, v) VALUES (?*)", &[3.into(), 3.into()]).await.unwrap();
        if kept {
            tx.commit().await.unwrap();
        }
    }
    let rows = db.read("last").await.unwrap().query("SELECT id, v FROM t ORDER BY id", &[]).await.unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (row.int(0), row.int(1))).collect();
    assert_eq!(rows, [(1, -7), (2, 2), (3, 3)], "what comes last stands with all else, or not at all");
    let mut tx = db.begin("last").await.unwrap();
    tx.execute("DELETE FROM t WHERE id > 1", &[]).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = db.begin("last fails").await.unwrap();
    let _ = tx.insert("INSERT INTO t (id, v) VALUES (?*)", &[4.into(), 4.into()]).await.unwrap();
    let done = match tx.execute_last("INSERT INTO t (id, v) VALUES (?, ?)", &[1.into(), 1.into()]).await {
        Ok(()) => tx.commit().await,
        Err(fault) => {
            drop(tx);
            Err(fault)
        }
    };
    assert!(done.is_err(), "what fails at the end takes all along");
    assert_eq!(count(&db).await, 1);

    let mut tx = db.begin("failed").await.unwrap();
    assert!(tx.execute("INSERT INTO nowhere VALUES (1)", &[]).await.is_err());
    assert!(tx.execute("DELETE FROM t", &[]).await.is_err(), "after an error it takes nothing more");
    assert!(tx.commit().await.is_err());
    assert_eq!(count(&db).await, 1);
}

async fn flows_that_meet_share_a_flush_and_each_stands_alone(world: World) {
    let db = world.db.clone();
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

async fn a_key_gives_its_answer_again(world: World) {
    let db = world.db.clone();
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

/// Two processes that bring one schema up at once; and one that was left in the middle, where the engine can't take
/// changes of the schema back.
async fn a_schema_goes_on_where_it_was_left(world: World) {
    let all = [
        TABLES[0],
        Migration {
            version: 2,
            name: "more",
            sql: "CREATE TABLE one (id BIGINT NOT NULL PRIMARY KEY);\nCREATE TABLE two (id BIGINT NOT NULL PRIMARY KEY);\n",
        },
    ];
    if !world.db.rolls_schema_back() {
        // As if it had been killed between making the first table and noting that.
        for sql in [
            "REPLACE INTO schema_step (id, version, step) VALUES (1, 2, 0)",
            "CREATE TABLE one (id BIGINT NOT NULL PRIMARY KEY)",
        ] {
            let mut tx = world.db.begin("killed").await.unwrap();
            tx.execute(sql, &[]).await.unwrap();
            tx.commit().await.unwrap();
        }
    }
    assert_eq!(migrate::check(&world.db, &all).await.unwrap(), Schema::Behind(vec![2]));
    let (one, two) = tokio::join!(migrate::apply(&world.db, &all), migrate::apply(&world.beside, &all));
    let applied = [one.unwrap(), two.unwrap()].concat();
    assert_eq!(applied, [2], "by one of them");
    let mut tx = world.db.begin("use").await.unwrap();
    let _ = tx.insert("INSERT INTO two (id) VALUES (?*)", &[1.into()]).await.unwrap();
    tx.commit().await.unwrap();
    // A table that somebody else made is not taken for ours.
    let third = Migration { version: 3, name: "third", sql: "CREATE TABLE two (id BIGINT NOT NULL PRIMARY KEY);\n" };
    assert!(migrate::apply(&world.db, &[all[0], all[1], third]).await.is_err());
}
