//! A seed gives the same life again.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use jangbu_contracts::codes::Code;
use jangbu_contracts::problem::Problem;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_kernel::time::Timestamp;
use jangbu_platform::dice::Dice;

use super::town::{Person, Town, Ways};
use super::{Habits, Hand};
use crate::client::{Client, Keys};

/// What a bank that refuses everything was asked: caller, key, path and body.
type Heard = Arc<Mutex<Vec<String>>>;

fn deaf_bank(heard: &Heard) -> Router {
    let heard = Arc::clone(heard);
    Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let text = |name: &str| headers.get(name).map_or("", |v| v.to_str().unwrap()).to_owned();
        let body = String::from_utf8_lossy(&body).into_owned();
        heard.lock().unwrap().push(format!(
            "{} {} {method} {uri} {body}",
            text("authorization"),
            text("idempotency-key")
        ));
        let problem = Problem::new(Code::InsufficientAvailable, "available 0");
        async move { (StatusCode::UNPROCESSABLE_ENTITY, serde_json::to_vec(&problem).unwrap()) }
    })
}

fn person(n: u64) -> Person {
    Person {
        name: format!("Kim {n}"),
        customer: CustomerId::from_parts(1, u128::from(n)),
        account: AccountId::from_parts(1, u128::from(n)),
        since: "2026-01-01".parse().unwrap(),
        shop: n == 1,
        salary_day: 5,
        salary: 2_000_000,
    }
}

async fn life(seed: u64) -> Vec<String> {
    let heard = Heard::default();
    let ways = Ways {
        client: Client::here(deaf_bank(&heard), "nobody").unwrap(),
        tokens: Arc::new(|role, subject| Ok(format!("{role}:{subject}"))),
        auditor: None,
    };
    let keys = Arc::new(Keys::since(Timestamp::from_micros(1_000)));
    let town = Town::of((1..=20).map(person).collect(), &ways, keys).unwrap();
    let dice = Dice::seeded(seed);
    let habits = Habits { give_up_per_mille: 0, ..Habits::wild(&dice) };
    let mut hand = Hand::new(Arc::new(town), dice, habits);
    for _ in 0..1_000 {
        hand.act().await.unwrap();
    }
    std::mem::take(&mut *heard.lock().unwrap())
}

#[tokio::test]
async fn a_seed_gives_the_same_life_again() {
    let first = life(1).await;
    assert_eq!(first, life(1).await);
    assert_ne!(first, life(2).await);
}

#[tokio::test]
async fn everybody_asks_for_themselves_and_everything_is_tried() {
    let heard = life(3).await;
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let mut keys: BTreeMap<String, usize> = BTreeMap::new();
    for line in &heard {
        let (who, rest) = line.strip_prefix("Bearer ").unwrap().split_once(' ').unwrap();
        let (key, rest) = rest.split_once(' ').unwrap();
        *keys.entry(key.to_owned()).or_default() += 1;
        let body: serde_json::Value = rest
            .split_once(" {")
            .map_or(serde_json::Value::Null, |(_, body)| serde_json::from_str(&format!("{{{body}")).unwrap());
        let kind = body["kind"].as_str().unwrap_or(if rest.contains("claims") { "claim" } else { "batch" });
        *kinds.entry(kind.to_owned()).or_default() += 1;
        if let Some(customer) = who.strip_prefix("customer:") {
            let from = body["from"].as_str().unwrap_or_else(|| rest.split('/').nth(4).unwrap().trim_end());
            assert_eq!(from.trim_start_matches("acc_"), customer.trim_start_matches("cus_"), "{line}");
        } else {
            assert_ne!(kind, "claim", "{line}");
        }
    }
    for kind in ["transfer", "credit", "debit", "hold", "claim", "batch"] {
        assert!(kinds.get(kind).is_some_and(|n| *n > 5), "{kind} in {kinds:?}");
    }
    assert!(keys.values().any(|n| *n > 1), "some are sent twice");
}
