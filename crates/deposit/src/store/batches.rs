//! Batches of postings whose rows are not written yet, each packed in one row.

use std::sync::Arc;

use jangbu_platform::db::{Fault, Row, Tx, Value};

use super::packed;
use super::postings::{self, NewRow, Stored};

/// A batch of postings, packed.
#[derive(Clone, Debug)]
pub struct Packed {
    /// Its first place.
    pub first: u64,
    /// Its last place.
    pub last: u64,
    bytes: Arc<[u8]>,
}

impl Packed {
    /// Packs rows that follow each other; nothing where there are none.
    pub fn of(rows: &[NewRow<'_>]) -> Option<Packed> {
        let (first, last) = (rows.first()?.seq, rows.last()?.seq);
        Some(Packed { first, last, bytes: packed::pack(rows).into() })
    }

    fn read(row: &Row) -> Packed {
        let place = |at| row.int(at).cast_unsigned();
        Packed { first: place(0), last: place(1), bytes: row.bytes(2).into() }
    }

    /// Its rows.
    pub fn rows(&self) -> Result<Vec<Stored>, Fault> {
        let rows = packed::unpack(&self.bytes).filter(|rows| rows.first().is_some_and(|row| row.seq == self.first));
        rows.filter(|rows| rows.last().is_some_and(|row| row.seq == self.last))
            .ok_or_else(|| Fault::Damaged(format!("the batch of postings {} to {}", self.first, self.last)))
    }
}

/// Keeps a batch, with the unit of work.
pub async fn keep(tx: &mut Tx, batch: &Packed) -> Result<(), Fault> {
    let row = [batch.last.cast_signed().into(), batch.first.cast_signed().into(), Value::Bytes(&batch.bytes)];
    tx.execute_last("INSERT INTO posting_batch (last_seq, first_seq, packed) VALUES (?, ?, ?)", &row).await
}

/// The batches after a place whose rows are not written, in order.
pub async fn after(tx: &mut Tx, seq: u64) -> Result<Vec<Packed>, Fault> {
    let sql = "SELECT first_seq, last_seq, packed FROM posting_batch WHERE last_seq > ? ORDER BY last_seq";
    let rows = tx.query(sql, &[seq.cast_signed().into()]).await?;
    Ok(rows.iter().map(Packed::read).collect())
}

/// The rows of the batches after a place that are not written, in order.
pub async fn rows_after(tx: &mut Tx, seq: u64) -> Result<Vec<Stored>, Fault> {
    let mut rows = Vec::new();
    for batch in after(tx, seq).await? {
        rows.extend(batch.rows()?);
    }
    Ok(rows)
}

/// A row of a batch that is not written, in a snapshot.
pub async fn find(tx: &mut Tx, wanted: impl Fn(&Stored) -> bool) -> Result<Option<Stored>, Fault> {
    Ok(rows_after(tx, 0).await?.into_iter().find(wanted))
}

/// The last place taken, whether its row is written or not.
pub async fn last_seq(tx: &mut Tx) -> Result<u64, Fault> {
    let row = tx.query_one("SELECT MAX(last_seq) FROM posting_batch", &[]).await?;
    let packed = row.and_then(|row| row.opt_int(0)).map_or(0, i64::cast_unsigned);
    Ok(packed.max(postings::last_seq(tx).await?))
}

/// Keeps of some batches those whose rows are not written, and lets nobody else write them until the unit of work ends.
pub async fn retain_kept(tx: &mut Tx, batches: &mut Vec<Packed>) -> Result<(), Fault> {
    let asked: Vec<Value<'_>> = batches.iter().map(|batch| batch.last.cast_signed().into()).collect();
    let rows = tx.query("SELECT last_seq FROM posting_batch WHERE last_seq IN (?*) FOR UPDATE", &asked).await?;
    let kept: Vec<u64> = rows.iter().map(|row| row.int(0).cast_unsigned()).collect();
    batches.retain(|batch| kept.contains(&batch.last));
    Ok(())
}

/// Writes the rows of batches, which are kept no longer.
///
/// # Errors
/// [`Fault::Conflict`] where another has written some of them.
pub async fn write(tx: &mut Tx, batches: &[Packed]) -> Result<(), Fault> {
    let mut rows = Vec::new();
    for batch in batches {
        rows.extend(batch.rows()?);
    }
    postings::insert(tx, &rows.iter().map(Stored::row).collect::<Vec<_>>()).await?;
    for batch in batches {
        tx.execute_last("DELETE FROM posting_batch WHERE last_seq = ?", &[batch.last.cast_signed().into()]).await?;
    }
    Ok(())
}
