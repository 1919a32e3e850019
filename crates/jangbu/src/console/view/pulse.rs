//! Postings per second: a number, and the last minute as bars.

use std::fmt::Write as _;

use crate::console::figures::Shown;
use crate::console::text::grouped;

/// Seconds drawn.
const SECONDS: usize = 60;
/// Width of a bar with its gap, and without.
const STEP: usize = 10;
const BAR: usize = 7;
/// Height of the drawing.
const HEIGHT: u64 = 96;

pub(super) fn pulse(shown: &Shown) -> String {
    let number = |n: u64| grouped(i64::try_from(n).unwrap_or(i64::MAX));
    let now = shown.rates.last().copied().unwrap_or(0);
    let peak = shown.rates.iter().copied().max().unwrap_or(0);
    let mut bars = String::new();
    let empty = SECONDS.saturating_sub(shown.rates.len());
    for (i, rate) in shown.rates.iter().rev().take(SECONDS).rev().enumerate().filter(|(_, rate)| **rate > 0) {
        // At least a hair, so that one posting shows beside a thousand.
        let height = (rate * HEIGHT / peak.max(1)).max(1);
        let (x, y) = ((empty + i) * STEP, HEIGHT - height);
        let _ = write!(bars, "M{x} {y}h{BAR}v{height}h-{BAR}z");
    }
    let width = SECONDS * STEP;
    format!(
        "<p class=\"big\">{now}<span class=\"unseen\"> postings per second</span></p>\
         <div class=\"bars\"><p class=\"peak\"><span>peak {peak}</span></p>\
         <svg viewBox=\"0 0 {width} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"Postings per second over the last minute, {peak} at most\"><path d=\"{bars}\"/></svg>\
         <p class=\"axis\"><span>a minute ago</span><span>now</span></p></div>",
        now = number(now),
        peak = number(peak),
    )
}
