//! Restrictions: each has its code, and all that speaks against a command is told.

use jangbu_contracts::customer::Kind;
use serde_json::{Value, json};

use super::world::World;

/// Codes that refuse a command.
async fn codes(world: &World, command: &Value) -> Vec<String> {
    let key = format!("try-{}", world.dice.u64());
    let got = world.post(&world.service, "/postings", &key, command).await;
    assert_eq!(got.status, if got.code().is_empty() { 201 } else { 422 }, "{}", got.text);
    got.codes()
}

async fn debit(world: &World, id: &str, amount: i64) -> Vec<String> {
    codes(world, &json!({"kind": "debit", "account": id, "amount": amount, "target": "cash"})).await
}
async fn credit(world: &World, id: &str) -> Vec<String> {
    codes(world, &json!({"kind": "credit", "account": id, "amount": 1, "source": "cash"})).await
}
async fn claim(world: &World, id: &str) -> Vec<String> {
    let key = format!("claim-{}", world.dice.u64());
    world.post(&world.service, &format!("/accounts/{id}/interest-claims"), &key, &json!({})).await.codes()
}

fn none() -> Vec<String> {
    Vec::new()
}
fn one(code: &str) -> Vec<String> {
    vec![code.to_owned()]
}

/// Mark, code, and whether it blocks debit, credit and interest.
const OF_ACCOUNTS: [(&str, &str, [bool; 3]); 8] = [
    ("dormant", "ACCOUNT_DORMANT", [true, true, true]),
    ("suspended", "ACCOUNT_SUSPENDED", [true, true, true]),
    ("deposit_stop", "DEPOSIT_BLOCKED", [false, true, true]),
    ("withdrawal_stop", "WITHDRAWAL_BLOCKED", [true, false, false]),
    ("loss_report", "LOSS_REPORTED", [true, false, false]),
    ("attached", "ATTACHED", [true, false, false]),
    ("pledged", "PLEDGED", [true, false, false]),
    ("fraud_freeze", "FRAUD_FROZEN", [true, false, false]),
];

/// The same for owners.
const OF_OWNERS: [(&str, &str, [bool; 3]); 5] = [
    ("deceased", "OWNER_DECEASED", [true, false, true]),
    ("identity_theft", "OWNER_IDENTITY_THEFT", [true, true, true]),
    ("minor_restricted", "OWNER_MINOR_RESTRICTED", [true, false, false]),
    ("kyc_expired", "KYC_EXPIRED", [true, false, false]),
    ("sanctioned", "SANCTIONED", [true, true, true]),
];

#[tokio::test]
async fn marks_of_accounts_block_what_they_block() {
    let world = World::krw().await;
    for (mark, code, blocks) in OF_ACCOUNTS {
        let (id, _) = world.account("demand", 1_000_000).await;
        world.mark(&id, mark, true).await;
        let found = [debit(&world, &id, 1).await, credit(&world, &id).await, claim(&world, &id).await];
        let nothing_yet = |blocked: bool| if blocked { one(code) } else { one("NOTHING_TO_PAY") };
        let wanted = [
            if blocks[0] { one(code) } else { none() },
            if blocks[1] { one(code) } else { none() },
            nothing_yet(blocks[2]),
        ];
        assert_eq!(found, wanted, "{mark}");
        world.mark(&id, mark, false).await;
        assert_eq!(debit(&world, &id, 1).await, none(), "{mark} was cleared");
    }
}

#[tokio::test]
async fn marks_of_owners_block_what_they_block() {
    let world = World::krw().await;
    for (mark, code, blocks) in OF_OWNERS {
        let (id, owner) = world.account("demand", 1_000_000).await;
        world.tell(owner, Kind::Person, &[mark]).await;
        let found = [debit(&world, &id, 1).await, credit(&world, &id).await, claim(&world, &id).await];
        let wanted = [
            if blocks[0] { one(code) } else { none() },
            if blocks[1] { one(code) } else { none() },
            if blocks[2] { one(code) } else { one("NOTHING_TO_PAY") },
        ];
        assert_eq!(found, wanted, "{mark}");
    }
    let corporation = world.customer(Kind::Corporation, &[]);
    let id = world.account_of(corporation, "limits").await;
    assert_eq!(claim(&world, &id).await, one("CORPORATE_RESTRICTED"));
    assert_eq!(credit(&world, &id).await, none());
}

#[tokio::test]
async fn the_rest_of_the_twenty() {
    let world = World::krw().await;
    let unknown = "acc_00000000000000000000000009";
    assert_eq!(debit(&world, unknown, 1).await, one("ACCOUNT_NOT_FOUND"));
    let (closed, _) = world.account("demand", 0).await;
    let done = world.post(&world.service, &format!("/accounts/{closed}/close"), "close", &json!({})).await;
    assert_eq!((done.status, done.text_of("status")), (200, "closed".into()));
    assert_eq!(credit(&world, &closed).await, one("ACCOUNT_CLOSED"));
    let (limited, _) = world.account("demand", 2_000_000).await;
    world.mark(&limited, "limited", true).await;
    assert_eq!(debit(&world, &limited, 1_000_000).await, none());
    assert_eq!(debit(&world, &limited, 1).await, one("LIMITED_ACCOUNT"));
    let (limits, _) = world.account("limits", 10_000).await;
    assert_eq!(debit(&world, &limits, 1_001).await, one("LIMIT_EXCEEDED"));
    let (poor, owner) = world.account("demand", 1).await;
    assert_eq!(debit(&world, &poor, 2).await, one("INSUFFICIENT_AVAILABLE"));
    let body = json!({"customer": owner, "product": "term"});
    let term = world.post(&world.service, "/accounts", "term", &body).await;
    assert_eq!(term.codes(), one("PRODUCT_NOT_ELIGIBLE"));
}

#[tokio::test]
async fn every_failure_is_told() {
    let world = World::krw().await;
    let (from, owner) = world.account("limits", 0).await;
    let (to, _) = world.account("demand", 0).await;
    for mark in ["withdrawal_stop", "loss_report", "attached", "pledged", "fraud_freeze"] {
        world.mark(&from, mark, true).await;
    }
    world.tell(owner, Kind::Person, &["deceased", "kyc_expired", "minor_restricted"]).await;
    world.mark(&to, "deposit_stop", true).await;
    let command = json!({"kind": "transfer", "from": from, "to": to, "amount": 5_000});
    let wanted = [
        "WITHDRAWAL_BLOCKED",
        "LOSS_REPORTED",
        "ATTACHED",
        "PLEDGED",
        "FRAUD_FROZEN",
        "OWNER_DECEASED",
        "OWNER_MINOR_RESTRICTED",
        "KYC_EXPIRED",
        "LIMIT_EXCEEDED",
        "LIMIT_EXCEEDED",
        "LIMIT_EXCEEDED",
        "INSUFFICIENT_AVAILABLE",
        "DEPOSIT_BLOCKED",
    ];
    assert_eq!(codes(&world, &command).await, wanted);
    assert_eq!(codes(&world, &command).await.len(), wanted.len(), "a refusal changes nothing");
}
