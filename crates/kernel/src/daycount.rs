//! Day counts: what part of a year some days are.

use serde::{Deserialize, Serialize};

use crate::date::{BusinessDate, is_leap_year};
use crate::ratio::Ratio;

/// How days become a part of a year.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum DayCount {
    /// Actual days over 365, leap year or not: Korean deposits.
    #[default]
    #[serde(rename = "ACT/365F", alias = "ACT_365F", alias = "ACT/365")]
    Act365F,
    /// Actual days over 360: money-market currencies.
    #[serde(rename = "ACT/360", alias = "ACT_360")]
    Act360,
    /// Each day over the length of its own year: 365 or 366.
    #[serde(rename = "ACT/ACT", alias = "ACT_ACT_366", alias = "ACT/ACT_366", alias = "ACT_ACT")]
    ActAct,
}

impl DayCount {
    /// The divisor for `day`.
    #[must_use]
    pub fn divisor(self, day: BusinessDate) -> i64 {
        match self {
            DayCount::Act365F => 365,
            DayCount::Act360 => 360,
            DayCount::ActAct => 365 + i64::from(is_leap_year(day.year())),
        }
    }
    /// Days from `from` to `to`, both included, as a part of a year; zero when `to` lies before.
    #[must_use]
    pub fn fraction(self, from: BusinessDate, to: BusinessDate) -> Option<Ratio> {
        let (mut at, mut sum) = (from, Ratio::ZERO);
        while at <= to {
            let year_end = BusinessDate::from_ymd(at.year(), 12, 31).ok()?;
            let end = if self == DayCount::ActAct { to.min(year_end) } else { to };
            let days = i128::from(at.days_until(end)) + 1;
            sum = sum.checked_add(Ratio::new(days, i128::from(self.divisor(at)))?)?;
            at = end.add_days(1);
        }
        Some(sum)
    }
}
