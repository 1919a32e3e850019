//! How much a customer may exchange, in won, buying and selling together.
//!
//! A limit's day begins at nine in the morning, and so does its month, on the first. What is under way is reserved; it
//! becomes used when the exchange succeeds, and is given back when it fails.

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::defect::planted;
use jangbu_kernel::time::{Timestamp, UtcOffset};

/// Won that one customer may exchange in a day (domain facts: exchange, limits).
pub const DAY_WON_MAX: i64 = 10_000_000;
/// Won that one customer may exchange in a month.
pub const MONTH_WON_MAX: i64 = 100_000_000;
const _: () = assert!(DAY_WON_MAX <= MONTH_WON_MAX);

/// When a limit's day begins, in microseconds after midnight.
const RESET_US: i64 = 9 * 3_600 * 1_000_000;

/// What a limit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Span {
    /// From nine to nine.
    Day,
    /// From nine on the first to nine on the next first.
    Month,
}

impl Span {
    /// Both, in the order in which they are looked at and locked.
    pub const BOTH: [Span; 2] = [Span::Day, Span::Month];

    /// Its name in texts and in the store.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Span::Day => "day",
            Span::Month => "month",
        }
    }
    /// Won that may be exchanged in it.
    #[must_use]
    pub fn won_max(self) -> i64 {
        match self {
            Span::Day => DAY_WON_MAX,
            Span::Month => MONTH_WON_MAX,
        }
    }
    /// The first day of the one that an instant lies in.
    #[must_use]
    pub fn first_day(self, now: Timestamp, offset: UtcOffset) -> BusinessDate {
        let day = now.plus_micros(-RESET_US).business_date(offset);
        if self == Span::Month && planted("month-from-midnight") {
            return first_of_month(now.business_date(offset));
        }
        match self {
            Span::Day => day,
            Span::Month => first_of_month(day),
        }
    }
    /// When the one that begins on `first` ends, and with it what was used.
    #[must_use]
    pub fn resets_at(self, first: BusinessDate, offset: UtcOffset) -> Timestamp {
        let next = match self {
            Span::Day => first.add_days(1),
            // 31 days after a first always lie in the next month.
            Span::Month => first_of_month(first.add_days(31)),
        };
        Timestamp::start_of(next, offset).plus_micros(RESET_US)
    }
}

fn first_of_month(day: BusinessDate) -> BusinessDate {
    day.add_days(1 - i32::try_from(day.day()).unwrap_or(1))
}

/// What is taken of a limit, won.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// By exchanges that succeeded.
    pub used: i64,
    /// By exchanges under way.
    pub reserved: i64,
}

impl Usage {
    /// With so much more reserved; none when the limit would be passed.
    #[must_use]
    pub fn reserve(self, span: Span, won: i64) -> Option<Usage> {
        let reserved = self.reserved.checked_add(won)?;
        (self.used.checked_add(reserved)? <= span.won_max()).then_some(Usage { reserved, ..self })
    }
    /// With a reservation settled: it becomes used, or is given back.
    #[must_use]
    pub fn settle(self, won: i64, succeeded: bool) -> Usage {
        Usage { used: self.used + if succeeded { won } else { 0 }, reserved: self.reserved - won }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn days_and_months_begin_at_nine() {
        for (now, day, month, day_ends, month_ends) in [
            (
                "2026-03-15T08:59:59.999999+09:00",
                "2026-03-14",
                "2026-03-01",
                "2026-03-15T09:00:00+09:00",
                "2026-04-01T09:00:00+09:00",
            ),
            (
                "2026-03-15T09:00:00+09:00",
                "2026-03-15",
                "2026-03-01",
                "2026-03-16T09:00:00+09:00",
                "2026-04-01T09:00:00+09:00",
            ),
            (
                "2026-03-01T08:59:59+09:00",
                "2026-02-28",
                "2026-02-01",
                "2026-03-01T09:00:00+09:00",
                "2026-03-01T09:00:00+09:00",
            ),
            (
                "2026-03-01T09:00:00+09:00",
                "2026-03-01",
                "2026-03-01",
                "2026-03-02T09:00:00+09:00",
                "2026-04-01T09:00:00+09:00",
            ),
            (
                "2027-01-01T00:00:00+09:00",
                "2026-12-31",
                "2026-12-01",
                "2027-01-01T09:00:00+09:00",
                "2027-01-01T09:00:00+09:00",
            ),
        ] {
            let now: Timestamp = now.parse().unwrap();
            let offset = UtcOffset::SEOUL;
            let firsts = Span::BOTH.map(|span| span.first_day(now, offset));
            assert_eq!(firsts.map(|f| f.to_string()), [day, month], "{now}");
            let ends: [Timestamp; 2] = [day_ends.parse().unwrap(), month_ends.parse().unwrap()];
            assert_eq!(
                [Span::Day.resets_at(firsts[0], offset), Span::Month.resets_at(firsts[1], offset)],
                ends,
                "{now}"
            );
        }
    }

    #[test]
    fn a_limit_may_be_reached_and_not_passed() {
        let used = Usage { used: 4_000_000, reserved: 5_000_000 };
        let full = used.reserve(Span::Day, 1_000_000).unwrap();
        assert_eq!(full, Usage { used: 4_000_000, reserved: 6_000_000 });
        assert_eq!(used.reserve(Span::Day, 1_000_001), None);
        assert_eq!(full.reserve(Span::Day, 1), None);
        assert!(used.reserve(Span::Month, 1_000_001).is_some());
        assert_eq!(used.reserve(Span::Month, i64::MAX), None);
        assert_eq!(full.settle(6_000_000, true), Usage { used: 10_000_000, reserved: 0 });
        assert_eq!(full.settle(1_000_000, false), used);
    }
}
