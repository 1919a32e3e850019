//! `POST …/interest-simulations`: what interest would be paid, by the rules that pay it. No money moves.

use axum::extract::State;
use axum::response::Response;
use jangbu_contracts::codes::Code;
use jangbu_contracts::deposit::InterestPeriod;
use jangbu_contracts::problem::Problem;
use jangbu_contracts::products::{Simulate, SimulatedPayment, SimulatedTotals, Simulation, Terms as TermsText};
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::money::AMOUNT_MAX;
use jangbu_platform::db::Fault;
use jangbu_platform::http::{Known, Refused, Strict, json, read_json};
use serde_json::{Map, Value};

use super::Api;
use crate::domain::interest::{self, Interest, Period, Played, Unworkable};
use crate::domain::savings;
use crate::domain::tax::TaxClass;
use crate::domain::terms::{History, ProductKind};
use crate::store;
use crate::terms_text;

/// Movements of one simulation at most.
const MOVEMENTS_MAX: usize = 4_000;
/// Claims of one simulation at most: ten years of daily ones.
const CLAIMS_MAX: usize = 4_000;
/// Versions of terms at most.
const VERSIONS_MAX: usize = 100;
/// Days from the first movement to the last day at most.
const DAYS_MAX: i32 = 36_600;

/// What interest would be paid, by the rules that pay it. No money moves.
#[utoipa::path(
    post, path = "/interest-simulations",
    request_body = Simulate,
    responses((status = 200, body = Simulation)),
)]
pub async fn simulate_interest(
    State(api): State<Api>,
    _: Known,
    Strict(body): Strict<Simulate>,
) -> Result<Response, Refused> {
    let history = match (&body.terms, &body.product) {
        (Some(terms), None) => given(terms, body.movements.iter().map(|m| m.date).min())?,
        (None, Some(code)) => offered(&api, code).await?,
        (None, None) => return Err(Refused::field(Code::MissingField, "terms", "give terms, or a product's code")),
        (Some(_), Some(_)) => {
            return Err(Refused::field(Code::InvalidField, "product", "give terms or a product's code, not both"));
        }
    };
    json(200, &work(&history, &body)?, false)
}

/// Terms as they were sent: one version or a list of them, with what may be left out filled in.
pub(super) fn given(terms: &Value, first: Option<BusinessDate>) -> Result<History, Refused> {
    let versions = match terms {
        Value::Array(versions) if (1..=VERSIONS_MAX).contains(&versions.len()) => versions.as_slice(),
        Value::Array(_) => return Err(Refused::field(Code::InvalidField, "terms", "has 1 to 100 versions")),
        one => std::slice::from_ref(one),
    };
    let mut history = History::default();
    for (i, version) in versions.iter().enumerate() {
        let at = if terms.is_array() { format!("terms[{i}]") } else { "terms".to_owned() };
        let within = |mut problem: Problem| {
            for failure in &mut problem.failures {
                failure.field = Some(failure.field.as_ref().map_or(at.clone(), |field| format!("{at}.{field}")));
            }
            Refused::from(problem)
        };
        let Value::Object(fields) = version else {
            return Err(Refused::field(Code::InvalidField, at, "is an object as in a product"));
        };
        let full = serde_json::to_vec(&filled(fields, first)).map_err(|e| Fault::Damaged(e.to_string()))?;
        let text: TermsText = read_json(&full).map_err(|refused| within(*refused.0))?;
        let parsed = terms_text::parse(&text);
        let parsed = parsed.map_err(|flaws| within(Problem::fields(Code::TermsInvalid, flaws)))?;
        if history.versions().iter().any(|v| (v.kind, v.currency) != (parsed.kind, parsed.currency)) {
            return Err(Refused::field(Code::TermsInvalid, at, "has another kind or currency than the first version"));
        }
        history.add(parsed);
    }
    Ok(history)
}

fn filled(fields: &Map<String, Value>, first: Option<BusinessDate>) -> Map<String, Value> {
    let mut full = fields.clone();
    let from = first.map_or_else(|| "1970-01-01".to_owned(), |date| date.to_string());
    let defaults =
        [("code", "simulated"), ("name", "simulated"), ("kind", "demand"), ("currency", "KRW"), ("from", &from)];
    for (field, value) in defaults {
        full.entry(field).or_insert_with(|| value.into());
    }
    full
}

async fn offered(api: &Api, code: &str) -> Result<History, Refused> {
    let mut tx = api.ledger.db.read("deposit.simulate").await?;
    let mut history = History::default();
    for (_, from, text) in store::products::all(&mut tx).await?.into_iter().filter(|(c, ..)| c == code) {
        history.add(terms_text::read(&text, from).map_err(Fault::Damaged)?);
    }
    if history.versions().is_empty() {
        return Err(Refused::field(Code::ProductNotFound, "product", "the product is not offered here"));
    }
    Ok(history)
}

