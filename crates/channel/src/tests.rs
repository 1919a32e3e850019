//! The channel before deposit instances that count their calls, and fail, and lie when told to.
#![allow(clippy::unwrap_used)]

mod fake;
mod faults;
mod midnight;

use std::ops::Deref;
use std::sync::Arc;

use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_kernel::time::Timestamp;
use jangbu_platform::auth::Role;
use jangbu_platform::edge::Edge;
use jangbu_platform::http::{Gate, with_fallbacks};
use jangbu_platform::kv::Kv;
use jangbu_platform::stand::{Got, Stand};
use jangbu_platform::telemetry::Metrics;
use serde_json::{Value, json};

use fake::Fake;

/// One bank with a channel and two instances behind it.
struct Bank {
    stand: Stand,
    kv: Kv,
    metrics: Metrics,
    krw: Arc<Fake>,
    fx: Arc<Fake>,
    _dir: tempfile::TempDir,
}

impl Deref for Bank {
    type Target = Stand;
    fn deref(&self) -> &Stand {
        &self.stand
    }
}

/// An answer of the channel.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    status: u16,
    replay: bool,
    retry: bool,
    body: Value,
}

impl Told {
    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }
}

fn customer(n: u128) -> CustomerId {
    CustomerId::from_parts(0, n)
}

fn account(n: u128) -> AccountId {
    AccountId::from_parts(0, n)
}

/// The instant of a Seoul wall clock.
fn seoul(text: &str) -> Timestamp {
    format!("{text}+09:00").parse().unwrap()
}

async fn bank() -> Bank {
    bank_at("2026-01-10T10:00:00").await
}

async fn bank_at(at: &str) -> Bank {
    let dir = tempfile::tempdir().unwrap();
    let (stand, world) = Stand::new(dir.path(), &crate::SERVICE, seoul(at)).await.unwrap();
    let gate = Gate::new(stand.keys.clone(), stand.clock.clone());
    let edge = Edge::new(gate, stand.dice.clone(), Metrics::default());
    let [krw, fx] = ["deposit-krw", "deposit-fx"].map(|name| {
        let fake = Fake::new(name, stand.clock.clone());
        stand.ask.open_here(name, with_fallbacks(edge.open(name, fake::router(&fake))));
        fake
    });
    for (n, owner) in [(1, 1), (2, 1), (3, 2)] {
        krw.open(account(n), customer(owner));
    }
    fx.open(account(9), customer(1));
    let (kv, metrics) = (world.kv.clone(), world.metrics.clone());
    Bank { stand: stand.with(crate::open(world).router), kv, metrics, krw, fx, _dir: dir }
}

impl Told {
    /// An answer, which must be as its document says.
    async fn of(bank: &Bank, method: &str, path: &str, got: Got) -> Told {
        let problem = got.headers["content-type"] == "application/problem+json";
        assert_eq!(problem, got.status >= 400, "{got:?}");
        let document = bank.document().await.unwrap();
        let flaws = document.answer_flaws(method, &format!("/channel/v1{path}"), got.status, &got.json());
        assert_eq!(flaws, Vec::<String>::new(), "{got:?}");
        let retry = got.headers.contains_key("retry-after");
        Told { status: got.status, replay: got.is_replay(), retry, body: got.json() }
    }
}

impl Bank {
    fn at(&self, text: &str) {
        assert!(self.clock.advance_to(seoul(text)), "{text} is past");
    }

    async fn get_as(&self, token: &str, path: &str) -> Told {
        let got = self.get(token, path).await;
        Told::of(self, "get", path, got).await
    }

    /// The owner looks at his account.
    async fn look(&self, n: u128) -> Value {
        let owner = self.token(Role::Customer, &customer(1).to_string());
        let told = self.get_as(&owner, &format!("/accounts/{}", account(n))).await;
        assert_eq!(told.status, 200, "{told:?}");
        told.body
    }

