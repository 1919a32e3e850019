//! What a database that several processes write is asked for: rows under locks, many at a time, in the order of their
//! keys. Whoever posts locks balances first, in order, and the instance's place last; so nobody waits in a circle.

use std::collections::BTreeSet;

use jangbu_kernel::id::CustomerId;
use jangbu_platform::db::{Fault, Inserted, Row, Tx, Value};

use super::accounts::{self, BALANCE, BALANCE_COLUMNS, SELECT};
use super::postings::{self, Stored};
use crate::domain::book::{Account, Marks, Owner};

/// Locks accounts in the order of their numbers, and reads them as they then are. Their balances' rows are the locks: what
/// changes an account's other row locks them too.
pub async fn accounts(
    tx: &mut Tx,
    nos: &BTreeSet<u64>,
    product: impl Fn(&str) -> Option<u32>,
) -> Result<Vec<Account>, Fault> {
    if nos.is_empty() {
        return Ok(Vec::new());
    }
    let nos: Vec<Value<'_>> = nos.iter().map(|no| no.cast_signed().into()).collect();
    tx.query("SELECT no FROM balance WHERE no IN (?*) ORDER BY no FOR UPDATE", &nos).await?;
    let rows = tx.query(&format!("{SELECT} WHERE a.no IN (?*)"), &nos).await?;
    rows.iter().map(|row| accounts::read(row, &product)).collect()
}

/// What is known of owners.
pub async fn owners(tx: &mut Tx, customers: &BTreeSet<CustomerId>) -> Result<Vec<(CustomerId, Owner)>, Fault> {
    if customers.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<[u8; 16]> = customers.iter().map(|customer| customer.to_bytes()).collect();
    let ids: Vec<Value<'_>> = ids.iter().map(Value::from).collect();
    let rows = tx.query("SELECT customer, version, marks FROM owner WHERE customer IN (?*)", &ids).await?;
    let read = |row: &Row| {
        let marks = Marks(u32::try_from(row.int(2)).unwrap_or(0));
        (CustomerId::from_bytes(row.id(0)), Owner { version: row.int(1), marks })
    };
    Ok(rows.iter().map(read).collect())
}

/// The rows of those keys that are known.
pub async fn by_keys(tx: &mut Tx, keys: &[&str]) -> Result<Vec<Stored>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<Value<'_>> = keys.iter().map(|key| Value::Text(key)).collect();
    let rows = tx.query(&format!("{} WHERE idem_key IN (?*)", postings::SELECT), &keys).await?;
    rows.iter().map(postings::stored).collect()
}

/// The rows at places.
pub async fn by_seqs(tx: &mut Tx, seqs: &[u64]) -> Result<Vec<Stored>, Fault> {
    if seqs.is_empty() {
        return Ok(Vec::new());
    }
    let seqs: Vec<Value<'_>> = seqs.iter().map(|seq| seq.cast_signed().into()).collect();
    let rows = tx.query(&format!("{} WHERE seq IN (?*)", postings::SELECT), &seqs).await?;
    rows.iter().map(postings::stored).collect()
}

/// The accounts of holds, which never change.
pub async fn held_accounts(tx: &mut Tx, holds: &[u64]) -> Result<Vec<u64>, Fault> {
    if holds.is_empty() {
        return Ok(Vec::new());
    }
    let holds: Vec<Value<'_>> = holds.iter().map(|seq| seq.cast_signed().into()).collect();
    let rows = tx.query("SELECT account FROM hold WHERE seq IN (?*)", &holds).await?;
    Ok(rows.iter().map(|row| row.int(0).cast_unsigned()).collect())
}

/// Writes accounts' states back.
pub async fn write_balances(tx: &mut Tx, accounts: &[&Account]) -> Result<(), Fault> {
    let paths: Vec<Vec<u8>> = accounts.iter().map(|account| account.path.to_bytes()).collect();
    let mut values = Vec::with_capacity(accounts.len() * BALANCE_COLUMNS);
    for (account, path) in accounts.iter().zip(&paths) {
        values.extend(accounts::balance_row(account, path));
    }
    if !values.is_empty() {
        let _ = tx.insert_rows(BALANCE, BALANCE_COLUMNS, &values).await?; // replaces: there is no duplicate
    }
    Ok(())
}

/// Locks the instance's place, up to which balances are written back: the last posting. Whoever has it makes the next
/// ones, so places are in the order of commits, without a gap.
pub async fn place(tx: &mut Tx) -> Result<u64, Fault> {
    let sql = "SELECT seq FROM folded WHERE id = ? FOR UPDATE";
    if let Some(row) = tx.query_one(sql, &[1i64.into()]).await? {
        return Ok(row.int(0).cast_unsigned());
    }
    let last = postings::last_seq(tx).await?;
    match tx.insert("INSERT INTO folded (id, seq) VALUES (?*)", &[1i64.into(), last.cast_signed().into()]).await? {
        Inserted::New => Ok(last),
        Inserted::Duplicate => Err(Fault::Conflict("another process began at the first place".into())),
    }
}

/// Moves the place on.
pub async fn set_place(tx: &mut Tx, seq: u64) -> Result<(), Fault> {
    tx.execute("UPDATE folded SET seq = ? WHERE id = ?", &[seq.cast_signed().into(), 1i64.into()]).await?;
    Ok(())
}
