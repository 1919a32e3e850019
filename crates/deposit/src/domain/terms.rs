//! Product terms as decisions use them: versions by the day from which they hold.

use jangbu_kernel::calendar::nth_weekday;
use jangbu_kernel::date::{BusinessDate, Weekday};
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

/// Kind of a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProductKind {
    /// Money comes and goes as the customer likes.
    #[default]
    Demand,
    /// One sum for a fixed time.
    Term,
    /// The same sum every month for a fixed time.
    Instalment,
    /// Sums as the customer likes for a fixed time.
    Flexible,
}

/// When interest is paid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pay {
    /// When the customer asks, once a day.
    #[default]
    Claim,
    /// On that day of every month (its last, where it has no such day), up to the day before.
    Monthly(u32),
    /// Up to that weekday of those months, on the day after (standard terms: computed on the base date, added to
    /// the principal on the next day).
    Weekday {
        /// From 1.
        nth: u32,
        /// The weekday.
        weekday: Weekday,
        /// Months, 1-12; empty means all.
        months: Vec<u32>,
    },
    /// When the contract has run its time.
    Maturity,
}

impl Pay {
    /// Reads `claim`, `maturity`, `monthly day 1`, `3rd friday` or `3rd friday of 6,12`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Pay> {
        match text.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["claim"] => Some(Pay::Claim),
            ["maturity"] => Some(Pay::Maturity),
            ["monthly"] => Some(Pay::Monthly(1)),
            ["monthly", "day", day] => day.parse().ok().filter(|d| (1..=31).contains(d)).map(Pay::Monthly),
            [nth, weekday] => Self::weekday(nth, weekday, ""),
            [nth, weekday, "of", months] => Self::weekday(nth, weekday, months),
            _ => None,
        }
    }

    fn weekday(nth: &str, weekday: &str, months: &str) -> Option<Pay> {
        let nth = ["1st", "2nd", "3rd", "4th", "5th"].iter().position(|word| *word == nth)?;
        let weekday = Weekday::ALL.into_iter().find(|day| day.name() == weekday)?;
        let month = |m: &str| m.parse().ok().filter(|m| (1..=12).contains(m));
        let months = months.split(',').filter(|m| !m.is_empty()).map(month).collect::<Option<Vec<u32>>>()?;
        Some(Pay::Weekday { nth: u32::try_from(nth + 1).ok()?, weekday, months })
    }

    /// The days in `(after, upto]` on which interest is paid by itself.
    #[must_use]
    pub fn days(&self, after: BusinessDate, upto: BusinessDate) -> Vec<BusinessDate> {
        let mut days = Vec::new();
        let first = BusinessDate::from_ymd(after.year(), after.month(), 1).unwrap_or(after);
        // From the month before: the day after a month's last Friday may lie in the next month.
        for ahead in 0u32.. {
            let month = first.add_days(-1).add_months(ahead);
            if month.year() * 12 + month.month().cast_signed() > upto.year() * 12 + upto.month().cast_signed() {
                break;
            }
            days.extend(self.day_of(month.year(), month.month()).filter(|d| *d > after && *d <= upto));
            if month.year() >= 9999 {
                break;
            }
        }
        days
    }

    fn day_of(&self, year: i32, month: u32) -> Option<BusinessDate> {
        match self {
            Pay::Claim | Pay::Maturity => None,
            Pay::Monthly(day) => {
                (28..=31).rev().map(|last| last.min(*day)).find_map(|day| BusinessDate::from_ymd(year, month, day).ok())
            }
            Pay::Weekday { nth, weekday, months } => {
                let due = months.is_empty() || months.contains(&month);
                nth_weekday(year, month, *weekday, *nth).filter(|_| due).map(|d| d.add_days(1))
            }
        }
    }
}

/// How long a contract runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Whole months; each is a twelfth of a year.
    Months(u32),
    /// Days, counted by the day count.
    Days(u32),
}

/// The rate of a row of a table by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepRate {
    /// Per year.
    Fixed(Rate),
    /// A share of the rate agreed on.
    Share {
        /// The share.
        share: Rate,
        /// Whether it is cut to the part of the time that has passed.
        pro_rata: bool,
        /// What it makes at least, per year.
        at_least: Rate,
    },
}

/// A row of a table by months.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Up to how many months, that many included; none for the last.
    pub up_to_months: Option<u32>,
    /// Its rate.
    pub rate: StepRate,
}

/// What terms say of contracts with a fixed time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contract {
    /// How long it runs; as long as the customer says when absent.
    pub length: Option<Length>,
    /// Preferential rates by the names of their conditions.
    pub bonus: Vec<(String, Rate)>,
    /// Rates when it is closed early, by the months that have passed.
    pub early_closing: Vec<Step>,
    /// Rates after maturity, by the months since.
    pub after_maturity: Vec<Step>,
}

/// One version of a product's terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// First day.
    pub from: BusinessDate,
    /// Kind.
    pub kind: ProductKind,
    /// Currency of its accounts.
    pub currency: Currency,
    /// Day count.
    pub day_count: DayCount,
    /// Marginal tiers, ascending; the last has no end.
    pub tiers: Vec<Tier>,
    /// How a payment is rounded to the minor unit, once.
    pub rounding: Rounding,
    /// When interest is paid.
    pub pay: Pay,
    /// For kinds with a fixed time.
    pub contract: Contract,
    /// Limits of debits.
    pub limits: Limits,
    /// Whether corporations may have it.
    pub corporations: bool,
}

impl Terms {
    /// Whether accounts of it can be opened: the ledger pays demand deposits on claim.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.kind == ProductKind::Demand && self.pay == Pay::Claim
    }
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
