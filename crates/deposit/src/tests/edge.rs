//! What is wrong with a call has its code and its field, and changes nothing.

use std::time::Duration;

use axum::body::Body;
use jangbu_platform::auth::{Keyring, Role};
use jangbu_platform::clock::Clock as _;
use jangbu_platform::dice::Dice;
use jangbu_platform::http::{BATCH_BYTES_MAX, BODY_BYTES_MAX};
use serde_json::json;

use super::world::World;

/// A world with accounts `a` and `b` (10,000 each), `closed`, a `hold` on a, and a `posting`.
struct Scene {
    world: World,
    names: Vec<(&'static str, String)>,
}

impl Scene {
    async fn new() -> Scene {
        let world = World::krw().await;
        let (a, alice) = world.account("demand", 10_000).await;
        let (b, _) = world.account("demand", 10_000).await;
        let (usd, _) = world.account("usd", 10_000).await;
        let (closed, _) = world.account("demand", 0).await;
        world.post(&world.service, &format!("/accounts/{closed}/close"), "close", &json!({})).await;
        let hold = world.posted(&json!({"kind": "hold", "account": a, "amount": 100})).await.text_of("hold");
        let debit = json!({"kind": "debit", "account": a, "amount": 5, "target": "cash"});
        let posting = world.posted(&debit).await.text_of("id");
        let names = vec![
            ("{a}", a),
            ("{b}", b),
            ("{usd}", usd),
            ("{closed}", closed),
            ("{hold}", hold),
            ("{posting}", posting),
            ("{alice}", alice.to_string()),
            ("{none}", "acc_00000000000000000000000009".to_owned()),
        ];
        Scene { world, names }
    }

    fn fill(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// Lines of `METHOD path body -> status CODE field`; a dash stands for nothing. Nothing may change by any of them.
    async fn check(&self, token: &str, table: &str) {
        let before = self.world.books().await;
        for line in table.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let (call, wanted) = line.rsplit_once(" -> ").unwrap();
            let call = self.fill(call);
            let mut words = call.splitn(3, ' ');
            let (method, path, body) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or("-"));
            let key = format!("key-{}", self.world.dice.u64());
            let request = self.world.request(token, method, path).header("idempotency-key", key);
            let request = request.header("content-type", "application/json");
            let body = if body == "-" { String::new() } else { body.to_owned() };
            let got = self.world.call(request, body).await;
            let field = got.fields().first().cloned().unwrap_or_else(|| "-".to_owned());
            let shown = format!("{} {} {field}", got.status, got.code());
            assert_eq!(shown, wanted, "{line}: {}", got.text);
            assert_eq!(got.headers["content-type"], "application/problem+json", "{line}");
        }
        assert_eq!(self.world.books().await, before);
    }
}

