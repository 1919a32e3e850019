//! The service behind the edge, called as callers call it.
#![allow(clippy::unwrap_used)]

use jangbu_platform::stand::Stand;

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
