#![allow(clippy::unwrap_used)]

use std::future::Future;

use futures_util::FutureExt as _;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization, TransactionOperation};

use super::*;

fn open(dir: &Path) -> Embedded {
    let engine = Embedded::open(&dir.join("t.db")).unwrap();
    engine.0.turn.try_lock().unwrap().conn.execute_batch("CREATE TABLE t (id BIGINT)").unwrap();
    engine
}

/// As when memory or the disk fail just there: the engine begins so many flows, and no more.
fn begins_at_most(engine: &Embedded, flows: usize) {
    let begun = AtomicUsize::new(0);
    let ask = move |context: AuthContext<'_>| match context.action {
        AuthAction::Transaction { operation: TransactionOperation::Begin }
        | AuthAction::Savepoint { operation: TransactionOperation::Begin, .. }
            if begun.fetch_add(1, Ordering::SeqCst) >= flows =>
        {
            Authorization::Deny
        }
        _ => Authorization::Allow,
    };
    engine.0.turn.try_lock().unwrap().conn.authorizer(Some(ask));
}

async fn insert(unit: &mut Box<dyn Unit>, id: i64) {
    assert_eq!(unit.insert_rows("INSERT INTO t (id) VALUES (?*)", 1, &[id.into()]).await.unwrap(), Inserted::New);
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(5), what).await.expect("it hangs")
}

#[tokio::test]
async fn a_flow_that_can_not_begin_leaves_no_group_open() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    begins_at_most(&engine, 0);
    assert!(engine.begin().await.is_err());
    begins_at_most(&engine, 1);
    let mut unit = soon(engine.begin()).await.unwrap();
    insert(&mut unit, 1).await;
    soon(unit.commit()).await.unwrap();
}

#[tokio::test]
async fn a_flow_that_can_not_begin_keeps_nobody_of_its_group_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    begins_at_most(&engine, 1);
    let mut first = engine.begin().await.unwrap();
    insert(&mut first, 1).await;
    // It waits for the turn, so the first one's commit leaves the group open for it.
    let mut second = engine.begin();
    assert!(second.as_mut().now_or_never().is_none());
    let first = first.commit();
    assert!(soon(second).await.is_err());
    soon(first).await.unwrap();
    let rows = engine.read().await.unwrap().query("SELECT id FROM t", &[]).await.unwrap();
    assert_eq!(rows.len(), 1, "what was committed is there");
}
