//! Lists of exchanges, and what operators may do about those that are stuck.

use jangbu_contracts::codes::Code;
use jangbu_kernel::id::{AccountId, CustomerId, PostingId};
use jangbu_platform::auth::Role;
use jangbu_platform::clock::Clock as _;
use jangbu_platform::stand::Got;
use jangbu_platform::telemetry::Gauge;
use serde_json::{Value, json};

use super::world::{World, posting};
use crate::flows::alarm;

/// What the quotes of these tests come to.
const WON: i64 = 644_390;

impl World {
    /// An exchange of a customer with nothing before, by a quote for 500 dollars.
    async fn begun(&self, n: u128) -> (CustomerId, (AccountId, AccountId), Got) {
        let (customer, accounts) = self.customer(n);
        let quote = self.quote(customer, "buy", 50_000, "foreign").await.text_of("id");
        (customer, accounts, self.exchange(&format!("k{n}"), &quote, accounts).await)
    }

    /// One whose deposit was refused and whose withdrawal nobody gives back.
    async fn stuck(&self, n: u128) -> (CustomerId, (AccountId, AccountId), String) {
        self.fx().refuse = Some(Code::OwnerIdentityTheft);
        let (customer, accounts, got) = self.begun(n).await;
        self.fx().refuse = None;
        assert_eq!(got.text_of("state"), "WITHDRAW_CANCEL_NEEDED", "{}", got.text);
        (customer, accounts, got.text_of("id"))
    }

    async fn list(&self, token: &str, query: &str) -> (Vec<String>, Option<String>) {
        let got = self.get(token, &format!("/exchanges?{query}")).await.json();
        let ids = got["items"].as_array().unwrap_or_else(|| panic!("{got}")).iter();
        (ids.map(|e| e["id"].as_str().unwrap().to_owned()).collect(), got["next"].as_str().map(str::to_owned))
    }

    async fn force(&self, id: &str, to: &str) -> Got {
        let body = json!({"to": to, "reason": "looked at both accounts"});
        self.post(&self.operator, &format!("/exchanges/{id}/force"), "f", &body).await
    }

    /// Forces with a second person's agreement; the answer to him.
    async fn forced(&self, id: &str, to: &str) -> Got {
        let asked = self.force(id, to).await;
        assert_eq!(asked.status, 202, "{}", asked.text);
        let path = format!("/approvals/{}", asked.text_of("approval"));
        let decision = json!({"decision": "approve", "reason": "so it is"});
        assert_eq!(self.post(&self.operator, &path, "a", &decision).await.code(), "SAME_PERSON");
        self.post(&self.token(Role::Operator, "lee"), &path, "a", &decision).await
    }

    /// What was told of its decision.
    async fn decided(&self, id: &str) -> Vec<Value> {
        let told = self.told().await.into_iter();
        told.filter(|(topic, _, e)| topic == "exchange.decided" && e["exchange"] == id).map(|(.., e)| e).collect()
    }

    fn pass(&self, seconds: i64) {
        self.clock.advance_to(self.clock.now().plus_micros(seconds * 1_000_000));
    }
}

#[tokio::test]
async fn exchanges_are_listed_newest_first_and_customers_see_their_own() {
    let world = World::with_board().await;
    let mut ids = Vec::new();
    for n in 1..=3 {
        world.pass(1);
        ids.push(world.begun(n).await.2.text_of("id"));
    }
    world.pass(1);
    let (customer, _, failed) = world.stuck(4).await;
    ids.push(failed.clone());
    ids.reverse();
    assert_eq!(world.list(&world.service, "").await, (ids.clone(), None));
    let (page, next) = world.list(&world.service, "limit=3").await;
    assert_eq!(page, ids[..3]);
    assert_eq!(
        world.list(&world.service, &format!("limit=3&cursor={}", next.unwrap())).await,
        (ids[3..].to_vec(), None)
    );
    assert_eq!(world.list(&world.service, "state=EXCHANGE_SUCCEEDED").await.0, ids[1..]);
    assert_eq!(world.list(&world.service, "state=WITHDRAW_CANCEL_NEEDED").await.0, vec![failed.clone()]);
    assert_eq!(world.list(&world.service, &format!("customer={customer}")).await.0, vec![failed.clone()]);
    let own = world.token(Role::Customer, &customer.to_string());
    assert_eq!(world.list(&own, "").await.0, [failed]);
    let got = world.get(&own, "/exchanges").await.json();
    assert_eq!(got["items"][0]["history"].as_array().unwrap().len(), 3, "{got}");
    let other = CustomerId::from_parts(1_767_225_600_000, 1);
    assert_eq!(world.get(&own, &format!("/exchanges?customer={other}")).await.code(), "FORBIDDEN");
    for (query, code) in [("state=DONE", "INVALID_FIELD"), ("cursor=x", "INVALID_CURSOR"), ("limit=0", "INVALID_FIELD")]
    {
        assert_eq!(world.get(&world.service, &format!("/exchanges?{query}")).await.code(), code);
    }
}

