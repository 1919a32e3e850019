//! Interest of a demand deposit: each day's closing balance, by marginal tiers, exact until one rounding.

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::rate::Rate;
use jangbu_kernel::ratio::Ratio;

use super::tax::TaxClass;
use super::terms::History;

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
}

/// Taxes on KRW are truncated to ten won; other currencies to their minor unit.
fn tax_unit(terms: &History, day: BusinessDate) -> i64 {
    let krw = terms.at(day).is_some_and(|t| t.currency == jangbu_kernel::money::Currency::KRW);
    if krw { 10 } else { 1 }
}

/// Interest from the first to the last day (both included). `closings` gives, in order, days from which a closing
/// balance holds; the first must not be after `from`.
///
/// # Errors
/// A day without terms, or numbers beyond 128 bits.
pub fn work_out(
    terms: &History,
    tax: TaxClass,
    closings: &[(BusinessDate, i64)],
    from: BusinessDate,
    to: BusinessDate,
) -> Result<Interest, Unworkable> {
    let mut periods = Vec::new();
    let mut sum = Ratio::ZERO;
    let mut day = from;
    while day <= to {
        let version = terms.at(day).ok_or(Unworkable::NoTerms(day))?;
        let next = closings.partition_point(|(d, _)| *d <= day);
        let balance = closings[..next].last().map_or(0, |(_, b)| *b);
        let ends = [closings.get(next).map(|(d, _)| *d), terms.next_change(day), Some(to.add_days(1))];
        let end = ends.into_iter().flatten().min().unwrap_or(to).add_days(-1);
        let mut below = 0;
        for tier in &version.tiers {
            let within = tier.up_to.map_or(balance, |top| balance.min(top)) - below;
            if within <= 0 {
                break;
            }
            below += within;
            let part = version.day_count.fraction(day, end).ok_or(Unworkable::TooLarge)?;
            let yearly = tier.rate.as_ratio().checked_mul(Ratio::whole(within));
            let interest = yearly.and_then(|y| y.checked_mul(part)).ok_or(Unworkable::TooLarge)?;
            sum = sum.checked_add(interest).ok_or(Unworkable::TooLarge)?;
            periods.push(Period { from: day, to: end, balance: within, rate: tier.rate, interest });
        }
        day = end.add_days(1);
    }
    let rounding = terms.at(to).map(|t| t.rounding).unwrap_or_default();
    let gross = i64::try_from(sum.round(rounding)).map_err(|_| Unworkable::TooLarge)?;
    let withheld = tax.withhold(gross, tax_unit(terms, to));
    let net = gross - withheld.income - withheld.local - withheld.other;
    Ok(Interest {
        from,
        to,
        gross,
        income_tax: withheld.income,
        local_tax: withheld.local,
        other_tax: withheld.other,
        net,
        periods,
    })
}

/// Plays movements and claims on an account that begins empty; the payments, by date. A claim pays from the first
/// unpaid day to the day before it and credits the net; a movement of that day counts from that day on.
///
/// # Errors
/// As [`work_out`].
pub fn simulate(
    terms: &History,
    tax: TaxClass,
    movements: &[(BusinessDate, i64)],
    claims: &[BusinessDate],
) -> Result<Vec<(BusinessDate, Interest)>, Unworkable> {
    let mut movements = movements.to_vec();
    movements.sort_by_key(|(date, _)| *date);
    let Some((mut unpaid, _)) = movements.first().copied() else { return Ok(Vec::new()) };
    let mut claims = claims.to_vec();
    claims.sort_unstable();
    claims.dedup();
    let mut payments = Vec::new();
    for claim in claims {
        let to = claim.add_days(-1);
        if to < unpaid {
            continue;
        }
        let mut closings: Vec<(BusinessDate, i64)> = Vec::new();
        let mut balance = 0i64;
        for (date, amount) in &movements {
            balance = balance.checked_add(*amount).ok_or(Unworkable::TooLarge)?;
            match closings.last_mut() {
                Some((last, b)) if last == date => *b = balance,
                _ => closings.push((*date, balance)),
            }
        }
        let interest = work_out(terms, tax, &closings, unpaid, to)?;
        if interest.gross > 0 {
            unpaid = claim;
            let at = movements.partition_point(|(date, _)| *date <= claim);
            movements.insert(at, (claim, interest.net));
            payments.push((claim, interest));
        }
    }
    Ok(payments)
}

#[cfg(test)]
#[path = "../tests/interest.rs"]
mod tests;
