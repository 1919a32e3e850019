//! Product terms as they are published, read by the model's own reader.

use std::collections::BTreeMap;

use jangbu_kernel::date::{BusinessDate, is_leap_year};
use jangbu_kernel::money::Currency;
use serde_json::Value;

/// Rates are kept in units of 10^-12 a year.
pub const RATE_UNIT: i128 = 1_000_000_000_000;

/// One version of a product's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Currency of its accounts.
    pub currency: Currency,
    /// Marginal tiers: where each ends, and its rate in [`RATE_UNIT`]s.
    pub tiers: Vec<(Option<i64>, i128)>,
    /// How days become a part of a year.
    pub day_count: String,
    /// How a payment is rounded.
    pub rounding: String,
    /// Most that one debit takes.
    pub transaction_max: Option<i64>,
    /// Most that the debits of a day take.
    pub day_max: Option<i64>,
    /// Most that the debits of a month take.
    pub month_max: Option<i64>,
    /// Whether corporations may have it.
    pub corporations: bool,
}

/// Versions by the day from which they hold.
pub type Versions = BTreeMap<BusinessDate, Version>;

/// A rate as written, exactly.
fn rate(text: &str) -> Option<i128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let padded = format!("{part:0<12}");
    let digits: i128 = format!("{whole}{}", padded.get(..12)?).parse().ok()?;
    (part.len() <= 12).then_some(digits)
}

/// Reads one version: its code, its first day, its terms.
///
/// # Errors
/// Which field can't be read.
pub fn read(terms: &Value) -> Result<(String, BusinessDate, Version), String> {
    let text = |field: &str| terms[field].as_str().ok_or_else(|| format!("terms without {field}"));
    let bad = |field: &'static str| move || format!("terms with a {field} that can't be read");
    let tiers = terms["tiers"].as_array().ok_or_else(bad("tiers"))?;
    let tier = |t: &Value| Some((t["up_to"].as_i64(), rate(t["rate"].as_str()?)?));
    let word = |field: &str, default: &str| terms[field].as_str().unwrap_or(default).to_owned();
    let version = Version {
        currency: text("currency")?.parse().map_err(|_| bad("currency")())?,
        tiers: tiers.iter().map(tier).collect::<Option<_>>().ok_or_else(bad("tiers"))?,
        day_count: word("day_count", "ACT/365F"),
        rounding: word("rounding", "down"),
        transaction_max: terms["limits"]["transaction"].as_i64(),
        day_max: terms["limits"]["day"].as_i64(),
        month_max: terms["limits"]["month"].as_i64(),
        corporations: terms["corporations"].as_bool().unwrap_or(false),
    };
    Ok((text("code")?.to_owned(), text("from")?.parse().map_err(|_| bad("from")())?, version))
}

/// The version that holds on a day.
#[must_use]
pub fn on(versions: &Versions, day: BusinessDate) -> Option<&Version> {
    versions.range(..=day).next_back().map(|(_, version)| version)
}

impl Version {
    /// Days of the year that a day is a part of.
    #[must_use]
    pub fn year_days(&self, day: BusinessDate) -> i128 {
        match self.day_count.as_str() {
            "ACT/360" => 360,
            "ACT/ACT" if is_leap_year(day.year()) => 366,
            _ => 365,
        }
    }
}
