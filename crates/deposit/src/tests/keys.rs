//! Keys: the same request again gives the same answer and does nothing; another under the key is refused.

use jangbu_platform::stand::Got;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Builder;

use super::world::World;

/// Sends a request three times and then another one under the same key.
async fn check(world: &World, path: &str, key: &str, body: &Value, other: Option<&Value>) -> Got {
    let first = world.post(&world.service, path, key, body).await;
    assert!(!first.is_replay(), "{path} {}", first.text);
    let books = world.books().await;
    for _ in 0..2 {
        let again = world.post(&world.service, path, key, body).await;
        assert_eq!((again.status, &again.text), (first.status, &first.text), "{path} {body}");
        assert!(again.is_replay(), "{path} {body}: the answer was given before");
        assert_eq!(again.headers["content-type"], first.headers["content-type"]);
    }
    if let Some(other) = other {
        let reused = world.post(&world.service, path, key, other).await;
        assert_eq!((reused.status, reused.code()), (422, "KEY_REUSED".to_owned()), "{path} {other}");
    }
    assert_eq!(world.books().await, books);
    first
}

#[tokio::test]
async fn every_call_that_changes_something() {
    let world = World::krw().await;
    let (a, alice) = world.account("demand", 100_000_000).await;
    let (b, _) = world.account("demand", 0).await;
    let with = |kind: &str, rest: Value| {
        let mut command = json!({"kind": kind});
        command.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        command
    };
    let other = with("credit", json!({"account": a, "amount": 1, "source": "cash"}));
    let post = async |key: &str, command: Value| check(&world, "/postings", key, &command, Some(&other)).await;
    let credit = post("1", with("credit", json!({"account": a, "amount": 7, "source": "cash", "memo": "in"}))).await;
    post("2", with("debit", json!({"account": a, "amount": 7, "target": "fees"}))).await;
    post("3", with("transfer", json!({"from": a, "to": b, "amount": 7}))).await;
    let hold = with("hold", json!({"account": a, "amount": 7, "until": "2024-01-01T00:00:00Z"}));
    let hold = post("4", hold).await.text_of("hold");
    post("5", with("capture", json!({"hold": hold, "amount": 5, "target": "cash"}))).await;
    post("6", with("release", json!({"hold": hold}))).await;
    let credit = credit.text_of("id");
    post("7", with("reversal", json!({"posting": credit, "reason": "slip"}))).await;
    post("8", with("debit", json!({"account": b, "amount": 8, "target": "cash"}))).await;
    post("9", with("transfer", json!({"from": b, "to": "acc_00000000000000000000000009", "amount": 70}))).await;
    let opening = json!({"customer": alice, "product": "demand"});
    let closing = check(&world, "/accounts", "a", &opening, Some(&json!({"customer": alice, "product": "usd"}))).await;
    check(&world, "/accounts", "b", &json!({"customer": alice, "product": "none"}), Some(&opening)).await;
    check(&world, &format!("/accounts/{}/close", closing.text_of("id")), "c", &json!({}), None).await;
    check(&world, &format!("/accounts/{a}/close"), "d", &json!({}), None).await;
    world.move_to("2023-08-16T00:00:00+09:00");
    let paid = check(&world, &format!("/accounts/{a}/interest-claims"), "e", &json!({}), None).await;
    assert_eq!((paid.status, paid.json()["net"].as_i64()), (201, Some(4_649)));
    let again = check(&world, &format!("/accounts/{a}/interest-claims"), "f", &json!({}), None).await;
    assert_eq!(again.code(), "ALREADY_CLAIMED");
    let elsewhere = world.post(&world.service, &format!("/accounts/{b}/interest-claims"), "e", &json!({})).await;
    assert_eq!(elsewhere.code(), "KEY_REUSED", "the same body, but another account");
    let elsewhere = world.post(&world.service, &format!("/accounts/{b}/close"), "d", &json!({})).await;
    assert_eq!(elsewhere.code(), "KEY_REUSED");
    for (key, status, code) in [("1", 200, ""), ("6", 422, "HOLD_SETTLED"), ("8", 422, "INSUFFICIENT_AVAILABLE")] {
        let found = world.get(&world.service, &format!("/postings?key={key}")).await;
        assert_eq!((found.status, found.code()), (status, code.to_owned()), "{}", found.text);
        assert!(!found.is_replay());
    }
    assert_eq!(world.get(&world.service, "/postings?key=1").await.text_of("id"), credit);
    assert_eq!(world.get(&world.operator, "/postings?key=1").await.status, 404, "keys belong to their caller");
    let own = world.get(&world.token_of(alice), "/postings?key=1").await;
    assert_eq!(own.status, 404);
}

