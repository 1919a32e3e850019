//! Business days.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::date::{BusinessDate, Weekday};

/// Public holidays by day.
#[derive(Debug)]
pub struct Calendar(BTreeMap<BusinessDate, &'static str>);

impl Calendar {
    /// Korea: public holidays with substitute and election days.
    pub fn korea() -> &'static Calendar {
        static KOREA: OnceLock<Calendar> = OnceLock::new();
        KOREA.get_or_init(|| {
            let lines = include_str!("../data/kr-public-holidays.csv").lines().skip(1);
            let parse = |line: &'static str| {
                let (date, name) = line.split_once(',')?;
                Some((date.parse().ok()?, name.trim_matches('"')))
            };
            Calendar(lines.filter_map(parse).collect())
        })
    }
    /// The holiday on that day.
    #[must_use]
    pub fn holiday(&self, date: BusinessDate) -> Option<&'static str> {
        self.0.get(&date).copied()
    }
    /// Neither weekend nor holiday.
    #[must_use]
    pub fn is_business_day(&self, date: BusinessDate) -> bool {
        !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday) && self.holiday(date).is_none()
    }
    /// The first business day from `date` on, itself included.
    #[must_use]
    pub fn next_business_day(&self, mut date: BusinessDate) -> BusinessDate {
        while !self.is_business_day(date) {
            date = date.add_days(1);
        }
        date
    }
}

/// The `n`-th (from 1) such weekday of a month; `None` when the month has fewer.
#[must_use]
pub fn nth_weekday(year: i32, month: u32, weekday: Weekday, n: u32) -> Option<BusinessDate> {
    (1..=31)
        .filter_map(|d| BusinessDate::from_ymd(year, month, d).ok())
        .filter(|d| d.weekday() == weekday)
        .nth(usize::try_from(n.checked_sub(1)?).ok()?)
}
