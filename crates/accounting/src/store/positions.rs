//! Positions by day, closing rates, and what positions were valued at.

use std::collections::BTreeMap;

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::money::Currency;
use jangbu_platform::db::{Fault, Inserted, Row, Tx, Value};

use super::{currency, day};
use crate::domain::position::Price;

/// The one row that says how far positions are valued.
const VALUED_ID: i64 = 1;
/// Before any day that a bank has.
const NEVER: i64 = -1_000_000;

/// Changes of position and counter-value, and trading profit.
pub type Moved = [i64; 3];

/// The last day that was valued, under the lock that exchanges and valuing share; none when none was.
pub async fn lock_valued(tx: &mut Tx) -> Result<Option<BusinessDate>, Fault> {
    let sql = "SELECT through_date FROM valued WHERE id = ? FOR UPDATE";
    if let Some(row) = tx.query_one(sql, &[VALUED_ID.into()]).await? {
        return if row.int(0) == NEVER { Ok(None) } else { day(row.int(0)).map(Some) };
    }
    let sql = "INSERT INTO valued (id, through_date) VALUES (?*)";
    match tx.insert(sql, &[VALUED_ID.into(), NEVER.into()]).await? {
        Inserted::New => Ok(None),
        Inserted::Duplicate => Err(Fault::Conflict("another made the row of the last day valued meanwhile".into())),
    }
}

/// The last day that was valued, without a lock.
pub async fn valued_through(tx: &mut Tx) -> Result<Option<BusinessDate>, Fault> {
    let row = tx.query_one("SELECT through_date FROM valued WHERE id = ?", &[VALUED_ID.into()]).await?;
    row.filter(|row| row.int(0) != NEVER).map(|row| day(row.int(0))).transpose()
}

