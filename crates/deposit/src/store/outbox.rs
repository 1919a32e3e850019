//! Postings on their way out: a row per commit names its postings, and the postings are the message.

use jangbu_platform::db::{Fault, Row, Tx};

/// Notes that postings `first` to `last` wait to be sent.
pub async fn insert(tx: &mut Tx, first: u64, last: u64) -> Result<(), Fault> {
    let row = [first.cast_signed().into(), last.cast_signed().into()];
    tx.execute_last("INSERT INTO posting_outbox (first_seq, last_seq) VALUES (?, ?)", &row).await
}

/// Ranges that wait, in order, as far as all rows are there.
pub async fn ranges(tx: &mut Tx, limit: u32) -> Result<Vec<(u64, u64)>, Fault> {
    let sql = "SELECT first_seq, last_seq FROM posting_outbox WHERE last_seq < COALESCE((SELECT MIN(first_seq) \
               FROM posting_batch WHERE posting_batch.last_seq > (SELECT f.seq FROM folded f WHERE f.id = 1)), \
               9223372036854775807) ORDER BY first_seq LIMIT ?";
    let rows = tx.query(sql, &[limit.into()]).await?;
    Ok(rows.iter().map(range).collect())
}

/// All ranges that wait, in order.
pub async fn all(tx: &mut Tx) -> Result<Vec<(u64, u64)>, Fault> {
    let rows = tx.query("SELECT first_seq, last_seq FROM posting_outbox ORDER BY first_seq", &[]).await?;
    Ok(rows.iter().map(range).collect())
}

fn range(row: &Row) -> (u64, u64) {
    (row.int(0).cast_unsigned(), row.int(1).cast_unsigned())
}

/// Everything up to `last` has been sent; a range sent in part waits with its rest.
pub async fn sent(tx: &mut Tx, last: u64) -> Result<(), Fault> {
    let n = last.cast_signed();
    tx.execute("DELETE FROM posting_outbox WHERE last_seq <= ?", &[n.into()]).await?;
    let sql = "UPDATE posting_outbox SET first_seq = ? WHERE first_seq <= ?";
    tx.execute(sql, &[(n + 1).into(), n.into()]).await?;
    Ok(())
}

/// How many postings wait.
pub async fn waiting(tx: &mut Tx) -> Result<u64, Fault> {
    let row = tx.query_one("SELECT SUM(last_seq - first_seq + 1) FROM posting_outbox", &[]).await?;
    Ok(row.and_then(|r| r.opt_int(0)).map_or(0, i64::cast_unsigned))
}
