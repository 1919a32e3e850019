//! The board: prices of all currencies at one moment, published by rounds.

use jangbu_kernel::money::Currency;
use jangbu_kernel::time::Timestamp;

use super::price::{Price, Quoted, Side, spread_left};

/// How far a price may move from one board to the next without a second person, in per cent.
pub const JUMP_PER_CENT_MAX: i128 = 10;
/// How long a board is good, in microseconds: a day. Then nothing is quoted until the next one.
pub const BOARD_US_MAX: i64 = 24 * 3_600 * 1_000_000;
/// Currencies of one board at most.
pub const LINES_MAX: usize = 100;

/// Currencies that are quoted for a hundred units, since one is worth so little.
const BY_THE_HUNDRED: [&str; 3] = ["JPY", "IDR", "VND"];

/// How many units of a currency its price is for.
#[must_use]
pub fn unit_of(currency: Currency) -> i64 {
    if BY_THE_HUNDRED.contains(&currency.code()) { 100 } else { 1 }
}

/// The prices of one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The currency.
    pub currency: Currency,
    /// How many units the prices are for.
    pub unit: i64,
    /// The base price.
    pub mid: Price,
    /// What customers pay who buy.
    pub tts: Price,
    /// What customers are paid who sell.
    pub ttb: Price,
}

impl Line {
    /// The price for a customer with a discount on the spread: the base price at 10,000 basis points.
    #[must_use]
    pub fn for_customer(&self, side: Side, discount_bp: u32) -> Quoted {
        let mid = self.mid.hundredths();
        let price = match side {
            Side::Buy => mid + spread_left(self.tts.hundredths() - mid, discount_bp),
            Side::Sell => mid - spread_left(mid - self.ttb.hundredths(), discount_bp),
        };
        // Between the base price and the published one, which are both in range.
        let price = Price::from_hundredths(price).unwrap_or(self.mid);
        Quoted { currency: self.currency, unit: self.unit, price }
    }
}

/// A board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// Grows by one with each board.
    pub number: i64,
    /// The how-manieth of its day, from 1.
    pub round: i64,
    /// When it was published.
    pub as_of: Timestamp,
    /// Its lines, by currency.
    pub lines: Vec<Line>,
}

impl Board {
    /// The line of a currency.
    #[must_use]
    pub fn line(&self, currency: Currency) -> Option<&Line> {
        self.lines.iter().find(|line| line.currency == currency)
    }
    /// Whether nothing may be quoted by it any more.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now >= self.as_of.plus_micros(BOARD_US_MAX)
    }
}

/// What is wrong with lines in themselves, each with the field that it is about.
#[must_use]
pub fn flaws(lines: &[Line]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if lines.is_empty() || lines.len() > LINES_MAX {
        found.push(("rates".into(), format!("a board has 1 to {LINES_MAX} currencies")));
    }
    for (at, line) in lines.iter().enumerate() {
        let mut flaw = |field: &str, why: String| found.push((format!("rates[{at}].{field}"), why));
        if line.currency == Currency::KRW {
            flaw("currency", "prices are in won; won itself has none".into());
        }
        if lines[..at].iter().any(|before| before.currency == line.currency) {
            flaw("currency", format!("{} comes twice", line.currency));
        }
        let unit = unit_of(line.currency);
        if line.unit != unit {
            flaw("unit", format!("{} is quoted for {unit}", line.currency));
        }
        if line.tts < line.mid {
            flaw("tts", "customers don't buy below the base price".into());
        }
        if line.ttb > line.mid {
            flaw("ttb", "customers don't sell above the base price".into());
        }
    }
    found
}

/// What a second person has to look at before a board follows another: prices that jump, currencies that are missing.
#[must_use]
pub fn doubts(before: &Board, lines: &[Line]) -> Vec<String> {
    let mut found = Vec::new();
    for old in &before.lines {
        let Some(new) = lines.iter().find(|line| line.currency == old.currency) else {
            found.push(format!("{} is missing", old.currency));
            continue;
        };
        for (name, was, is) in [("mid", old.mid, new.mid), ("tts", old.tts, new.tts), ("ttb", old.ttb, new.ttb)] {
            if jumps(was, is) {
                found.push(format!("{} {name} goes from {was} to {is}", old.currency));
            }
        }
    }
    found
}

