//! What operators do is written down with it.

use jangbu_contracts::customer::Kind;
use serde_json::json;

use super::world::World;

/// Entries of the audit log about `subject`, newest first.
async fn deeds(world: &World, subject: &str) -> Vec<String> {
    let page = world.get(&world.operator, &format!("/audit?subject={subject}")).await.json();
    let entries = page["items"].as_array().unwrap().iter();
    entries.map(|e| format!("{} {} {} {}", e["who"], e["what"], e["reason"], e["result"]).replace('"', "")).collect()
}

#[tokio::test]
async fn marks_and_terms_are_set_with_their_deeds() {
    let world = World::krw().await;
    let body = json!({"customer": world.customer(Kind::Person, &[]), "product": "demand"});
    let id = world.post(&world.service, "/accounts", "k1", &body).await.text_of("id");
    let path = format!("/accounts/{id}/marks/deposit_stop");
    for on in [true, false] {
        let set = world.put(&path, &json!({"on": on, "reason": "court"})).await;
        assert_eq!(set.status, 200, "{}", set.text);
    }
    assert_eq!(world.put(&path, &json!({"on": true, "reason": ""})).await.fields(), ["reason"]);
    assert_eq!(
        world
            .put("/accounts/acc_00000000000000000000000001/marks/deposit_stop", &json!({"on": true, "reason": "court"}))
            .await
            .status,
        404
    );
    let mark = |word: &str| format!("operator:kim account.mark court deposit_stop was {word}");
    assert_eq!(deeds(&world, &id).await, [mark("cleared"), mark("set")]);

    let terms = |from: &str| {
        json!({"code": "demand", "name": "Demand", "kind": "demand", "currency": "KRW",
        "from": from, "tiers": [{"up_to": null, "rate": "0.03"}]})
    };
    let put = world.put("/products/demand", &terms("2023-09-01")).await;
    assert_eq!(put.status, 200, "{}", put.text);
    assert_eq!(world.put("/products/demand", &terms("2023-01-01")).await.status, 422);
    let first = "bank:seed product.version  terms from 2022-01-01 on";
    let second = "operator:kim product.version  terms from 2023-09-01 on";
    assert_eq!(deeds(&world, "demand").await, [second, first]);
}
