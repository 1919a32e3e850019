//! Postings: one row each, which is entry of both legs, record of its key, and the message to publish.

use std::borrow::Cow;

use jangbu_kernel::date::BusinessDate;
use jangbu_platform::db::{Fault, Inserted, Row, Tx, Value};
use jangbu_platform::defect::planted;

use super::accounts::day;
use crate::domain::chain::{Back, jump_serial};
use crate::domain::command::{Kind, Original, stored_bank_account};
use crate::domain::decide::{Leg, Posting};

/// A row of the table: a posting, or a refusal kept under its key.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its place.
    pub seq: u64,
    /// Key with its caller.
    pub key: String,
    /// Hash of the request.
    pub hash: u64,
    /// Kind of the command.
    pub kind: Kind,
    /// The posting; `None` when the command was refused.
    pub posting: Option<Posting>,
    /// The refusal as text.
    pub refused: Option<String>,
    /// The day the request belonged to.
    pub date: BusinessDate,
    /// Microseconds UTC.
    pub posted_at: i64,
    /// Text for the statement.
    pub memo: Option<String>,
}

impl Stored {
    /// A row, borrowed, as it is stored.
    pub fn of(row: &NewRow<'_>) -> Stored {
        Stored {
            seq: row.seq,
            key: row.key.to_owned(),
            hash: row.hash,
            kind: row.kind,
            posting: row.outcome.as_ref().ok().map(|posting| (*posting).clone()),
            refused: row.outcome.as_ref().err().map(|refusal| refusal.clone().into_owned()),
            date: row.date,
            posted_at: row.at,
            memo: row.memo.map(str::to_owned),
        }
    }

    /// The row to insert.
    pub fn row(&self) -> NewRow<'_> {
        NewRow {
            seq: self.seq,
            key: &self.key,
            hash: self.hash,
            kind: self.kind,
            date: self.date,
            at: self.posted_at,
            memo: self.memo.as_deref(),
            outcome: self.posting.as_ref().ok_or_else(|| self.refused.as_deref().unwrap_or_default().into()),
        }
    }
}

/// A row to insert, borrowed.
#[derive(Clone, Debug)]
pub struct NewRow<'a> {
    /// Its place.
    pub seq: u64,
    /// Key with its caller.
    pub key: &'a str,
    /// Hash of the request.
    pub hash: u64,
    /// Kind of the command.
    pub kind: Kind,
    /// The day the request belonged to.
    pub date: BusinessDate,
    /// When it was decided, microseconds UTC.
    pub at: i64,
    /// Text for the statement.
    pub memo: Option<&'a str>,
    /// The posting, or the refusal as text.
    pub outcome: Result<&'a Posting, Cow<'a, str>>,
}

const COLUMNS: usize = 24;
const INSERT: &str = "INSERT INTO posting (seq, idem_key, hash, kind, refused, debit_no, debit_serial, \
    debit_balance, debit_prev, debit_jump, credit_no, credit_serial, credit_balance, credit_prev, credit_jump, \
    bank, amount, tax, held, counted, refers, business_date, posted_at, memo) VALUES (?*)";
pub(super) const SELECT: &str = "SELECT seq, idem_key, hash, kind, refused, debit_no, debit_serial, debit_balance, \
    debit_prev, debit_jump, credit_no, credit_serial, credit_balance, credit_prev, credit_jump, bank, amount, \
    tax, held, counted, refers, business_date, posted_at, memo FROM posting";

fn leg_values<'a>(leg: Option<Leg>) -> [Value<'a>; 5] {
    leg.map_or([Value::Null; 5], |l| {
        [l.account, l.serial, l.balance.cast_unsigned(), l.back.prev, l.back.jump].map(|n| Value::Int(n.cast_signed()))
    })
}

/// Rows bound at once: few enough that what is bound stays in the processor's cache.
const ROWS_PER_INSERT: usize = 256;

