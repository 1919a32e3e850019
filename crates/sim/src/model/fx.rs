//! Foreign exchange as it should be: prices, amounts, limits and the ways of an exchange, in whole numbers, from the
//! domain facts (section 3) and docs/exchange.md.

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::money::Currency;
use jangbu_kernel::rate::Rate;
use jangbu_kernel::time::{Timestamp, UtcOffset};

/// Won that a customer may exchange from nine to nine, and in a month of such days.
pub const DAY_MAX: i64 = 10_000_000;
/// The same for a month.
pub const MONTH_MAX: i64 = 100_000_000;
/// How long a quote may be used, microseconds.
pub const QUOTE_US: i64 = 60_000_000;
/// How long a board is good, microseconds.
pub const BOARD_US: i64 = 86_400_000_000;
/// The hour at which limits begin anew, microseconds after midnight.
const NINE_US: i64 = 9 * 3_600_000_000;
/// Greatest amount of one posting, minor units.
const POSTING_MAX: i128 = 1_000_000_000_000_000;

/// Prices of a currency: hundredths of a won for `unit` of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// 1 or 100.
    pub unit: i64,
    /// The base price.
    pub mid: i64,
    /// For those who buy.
    pub tts: i64,
    /// For those who sell.
    pub ttb: i64,
}

impl Line {
    /// A customer's price: of the published spread a part of `discount_bp` is left out, and what is left is truncated.
    #[must_use]
    pub fn price(&self, buys: bool, discount_bp: i64) -> i64 {
        if buys {
            self.mid + (self.tts - self.mid) * (10_000 - discount_bp) / 10_000
        } else {
            self.mid - (self.mid - self.ttb) * (10_000 - discount_bp) / 10_000
        }
    }

    /// Whether one of the prices moves by more than a tenth of what it was before.
    #[must_use]
    pub fn jumps_from(&self, before: &Line) -> bool {
        let far = |was: i64, is: i64| (is - was).abs() * 10 > was;
        far(before.mid, self.mid) || far(before.tts, self.tts) || far(before.ttb, self.ttb)
    }
}

/// A decimal number as hundredths; none when it has further digits.
#[must_use]
pub fn hundredths(rate: Rate) -> Option<i64> {
    parts(rate, 100)
}

/// A share as basis points.
#[must_use]
pub fn basis_points(rate: Rate) -> Option<i64> {
    parts(rate, 10_000)
}

fn parts(rate: Rate, of: i128) -> Option<i64> {
    let ratio = rate.as_ratio();
    let all = ratio.num() * of;
    (all % ratio.den() == 0).then(|| i64::try_from(all / ratio.den()).ok()).flatten()
}

/// Foreign money and won of an exchange, minor units. The named amount stays; the other is rounded for the bank.
///
/// # Errors
/// The code of why it can't be exchanged.
pub fn amounts(
    buys: bool,
    named_won: bool,
    amount: i64,
    (currency, unit, price): (Currency, i64, i64),
) -> Result<(i64, i64), &'static str> {
    let minors = i128::from(unit) * 10i128.pow(u32::from(currency.exponent()));
    let (amount, price) = (i128::from(amount), i128::from(price));
    // So many minor units cost price / 100 won.
    let (over, under) = if named_won { (amount * minors * 100, price) } else { (amount * price, minors * 100) };
    // Whoever buys for won, and whoever sells foreign money, is given what is below a unit less; else he pays it more.
    let down = buys == named_won;
    let other = if down { over / under } else { (over + under - 1) / under };
    let (foreign, won) = if named_won { (other, amount) } else { (amount, other) };
    if foreign < 1 || won < 1 {
        return Err("AMOUNT_TOO_SMALL");
    }
    if foreign > POSTING_MAX || won > POSTING_MAX {
        return Err("INVALID_AMOUNT");
    }
    Ok((i64::try_from(foreign).unwrap_or(0), i64::try_from(won).unwrap_or(0)))
}

/// What foreign money is worth at a price, to the nearest won; a half counts as one.
#[must_use]
pub fn worth(foreign: i64, (currency, unit, price): (Currency, i64, i64)) -> i128 {
    let under = i128::from(unit) * 10i128.pow(u32::from(currency.exponent())) * 100;
    (2 * i128::from(foreign) * i128::from(price) + under) / (2 * under)
}

