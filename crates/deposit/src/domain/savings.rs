//! Interest of contracts with a fixed time: term deposits and instalment savings, simple interest.
//!
//! | kind | accrues |
//! |---|---|
//! | term, by months | principal x rate x months / 12 |
//! | term, by days | principal x rate by the day count, first day to the day before maturity |
//! | instalment | each month's balance x rate / 12: monthly x rate / 12 x n (n + 1) / 2 |
//! | flexible | each deposit from its own day to the day before maturity, by the day count |
//! | closed early | by the day count, at the rate of the table for the months that have passed |
//! | after maturity | the principal by the day count, month by month at the rates of the table |
//!
//! Rate and terms are those of the first day. The sum is exact and rounded once.

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::rate::Rate;
use jangbu_kernel::ratio::Ratio;

use super::interest::{Accrued, Played, Unworkable, parts};
use super::tax::TaxClass;
use super::terms::{Length, ProductKind, Step, StepRate, Terms};

/// Months of a contract at most.
pub const MONTHS_MAX: u32 = 600;

/// A contract as it was kept.
struct Kept<'a> {
    terms: &'a Terms,
    /// Sum of the rates of the conditions that were met.
    bonus: Ratio,
    /// Balances by the day from which they hold.
    balances: Vec<(BusinessDate, i64)>,
    start: BusinessDate,
    maturity: BusinessDate,
    close: BusinessDate,
}

/// Plays one contract from its first deposit to the day it is closed (its maturity when absent).
///
/// # Errors
/// The terms don't say what these movements earn, or the numbers don't fit.
pub fn simulate(
    terms: &Terms,
    tax: TaxClass,
    movements: &[(BusinessDate, i64)],
    close_on: Option<BusinessDate>,
    met: &[String],
) -> Result<Played, Unworkable> {
    let Some(kept) = Kept::read(terms, movements, close_on, met)? else { return Ok(Played::default()) };
    let sum = kept.interest()?;
    let accrued = Accrued { from: kept.start, to: kept.close.add_days(-1), sum, periods: Vec::new() };
    let interest = accrued.settle(terms, tax)?;
    let deposited = kept.balances.last().map_or(0, |(_, balance)| *balance);
    let balance = deposited.checked_add(interest.net).ok_or(Unworkable::TooLarge)?;
    let paid = if interest.gross > 0 { vec![(kept.close, interest)] } else { Vec::new() };
    Ok(Played { payments: paid, balance })
}

/// Whole months from one day to a later one; none when they don't come out even.
fn whole_months(from: BusinessDate, to: BusinessDate) -> Option<u32> {
    (1..=MONTHS_MAX).find(|n| from.add_months(*n) >= to).filter(|n| from.add_months(*n) == to)
}

