//! `jangbu check` proves a bank that has lived, and says what is wrong with one that somebody has meddled with.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use jangbu_contracts::customer::{Kind, Register};
use jangbu_contracts::deposit::{Command as Order, OpenAccount};
use jangbu_kernel::money::Amount;
use jangbu_platform::auth::Role;
use jangbu_platform::clock::RealClock;
use jangbu_platform::db::{Db, Event};
use jangbu_platform::dice::Dice;
use jangbu_platform::log::Log;
use jangbu_platform::service::Stop;
use jangbu_sim::client::{Client, KRW};
use serde_json::Value;

use crate::running::{Running, up};
use crate::world::{World, rest};

/// What `jangbu check` says of a directory: its exit code, and its report.
pub fn check(dir: &Path) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jangbu"));
    let Output { status, stdout, stderr } = command.args(["check", "--json", "--data"]).arg(dir).output().unwrap();
    let said = String::from_utf8_lossy(&stderr);
    (status.code().unwrap(), serde_json::from_slice(&stdout).unwrap_or_else(|e| panic!("{e}: {said}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn books_are_proved_and_meddling_is_named() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("bank");
    let mut world = World::new(&dir, 11).await;
    let (town, stop) = (Arc::new(world.town()), Stop::default());
    let hands = world.load(&town, &stop);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(check(&dir).0, 0, "beside the running bank");
    stop.stop();
    rest(hands).await;
    world.account_for_all().await;
    world.prove_the_ledger().await;
    assert!(world.running.terminate().unwrap().success());
    let files = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap());
    let journals = files.filter(|file| file.file_name().to_string_lossy().ends_with("-wal"));
    assert_eq!(journals.map(|file| file.metadata().unwrap().len()).sum::<u64>(), 0, "a clean end leaves no journal");
    let (code, report) = check(&dir);
    assert_eq!((code, report["ok"].as_bool(), report["breaks"].as_u64()), (0, Some(true), Some(0)), "{report}");
    assert_eq!(report["counts"].as_array().unwrap().len(), 0, "nothing is under way: {report}");

    for (file, sql, level) in [
        ("deposit-krw", "UPDATE posting SET amount = amount + 1 WHERE seq = 5", "entries"),
        ("accounting", "DELETE FROM journal WHERE id = (SELECT MIN(id) FROM journal)", "journals"),
        ("deposit-krw", "UPDATE audit SET who = 'nobody' WHERE seq = 1", "audit"),
    ] {
        let path = dir.join(format!("{file}.db"));
        let db = Db::open_embedded(&path, Arc::new(RealClock), Dice::seeded(1)).unwrap();
        let mut tx = db.begin("meddle").await.unwrap();
        assert_eq!(tx.execute(sql, &[]).await.unwrap(), 1, "{sql}");
        tx.commit().await.unwrap();
        drop(db);
        let (code, report) = check(&dir);
        assert_eq!(code, 1, "{sql}");
        let named = report["told"].as_array().unwrap().iter().any(|told| told["level"] == level);
        assert!(named, "{sql}: {report}");
    }
}

/// How many breaks `check` counts at a level, of a class.
pub fn counted(report: &Value, level: &str, class: &str) -> u64 {
    let counts = report["counts"].as_array().unwrap().iter();
    counts.filter(|count| count[0] == level && count[1] == class).map(|count| count[2].as_u64().unwrap()).sum()
}

/// Waits until a list of accounting has so many items.
async fn listed(client: &Client, path: &str, wanted: usize) {
    for _ in 0..500 {
        let page: Value = client.call(Method::GET, path, None, None).await.reply().unwrap();
        if page["items"].as_array().unwrap().len() == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{path} never had {wanted} items");
}

/// A posting that waits for an operator is on its way; one that was lost is not, whatever else waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_break_is_none_of_time_though_others_are_on_their_way() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("bank");
    let mut running = Running::start(&mut up(&dir, &["--customers", "0"]), &dir).unwrap();
    let [client, operator] = [Role::Service, Role::Operator].map(|role| running.client(role, "test").unwrap());
    let who = Register { name: "Kim".into(), birth_date: "1990-01-02".parse().unwrap(), kind: Kind::Person };
    let customer = client.register("c1", &who).await.reply().unwrap().id;
    let opening = OpenAccount { customer, product: "toss-demand".into(), currency: None };
    let account = client.deposit(KRW).open("a1", &opening).await.reply().unwrap().id;
    let amount = Amount::new(1_000).unwrap();
    let credit = Order::Credit { account, amount, source: "cash".into(), memo: None };
    for key in ["p1", "p2"] {
        client.deposit(KRW).post(key, &credit).await.reply().unwrap();
    }
    listed(&client, "/accounting/v1/journals", 2).await;
    let (id, dice) = (jangbu_kernel::id::EventId::from_parts(0, 9), Dice::seeded(3));
    let (topic, event_type, key) = ("deposit-krw.postings".into(), "nonsense.v1".into(), account.to_string());
    let log = Log::open_embedded(&dir.join("log.db"), Arc::new(RealClock), dice).await.unwrap();
    log.append(&[Event { id, topic, key, event_type, payload: "{}".into() }]).await.unwrap();
    drop(log);
    listed(&operator, "/accounting/v1/dead-letters", 1).await;
    client.deposit(KRW).post("p3", &credit).await.reply().unwrap();
    listed(&operator, "/accounting/v1/dead-letters", 2).await;

    let (code, report) = check(&dir);
    assert_eq!((code, counted(&report, "control", "timing")), (0, 1), "{report}");
    let told = report["told"].to_string();
    assert!(told.contains("1 postings are on their way"), "{told}");

    let db = Db::open_embedded(&dir.join("accounting.db"), Arc::new(RealClock), Dice::seeded(1)).unwrap();
    let mut tx = db.begin("meddle").await.unwrap();
    // So that the general ledger agrees with itself: only its postings know better.
    for sql in [
        "DELETE FROM journal WHERE id = (SELECT MIN(id) FROM journal)",
        "UPDATE gl_total SET debits = debits - 1000 WHERE debits > 0",
        "UPDATE gl_total SET credits = credits - 1000 WHERE credits > 0",
    ] {
        assert_eq!(tx.execute(sql, &[]).await.unwrap(), 1, "{sql}");
    }
    tx.commit().await.unwrap();
    drop(db);
    for beside in [true, false] {
        if !beside {
            assert!(running.terminate().unwrap().success());
        }
        let (code, report) = check(&dir);
        let found = |level, class| counted(&report, level, class);
        assert_eq!((code, found("control", "missing_right"), found("control", "amount")), (1, 1, 1), "{report}");
        assert_eq!((found("control", "timing"), found("journals", "amount")), (1, 0), "{report}");
    }
}
