//! What is paid is what the simulation says, whatever happened on the account.

use jangbu_kernel::date::BusinessDate;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Builder;

use super::world::World;

/// What happens on one day: movements in order, and whether interest is claimed after how many of them.
type Day = (Vec<i64>, Option<usize>);

fn days() -> impl Strategy<Value = Vec<Day>> {
    let amount = prop_oneof![1i64..5_000, 1_000_000i64..200_000_000, -5_000i64..-1];
    let day = (prop::collection::vec(amount, 0..3), prop::option::of(0usize..3));
    prop::collection::vec(day, 2..20)
}

async fn play(world: &World, days: &[Day]) -> (Vec<Value>, Vec<Value>, i64) {
    let first: BusinessDate = {
        let now = jangbu_platform::clock::Clock::now(&*world.clock);
        now.business_date(jangbu_kernel::time::UtcOffset::SEOUL).add_days(1)
    };
    world.move_to(&format!("{first}T00:00:00+09:00"));
    let (id, _) = world.account("tiers", 1_000_000).await;
    let (mut movements, mut claims, mut paid) =
        (vec![json!({"date": first, "amount": 1_000_000})], Vec::new(), Vec::new());
    for (n, (amounts, claim)) in days.iter().enumerate() {
        let date = first.add_days(i32::try_from(n).unwrap());
        world.move_to(&format!("{date}T{:02}:30:00+09:00", n % 24));
        for at in 0..=amounts.len().max(claim.unwrap_or(0)) {
            if let Some(amount) = amounts.get(at) {
                let kind = if *amount > 0 { ("credit", "source") } else { ("debit", "target") };
                let body = json!({"kind": kind.0, "account": id, "amount": amount.abs(), kind.1: "cash"});
                world.posted(&body).await;
                movements.push(json!({"date": date, "amount": amount}));
            }
            if *claim == Some(at) {
                let key = format!("c-{}", world.dice.u64());
                let got =
                    world.post(&world.service, &format!("/accounts/{id}/interest-claims"), &key, &json!({})).await;
                claims.push(json!(date));
                if got.status == 201 {
                    paid.push(got.json());
                } else {
                    assert!(["NOTHING_TO_PAY", "ALREADY_CLAIMED"].contains(&got.code().as_str()), "{}", got.text);
                }
            }
        }
    }
    let balance =
        world.get(&world.service, &format!("/accounts/{id}")).await.json()["ledger_balance"].as_i64().unwrap();
    let body = json!({"product": "tiers", "movements": movements, "claim_on": claims});
    let simulated = if claims.is_empty() {
        json!({"payments": [], "balance": balance})
    } else {
        world.post(&world.service, "/interest-simulations", "none", &body).await.json()
    };
    let payments = simulated["payments"].as_array().unwrap().clone();
    (paid, payments, simulated["balance"].as_i64().unwrap() - balance)
}

#[test]
fn claims_pay_what_the_simulation_says() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(async {
        let world = World::krw().await;
        let terms = |from: &str, low: &str, high: &str| {
            json!({"code": "tiers", "name": "Tiers", "kind": "demand", "currency": "KRW", "from": from,
                   "tiers": [{"up_to": 50_000_000, "rate": low}, {"up_to": null, "rate": high}]})
        };
        for (from, low, high) in
            [("2023-08-01", "0.023", "0.04"), ("2023-08-20", "0.02", "0.001"), ("2023-09-07", "0.0185", "0.0333")]
        {
            let got = world.put("/products/tiers", &terms(from, low, high)).await;
            assert_eq!(got.status, 200, "{}", got.text);
        }
        world
    });
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let ran = runner.run(&days(), |days| {
        runtime.block_on(async {
            let (paid, simulated, difference) = play(&world, &days).await;
            let figures = |payment: &Value| {
                let of = |field: &str| payment[field].clone();
                ["from", "to", "gross", "income_tax", "local_tax", "other_tax", "net"].map(of)
            };
            let paid: Vec<_> = paid.iter().map(figures).collect();
            let simulated: Vec<_> = simulated.iter().map(figures).collect();
            prop_assert_eq!(paid, simulated);
            prop_assert_eq!(difference, 0);
            Ok(())
        })
    });
    ran.unwrap_or_else(|e| panic!("{e}"));
}
