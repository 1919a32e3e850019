//! Text for pages, escaped.

use std::fmt;

use jangbu_kernel::time::{Timestamp, UtcOffset};

/// Text as HTML shows it, in elements and in quoted attributes.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            f.write_str(&rest[..at])?;
            f.write_str(match rest.as_bytes()[at] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                _ => "&#39;",
            })?;
            rest = &rest[at + 1..];
        }
        f.write_str(rest)
    }
}

/// The time of day in the bank's zone.
#[must_use]
pub fn time_of_day(at: Timestamp, offset: UtcOffset) -> String {
    let since = at.micros() - Timestamp::start_of(at.business_date(offset), offset).micros();
    let seconds = since / 1_000_000;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nothing_in_a_text_becomes_markup() {
        assert_eq!(Escaped("a<b & \"c\" 'd'>ü").to_string(), "a&lt;b &amp; &quot;c&quot; &#39;d&#39;&gt;ü");
    }

    #[test]
    fn a_time_is_the_banks() {
        let noon: Timestamp = "2026-01-01T12:34:56.9+09:00".parse().unwrap();
        assert_eq!(time_of_day(noon, UtcOffset::SEOUL), "12:34:56");
    }
}
