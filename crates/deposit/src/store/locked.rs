//! What a database that several processes write is asked for: the instance's place under its lock, and many rows at a time.
//! Whoever posts, or changes what postings are decided by, locks the place first; so nobody waits in a circle.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jangbu_kernel::id::CustomerId;
use jangbu_platform::db::{Fault, Row, Tx, Value};

use super::accounts::{self, BALANCE, BALANCE_COLUMNS, SELECT};
use super::postings::{self, Stored};
use crate::domain::book::{Account, Marks, Owner};

/// Reads accounts; whoever has the place reads them as they are.
pub async fn accounts(tx: &mut Tx, nos: &[u64], product: impl Fn(&str) -> Option<u32>) -> Result<Vec<Account>, Fault> {
    if nos.is_empty() {
        return Ok(Vec::new());
    }
    let nos: Vec<Value<'_>> = nos.iter().map(|no| no.cast_signed().into()).collect();
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

/// Paths are filled up to a multiple of so many bytes: a row that stays as long as it was is changed where it lies.
const PATH_BYTES: usize = 64;

/// Writes states of accounts back that changed after a posting, of each the latest.
pub async fn write_balances(tx: &mut Tx, mut accounts: Vec<&Account>, after: u64) -> Result<(), Fault> {
    accounts.retain(|account| account.changed > after);
    // Near each other in the tree.
    accounts.sort_unstable_by_key(|account| (account.no, Reverse(account.changed)));
    accounts.dedup_by_key(|account| account.no);
    let padded = |account: &&Account| {
        let mut path = account.path.to_bytes();
        path.resize(path.len().next_multiple_of(PATH_BYTES), 0);
        path
    };
    let paths: Vec<Vec<u8>> = accounts.iter().map(padded).collect();
    let mut values = Vec::with_capacity(accounts.len() * BALANCE_COLUMNS);
    for (account, path) in accounts.iter().zip(&paths) {
        values.extend(accounts::balance_row(account, path));
    }
    if !values.is_empty() {
        let _ = tx.insert_rows(BALANCE, BALANCE_COLUMNS, &values).await?; // replaces: there is no duplicate
    }
    Ok(())
}

/// The instance's place, and what stands beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The last posting.
    pub seq: u64,
    /// How often accounts, owners or terms that were there changed by what is in no posting.
    pub changes: u64,
    /// By chance, from who posted last.
    pub token: u64,
}

/// How far what was posted is written out.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Up to here there are all rows.
    pub rows: u64,
    /// Up to here all balances are written back.
    pub balances: u64,
}

/// Locks the instance's place. Whoever has it makes the next postings, so places are in the order of commits, without a
/// gap; and all who change what postings are decided by take it before they change it.
///
/// With it comes up to which posting all rows are written, and all balances, at least.
pub async fn place(tx: &mut Tx) -> Result<(Place, Written), Fault> {
    let sql = "SELECT seq, changes, token, (SELECT f.seq FROM folded f WHERE f.id = 1), \
               (SELECT b.first_seq FROM posting_batch b ORDER BY b.last_seq LIMIT 1) FROM place WHERE id = 1 FOR UPDATE";
    loop {
        if let Some(row) = tx.query_one(sql, &[]).await? {
            let value = |at| row.int(at).cast_unsigned();
            let place = Place { seq: value(0), changes: value(1), token: value(2) };
            let balances = row.opt_int(3).map_or(0, i64::cast_unsigned);
            // What is beside the lock may have been read before it was had: "nothing is packed" tells nothing then.
            let rows = row.opt_int(4).map_or(balances, |first| first.cast_unsigned() - 1);
            return Ok((place, Written { rows, balances }));
        }
        // There is none yet. Where another makes it meanwhile, his is found.
        let _ = tx.insert("INSERT INTO folded (id, seq) VALUES (?*)", &[1, 0].map(Value::Int)).await?;
        let row = [1, postings::last_seq(tx).await?.cast_signed(), 0, 0].map(Value::Int);
        let _ = tx.insert("INSERT INTO place (id, seq, changes, token) VALUES (?*)", &row).await?;
    }
}

/// Moves the place on, with the token of who does.
pub async fn set_place(tx: &mut Tx, seq: u64, token: u64) -> Result<(), Fault> {
    let row = [seq, token].map(|n| Value::Int(n.cast_signed()));
    tx.execute_last("UPDATE place SET seq = ?, token = ? WHERE id = 1", &row).await
}

/// Notes beside the place that something changes by what is in no posting.
pub async fn note_change(tx: &mut Tx) -> Result<(), Fault> {
    place(tx).await?;
    tx.execute("UPDATE place SET changes = changes + 1 WHERE id = 1", &[]).await.map(|_| ())
}

/// The last posting that is durable, as far as is known without the place.
pub async fn reached(tx: &mut Tx) -> Result<u64, Fault> {
    Ok(tx.query_one("SELECT seq FROM place WHERE id = 1", &[]).await?.map_or(0, |row| row.int(0).cast_unsigned()))
}

/// Up to where somebody waits, in any process, for balances to be written back.
pub async fn wanted(tx: &mut Tx) -> Result<u64, Fault> {
    let row = tx.query_one("SELECT seq FROM folded WHERE id = 2", &[]).await?;
    Ok(row.map_or(0, |row| row.int(0).cast_unsigned()))
}

/// Tells other processes up to where one waits.
pub async fn want(tx: &mut Tx, seq: u64) -> Result<(), Fault> {
    let seq = seq.cast_signed();
    if tx.execute("UPDATE folded SET seq = ? WHERE id = 2 AND seq < ?", &[seq.into(), seq.into()]).await? == 0 {
        // There is none yet, or more is wanted.
        let _ = tx.insert("INSERT INTO folded (id, seq) VALUES (?*)", &[2, seq].map(Value::Int)).await?;
    }
    Ok(())
}

/// Up to which posting all balances are written back; nobody else writes any back until the unit of work ends. Also the
/// first posting whose row is not written yet, though it may be by now.
pub async fn folded(tx: &mut Tx) -> Result<(u64, Option<u64>), Fault> {
    let sql = "SELECT seq, (SELECT MIN(b.first_seq) FROM posting_batch b WHERE b.last_seq > folded.seq) FROM folded \
               WHERE id = 1 FOR UPDATE";
    let row = tx.query_one(sql, &[]).await?;
    Ok(row.map_or((0, None), |row| (row.int(0).cast_unsigned(), row.opt_int(1).map(i64::cast_unsigned))))
}