fn jumps(was: Price, is: Price) -> bool {
    let (was, is) = (i128::from(was.hundredths()), i128::from(is.hundredths()));
    (is - was).abs() * 100 > was * JUMP_PER_CENT_MAX
}

/// At most `points` of the numbers from `first` to `last`, evenly spread, with both ends.
#[must_use]
pub fn spread(first: i64, last: i64, points: u32) -> Vec<i64> {
    let (span, gaps) = (i128::from(last) - i128::from(first), i128::from(points.max(2)) - 1);
    if span <= gaps {
        return (first..=last).collect();
    }
    let at = |n| first + i64::try_from(span * n / gaps).unwrap_or(0);
    (0..=gaps).map(at).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn lines(text: &str) -> Vec<Line> {
        let line = |l: &str| {
            let w: Vec<&str> = l.split_whitespace().collect();
            let price = |i: usize| w[i].parse().unwrap();
            let (currency, unit) = (w[0].parse().unwrap(), w[1].parse().unwrap());
            Line { currency, unit, mid: price(2), tts: price(3), ttb: price(4) }
        };
        text.split(',').filter(|l| !l.trim().is_empty()).map(line).collect()
    }

    fn board(text: &str) -> Board {
        Board { number: 1, round: 1, as_of: Timestamp::from_micros(0), lines: lines(text) }
    }

    #[test]
    fn a_customers_price_lies_between_base_and_board() {
        let board = board("USD 1 1266.62 1288.78 1244.46");
        for (discount_bp, buys, sells) in [
            (0, "1288.78", "1244.46"),
            (5_000, "1277.70", "1255.54"),
            (9_000, "1268.83", "1264.41"),
            (10_000, "1266.62", "1266.62"),
        ] {
            let price = |side| board.lines[0].for_customer(side, discount_bp).price.to_string();
            assert_eq!((price(Side::Buy), price(Side::Sell)), (buys.into(), sells.into()), "{discount_bp}");
        }
    }

    #[test]
    fn flaws_of_lines_are_told_with_their_fields() {
        for (text, expected) in [
            ("USD 1 1340 1350 1330, JPY 100 905.17 921 889.33", ""),
            ("", "rates"),
            ("USD 1 1340 1339.99 1330", "rates[0].tts"),
            ("USD 1 1340 1350 1340.01", "rates[0].ttb"),
            ("JPY 1 9.05 9.20 8.90", "rates[0].unit"),
            ("USD 100 1340 1350 1330", "rates[0].unit"),
            ("USD 1 1340 1350 1330, USD 1 1340 1350 1330", "rates[1].currency"),
            ("KRW 1 1 1 1", "rates[0].currency"),
        ] {
            let fields: Vec<String> = flaws(&lines(text)).into_iter().map(|(field, _)| field).collect();
            assert_eq!(fields.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn jumps_and_gaps_are_doubted() {
        let before = board("USD 1 1000 1010 990, JPY 100 900 909 891");
        for (text, expected) in [
            ("USD 1 1100 1111 1089, JPY 100 810 818.10 801.90", ""),
            ("USD 1 1100.01 1111 1089, JPY 100 900 909 891", "USD mid goes from 1000.00 to 1100.01"),
            ("USD 1 900 909 890.99, JPY 100 900 909 891", "USD ttb goes from 990.00 to 890.99"),
            ("USD 1 1000 1010 990", "JPY is missing"),
            ("USD 1 1000 1010 990, JPY 100 900 909 891, EUR 1 1500 1510 1490", ""),
        ] {
            // Exactly 10 % is no jump: 990 to 891, 1,010 to 909 and 900 to 810 are that.
            assert_eq!(doubts(&before, &lines(text)).join("; "), expected, "{text}");
        }
    }

    #[test]
    fn a_board_is_good_for_a_day() {
        let board = board("USD 1 1000 1010 990");
        assert!(!board.is_stale(Timestamp::from_micros(BOARD_US_MAX - 1)));
        assert!(board.is_stale(Timestamp::from_micros(BOARD_US_MAX)));
    }
}
