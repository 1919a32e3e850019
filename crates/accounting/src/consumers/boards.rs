//! Takes boards. The last board of a day has the day's closing rates, and since boards come in order, the first board of
//! a later day says which was the last: it values the day before it that had one, in the same unit of work. So a day is
//! valued once, whenever that is carried out, and days without a board need nothing.

use jangbu_contracts::exchange::{BoardPublishedV1, KRW_INSTANCE};
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::money::Currency;
use jangbu_platform::consumer::Reject;
use jangbu_platform::db::{Fault, Tx};

use super::{Batch, Entry, REVALUATION_KIND, poison};
use crate::domain::journal::revaluation_journal;
use crate::domain::position::{Price, gain, revaluation};
use crate::store::positions::{self, Revaluation};

/// Takes boards in order, and what they value into the batch.
pub(super) async fn take(tx: &mut Tx, boards: &[BoardPublishedV1], batch: &mut Batch<'_>) -> Result<(), Reject> {
    for board in boards {
        take_one(tx, board, batch).await?;
    }
    Ok(())
}

async fn take_one(tx: &mut Tx, board: &BoardPublishedV1, batch: &mut Batch<'_>) -> Result<(), Reject> {
    if let Some(wrong) = board.rates.iter().find(|rate| rate.unit <= 0 || rate.currency == Currency::KRW) {
        return Err(poison(format!("{} units of {} have no price in won", wrong.unit, wrong.currency)));
    }
    let date = board.business_date;
    let valued = positions::lock_valued(tx).await?;
    let known = positions::board_of(tx, date).await?;
    if valued.is_some_and(|valued| date <= valued) || known.is_some_and(|number| board.number <= number) {
        return Ok(()); // it came before, or too late to count
    }
    if let Some(day) = positions::last_board_between(tx, valued, date).await? {
        value(tx, day, board.as_of.micros(), batch).await?;
        positions::set_valued(tx, day).await?;
    }
    let price =
        |rate: &jangbu_contracts::exchange::BoardLineV1| (rate.currency, Price { rate: rate.mid, unit: rate.unit });
    let prices: Vec<(Currency, Price)> = board.rates.iter().map(price).collect();
    positions::put_board(tx, date, board.number, &prices).await?;
    Ok(())
}

/// Values all positions of a day at its closing rates; `posted_at` is when the day was known to be over.
async fn value(tx: &mut Tx, date: BusinessDate, posted_at: i64, batch: &mut Batch<'_>) -> Result<(), Reject> {
    let gains = positions::gains_upto(tx, date).await?;
    for (currency, [position, cost, _]) in positions::moved_upto(tx, date).await? {
        let held = || Fault::Damaged(format!("what {position} {currency} are worth can't be held"));
        let before = cost.checked_add(gains.get(&currency).copied().unwrap_or(0)).ok_or_else(held)?;
        if (position, before) == (0, 0) {
            continue;
        }
        // Without any rate nothing was quoted either; the day that has one counts for it.
        let Some((price, rate_date)) = positions::rate_upto(tx, currency, date).await? else { continue };
        let gain = gain(position, before, currency, price).ok_or_else(held)?;
        let done = Revaluation { currency, date, price, rate_date, position, value_before: before, gain };
        positions::insert_revaluation(tx, &done).await?;
        if let Some(lines) = revaluation(gain) {
            let entry = Entry { currency: Currency::KRW, instance: KRW_INSTANCE, date, posted_at };
            batch.journal(entry, revaluation_journal(currency, date), REVALUATION_KIND, &lines)?;
        }
    }
    Ok(())
}
