//! The bank's side of foreign exchange, by the position-account method: an account in each foreign currency says what the
//! bank has more of it than it owes, and one in won what that stands in the books for. Each currency balances in itself.
//!
//! | | foreign currency | won |
//! |---|---|---|
//! | the customer buys | Dr position, Cr clearing | Dr clearing, Cr counter-value at the base price, Cr trading profit |
//! | the customer sells | Dr clearing, Cr position | Dr counter-value at the base price, Cr clearing, Cr trading profit |
//! | revaluation | | Dr counter-value, Cr revaluation; a loss the other way round |
//!
//! gain = position x closing rate - counter-value. What a position is worth is an exact fraction, rounded once to the won,
//! halves away from zero: an income's sign must not depend on the side on which the bank stands.

use jangbu_kernel::money::Currency;
use jangbu_kernel::rate::Rate;
use jangbu_kernel::ratio::Ratio;
use jangbu_kernel::round::Rounding;

use super::chart::{EXCHANGE_CLEARING, FX_COUNTER_VALUE, FX_POSITION, FX_REVALUATION, FX_TRADING, Side};
use super::journal::{Line, Lines};

/// Digits after the point of an average rate.
const AVERAGE_DIGITS: u32 = 4;

/// A price: won for so many units of a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// Won.
    pub rate: Rate,
    /// For so many units.
    pub unit: i64,
}

/// Won for one minor unit.
fn won_per_minor(currency: Currency, price: Price) -> Option<Ratio> {
    let minor = 10i64.checked_pow(u32::from(currency.exponent()))?;
    price.rate.as_ratio().checked_div(Ratio::whole(price.unit.checked_mul(minor)?))
}

/// What so many minor units are worth, in won; none when that can't be held.
#[must_use]
pub fn worth(minor: i64, currency: Currency, price: Price) -> Option<i64> {
    let exact = Ratio::whole(minor).checked_mul(won_per_minor(currency, price)?)?;
    i64::try_from(exact.round(Rounding::HalfUp)).ok()
}

/// What a position cost on average, won for `unit` units; none without a position.
#[must_use]
pub fn average_rate(position: i64, value: i64, currency: Currency, unit: i64) -> Option<Rate> {
    let minor = 10i64.checked_pow(u32::from(currency.exponent()))?;
    let per_minor = Ratio::whole(value).checked_div(Ratio::whole(position))?;
    let per_unit = per_minor.checked_mul(Ratio::whole(unit.checked_mul(minor)?))?;
    let scaled = per_unit.checked_mul(Ratio::whole(10i64.pow(AVERAGE_DIGITS)))?.round(Rounding::HalfUp);
    Rate::new(i64::try_from(scaled).ok()?, AVERAGE_DIGITS).ok()
}

/// An exchange that succeeded, as it was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Whether the customer bought foreign money.
    pub buys: bool,
    /// The foreign currency.
    pub currency: Currency,
    /// Foreign money, minor units.
    pub foreign: i64,
    /// Won.
    pub won: i64,
    /// The base price. Where none was told all of the won is counter-value, and the margin shows in the next revaluation.
    pub base: Option<Price>,
}

/// What an exchange moves, and its two journals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booked {
    /// Change of the position, minor units.
    pub position: i64,
    /// Change of its counter-value, won.
    pub value: i64,
    /// Trading profit, won.
    pub trading: i64,
    /// The journal in won.
    pub in_won: Lines,
    /// The journal in the currency.
    pub in_foreign: Lines,
}

impl Trade {
    /// Books it; none when an amount is not positive or can't be held.
    #[must_use]
    pub fn book(&self) -> Option<Booked> {
        let Trade { buys, currency, foreign, won, base } = *self;
        if foreign <= 0 || won <= 0 {
            return None;
        }
        let base = base.map_or(Some(won), |price| worth(foreign, currency, price))?;
        let (position, value, trading) =
            if buys { (-foreign, -base, won.checked_sub(base)?) } else { (foreign, base, base.checked_sub(won)?) };
        let (in_won, in_foreign) = journals(buys, won, [position, value, trading]);
        Some(Booked { position, value, trading, in_won, in_foreign })
    }
}

