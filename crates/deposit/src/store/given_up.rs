//! Withdrawals that were given up and are to be given back.

use jangbu_kernel::id::PostingId;
use jangbu_platform::db::{Fault, Inserted, Tx, Value};

/// A withdrawal to be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The key under which it is given back.
    pub key: String,
    /// It.
    pub posting: PostingId,
    /// Why.
    pub reason: String,
}

/// Writes one down; the same again changes nothing.
pub async fn insert(tx: &mut Tx, given_up: &GivenUp) -> Result<Inserted, Fault> {
    let (id, now) = (given_up.posting.to_bytes(), tx.now().micros());
    let row = [(&given_up.key).into(), Value::Bytes(&id), (&given_up.reason).into(), now.into()];
    tx.insert("INSERT INTO given_up (idem_key, posting, reason, told_at) VALUES (?*)", &row).await
}

/// The first ones.
pub async fn first(tx: &mut Tx, limit: u32) -> Result<Vec<GivenUp>, Fault> {
    let sql = "SELECT idem_key, posting, reason FROM given_up ORDER BY idem_key LIMIT ?";
    let rows = tx.query(sql, &[limit.into()]).await?;
    let row = |r: &jangbu_platform::db::Row| GivenUp {
        key: r.text(0).to_owned(),
        posting: PostingId::from_bytes(r.id(1)),
        reason: r.text(2).to_owned(),
    };
    Ok(rows.iter().map(row).collect())
}

/// Forgets one whose outcome is kept under its key.
pub async fn delete(tx: &mut Tx, key: &str) -> Result<(), Fault> {
    tx.execute("DELETE FROM given_up WHERE idem_key = ?", &[key.into()]).await.map(drop)
}
