//! Interest of a demand deposit: each day's closing balance, by marginal tiers, exact until one rounding.

use std::collections::{BTreeMap, BTreeSet};

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::defect::planted;
use jangbu_kernel::money::Currency;
use jangbu_kernel::rate::Rate;
use jangbu_kernel::ratio::Ratio;

use super::tax::TaxClass;
use super::terms::{History, Terms};

/// Days with one balance, tier and rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// First day.
    pub from: BusinessDate,
    /// Last day.
    pub to: BusinessDate,
    /// The part of the balance within the tier, minor units.
    pub balance: i64,
    /// Rate per year.
    pub rate: Rate,
    /// Exact interest, minor units.
    pub interest: Ratio,
}

/// Interest for some days: what is paid, and why. Minor units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// First day.
    pub from: BusinessDate,
    /// Last day.
    pub to: BusinessDate,
    /// Before tax.
    pub gross: i64,
    /// Income tax.
    pub income_tax: i64,
    /// Local income tax.
    pub local_tax: i64,
    /// Other tax.
    pub other_tax: i64,
    /// After tax.
    pub net: i64,
    /// How it comes about.
    pub periods: Vec<Period>,
}

/// Why interest can't be worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unworkable {
    /// No terms hold on that day.
    NoTerms(BusinessDate),
    /// The numbers don't fit.
    TooLarge,
    /// The balance would be negative at the end of that day.
    Overdrawn(BusinessDate),
    /// The terms, or these movements under them, are not worked out here.
    Unsupported(&'static str),
}

/// Exact interest of some days, not rounded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accrued {
    /// First day.
    pub from: BusinessDate,
    /// Last day.
    pub to: BusinessDate,
    /// Exact interest, minor units.
    pub sum: Ratio,
    /// How it comes about.
    pub periods: Vec<Period>,
}

impl Accrued {
    /// No day yet; the first will be `from`.
    #[must_use]
    pub fn nothing(from: BusinessDate) -> Self {
        Accrued { from, to: from.add_days(-1), sum: Ratio::ZERO, periods: Vec::new() }
    }

    /// Rounds once, and withholds taxes as `version` says.
    ///
    /// # Errors
    /// The amount doesn't fit.
    pub fn settle(self, version: &Terms, tax: TaxClass) -> Result<Interest, Unworkable> {
        let gross = i64::try_from(self.sum.round(version.rounding)).map_err(|_| Unworkable::TooLarge)?;
        let withheld = tax.withhold(gross, tax_unit(version));
        Ok(Interest {
            from: self.from,
            to: self.to,
            gross,
            income_tax: withheld.income,
            local_tax: withheld.local,
            other_tax: withheld.other,
            net: gross - withheld.income - withheld.local - withheld.other,
            periods: self.periods,
        })
    }
}

/// Taxes on KRW are truncated to ten won; other currencies to their minor unit.
fn tax_unit(version: &Terms) -> i64 {
    if version.currency == Currency::KRW { 10 } else { 1 }
}

/// The parts of a balance by tier, each with its rate.
pub fn parts(version: &Terms, balance: i64) -> impl Iterator<Item = (i64, Rate)> + '_ {
    let mut below = 0;
    let part = move |tier: &super::terms::Tier| {
        let within = tier.up_to.map_or(balance, |top| balance.min(top)) - below;
        below += within.max(0);
        (within > 0).then_some((within, tier.rate))
    };
    version.tiers.iter().map_while(part)
}

