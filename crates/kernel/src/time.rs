//! Instants, and the bank's time zone.

use std::fmt;
use std::str::FromStr;

use crate::Invalid;
use crate::date::BusinessDate;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// The distance of a time zone without summer time from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UtcOffset {
    minutes: i32,
}

impl UtcOffset {
    /// Korea: nine hours ahead, no summer time.
    pub const SEOUL: UtcOffset = UtcOffset { minutes: 540 };
    /// UTC.
    pub const UTC: UtcOffset = UtcOffset { minutes: 0 };
    /// That many minutes ahead of UTC.
    #[must_use]
    pub const fn from_minutes(minutes: i32) -> Self {
        Self { minutes }
    }
    fn micros(self) -> i64 {
        i64::from(self.minutes) * 60_000_000
    }
}

impl Timestamp {
    /// The instant that many microseconds after 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }
    /// Microseconds since 1970.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }
    /// The calendar day at that distance from UTC.
    #[must_use]
    pub fn business_date(self, offset: UtcOffset) -> BusinessDate {
        let days = (self.0 + offset.micros()).div_euclid(MICROS_PER_DAY);
        BusinessDate::from_days(i32::try_from(days).unwrap_or(i32::MAX))
    }
    /// When that calendar day begins there.
    #[must_use]
    pub fn start_of(date: BusinessDate, offset: UtcOffset) -> Timestamp {
        Self(i64::from(date.days()) * MICROS_PER_DAY - offset.micros())
    }
    /// When the next calendar day begins there.
    #[must_use]
    pub fn next_midnight(self, offset: UtcOffset) -> Timestamp {
        Self::start_of(self.business_date(offset).add_days(1), offset)
    }
    /// That many microseconds later.
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Timestamp {
        Self(self.0.saturating_add(micros))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.business_date(UtcOffset::UTC);
        let micros = self.0.rem_euclid(MICROS_PER_DAY);
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let (h, m, s) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(f, "{date}T{h:02}:{m:02}:{s:02}.{fraction:06}Z")
    }
}
impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = Invalid;
    /// RFC 3339 with `Z` or an offset; up to six digits of a second.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("instant", "must be written like 2026-01-01T00:00:00+09:00");
        if !text.is_ascii() || text.len() < 20 || !matches!(text.as_bytes()[10], b'T' | b't') {
            return Err(bad());
        }
        let date: BusinessDate = text[..10].parse()?;
        let number = |s: &str, max: i64| match s.parse::<u32>() {
            Ok(n) if s.len() == 2 && s.as_bytes()[0] != b'+' && i64::from(n) <= max => Ok(i64::from(n)),
            _ => Err(bad()),
        };
        let clock = &text[11..];
        if clock.as_bytes()[2] != b':' || clock.as_bytes()[5] != b':' {
            return Err(bad());
        }
        let seconds = number(&clock[..2], 23)? * 3_600 + number(&clock[3..5], 59)? * 60 + number(&clock[6..8], 59)?;
        let rest = &clock[8..];
        let zone_at = rest.find(['Z', 'z', '+', '-']).ok_or_else(bad)?;
        let (fraction, zone) = rest.split_at(zone_at);
        let micros = match fraction.strip_prefix('.') {
            None if fraction.is_empty() => 0,
            Some(d) if (1..=6).contains(&d.len()) && d.bytes().all(|b| b.is_ascii_digit()) => {
                format!("{d:0<6}").parse::<i64>().map_err(|_| bad())?
            }
            _ => return Err(bad()),
        };
        let offset = match zone.as_bytes() {
            [b'Z' | b'z'] => 0,
            [sign, _, _, b':', _, _] => {
                let minutes = number(&zone[1..3], 23)? * 60 + number(&zone[4..6], 59)?;
                if *sign == b'-' { -minutes } else { minutes }
            }
            _ => return Err(bad()),
        };
        let day = i64::from(date.days()) * MICROS_PER_DAY;
        Ok(Self(day + seconds * 1_000_000 + micros - offset * 60_000_000))
    }
}
crate::text_serde!(Timestamp);