impl<'a> Kept<'a> {
    /// `None` when nothing was ever paid in.
    fn read(
        terms: &'a Terms,
        movements: &[(BusinessDate, i64)],
        close_on: Option<BusinessDate>,
        met: &[String],
    ) -> Result<Option<Kept<'a>>, Unworkable> {
        let mut movements = movements.to_vec();
        movements.sort_by_key(|(date, _)| *date);
        let Some((start, _)) = movements.first().copied() else { return Ok(None) };
        if movements.iter().any(|(_, amount)| *amount < 0) {
            return Err(Unworkable::Unsupported("a part of a contract can't be taken out before it is closed"));
        }
        let mut balances: Vec<(BusinessDate, i64)> = Vec::new();
        for (date, amount) in movements {
            let before = balances.last().map_or(0, |(_, b)| *b);
            let after = before.checked_add(amount).ok_or(Unworkable::TooLarge)?;
            match balances.last_mut() {
                Some((day, balance)) if *day == date => *balance = after,
                _ => balances.push((date, after)),
            }
        }
        let maturity = match terms.contract.length {
            Some(Length::Months(months)) => start.add_months(months),
            Some(Length::Days(days)) => start.add_days(i32::try_from(days).map_err(|_| Unworkable::TooLarge)?),
            None => close_on.ok_or(Unworkable::Unsupported("terms without a length need the day of closing"))?,
        };
        let bonus = terms.contract.bonus.iter().filter(|(condition, _)| met.contains(condition));
        let bonus = bonus.map(|(_, rate)| rate.as_ratio()).try_fold(Ratio::ZERO, Ratio::checked_add);
        let bonus = bonus.ok_or(Unworkable::TooLarge)?;
        let close = close_on.unwrap_or(maturity);
        let kept = Kept { terms, bonus, balances, start, maturity, close };
        kept.check()?;
        Ok(Some(kept))
    }

    fn check(&self) -> Result<(), Unworkable> {
        let last = self.balances.last().map_or(self.start, |(date, _)| *date);
        if last >= self.maturity.min(self.close) {
            return Err(Unworkable::Unsupported("deposits come before maturity and before closing"));
        }
        if self.terms.kind == ProductKind::Term && last > self.start {
            return Err(Unworkable::Unsupported("a term deposit is one sum on its first day"));
        }
        Ok(())
    }

    fn interest(&self) -> Result<Ratio, Unworkable> {
        if self.close < self.maturity {
            return self.closed_early();
        }
        let agreed = |rate: Rate| rate.as_ratio().checked_add(self.bonus);
        let months = match (self.terms.kind, self.terms.contract.length) {
            (ProductKind::Term, Some(Length::Months(months))) => Some(months),
            (ProductKind::Instalment, _) => {
                let uneven = Unworkable::Unsupported("an instalment contract runs for whole months");
                Some(whole_months(self.start, self.maturity).ok_or(uneven)?)
            }
            _ => None,
        };
        let sum = match months {
            Some(months) => self.by_months(months, agreed)?,
            None => self.by_days(self.start, self.maturity.add_days(-1), agreed)?,
        };
        let after = self.after_maturity()?;
        sum.checked_add(after).ok_or(Unworkable::TooLarge)
    }

    /// Interest for a year of a balance, each tier's rate changed by `rate`.
    fn yearly(&self, balance: i64, rate: impl Fn(Rate) -> Option<Ratio>) -> Option<Ratio> {
        parts(self.terms, balance).try_fold(Ratio::ZERO, |sum, (within, tier)| {
            sum.checked_add(rate(tier)?.checked_mul(Ratio::whole(within))?)
        })
    }

    /// The first to the last day, both included.
    fn by_days(
        &self,
        from: BusinessDate,
        to: BusinessDate,
        rate: impl Fn(Rate) -> Option<Ratio>,
    ) -> Result<Ratio, Unworkable> {
        let mut sum = Ratio::ZERO;
        for (i, (date, balance)) in self.balances.iter().enumerate() {
            let next = self.balances.get(i + 1).map_or(to, |(next, _)| next.add_days(-1)).min(to);
            let part = self.terms.day_count.fraction((*date).max(from), next).ok_or(Unworkable::TooLarge)?;
            let interest = self.yearly(*balance, &rate).and_then(|y| y.checked_mul(part));
            sum = interest.and_then(|i| sum.checked_add(i)).ok_or(Unworkable::TooLarge)?;
        }
        Ok(sum)
    }

    fn by_months(&self, months: u32, rate: impl Fn(Rate) -> Option<Ratio>) -> Result<Ratio, Unworkable> {
        let twelfth = Ratio::new(1, 12).ok_or(Unworkable::TooLarge)?;
        let (mut sum, mut met) = (Ratio::ZERO, 0);
        for month in 0..months {
            let day = self.start.add_months(month);
            let upto = self.balances.partition_point(|(date, _)| *date <= day);
            met += usize::from(self.balances[..upto].last().is_some_and(|(date, _)| *date == day));
            let balance = self.balances[..upto].last().map_or(0, |(_, balance)| *balance);
            let interest = self.yearly(balance, &rate).and_then(|y| y.checked_mul(twelfth));
            sum = interest.and_then(|i| sum.checked_add(i)).ok_or(Unworkable::TooLarge)?;
        }
        if met < self.balances.len() {
            return Err(Unworkable::Unsupported("instalments are worked out on the contract's day of each month"));
        }
        Ok(sum)
    }

    fn closed_early(&self) -> Result<Ratio, Unworkable> {
        let reached = |step: &&Step| step.up_to_months.is_none_or(|n| self.close <= self.start.add_months(n));
        let step = self.terms.contract.early_closing.iter().find(reached);
        let step = step.ok_or(Unworkable::Unsupported("the terms don't say what early closing pays"))?;
        let passed = Ratio::new(
            i128::from(self.start.days_until(self.close)),
            i128::from(self.start.days_until(self.maturity)).max(1),
        );
        self.by_days(self.start, self.close.add_days(-1), |rate| step_rate(step.rate, rate, passed?))
    }

    fn after_maturity(&self) -> Result<Ratio, Unworkable> {
        let (mut sum, mut from) = (Ratio::ZERO, self.maturity);
        for step in &self.terms.contract.after_maturity {
            let end = step.up_to_months.map_or(self.close, |n| self.maturity.add_months(n)).min(self.close);
            if from < end {
                let one = Ratio::whole(1);
                let interest = self.by_days(from, end.add_days(-1), |rate| step_rate(step.rate, rate, one))?;
                sum = sum.checked_add(interest).ok_or(Unworkable::TooLarge)?;
                from = end;
            }
        }
        if from < self.close {
            return Err(Unworkable::Unsupported("the terms don't say what the time after maturity pays"));
        }
        Ok(sum)
    }
}

fn step_rate(step: StepRate, agreed: Rate, passed: Ratio) -> Option<Ratio> {
    match step {
        StepRate::Fixed(rate) => Some(rate.as_ratio()),
        StepRate::Share { share, pro_rata, at_least } => {
            let mut rate = agreed.as_ratio().checked_mul(share.as_ratio())?;
            if pro_rata {
                rate = rate.checked_mul(passed)?;
            }
            Some(rate.max(at_least.as_ratio()))
        }
    }
}

#[cfg(test)]
#[path = "../tests/savings.rs"]
mod tests;
