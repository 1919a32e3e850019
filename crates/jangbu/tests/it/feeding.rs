//! A bank that is up publishes boards by itself, and after a start goes on where the board stands.

use std::path::Path;
use std::time::Duration;

use axum::http::Method;
use jangbu_contracts::exchange::Rates;
use jangbu_platform::auth::Role;

use crate::running::{Running, up};

/// The board, once its dollar is another than that.
async fn board(bank: &Running, other_than: &str) -> String {
    let client = bank.client(Role::Service, "looker").unwrap();
    for _ in 0..1_000 {
        let got = client.call::<Rates>(Method::GET, "/exchange/v1/rates", None, None).await;
        let dollar = got.reply().ok().and_then(|board| board.rates.into_iter().find(|r| r.currency.code() == "USD"));
        match dollar.map(|rate| rate.mid.to_string()) {
            Some(mid) if mid != other_than => return mid,
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    panic!("the board stays at {other_than}");
}

fn open(dir: &Path, every: &str) -> Running {
    Running::start(&mut up(dir, &["--customers", "0", "--feed", every]), dir).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_publishes_past_rates_day_after_day() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("bank");
    let bank = open(&dir, "1h");
    // The euro reference rates of the first two working days of 2024, as crosses.
    assert_eq!(board(&bank, "").await, "1313.23");
    drop(bank);
    let bank = open(&dir, "1h");
    let second = board(&bank, "1313.23").await;
    drop(bank);
    let bank = open(&dir, "off");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(board(&bank, "").await, second, "nobody publishes");
}