#[tokio::test]
async fn what_is_stuck_says_why_and_what_helps() {
    let world = World::with_board().await;
    let (customer, _, id) = world.stuck(1).await;
    let path = format!("/exchanges/{id}");
    assert_eq!(world.list(&world.service, "stuck=true").await.0, Vec::<String>::new(), "it may be on its way");
    assert_eq!(world.force(&id, "EXCHANGE_FAILED").await.code(), "EXCHANGE_NOT_STUCK");
    // It is being looked for, and not found: after a minute people are told.
    world.pass(60);
    let shown = world.until(&id, |e| e["stuck"]["reason"].as_str().is_some_and(|r| r.contains("there is none"))).await;
    assert!(shown["stuck"]["remedy"].as_str().unwrap().contains("being given back"), "{shown}");
    assert!(shown["stuck"]["next_try_at"].is_string(), "{shown}");
    assert_eq!(world.list(&world.service, "stuck=true").await.0, vec![id.clone()]);
    let own = world.token(Role::Customer, &customer.to_string());
    assert!(world.get(&own, &path).await.json()["stuck"].is_null(), "customers are not told");
    // The books refuse to give it back: it waits for a person, whenever that happens.
    world.krw().kept.insert(format!("{}:cancel", saga(&id)), (422, json!({"code": "ACCOUNT_CLOSED"})));
    let recheck = async |token: &str| {
        let body = json!({"reason": "the service runs again"});
        world.post(token, &format!("{path}/recheck"), "r", &body).await
    };
    assert_eq!(recheck(&world.service).await.code(), "FORBIDDEN");
    assert_eq!(recheck(&world.operator).await.status, 202);
    let shown = world.until(&id, |e| e["stuck"].is_object() && e["stuck"]["next_try_at"].is_null()).await;
    assert!(shown["stuck"]["reason"].as_str().unwrap().contains("ACCOUNT_CLOSED"), "{shown}");
    assert!(shown["stuck"]["remedy"].as_str().unwrap().contains("force EXCHANGE_FAILED"), "{shown}");
    // Once it was undone, a re-check finds it.
    world.krw().kept.insert(format!("{}:cancel", saga(&id)), (422, json!({"code": "ALREADY_REVERSED"})));
    assert_eq!(recheck(&world.operator).await.status, 202);
    world.until(&id, |e| e["state"] == "EXCHANGE_FAILED").await;
    assert_eq!(recheck(&world.operator).await.code(), "EXCHANGE_DECIDED");
    assert_eq!(world.force(&id, "EXCHANGE_FAILED").await.code(), "EXCHANGE_DECIDED");
    let audit = world.get(&world.operator, &format!("/audit?subject={id}")).await.json();
    assert_eq!(audit["items"].as_array().unwrap().len(), 2, "{audit}");
    assert_eq!(audit["items"][0]["what"], "exchange.recheck");
}

/// The saga of an exchange, as keys name it.
fn saga(id: &str) -> String {
    id.replacen("fxe_", "sga_", 1)
}

/// What the books are made to say of one movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Stands,
    Undone,
    Never,
    Open,
}

impl World {
    /// Makes the books say so, whatever happened.
    fn say(&self, id: &str, withdrawal: Said, deposit: Said) {
        for (said, step, n) in [(withdrawal, "withdraw", 1), (deposit, "deposit", 2)] {
            let mut books = if n == 1 { self.krw() } else { self.fx() };
            let (key, made) = (format!("{}:{step}", saga(id)), PostingId::from_parts(1_767_225_600_000, n));
            match said {
                Said::Stands | Said::Undone => books.kept.insert(key, (201, posting(made, &json!("debit"), WON))),
                Said::Never => books.kept.insert(key, (422, json!({"code": "ACCOUNT_CLOSED"}))),
                Said::Open => books.kept.remove(&key),
            };
            if said == Said::Undone {
                books.undone.insert(made.to_string());
            } else {
                books.undone.remove(&made.to_string());
            }
        }
    }
}

