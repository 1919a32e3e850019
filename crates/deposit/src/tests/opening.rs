//! Opening accounts for customers of whom the ledger was not told yet.

use jangbu_contracts::customer::Kind;
use jangbu_kernel::id::CustomerId;
use serde_json::json;

use super::world::World;

#[tokio::test]
async fn an_owner_who_is_not_known_yet_is_asked_for() {
    let world = World::krw().await;
    let customer = world.customer(Kind::Person, &[]);
    let body = json!({"customer": customer, "product": "demand"});
    let first = world.post(&world.service, "/accounts", "k1", &body).await;
    assert_eq!((first.status, first.is_replay()), (201, false), "{}", first.text);
    let again = world.post(&world.service, "/accounts", "k1", &body).await;
    assert_eq!((again.status, again.is_replay(), again.text), (201, true, first.text));
    let other = world.post(&world.service, "/accounts", "k1", &json!({"customer": customer, "product": "usd"})).await;
    assert_eq!((other.status, other.code()), (422, "KEY_REUSED".into()));
}

#[tokio::test]
async fn nothing_is_kept_while_nobody_can_say_who_the_owner_is() {
    let world = World::krw().await;
    let customer = world.customer(Kind::Person, &[]);
    let body = json!({"customer": customer, "product": "demand"});
    world.ask.close("customer");
    let down = world.post(&world.service, "/accounts", "k1", &body).await;
    assert_eq!((down.status, down.code()), (503, "UNAVAILABLE".into()));
    assert!(down.headers.contains_key("retry-after"));
    world.open_customers();
    let up = world.post(&world.service, "/accounts", "k1", &body).await;
    assert_eq!((up.status, up.is_replay()), (201, false), "{}", up.text);
    world.ask.close("customer");
    let known = world.post(&world.service, "/accounts", "k2", &body).await;
    assert_eq!(known.status, 201, "a known owner is not asked for");
}

#[tokio::test]
async fn who_is_not_registered_has_no_account_and_the_refusal_is_kept() {
    let world = World::krw().await;
    let stranger = CustomerId::from_bytes([9; 16]);
    let body = json!({"customer": stranger, "product": "demand"});
    let refused = world.post(&world.service, "/accounts", "k1", &body).await;
    assert_eq!((refused.status, refused.code()), (422, "CUSTOMER_NOT_FOUND".into()));
    world.ask.close("customer");
    let again = world.post(&world.service, "/accounts", "k1", &body).await;
    assert_eq!((again.status, again.is_replay(), again.text), (422, true, refused.text));
}

#[tokio::test]
async fn owners_and_products_that_are_barred() {
    let world = World::krw().await;
    for (kind, marks, product, codes) in [
        (Kind::Person, vec!["deceased"], "demand", vec!["OWNER_DECEASED"]),
        (Kind::Person, vec!["identity_theft", "sanctioned"], "demand", vec!["OWNER_IDENTITY_THEFT", "SANCTIONED"]),
        (Kind::Person, vec!["kyc_expired"], "demand", vec!["KYC_EXPIRED"]),
        (Kind::Corporation, vec![], "demand", vec!["PRODUCT_NOT_ELIGIBLE"]),
        (Kind::Person, vec![], "term", vec!["PRODUCT_NOT_ELIGIBLE"]),
        (Kind::Person, vec![], "later", vec!["PRODUCT_NOT_FOUND"]),
        (Kind::Person, vec![], "none", vec!["PRODUCT_NOT_FOUND"]),
    ] {
        let customer = world.customer(kind, &marks);
        let body = json!({"customer": customer, "product": product});
        let got = world.post(&world.service, "/accounts", &format!("k-{customer}"), &body).await;
        let codes: Vec<String> = codes.into_iter().map(str::to_owned).collect();
        assert_eq!((got.status, got.codes()), (422, codes), "{marks:?} {product}");
    }
    let corporation = world.customer(Kind::Corporation, &[]);
    let body = json!({"customer": corporation, "product": "limits"});
    assert_eq!(world.post(&world.service, "/accounts", "corporation", &body).await.status, 201);
    let person = world.customer(Kind::Person, &[]);
    let body = json!({"customer": person, "product": "demand", "currency": "USD"});
    assert_eq!(world.post(&world.service, "/accounts", "usd", &body).await.code(), "CURRENCY_MISMATCH");
}

#[tokio::test]
async fn many_open_mark_and_pay_at_once() {
    let world = World::krw().await;
    let customer = world.customer(Kind::Person, &[]);
    let body = json!({"customer": customer, "product": "demand"});
    let first = world.post(&world.service, "/accounts", "k", &body).await;
    let id = first.json()["id"].as_str().unwrap().to_owned();
    let credit = json!({"kind": "credit", "account": id, "amount": 5, "source": "cash"});
    let (mark, stop) = (format!("/accounts/{id}/marks/attached"), json!({"on": true, "reason": "a court"}));
    // Whoever commits must not keep what the next one needs: they would wait for each other for ever.
    let all = futures_util::future::join_all((0..30).map(|n| {
        let (world, body, credit, mark, stop) = (&world, &body, &credit, &mark, &stop);
        async move {
            match n % 3 {
                0 => world.post(&world.service, "/accounts", &format!("o{n}"), body).await.status,
                1 => world.post(&world.service, "/postings", &format!("p{n}"), credit).await.status,
                _ => world.put(mark, stop).await.status,
            }
        }
    }));
    let answered = tokio::time::timeout(std::time::Duration::from_secs(10), all).await.expect("nobody waits for ever");
    assert!(answered.iter().all(|status| (200..202).contains(status)), "{answered:?}");
}
