//! Product terms as decisions use them: versions by the day from which they hold.

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::daycount::DayCount;
use jangbu_kernel::money::Currency;
use jangbu_kernel::rate::Rate;
use jangbu_kernel::round::Rounding;

use super::book::Limits;

/// A part of the balance with a rate of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Where it ends, minor units; none for the last.
    pub up_to: Option<i64>,
    /// Rate per year for the part within it.
    pub rate: Rate,
}

/// One version of a product's terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// First day.
    pub from: BusinessDate,
    /// Currency of its accounts.
    pub currency: Currency,
    /// Day count.
    pub day_count: DayCount,
    /// Marginal tiers, ascending; the last has no end.
    pub tiers: Vec<Tier>,
    /// How a payment is rounded to the minor unit, once.
    pub rounding: Rounding,
    /// Limits of debits.
    pub limits: Limits,
    /// Whether corporations may have it.
    pub corporations: bool,
}

/// All versions of one product, by first day.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History(Vec<Terms>);

impl History {
    /// Adds a version, in its place.
    pub fn add(&mut self, terms: Terms) {
        let at = self.0.partition_point(|t| t.from < terms.from);
        self.0.insert(at, terms);
    }
    /// The version that holds on `date`.
    #[must_use]
    pub fn at(&self, date: BusinessDate) -> Option<&Terms> {
        self.0[..self.0.partition_point(|t| t.from <= date)].last()
    }
    /// First day of the version after the one that holds on `date`.
    #[must_use]
    pub fn next_change(&self, date: BusinessDate) -> Option<BusinessDate> {
        self.0.get(self.0.partition_point(|t| t.from <= date)).map(|t| t.from)
    }
    /// All versions.
    #[must_use]
    pub fn versions(&self) -> &[Terms] {
        &self.0
    }
}
