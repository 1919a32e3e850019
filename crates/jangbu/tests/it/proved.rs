//! `jangbu check` proves a bank that has lived, and says what is wrong with one that somebody has meddled with.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use jangbu_platform::clock::RealClock;
use jangbu_platform::db::Db;
use jangbu_platform::dice::Dice;
use jangbu_platform::service::Stop;
use serde_json::Value;

use crate::world::{World, rest};

fn check(dir: &Path) -> (i32, Value) {
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
