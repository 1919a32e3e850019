//! `/exchange/board`: the form with all lines of the board.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{RawForm, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use jangbu_contracts::exchange::{BoardRate, PutRates, Rates};
use jangbu_contracts::problem::Problem;
use jangbu_exchange::domain::board::unit_of;
use jangbu_kernel::money::Currency;
use jangbu_kernel::rate::Rate;
use serde_json::Value;

use super::counter::Calls;
use super::desk::{alert, operators_calls};
use super::form::Form;
use super::session::see;
use super::text::Escaped;
use super::view;
use super::{Console, pages};
use crate::feed;

/// The prices of a line, as fields and as people call them.
const PRICES: [(&str, &str); 3] = [("mid", "Base"), ("tts", "Customers buy"), ("ttb", "Customers sell")];

/// What stands in the form, by currency and price.
type Entered = BTreeMap<(Currency, &'static str), String>;

/// The currencies that the form has lines for: those of the board, and those of which the feed knows rates.
fn currencies(board: Option<&Rates>) -> Vec<Currency> {
    let mut all: Vec<Currency> = board.iter().flat_map(|board| &board.rates).map(|rate| rate.currency).collect();
    all.extend(feed::currencies());
    all.sort_unstable();
    all.dedup();
    all
}

async fn board(calls: &Calls) -> Result<Option<Rates>, Box<Problem>> {
    match calls.get::<Rates>("/exchange/v1/rates").await {
        Ok(board) => Ok(Some(board)),
        Err(problem) if problem.status == 404 => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// `GET /exchange/board`
pub async fn page(State(console): State<Arc<Console>>, headers: HeaderMap) -> Response {
    let calls = match operators_calls(&console, &headers) {
        Ok(calls) => calls,
        Err(other) => return *other,
    };
    let (board, said) = match board(&calls).await {
        Ok(board) => (board, String::new()),
        Err(problem) => (None, alert(&problem)),
    };
    let mut entered = Entered::new();
    for rate in board.iter().flat_map(|board| &board.rates) {
        for (name, price) in [("mid", rate.mid), ("tts", rate.tts), ("ttb", rate.ttb)] {
            entered.insert((rate.currency, name), price.to_string());
        }
    }
    draw(StatusCode::OK, &currencies(board.as_ref()), &entered, &BTreeMap::new(), &said, "")
}

/// `POST /exchange/board`
pub async fn publish(State(console): State<Arc<Console>>, headers: HeaderMap, RawForm(form): RawForm) -> Response {
    let calls = match operators_calls(&console, &headers) {
        Ok(calls) => calls,
        Err(other) => return *other,
    };
    let (form, before) = (Form::read(&form), board(&calls).await.unwrap_or(None));
    let (currencies, mut entered, mut wrong) = (currencies(before.as_ref()), Entered::new(), BTreeMap::new());
    let mut rates = Vec::new();
    for currency in &currencies {
        let mut prices = Vec::with_capacity(PRICES.len());
        for (name, _) in PRICES {
            let text = form.text(&format!("{currency}.{name}")).replace(',', "");
            match text.parse::<Rate>() {
                Ok(price) => prices.push(price),
                Err(e) if !text.is_empty() => drop(wrong.insert((*currency, name.to_owned()), e.to_string())),
                Err(_) => {}
            }
            entered.insert((*currency, name), text);
        }
        match prices.as_slice() {
            [mid, tts, ttb] => {
                let (mid, tts, ttb) = (*mid, *tts, *ttb);
                rates.push(BoardRate { currency: *currency, unit: unit_of(*currency), mid, tts, ttb });
            }
            [] => {} // its line is left out
            _ => {
                let all = || "a line has three prices, or none".to_owned();
                let said = PRICES.iter().any(|(name, _)| wrong.contains_key(&(*currency, (*name).to_owned())));
                if !said {
                    wrong.insert((*currency, "mid".to_owned()), all());
                }
            }
        }
    }
    let reason = form.text("reason");
    let put = PutRates { rates, reason: (!reason.is_empty()).then(|| reason.to_owned()) };
    if !wrong.is_empty() {
        return draw(StatusCode::BAD_REQUEST, &currencies, &entered, &wrong, "", reason);
    }
    match calls.send::<Value>(Method::PUT, "/exchange/v1/rates", None, &put).await {
        Ok((202, _)) => see("/exchange?said=board-asked#approvals"),
        Ok(_) => see("/exchange?said=published"),
        Err(problem) => {
            for failure in &problem.failures {
                if let Some((line, name)) = named(failure.field.as_deref().unwrap_or(""), &put.rates) {
                    wrong.insert((line, name), failure.detail.clone());
                }
            }
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            draw(status, &currencies, &entered, &wrong, &alert(&problem), reason)
        }
    }
}

/// The line and price of a field like `rates[3].tts`.
fn named(field: &str, rates: &[BoardRate]) -> Option<(Currency, String)> {
    let (at, name) = field.strip_prefix("rates[")?.split_once("].")?;
    Some((rates.get(at.parse::<usize>().ok()?)?.currency, name.to_owned()))
}

fn draw(
    status: StatusCode,
    currencies: &[Currency],
    entered: &Entered,
    wrong: &BTreeMap<(Currency, String), String>,
    said: &str,
    reason: &str,
) -> Response {
    let mut lines = String::new();
    for currency in currencies {
        let unit = unit_of(*currency);
        let named = if unit == 1 { currency.to_string() } else { format!("{unit} {currency}") };
        let _ = write!(lines, "<tr><th scope=\"row\">{named}</th>");
        for (name, label) in PRICES {
            let value = entered.get(&(*currency, name)).map_or("", String::as_str);
            let invalid = wrong.contains_key(&(*currency, name.to_owned()));
            let invalid = if invalid { " aria-invalid=\"true\"" } else { "" };
            let _ = write!(
                lines,
                "<td><input name=\"{currency}.{name}\" value=\"{value}\" inputmode=\"decimal\" autocomplete=\"off\" \
                 aria-label=\"{label}, {named}\"{invalid}></td>",
                value = Escaped(value)
            );
        }
        lines.push_str("</tr>");
        for ((_, name), why) in wrong.range((*currency, String::new())..).take_while(|((c, _), _)| c == currency) {
            let name = PRICES.iter().find(|(known, _)| known == name).map_or(name.as_str(), |(_, label)| label);
            let _ = write!(
                lines,
                "<tr class=\"wrong\"><td colspan=\"4\" class=\"bad\">{named}, {}: {}</td></tr>",
                Escaped(&name.to_lowercase()),
                Escaped(why)
            );
        }
    }
    let parts = [("said", said.to_owned()), ("lines", lines), ("reason", Escaped(reason).to_string())];
    pages::html(status, view::fill("A new board \u{b7} Jangbu", include_str!("assets/board.html"), &parts))
}
