//! Prices of currencies in won, and what an amount comes to at one.
//!
//! A price is quoted for a unit of the currency, 1 or 100, in hundredths of a won, and is never divided by the unit
//! before it is used: an amount is worked out as an exact fraction and rounded once.

use std::fmt;
use std::str::FromStr;

use jangbu_kernel::Invalid;
use jangbu_kernel::defect::planted;
use jangbu_kernel::money::{AMOUNT_MAX, Currency};
use jangbu_kernel::ratio::Ratio;
use jangbu_kernel::round::Rounding;

/// Highest price, hundredths of a won: a million won for a unit.
pub const PRICE_MAX: i64 = 100_000_000;
/// All of a spread, in basis points.
pub const DISCOUNT_BP_MAX: u32 = 10_000;

/// Won for a unit of a currency, in hundredths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(i64);

impl Price {
    /// That many hundredths of a won.
    ///
    /// # Errors
    /// It is not above zero, or above [`PRICE_MAX`].
    pub fn from_hundredths(hundredths: i64) -> Result<Price, Invalid> {
        if (1..=PRICE_MAX).contains(&hundredths) {
            return Ok(Price(hundredths));
        }
        Err(Invalid::new("price", format!("must be from 0.01 to {} won", PRICE_MAX / 100)))
    }
    /// Hundredths of a won.
    #[must_use]
    pub fn hundredths(self) -> i64 {
        self.0
    }
}

impl FromStr for Price {
    type Err = Invalid;
    /// A decimal number with at most two digits after the point, as boards are published.
    fn from_str(text: &str) -> Result<Price, Invalid> {
        let bad = || Invalid::new("price", "must be won with at most two digits after the point, like 1340.25");
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let plain = |s: &str| !s.is_empty() && s.len() <= 9 && s.bytes().all(|b| b.is_ascii_digit());
        if !plain(whole) || !plain(fraction) || fraction.len() > 2 {
            return Err(bad());
        }
        let number: i64 = format!("{whole}{fraction:0<2}").parse().map_err(|_| bad())?;
        Price::from_hundredths(number)
    }
}
impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}
impl fmt::Debug for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the customer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Buys foreign money for won.
    Buy,
    /// Sells foreign money for won.
    Sell,
}

/// The amount that the customer names, minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Won.
    Won(i64),
    /// Foreign money.
    Foreign(i64),
}

/// What is exchanged, in minor units of both currencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amounts {
    /// Foreign money.
    pub foreign: i64,
    /// Won.
    pub won: i64,
}

/// Why an amount can't be exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAmount {
    /// It comes to less than one minor unit of the other currency.
    TooSmall,
    /// It comes to more than one posting carries.
    TooLarge,
}

/// A price and the unit that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// The currency.
    pub currency: Currency,
    /// How many of its major units the price is for.
    pub unit: i64,
    /// Won for the unit.
    pub price: Price,
}

impl Quoted {
    /// Won for one minor unit of the currency.
    fn won_per_minor(self) -> Option<Ratio> {
        let minors = i128::from(self.unit).checked_mul(10i128.checked_pow(u32::from(self.currency.exponent()))?)?;
        Ratio::new(i128::from(self.price.0), minors.checked_mul(100)?)
    }

    /// What a named amount comes to. The named amount itself is never changed; the other is rounded so that the bank
    /// sells for no less than the price and buys for no more, and what is below a unit stays with it:
    ///
    /// | the customer | names won | names foreign money |
    /// |---|---|---|
    /// | buys | foreign money down | won up |
    /// | sells | foreign money up | won down |
    ///
    /// # Errors
    /// One of the two amounts can't be posted.
    pub fn amounts(self, side: Side, named: Named) -> Result<Amounts, NoAmount> {
        let won_per_minor = self.won_per_minor().ok_or(NoAmount::TooLarge)?;
        let rounding = match (side, named) {
            (Side::Sell, Named::Foreign(_)) if planted("sells-rounded-up") => Rounding::Up,
            (Side::Buy, Named::Won(_)) | (Side::Sell, Named::Foreign(_)) => Rounding::Down,
            (Side::Buy, Named::Foreign(_)) | (Side::Sell, Named::Won(_)) => Rounding::Up,
        };
        let other = match named {
            Named::Won(won) => Ratio::whole(won).checked_div(won_per_minor),
            Named::Foreign(foreign) => Ratio::whole(foreign).checked_mul(won_per_minor),
        };
        let other = other.ok_or(NoAmount::TooLarge)?.round(rounding);
        let other = i64::try_from(other).map_err(|_| NoAmount::TooLarge)?;
        let amounts = match named {
            Named::Won(won) => Amounts { foreign: other, won },
            Named::Foreign(foreign) => Amounts { foreign, won: other },
        };
        match (amounts.foreign.min(amounts.won), amounts.foreign.max(amounts.won)) {
            (..=0, _) => Err(NoAmount::TooSmall),
            (_, most) if most > AMOUNT_MAX => Err(NoAmount::TooLarge),
            _ => Ok(amounts),
        }
    }
}

