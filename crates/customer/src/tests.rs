//! The service behind the edge, called as callers call it.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jangbu_platform::auth::Role;
use jangbu_platform::db::{Db, Key};
use jangbu_platform::stand::Stand;
use jangbu_platform::stepped::{self, Disk, Group};
use serde_json::{Value, json};

/// The service on a stand; its directory goes with it.
async fn world() -> (Stand, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let at = "2026-01-01T10:00:00+09:00".parse().unwrap();
    let (stand, given) = Stand::new(dir.path(), &crate::SERVICE, at).await.unwrap();
    (stand.with(crate::open(given).router), dir)
}

#[tokio::test]
async fn the_document_tells_what_is_served() {
    let (stand, _dir) = world().await;
    assert_eq!(stand.document_flaws().await, Vec::<String>::new());
    let calls = stand.document().await.unwrap().calls().count();
    assert!(calls > 10, "{calls}");
}

#[tokio::test]
async fn a_mark_is_set_with_its_deed() {
    let (stand, _dir) = world().await;
    let body = serde_json::json!({"name": "Hong Gildong", "birth_date": "1990-03-01", "kind": "person"});
    let id = stand.post(&stand.service, "/customers", "k", &body).await.text_of("id");
    let path = format!("/customers/{id}/marks/deceased");
    let set = stand.put(&path, &serde_json::json!({"on": true, "reason": "notice"})).await;
    assert_eq!((set.status, set.text_of("status")), (200, "restricted".into()), "{}", set.text);
    assert_eq!(stand.put(&path, &serde_json::json!({"on": false, "reason": " "})).await.fields(), ["reason"]);
    let audit = stand.get(&stand.operator, &format!("/audit?subject={id}")).await.json();
    let entries = audit["items"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "a refused call is no deed: {audit}");
    let of = |field: &str| entries[0][field].as_str().unwrap().to_owned();
    assert_eq!(
        [of("who"), of("what"), of("reason"), of("result")],
        ["operator:kim", "customer.mark", "notice", "deceased was set"]
    );
    assert!(!audit.to_string().contains("Gildong"), "the audit log names nobody");
}

fn hong() -> Value {
    json!({"name": "Hong Gildong", "birth_date": "1990-03-01", "kind": "person"})
}

/// Everything that a refused call must leave as it was.
async fn books(stand: &Stand, id: &str) -> String {
    let shown = stand.get(&stand.service, &format!("/customers/{id}")).await.text;
    let standing = stand.get(&stand.service, &format!("/customers/{id}/standing")).await.text;
    shown + &standing + &stand.get(&stand.operator, "/audit").await.text
}