/// The journals of an exchange, in won and in the currency, by what it moved: position, counter-value, trading profit.
#[must_use]
pub fn journals(buys: bool, won: i64, [position, value, trading]: [i64; 3]) -> (Lines, Lines) {
    // What clearing holds since the legs were made, moved out of it.
    let clearing = if buys { won } else { -won };
    let in_won = lines(&[(EXCHANGE_CLEARING, clearing), (FX_COUNTER_VALUE, value), (FX_TRADING, -trading)]);
    (in_won, lines(&[(EXCHANGE_CLEARING, position), (FX_POSITION, -position)]))
}

/// Lines of debits, where positive, and credits; what is nothing has no line.
fn lines(moved: &[(super::chart::Code, i64)]) -> Lines {
    let line = |(code, amount): &(super::chart::Code, i64)| {
        let side = if *amount > 0 { Side::Debit } else { Side::Credit };
        (*amount != 0).then(|| Line { code: *code, side, amount: amount.abs() })
    };
    moved.iter().filter_map(line).collect()
}

/// What a position gains at a closing rate over what it stands in the books for, won; none when that can't be held.
#[must_use]
pub fn gain(position: i64, value: i64, currency: Currency, closing: Price) -> Option<i64> {
    worth(position, currency, closing)?.checked_sub(value)
}

