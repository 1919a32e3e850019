//! A currency's price over time, drawn.

use std::fmt::Write as _;

use jangbu_contracts::exchange::{RateHistory, RatePoint};
use jangbu_exchange::domain::price::Price;
use jangbu_kernel::rate::Rate;
use jangbu_kernel::time::{Timestamp, UtcOffset};

use crate::console::text::day_and_time;

/// Width and height of the drawing.
const WIDTH: i64 = 600;
const HEIGHT: i64 = 180;
/// Room above and below.
const MARGIN: i64 = 6;

/// Hundredths of a won.
fn hundredths(rate: Rate) -> i64 {
    rate.to_string().parse::<Price>().map_or(0, Price::hundredths)
}

/// Where a value stands between two others, on a line of that length.
fn place(value: i64, from: i64, to: i64, length: i64) -> i64 {
    let span = i128::from(to - from).max(1);
    i64::try_from(i128::from(value - from) * i128::from(length) / span).unwrap_or(0)
}

/// The prices from `from` to `to`: each board's stands until the next one.
#[must_use]
pub fn chart(history: &RateHistory, (from, to): (Timestamp, Timestamp)) -> String {
    let (currency, unit) = (history.currency, history.unit);
    let (Some(first), Some(last)) = (history.points.first(), history.points.last()) else {
        return format!("<p class=\"faint\">No board in this time had a price for {currency}.</p>");
    };
    let all = || history.points.iter().flat_map(|p| [p.mid, p.tts, p.ttb]).map(hundredths);
    let (low, high) = (all().min().unwrap_or(0), all().max().unwrap_or(0));
    let start = from.micros().max(first.as_of.micros());
    let x = |at: Timestamp| place(at.micros(), start, to.micros(), WIDTH);
    let y = |rate: Rate| HEIGHT - MARGIN - place(hundredths(rate), low, high, HEIGHT - 2 * MARGIN);
    let line = |of: fn(&RatePoint) -> Rate| {
        let mut path = String::new();
        for (n, point) in history.points.iter().enumerate() {
            let (x, y) = (x(point.as_of), y(of(point)));
            let _ = if n == 0 { write!(path, "M{x} {y}") } else { write!(path, "H{x}V{y}") };
        }
        let _ = write!(path, "H{WIDTH}");
        path
    };
    let mids = || history.points.iter().map(|point| hundredths(point.mid));
    let at = |of: i64| history.points.iter().map(|p| p.mid).find(|mid| hundredths(*mid) == of);
    let (lowest, highest) = (mids().min().and_then(at), mids().max().and_then(at));
    let (lowest, highest) = (lowest.unwrap_or(last.mid), highest.unwrap_or(last.mid));
    let named = if unit == 1 { currency.to_string() } else { format!("{unit} {currency}") };
    format!(
        "<p class=\"now\"><b>{mid}</b> won for {named} <span class=\"faint\">lowest {lowest}, highest {highest}, from {boards} \
         boards</span></p>\
         <svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"Base price of {named} in won: now {mid}, lowest {lowest}, highest {highest}\">\
         <path class=\"edge\" d=\"{tts}\"/><path class=\"edge\" d=\"{ttb}\"/><path class=\"mid\" d=\"{mids}\"/></svg>\
         <p class=\"axis\"><span>{begin}</span><span>{end}</span></p>",
        mid = last.mid,
        boards = history.boards,
        tts = line(|point| point.tts),
        ttb = line(|point| point.ttb),
        mids = line(|point| point.mid),
        begin = day_and_time(Timestamp::from_micros(start), UtcOffset::SEOUL),
        end = day_and_time(to, UtcOffset::SEOUL),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_price_stands_until_the_next() {
        let at = |s: i64| Timestamp::from_micros(s * 1_000_000);
        let point = |s: i64, mid: &str| {
            let rate: Rate = mid.parse().unwrap();
            RatePoint { as_of: at(s), mid: rate, tts: rate, ttb: rate }
        };
        let points = vec![point(0, "1000.00"), point(50, "1100.00"), point(75, "1050.00")];
        let mut history = RateHistory { currency: "JPY".parse().unwrap(), unit: 100, boards: 3, points };
        let drawn = chart(&history, (at(-50), at(100)));
        assert!(drawn.contains("class=\"mid\" d=\"M0 174H300V6H450V90H600\""), "{drawn}");
        assert!(drawn.contains("<b>1050.00</b> won for 100 JPY") && drawn.contains("lowest 1000.00, highest 1100.00"));
        history.points.truncate(1);
        assert!(chart(&history, (at(-50), at(100))).contains("d=\"M0 174H600\""), "one price is a line");
        history.points.clear();
        assert!(chart(&history, (at(-50), at(100))).contains("No board"));
    }
}