#[tokio::test]
async fn two_persons_force_only_what_the_books_say() {
    use Said::{Never, Open, Stands, Undone};
    let world = World::with_board().await;
    let mut n = 0;
    for (withdrawal, deposit) in
        [Stands, Undone, Never, Open].iter().flat_map(|w| [Stands, Undone, Never, Open].map(|d| (*w, d)))
    {
        for to in ["EXCHANGE_SUCCEEDED", "EXCHANGE_FAILED"] {
            n += 1;
            let (customer, accounts, id) = world.stuck(n).await;
            world.pass(61);
            world.say(&id, withdrawal, deposit);
            let before = world.balances(accounts);
            let done = world.forced(&id, to).await;
            let case = format!("{withdrawal:?} {deposit:?} {to}: {}", done.text);
            // What is open is closed by a command that can only be refused, and then never was.
            let right = match to {
                "EXCHANGE_SUCCEEDED" => (withdrawal, deposit) == (Stands, Stands),
                _ => withdrawal != Stands && deposit != Stands,
            };
            assert_eq!(world.balances(accounts), before, "{case}");
            let shown = world.get(&world.operator, &format!("/exchanges/{id}")).await.json();
            let (day, told) = (world.limits(customer).await["day"].clone(), world.decided(&id).await);
            let used = if to == "EXCHANGE_SUCCEEDED" { WON } else { 0 };
            if right {
                assert_eq!((done.status, &shown["state"]), (200, &json!(to)), "{case}");
                assert_eq!((&day["used"], &day["reserved"]), (&json!(used), &json!(0)), "{case}");
                assert!(
                    shown["history"].as_array().unwrap().last().unwrap()["why"]
                        .as_str()
                        .unwrap()
                        .starts_with("forced by two"),
                    "{shown}"
                );
                let [event] = told.as_slice() else { panic!("{case}: {told:?}") };
                assert_eq!((&event["succeeded"], &event["krw"]), (&json!(used > 0), &json!(WON)), "{case}");
                assert_eq!(
                    shown["failure"]["code"],
                    if used > 0 { Value::Null } else { json!("OWNER_IDENTITY_THEFT") }
                );
                assert_eq!(world.force(&id, to).await.code(), "EXCHANGE_DECIDED", "{case}");
            } else {
                assert_eq!((done.status, done.code()), (422, "EXCHANGE_CONTRADICTED".into()), "{case}");
                assert_eq!(
                    (&shown["state"], &day["reserved"]),
                    (&json!("WITHDRAW_CANCEL_NEEDED"), &json!(WON)),
                    "{case}"
                );
                assert!(told.is_empty() && shown["stuck"].is_object(), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_forced_while_the_books_are_silent() {
    let world = World::with_board().await;
    let (_, accounts, id) = world.stuck(1).await;
    world.pass(61);
    world.say(&id, Said::Never, Said::Never);
    world.fx().away = true;
    let done = world.forced(&id, "EXCHANGE_FAILED").await;
    assert_eq!((done.status, done.code()), (503, "UNAVAILABLE".into()), "{}", done.text);
    world.fx().away = false;
    assert_eq!(world.forced(&id, "EXCHANGE_FAILED").await.status, 200, "the same wish waited");
    assert_eq!(world.balances(accounts), (20_000_000 - WON, 100_000));
    let audit = world.get(&world.operator, &format!("/audit?subject={id}")).await.json();
    let deeds: Vec<&str> = audit["items"].as_array().unwrap().iter().map(|d| d["what"].as_str().unwrap()).collect();
    assert_eq!(deeds, ["exchange.force.approve", "exchange.force.ask"]);
    assert_eq!(world.forced_by_nobody(&id).await, ["FORBIDDEN", "FORBIDDEN"]);
}

#[tokio::test]
async fn whatever_takes_a_minute_alarms_once() {
    let world = World::with_board().await;
    let gauge = Gauge::default();
    let look = async || (alarm::look(&world.db, &gauge).await.unwrap().len(), gauge.get());
    let (_, _, first) = world.stuck(1).await;
    world.pass(30);
    world.stuck(2).await;
    world.begun(3).await;
    assert_eq!(look().await, (0, 0), "they may be on their way");
    world.pass(30);
    assert_eq!(look().await, (1, 1));
    assert_eq!(look().await, (0, 1), "the log heard of it");
    world.pass(30);
    assert_eq!(look().await, (1, 2));
    world.say(&first, Said::Stands, Said::Stands);
    assert_eq!(world.forced(&first, "EXCHANGE_SUCCEEDED").await.status, 200);
    assert_eq!(look().await, (0, 1), "what is decided is no alarm");
}

impl World {
    /// What those are told who are no operators.
    async fn forced_by_nobody(&self, id: &str) -> [String; 2] {
        let body = json!({"to": "EXCHANGE_FAILED", "reason": "x"});
        let path = format!("/exchanges/{id}/force");
        let customer = self.token(Role::Customer, "cus_01JGFJJZ00000000000000000A");
        [self.post(&self.service, &path, "n", &body).await.code(), self.post(&customer, &path, "n", &body).await.code()]
    }
}

#[tokio::test]
async fn what_is_not_decided_keeps_the_customers_turn_for_a_while() {
    let world = World::with_board().await;
    let (customer, accounts, _) = world.stuck(1).await;
    let quote = world.quote(customer, "buy", 50_000, "foreign").await.text_of("id");
    assert_eq!(world.exchange("second", &quote, accounts).await.code(), "EXCHANGE_IN_PROGRESS");
    world.pass(21);
    assert_eq!(world.exchange("second", &quote, accounts).await.code(), "", "it is taken up");
}
