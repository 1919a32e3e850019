//! `/exchange`: what operators see of foreign exchange and do about it.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{RawForm, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use jangbu_contracts::exchange::{Ending, Exchange, Force, Recheck};
use jangbu_contracts::operators::{Decide, Decision};
use jangbu_contracts::page::Page;
use jangbu_contracts::problem::Problem;
use jangbu_kernel::id::{ApprovalId, ExchangeId};
use serde_json::Value;

use super::counter::Calls;
use super::form::Form;
use super::session::see;
use super::text::Escaped;
use super::view::exchange::{list, state};
use super::view::{self, Part};
use super::{Console, pages};

/// Exchanges of a page.
const EXCHANGES_SHOWN_MAX: u32 = 25;
/// States that a list may be of.
const STATES: [&str; 7] = [
    "STARTED",
    "WITHDRAW_RESULT_CHECK_NEEDED",
    "WITHDRAW_SUCCEEDED",
    "DEPOSIT_RESULT_CHECK_NEEDED",
    "WITHDRAW_CANCEL_NEEDED",
    "EXCHANGE_FAILED",
    "EXCHANGE_SUCCEEDED",
];

/// What was done, as the page says it when it comes again.
fn done(what: &str) -> &'static str {
    match what {
        "published" => "The board is published.",
        "board-asked" => "The board waits for a second person.",
        "recheck" => "The books are being asked.",
        "succeed" | "fail" => "It waits for a second person.",
        "approve" => "Approved, and done.",
        "reject" => "Rejected.",
        _ => "",
    }
}

/// A problem as a page says it.
#[must_use]
pub fn alert(problem: &Problem) -> String {
    format!(
        "<p class=\"alert\" role=\"alert\"><a href=\"/docs/codes/{code}\">{title}</a>: {detail}</p>",
        code = Escaped(&problem.code),
        title = Escaped(&problem.title),
        detail = Escaped(&problem.detail)
    )
}

/// `GET /exchange`
pub async fn page(State(console): State<Arc<Console>>, uri: Uri, headers: HeaderMap) -> Response {
    let query = Form::read(uri.query().unwrap_or("").as_bytes());
    let said = done(query.text("said"));
    let said = if said.is_empty() { String::new() } else { format!("<p class=\"said\" role=\"status\">{said}</p>") };
    draw(&console, &headers, &query, StatusCode::OK, said).await
}

async fn draw(console: &Console, headers: &HeaderMap, query: &Form, status: StatusCode, mut said: String) -> Response {
    let calls = match operators_calls(console, headers) {
        Ok(calls) => calls,
        Err(other) => return *other,
    };
    let mut parts: Vec<Part> = console.parts.borrow().as_ref().clone();
    let chosen = STATES.into_iter().find(|state| *state == query.text("state"));
    let live = parts.iter().find(|(name, _)| *name == "exchanges").map_or("", |(_, html)| html.as_str());
    let shown = match chosen {
        None => format!("<div data-part=\"exchanges\">{live}</div>"),
        Some(chosen) => match of_state(&calls, chosen, query.text("cursor")).await {
            Ok(shown) => shown,
            Err(problem) => {
                said.push_str(&alert(&problem));
                String::new()
            }
        },
    };
    parts.extend([("said", said), ("states", states(chosen)), ("list", shown)]);
    pages::html(status, view::fill("Exchange \u{b7} Jangbu", include_str!("assets/exchange.html"), &parts))
}

/// The calls of an operator; for others what they see instead.
pub(super) fn operators_calls(console: &Console, headers: &HeaderMap) -> Result<Calls, Box<Response>> {
    if let Some(other) = console.turned_away(headers) {
        return Err(Box::new(other));
    }
    let calls = console.counter.as_ref().and_then(|counter| counter.calls(headers));
    calls.ok_or_else(|| Box::new(pages::not_found("There is no bank behind this page.")))
}

fn states(chosen: Option<&str>) -> String {
    let mut out = String::new();
    let mut link = |to: &str, text: &str, is: bool| {
        let current = if is { " aria-current=\"page\"" } else { "" };
        let _ = write!(out, "<a href=\"{to}#list\"{current}>{text}</a> ");
    };
    link("/exchange", "Newest", chosen.is_none());
    for name in STATES {
        link(&format!("/exchange?state={name}"), &state(name), chosen == Some(name));
    }
    out
}

/// A page of the exchanges in one state.
async fn of_state(calls: &Calls, state: &str, cursor: &str) -> Result<String, Box<Problem>> {
    let mut path = format!("/exchange/v1/exchanges?limit={EXCHANGES_SHOWN_MAX}&state={state}");
    if let Ok(cursor) = cursor.parse::<ExchangeId>() {
        let _ = write!(path, "&cursor={cursor}");
    }
    let page: Page<Exchange> = calls.get(&path).await?;
    let mut out = list(&page.items);
    if let Some(next) = page.next {
        let _ = write!(out, "<p><a href=\"/exchange?state={state}&amp;cursor={next}#list\">Older ones</a></p>");
    }
    Ok(out)
}

/// `POST /exchange/act`: re-checks, forces, approves or rejects, as the pressed button says.
pub async fn act(State(console): State<Arc<Console>>, headers: HeaderMap, RawForm(form): RawForm) -> Response {
    let calls = match operators_calls(&console, &headers) {
        Ok(calls) => calls,
        Err(other) => return *other,
    };
    let form = Form::read(&form);
    let Some(done) = carry_out(&calls, &form).await else {
        return pages::not_found("There is no such deed.");
    };
    match done {
        Ok(_) => see(&format!("/exchange?said={}", form.text("do"))),
        Err(problem) => {
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            draw(&console, &headers, &Form::read(b""), status, alert(&problem)).await
        }
    }
}

/// Does what a form says; none when that is nothing that there is.
async fn carry_out(calls: &Calls, form: &Form) -> Option<Result<(u16, Value), Box<Problem>>> {
    let (reason, exchange) = (form.text("reason").to_owned(), form.text("id").parse::<ExchangeId>());
    let (what, approval) = (form.text("do"), form.text("id").parse::<ApprovalId>());
    Some(match (what, exchange, approval) {
        ("recheck", Ok(id), _) => {
            let path = format!("/exchange/v1/exchanges/{id}/recheck");
            calls.send(Method::POST, &path, None, &Recheck { reason }).await
        }
        ("succeed" | "fail", Ok(id), _) => {
            let to = if what == "fail" { Ending::ExchangeFailed } else { Ending::ExchangeSucceeded };
            let path = format!("/exchange/v1/exchanges/{id}/force");
            calls.send(Method::POST, &path, None, &Force { to, reason }).await
        }
        ("approve" | "reject", _, Ok(id)) => {
            let decision = if what == "approve" { Decision::Approve } else { Decision::Reject };
            let path = format!("/exchange/v1/approvals/{id}");
            calls.send(Method::POST, &path, None, &Decide { decision, reason }).await
        }
        _ => return None,
    })
}