/// Inserts rows in order.
pub async fn insert(tx: &mut Tx, rows: &[NewRow<'_>]) -> Result<(), Fault> {
    let mut values = Vec::with_capacity(rows.len().min(ROWS_PER_INSERT) * COLUMNS);
    for run in rows.chunks(ROWS_PER_INSERT) {
        values.clear();
        bind(run, &mut values);
        if tx.insert_rows(INSERT, COLUMNS, &values).await? == Inserted::Duplicate {
            return Err(Fault::Conflict("a key was taken meanwhile".into()));
        }
    }
    Ok(())
}

fn bind<'a>(rows: &'a [NewRow<'_>], values: &mut Vec<Value<'a>>) {
    for row in rows {
        let posting = row.outcome.as_ref().ok();
        values.extend([
            Value::Int(row.seq.cast_signed()),
            Value::Text(row.key),
            Value::Int(row.hash.cast_signed()),
            Value::Int(row.kind as i64),
            row.outcome.as_ref().err().map(|refusal| &**refusal).into(),
        ]);
        values.extend(leg_values(posting.and_then(|p| p.debit)));
        values.extend(leg_values(posting.and_then(|p| p.credit)));
        values.extend([
            posting.and_then(|p| p.bank).into(),
            Value::Int(posting.map_or(0, |p| p.amount)),
            Value::Int(posting.map_or(0, |p| p.tax)),
            Value::Int(posting.map_or(0, |p| p.held)),
            Value::Int(posting.map_or(0, |p| p.counted)),
            posting.and_then(|p| p.refers).map(u64::cast_signed).into(),
            posting.map_or(row.date, |p| p.date).days().into(),
            Value::Int(row.at),
            row.memo.into(),
        ]);
    }
}

fn leg(row: &Row, at: usize) -> Option<Leg> {
    let n = |i: usize| row.int(at + i).cast_unsigned();
    row.opt_int(at)?;
    Some(Leg { account: n(0), serial: n(1), balance: row.int(at + 2), back: Back { prev: n(3), jump: n(4) } })
}

pub(super) fn stored(row: &Row) -> Result<Stored, Fault> {
    let kind = Kind::from_number(row.int(3)).ok_or_else(|| Fault::Damaged("a kind of posting".into()))?;
    let refused = row.opt_text(4).map(str::to_owned);
    let posting = refused.is_none().then(|| Posting {
        seq: row.int(0).cast_unsigned(),
        kind,
        debit: leg(row, 5),
        credit: leg(row, 10),
        bank: row.opt_text(15).and_then(stored_bank_account),
        amount: row.int(16),
        tax: row.int(17),
        held: row.int(18),
        counted: row.int(19),
        refers: row.opt_int(20).map(i64::cast_unsigned),
        date: day(row.int(21)),
        interest: None,
    });
    Ok(Stored {
        seq: row.int(0).cast_unsigned(),
        key: row.text(1).to_owned(),
        hash: row.int(2).cast_unsigned(),
        kind,
        posting,
        refused,
        date: day(row.int(21)),
        posted_at: row.int(22),
        memo: row.opt_text(23).map(str::to_owned),
    })
}

/// The row of a key.
pub async fn by_key(tx: &mut Tx, key: &str) -> Result<Option<Stored>, Fault> {
    tx.query_one(&format!("{SELECT} WHERE idem_key = ?"), &[key.into()]).await?.map(|r| stored(&r)).transpose()
}

/// The row at a place.
pub async fn by_seq(tx: &mut Tx, seq: u64) -> Result<Option<Stored>, Fault> {
    let row = tx.query_one(&format!("{SELECT} WHERE seq = ?"), &[seq.cast_signed().into()]).await?;
    row.map(|r| stored(&r)).transpose()
}

/// Rows from `first` to `last`, in order, at most `limit`.
pub async fn range(tx: &mut Tx, first: u64, last: u64, limit: u32) -> Result<Vec<Stored>, Fault> {
    let sql = format!("{SELECT} WHERE seq >= ? AND seq <= ? ORDER BY seq LIMIT ?");
    let rows = tx.query(&sql, &[first.cast_signed().into(), last.cast_signed().into(), limit.into()]).await?;
    rows.iter().map(stored).collect()
}

/// The last place up to which all rows are there: those of batches still packed come later. Batches before what is written
/// back are not looked for, which a server may not have cleared away yet.
pub async fn last_seq(tx: &mut Tx) -> Result<u64, Fault> {
    let sql = "SELECT COALESCE((SELECT MIN(first_seq) FROM posting_batch WHERE last_seq > (SELECT f.seq FROM folded f \
               WHERE f.id = 1)) - 1, (SELECT MAX(seq) FROM posting))";
    let row = tx.query_one(sql, &[]).await?;
    Ok(row.and_then(|r| r.opt_int(0)).map_or(0, i64::cast_unsigned))
}

/// The greatest key stored.
pub async fn last_key(tx: &mut Tx) -> Result<String, Fault> {
    let row = tx.query_one("SELECT MAX(idem_key) FROM posting", &[]).await?;
    Ok(row.and_then(|r| r.opt_text(0).map(str::to_owned)).unwrap_or_default())
}

/// The stored keys around one that is not stored: the next smaller and the next greater.
pub async fn keys_around(tx: &mut Tx, key: &str) -> Result<(String, Option<String>), Fault> {
    let text = |row: Option<Row>| row.and_then(|r| r.opt_text(0).map(str::to_owned));
    let before = tx.query_one("SELECT MAX(idem_key) FROM posting WHERE idem_key < ?", &[key.into()]).await?;
    let after = tx.query_one("SELECT MIN(idem_key) FROM posting WHERE idem_key > ?", &[key.into()]).await?;
    Ok((text(before).unwrap_or_default(), text(after)))
}

/// A posting to be undone, as far as undoing needs it.
pub async fn original(tx: &mut Tx, seq: u64) -> Result<Option<Original>, Fault> {
    let Some(Stored { posting: Some(p), .. }) = by_seq(tx, seq).await? else { return Ok(None) };
    let sql = "SELECT seq FROM reversal WHERE original = ? FOR UPDATE";
    let reversed = tx.query_one(sql, &[seq.cast_signed().into()]).await?.is_some() && !planted("reversed-twice");
    // What a capture takes was counted when it was held.
    let hold = match p.refers.filter(|_| p.kind == Kind::Capture) {
        Some(hold) => super::days::hold(tx, hold).await?,
        None => None,
    };
    Ok(Some(Original {
        seq,
        kind: p.kind,
        debit: p.debit.map(|l| l.account),
        credit: p.credit.map(|l| l.account),
        bank: p.bank,
        amount: p.amount,
        counted_on: hold.map_or(p.date, |h| h.counted_on),
        reversed,
    }))
}

/// The place of what undid a posting.
pub async fn undone_by(tx: &mut Tx, original: u64) -> Result<Option<u64>, Fault> {
    let sql = "SELECT seq FROM reversal WHERE original = ?";
    Ok(tx.query_one(sql, &[original.cast_signed().into()]).await?.map(|r| r.int(0).cast_unsigned()))
}

/// Notes that `seq` undoes `original`.
pub async fn insert_reversal(tx: &mut Tx, original: u64, seq: u64) -> Result<(), Fault> {
    let row = [original.cast_signed().into(), seq.cast_signed().into()];
    match tx.insert("INSERT INTO reversal (original, seq) VALUES (?*)", &row).await? {
        Inserted::New => Ok(()),
        Inserted::Duplicate if planted("reversed-twice") => Ok(()),
        Inserted::Duplicate => Err(Fault::Damaged("a posting would be undone twice".into())),
    }
}

/// Entries of an account with serials in `(after, upto]`, in order: found by following the pointers back from
/// the account's last posting at `place`, which has serial `serial`.
pub async fn entries(
    tx: &mut Tx,
    no: u64,
    (mut serial, mut place): (u64, u64),
    after: u64,
    upto: u64,
) -> Result<Vec<(Leg, bool, Stored)>, Fault> {
    let mut found = Vec::new();
    while serial > after && place != 0 {
        let row = by_seq(tx, place).await?.ok_or_else(|| Fault::Damaged(format!("posting {place} is missing")))?;
        let Some(posting) = &row.posting else {
            return Err(Fault::Damaged(format!("the entries of account {no} lead to a refusal at {place}")));
        };
        let mine = |leg: Option<Leg>| leg.filter(|l| l.account == no && l.serial == serial);
        let (leg, is_debit) = match (mine(posting.debit), mine(posting.credit)) {
            (Some(leg), _) => (leg, true),
            (None, Some(leg)) => (leg, false),
            (None, None) => return Err(Fault::Damaged(format!("entry {serial} of account {no} is not at {place}"))),
        };
        if serial > upto && jump_serial(serial) >= upto {
            (serial, place) = (jump_serial(serial), leg.back.jump);
            continue;
        }
        if serial <= upto {
            found.push((leg, is_debit, row));
        }
        (serial, place) = (serial - 1, leg.back.prev);
    }
    found.reverse();
    Ok(found)
}
