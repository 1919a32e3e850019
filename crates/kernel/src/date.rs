//! Business dates: days of the calendar, without a time of day.

use std::fmt;
use std::str::FromStr;

use crate::Invalid;

/// A day of the Gregorian calendar, as days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BusinessDate(i32);

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weekday {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

impl Weekday {
    /// All, from Monday on.
    pub const ALL: [Weekday; 7] = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];

    /// Its English name in small letters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Weekday::Monday => "monday",
            Weekday::Tuesday => "tuesday",
            Weekday::Wednesday => "wednesday",
            Weekday::Thursday => "thursday",
            Weekday::Friday => "friday",
            Weekday::Saturday => "saturday",
            Weekday::Sunday => "sunday",
        }
    }
}

/// Whether February of `year` has 29 days.
#[must_use]
pub fn is_leap_year(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl BusinessDate {
    /// The day of that year, month (1-12) and day of month.
    ///
    /// # Errors
    /// There is no such day, or the year is not from 1 to 9999.
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Result<Self, Invalid> {
        let real = (1..=9999).contains(&year) && (1..=12).contains(&month);
        if !real || day == 0 || day > days_in_month(year, month) {
            return Err(Invalid::new("date", "there is no such day"));
        }
        // Years counted from March, so that the leap day comes last.
        let (m, d) = (i32::try_from(month).unwrap_or(0), i32::try_from(day).unwrap_or(0));
        let y = if m <= 2 { year - 1 } else { year };
        let era = y.div_euclid(400);
        let year_of_era = y.rem_euclid(400);
        let day_of_year = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Ok(Self(era * 146_097 + day_of_era - 719_468))
    }
    /// The day that many days after 1970-01-01.
    #[must_use]
    pub const fn from_days(days: i32) -> Self {
        Self(days)
    }
    /// Days since 1970-01-01.
    #[must_use]
    pub const fn days(self) -> i32 {
        self.0
    }
    fn ymd(self) -> (i32, u32, u32) {
        let z = self.0 + 719_468;
        let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let (d, m) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
        let y = yoe + era * 400 + i32::from(m <= 2);
        (y, u32::try_from(m).unwrap_or(0), u32::try_from(d).unwrap_or(0))
    }
    /// The year.
    #[must_use]
    pub fn year(self) -> i32 {
        self.ymd().0
    }
    /// The month, 1-12.
    #[must_use]
    pub fn month(self) -> u32 {
        self.ymd().1
    }
    /// The day of the month, 1-31.
    #[must_use]
    pub fn day(self) -> u32 {
        self.ymd().2
    }
    /// The day of the week.
    #[must_use]
    pub fn weekday(self) -> Weekday {
        let from_monday = usize::try_from((self.0 + 3).rem_euclid(7)).unwrap_or(0);
        Weekday::ALL[from_monday]
    }
    /// The day `days` later (earlier when negative).
    #[must_use]
    pub fn add_days(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }
    /// The same day of the month `months` later; the last of the month where it has no such day.
    #[must_use]
    pub fn add_months(self, months: u32) -> Self {
        let (year, month, day) = self.ymd();
        let ahead = i64::from(year) * 12 + i64::from(month) - 1 + i64::from(months);
        let (year, month) = (ahead.div_euclid(12), ahead.rem_euclid(12) + 1);
        let (year, month) = (i32::try_from(year).unwrap_or(i32::MAX), u32::try_from(month).unwrap_or(1));
        let last = Self::from_ymd(9999, 12, 31).unwrap_or(self);
        Self::from_ymd(year, month, day.min(days_in_month(year, month))).unwrap_or(last)
    }
    /// Days from this day to `later`.
    #[must_use]
    pub fn days_until(self, later: BusinessDate) -> i32 {
        later.0 - self.0
    }
    /// Whole years from this day to `later`: an age.
    #[must_use]
    pub fn years_until(self, later: BusinessDate) -> i32 {
        let ((y0, m0, d0), (y1, m1, d1)) = (self.ymd(), later.ymd());
        y1 - y0 - i32::from((m1, d1) < (m0, d0))
    }
}

impl FromStr for BusinessDate {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("date", "must be written YYYY-MM-DD");
        let b = text.as_bytes();
        let shaped = b.len() == 10 && b[4] == b'-' && b[7] == b'-';
        let digits = b.iter().enumerate().all(|(i, c)| i == 4 || i == 7 || c.is_ascii_digit());
        if !shaped || !digits {
            return Err(bad());
        }
        let part = |r: std::ops::Range<usize>| text[r].parse::<u32>().map_err(|_| bad());
        let year = i32::try_from(part(0..4)?).map_err(|_| bad())?;
        Self::from_ymd(year, part(5..7)?, part(8..10)?)
    }
}
impl fmt::Display for BusinessDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (y, m, d) = self.ymd();
        write!(f, "{y:04}-{m:02}-{d:02}")
    }
}
impl fmt::Debug for BusinessDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
crate::text_serde!(BusinessDate);
