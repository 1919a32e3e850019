//! A board made from reference rates against the euro, as the European Central Bank publishes them once a working day.
//!
//! A cross is an exact fraction: won for a euro divided by the currency for a euro, times the unit. It is rounded once,
//! to the nearest hundredth of a won, and is the mid price; the spread's amount is truncated, as published boards do.

use jangbu_kernel::money::Currency;
use jangbu_kernel::rate::Rate;
use jangbu_kernel::ratio::Ratio;
use jangbu_kernel::round::Rounding;

use super::board::{Line, unit_of};
use super::price::Price;

/// What was for one euro on a day.
pub type Reference = [(Currency, Rate)];

/// A line of a board for a price: `spread_bp` of it, truncated to hundredths of a won, is added and taken away.
///
/// None when a price would not be above zero.
#[must_use]
pub fn line(currency: Currency, mid: Price, spread_bp: u32) -> Option<Line> {
    let spread = i64::try_from(i128::from(mid.hundredths()) * i128::from(spread_bp) / 10_000).ok()?;
    Some(Line {
        currency,
        unit: unit_of(currency),
        mid,
        tts: Price::from_hundredths(mid.hundredths() + spread).ok()?,
        ttb: Price::from_hundredths(mid.hundredths() - spread).ok()?,
    })
}

/// Won for a currency's unit, by the rates of both against the euro; none when one of them is not there or the price
/// is out of range.
#[must_use]
pub fn cross(reference: &Reference, currency: Currency) -> Option<Price> {
    let for_euro = |wanted: Currency| match wanted {
        Currency::EUR => Some(Ratio::whole(1)),
        _ => reference.iter().find(|(currency, _)| *currency == wanted).map(|(_, rate)| rate.as_ratio()),
    };
    let won = for_euro(Currency::KRW)?.checked_div(for_euro(currency)?)?;
    let hundredths = won.checked_mul(Ratio::whole(100 * unit_of(currency)))?.round(Rounding::HalfUp);
    Price::from_hundredths(i64::try_from(hundredths).ok()?).ok()
}

/// The lines of those currencies that have a rate.
#[must_use]
pub fn board(reference: &Reference, currencies: &[Currency], spread_bp: u32) -> Vec<Line> {
    let line = |currency: &Currency| line(*currency, cross(reference, *currency)?, spread_bp);
    currencies.iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reference(text: &str) -> Vec<(Currency, Rate)> {
        let pair = |p: &str| p.split_once('=').map(|(c, r)| (c.parse().unwrap(), r.parse().unwrap()));
        text.split_whitespace().map(|p| pair(p).unwrap()).collect()
    }

    #[test]
    fn crosses_are_exact_and_rounded_once() {
        // Reference rates of 2019-01-02. 1278.52 / 1.1397 = 1121.8040…; 100 * 1278.52 / 124.28 = 1028.7415…
        let day = reference("USD=1.1397 JPY=124.28 KRW=1278.52 GBP=0.90165 CNY=7.8165 IDR=16484.11 SEK=10.2145");
        for (currency, price) in [
            ("EUR", Some("1278.52")),
            ("USD", Some("1121.80")),
            ("JPY", Some("1028.74")),
            ("GBP", Some("1417.98")),
            ("CNY", Some("163.57")),
            ("IDR", Some("7.76")),
            ("SEK", Some("125.17")),
            ("VND", None),
        ] {
            let price = price.map(|p| p.parse().unwrap());
            assert_eq!(cross(&day, currency.parse().unwrap()), price, "{currency}");
        }
        // A half of a hundredth goes up.
        assert_eq!(cross(&reference("KRW=1000.005 USD=1"), Currency::USD), Some("1000.01".parse().unwrap()));
        assert_eq!(cross(&reference("KRW=1000 USD=0"), Currency::USD), None);
    }

    #[test]
    fn published_boards_come_out_as_published() {
        for (currency, mid, spread_bp, tts, ttb) in [
            // Base 1,266.62 and a spread of 1.75 %: 22.16585 is truncated to 22.16.
            ("USD", "1266.62", 175, "1288.78", "1244.46"),
            ("USD", "1340.00", 0, "1340.00", "1340.00"),
            ("USD", "1300.00", 100, "1313.00", "1287.00"),
            ("JPY", "905.17", 175, "921.01", "889.33"),
            ("EUR", "1455.31", 200, "1484.41", "1426.21"),
        ] {
            let line = line(currency.parse().unwrap(), mid.parse().unwrap(), spread_bp).unwrap();
            assert_eq!((line.tts.to_string(), line.ttb.to_string()), (tts.into(), ttb.into()), "{currency} {mid}");
        }
        assert_eq!(line(Currency::USD, "0.01".parse().unwrap(), 10_000), None, "nothing is bought for nothing");
    }
}
