//! Exchanges as the whole bank books them: positions, and what `jangbu check` says of a bank that somebody has meddled with.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use jangbu_contracts::customer::{Kind, Register};
use jangbu_contracts::deposit::{Command, OpenAccount};
use jangbu_kernel::money::Amount;
use jangbu_platform::auth::Role;
use jangbu_platform::clock::RealClock;
use jangbu_platform::db::Db;
use jangbu_platform::dice::Dice;
use jangbu_sim::client::{Client, FX, KRW};
use serde_json::{Value, json};

use crate::proved::{check, counted};
use crate::running::{Running, up};

async fn call(client: &Client, method: Method, path: &str, key: &str, body: &Value) -> Value {
    let body = (!body.is_null()).then(|| body.to_string().into_bytes());
    client.call(method, path, Some(key).filter(|key| !key.is_empty()), body).await.reply().unwrap()
}

/// A customer buys a thousand dollars at 1,340.00 and sells 250 of them.
async fn exchange(client: &Client) {
    let who = Register { name: "Kim".into(), birth_date: "1990-01-02".parse().unwrap(), kind: Kind::Person };
    let customer = client.register("c", &who).await.reply().unwrap().id;
    let opening = |product: &str| OpenAccount { customer, product: product.into(), currency: None };
    let krw_account = client.deposit(KRW).open("a", &opening("toss-demand")).await.reply().unwrap().id;
    let fx_account = client.deposit(FX).open("b", &opening("fx-usd")).await.reply().unwrap().id;
    let amount = Amount::new(5_000_000).unwrap();
    let credit = Command::Credit { account: krw_account, amount, source: "cash".into(), memo: None };
    client.deposit(KRW).post("p", &credit).await.reply().unwrap();
    let rates =
        json!({"rates": [{"currency": "USD", "unit": 1, "mid": "1340.00", "tts": "1340.00", "ttb": "1339.00"}]});
    call(client, Method::PUT, "/exchange/v1/rates", "", &rates).await;
    for (key, side, amount) in [("x1", "buy", 100_000), ("x2", "sell", 25_000)] {
        let asked =
            json!({"customer": customer, "side": side, "currency": "USD", "amount": amount, "amount_in": "foreign"});
        let quote = call(client, Method::POST, "/exchange/v1/quotes", "", &asked).await["id"].clone();
        let asked = json!({"quote": quote, "krw_account": krw_account, "fx_account": fx_account});
        let done = call(client, Method::POST, "/exchange/v1/exchanges", key, &asked).await;
        assert_eq!(done["state"], "EXCHANGE_SUCCEEDED", "{done}");
    }
}

/// Waits until a position is booked and nothing is open; the position.
async fn booked(client: &Client, position: i64) -> Value {
    for _ in 0..500 {
        let shown =
            call(client, Method::GET, "/accounting/v1/positions", "", &Value::Null).await["positions"][0].clone();
        let open = call(client, Method::GET, "/accounting/v1/exchange-breaks", "", &Value::Null).await;
        if shown["position"] == position && open["items"] == json!([]) {
            return shown;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the position was never {position}");
}

async fn meddle(path: &Path, sql: &str) {
    let db = Db::open_embedded(path, Arc::new(RealClock), Dice::seeded(1)).unwrap();
    let mut tx = db.begin("meddle").await.unwrap();
    assert!(tx.execute(sql, &[]).await.unwrap() > 0, "{sql}");
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_are_proved_and_meddling_is_named() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("bank");
    let mut running = Running::start(&mut up(&dir, &["--customers", "0"]), &dir).unwrap();
    let client = running.client(Role::Service, "test").unwrap();
    exchange(&client).await;
    let shown = booked(&client, -75_000).await;
    let figures = ["counter_value", "trading_profit_total", "unrealised_gain"].map(|name| shown[name].as_i64());
    assert_eq!(figures, [Some(-1_005_000), Some(250), Some(0)], "{shown}");
    let (code, report) = check(&dir);
    assert_eq!((code, report["ok"].as_bool()), (0, Some(true)), "beside the running bank: {report}");
    assert!(running.terminate().unwrap().success());
    let (code, report) = check(&dir);
    assert_eq!((code, report["counts"].as_array().unwrap().len()), (0, 0), "{report}");
    let rows = report["services"].as_array().unwrap().iter().find(|read| read["service"] == "exchange");
    assert_eq!(rows.map(|read| read["rows"].clone()), Some(json!(2)), "{report}");

    let first = "(SELECT MIN(id) FROM exchange)";
    for (n, (file, sql, level, class)) in [
        ("exchange", format!("UPDATE exchange SET deposit = withdrawal WHERE id = {first}"), "exchanges", "amount"),
        ("exchange", format!("DELETE FROM exchange WHERE id = {first}"), "exchanges", "missing_left"),
        ("exchange", "UPDATE quote SET won = won + 1".into(), "exchanges", "amount"),
        ("accounting", "DELETE FROM exchange_decision".into(), "exchanges", "missing_right"),
        ("accounting", "DELETE FROM exchange_decision".into(), "exchanges", "undecided"),
        ("accounting", "DELETE FROM exchange_leg WHERE currency = 'KRW'".into(), "exchanges", "missing_left"),
        ("accounting", "DELETE FROM exchange_leg WHERE currency = 'USD'".into(), "exchanges", "missing_right"),
        ("accounting", "UPDATE exchange_leg SET amount = amount + 1".into(), "positions", "amount"),
        ("accounting", "UPDATE position_day SET foreign_moved = 0".into(), "positions", "amount"),
        ("deposit-fx", "UPDATE posting SET amount = amount + 1 WHERE seq = 1".into(), "control", "amount"),
    ]
    .into_iter()
    .enumerate()
    {
        let copy = home.path().join(format!("copy {n}"));
        std::fs::create_dir(&copy).unwrap();
        for entry in std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap()) {
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
            }
        }
        meddle(&copy.join(format!("{file}.db")), &sql).await;
        let (code, report) = check(&copy);
        assert_eq!(code, 1, "{sql}");
        assert!(counted(&report, level, class) > 0, "{sql}: {report}");
    }
}

/// What is parked for an operator is on its way; what was lost is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_waits_is_a_matter_of_time_and_one_that_was_lost_is_none() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("bank");
    let mut running = Running::start(&mut up(&dir, &["--customers", "0"]), &dir).unwrap();
    exchange(&running.client(Role::Service, "test").unwrap()).await;
    booked(&running.client(Role::Service, "test").unwrap(), -75_000).await;
    assert!(running.terminate().unwrap().success());
    meddle(&dir.join("accounting.db"), "DELETE FROM exchange_decision").await;
    let (code, report) = check(&dir);
    assert_eq!((code, counted(&report, "exchanges", "missing_right")), (1, 2), "they were lost: {report}");
    assert_eq!(counted(&report, "exchanges", "timing"), 0, "{report}");
    meddle(&dir.join("log.db"), "UPDATE group_offset SET next_off = 0 WHERE topic = 'exchange.decided'").await;
    let (_, report) = check(&dir);
    assert_eq!(counted(&report, "exchanges", "missing_right"), 0, "they are on their way: {report}");
    let found = ["timing", "undecided"].map(|class| counted(&report, "exchanges", class));
    assert_eq!(found, [2, 0], "decisions, and legs without them: {report}");
}
