//! Product terms as written and kept (JSON), and as decisions use them.

use jangbu_contracts::products as wire;
pub use jangbu_contracts::products::Terms as TermsText;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::rate::Rate;

use crate::domain::book::Limits;
use crate::domain::savings::MONTHS_MAX;
use crate::domain::terms::{Contract, Length, Pay, ProductKind, Step, StepRate, Terms, Tier};

/// Characters of a code at most.
const CODE_CHARS_MAX: usize = 32;
/// Characters of a name, or of a condition's, at most.
const NAME_CHARS_MAX: usize = 100;
/// Rows of one table at most.
const ROWS_MAX: usize = 50;
/// Days of a contract at most.
const DAYS_MAX: u32 = 18_300;

/// What is wrong with terms: the field, and why, for people.
pub type Flaw = (String, String);

/// Reads kept terms.
///
/// # Errors
/// What is wrong with them, for people.
pub fn read(text: &str, from: BusinessDate) -> Result<Terms, String> {
    let written: TermsText = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let terms = parse(&written).map_err(|flaws| said(&flaws))?;
    if terms.from == from { Ok(terms) } else { Err("the terms begin on another day than their row says".into()) }
}

/// Flaws as one sentence.
#[must_use]
pub fn said(flaws: &[Flaw]) -> String {
    flaws.iter().map(|(field, why)| format!("{field} {why}")).collect::<Vec<_>>().join("; ")
}

/// Terms as decisions use them.
///
/// # Errors
/// Everything that is wrong with them.
pub fn parse(text: &TermsText) -> Result<Terms, Vec<Flaw>> {
    let mut reader = Reader(Vec::new());
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    reader.check(
        (1..=CODE_CHARS_MAX).contains(&text.code.len()) && text.code.bytes().all(plain),
        "code",
        "has 1 to 32 letters, digits, '-', '_' or '.'",
    );
    let named = !text.name.trim().is_empty() && text.name.chars().count() <= NAME_CHARS_MAX;
    reader.check(named, "name", "has 1 to 100 characters");
    reader.tiers(&text.tiers);
    let kind = kind(text.kind);
    let terms = Terms {
        from: text.from,
        kind,
        currency: text.currency,
        day_count: text.day_count,
        tiers: text.tiers.iter().map(|t| Tier { up_to: t.up_to, rate: t.rate }).collect(),
        rounding: text.rounding,
        pay: reader.pay(kind, text.pay.as_deref()),
        contract: reader.contract(kind, text),
        limits: reader.limits(&text.limits),
        corporations: text.corporations,
    };
    if reader.0.is_empty() { Ok(terms) } else { Err(reader.0) }
}

fn kind(kind: wire::ProductKind) -> ProductKind {
    match kind {
        wire::ProductKind::Demand => ProductKind::Demand,
        wire::ProductKind::Term => ProductKind::Term,
        wire::ProductKind::Instalment => ProductKind::Instalment,
        wire::ProductKind::Flexible => ProductKind::Flexible,
    }
}

/// From 0 to 1: rates per year, and shares.
fn is_part(rate: Rate) -> bool {
    let rate = rate.as_ratio();
    rate.num() >= 0 && rate.num() <= rate.den()
}

/// Collects what is wrong.
struct Reader(Vec<Flaw>);

impl Reader {
    fn check(&mut self, good: bool, field: impl Into<String>, why: &str) {
        if !good {
            self.0.push((field.into(), why.to_owned()));
        }
    }

    fn tiers(&mut self, tiers: &[wire::Tier]) {
        self.check((1..=ROWS_MAX).contains(&tiers.len()), "tiers", "has 1 to 50 tiers");
        let last = tiers.len().saturating_sub(1);
        let mut below = 0;
        for (i, tier) in tiers.iter().enumerate() {
            let ends = tier.up_to.map_or(i == last, |top| i < last && top > below);
            self.check(ends, format!("tiers[{i}].up_to"), "must rise, and only the last tier has none");
            below = tier.up_to.unwrap_or(below);
            self.check(is_part(tier.rate), format!("tiers[{i}].rate"), "is from 0 to 1 a year");
        }
    }

