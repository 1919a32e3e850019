//! Days that ended, holds, and interest payments.

use std::collections::BTreeMap;

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::InterestId;
use jangbu_platform::db::{Fault, Inserted, Row, Tx, Value};

use super::accounts::day;
use crate::domain::book::{Day, Hold};
use crate::domain::interest::Interest;

/// A day's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayRow {
    /// The day.
    pub date: BusinessDate,
    /// Balance when it began.
    pub opening: i64,
    /// Sum of debits.
    pub debits: i64,
    /// Sum of credits.
    pub credits: i64,
    /// Balance when it ended.
    pub closing: i64,
    /// Serial of its last entry.
    pub last_serial: i64,
}

/// Writes rows of days that ended: account, day, serial.
pub async fn insert(tx: &mut Tx, ended: &[(u64, Day, u64)]) -> Result<(), Fault> {
    let values: Vec<Value<'_>> = ended
        .iter()
        .flat_map(|(no, d, serial)| {
            let closing = d.opening + d.credits - d.debits;
            let date = i64::from(d.date.days());
            [no.cast_signed(), date, d.opening, d.debits, d.credits, closing, serial.cast_signed()].map(Value::Int)
        })
        .collect();
    let sql = "INSERT INTO daily_balance (account, date, opening, debits, credits, closing, last_serial) VALUES (?*)";
    if !values.is_empty() && tx.insert_rows(sql, 7, &values).await? == Inserted::Duplicate {
        return Err(Fault::Damaged("a day ended twice".into()));
    }
    Ok(())
}

const ROW: &str = "SELECT date, opening, debits, credits, closing, last_serial FROM daily_balance";

fn row(r: &jangbu_platform::db::Row) -> DayRow {
    DayRow {
        date: day(r.int(0)),
        opening: r.int(1),
        debits: r.int(2),
        credits: r.int(3),
        closing: r.int(4),
        last_serial: r.int(5),
    }
}

/// Rows of an account between two days, in order.
pub async fn between(tx: &mut Tx, no: u64, from: BusinessDate, to: BusinessDate) -> Result<Vec<DayRow>, Fault> {
    let sql = format!("{ROW} WHERE account = ? AND date >= ? AND date <= ? ORDER BY date");
    let rows = tx.query(&sql, &[no.cast_signed().into(), from.days().into(), to.days().into()]).await?;
    Ok(rows.iter().map(row).collect())
}

/// The last row of an account before a day.
pub async fn last_before(tx: &mut Tx, no: u64, date: BusinessDate) -> Result<Option<DayRow>, Fault> {
    let sql = format!("{ROW} WHERE account = ? AND date < ? ORDER BY date DESC LIMIT 1");
    Ok(tx.query_one(&sql, &[no.cast_signed().into(), date.days().into()]).await?.map(|r| row(&r)))
}

/// One hold.
pub async fn hold(tx: &mut Tx, seq: u64) -> Result<Option<Hold>, Fault> {
    let sql = "SELECT seq, account, remaining, until_at, counted_on FROM hold WHERE seq = ? FOR UPDATE";
    Ok(tx.query_one(sql, &[seq.cast_signed().into()]).await?.map(|r| hold_of(&r)))
}

fn hold_of(r: &jangbu_platform::db::Row) -> Hold {
    Hold {
        seq: r.int(0).cast_unsigned(),
        account: r.int(1).cast_unsigned(),
        remaining: r.int(2),
        until: r.opt_int(3),
        counted_on: day(r.int(4)),
    }
}

/// Holds that lapsed by `now` and still keep money.
pub async fn lapsed(tx: &mut Tx, now: i64, limit: u32) -> Result<Vec<Hold>, Fault> {
    let sql = "SELECT seq, account, remaining, until_at, counted_on FROM hold \
               WHERE until_at <= ? AND remaining > 0 ORDER BY until_at LIMIT ?";
    Ok(tx.query(sql, &[now.into(), limit.into()]).await?.iter().map(hold_of).collect())
}

/// When the next hold lapses, microseconds UTC.
pub async fn next_lapse(tx: &mut Tx) -> Result<Option<i64>, Fault> {
    let row = tx.query_one("SELECT MIN(until_at) FROM hold WHERE remaining > 0", &[]).await?;
    Ok(row.and_then(|r| r.opt_int(0)))
}

/// Writes a hold as it now is.
pub async fn put_hold(tx: &mut Tx, hold: &Hold) -> Result<(), Fault> {
    let row = [
        hold.seq.cast_signed().into(),
        hold.account.cast_signed().into(),
        hold.remaining.into(),
        hold.until.into(),
        hold.counted_on.days().into(),
    ];
    let _ = tx.insert("REPLACE INTO hold (seq, account, remaining, until_at, counted_on) VALUES (?*)", &row).await?;
    Ok(())
}

const PAID_COLUMNS: usize = 10;

/// Writes interest payments, each with its posting and account; that a day is paid twice is refused by the table as well.
pub async fn insert_interest(tx: &mut Tx, paid: &[(u64, u64, InterestId, &Interest)]) -> Result<(), Fault> {
    let ids: Vec<[u8; 16]> = paid.iter().map(|(_, _, id, _)| id.to_bytes()).collect();
    let mut rows: Vec<Value<'_>> = Vec::with_capacity(paid.len() * PAID_COLUMNS);
    for ((posting, no, _, i), id) in paid.iter().zip(&ids) {
        rows.extend([posting.cast_signed().into(), Value::Bytes(id), no.cast_signed().into()]);
        rows.extend([i.from.days(), i.to.days()].map(Value::from));
        rows.extend([i.gross, i.income_tax, i.local_tax, i.other_tax, i.net].map(Value::Int));
    }
    let sql = "INSERT INTO interest_payment (posting, id, account, from_date, to_date, gross, income_tax, \
               local_tax, other_tax, net) VALUES (?*)";
    if !rows.is_empty() && tx.insert_rows(sql, PAID_COLUMNS, &rows).await? == Inserted::Duplicate {
        return Err(Fault::Damaged("interest of a day would be paid twice".into()));
    }
    Ok(())
}

/// A stored interest payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its id.
    pub id: InterestId,
    /// First day paid.
    pub from: BusinessDate,
    /// Last day paid.
    pub to: BusinessDate,
    /// Before tax.
    pub gross: i64,
    /// Income tax.
    pub income_tax: i64,
    /// Local income tax.
    pub local_tax: i64,
    /// Other tax.
    pub other_tax: i64,
    /// Credited.
    pub net: i64,
}

/// The interest payment made by a posting.
pub async fn payment(tx: &mut Tx, posting: u64) -> Result<Option<Payment>, Fault> {
    Ok(payments(tx, posting, posting).await?.remove(&posting))
}

/// The interest payments made by postings from `first` to `last`, by posting.
pub async fn payments(tx: &mut Tx, first: u64, last: u64) -> Result<BTreeMap<u64, Payment>, Fault> {
    let sql = "SELECT posting, id, from_date, to_date, gross, income_tax, local_tax, other_tax, net \
               FROM interest_payment WHERE posting >= ? AND posting <= ?";
    let rows = tx.query(sql, &[first.cast_signed().into(), last.cast_signed().into()]).await?;
    let payment = |r: &Row| Payment {
        id: InterestId::from_bytes(r.id(1)),
        from: day(r.int(2)),
        to: day(r.int(3)),
        gross: r.int(4),
        income_tax: r.int(5),
        local_tax: r.int(6),
        other_tax: r.int(7),
        net: r.int(8),
    };
    Ok(rows.iter().map(|r| (r.int(0).cast_unsigned(), payment(r))).collect())
}
