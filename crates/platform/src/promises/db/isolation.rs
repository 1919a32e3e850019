//! What flows see of each other.

use super::{World, count};
use crate::db::{Answer, Db, Fault, Inserted, Key, Recall};

/// Flows of two processes that add to two numbers.
const ADDERS: i64 = 16;
/// Times that each does so.
const ROUNDS: i64 = 25;

async fn add(db: &Db, ids: [i64; 2]) -> Result<(), Fault> {
    let mut tx = db.begin("add").await?;
    for id in ids {
        let row = tx.query_one("SELECT v FROM t WHERE id = ? FOR UPDATE", &[id.into()]).await?.unwrap();
        tokio::task::yield_now().await;
        tx.execute("UPDATE t SET v = ? WHERE id = ?", &[(row.int(0) + 1).into(), id.into()]).await?;
    }
    tx.commit().await
}

pub(super) async fn what_is_read_under_a_lock_stays(world: World) {
    let mut tx = world.db.begin("put").await.unwrap();
    let _ = tx.insert_rows("INSERT INTO t (id, v) VALUES (?*)", 2, &[1, 0, 2, 0].map(Into::into)).await.unwrap();
    tx.commit().await.unwrap();
    let adder = |n: i64| {
        let db = if n % 2 == 0 { world.db.clone() } else { world.beside.clone() };
        // Half of them in the other order: they would wait for each other for ever.
        let ids = if n % 4 < 2 { [1, 2] } else { [2, 1] };
        tokio::spawn(async move {
            for _ in 0..ROUNDS {
                loop {
                    match add(&db, ids).await {
                        Ok(()) => break,
                        Err(fault) => assert!(fault.is_busy(), "{fault}"),
                    }
                }
            }
        })
    };
    for adder in (0..ADDERS).map(adder).collect::<Vec<_>>() {
        adder.await.unwrap();
    }
    let rows = world.db.read("sums").await.unwrap().query("SELECT v FROM t ORDER BY id", &[]).await.unwrap();
    let sums: Vec<i64> = rows.iter().map(|row| row.int(0)).collect();
    assert_eq!(sums, [ADDERS * ROUNDS; 2], "no sum is lost");
}

pub(super) async fn a_snapshot_stands_still_and_writes_nothing(world: World) {
    let put = async |id: i64| {
        let mut tx = world.db.begin("put").await.unwrap();
        let _ = tx.insert("INSERT INTO t (id, v) VALUES (?*)", &[id.into(), 0.into()]).await.unwrap();
        tx
    };
    put(1).await.commit().await.unwrap();
    let mut snapshot = world.beside.read("still").await.unwrap();
    let rows =
        async |tx: &mut crate::db::Tx| tx.query("SELECT id FROM t ORDER BY id FOR UPDATE", &[]).await.unwrap().len();
    assert_eq!(rows(&mut snapshot).await, 1);
    let open = put(2).await;
    assert_eq!(rows(&mut snapshot).await, 1);
    assert_eq!(count(&world.beside).await, 1, "what is not committed is not seen");
    open.commit().await.unwrap();
    assert_eq!(rows(&mut snapshot).await, 1, "nor what was committed since");
    assert_eq!(count(&world.beside).await, 2);
    assert!(snapshot.execute("DELETE FROM t", &[]).await.is_err());
    let mut snapshot = world.db.read("still").await.unwrap();
    assert!(snapshot.insert("INSERT INTO t (id, v) VALUES (?*)", &[3.into(), 3.into()]).await.is_err());
    drop(snapshot);
    assert_eq!(count(&world.db).await, 2);
}

pub(super) async fn a_flow_that_is_left_leaves_nothing(world: World) {
    let flow = |n: i64| {
        let db = world.db.clone();
        tokio::spawn(async move {
            let mut tx = db.begin("left").await.unwrap();
            for id in n * 1_000.. {
                let _ = tx.insert("INSERT INTO t (id, v) VALUES (?*)", &[id.into(), n.into()]).await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    };
    for n in 0..20 {
        let flow = flow(n);
        for _ in 0..n * 3 {
            tokio::task::yield_now().await;
        }
        flow.abort();
        let _ = flow.await;
    }
    let mut tx = world.beside.begin("after").await.unwrap();
    let left = tx.query("SELECT id FROM t WHERE id < ? FOR UPDATE", &[1_000_000.into()]).await.unwrap();
    assert_eq!(left.len(), 0, "in the middle of a statement or between two");
    let _ = tx.insert("INSERT INTO t (id, v) VALUES (?*)", &[1.into(), 1.into()]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(&world.db).await, 1);
    // Whoever leaves while his commit is under way has committed, or not; both are whole.
    for id in 2..20i64 {
        let mut tx = world.db.begin("leaving").await.unwrap();
        let rows = [id, id, -id, id].map(Into::into);
        assert_eq!(tx.insert_rows("INSERT INTO t (id, v) VALUES (?*)", 2, &rows).await.unwrap(), Inserted::New);
        let commit = tokio::spawn(tx.commit());
        for _ in 0..id {
            tokio::task::yield_now().await;
        }
        commit.abort();
        let _ = commit.await;
    }
    let mut tx = world.beside.begin("all done").await.unwrap();
    let rows = tx.query("SELECT id FROM t WHERE id <> ? ORDER BY id FOR UPDATE", &[1.into()]).await.unwrap();
    let ids: Vec<i64> = rows.iter().map(|row| row.int(0)).collect();
    assert!(ids.iter().all(|id| ids.contains(&-id)), "{ids:?}");
}

/// The same request at once in two processes: one is done, the other is told what became of it, or to ask again.
pub(super) async fn of_two_with_one_key_one_is_told_of_the_other(world: World) {
    let ask = |db: Db, n: i64, who: i64| {
        tokio::spawn(async move {
            let key = Key { caller: "operator:a".into(), key: format!("k{n}") };
            let mut tx = db.begin("ask").await?;
            if let Recall::Same(answer) = tx.recall(&key, 7).await? {
                return Ok::<_, Fault>(answer.body);
            }
            let row = [(n * 2 + who).into(), n.into()];
            assert_eq!(tx.insert("INSERT INTO t (id, v) VALUES (?*)", &row).await?, Inserted::New);
            let body = who.to_string();
            tx.remember(&key, 7, &Answer { status: 201, body: body.clone() }).await?;
            tx.commit().await?;
            Ok(body)
        })
    };
    for n in 0..60 {
        let both = [ask(world.db.clone(), n, 0), ask(world.beside.clone(), n, 1)];
        let mut answers = Vec::new();
        for (who, one) in (0..).zip(both) {
            let mut done = one.await.unwrap();
            while done.as_ref().is_err_and(Fault::is_busy) {
                done = ask(world.db.clone(), n, who).await.unwrap();
            }
            answers.push(done.unwrap());
        }
        assert_eq!(answers[0], answers[1]);
    }
    assert_eq!(count(&world.db).await, 60, "each was done once");
}
