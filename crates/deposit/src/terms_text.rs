//! Product terms as text: the JSON that operators send and the store keeps.

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::daycount::DayCount;
use jangbu_kernel::money::Currency;
use jangbu_kernel::rate::Rate;
use jangbu_kernel::round::Rounding;
use serde::{Deserialize, Serialize};

use crate::domain::book::Limits;
use crate::domain::terms::{Terms, Tier};

/// A tier as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierText {
    /// Where it ends, minor units; null for the last.
    pub up_to: Option<i64>,
    /// Rate per year.
    pub rate: Rate,
}

/// Limits as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsText {
    /// Most one debit may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<i64>,
    /// Most a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<i64>,
    /// Most a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month: Option<i64>,
}

/// Terms as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermsText {
    /// Product code.
    pub code: String,
    /// Name for people.
    pub name: String,
    /// `demand`.
    pub kind: String,
    /// Currency.
    pub currency: Currency,
    /// First day.
    pub from: BusinessDate,
    /// Day count.
    #[serde(default)]
    pub day_count: DayCount,
    /// Marginal tiers.
    pub tiers: Vec<TierText>,
    /// Rounding to the minor unit.
    #[serde(default)]
    pub rounding: Rounding,
    /// `claim`.
    #[serde(default = "claim")]
    pub pay: String,
    /// Limits of debits.
    #[serde(default)]
    pub limits: LimitsText,
    /// Whether corporations may have it.
    #[serde(default)]
    pub corporations: bool,
}

fn claim() -> String {
    "claim".to_owned()
}

/// Reads kept terms.
///
/// # Errors
/// What is wrong with them, for people.
pub fn read(text: &str, from: BusinessDate) -> Result<Terms, String> {
    let written: TermsText = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let terms = parse(&written)?;
    if terms.from == from { Ok(terms) } else { Err("the terms begin on another day than their row says".into()) }
}

/// Terms as decisions use them.
///
/// # Errors
/// What is wrong with them, for people.
pub fn parse(text: &TermsText) -> Result<Terms, String> {
    if text.kind != "demand" || text.pay != "claim" {
        return Err("only products of kind demand that pay on claim are offered".into());
    }
    let last = text.tiers.len().saturating_sub(1);
    let mut below = 0;
    for (i, tier) in text.tiers.iter().enumerate() {
        let rises = tier.up_to.is_none_or(|top| top > below);
        if !rises || tier.up_to.is_none() != (i == last) {
            return Err("tiers must rise, and only the last has no end".into());
        }
        below = tier.up_to.unwrap_or(below);
        let rate = tier.rate.as_ratio();
        if rate.num() < 0 || rate.num() > rate.den() {
            return Err("a rate is from 0 to 1 a year".into());
        }
    }
    if text.tiers.is_empty() {
        return Err("there must be at least one tier".into());
    }
    if text.code.is_empty() || text.code.len() > 32 {
        return Err("a code has 1 to 32 characters".into());
    }
    Ok(Terms {
        from: text.from,
        currency: text.currency,
        day_count: text.day_count,
        tiers: text.tiers.iter().map(|t| Tier { up_to: t.up_to, rate: t.rate }).collect(),
        rounding: text.rounding,
        limits: Limits {
            transaction_max: text.limits.transaction,
            day_max: text.limits.day,
            month_max: text.limits.month,
        },
        corporations: text.corporations,
    })
}
