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
