//! What operators did: a table that only grows, each row chained to the one before by its hash, so that a row that
//! was changed, taken out or slipped in is seen.
//!
//! The row is written by the unit of work that does the deed, so there is no deed without its row and no row without
//! its deed. The chain can't tell that its newest rows were cut off; so each row's hash also goes to the log, where a
//! later [`verify`] can be held against it.

use jangbu_contracts::operators::AuditEntry;
use jangbu_kernel::time::Timestamp;
use sha2::{Digest, Sha256};

use crate::db::{Fault, Inserted, Row, Tx, Value};

/// Rows read at once when the chain is verified.
const ROWS_PER_READ_MAX: u32 = 1_000;
/// What the first row is chained to.
const GENESIS: [u8; 32] = [0; 32];

/// Something an operator does.
#[derive(Clone, Copy, Debug)]
pub struct Deed<'a> {
    /// Role and subject of who does it.
    pub who: &'a str,
    /// What is done, like `account.mark`.
    pub what: &'a str,
    /// To what: an id or a code.
    pub subject: &'a str,
    /// Why.
    pub reason: &'a str,
    /// What comes of it.
    pub result: &'a str,
}

/// What a walk along the chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    /// Every row is what it was when it was written.
    Whole {
        /// How many rows.
        rows: i64,
        /// Hash of the last one, hexadecimal.
        head: String,
    },
    /// Something was changed.
    Broken {
        /// The first row that doesn't fit.
        seq: i64,
        /// What doesn't fit.
        why: String,
    },
}

fn hash_of(prev: &[u8], seq: i64, at: i64, deed: &Deed<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    let (seq, at) = (seq.to_be_bytes(), at.to_be_bytes());
    let texts = [deed.who, deed.what, deed.subject, deed.reason, deed.result];
    // With its length before each part, no two rows are written the same.
    for part in [b"jangbu.audit.1", prev, &seq, &at].into_iter().chain(texts.iter().map(|text| text.as_bytes())) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes down a deed, in the unit of work that does it.
///
/// # Errors
/// [`Fault::Busy`] when another deed was written meanwhile, or the engine failed.
pub async fn note(tx: &mut Tx, deed: &Deed<'_>) -> Result<(), Fault> {
    let sql = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1 FOR UPDATE";
    let last = tx.query_one(sql, &[]).await?;
    let (last, prev) = last.map_or((0, GENESIS.to_vec()), |row| (row.int(0), row.bytes(1).to_vec()));
    let (seq, at) = (last + 1, tx.now().micros());
    let hash = hash_of(&prev, seq, at, deed);
    let row = [
        seq.into(),
        at.into(),
        deed.who.into(),
        deed.what.into(),
        deed.subject.into(),
        deed.reason.into(),
        deed.result.into(),
        Value::Bytes(&prev),
        Value::Bytes(&hash),
    ];
    let sql = "INSERT INTO audit (seq, done_at, who, what, subject, reason, result, prev_hash, hash) VALUES (?*)";
    if tx.insert(sql, &row).await? == Inserted::Duplicate {
        return Err(Fault::Conflict("another deed was written down meanwhile".into()));
    }
    let (who, what, subject) = (deed.who, deed.what, deed.subject);
    tracing::info!(target: "audit", seq, who, what, subject, hash = hex(&hash), "noted in the audit chain");
    Ok(())
}

const SELECT: &str = "SELECT seq, done_at, who, what, subject, reason, result, prev_hash, hash FROM audit";

fn deed(row: &Row) -> Deed<'_> {
    Deed { who: row.text(2), what: row.text(3), subject: row.text(4), reason: row.text(5), result: row.text(6) }
}

/// Walks along the whole chain.
///
/// # Errors
/// The engine failed.
pub async fn verify(tx: &mut Tx) -> Result<Chain, Fault> {
    let (mut rows, mut head) = (0, GENESIS.to_vec());
    loop {
        let sql = format!("{SELECT} WHERE seq > ? ORDER BY seq LIMIT ?");
        let page = tx.query(&sql, &[rows.into(), ROWS_PER_READ_MAX.into()]).await?;
        if page.is_empty() {
            return Ok(Chain::Whole { rows, head: hex(&head) });
        }
        for row in &page {
            let seq = row.int(0);
            let broken = |why: &str| Ok(Chain::Broken { seq, why: why.to_owned() });
            if seq != rows + 1 {
                return broken("a row before it is missing");
            }
            if row.bytes(7) != head {
                return broken("it is chained to another row than the one before it");
            }
            if row.bytes(8) != hash_of(&head, seq, row.int(1), &deed(row)) {
                return broken("it was changed after it was written");
            }
            (rows, head) = (seq, row.bytes(8).to_vec());
        }
    }
}

/// Entries before place `before`, newest first, of one subject or of all.
///
/// # Errors
/// The engine failed.
pub async fn list(
    tx: &mut Tx,
    subject: Option<&str>,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<AuditEntry>, Fault> {
    let before = before.unwrap_or(i64::MAX);
    let rows = match subject {
        Some(subject) => {
            let sql = format!("{SELECT} WHERE subject = ? AND seq < ? ORDER BY seq DESC LIMIT ?");
            tx.query(&sql, &[subject.into(), before.into(), limit.into()]).await?
        }
        None => {
            let sql = format!("{SELECT} WHERE seq < ? ORDER BY seq DESC LIMIT ?");
            tx.query(&sql, &[before.into(), limit.into()]).await?
        }
    };
    let entry = |row: &Row| AuditEntry {
        seq: row.int(0),
        at: Timestamp::from_micros(row.int(1)),
        who: row.text(2).to_owned(),
        what: row.text(3).to_owned(),
        subject: row.text(4).to_owned(),
        reason: row.text(5).to_owned(),
        result: row.text(6).to_owned(),
        hash: hex(row.bytes(8)),
    };
    Ok(rows.iter().map(entry).collect())
}
