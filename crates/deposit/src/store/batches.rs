//! Batches of postings whose rows are not written yet, each packed in one row.

use std::sync::Arc;

use jangbu_platform::db::{Fault, Inserted, Tx, Value};

use super::packed;
use super::postings::{self, NewRow, Stored};

/// Bytes of a batch that goes with the commit at most: written out they are twice as many, and a server takes only so many
/// at once.
const BYTES_WITH_COMMIT_MAX: usize = 1 << 20;

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

    fn of_bytes(bytes: &[u8]) -> Result<Packed, Fault> {
        let (first, last) = packed::places(bytes).ok_or_else(|| Fault::Damaged("a batch of postings".into()))?;
        Ok(Packed { first, last, bytes: bytes.into() })
    }

    /// Its rows.
    pub fn rows(&self) -> Result<Vec<Stored>, Fault> {
        packed::unpack(&self.bytes).ok_or_else(|| self.damaged())
    }

    /// Shows its rows in order.
    pub fn each(&self, see: &mut dyn FnMut(&NewRow<'_>)) -> Result<(), Fault> {
        packed::each(&self.bytes, see).ok_or_else(|| self.damaged())
    }

    fn damaged(&self) -> Fault {
        Fault::Damaged(format!("the batch of postings {} to {}", self.first, self.last))
    }
}

/// Keeps a batch, with the unit of work.
pub async fn keep(tx: &mut Tx, batch: &Packed) -> Result<(), Fault> {
    let row = [batch.last.cast_signed().into(), batch.first.cast_signed().into(), Value::Bytes(&batch.bytes)];
    if batch.bytes.len() <= BYTES_WITH_COMMIT_MAX {
        let sql = "INSERT INTO posting_batch (last_seq, first_seq, packed) VALUES (?, ?, ?)";
        return tx.execute_last(sql, &row).await;
    }
    match tx.insert("INSERT INTO posting_batch (last_seq, first_seq, packed) VALUES (?*)", &row).await? {
        Inserted::New => Ok(()),
        Inserted::Duplicate => Err(Fault::Conflict("another posted meanwhile".into())),
    }
}

/// The batches after a place whose rows are not written, in order.
pub async fn after(tx: &mut Tx, seq: u64) -> Result<Vec<Packed>, Fault> {
    let sql = "SELECT packed FROM posting_batch WHERE last_seq > ? ORDER BY last_seq";
    let rows = tx.query(sql, &[seq.cast_signed().into()]).await?;
    rows.iter().map(|row| Packed::of_bytes(row.bytes(0))).collect()
}

/// The first batches whose rows are not written, in order.
pub async fn first(tx: &mut Tx, count: usize) -> Result<Vec<Packed>, Fault> {
    let sql = format!("SELECT packed FROM posting_batch ORDER BY last_seq LIMIT {count}");
    let rows = tx.query(&sql, &[]).await?;
    rows.iter().map(|row| Packed::of_bytes(row.bytes(0))).collect()
}

/// The rows of the batches after a place that are not written, in order.
pub async fn rows_after(tx: &mut Tx, seq: u64) -> Result<Vec<Stored>, Fault> {
    let mut rows = Vec::new();
    for batch in after(tx, seq).await? {
        rows.extend(batch.rows()?);
    }
    Ok(rows)
}

/// The row of a key in a batch that is not written.
pub async fn by_key(tx: &mut Tx, key: &str) -> Result<Option<Stored>, Fault> {
    Ok(rows_after(tx, 0).await?.into_iter().find(|row| row.key == key))
}

/// The row at a place in a batch that is not written.
pub async fn by_seq(tx: &mut Tx, seq: u64) -> Result<Option<Stored>, Fault> {
    let sql = "SELECT packed FROM posting_batch WHERE last_seq >= ? ORDER BY last_seq LIMIT 1";
    let Some(row) = tx.query_one(sql, &[seq.cast_signed().into()]).await? else { return Ok(None) };
    Ok(Packed::of_bytes(row.bytes(0))?.rows()?.into_iter().find(|row| row.seq == seq))
}

/// The last place taken, whether its row is written or not.
pub async fn last_seq(tx: &mut Tx) -> Result<u64, Fault> {
    let sql = "SELECT (SELECT MAX(last_seq) FROM posting_batch), (SELECT MAX(seq) FROM posting)";
    let row = tx.query_one(sql, &[]).await?;
    let last = |at| row.as_ref().and_then(|row| row.opt_int(at)).map_or(0, i64::cast_unsigned);
    Ok(last(0).max(last(1)))
}

/// Writes the rows of batches, which are kept no longer.
///
/// # Errors
/// [`Fault::Conflict`] where another has written some of them.
pub async fn write(tx: &mut Tx, batches: &[Packed]) -> Result<(), Fault> {
    if batches.is_empty() {
        return Ok(());
    }
    let mut rows = Vec::new();
    for batch in batches {
        rows.extend(batch.rows()?);
    }
    postings::insert(tx, &rows.iter().map(Stored::row).collect::<Vec<_>>()).await?;
    let ends: Vec<Value<'_>> = batches.iter().map(|batch| batch.last.cast_signed().into()).collect();
    let sql = format!("DELETE FROM posting_batch WHERE last_seq IN ({})", vec!["?"; ends.len()].join(","));
    tx.execute_last(&sql, &ends).await
}
