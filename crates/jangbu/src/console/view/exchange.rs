//! Foreign exchange: the board, what waits for a second person, and exchanges with what they passed through.

use std::fmt::Write as _;

use jangbu_contracts::exchange::{BoardRate, Exchange, PutRates, Rates, Side};
use jangbu_contracts::operators::Approval;
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::{Timestamp, UtcOffset};
use serde::Deserialize as _;

use super::capital;
use crate::console::figures::Shown;
use crate::console::text::{Escaped, day_and_time, masked, money, time_of_day};

/// How long a board is good, in microseconds; then nothing is quoted.
const BOARD_US_MAX: i64 = 24 * 3_600 * 1_000_000;

/// The board as a table.
pub(super) fn prices(shown: &Shown) -> String {
    let board = shown.exchange.as_ref().and_then(|exchange| exchange.board.as_ref());
    let Some(board) = board else {
        return "<p class=\"faint\">No board has been published yet: nothing is quoted.</p>".to_owned();
    };
    let at = day_and_time(board.as_of, UtcOffset::SEOUL);
    let stale = shown.now.is_some_and(|now| now >= board.as_of.plus_micros(BOARD_US_MAX));
    let stale = if stale { " <span class=\"bad\">Older than a day: nothing is quoted by it.</span>" } else { "" };
    let mut out = format!(
        "<p class=\"faint\">Round {round} of its day, published {at}.{stale}</p>\
         <table class=\"list prices\"><thead><tr><th scope=\"col\">Won for</th><th scope=\"col\">Base</th>\
         <th scope=\"col\">Customers buy</th><th scope=\"col\">Customers sell</th></tr></thead><tbody>",
        round = board.round
    );
    for rate in &board.rates {
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
            unit(rate),
            rate.mid,
            rate.tts,
            rate.ttb
        );
    }
    out.push_str("</tbody></table>");
    out
}

/// What a price is for, like `100 JPY`.
fn unit(rate: &BoardRate) -> String {
    if rate.unit == 1 { rate.currency.to_string() } else { format!("{} {}", rate.unit, rate.currency) }
}

/// The fields and buttons by which operators do something about a thing, with a reason.
fn act(id: &str, reason: &str, buttons: &[(&str, &str)]) -> String {
    let mut out = format!(
        "<form method=\"post\" action=\"/exchange/act\" class=\"act\"><input type=\"hidden\" name=\"id\" value=\"{id}\">\
         <label>Reason <input name=\"reason\" required maxlength=\"1000\" autocomplete=\"off\" value=\"{reason}\"></label>",
        id = Escaped(id),
        reason = Escaped(reason)
    );
    for (what, label) in buttons {
        let _ = write!(out, "<button type=\"submit\" name=\"do\" value=\"{what}\">{label}</button>");
    }
    out.push_str("</form>");
    out
}

/// What waits for a second person.
pub(super) fn approvals(shown: &Shown) -> String {
    let exchange = shown.exchange.as_ref();
    let waiting = exchange.map_or(&[][..], |exchange| exchange.approvals.as_slice());
    if waiting.is_empty() {
        return "<p class=\"faint\">Nothing. A board that jumps or has gaps waits here for another operator, as does a \
                forced exchange.</p>"
            .to_owned();
    }
    let board = exchange.and_then(|exchange| exchange.board.as_ref());
    let mut out = String::from("<ul class=\"rows\">");
    for approval in waiting {
        let what = match approval.kind.as_str() {
            "board.publish" => "Publish a board".to_owned(),
            "exchange.force" => format!("Force {} to {}", approval.subject, wanted(approval)),
            other => capital(&other.replace('.', " ")),
        };
        let _ = write!(
            out,
            "<li><span class=\"name\">{what} <span class=\"faint\">asked by {by}, {at}</span></span>\
             <span class=\"why\">{reason}</span>{changes}{act}</li>",
            what = Escaped(&what),
            by = Escaped(&approval.asked_by),
            at = time_of_day(approval.asked_at, UtcOffset::SEOUL),
            reason = Escaped(&approval.reason),
            changes = changes(approval, board),
            act = act(&approval.id.to_string(), "", &[("approve", "Approve"), ("reject", "Reject")]),
        );
    }
    out.push_str("</ul>");
    out
}

fn wanted(approval: &Approval) -> String {
    approval.action["to"].as_str().unwrap_or("?").to_owned()
}

