//! Interest day by day, in whole numbers: the model's own arithmetic, slow and plain.

use std::collections::BTreeMap;

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::money::Currency;

use super::terms::{self, RATE_UNIT, Versions};

/// What a claim pays, minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Before tax.
    pub gross: i64,
    /// Income tax.
    pub income_tax: i64,
    /// Local income tax.
    pub local_tax: i64,
}

impl Due {
    /// After tax.
    #[must_use]
    pub fn net(self) -> i64 {
        self.gross - self.income_tax - self.local_tax
    }
}

/// 365 and 360 and 366 divide it: all days are summed in parts of a year that have it as denominator.
const YEAR_PARTS: i128 = 365 * 366 * 60;

/// Interest of the days from `from` to `to`, both included, by each day's closing balance; `None` when a day has no
/// terms.
#[must_use]
pub fn due(
    versions: &Versions,
    closing: impl Fn(BusinessDate) -> i64,
    from: BusinessDate,
    to: BusinessDate,
) -> Option<Due> {
    // Whole units of 10^-12 of a minor unit times a year, then parts of a year: one exact sum.
    let mut by_divisor: BTreeMap<i128, i128> = BTreeMap::new();
    let mut day = from;
    while day <= to {
        let version = terms::on(versions, day)?;
        let (balance, mut below, mut yearly) = (closing(day), 0i64, 0i128);
        for (top, rate) in &version.tiers {
            let within = top.map_or(balance, |top| balance.min(top)) - below;
            if within > 0 {
                yearly += i128::from(within) * rate;
                below += within;
            }
        }
        *by_divisor.entry(version.year_days(day)).or_default() += yearly;
        day = day.add_days(1);
    }
    let exact: i128 = by_divisor.iter().map(|(divisor, sum)| sum * (YEAR_PARTS / divisor)).sum();
    let version = terms::on(versions, to)?;
    let (one, half) = (RATE_UNIT * YEAR_PARTS, RATE_UNIT * YEAR_PARTS / 2);
    let gross = match version.rounding.as_str() {
        "up" => (exact + one - 1) / one,
        "half_up" => (exact + half) / one,
        _ => exact / one,
    };
    let gross = i64::try_from(gross).ok()?;
    // Each tax by itself: 14 % and 1.4 %, truncated to ten won, or to the minor unit of other currencies.
    let unit = if version.currency == Currency::KRW { 10 } else { 1 };
    let (income, local) = (i128::from(gross) * 14 / 100 / unit * unit, i128::from(gross) * 14 / 1_000 / unit * unit);
    Some(Due { gross, income_tax: i64::try_from(income).ok()?, local_tax: i64::try_from(local).ok()? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn versions(texts: &[serde_json::Value]) -> Versions {
        texts.iter().map(|t| terms::read(t).unwrap()).map(|(_, from, v)| (from, v)).collect()
    }

    fn date(text: &str) -> BusinessDate {
        text.parse().unwrap()
    }

    #[test]
    fn published_figures_come_out() {
        let flat = json!({"code": "p", "currency": "KRW", "from": "2021-01-01",
            "tiers": [{"up_to": null, "rate": "0.02"}]});
        let versions = versions(&[flat]);
        let day = date("2026-01-01");
        for (balance, net) in [(2_000_000, 99), (50_000_000, 2_329), (100_000_000, 4_649)] {
            assert_eq!(due(&versions, |_| balance, day, day).unwrap().net(), net);
        }
        // Seven days of 109.589 won each: truncated once, not seven times.
        assert_eq!(due(&versions, |_| 2_000_000, day, day.add_days(6)).unwrap().gross, 767);
    }

    #[test]
    fn tiers_rates_and_years_split() {
        let first = json!({"code": "p", "currency": "KRW", "from": "2021-01-01", "day_count": "ACT/ACT",
            "tiers": [{"up_to": 100_000_000, "rate": "0.02"}, {"up_to": null, "rate": "0.001"}]});
        let second = json!({"code": "p", "currency": "KRW", "from": "2024-01-01", "day_count": "ACT/ACT",
            "tiers": [{"up_to": null, "rate": "0.0366"}]});
        let versions = versions(&[first, second]);
        let year = due(&versions, |_| 110_000_000, date("2023-01-01"), date("2023-12-31")).unwrap();
        assert_eq!(year.gross, 2_010_000);
        let over = due(&versions, |_| 110_000_000, date("2023-12-31"), date("2024-01-01")).unwrap();
        assert_eq!(over.gross, (2_010_000 * 366 + 4_026_000 * 365) / (365 * 366));
        assert_eq!(due(&versions, |_| 1, date("2020-12-31"), date("2021-01-01")), None);
    }
}
