//! Withdrawals of exchanges that failed are given back, once.

use jangbu_contracts::exchange::WithdrawalGivenUpV1;
use jangbu_contracts::topics::EXCHANGE_GIVEN_UP;
use jangbu_kernel::id::{EventId, ExchangeId};
use jangbu_platform::auth::Role;
use jangbu_platform::db::Event;
use serde_json::json;

use super::world::World;

const KEY: &str = "sga_01JGFJJZ00000000000000000A:cancel";

fn event(world: &World, instance: &str, withdrawal: &str, key: &str) -> Event {
    let told = WithdrawalGivenUpV1 {
        exchange: ExchangeId::from_parts(1, 1),
        instance: instance.into(),
        withdrawal: withdrawal.parse().unwrap(),
        key: key.into(),
        reason: "exchange fxe_1 failed: ACCOUNT_CLOSED".into(),
    };
    Event {
        id: EventId::from_bytes(world.dice.bytes()),
        topic: EXCHANGE_GIVEN_UP.into(),
        key: "acc".into(),
        event_type: WithdrawalGivenUpV1::TYPE.into(),
        payload: serde_json::to_string(&told).unwrap(),
    }
}

#[tokio::test]
async fn a_withdrawal_that_was_given_up_is_given_back_once() {
    let world = World::krw().await;
    let (account, _) = world.account("demand", 1_000).await;
    let debit = json!({"kind": "debit", "account": account, "amount": 400, "target": "exchange"});
    let withdrawal = world.posted(&debit).await.text_of("id");
    let balance = async || {
        let got = world.get(&world.service, &format!("/accounts/{account}")).await.json();
        (got["ledger_balance"].as_i64().unwrap(), got["last_serial"].as_i64().unwrap())
    };
    assert_eq!(balance().await, (600, 2));
    // Not this instance's, then twice: the same fact may be told by two events.
    world.hear(vec![event(&world, "deposit-fx", &withdrawal, KEY)]).await;
    world.work().await;
    assert_eq!(balance().await, (600, 2));
    world
        .hear(vec![event(&world, "deposit-krw", &withdrawal, KEY), event(&world, "deposit-krw", &withdrawal, KEY)])
        .await;
    world.work().await;
    world.hear(vec![event(&world, "deposit-krw", &withdrawal, KEY)]).await;
    world.work().await;
    assert_eq!(balance().await, (1_000, 3));
    // The exchange finds it by its own key.
    let exchange = world.token(Role::Service, "exchange");
    let found = world.get(&exchange, &format!("/postings?key={KEY}")).await;
    let undone = world.get(&world.service, &format!("/postings/{withdrawal}/reversal")).await;
    assert_eq!(undone.json(), found.json(), "who asks what undid the withdrawal finds the same");
    assert_eq!((found.status, found.text_of("kind"), found.text_of("reverses")), (200, "reversal".into(), withdrawal));
}

#[tokio::test]
async fn what_cannot_be_given_back_is_kept_under_its_key() {
    let world = World::krw().await;
    let (account, _) = world.account("demand", 400).await;
    let debit = json!({"kind": "debit", "account": account, "amount": 400, "target": "exchange"});
    let withdrawal = world.posted(&debit).await.text_of("id");
    let closed = world.post(&world.service, &format!("/accounts/{account}/close"), "c", &json!({})).await;
    assert_eq!(closed.status, 200, "{}", closed.text);
    world.hear(vec![event(&world, "deposit-krw", &withdrawal, KEY)]).await;
    world.work().await;
    let exchange = world.token(Role::Service, "exchange");
    let found = world.get(&exchange, &format!("/postings?key={KEY}")).await;
    assert_eq!((found.status, found.code()), (422, "ACCOUNT_CLOSED".into()), "{}", found.text);
}

#[tokio::test]
async fn a_key_that_is_closed_stays_closed() {
    // What an exchange does about a withdrawal that may still be on its way.
    let world = World::krw().await;
    let (account, _) = world.account("demand", 1_000).await;
    let exchange = world.token(Role::Service, "exchange");
    let close = json!({"kind": "reversal", "posting": "pst_00000000000000000000000000", "reason": "closes the key"});
    for _ in 0..2 {
        assert_eq!(world.post(&exchange, "/postings", "w", &close).await.code(), "POSTING_NOT_FOUND");
    }
    let debit = json!({"kind": "debit", "account": account, "amount": 400, "target": "exchange"});
    assert_eq!(world.post(&exchange, "/postings", "w", &debit).await.code(), "KEY_REUSED");
    assert_eq!(world.get(&exchange, "/postings?key=w").await.code(), "POSTING_NOT_FOUND");
    assert_eq!(world.post(&exchange, "/postings", "v", &debit).await.status, 201);
    assert_eq!(world.post(&exchange, "/postings", "v", &close).await.code(), "KEY_REUSED");
    assert_eq!(world.get(&exchange, "/postings?key=v").await.text_of("kind"), "debit");
}

/// By who asked for it under which key; whatever a memo claims.
#[tokio::test]
async fn a_leg_of_an_exchange_is_told_with_it() {
    let world = World::krw().await;
    let (account, _) = world.account("demand", 1_000).await;
    let [exchange, teller] = ["exchange", "teller"].map(|name| world.token(Role::Service, name));
    let memo = "exchange fxe_01JGFJJZ00000000000000000A";
    let debit = json!({"kind": "debit", "account": account, "amount": 400, "target": "exchange", "memo": memo});
    let key = KEY.replace("cancel", "withdraw");
    let withdrawal = world.post(&exchange, "/postings", &key, &debit).await.text_of("id");
    assert_eq!(world.post(&teller, "/postings", &key, &debit).await.status, 201);
    world.hear(vec![event(&world, "deposit-krw", &withdrawal, KEY)]).await;
    world.work().await;
    let told = world.told().await;
    let told: Vec<String> = told.iter().map(|t| format!("{} {:?}", t.posting.kind, t.exchange)).collect();
    let leg = "Some(fxe_01JGFJJZ00000000000000000A)";
    assert_eq!(
        told,
        ["credit None".to_owned(), format!("debit {leg}"), "debit None".into(), format!("reversal {leg}")]
    );
}
