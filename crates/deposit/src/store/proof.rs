//! Everything, read in order for a proof of the books, a row at a time.

use jangbu_platform::db::lines::Line;
use jangbu_platform::db::{Fault, Tx, Value};
use rustc_hash::FxHashMap;

use super::postings::Stored;
use crate::domain::command::Kind;
use crate::domain::decide::{self, Posting};
use crate::domain::proof::{DayOf, Ended, Kept, Leg, Paid, Row, path_hash};

fn small(n: i64) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// Shows all accounts as they were last written back; the number alone where nothing was.
pub async fn accounts(tx: &mut Tx, see: &mut (dyn FnMut(Result<Kept, u64>) + Send)) -> Result<(), Fault> {
    let sql = "SELECT a.no, a.currency, a.opened_on, a.closed_on, b.ledger, b.held, b.serial, b.day, b.opening, \
               b.debits, b.credits, b.changed, b.path, b.paid_through FROM account a LEFT JOIN balance b \
               ON b.no = a.no ORDER BY a.no";
    let mut each = |line: &Line<'_>| {
        let no = line.int(0)?.cast_unsigned();
        if line.opt_int(4)?.is_none() {
            see(Err(no));
            return Ok(());
        }
        let currency = line.text(1)?.parse().map_err(|_| Fault::Damaged("a currency code".into()))?;
        see(Ok(Kept {
            no,
            currency,
            opened_on: small(line.int(2)?),
            closed: line.opt_int(3)?.is_some(),
            ledger: line.int(4)?,
            held: line.int(5)?,
            serial: line.int(6)?.cast_unsigned(),
            day: DayOf {
                date: small(line.int(7)?),
                opening: line.int(8)?,
                debits: line.int(9)?,
                credits: line.int(10)?,
            },
            changed: line.int(11)?.cast_unsigned(),
            path: path_hash(line.bytes(12)?),
            paid_through: small(line.int(13)?),
        }));
        Ok(())
    };
    tx.each(sql, &[], &mut each).await.map(|_| ())
}

fn leg(line: &Line<'_>, at: usize) -> Result<Option<Leg>, Fault> {
    let Some(no) = line.opt_int(at)? else { return Ok(None) };
    Ok(Some(Leg {
        no: no.cast_unsigned(),
        serial: line.int(at + 1)?.cast_unsigned(),
        balance: line.int(at + 2)?,
        prev: line.int(at + 3)?.cast_unsigned(),
        jump: line.int(at + 4)?.cast_unsigned(),
    }))
}

/// Shows the rows from `first` to `last`, in order; `packed` are those of batches that are not written yet.
pub async fn postings(
    tx: &mut Tx,
    (first, last): (u64, u64),
    packed: &[Stored],
    see: &mut (dyn FnMut(&Row<'_>) + Send),
) -> Result<u64, Fault> {
    let sql = "SELECT seq, kind, CASE WHEN refused IS NULL THEN 0 ELSE 1 END, debit_no, debit_serial, debit_balance, \
               debit_prev, debit_jump, credit_no, credit_serial, credit_balance, credit_prev, credit_jump, bank, \
               amount, tax, held, refers, business_date FROM posting WHERE seq >= ? AND seq <= ? ORDER BY seq";
    let below = |seq: u64| packed.partition_point(|row| row.seq < seq);
    let mut packed = &packed[below(first)..below(last + 1)];
    let mut each = |line: &Line<'_>| {
        let row = Row {
            seq: line.int(0)?.cast_unsigned(),
            kind: Kind::from_number(line.int(1)?),
            refused: line.int(2)? != 0,
            debit: leg(line, 3)?,
            credit: leg(line, 8)?,
            bank: line.opt_text(13)?,
            amount: line.int(14)?,
            tax: line.int(15)?,
            held: line.int(16)?,
            refers: line.opt_int(17)?.map(i64::cast_unsigned),
            date: small(line.int(18)?),
        };
        while let Some((before, rest)) = packed.split_first().filter(|(before, _)| before.seq < row.seq) {
            see(&unwritten(before));
            packed = rest;
        }
        see(&row);
        Ok(())
    };
    let rows = tx.each(sql, &[first.cast_signed().into(), last.cast_signed().into()], &mut each).await?;
    packed.iter().for_each(|row| see(&unwritten(row)));
    Ok(rows)
}

fn unwritten(row: &Stored) -> Row<'_> {
    let leg = |leg: decide::Leg| Leg {
        no: leg.account,
        serial: leg.serial,
        balance: leg.balance,
        prev: leg.back.prev,
        jump: leg.back.jump,
    };
    let posting = row.posting.as_ref();
    let number = |of: fn(&Posting) -> i64| posting.map_or(0, of);
    Row {
        seq: row.seq,
        kind: Some(row.kind),
        refused: row.refused.is_some(),
        debit: posting.and_then(|posting| posting.debit).map(leg),
        credit: posting.and_then(|posting| posting.credit).map(leg),
        bank: posting.and_then(|posting| posting.bank),
        amount: number(|posting| posting.amount),
        tax: number(|posting| posting.tax),
        held: number(|posting| posting.held),
        refers: posting.and_then(|posting| posting.refers),
        date: row.date.days(),
    }
}