    /// What the owner sees: the day and the amount to claim.
    async fn seen(&self, n: u128) -> (String, i64) {
        let interest = self.look(n).await["interest"].clone();
        (interest["as_of"].as_str().unwrap().to_owned(), interest["net"].as_i64().unwrap())
    }

    async fn claim_as(&self, who: CustomerId, n: u128, key: &str) -> Told {
        let token = self.token(Role::Customer, &who.to_string());
        let path = format!("/accounts/{}/interest-claims", account(n));
        let got = self.post(&token, &path, key, &json!({})).await;
        Told::of(self, "post", &path, got).await
    }

    async fn claim(&self, n: u128, key: &str) -> Told {
        self.claim_as(customer(1), n, key).await
    }

    fn counted(&self, what: &str, result: &str) -> u64 {
        let labels = [("what", what), ("result", result)];
        self.metrics.counter("jangbu_channel_cache_total", "Questions to the channel's cache.", &labels).get()
    }
}

#[tokio::test]
async fn the_screen_is_the_account_and_todays_interest() {
    let bank = bank().await;
    let screen = bank.look(1).await;
    assert_eq!(screen["id"], account(1).to_string());
    assert_eq!(screen["customer"], customer(1).to_string());
    assert_eq!(screen["ledger_balance"], 1_000);
    let interest = &screen["interest"];
    assert_eq!(interest["as_of"], "2026-01-10");
    assert_eq!((&interest["from"], &interest["to"]), (&"2026-01-01".into(), &"2026-01-09".into()));
    assert_eq!(interest["net"], 900, "nine days of a hundred won");
    assert_eq!(interest["periods"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_preview_is_worked_out_once_a_day_and_the_balance_is_asked_each_time() {
    let bank = bank().await;
    for balance in [5_000, 6_000, 7_000] {
        bank.krw.change(account(1), |account| account.balance = balance);
        assert_eq!(bank.look(1).await["ledger_balance"], balance);
    }
    assert_eq!(bank.krw.calls(), ["account", "interest", "account", "account"]);
    assert_eq!((bank.counted("preview", "miss"), bank.counted("preview", "hit")), (1, 2));
    bank.seen(2).await;
    assert_eq!(bank.krw.calls(), ["account", "interest"], "another account has a figure of its own");
}

#[tokio::test]
async fn after_a_claim_there_is_nothing_more_to_claim() {
    let bank = bank().await;
    assert_eq!(bank.seen(1).await, ("2026-01-10".into(), 900));
    let paid = bank.claim(1, "k1").await;
    assert_eq!((paid.status, paid.replay, &paid.body["net"]), (201, false, &900.into()));
    assert_eq!(bank.kv.get(&crate::previews::key(account(1), bank.today())).await.unwrap(), None, "it was dropped");
    assert_eq!(bank.seen(1).await, ("2026-01-10".into(), 0));
    let again = bank.claim(1, "k1").await;
    assert_eq!((again.status, again.replay, &again.body), (201, true, &paid.body));
    let refused = bank.claim(1, "k2").await;
    assert_eq!((refused.status, refused.code(), refused.replay), (422, "ALREADY_CLAIMED", false));
    bank.at("2026-01-11T00:00:00");
    let same = bank.claim(1, "k2").await;
    assert_eq!((same.status, same.replay, &same.body), (422, true, &refused.body), "a refusal is kept, too");
    assert_eq!(bank.seen(1).await, ("2026-01-11".into(), 100));
    assert_eq!(bank.claim(1, "k3").await.body["net"], 100);
    assert_eq!(bank.krw.paid(account(1)), 1_000, "each day once");
}

#[tokio::test]
async fn keys_are_the_callers_own() {
    let bank = bank().await;
    assert_eq!(bank.claim(1, "k1").await.status, 201);
    let other = bank.claim(2, "k1").await;
    assert_eq!((other.status, other.code()), (422, "KEY_REUSED"), "for another account it is another request");
    let stranger = bank.claim_as(customer(2), 3, "k1").await;
    assert_eq!((stranger.status, stranger.replay), (201, false), "another customer's k1 is another key");
    let long = "k".repeat(64);
    assert_eq!(bank.claim(2, &long).await.status, 201);
    assert!(bank.claim(2, &long).await.replay);
}

#[tokio::test]
async fn customers_see_their_own_accounts_and_staff_all() {
    let bank = bank().await;
    let stranger = bank.token(Role::Customer, &customer(2).to_string());
    let (mine, his) = (format!("/accounts/{}", account(3)), format!("/accounts/{}", account(1)));
    assert_eq!(bank.get_as(&stranger, &mine).await.status, 200);
    let unknown = format!("/accounts/{}", account(77));
    for path in [&his, &unknown, &"/accounts/acc_1".to_owned(), &format!("/customers/{}/accounts", customer(1))] {
        let told = bank.get_as(&stranger, path).await;
        assert_eq!((told.status, told.code()), (404, "NOT_FOUND"), "{path}");
    }
    bank.krw.calls();
    let told = bank.claim_as(customer(2), 1, "k1").await;
    assert_eq!((told.status, told.code()), (404, "NOT_FOUND"));
    assert_eq!(bank.krw.calls(), ["account"], "nothing was claimed");
    for (role, name) in [(Role::Operator, "kim"), (Role::Service, "app")] {
        let staff = bank.token(role, name);
        assert_eq!(bank.get_as(&staff, &his).await.status, 200);
        assert_eq!(bank.get_as(&staff, &unknown).await.status, 404);
    }
    assert_eq!(bank.get_as("nonsense", &his).await.code(), "CREDENTIAL_INVALID");
    assert_eq!(bank.get_as("", &his).await.code(), "NO_CREDENTIAL");
}

#[tokio::test]
async fn malformed_claims_reach_nobody() {
    let bank = bank().await;
    let token = bank.token(Role::Customer, &customer(1).to_string());
    let path = format!("/accounts/{}/interest-claims", account(1));
    let post = |key: Option<&str>, body: &'static str| {
        let request = bank.request(&token, "POST", &path).header("content-type", "application/json");
        bank.send(if let Some(key) = key { request.header("idempotency-key", key) } else { request }, body)
    };
    for (key, body, code) in [
        (None, "{}", "KEY_MISSING"),
        (Some(""), "{}", "KEY_INVALID"),
        (Some("k"), "", "MALFORMED_JSON"),
        (Some("k"), "{\"amount\":5}", "UNKNOWN_FIELD"),
        (Some("k"), "[]", "INVALID_FIELD"),
    ] {
        let told = post(key, body).await;
        assert_eq!((told.status, told.code()), (400, code.to_owned()), "{key:?} {body}");
    }
    assert!(bank.krw.calls().is_empty());
}

#[tokio::test]
async fn all_accounts_of_a_customer_are_listed_over_both_instances() {
    let bank = bank().await;
    let owner = bank.token(Role::Customer, &customer(1).to_string());
    let path = format!("/customers/{}/accounts", customer(1));
    let told = bank.get_as(&owner, &path).await;
    let ids: Vec<&str> = told.body["items"].as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [1, 2, 9].map(|n| account(n).to_string()));
    assert_eq!(told.body["next"], Value::Null);
    bank.ask.close("deposit-fx");
    let told = bank.get_as(&owner, &path).await;
    assert_eq!((told.status, told.code(), told.retry), (503, "UNAVAILABLE", true), "no list that lacks some");
}

#[tokio::test]
async fn the_document_tells_what_is_served() {
    let bank = bank().await;
    assert_eq!(bank.document_flaws().await, Vec::<String>::new());
    let document = bank.document().await.unwrap();
    let ids: Vec<&str> = document.calls().filter_map(|(.., operation)| operation["operationId"].as_str()).collect();
    assert!(["screen", "claim", "accounts"].iter().all(|id| ids.contains(id)), "{ids:?}");
}