/// Goes on accruing up to `to`. `closings` gives, in order, days from which a closing balance holds; before the
/// first it is zero.
///
/// # Errors
/// A day without terms, or numbers beyond 128 bits.
pub fn accrue(
    terms: &History,
    closings: &[(BusinessDate, i64)],
    mut accrued: Accrued,
    to: BusinessDate,
) -> Result<Accrued, Unworkable> {
    let mut day = accrued.to.add_days(1);
    while day <= to {
        let version = terms.at(day).ok_or(Unworkable::NoTerms(day))?;
        let next = closings.partition_point(|(d, _)| *d <= day);
        let balance = closings[..next].last().map_or(0, |(_, b)| *b);
        let ends = [closings.get(next).map(|(d, _)| *d), terms.next_change(day), Some(to.add_days(1))];
        let end = ends.into_iter().flatten().min().unwrap_or(to).add_days(-1);
        for (within, rate) in parts(version, balance) {
            let part = version.day_count.fraction(day, end).ok_or(Unworkable::TooLarge)?;
            let yearly = rate.as_ratio().checked_mul(Ratio::whole(within));
            let mut interest = yearly.and_then(|y| y.checked_mul(part)).ok_or(Unworkable::TooLarge)?;
            if planted("interest-rounded-early") {
                interest = Ratio::whole(i64::try_from(interest.round(version.rounding)).unwrap_or(0));
            }
            accrued.sum = accrued.sum.checked_add(interest).ok_or(Unworkable::TooLarge)?;
            accrued.periods.push(Period { from: day, to: end, balance: within, rate, interest });
        }
        day = end.add_days(1);
    }
    accrued.to = accrued.to.max(to);
    Ok(accrued)
}

/// Interest from the first to the last day (both included).
///
/// # Errors
/// As [`accrue`].
pub fn work_out(
    terms: &History,
    tax: TaxClass,
    closings: &[(BusinessDate, i64)],
    from: BusinessDate,
    to: BusinessDate,
) -> Result<Interest, Unworkable> {
    let accrued = accrue(terms, closings, Accrued::nothing(from), to)?;
    accrued.settle(terms.at(to).ok_or(Unworkable::NoTerms(to))?, tax)
}

/// What a simulation gives: payments by day, and the balance after everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// Payments by day.
    pub payments: Vec<(BusinessDate, Interest)>,
    /// Balance after all movements and payments.
    pub balance: i64,
}

/// An account that is played through: what moved on which day, and what each day closed with.
struct Play {
    sums: BTreeMap<BusinessDate, i64>,
    closings: Vec<(BusinessDate, i64)>,
    balance: i64,
}

impl Play {
    /// Closes all days before `day` on which something moved.
    fn close_before(&mut self, day: Option<BusinessDate>) -> Result<(), Unworkable> {
        while let Some(entry) = self.sums.first_entry().filter(|e| day.is_none_or(|day| *e.key() < day)) {
            let (date, sum) = entry.remove_entry();
            self.balance = self.balance.checked_add(sum).ok_or(Unworkable::TooLarge)?;
            if self.balance < 0 {
                return Err(Unworkable::Overdrawn(date));
            }
            self.closings.push((date, self.balance));
        }
        Ok(())
    }

    fn add(&mut self, date: BusinessDate, amount: i64) -> Result<(), Unworkable> {
        let sum = self.sums.entry(date).or_default();
        *sum = sum.checked_add(amount).ok_or(Unworkable::TooLarge)?;
        Ok(())
    }
}

/// Plays movements and payment days on an account that begins empty. A payment covers the first unpaid day to the
/// day before it and credits the net; a movement counts from its own day on. Where less than one minor unit has
/// accrued nothing is paid, and accruing goes on.
///
/// # Errors
/// As [`accrue`], and a day that would end below zero.
pub fn simulate(
    terms: &History,
    tax: TaxClass,
    movements: &[(BusinessDate, i64)],
    pay_on: &[BusinessDate],
) -> Result<Played, Unworkable> {
    let mut play = Play { sums: BTreeMap::new(), closings: Vec::new(), balance: 0 };
    for (date, amount) in movements {
        play.add(*date, *amount)?;
    }
    let mut payments = Vec::new();
    if let Some(first) = play.sums.first_key_value().map(|(date, _)| *date) {
        let mut accrued = Accrued::nothing(first);
        for day in pay_on.iter().copied().filter(|day| *day > first).collect::<BTreeSet<_>>() {
            play.close_before(Some(day))?;
            let yesterday = day.add_days(-1);
            accrued = accrue(terms, &play.closings, accrued, yesterday)?;
            let version = terms.at(yesterday).ok_or(Unworkable::NoTerms(yesterday))?;
            if accrued.sum.round(version.rounding) > 0 {
                let interest = std::mem::replace(&mut accrued, Accrued::nothing(day)).settle(version, tax)?;
                play.add(day, interest.net)?;
                payments.push((day, interest));
            }
        }
    }
    play.close_before(None)?;
    Ok(Played { payments, balance: play.balance })
}

#[cfg(test)]
#[path = "../tests/interest.rs"]
mod tests;