/// Payments of the postings from `first` to `last`.
pub async fn payments(tx: &mut Tx, (first, last): (u64, u64)) -> Result<FxHashMap<u64, Paid>, Fault> {
    let sql = "SELECT posting, account, from_date, to_date, gross, income_tax, local_tax, other_tax, net \
               FROM interest_payment WHERE posting >= ? AND posting <= ?";
    let mut found = FxHashMap::default();
    let mut each = |line: &Line<'_>| {
        let paid = Paid {
            no: line.int(1)?.cast_unsigned(),
            days: (small(line.int(2)?), small(line.int(3)?)),
            gross: line.int(4)?,
            taxes: line.int(5)? + line.int(6)? + line.int(7)?,
            net: line.int(8)?,
        };
        found.insert(line.int(0)?.cast_unsigned(), paid);
        Ok(())
    };
    tx.each(sql, &[first.cast_signed().into(), last.cast_signed().into()], &mut each).await?;
    Ok(found)
}

/// Shows all rows of days, in the order of accounts and days, with their closing balance.
pub async fn days(tx: &mut Tx, see: &mut (dyn FnMut(Ended, i64) + Send)) -> Result<(), Fault> {
    let sql = "SELECT account, date, opening, debits, credits, closing, last_serial FROM daily_balance \
               ORDER BY account, date";
    let mut each = |line: &Line<'_>| {
        let day =
            DayOf { date: small(line.int(1)?), opening: line.int(2)?, debits: line.int(3)?, credits: line.int(4)? };
        see((line.int(0)?.cast_unsigned(), day, line.int(6)?.cast_unsigned()), line.int(5)?);
        Ok(())
    };
    tx.each(sql, &[], &mut each).await.map(|_| ())
}

/// Shows pairs and triples of numbers: holds (place, account, remaining), notes of reversals (original, place), ranges
/// that wait to be told (first, last).
pub async fn numbers(tx: &mut Tx, of: Numbers, see: &mut (dyn FnMut([i64; 3]) + Send)) -> Result<(), Fault> {
    let sql = match of {
        Numbers::Holds => "SELECT seq, account, remaining FROM hold",
        Numbers::Reversals => "SELECT original, seq, 0 FROM reversal",
        Numbers::Outbox => "SELECT first_seq, last_seq, 0 FROM posting_outbox ORDER BY first_seq",
    };
    let mut each = |line: &Line<'_>| {
        see([line.int(0)?, line.int(1)?, line.int(2)?]);
        Ok(())
    };
    tx.each(sql, &[] as &[Value<'_>], &mut each).await.map(|_| ())
}

/// What a posting undid: both of them, by what they say of accounts and amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The later posting.
    pub seq: u64,
    /// What it undoes.
    pub original: u64,
    /// Whether that may be undone at all: it was posted, and is of a kind that moves money for others.
    pub reversible: bool,
    /// Debited account, credited account and amount of the later one.
    pub later: (Option<i64>, Option<i64>, i64),
    /// The same of the original.
    pub before: (Option<i64>, Option<i64>, i64),
}

/// Shows all postings that undo others, as they were noted, beside what they undo.
pub async fn undone(tx: &mut Tx, see: &mut (dyn FnMut(Undone) + Send)) -> Result<(), Fault> {
    let sql = "SELECT v.seq, v.original, o.kind, CASE WHEN o.refused IS NULL THEN 0 ELSE 1 END, r.debit_no, \
               r.credit_no, r.amount, o.debit_no, o.credit_no, o.amount FROM reversal v JOIN posting r \
               ON r.seq = v.seq JOIN posting o ON o.seq = v.original ORDER BY v.original";
    let mut each = |line: &Line<'_>| {
        let kind = Kind::from_number(line.int(2)?);
        let moves = matches!(kind, Some(Kind::Credit | Kind::Debit | Kind::Transfer | Kind::Capture));
        see(Undone {
            seq: line.int(0)?.cast_unsigned(),
            original: line.int(1)?.cast_unsigned(),
            reversible: moves && line.int(3)? == 0,
            later: (line.opt_int(4)?, line.opt_int(5)?, line.int(6)?),
            before: (line.opt_int(7)?, line.opt_int(8)?, line.int(9)?),
        });
        Ok(())
    };
    tx.each(sql, &[], &mut each).await.map(|_| ())
}

/// Tables of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Holds.
    Holds,
    /// Notes of reversals.
    Reversals,
    /// Ranges that wait to be told.
    Outbox,
}