#[tokio::test]
async fn bodies() {
    let scene = Scene::new().await;
    scene
        .check(
            &scene.world.service,
            r#"
            POST /postings - -> 400 MALFORMED_JSON -
            POST /postings { -> 400 MALFORMED_JSON -
            POST /postings [] -> 400 INVALID_FIELD -
            POST /postings null -> 400 INVALID_FIELD -
            POST /postings {} -> 400 MISSING_FIELD kind
            POST /postings {"kind":"gift"} -> 400 INVALID_FIELD kind
            POST /postings {"kind":"credit","account":"{a}","source":"cash"} -> 400 MISSING_FIELD amount
            POST /postings {"kind":"credit","account":"{a}","amount":1,"source":"cash","fee":1} -> 400 UNKNOWN_FIELD fee
            POST /postings {"kind":"credit","account":"{a}","amount":0,"source":"cash"} -> 400 INVALID_AMOUNT amount
            POST /postings {"kind":"credit","account":"{a}","amount":-1,"source":"cash"} -> 400 INVALID_AMOUNT amount
            POST /postings {"kind":"credit","account":"{a}","amount":1.0,"source":"cash"} -> 400 INVALID_AMOUNT amount
            POST /postings {"kind":"credit","account":"{a}","amount":"1","source":"cash"} -> 400 INVALID_AMOUNT amount
            POST /postings {"kind":"credit","account":"{a}","amount":null,"source":"cash"} -> 400 INVALID_AMOUNT amount
            POST /postings {"kind":"credit","account":"{a}","amount":1000000000000001,"source":"cash"} -> 400 INVALID_AMOUNT amount
            POST /postings {"kind":"credit","account":"{a}","amount":99999999999999999999,"source":"cash"} -> 400 INVALID_AMOUNT amount
            POST /postings {"kind":"credit","account":"acc_1","amount":1,"source":"cash"} -> 400 INVALID_ID account
            POST /postings {"kind":"credit","account":"{alice}","amount":1,"source":"cash"} -> 400 INVALID_ID account
            POST /postings {"kind":"credit","account":7,"amount":1,"source":"cash"} -> 400 INVALID_FIELD account
            POST /postings {"kind":"credit","account":"{a}","amount":1,"amount":2,"source":"cash"} -> 400 INVALID_FIELD amount
            POST /postings {"kind":"hold","account":"{a}","amount":1,"until":"tomorrow"} -> 400 INVALID_FIELD until
            POST /postings {"kind":"hold","account":"{a}","amount":1,"until":"2023-08-15T10:00:00+09:00"} -> 400 INVALID_FIELD -
            POST /postings {"kind":"reversal","posting":"{posting}","reason":" "} -> 400 INVALID_FIELD reason
            POST /postings/batch {"commands":{}} -> 400 INVALID_FIELD commands
            POST /postings/batch {"commands":[{"kind":"release","hold":"{hold}"}]} -> 400 MISSING_FIELD commands[0].key
            POST /postings/batch {"commands":[],"more":1} -> 400 UNKNOWN_FIELD more
            POST /accounts {"customer":"{alice}"} -> 400 MISSING_FIELD product
            POST /accounts {"customer":"{alice}","product":"demand","currency":"won"} -> 400 INVALID_FIELD currency
            POST /accounts/{a}/close {"why":1} -> 400 UNKNOWN_FIELD why
            POST /accounts/{a}/interest-claims {"on":1} -> 400 UNKNOWN_FIELD on
            "#,
        )
        .await;
    let memo = "x".repeat(201);
    let long = format!(
        r#"POST /postings {{"kind":"credit","account":"{{a}}","amount":1,"source":"cash","memo":"{memo}"}} -> 400 INVALID_FIELD memo"#
    );
    scene.check(&scene.world.service, &long).await;
    let body = json!({"kind": "credit", "account": scene.names[0].1, "amount": 1, "source": "vault", "memo": memo});
    let both = scene.world.post(&scene.world.service, "/postings", "both", &body).await;
    assert_eq!((both.status, both.fields()), (422, vec!["source".to_owned(), "memo".to_owned()]));
}

#[tokio::test]
async fn rules() {
    let scene = Scene::new().await;
    scene
        .check(
            &scene.world.service,
            r#"
            POST /postings {"kind":"credit","account":"{none}","amount":1,"source":"cash"} -> 422 ACCOUNT_NOT_FOUND -
            POST /postings {"kind":"credit","account":"{a}","amount":1,"source":"vault"} -> 422 UNKNOWN_BANK_ACCOUNT source
            POST /postings {"kind":"debit","account":"{a}","amount":1,"target":"interest_expense"} -> 422 UNKNOWN_BANK_ACCOUNT target
            POST /postings {"kind":"debit","account":"{a}","amount":9896,"target":"cash"} -> 422 INSUFFICIENT_AVAILABLE -
            POST /postings {"kind":"transfer","from":"{a}","to":"{a}","amount":1} -> 422 SAME_ACCOUNT to
            POST /postings {"kind":"transfer","from":"{a}","to":"{usd}","amount":1} -> 422 CURRENCY_MISMATCH -
            POST /postings {"kind":"transfer","from":"{a}","to":"{closed}","amount":1} -> 422 ACCOUNT_CLOSED -
            POST /postings {"kind":"transfer","from":"{none}","to":"{closed}","amount":1} -> 422 ACCOUNT_NOT_FOUND -
            POST /postings {"kind":"capture","hold":"hld_00000000000000000000000009","target":"cash"} -> 422 HOLD_NOT_FOUND -
            POST /postings {"kind":"capture","hold":"{hold}","amount":101,"target":"cash"} -> 422 CAPTURE_EXCEEDS_HOLD -
            POST /postings {"kind":"release","hold":"hld_00000000000000000000000009"} -> 422 HOLD_NOT_FOUND -
            POST /postings {"kind":"reversal","posting":"pst_00000000000000000000000009","reason":"slip"} -> 422 POSTING_NOT_FOUND -
            POST /accounts {"customer":"{alice}","product":"none"} -> 422 PRODUCT_NOT_FOUND -
            POST /accounts/{a}/close {} -> 422 ACCOUNT_NOT_EMPTY -
            POST /accounts/{closed}/close {} -> 422 ACCOUNT_CLOSED -
            POST /accounts/{a}/interest-claims {} -> 422 NOTHING_TO_PAY -
            POST /accounts/{none}/interest-claims {} -> 404 NOT_FOUND -
            POST /accounts/{none}/close {} -> 404 NOT_FOUND -
            POST /interest-simulations {"movements":[]} -> 400 MISSING_FIELD terms
            POST /interest-simulations {"movements":[],"product":"none"} -> 422 PRODUCT_NOT_FOUND product
            POST /interest-simulations {"movements":[],"product":"demand","terms":{}} -> 400 INVALID_FIELD product
            "#,
        )
        .await;
    scene
        .check(
            &scene.world.operator,
            r#"
            PUT /products/demand {"code":"other","name":"x","kind":"demand","currency":"KRW","from":"2023-09-01","tiers":[{"rate":"0"}]} -> 400 INVALID_FIELD code
            PUT /products/demand {"code":"demand","name":"x","kind":"demand","currency":"USD","from":"2023-09-01","tiers":[{"rate":"0"}]} -> 422 TERMS_INVALID code
            PUT /products/demand {"code":"demand","name":"x","kind":"demand","currency":"KRW","from":"2023-08-14","tiers":[{"rate":"0"}]} -> 422 TERMS_INVALID from
            PUT /products/demand {"code":"demand","name":"","kind":"demand","currency":"KRW","from":"2023-09-01","tiers":[]} -> 422 TERMS_INVALID name
            PUT /products/demand {"code":"demand","name":"x","kind":"demand","currency":"KRW","from":"2023-09-31","tiers":[]} -> 400 INVALID_FIELD from
            PUT /accounts/{a}/marks/deposit_stop {"on":true} -> 400 MISSING_FIELD reason
            PUT /accounts/{a}/marks/deposit_stop {"on":"yes","reason":"x"} -> 400 INVALID_FIELD on
            PUT /accounts/{a}/marks/none {"on":true,"reason":"x"} -> 404 NOT_FOUND -
            PUT /accounts/{none}/marks/dormant {"on":true,"reason":"x"} -> 404 NOT_FOUND -
            "#,
        )
        .await;
}

#[tokio::test]
async fn paths_and_queries() {
    let scene = Scene::new().await;
    scene
        .check(
            &scene.world.service,
            "
            GET /nothing -> 404 NOT_FOUND -
            GET /accounts/acc_1 -> 404 NOT_FOUND -
            GET /accounts/%ff -> 404 NOT_FOUND -
            GET /accounts/{none} -> 404 NOT_FOUND -
            GET /accounts/{posting} -> 404 NOT_FOUND -
            GET /postings/{a} -> 404 NOT_FOUND -
            GET /postings/pst_00000000000000000000000009 -> 404 NOT_FOUND -
            GET /postings/{posting}/reversal -> 404 NOT_FOUND -
            GET /postings/pst_00000000000000000000000009/reversal -> 404 NOT_FOUND -
            GET /products/none -> 404 NOT_FOUND -
            DELETE /accounts/{a} -> 405 METHOD_NOT_ALLOWED -
            OPTIONS /accounts/{a} -> 405 METHOD_NOT_ALLOWED -
            POST /accounts/{a} {} -> 405 METHOD_NOT_ALLOWED -
            GET /accounts/{a}?at=1 -> 400 UNKNOWN_FIELD at
            GET /accounts?owner=1 -> 400 UNKNOWN_FIELD owner
            GET /accounts?limit=0 -> 400 INVALID_FIELD limit
            GET /accounts?limit=501 -> 400 INVALID_FIELD limit
            GET /accounts?limit=x -> 400 INVALID_FIELD limit
            GET /accounts?customer=cus_1 -> 400 INVALID_ID customer
            GET /accounts?cursor=x -> 400 INVALID_CURSOR -
            GET /products?limit=-1 -> 400 INVALID_FIELD limit
            GET /accounts/{a}/entries?after_serial=-1 -> 400 INVALID_FIELD after_serial
            GET /accounts/{a}/entries?cursor=x -> 400 INVALID_CURSOR -
            GET /accounts/{a}/daily-balances?from=2023-08-32 -> 400 INVALID_FIELD from
            GET /accounts/{a}/daily-balances?from=2023-08-15&to=2023-08-14 -> 400 INVALID_FIELD from
            GET /accounts/{a}/daily-balances?cursor=1 -> 400 INVALID_CURSOR -
            GET /postings -> 400 MISSING_FIELD key
            GET /postings?key= -> 400 KEY_INVALID key
            GET /postings?key=k&key=l -> 400 INVALID_FIELD -
            GET /postings?key=never -> 404 NOT_FOUND -
            POST /postings?dry=1 {} -> 400 UNKNOWN_FIELD dry
            ",
        )
        .await;
    let long = format!("GET /postings?key={} -> 400 KEY_INVALID key", "k".repeat(65));
    scene.check(&scene.world.service, &long).await;
    let head = scene.world.request(&scene.world.service, "HEAD", &scene.fill("/accounts/{a}"));
    let head = scene.world.call(head, Body::empty()).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    let options = scene.world.request(&scene.world.service, "OPTIONS", "/accounts");
    let options = scene.world.call(options, Body::empty()).await;
    let allow = options.headers["allow"].to_str().unwrap().to_owned();
    assert!(allow.contains("POST") && allow.contains("GET"), "{allow}");
}

#[tokio::test]
async fn other_peoples_things_are_not_there() {
    let scene = Scene::new().await;
    let (c, carol) = scene.world.account("demand", 1_000).await;
    let token = scene.world.token_of(carol);
    let own = format!(
        r#"POST /postings {{"kind":"transfer","from":"{c}","to":"{{b}}","amount":1001}} -> 422 INSUFFICIENT_AVAILABLE -"#
    );
    scene.check(&token, &own).await;
    scene
        .check(
            &token,
            r#"
            GET /accounts/{a} -> 404 NOT_FOUND -
            GET /accounts/{a}/entries -> 404 NOT_FOUND -
            GET /accounts/{a}/daily-balances -> 404 NOT_FOUND -
            GET /accounts/{a}/interest -> 404 NOT_FOUND -
            GET /postings/{posting} -> 404 NOT_FOUND -
            GET /accounts?customer={alice} -> 404 NOT_FOUND -
            POST /accounts/{a}/interest-claims {} -> 404 NOT_FOUND -
            POST /accounts/{a}/close {} -> 404 NOT_FOUND -
            POST /postings {"kind":"transfer","from":"{a}","to":"{b}","amount":1} -> 404 NOT_FOUND -
            POST /postings {"kind":"transfer","from":"{none}","to":"{b}","amount":1} -> 404 NOT_FOUND -
            POST /postings {"kind":"credit","account":"{a}","amount":1,"source":"cash"} -> 403 FORBIDDEN -
            POST /postings {"kind":"debit","account":"{a}","amount":1,"target":"cash"} -> 403 FORBIDDEN -
            POST /postings {"kind":"hold","account":"{a}","amount":1} -> 403 FORBIDDEN -
            POST /postings {"kind":"capture","hold":"{hold}","target":"cash"} -> 403 FORBIDDEN -
            POST /postings {"kind":"release","hold":"{hold}"} -> 403 FORBIDDEN -
            POST /postings {"kind":"reversal","posting":"{posting}","reason":"x"} -> 403 FORBIDDEN -
            POST /postings/batch {"commands":[]} -> 403 FORBIDDEN -
            POST /accounts {"customer":"{alice}","product":"demand"} -> 403 FORBIDDEN -
            PUT /accounts/{a}/marks/deposit_stop {"on":true,"reason":"x"} -> 403 FORBIDDEN -
            PUT /products/demand {"code":"demand","name":"x","kind":"demand","currency":"KRW","from":"2023-09-01","tiers":[{"rate":"0"}]} -> 403 FORBIDDEN -
            GET /approvals -> 403 FORBIDDEN -
            GET /audit -> 403 FORBIDDEN -
            GET /totals -> 403 FORBIDDEN -
            "#,
        )
        .await;
    // Programs of the bank post, but don't decide what operators decide.
    scene
        .check(
            &scene.world.service,
            r#"
            PUT /accounts/{a}/marks/deposit_stop {"on":true,"reason":"x"} -> 403 FORBIDDEN -
            PUT /products/demand {"code":"demand","name":"x","kind":"demand","currency":"KRW","from":"2023-09-01","tiers":[{"rate":"0"}]} -> 403 FORBIDDEN -
            GET /audit -> 403 FORBIDDEN -
            "#,
        )
        .await;
    let own = scene.world.get(&token, "/accounts").await.json();
    assert_eq!((own["items"].as_array().unwrap().len(), own["items"][0]["id"].as_str()), (1, Some(c.as_str())));
}

#[tokio::test]
async fn no_call_without_a_good_credential() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let before = world.books().await;
    let now = world.clock.now();
    let old = world.keys.issue(Role::Operator, "kim", now.plus_micros(-9_000_000), Duration::from_secs(5)).unwrap();
    let other = Keyring::in_memory(Dice::seeded(99));
    let forged = other.issue(Role::Operator, "kim", now, Duration::from_secs(60)).unwrap();
    let mut cut = world.operator.clone();
    cut.truncate(cut.len() - 3);
    let tokens = [
        ("", "NO_CREDENTIAL"),
        (&old, "CREDENTIAL_EXPIRED"),
        (&forged, "CREDENTIAL_INVALID"),
        (&cut, "CREDENTIAL_INVALID"),
        ("x.y.z", "CREDENTIAL_INVALID"),
    ];
    let document = world.document().await.unwrap();
    for (method, path, _) in document.calls() {
        let path = path.trim_start_matches("/deposit-krw/v1").replace("{mark}", "dormant").replace("{code}", "demand");
        let path = scene.fill(&path.replace("{id}", "{a}"));
        for (token, code) in tokens {
            let request = world.request(token, &method.to_uppercase(), &path).header("idempotency-key", "k");
            let got = world.call(request.header("content-type", "application/json"), "{}").await;
            assert_eq!((got.status, got.code()), (401, code.to_owned()), "{method} {path}");
            assert_eq!(got.headers["www-authenticate"], "Bearer");
        }
    }
    assert_eq!(world.books().await, before);
}