    fn pay(&mut self, kind: ProductKind, text: Option<&str>) -> Pay {
        let demand = kind == ProductKind::Demand;
        let Some(text) = text else { return if demand { Pay::Claim } else { Pay::Maturity } };
        let Some(pay) = Pay::parse(text) else {
            self.check(false, "pay", "is claim, maturity, 'monthly day 1', '3rd friday' or '3rd friday of 6,12'");
            return Pay::Claim;
        };
        let fits = demand != (pay == Pay::Maturity);
        self.check(fits, "pay", "is maturity for contracts with a fixed time, and only for them");
        pay
    }

    fn contract(&mut self, kind: ProductKind, text: &TermsText) -> Contract {
        let said = !text.bonus.is_empty() || !text.early_closing.is_empty() || !text.after_maturity.is_empty();
        if kind == ProductKind::Demand {
            self.check(!said && text.term.is_none(), "kind", "demand has no term, bonus, or table by time");
            return Contract::default();
        }
        self.check(text.bonus.len() <= ROWS_MAX, "bonus", "has at most 50 rows");
        for (i, bonus) in text.bonus.iter().enumerate() {
            let named = (1..=NAME_CHARS_MAX).contains(&bonus.condition.len());
            self.check(named, format!("bonus[{i}].condition"), "has 1 to 100 characters");
            self.check(is_part(bonus.rate), format!("bonus[{i}].rate"), "is from 0 to 1 a year");
        }
        let length = text.term.map(|term| match term {
            wire::Length::Months(n) => {
                self.check((1..=MONTHS_MAX).contains(&n), "term", "is 1 to 600 months");
                Length::Months(n)
            }
            wire::Length::Days(n) => {
                self.check((1..=DAYS_MAX).contains(&n), "term", "is 1 to 18300 days");
                self.check(kind != ProductKind::Instalment, "term", "of instalments is in months");
                Length::Days(n)
            }
        });
        Contract {
            length,
            bonus: text.bonus.iter().map(|b| (b.condition.clone(), b.rate)).collect(),
            early_closing: self.steps("early_closing", &text.early_closing),
            after_maturity: self.steps("after_maturity", &text.after_maturity),
        }
    }

    fn steps(&mut self, field: &str, rows: &[wire::Step]) -> Vec<Step> {
        self.check(rows.len() <= ROWS_MAX, field, "has at most 50 rows");
        let last = rows.len().saturating_sub(1);
        let mut below = 0;
        let mut steps = Vec::with_capacity(rows.len());
        for (i, row) in rows.iter().enumerate() {
            let rises = row.up_to_months.map_or(i == last, |n| n > below && n <= MONTHS_MAX);
            self.check(rises, format!("{field}[{i}].up_to_months"), "must rise, and only the last row may have none");
            below = row.up_to_months.unwrap_or(below);
            let parts = [row.rate, row.share, row.at_least].into_iter().flatten().all(is_part);
            self.check(parts, format!("{field}[{i}]"), "has rates and shares from 0 to 1");
            let rate = match (row.rate, row.share) {
                (Some(rate), None) if row.at_least.is_none() && !row.pro_rata => StepRate::Fixed(rate),
                (None, Some(share)) => {
                    let at_least = row.at_least.unwrap_or(Rate::ZERO);
                    StepRate::Share { share, pro_rata: row.pro_rata, at_least }
                }
                _ => {
                    self.check(false, format!("{field}[{i}]"), "has either a rate, or a share with its conditions");
                    continue;
                }
            };
            steps.push(Step { up_to_months: row.up_to_months, rate });
        }
        steps
    }

    fn limits(&mut self, limits: &wire::Limits) -> Limits {
        for (name, limit) in [("transaction", limits.transaction), ("day", limits.day), ("month", limits.month)] {
            self.check(limit.is_none_or(|l| l > 0), format!("limits.{name}"), "is greater than 0");
        }
        Limits { transaction_max: limits.transaction, day_max: limits.day, month_max: limits.month }
    }
}
