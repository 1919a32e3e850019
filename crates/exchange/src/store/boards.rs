//! Boards and discounts.

use std::collections::{BTreeMap, BTreeSet};

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::db::{Fault, Inserted, Tx, Value};

use super::{currency, price};
use crate::domain::board::{Board, Line};

/// The newest board, if there ever was one. Two that are published at once get the same number: one of them is told
/// that the other was first.
pub async fn newest(tx: &mut Tx) -> Result<Option<Board>, Fault> {
    let sql = "SELECT number, round, as_of FROM board ORDER BY number DESC LIMIT 1 FOR UPDATE";
    let Some(head) = tx.query_one(sql, &[]).await? else { return Ok(None) };
    let number = head.int(0);
    let sql = "SELECT currency, unit, mid, tts, ttb FROM board_line WHERE board = ? ORDER BY currency";
    let mut lines = Vec::new();
    for r in tx.query(sql, &[number.into()]).await? {
        lines.push(Line {
            currency: currency(r.text(0))?,
            unit: r.int(1),
            mid: price(r.int(2))?,
            tts: price(r.int(3))?,
            ttb: price(r.int(4))?,
        });
    }
    Ok(Some(Board { number, round: head.int(1), as_of: Timestamp::from_micros(head.int(2)), lines }))
}

/// The number of the newest board. What stands on a board never changes.
pub async fn newest_number(tx: &mut Tx) -> Result<Option<i64>, Fault> {
    let found = tx.query_one("SELECT number FROM board ORDER BY number DESC LIMIT 1", &[]).await?;
    Ok(found.map(|r| r.int(0)))
}

/// How many boards a day has had.
pub async fn rounds_of(tx: &mut Tx, date: BusinessDate) -> Result<i64, Fault> {
    let sql = "SELECT round FROM board WHERE business_date = ? ORDER BY number DESC LIMIT 1";
    Ok(tx.query_one(sql, &[date.days().into()]).await?.map_or(0, |r| r.int(0)))
}

/// Writes a board.
pub async fn insert(tx: &mut Tx, board: &Board, date: BusinessDate, put_by: &str) -> Result<(), Fault> {
    let row = [board.number.into(), date.days().into(), board.round.into(), board.as_of.micros().into(), put_by.into()];
    let sql = "INSERT INTO board (number, business_date, round, as_of, put_by) VALUES (?*)";
    if tx.insert(sql, &row).await? == Inserted::Duplicate {
        return Err(Fault::Busy("another board was published at the same moment".into()));
    }
    let codes: Vec<String> = board.lines.iter().map(|line| line.currency.code().to_owned()).collect();
    let mut rows: Vec<Value<'_>> = Vec::with_capacity(codes.len() * 6);
    for (line, code) in board.lines.iter().zip(&codes) {
        let prices = [line.mid, line.tts, line.ttb].map(|p| Value::Int(p.hundredths()));
        rows.extend([Value::Int(board.number), Value::Text(code), Value::Int(line.unit)]);
        rows.extend(prices);
    }
    let sql = "INSERT INTO board_line (board, currency, unit, mid, tts, ttb) VALUES (?*)";
    match tx.insert_rows(sql, 6, &rows).await? {
        Inserted::New => Ok(()),
        Inserted::Duplicate => Err(Fault::Damaged("a board has a currency twice".into())),
    }
}

/// Whose discount it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscountOf {
    /// A customer's own.
    Customer,
    /// That of who names a campaign.
    Campaign,
}

impl DiscountOf {
    /// Its name in the store and in snapshots.
    pub fn name(self) -> &'static str {
        match self {
            DiscountOf::Customer => "customer",
            DiscountOf::Campaign => "campaign",
        }
    }
}

/// Discounts that hold at an instant, basis points, by subject.
pub async fn discounts(
    tx: &mut Tx,
    of: DiscountOf,
    subjects: &BTreeSet<String>,
    now: Timestamp,
) -> Result<BTreeMap<String, u32>, Fault> {
    if subjects.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = "SELECT subject, bp FROM discount WHERE kind = ? AND subject IN (?*) AND from_at <= ? AND until_at > ?";
    let at = Value::Int(now.micros());
    let mut params = vec![Value::Text(of.name())];
    params.extend(subjects.iter().map(Value::from));
    params.extend([at, at]);
    let rows = tx.query(sql, &params).await?;
    Ok(rows.iter().map(|r| (r.text(0).to_owned(), u32::try_from(r.int(1)).unwrap_or(0))).collect())
}

/// Sets a discount, in place of the one there was.
pub async fn set_discount(
    tx: &mut Tx,
    of: DiscountOf,
    subject: &str,
    bp: u32,
    (from, until): (Timestamp, Timestamp),
) -> Result<(), Fault> {
    let row = [of.name().into(), subject.into(), bp.into(), from.micros().into(), until.micros().into()];
    let sql = "REPLACE INTO discount (kind, subject, bp, from_at, until_at) VALUES (?*)";
    let _ = tx.insert(sql, &row).await?; // a row that was there is replaced
    Ok(())
}