#[tokio::test]
async fn bodies_that_are_too_much() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let before = world.books().await;
    let send = async |path: &str, body: Vec<u8>, kind: &str| {
        let request = world.request(&world.service, "POST", path).header("idempotency-key", "k");
        let got = world.call(request.header("content-type", kind), body).await;
        (got.status, got.code())
    };
    let text = |bytes: usize| format!("{{\"kind\":\"{}\"}}", "x".repeat(bytes)).into_bytes();
    let json = "application/json";
    let too_large = (413, "BODY_TOO_LARGE".to_owned());
    assert_eq!(send("/postings", text(BODY_BYTES_MAX), json).await, too_large);
    assert_eq!(send("/postings/batch", text(BATCH_BYTES_MAX), json).await, too_large);
    assert_eq!(send("/postings/batch", text(BODY_BYTES_MAX), json).await.1, "UNKNOWN_FIELD");
    let deep = format!("{{\"kind\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    let malformed = (400, "MALFORMED_JSON".to_owned());
    assert_eq!(send("/postings", deep.into_bytes(), json).await, malformed);
    assert_eq!(send("/postings", b"{\"kind\":\"\xff\"}".to_vec(), json).await, malformed);
    assert_eq!(send("/postings", b"{}".to_vec(), "text/plain").await, (415, "UNSUPPORTED_MEDIA_TYPE".to_owned()));
    let many = vec![json!({"key": "k", "kind": "release", "hold": scene.names[4].1}); 8_191];
    let many = json!({ "commands": many }).to_string().into_bytes();
    assert_eq!(send("/postings/batch", many, json).await, (400, "INVALID_FIELD".to_owned()));
    assert_eq!(world.books().await, before);
}
