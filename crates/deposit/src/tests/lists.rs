//! Lists: pages in order, nothing twice, nothing left out.

use jangbu_contracts::customer::Kind;
use serde_json::{Value, json};

use super::world::World;

/// All items of a list, read by pages of `limit`, and how many pages there were.
async fn read(world: &World, path: &str, limit: usize) -> (Vec<Value>, usize) {
    let (mut items, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let join = if path.contains('?') { '&' } else { '?' };
        let got = world.get(&world.service, &format!("{path}{join}limit={limit}{cursor}")).await;
        assert_eq!(got.status, 200, "{}", got.text);
        let page = got.json();
        let some = page["items"].as_array().unwrap().clone();
        assert!(some.len() <= limit && (page["next"].is_null() || some.len() == limit), "{}", got.text);
        items.extend(some);
        pages += 1;
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (items, pages),
        }
    }
}

fn texts(items: &[Value], field: &str) -> Vec<String> {
    items.iter().map(|i| i[field].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn accounts_and_products() {
    let world = World::krw().await;
    let owner = world.customer(Kind::Person, &[]);
    let mut own = Vec::new();
    for _ in 0..5 {
        own.push(world.account_of(owner, "demand").await);
        world.account("usd", 0).await;
    }
    let of_owner = format!("/accounts?customer={owner}");
    for (path, limit, pages, count) in
        [(of_owner.as_str(), 2, 3, 5), (of_owner.as_str(), 5, 1, 5), ("/accounts", 3, 4, 10), ("/accounts", 10, 1, 10)]
    {
        let (items, seen) = read(&world, path, limit).await;
        assert_eq!((seen, items.len()), (pages, count), "{path} {limit}");
    }
    assert_eq!(texts(&read(&world, &of_owner, 2).await.0, "id"), own);
    let codes = ["demand", "later", "limits", "term", "usd"];
    assert_eq!(texts(&read(&world, "/products", 2).await.0, "code"), codes);
}

async fn demand(world: &World) -> Value {
    world.get(&world.service, "/products/demand").await.json()
}

#[tokio::test]
async fn products_show_the_terms_that_hold() {
    let world = World::krw().await;
    let terms = |from: &str, rate: &str| {
        json!({"code": "demand", "name": "Demand", "kind": "demand", "currency": "KRW", "from": from,
               "tiers": [{"up_to": null, "rate": rate}]})
    };
    let first = world.put("/products/demand", &terms("2023-08-16", "0.03")).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let again = world.put("/products/demand", &terms("2023-08-16", "0.03")).await;
    assert_eq!((again.status, again.text), (200, first.text));
    assert_eq!(world.put("/products/demand", &terms("2023-08-16", "0.04")).await.codes(), ["TERMS_INVALID"]);
    for field in ["bonus", "early_closing", "after_maturity", "rounding", "pay", "limits", "term"] {
        assert!(demand(&world).await.get(field).is_some(), "{field} is always shown");
    }
    let shown = async || {
        let product = world.get(&world.service, "/products/demand").await.json();
        (product["tiers"][0]["rate"].clone(), product["versions"].as_array().unwrap().len())
    };
    assert_eq!(shown().await, (json!("0.02"), 2));
    world.move_to("2023-08-16T00:00:00+09:00");
    assert_eq!(shown().await, (json!("0.03"), 2));
    assert_eq!(world.put("/products/demand", &terms("2023-08-16", "0.03")).await.status, 200, "it stands, and stays");
}

#[tokio::test]
async fn entries_by_serial() {
    let world = World::krw().await;
    let (id, _) = world.account("demand", 0).await;
    for amount in 1..=23 {
        world.posted(&json!({"kind": "credit", "account": id, "amount": amount, "source": "cash"})).await;
    }
    for limit in [1, 5, 22, 23, 24] {
        let (items, _) = read(&world, &format!("/accounts/{id}/entries"), limit).await;
        let serials: Vec<_> = items.iter().map(|i| i["serial"].as_u64().unwrap()).collect();
        assert_eq!(serials, (1..=23).collect::<Vec<_>>());
        let balances: Vec<_> = items.iter().map(|i| i["balance_after"].as_i64().unwrap()).collect();
        assert_eq!(balances, (1..=23).map(|n| n * (n + 1) / 2).collect::<Vec<_>>());
    }
    let (items, _) = read(&world, &format!("/accounts/{id}/entries?after_serial=20"), 2).await;
    assert_eq!(items.iter().map(|i| i["serial"].as_u64().unwrap()).collect::<Vec<_>>(), [21, 22, 23]);
    assert!(read(&world, &format!("/accounts/{id}/entries?after_serial=23"), 2).await.0.is_empty());
}

/// `date opening debits credits closing serial`, a line each.
fn days(items: &[Value]) -> Vec<String> {
    let number = |day: &Value, field: &str| day[field].as_i64().unwrap();
    let line = |d: &Value| {
        let numbers = ["opening", "debits", "credits", "closing", "last_serial"].map(|f| number(d, f).to_string());
        format!("{} {}", d["date"].as_str().unwrap(), numbers.join(" "))
    };
    items.iter().map(line).collect()
}

#[tokio::test]
async fn every_day_of_an_account() {
    let world = World::krw().await;
    let (id, _) = world.account("demand", 100).await;
    let path = format!("/accounts/{id}/daily-balances");
    world.posted(&json!({"kind": "debit", "account": id, "amount": 30, "target": "cash"})).await;
    world.move_to("2023-08-18T09:00:00+09:00");
    world.posted(&json!({"kind": "credit", "account": id, "amount": 5, "source": "cash"})).await;
    world.move_to("2023-08-20T09:00:00+09:00");
    let all = [
        "2023-08-15 0 30 100 70 2",
        "2023-08-16 70 0 0 70 2",
        "2023-08-17 70 0 0 70 2",
        "2023-08-18 70 0 5 75 3",
        "2023-08-19 75 0 0 75 3",
        "2023-08-20 75 0 0 75 3",
    ];
    for limit in 1..=7 {
        assert_eq!(days(&read(&world, &path, limit).await.0), all, "by {limit}");
    }
    for (range, first, last) in [
        ("from=2023-08-17", 2, 5),
        ("to=2023-08-17", 0, 2),
        ("from=2023-08-18&to=2023-08-18", 3, 3),
        ("from=2023-08-19&to=2023-08-19", 4, 4),
        ("from=2020-01-01&to=2030-01-01", 0, 5),
    ] {
        let items = days(&read(&world, &format!("{path}?{range}"), 2).await.0);
        assert_eq!(items, all[first..=last], "{range}");
    }
    for range in ["from=2023-08-21", "to=2023-08-14"] {
        assert!(read(&world, &format!("{path}?{range}"), 2).await.0.is_empty(), "{range}");
    }
}