#[tokio::test]
async fn what_is_wrong_has_its_code_and_changes_nothing() {
    let (stand, _dir) = world().await;
    let id = stand.post(&stand.service, "/customers", "k", &hong()).await.text_of("id");
    let before = books(&stand, &id).await;
    let customer = stand.token(Role::Customer, &id);
    let other = stand.token(Role::Customer, "cus_00000000000000000000000009");
    let long = format!(r#"{{"name":"{}","birth_date":"1990-03-01","kind":"person"}}"#, "가".repeat(101));
    let own = format!("/customers/{id}");
    let mark = format!("/customers/{id}/marks/deceased");
    let (good, on) = (hong().to_string(), r#"{"on":true,"reason":"x"}"#.to_owned());
    let customers = "/customers".to_owned();
    let unknown = "/customers/cus_00000000000000000000000009".to_owned();
    let bad = |text: &str| text.to_owned();
    #[rustfmt::skip]
    let cases = [
        (&stand.service, "POST", &customers, bad("{}"), 400, "MISSING_FIELD", "name"),
        (&stand.service, "POST", &customers, bad("{"), 400, "MALFORMED_JSON", ""),
        (&stand.service, "POST", &customers, bad(r#"{"name":1}"#), 400, "INVALID_FIELD", "name"),
        (&stand.service, "POST", &customers, bad(r#"{"name":" ","birth_date":"1990-03-01","kind":"person"}"#), 400, "INVALID_FIELD", "name"),
        (&stand.service, "POST", &customers, bad(r#"{"name":"a\u0000","birth_date":"1990-03-01","kind":"person"}"#), 400, "INVALID_FIELD", "name"),
        (&stand.service, "POST", &customers, long, 400, "INVALID_FIELD", "name"),
        (&stand.service, "POST", &customers, bad(r#"{"name":"x","birth_date":"1990-02-30","kind":"person"}"#), 400, "INVALID_FIELD", "birth_date"),
        (&stand.service, "POST", &customers, bad(r#"{"name":"x","birth_date":"2026-01-02","kind":"person"}"#), 400, "INVALID_FIELD", "birth_date"),
        (&stand.service, "POST", &customers, bad(r#"{"name":"x","birth_date":"1990-03-01","kind":"cat"}"#), 400, "INVALID_FIELD", "kind"),
        (&stand.service, "POST", &customers, bad(r#"{"name":"x","birth_date":"1990-03-01","kind":"person","vip":true}"#), 400, "UNKNOWN_FIELD", "vip"),
        (&customer, "POST", &customers, good.clone(), 403, "FORBIDDEN", ""),
        (&stand.service, "GET", &unknown, String::new(), 404, "NOT_FOUND", ""),
        (&other, "GET", &own, String::new(), 404, "NOT_FOUND", ""),
        (&customer, "GET", &format!("{own}/standing"), String::new(), 403, "FORBIDDEN", ""),
        (&stand.service, "GET", &format!("{own}?all=1"), String::new(), 400, "UNKNOWN_FIELD", "all"),
        (&stand.service, "PUT", &mark, on.clone(), 403, "FORBIDDEN", ""),
        (&customer, "PUT", &mark, on.clone(), 403, "FORBIDDEN", ""),
        (&stand.operator, "PUT", &format!("{own}/marks/tall"), on.clone(), 404, "NOT_FOUND", ""),
        (&stand.operator, "PUT", &format!("{unknown}/marks/deceased"), on.clone(), 404, "NOT_FOUND", ""),
        (&stand.operator, "PUT", &mark, bad(r#"{"on":1,"reason":"x"}"#), 400, "INVALID_FIELD", "on"),
        (&stand.operator, "DELETE", &own, String::new(), 405, "METHOD_NOT_ALLOWED", ""),
    ];
    for (token, method, path, body, status, code, field) in cases {
        let request = stand.request(token, method, path).header("idempotency-key", "bad");
        let got = stand.send(request.header("content-type", "application/json"), body.clone()).await;
        let shown = (got.status, got.code(), got.fields().first().cloned().unwrap_or_default());
        assert_eq!(shown, (status, code.to_owned(), field.to_owned()), "{method} {path} {body}: {}", got.text);
    }
    assert_eq!(stand.get(&customer, &own).await.status, 200);
    assert_eq!(books(&stand, &id).await, before);
}

#[tokio::test]
async fn everything_wrong_with_a_registration_is_told() {
    let (stand, _dir) = world().await;
    let body = json!({"name": "", "birth_date": "2030-01-01", "kind": "person"});
    let got = stand.post(&stand.service, "/customers", "k", &body).await;
    assert_eq!(got.fields(), ["name", "birth_date"]);
}

#[tokio::test]
async fn a_registration_sent_again_is_answered_as_at_first() {
    let (stand, _dir) = world().await;
    let first = stand.post(&stand.service, "/customers", "k", &hong()).await;
    assert_eq!((first.status, first.is_replay()), (201, false));
    let id = first.text_of("id");
    let mark = format!("/customers/{id}/marks/kyc_expired");
    let version =
        async || stand.get(&stand.service, &format!("/customers/{id}/standing")).await.json()["version"].clone();
    for (on, wanted) in [(false, 1), (true, 2), (true, 2), (false, 3), (false, 3), (true, 4)] {
        let set = stand.put(&mark, &json!({"on": on, "reason": "test"})).await;
        assert_eq!((set.status, version().await), (200, json!(wanted)), "{on}");
    }
    let again = stand.post(&stand.service, "/customers", "k", &hong()).await;
    assert_eq!((again.status, again.is_replay(), &again.text), (201, true, &first.text));
    let other = json!({"name": "Hong Gildong", "birth_date": "1990-03-02", "kind": "person"});
    assert_eq!(stand.post(&stand.service, "/customers", "k", &other).await.code(), "KEY_REUSED");
    let own_key = stand.post(&stand.operator, "/customers", "k", &hong()).await;
    assert_eq!(own_key.status, 201, "keys belong to their caller");
    assert_ne!(own_key.text_of("id"), id);
}

#[tokio::test]
async fn nothing_on_disk_names_a_person() {
    let (stand, dir) = world().await;
    for n in 0..20 {
        let body = json!({"name": format!("Hong Gildong {n}"), "birth_date": "1990-03-01", "kind": "person"});
        assert_eq!(stand.post(&stand.service, "/customers", &format!("k{n}"), &body).await.status, 201);
    }
    let mut bytes = 0;
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let content = std::fs::read(file.unwrap().path()).unwrap();
        bytes += content.len();
        for secret in ["Gildong", "1990-03-01"] {
            assert!(!content.windows(secret.len()).any(|w| w == secret.as_bytes()), "{secret}");
        }
    }
    assert!(bytes > 20_000, "the files were looked at");
}

#[tokio::test]
async fn customers_are_counted_for_staff() {
    let (stand, _dir) = world().await;
    let customer = stand.token(jangbu_platform::auth::Role::Customer, "cus_1");
    for (n, name) in ["Kim", "Lee"].iter().enumerate() {
        assert_eq!(stand.get(&stand.operator, "/totals").await.json()["customers"], n);
        let body = serde_json::json!({"name": name, "birth_date": "1990-03-01", "kind": "person"});
        assert_eq!(stand.post(&stand.service, "/customers", name, &body).await.status, 201);
    }
    assert_eq!(stand.get(&customer, "/totals").await.code(), "FORBIDDEN");
}

/// A disk that keeps what it is told to flush, once it was told to.
#[derive(Default)]
struct Keeping(Mutex<Option<Vec<Group>>>);

impl Disk for Keeping {
    fn flush(&self, group: Group) {
        match self.0.lock().unwrap().as_mut() {
            Some(kept) => kept.push(group),
            None => group.flush(),
        }
    }
}

#[tokio::test]
async fn a_repeated_answer_waits_for_the_flush_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let at = "2026-01-01T10:00:00+09:00".parse().unwrap();
    let (_, mut given) = Stand::new(dir.path(), &crate::SERVICE, at).await.unwrap();
    let disk = Arc::new(Keeping::default());
    let engine = stepped::open(&dir.path().join("stepped.db"), disk.clone()).unwrap();
    given.db = Db::on(engine, given.clock.clone(), given.dice.clone());
    jangbu_platform::migrate::apply(&given.db, crate::SERVICE.migrations).await.unwrap();
    *disk.0.lock().unwrap() = Some(Vec::new());
    let register = || {
        let world = given.clone();
        tokio::spawn(async move {
            let key = Key { caller: "service:partner".to_owned(), key: "k".to_owned() };
            let body = serde_json::from_value(hong()).unwrap();
            crate::flows::register(&world, &key, 7, &body).await
        })
    };
    let turn = given.db.begin("test.turn").await.unwrap();
    let (first, second) = (register(), register());
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(turn); // both wait by now, so they share a flush
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!first.is_finished() && !second.is_finished(), "nobody is answered before the flush");
    for group in disk.0.lock().unwrap().take().unwrap() {
        group.fail("the disk said no");
    }
    assert!(first.await.unwrap().is_err() && second.await.unwrap().is_err(), "what was lost is told to nobody");
    assert_eq!(crate::flows::count(&given).await.unwrap(), 0);
}