/// What a board that waits would change.
fn changes(approval: &Approval, board: Option<&Rates>) -> String {
    let Ok(put) = PutRates::deserialize(&approval.action) else { return String::new() };
    let before = |currency: Currency| board?.rates.iter().find(|rate| rate.currency == currency);
    let mut out = String::new();
    for rate in &put.rates {
        let was = before(rate.currency);
        if was == Some(rate) {
            continue;
        }
        let row = |name: &str, was: Option<String>, is: String| {
            let was = was.unwrap_or_else(|| "none".to_owned());
            if was == is { String::new() } else { format!("{name} {was} \u{2192} <b>{is}</b>") }
        };
        let said = [
            row("base", was.map(|r| r.mid.to_string()), rate.mid.to_string()),
            row("buy", was.map(|r| r.tts.to_string()), rate.tts.to_string()),
            row("sell", was.map(|r| r.ttb.to_string()), rate.ttb.to_string()),
        ];
        let said = said.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ");
        let _ = write!(out, "<li>{}: {said}</li>", rate.currency);
    }
    let gone = board.iter().flat_map(|board| &board.rates);
    for rate in gone.filter(|rate| put.rates.iter().all(|other| other.currency != rate.currency)) {
        let _ = write!(out, "<li>{}: <b>left out</b></li>", rate.currency);
    }
    if out.is_empty() { out } else { format!("<ul class=\"changes\">{out}</ul>") }
}

/// Exchanges that are stuck, with what helps.
pub(super) fn stuck(shown: &Shown) -> String {
    let stuck = shown.exchange.as_ref().map_or(&[][..], |exchange| exchange.stuck.as_slice());
    if stuck.is_empty() {
        return "<p class=\"faint\">None. An exchange that is not decided after a minute, or waits for a person, shows here \
                with its reason and remedy.</p>"
            .to_owned();
    }
    let mut out = String::from("<ul class=\"rows\">");
    for exchange in stuck {
        let (reason, remedy, next) = exchange
            .stuck
            .as_ref()
            .map_or(("", "", None), |stuck| (stuck.reason.as_str(), stuck.remedy.as_str(), stuck.next_try_at));
        let next = next.map_or_else(
            || "<b class=\"bad\">Waits for a person.</b>".to_owned(),
            |at| format!("Asked again by itself at {}.", time_of_day(at, UtcOffset::SEOUL)),
        );
        let buttons = [("recheck", "Re-check"), ("succeed", "Force: it succeeded"), ("fail", "Force: it failed")];
        let _ = write!(
            out,
            "<li>{head}<span class=\"why\">{reason}</span><span class=\"why\">{next} {remedy}</span>{act}</li>",
            head = head(exchange),
            reason = Escaped(reason),
            remedy = Escaped(remedy),
            act = act(&exchange.id.to_string(), "", &buttons),
        );
    }
    out.push_str("</ul>");
    out
}

/// The newest exchanges.
pub(super) fn newest(shown: &Shown) -> String {
    shown.exchange.as_ref().map_or_else(String::new, |exchange| list(&exchange.newest))
}

/// Exchanges with what they passed through.
#[must_use]
pub fn list(exchanges: &[Exchange]) -> String {
    if exchanges.is_empty() {
        return "<p class=\"faint\">None.</p>".to_owned();
    }
    let mut out = String::from("<ul class=\"rows\">");
    for exchange in exchanges {
        let _ = write!(out, "<li>{}{}</li>", head(exchange), passages(exchange));
    }
    out.push_str("</ul>");
    out
}

fn head(exchange: &Exchange) -> String {
    let class = match exchange.state.as_str() {
        "EXCHANGE_SUCCEEDED" => "good",
        "EXCHANGE_FAILED" => "faint",
        _ => "bad",
    };
    let failure = exchange.failure.as_ref().map_or_else(String::new, |failure| {
        format!(" <a class=\"code\" href=\"/docs/codes/{code}\">{code}</a>", code = Escaped(&failure.code))
    });
    format!(
        "<span class=\"name\"><b class=\"{class}\">{state}</b>{failure} {what}</span>\
         <span class=\"faint\">{customer} <code>{id}</code></span>",
        state = state(&exchange.state),
        what = what(exchange),
        customer = masked(&exchange.customer.to_string()),
        id = exchange.id,
    )
}

/// A state as people read it.
#[must_use]
pub fn state(name: &str) -> String {
    Escaped(&capital(&name.to_ascii_lowercase())).to_string()
}

/// What is exchanged, like `buys 500.00 USD for 644,390 KRW at 1288.78`.
#[must_use]
pub fn what(exchange: &Exchange) -> String {
    let verb = match exchange.side {
        Side::Buy => "buys",
        Side::Sell => "sells",
    };
    let currency = exchange.currency;
    let (foreign, won) = (money(exchange.foreign, currency), money(exchange.krw, Currency::KRW));
    format!("{verb} {foreign} {currency} for {won} KRW at {}", exchange.rate)
}

/// Every state that an exchange passed through.
#[must_use]
pub fn passages(exchange: &Exchange) -> String {
    let mut out = String::from("<ol class=\"passages\">");
    let mut day: Option<Timestamp> = None;
    for passage in &exchange.history {
        // The day once, then times.
        let at = match day.replace(passage.at) {
            None => day_and_time(passage.at, UtcOffset::SEOUL),
            Some(_) => time_of_day(passage.at, UtcOffset::SEOUL),
        };
        let _ = write!(
            out,
            "<li><span class=\"when\">{at}</span> <span>{state}</span> <span class=\"faint\">{why}</span></li>",
            state = state(&passage.state),
            why = Escaped(&passage.why)
        );
    }
    out.push_str("</ol>");
    out
}
