//! Text for pages: escaped, and numbers as people read them.

use std::fmt;

use jangbu_kernel::money::Currency;
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

/// A number with its digits in groups of three.
#[must_use]
pub fn grouped(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 + 3);
    if n < 0 {
        out.push('\u{2212}');
    }
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Minor units as the currency is written, without its name.
#[must_use]
pub fn money(minor: i64, currency: Currency) -> String {
    let unit = 10u64.pow(u32::from(currency.exponent()));
    let (whole, rest) = (minor.unsigned_abs() / unit, minor.unsigned_abs() % unit);
    let sign = if minor < 0 { "\u{2212}" } else { "" };
    let whole = grouped(i64::try_from(whole).unwrap_or(i64::MAX));
    match usize::from(currency.exponent()) {
        0 => format!("{sign}{whole}"),
        digits => format!("{sign}{whole}.{rest:0digits$}"),
    }
}

/// Minor units of an amount as people write it, with or without commas; none when it is no amount of the currency.
#[must_use]
pub fn minor(text: &str, currency: Currency) -> Option<i64> {
    let (text, digits) = (text.trim().replace(',', ""), usize::from(currency.exponent()));
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(rest) || rest.len() > digits || text.ends_with('.') {
        return None;
    }
    format!("{whole}{rest:0<digits$}").parse().ok()
}

/// An instant as the bank's zone has it: day and time.
#[must_use]
pub fn day_and_time(at: Timestamp, offset: UtcOffset) -> String {
    format!("{} {}", at.business_date(offset), time_of_day(at, offset))
}

/// An id by which a person can find it again and nobody else can: its prefix and its last four characters.
#[must_use]
pub fn masked(id: &str) -> String {
    let (prefix, rest) = id.split_once('_').unwrap_or(("", id));
    let tail: String = rest.chars().skip(rest.chars().count().saturating_sub(4)).collect();
    format!("{prefix}\u{2026}{tail}")
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
    fn numbers_are_grouped_and_money_has_its_digits() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (-1_234_567, "−1,234,567")] {
            assert_eq!(grouped(n), text);
        }
        for (minor, currency, text) in [
            (5_000_000, Currency::KRW, "5,000,000"),
            (5, Currency::USD, "0.05"),
            (-123_456, Currency::USD, "−1,234.56"),
            (i64::MIN, Currency::USD, "−92,233,720,368,547,758.08"),
        ] {
            assert_eq!(money(minor, currency), text);
        }
    }

    #[test]
    fn amounts_are_read_as_people_write_them() {
        for (text, currency, expected) in [
            ("1,234.5", Currency::USD, Some(123_450)),
            (" 0.05 ", Currency::USD, Some(5)),
            ("70000", Currency::KRW, Some(70_000)),
            ("1.5", Currency::KRW, None),
            ("1.234", Currency::USD, None),
            ("1.", Currency::USD, None),
            (".5", Currency::USD, None),
            ("-1", Currency::USD, None),
            ("1e3", Currency::KRW, None),
            ("99999999999999999999", Currency::KRW, None),
            ("", Currency::KRW, None),
        ] {
            assert_eq!(minor(text, currency), expected, "{text} {currency}");
        }
    }

    #[test]
    fn an_id_shows_its_end_only() {
        assert_eq!(masked("acc_01K9ZZZZZZZZZZZZZZZZZZ7Q2F"), "acc…7Q2F");
        assert_eq!(masked("cash"), "…cash");
        let noon: Timestamp = "2026-01-01T12:34:56.9+09:00".parse().unwrap();
        assert_eq!(time_of_day(noon, UtcOffset::SEOUL), "12:34:56");
    }
}
