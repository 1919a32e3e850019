//! The simulated customers of `jangbu up`.

use std::time::Duration;

use jangbu_kernel::money::Currency;
use jangbu_platform::auth::Role;
use jangbu_sim::client::KRW;

use crate::running::{Running, manual, up};

/// Debits and credits of the general ledger, once they have passed `more`.
async fn passed(running: &Running, more: i128) -> i128 {
    let client = running.client(Role::Operator, "operator").unwrap();
    for _ in 0..1_000 {
        let ledger = client.trial_balance(Currency::KRW).await.reply().unwrap();
        assert!(ledger.balanced);
        if ledger.debits > more {
            return ledger.debits;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_live_and_go_on_after_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("bank");
    let mut running = Running::start(&mut up(&dir, &["--customers", "60", "--seed", "5"]), &dir).unwrap();
    assert!(running.says("customers living here").await.contains("60 (60 new)"));
    let first = passed(&running, 0).await;
    let later = passed(&running, first).await;
    assert_eq!(running.terminate().unwrap().code(), Some(0));

    // The same people, and three more.
    let mut running = Running::start(&mut up(&dir, &["--customers", "63"]), &dir).unwrap();
    assert!(running.says("customers living here").await.contains("63 (3 new)"));
    passed(&running, later).await;
    running.kill();

    // The next day each of them takes the interest of the days before, once.
    let tomorrow = jangbu_platform::clock::Clock::now(&jangbu_platform::clock::RealClock).plus_micros(86_400_000_000);
    let clock = manual(tomorrow);
    let args: Vec<&str> = clock.iter().map(String::as_str).chain(["--customers", "63"]).collect();
    let running = Running::start(&mut up(&dir, &args), &dir).unwrap();
    assert!(running.says("customers living here").await.contains("63 (0 new)"));
    let people = jangbu_sim::workload::life::kept(&dir).unwrap();
    let client = running.client(Role::Service, "t").unwrap();
    for person in [&people[0], &people[62]] {
        let mut paid = 0;
        for _ in 0..500 {
            let entries = client.deposit(KRW).entries(person.account, 0, 500).await.reply().unwrap();
            paid = entries.items.iter().filter(|e| e.kind == "interest").count();
            if paid > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(paid, 1, "{}", person.name);
    }
}