#[tokio::test]
async fn an_answer_stays_what_it_was_when_time_has_passed() {
    let world = World::krw().await;
    let (a, _) = world.account("demand", 100).await;
    let hold = json!({"kind": "hold", "account": a, "amount": 7, "until": "2023-08-15T10:01:00+09:00"});
    let first = world.post(&world.service, "/postings", "k", &hold).await;
    assert_eq!(first.status, 201, "{}", first.text);
    world.move_to("2023-08-15T10:02:00+09:00");
    let again = world.post(&world.service, "/postings", "k", &hold).await;
    assert_eq!((again.status, again.is_replay(), again.text), (201, true, first.text));
    let late = check(&world, "/postings", "l", &hold, None).await;
    assert_eq!((late.status, late.code()), (400, "INVALID_FIELD".to_owned()));
}

#[tokio::test]
async fn a_key_is_found_as_soon_as_its_command_is_under_way() {
    let world = World::krw().await;
    let (a, _) = world.account("demand", 0).await;
    let command = json!({"kind": "credit", "account": a, "amount": 1, "source": "cash"});
    for n in 0..20 {
        let key = format!("k{n}");
        let path = format!("/postings?key={key}");
        let posted = world.post(&world.service, "/postings", &key, &command);
        let (posted, found) = tokio::join!(posted, world.get(&world.service, &path));
        assert_eq!((posted.status, found.status), (201, 200), "{}", found.text);
        assert_eq!(posted.text, found.text);
    }
}

/// Commands in a batch, some of them again, some keys with another body: each is judged as if it had come alone.
#[test]
fn batches_judge_each_command_alone() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (world, a) = runtime.block_on(async {
        let world = World::krw().await;
        let (a, _) = world.account("demand", 0).await;
        (world, a)
    });
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let mut round = 0;
    let strategy = prop::collection::vec((0u8..6, 1i64..4), 1..20);
    let round = std::cell::RefCell::new(&mut round);
    let ran = runner.run(&strategy, |commands| {
        **round.borrow_mut() += 1;
        let round = **round.borrow();
        let mut seen = std::collections::HashMap::new();
        let wanted: Vec<(u64, bool)> = commands
            .iter()
            .map(|(key, amount)| (if *seen.entry(key).or_insert(amount) == amount { 201 } else { 422 }, true))
            .collect();
        let keyed = |(key, amount): &(u8, i64)| {
            json!({"key": format!("{round}-{key}"), "kind": "credit", "account": a, "amount": amount, "source": "cash"})
        };
        let body = json!({"commands": commands.iter().map(keyed).collect::<Vec<_>>()});
        runtime.block_on(async {
            let balance = async || {
                let got = world.get(&world.service, &format!("/accounts/{a}")).await.json();
                (got["ledger_balance"].as_i64().unwrap(), got["last_serial"].as_u64().unwrap())
            };
            let before = balance().await;
            let mut texts = Vec::new();
            for _ in 0..2 {
                let got = world.post(&world.service, "/postings/batch", "x", &body).await;
                let outcomes = got.json()["outcomes"].as_array().unwrap().clone();
                let statuses: Vec<_> = outcomes.iter().map(|o| (o["status"].as_u64().unwrap(), true)).collect();
                prop_assert_eq!(&statuses, &wanted, "{}", got.text);
                texts.push(got.text);
            }
            prop_assert_eq!(&texts[0], &texts[1]);
            let sum: i64 = seen.values().copied().sum();
            prop_assert_eq!(balance().await, (before.0 + sum, before.1 + seen.len() as u64));
            Ok(())
        })
    });
    ran.unwrap_or_else(|e| panic!("{e}"));
}