/// The journal of a revaluation; none where nothing was gained or lost.
#[must_use]
pub fn revaluation(gain: i64) -> Option<Lines> {
    let lines = lines(&[(FX_COUNTER_VALUE, gain), (FX_REVALUATION, gain.checked_neg()?)]);
    (!lines.is_empty()).then_some(lines)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::domain::journal::{check, pack};

    fn price(rate: &str, unit: i64) -> Price {
        Price { rate: rate.parse().unwrap(), unit }
    }

    fn trade(text: &str) -> Trade {
        let w: Vec<&str> = text.split_whitespace().collect();
        let (currency, unit) = (w[1].parse().unwrap(), if w[1] == "JPY" { 100 } else { 1 });
        let base = (w[4] != "-").then(|| price(w[4], unit));
        Trade { buys: w[0] == "buy", currency, foreign: w[2].parse().unwrap(), won: w[3].parse().unwrap(), base }
    }

    #[test]
    fn trades_are_booked_at_the_base_price() {
        for (text, moved, in_won, in_foreign) in [
            // A customer buys 1,000.00 dollars at 1,340.00: the bank is short of them, against 1,340,000 won.
            (
                "buy USD 100000 1340000 1340.00",
                (-100_000, -1_340_000, 0),
                "1510D1340000 1520C1340000",
                "1510C100000 2510D100000",
            ),
            (
                "sell USD 100000 1340000 1340.00",
                (100_000, 1_340_000, 0),
                "1510C1340000 1520D1340000",
                "1510D100000 2510C100000",
            ),
            (
                "buy USD 50000 644390 1266.62",
                (-50_000, -633_310, 11_080),
                "1510D644390 1520C633310 4510C11080",
                "1510C50000 2510D50000",
            ),
            (
                "sell USD 50000 622230 1266.62",
                (50_000, 633_310, 11_080),
                "1510C622230 1520D633310 4510C11080",
                "1510D50000 2510C50000",
            ),
            // A hundred yen at 905.17, and one: below half a won nothing stands for it.
            ("buy JPY 100 906 905.17", (-100, -905, 1), "1510D906 1520C905 4510C1", "1510C100 2510D100"),
            ("buy JPY 1 1 0.49", (-1, 0, 1), "1510D1 4510C1", "1510C1 2510D1"),
            // A loss of trading, and a base price that was not told.
            (
                "buy USD 100000 1339999 1340.00",
                (-100_000, -1_340_000, -1),
                "1510D1339999 1520C1340000 4510D1",
                "1510C100000 2510D100000",
            ),
            (
                "sell USD 100000 1330000 -",
                (100_000, 1_330_000, 0),
                "1510C1330000 1520D1330000",
                "1510D100000 2510C100000",
            ),
        ] {
            let booked = trade(text).book().unwrap();
            assert_eq!((booked.position, booked.value, booked.trading), moved, "{text}");
            assert_eq!(
                (pack(&booked.in_won).as_str(), pack(&booked.in_foreign).as_str()),
                (in_won, in_foreign),
                "{text}"
            );
        }
        for text in ["buy USD 0 1 1340", "buy USD 1 0 1340", "sell USD -1 5 1340"] {
            assert_eq!(trade(text).book(), None, "{text}");
        }
    }

    #[test]
    fn a_position_gains_what_it_is_worth_more_than_it_stands_for() {
        for (position, value, currency, closing, unit, expected, journal) in [
            // Short of a thousand dollars sold at 1,340: at 1,350 that is a loss of 10,000.
            (-100_000, -1_340_000, "USD", "1350.00", 1, -10_000, "1520C10000 4520D10000"),
            (-100_000, -1_340_000, "USD", "1330.00", 1, 10_000, "1520D10000 4520C10000"),
            (100_000, 1_340_000, "USD", "1350.00", 1, 10_000, "1520D10000 4520C10000"),
            (-100_000, -1_340_000, "USD", "1340.00", 1, 0, ""),
            (0, 37, "USD", "1340.00", 1, -37, "1520C37 4520D37"),
            (5_000, 45_000, "JPY", "905.17", 100, 259, "1520D259 4520C259"),
            // 0.5 won, away from zero whichever way: long and short are mirrors.
            (1, 0, "JPY", "50.00", 100, 1, "1520D1 4520C1"),
            (-1, 0, "JPY", "50.00", 100, -1, "1520C1 4520D1"),
        ] {
            let found = gain(position, value, currency.parse().unwrap(), price(closing, unit));
            assert_eq!(found, Some(expected), "{position} {value} {currency} {closing}");
            assert_eq!(revaluation(expected).map(|lines| pack(&lines)).unwrap_or_default(), journal);
        }
    }

    #[test]
    fn an_average_is_what_was_paid_for_a_unit() {
        for (position, value, currency, unit, expected) in [
            (-100_000, -1_340_000, "USD", 1, Some("1340.0000")),
            (3, 40, "USD", 1, Some("1333.3333")),
            (5_000, 45_259, "JPY", 100, Some("905.1800")),
            (0, 5, "USD", 1, None),
        ] {
            let found = average_rate(position, value, currency.parse().unwrap(), unit).map(|rate| rate.to_string());
            assert_eq!(found.as_deref(), expected, "{position} {value}");
        }
    }

    proptest! {
        #[test]
        fn journals_balance_and_sum_to_what_is_moved(
            buys: bool, foreign in 1..=1_000_000_000_000_000i64, won in 1..=1_000_000_000_000_000i64, mid in 1..=100_000_000i64,
            closing in 1..=100_000_000i64,
        ) {
            let base = Some(Price { rate: Rate::new(mid, 2).unwrap(), unit: 1 });
            let trade = Trade { buys, currency: Currency::USD, foreign, won, base };
            let Some(booked) = trade.book() else { return Ok(()) };
            prop_assert_eq!(check(&booked.in_won), Ok(()));
            prop_assert_eq!(check(&booked.in_foreign), Ok(()));
            // The won that came in is what the position stands for and the profit.
            let won = if buys { won } else { -won };
            prop_assert_eq!(won, booked.trading - booked.value);
            let closing = Price { rate: Rate::new(closing, 2).unwrap(), unit: 1 };
            if let Some(gained) = gain(booked.position, booked.value, Currency::USD, closing) {
                prop_assert!(revaluation(gained).is_none_or(|lines| check(&lines).is_ok()));
                // Valued once, there is nothing left to gain at the same rate.
                prop_assert_eq!(gain(booked.position, booked.value + gained, Currency::USD, closing), Some(0));
            }
        }
    }
}
