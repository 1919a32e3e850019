//! The database engine on a server: what every engine promises, and what only one with several writers can break.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jangbu_adapters::mysql::{self, Limits};
use jangbu_adapters::stand::Server;
use jangbu_platform::db::{Db, Fault, Inserted};
use jangbu_platform::dice::Dice;
use jangbu_platform::promises::db::{ALL, World, clock};

/// One server for all tests of this program.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::mysql(&std::env::temp_dir()).unwrap())
}

const LIMITS: Limits = Limits { lock_wait_s: 1, ..LIMITS_BASE };
const LIMITS_BASE: Limits = Limits {
    flows: 16,
    readers: 8,
    waiting: 4_096,
    wait_ms: 5_000,
    lock_wait_s: 2,
    statement_ms: 10_000,
    read_ms: 60_000,
    silence_s: 60,
};

/// How long a promise takes at most, on a machine with much else to do.
const PROMISE_WAIT: Duration = Duration::from_secs(120);

/// The URL of an empty database of its own.
async fn fresh() -> String {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let name = format!("it_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::SeqCst));
    let url = server().database(&name);
    mysql::make(&url).await.unwrap();
    url
}

async fn open(url: &str, limits: Limits, seed: u64) -> Db {
    mysql::open(url, limits, clock(), Dice::seeded(seed)).await.unwrap()
}

async fn world(dir: &std::path::Path) -> World {
    let url = fresh().await;
    World::new(open(&url, LIMITS, 1).await, open(&url, LIMITS, 2).await, dir).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_every_promise() {
    for (name, promise) in ALL {
        let begun = std::time::Instant::now();
        let dir = tempfile::tempdir().unwrap();
        let kept = tokio::time::timeout(PROMISE_WAIT, promise(world(dir.path()).await)).await;
        kept.unwrap_or_else(|_| panic!("{name} hangs")).unwrap();
        eprintln!("{name}: {:?}", begun.elapsed());
    }
}

async fn put(db: &Db, rows: &[[i64; 2]]) {
    let mut tx = db.begin("put").await.unwrap();
    let values: Vec<_> = rows.iter().flatten().map(|v| (*v).into()).collect();
    assert_eq!(tx.insert_rows("INSERT INTO t (id, v) VALUES (?*)", 2, &values).await.unwrap(), Inserted::New);
    tx.commit().await.unwrap();
}

const LOCK: &str = "SELECT v FROM t WHERE id = ? FOR UPDATE";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_sees_what_was_committed_since_it_began() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(dir.path()).await;
    put(&world.db, &[[1, 10]]).await;
    let mut early = world.beside.begin("early").await.unwrap();
    assert_eq!(early.query_one("SELECT v FROM t WHERE id = ?", &[1.into()]).await.unwrap().unwrap().int(0), 10);
    let mut tx = world.db.begin("late").await.unwrap();
    tx.execute("UPDATE t SET v = ? WHERE id = ?", &[20.into(), 1.into()]).await.unwrap();
    let unlocked = early.query_one("SELECT v FROM t WHERE id = ?", &[1.into()]).await.unwrap().unwrap();
    assert_eq!(unlocked.int(0), 10, "what is not committed is not read");
    tx.commit().await.unwrap();
    assert_eq!(early.query_one(LOCK, &[1.into()]).await.unwrap().unwrap().int(0), 20);
    assert_eq!(early.query_one("SELECT v FROM t WHERE id = ?", &[1.into()]).await.unwrap().unwrap().int(0), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waits_for_a_row_end_and_so_do_those_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(dir.path()).await;
    put(&world.db, &[[1, 0], [2, 0]]).await;
    let mut holder = world.db.begin("holder").await.unwrap();
    holder.query(LOCK, &[1.into()]).await.unwrap();
    let mut waiter = world.beside.begin("waiter").await.unwrap();
    let late = waiter.query(LOCK, &[1.into()]).await.unwrap_err();
    assert!(matches!(late, Fault::Conflict(_)) && late.is_busy(), "{late}");
    assert!(waiter.query("SELECT 1", &[]).await.is_err(), "a flow that failed takes nothing more");
    drop(waiter);

    let mut other = world.beside.begin("other").await.unwrap();
    other.query(LOCK, &[2.into()]).await.unwrap();
    let (first, second) = ([1.into()], [2.into()]);
    let (one, two) = tokio::join!(holder.query(LOCK, &second), other.query(LOCK, &first));
    let failed = [one.err(), two.err()];
    let failed: Vec<_> = failed.iter().flatten().collect();
    assert!(matches!(failed.as_slice(), [Fault::Conflict(why)] if why.contains("1213")), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duplicate_waits_for_the_fate_of_what_stands_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(dir.path()).await;
    for (commits, want) in [(true, Inserted::Duplicate), (false, Inserted::New)] {
        let id = i64::from(commits);
        let mut first = world.db.begin("first").await.unwrap();
        let _ = first.insert("INSERT INTO t (id, v) VALUES (?*)", &[id.into(), 1.into()]).await.unwrap();
        let beside = world.beside.clone();
        let second = tokio::spawn(async move {
            let mut tx = beside.begin("second").await.unwrap();
            let put = tx.insert("INSERT INTO t (id, v) VALUES (?*)", &[id.into(), 2.into()]).await.unwrap();
            tx.commit().await.unwrap();
            put
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!second.is_finished());
        if commits {
            first.commit().await.unwrap()
        } else {
            drop(first)
        }
        assert_eq!(second.await.unwrap(), want);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_bounded_and_waits_for_them_end() {
    let limits = Limits { flows: 2, readers: 1, waiting: 1, wait_ms: 200, ..LIMITS };
    let url = fresh().await;
    let db = open(&url, limits, 1).await;
    let held = [db.begin("one").await.unwrap(), db.begin("two").await.unwrap()];
    let waiting = tokio::spawn({
        let db = db.clone();
        async move { db.begin("waits").await.map(drop) }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begun = std::time::Instant::now();
    let at_once = db.begin("one too many").await.map(drop).unwrap_err();
    assert!(matches!(&at_once, Fault::Busy(why) if why.contains("too many")), "{at_once}");
    assert!(begun.elapsed() < Duration::from_millis(100));
    let late = waiting.await.unwrap().unwrap_err();
    assert!(matches!(&late, Fault::Busy(why) if why.contains("within 200 ms")), "{late}");
    db.read("readers have connections of their own").await.unwrap();
    drop(held);
    db.begin("after").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_end_and_lost_connections_are_made_anew() {
    let url = fresh().await;
    let limits = Limits { flows: 2, statement_ms: 300, ..LIMITS };
    let db = open(&url, limits, 1).await;
    let mut tx = db.begin("long").await.unwrap();
    let late = tx.query("SELECT SLEEP(20)", &[]).await;
    // The server ends the statement, or says that it was ended.
    assert!(late.is_err() || late.unwrap()[0].int(0) == 1);
    drop(tx);

    let admin = open(&url, Limits::patient(), 2).await;
    let mut tx = db.begin("killed").await.unwrap();
    let id = tx.query_one("SELECT CONNECTION_ID()", &[]).await.unwrap().unwrap().int(0);
    let kill = async |id: i64| {
        let mut tx = admin.begin("kill").await.unwrap();
        tx.execute(&format!("KILL {id}"), &[]).await.unwrap();
    };
    kill(id).await;
    let lost = tx.query("SELECT 1", &[]).await.unwrap_err();
    assert!(matches!(lost, Fault::Unavailable(_)), "{lost}");
    drop(tx);
    // One that dies while it lies idle is not noticed by anybody.
    let mut tx = db.begin("idle").await.unwrap();
    let id = tx.query_one("SELECT CONNECTION_ID()", &[]).await.unwrap().unwrap().int(0);
    tx.commit().await.unwrap();
    kill(id).await;
    for _ in 0..3 {
        db.begin("after").await.unwrap().query("SELECT 1", &[]).await.unwrap();
    }
    // Killed at its commit, a flow is told that only its key can tell.
    let mut tx = db.begin("commit").await.unwrap();
    let id = tx.query_one("SELECT CONNECTION_ID()", &[]).await.unwrap().unwrap().int(0);
    kill(id).await;
    let unknown = tx.commit().await.unwrap_err();
    assert!(unknown.to_string().contains("ask again by the key"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_fit_is_refused_with_its_remedy() {
    let url = fresh().await;
    let db = open(&url, LIMITS, 1).await;
    let name = url.rsplit('/').next().unwrap();
    let mut tx = db.begin("spoil").await.unwrap();
    tx.execute(&format!("ALTER DATABASE {name} CHARACTER SET latin1 COLLATE latin1_bin"), &[]).await.unwrap();
    drop(tx);
    let refused = mysql::open(&url, LIMITS, clock(), Dice::seeded(1)).await.err().unwrap().to_string();
    assert!(refused.contains("is not fit for a bank") && refused.contains("ALTER DATABASE"), "{refused}");
    let gone = mysql::open("mysql://root@127.0.0.1:1/x", LIMITS, clock(), Dice::seeded(1)).await.err().unwrap();
    assert!(matches!(gone, Fault::Unavailable(_)), "{gone}");
    let nameless = mysql::open("mysql://root@127.0.0.1:1", LIMITS, clock(), Dice::seeded(1)).await.err().unwrap();
    assert!(nameless.to_string().contains("names no database"), "{nameless}");
}

/// The end of a program finds flows wherever they are.
#[test]
fn a_runtime_that_ends_takes_open_units_of_work_with_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let db = open(&fresh().await, LIMITS, 1).await;
        let (begun, begins) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let _open = db.begin("open").await.unwrap();
            begun.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        begins.await.unwrap();
    });
    drop(runtime);
}