/// The simulation itself.
pub(super) fn work(history: &History, body: &Simulate) -> Result<Simulation, Refused> {
    let tax = check(body)?;
    let movements: Vec<(BusinessDate, i64)> = body.movements.iter().map(|m| (m.date, m.amount)).collect();
    let Some(first) = movements.iter().map(|(date, _)| *date).min() else {
        return Ok(Simulation { payments: Vec::new(), totals: SimulatedTotals::default(), balance: 0 });
    };
    let demand = history.versions().iter().all(|v| v.kind == ProductKind::Demand);
    let played = if demand {
        let end = body.close_on.into_iter().chain(body.claim_on.iter().copied()).max();
        let end = end.ok_or_else(|| Refused::field(Code::MissingField, "claim_on", "give claim_on or close_on"))?;
        let mut pay_on = scheduled(history, first, end);
        pay_on.extend(body.claim_on.iter().copied().chain(body.close_on));
        interest::simulate(history, tax, &movements, &pay_on)
    } else {
        if !body.claim_on.is_empty() {
            let why = "interest of a contract with a fixed time is paid when it is closed, not on claim";
            return Err(Refused::field(Code::SimulationUnsupported, "claim_on", why));
        }
        let terms = history.at(first).ok_or(Unworkable::NoTerms(first)).map_err(unworkable)?;
        savings::simulate(terms, tax, &movements, body.close_on, &body.conditions_met)
    };
    Ok(shown(played.map_err(unworkable)?))
}

/// Days on which the product pays by itself, under the terms that hold on each.
fn scheduled(history: &History, first: BusinessDate, end: BusinessDate) -> Vec<BusinessDate> {
    let version = |v: &crate::domain::terms::Terms| {
        let next = history.next_change(v.from).map_or(end, |next| next.add_days(-1)).min(end);
        let after = first.max(v.from.add_days(-1));
        if after < next { v.pay.days(after, next) } else { Vec::new() }
    };
    history.versions().iter().flat_map(version).collect()
}

fn check(body: &Simulate) -> Result<TaxClass, Refused> {
    let mut flaws: Vec<(String, String)> = Vec::new();
    let mut flaw = |bad: bool, field: String, why: &str| {
        if bad {
            flaws.push((field, why.to_owned()));
        }
    };
    flaw(body.movements.len() > MOVEMENTS_MAX, "movements".into(), "has at most 4000 movements");
    flaw(body.claim_on.len() > CLAIMS_MAX, "claim_on".into(), "has at most 4000 days");
    for (i, movement) in body.movements.iter().enumerate().take(MOVEMENTS_MAX) {
        let fits = movement.amount != 0 && movement.amount.unsigned_abs() <= AMOUNT_MAX.unsigned_abs();
        flaw(!fits, format!("movements[{i}].amount"), "is not 0, and at most 10^15 minor units in or out");
        let late = body.close_on.is_some_and(|close| movement.date > close);
        flaw(late, format!("movements[{i}].date"), "lies after the day of closing");
    }
    for (i, claim) in body.claim_on.iter().enumerate().take(CLAIMS_MAX) {
        let late = body.close_on.is_some_and(|close| *claim > close);
        flaw(late, format!("claim_on[{i}]"), "lies after the day of closing");
    }
    let days = body.movements.iter().map(|m| m.date).chain(body.claim_on.iter().copied()).chain(body.close_on);
    let (first, last) = (days.clone().min(), days.max());
    let long = first.zip(last).is_some_and(|(first, last)| first.days_until(last) > DAYS_MAX);
    flaw(long, "movements".into(), "begin at most 100 years before the last day");
    let tax = TaxClass::parse(body.tax_class.as_deref().unwrap_or("normal"));
    let names = TaxClass::ALL.map(|(_, name)| name).join(", ");
    flaw(tax.is_none(), "tax_class".into(), &format!("is one of {names}"));
    match tax {
        Some(tax) if flaws.is_empty() => Ok(tax),
        _ => Err(Refused::from(Problem::fields(Code::InvalidField, flaws))),
    }
}

fn unworkable(why: Unworkable) -> Refused {
    match why {
        Unworkable::NoTerms(day) => Refused::new(Code::ProductNotFound, format!("no terms hold on {day}")),
        Unworkable::Overdrawn(day) => {
            let why = format!("the balance would be negative at the end of {day}");
            Refused::field(Code::InsufficientAvailable, "movements", why)
        }
        Unworkable::TooLarge => Refused::new(Code::BalanceOverflow, "the numbers are too large to be exact"),
        Unworkable::Unsupported(why) => Refused::new(Code::SimulationUnsupported, why),
    }
}

/// A stretch of days as shown.
pub(super) fn period(p: &Period) -> InterestPeriod {
    InterestPeriod {
        from: p.from,
        to: p.to,
        days: p.from.days_until(p.to) + 1,
        balance: p.balance,
        rate: p.rate,
        interest: p.interest.to_string(),
    }
}

fn shown(played: Played) -> Simulation {
    let payment = |(date, i): &(BusinessDate, Interest)| SimulatedPayment {
        date: *date,
        from: i.from,
        to: i.to,
        gross: i.gross,
        income_tax: i.income_tax,
        local_tax: i.local_tax,
        other_tax: i.other_tax,
        net: i.net,
        periods: i.periods.iter().map(period).collect(),
    };
    let mut totals = SimulatedTotals::default();
    for (_, interest) in &played.payments {
        totals.gross += interest.gross;
        totals.income_tax += interest.income_tax;
        totals.local_tax += interest.local_tax;
        totals.other_tax += interest.other_tax;
        totals.net += interest.net;
    }
    Simulation { payments: played.payments.iter().map(payment).collect(), totals, balance: played.balance }
}

#[cfg(test)]
#[path = "../tests/simulation.rs"]
mod tests;