/// The day to whose limit something counts: from nine to nine.
#[must_use]
pub fn limit_day(at: Timestamp) -> BusinessDate {
    at.plus_micros(-NINE_US).business_date(UtcOffset::SEOUL)
}

/// The month to whose limit something counts: from nine on the first.
#[must_use]
pub fn limit_month(at: Timestamp) -> (i32, u32) {
    let day = limit_day(at);
    (day.year(), day.month())
}

/// When the limit's day of an instant ends, and its month.
#[must_use]
pub fn limits_end(at: Timestamp) -> [Timestamp; 2] {
    let (day, month) = (limit_day(at), limit_month(at));
    let mut next = day;
    while (next.year(), next.month()) == month {
        next = next.add_days(1);
    }
    [day.add_days(1), next].map(|day| Timestamp::start_of(day, UtcOffset::SEOUL).plus_micros(NINE_US))
}

/// Whether an exchange may go from one state to the other.
#[must_use]
pub fn leads(from: &str, to: &str) -> bool {
    const WAYS: [(&str, &[&str]); 5] = [
        ("STARTED", &["WITHDRAW_SUCCEEDED", "WITHDRAW_RESULT_CHECK_NEEDED", "EXCHANGE_FAILED"]),
        ("WITHDRAW_RESULT_CHECK_NEEDED", &["WITHDRAW_SUCCEEDED", "EXCHANGE_FAILED"]),
        ("WITHDRAW_SUCCEEDED", &["EXCHANGE_SUCCEEDED", "DEPOSIT_RESULT_CHECK_NEEDED", "WITHDRAW_CANCEL_NEEDED"]),
        ("DEPOSIT_RESULT_CHECK_NEEDED", &["EXCHANGE_SUCCEEDED", "WITHDRAW_CANCEL_NEEDED"]),
        ("WITHDRAW_CANCEL_NEEDED", &["EXCHANGE_FAILED"]),
    ];
    WAYS.iter().any(|(state, ways)| *state == from && ways.contains(&to))
}

/// Whether a state stays.
#[must_use]
pub fn is_decided(state: &str) -> bool {
    matches!(state, "EXCHANGE_SUCCEEDED" | "EXCHANGE_FAILED")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn published_prices_come_out() {
        // A base of 1,266.62 and 1.75 %: 22.16585 is truncated.
        let line = Line { unit: 1, mid: 126_662, tts: 128_878, ttb: 124_446 };
        for (bp, buys, sells) in [(0, 128_878, 124_446), (5_000, 127_770, 125_554), (10_000, 126_662, 126_662)] {
            assert_eq!((line.price(true, bp), line.price(false, bp)), (buys, sells), "{bp}");
        }
    }

    #[test]
    fn amounts_are_rounded_for_the_bank() {
        let dollar = (Currency::USD, 1, 134_000);
        for (buys, named_won, amount, expected) in [
            (true, true, 10_000, Ok((746, 10_000))),
            (true, false, 1_001, Ok((1_001, 13_414))),
            (false, true, 10_000, Ok((747, 10_000))),
            (false, false, 1_001, Ok((1_001, 13_413))),
            (true, true, 13, Err("AMOUNT_TOO_SMALL")),
        ] {
            assert_eq!(amounts(buys, named_won, amount, dollar), expected, "{buys} {named_won} {amount}");
        }
        assert_eq!(amounts(true, true, 1_000, (Currency::JPY, 100, 90_517)), Ok((110, 1_000)));
    }

    #[test]
    fn worth_is_rounded_to_the_nearest_won() {
        assert_eq!(worth(1_001, (Currency::USD, 1, 134_000)), 13_413);
        assert_eq!(worth(5, (Currency::USD, 1, 1_000)), 1, "a half");
        assert_eq!(worth(100, (Currency::JPY, 100, 90_549)), 905);
    }

    #[test]
    fn limits_begin_at_nine() {
        for (at, day, month, ends) in [
            ("2026-02-01T08:59:59+09:00", "2026-01-31", (2026, 1), ["2026-02-01", "2026-02-01"]),
            ("2026-02-01T09:00:00+09:00", "2026-02-01", (2026, 2), ["2026-02-02", "2026-03-01"]),
        ] {
            let at: Timestamp = at.parse().unwrap();
            assert_eq!((limit_day(at), limit_month(at)), (day.parse().unwrap(), month));
            assert_eq!(limits_end(at), ends.map(|day| format!("{day}T09:00:00+09:00").parse().unwrap()));
        }
    }
}