/// Positions are valued up to this day.
pub async fn set_valued(tx: &mut Tx, through: BusinessDate) -> Result<(), Fault> {
    let row: [Value<'_>; 2] = [through.days().into(), VALUED_ID.into()];
    tx.execute("UPDATE valued SET through_date = ? WHERE id = ?", &row).await.map(drop)
}

fn overflow() -> Fault {
    Fault::Damaged("a position that can't be held".into())
}

/// Adds what exchanges moved to their days, in the order of the map. Under the lock of [`lock_valued`].
pub async fn add(tx: &mut Tx, moved: &BTreeMap<(Currency, BusinessDate), Moved>) -> Result<(), Fault> {
    for ((currency, date), more) in moved {
        let place: [Value<'_>; 2] = [currency.code().into(), date.days().into()];
        let sql = "SELECT foreign_moved, value_moved, trading FROM position_day WHERE currency = ? \
                   AND business_date = ? FOR UPDATE";
        let known = tx.query_one(sql, &place).await?.map(|row| [0, 1, 2].map(|at| row.int(at)));
        let mut sums = known.unwrap_or([0; 3]);
        for (sum, more) in sums.iter_mut().zip(more) {
            *sum = sum.checked_add(*more).ok_or_else(overflow)?;
        }
        let row = [place[0], place[1], sums[0].into(), sums[1].into(), sums[2].into()];
        let sql =
            "REPLACE INTO position_day (currency, business_date, foreign_moved, value_moved, trading) VALUES (?*)";
        let _ = tx.insert(sql, &row).await?; // a row that was there is replaced
    }
    Ok(())
}

/// All that moved up to a day, by currency; before anything was valued.
pub async fn moved_upto(tx: &mut Tx, date: BusinessDate) -> Result<BTreeMap<Currency, Moved>, Fault> {
    let sql = "SELECT currency, SUM(foreign_moved), SUM(value_moved), SUM(trading) FROM position_day \
               WHERE business_date <= ? GROUP BY currency ORDER BY currency";
    moved(&tx.query(sql, &[date.days().into()]).await?)
}

/// What moved on a day, by currency.
pub async fn moved_on(tx: &mut Tx, date: BusinessDate) -> Result<BTreeMap<Currency, Moved>, Fault> {
    let sql = "SELECT currency, foreign_moved, value_moved, trading FROM position_day WHERE business_date = ? \
               ORDER BY currency";
    moved(&tx.query(sql, &[date.days().into()]).await?)
}

/// What moved on all days.
pub async fn days(tx: &mut Tx) -> Result<BTreeMap<(Currency, BusinessDate), Moved>, Fault> {
    let sql = "SELECT currency, business_date, foreign_moved, value_moved, trading FROM position_day \
               ORDER BY currency, business_date";
    let rows = tx.query(sql, &[]).await?;
    rows.iter().map(|row| Ok(((currency(row.text(0))?, day(row.int(1))?), [2, 3, 4].map(|at| row.int(at))))).collect()
}

fn moved(rows: &[Row]) -> Result<BTreeMap<Currency, Moved>, Fault> {
    rows.iter().map(|row| Ok((currency(row.text(0))?, [1, 2, 3].map(|at| row.int(at))))).collect()
}

/// The number of the last board of a day.
pub async fn board_of(tx: &mut Tx, date: BusinessDate) -> Result<Option<i64>, Fault> {
    let row = tx.query_one("SELECT number FROM closing_board WHERE business_date = ?", &[date.days().into()]).await?;
    Ok(row.map(|row| row.int(0)))
}

/// The last day that had a board, after one and before another.
pub async fn last_board_between(
    tx: &mut Tx,
    after: Option<BusinessDate>,
    before: BusinessDate,
) -> Result<Option<BusinessDate>, Fault> {
    let after = after.map_or(NEVER, |date| i64::from(date.days()));
    let sql = "SELECT business_date FROM closing_board WHERE business_date > ? AND business_date < ? \
               ORDER BY business_date DESC LIMIT 1";
    let row = tx.query_one(sql, &[after.into(), before.days().into()]).await?;
    row.map(|row| day(row.int(0))).transpose()
}

/// Keeps a board as the last of its day.
pub async fn put_board(
    tx: &mut Tx,
    date: BusinessDate,
    number: i64,
    prices: &[(Currency, Price)],
) -> Result<(), Fault> {
    let sql = "REPLACE INTO closing_board (business_date, number) VALUES (?*)";
    let _ = tx.insert(sql, &[date.days().into(), number.into()]).await?; // a row that was there is replaced
    let texts: Vec<(String, String)> =
        prices.iter().map(|(currency, price)| (currency.code().to_owned(), price.rate.to_string())).collect();
    let mut values: Vec<Value<'_>> = Vec::with_capacity(prices.len() * 4);
    for ((_, price), (code, mid)) in prices.iter().zip(&texts) {
        let row: [Value<'_>; 4] = [code.into(), date.days().into(), price.unit.into(), mid.into()];
        values.extend(row);
    }
    if !values.is_empty() {
        let sql = "REPLACE INTO closing_rate (currency, business_date, unit, mid) VALUES (?*)";
        let _ = tx.insert_rows(sql, 4, &values).await?; // as above
    }
    Ok(())
}

fn price(unit: i64, mid: &str) -> Result<Price, Fault> {
    let rate = mid.parse().map_err(|e| Fault::Damaged(format!("a stored rate {mid:?}: {e}")))?;
    Ok(Price { rate, unit })
}

/// The last rate of a currency up to a day, and of which day it is.
pub async fn rate_upto(
    tx: &mut Tx,
    currency: Currency,
    date: BusinessDate,
) -> Result<Option<(Price, BusinessDate)>, Fault> {
    let sql = "SELECT unit, mid, business_date FROM closing_rate WHERE currency = ? AND business_date <= ? \
               ORDER BY business_date DESC LIMIT 1";
    let row = tx.query_one(sql, &[currency.code().into(), date.days().into()]).await?;
    row.map(|row| Ok((price(row.int(0), row.text(1))?, day(row.int(2))?))).transpose()
}

/// What a position was valued at, on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revaluation {
    /// The currency.
    pub currency: Currency,
    /// The day.
    pub date: BusinessDate,
    /// The closing rate.
    pub price: Price,
    /// The day whose last board it is from.
    pub rate_date: BusinessDate,
    /// The position, minor units.
    pub position: i64,
    /// Its counter-value before, won.
    pub value_before: i64,
    /// What it gained, won.
    pub gain: i64,
}

/// Writes a revaluation.
pub async fn insert_revaluation(tx: &mut Tx, done: &Revaluation) -> Result<(), Fault> {
    let mid = done.price.rate.to_string();
    let row = [
        done.currency.code().into(),
        done.date.days().into(),
        done.price.unit.into(),
        (&mid).into(),
        done.rate_date.days().into(),
        done.position.into(),
        done.value_before.into(),
        done.gain.into(),
    ];
    let sql = "INSERT INTO revaluation (currency, business_date, unit, mid, rate_date, foreign_amount, value_before, \
               gain) VALUES (?*)";
    match tx.insert(sql, &row).await? {
        Inserted::New => Ok(()),
        Inserted::Duplicate => Err(Fault::Damaged(format!("{} was valued twice on {}", done.currency, done.date))),
    }
}

/// Gains of all revaluations up to a day, by currency.
pub async fn gains_upto(tx: &mut Tx, date: BusinessDate) -> Result<BTreeMap<Currency, i64>, Fault> {
    let sql =
        "SELECT currency, SUM(gain) FROM revaluation WHERE business_date <= ? GROUP BY currency ORDER BY currency";
    let rows = tx.query(sql, &[date.days().into()]).await?;
    rows.iter().map(|row| Ok((currency(row.text(0))?, row.int(1)))).collect()
}

/// All revaluations, by currency and day.
pub async fn revaluations(tx: &mut Tx) -> Result<Vec<Revaluation>, Fault> {
    let sql = "SELECT currency, business_date, unit, mid, rate_date, foreign_amount, value_before, gain \
               FROM revaluation ORDER BY currency, business_date";
    tx.query(sql, &[]).await?.iter().map(revaluation).collect()
}

/// Revaluations of a day, by currency.
pub async fn revaluations_on(tx: &mut Tx, date: BusinessDate) -> Result<BTreeMap<Currency, Revaluation>, Fault> {
    let sql = "SELECT currency, business_date, unit, mid, rate_date, foreign_amount, value_before, gain \
               FROM revaluation WHERE business_date = ? ORDER BY currency";
    let rows = tx.query(sql, &[date.days().into()]).await?;
    rows.iter().map(|row| revaluation(row).map(|done| (done.currency, done))).collect()
}

fn revaluation(row: &Row) -> Result<Revaluation, Fault> {
    Ok(Revaluation {
        currency: currency(row.text(0))?,
        date: day(row.int(1))?,
        price: price(row.int(2), row.text(3))?,
        rate_date: day(row.int(4))?,
        position: row.int(5),
        value_before: row.int(6),
        gain: row.int(7),
    })
}