/// The part of a spread that a customer pays, hundredths of a won: what is left after his discount, truncated. The
/// published boards follow from truncating the spread's amount, not the price (domain facts: exchange, quotation).
#[must_use]
pub fn spread_left(spread: i64, discount_bp: u32) -> i64 {
    let left = i128::from(DISCOUNT_BP_MAX.saturating_sub(discount_bp));
    let half = if planted("spread-rounded") { i128::from(DISCOUNT_BP_MAX) / 2 } else { 0 };
    i64::try_from((i128::from(spread) * left + half) / i128::from(DISCOUNT_BP_MAX)).unwrap_or(spread)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn amounts(side: Side, named: Named, currency: &str, unit: i64, price: &str) -> Result<(i64, i64), NoAmount> {
        let quoted = Quoted { currency: currency.parse().unwrap(), unit, price: price.parse().unwrap() };
        quoted.amounts(side, named).map(|a| (a.foreign, a.won))
    }

    #[test]
    fn prices_are_read_and_written_as_boards_write_them() {
        for (text, written) in [("1266.62", "1266.62"), ("905", "905.00"), ("0.5", "0.50"), ("1000000", "1000000.00")] {
            assert_eq!(text.parse::<Price>().unwrap().to_string(), written);
        }
        for bad in ["", "0", "0.00", "1.234", "-1", "+1", "1.", ".5", "1,000", "1e3", "1000000.01", "9999999999"] {
            assert!(bad.parse::<Price>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_amount_that_is_not_named_is_rounded_once_and_for_the_bank() {
        use Named::{Foreign, Won};
        use Side::{Buy, Sell};
        for (side, named, currency, unit, price, expected) in [
            // A thousand dollars at 1,340.00, both ways and named either way.
            (Buy, Foreign(100_000), "USD", 1, "1340.00", (100_000, 1_340_000)),
            (Buy, Won(1_340_000), "USD", 1, "1340.00", (100_000, 1_340_000)),
            (Sell, Foreign(100_000), "USD", 1, "1340.00", (100_000, 1_340_000)),
            // 100,000 won / 1,288.78 = 77.5927 dollars.
            (Buy, Won(100_000), "USD", 1, "1288.78", (7_759, 100_000)),
            (Sell, Won(100_000), "USD", 1, "1288.78", (7_760, 100_000)),
            // One cent costs 13.4 won: 14 to buy, 13 when sold.
            (Buy, Foreign(1), "USD", 1, "1340.00", (1, 14)),
            (Sell, Foreign(1), "USD", 1, "1340.00", (1, 13)),
            // Yen have no minor unit, and are quoted by the hundred.
            (Buy, Foreign(100), "JPY", 100, "905.17", (100, 906)),
            (Sell, Foreign(100), "JPY", 100, "905.17", (100, 905)),
            (Buy, Won(1_000), "JPY", 100, "905.17", (110, 1_000)),
            (Buy, Won(10), "JPY", 100, "905.17", (1, 10)),
            // Dong by the hundred, and rupiah with their two digits.
            (Buy, Foreign(1_000_000), "VND", 100, "5.27", (1_000_000, 52_700)),
            (Buy, Foreign(100_000_000), "IDR", 100, "8.61", (100_000_000, 86_100)),
        ] {
            assert_eq!(amounts(side, named, currency, unit, price), Ok(expected), "{side:?} {named:?} {currency}");
        }
    }

    #[test]
    fn what_is_below_a_unit_or_above_a_posting_is_no_amount() {
        use Named::{Foreign, Won};
        for (side, named, currency, price, expected) in [
            (Side::Buy, Won(13), "USD", "1340.00", NoAmount::TooSmall),
            (Side::Sell, Foreign(1), "USD", "99.99", NoAmount::TooSmall),
            (Side::Buy, Won(9), "JPY", "905.17", NoAmount::TooSmall),
            (Side::Buy, Foreign(AMOUNT_MAX), "USD", "1340.00", NoAmount::TooLarge),
            (Side::Sell, Won(AMOUNT_MAX), "USD", "0.01", NoAmount::TooLarge),
        ] {
            let unit = if currency == "JPY" { 100 } else { 1 };
            assert_eq!(amounts(side, named, currency, unit, price), Err(expected), "{side:?} {named:?} {currency}");
        }
    }

    #[test]
    fn a_discount_leaves_the_truncated_rest_of_the_spread() {
        for (spread, discount, left) in
            [(2_216, 0, 2_216), (2_216, 5_000, 1_108), (2_217, 5_000, 1_108), (2_216, 9_000, 221), (2_216, 10_000, 0)]
        {
            assert_eq!(spread_left(spread, discount), left, "{spread} at {discount}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_bank_never_loses_by_rounding(price in 1..=PRICE_MAX, won in 1..=AMOUNT_MAX, foreign in 1..=AMOUNT_MAX, which in 0..4u8) {
            let quoted = Quoted { currency: Currency::USD, unit: 1, price: Price(price) };
            let side = if which & 1 == 0 { Side::Buy } else { Side::Sell };
            let named = if which & 2 == 0 { Named::Won(won) } else { Named::Foreign(foreign) };
            if let Ok(a) = quoted.amounts(side, named) {
                // won / foreign against price / 10,000, multiplied out.
                let (paid, due) = (i128::from(a.won) * 10_000, i128::from(a.foreign) * i128::from(price));
                proptest::prop_assert!(if side == Side::Buy { paid >= due } else { paid <= due }, "{:?}", a);
                // And by less than one unit of what was rounded.
                let slack = match named { Named::Won(_) => i128::from(price), Named::Foreign(_) => 10_000 };
                proptest::prop_assert!((paid - due).abs() < slack, "{:?}", a);
            }
        }
    }
}
