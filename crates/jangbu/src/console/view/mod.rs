//! The page with the figures, as HTML, in parts that are replaced on their own when they change.

mod books;
pub mod chart;
pub mod exchange;
mod flow;
pub mod my;
mod pulse;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use jangbu_kernel::time::{Timestamp, UtcOffset};

use super::figures::Shown;
use super::pages::{MARK, document};
use super::text::{Escaped, grouped, money, time_of_day};

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// A part of the page: its name in the page, and its HTML.
pub type Part = (&'static str, String);

/// The part with the board, which customers see too.
pub const PRICES: &str = "prices";
/// Parts of the operators' page about exchanges.
pub const EXCHANGE_PARTS: [&str; 3] = ["approvals", "stuck", "exchanges"];
/// Parts that this page shares with others.
pub const SHARED_PARTS: [&str; 3] = ["clock", "trouble", PRICES];

/// All parts.
#[must_use]
pub fn parts(shown: &Shown) -> Vec<Part> {
    vec![
        ("clock", clock(shown)),
        ("trouble", trouble(shown)),
        ("pulse", pulse::pulse(shown)),
        ("verdict", books::verdict(shown)),
        ("books", books::books(shown)),
        ("counts", counts(shown)),
        ("events", flow::events(shown)),
        ("lags", flow::lags(shown)),
        ("parked", flow::parked(shown)),
        ("calls", flow::calls(shown)),
        ("services", services(shown)),
        (PRICES, exchange::prices(shown)),
        ("approvals", exchange::approvals(shown)),
        ("stuck", exchange::stuck(shown)),
        ("exchanges", exchange::newest(shown)),
    ]
}

/// The whole page, filled with parts.
#[must_use]
pub fn page(parts: &[Part]) -> String {
    fill("Jangbu", include_str!("../assets/page.html"), parts)
}

/// A page of that title, made from a template with the names of parts in double braces.
#[must_use]
pub fn fill(title: &str, template: &str, parts: &[Part]) -> String {
    let mut body = String::with_capacity(16_384);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or(("", ""));
        body.push_str(before);
        body.push_str(match name {
            "mark" => MARK,
            name => parts.iter().find(|(n, _)| *n == name).map_or("", |(_, html)| html.as_str()),
        });
        rest = after;
    }
    body.push_str(rest);
    document(title, "<script src=\"/assets/app.js\" defer></script>\n", &body)
}

fn clock(shown: &Shown) -> String {
    let Some(now) = shown.now else { return String::new() };
    let date = now.business_date(UtcOffset::SEOUL);
    let mut out =
        format!("<b>{} {date} {}</b> Seoul", capital(date.weekday().name()), time_of_day(now, UtcOffset::SEOUL));
    if shown.by_hand {
        let to = Timestamp::from_micros(now.micros().saturating_add(DAY_US));
        let _ = write!(
            out,
            " <span class=\"tag\">clock moved by hand</span> <button type=\"button\" data-post=\"/sim/v1/clock\" \
             data-body=\"{{&quot;to&quot;:&quot;{to}&quot;}}\" data-done=\"The bank is a day on.\">A day on</button>"
        );
    }
    out
}

fn trouble(shown: &Shown) -> String {
    let mut out = String::new();
    let undecided = shown.exchange.as_ref().map_or(0, |exchange| exchange.undecided);
    if undecided > 0 {
        let what = plural(undecided, "exchange");
        let _ = write!(
            out,
            "<p class=\"alert\">{} {what} not decided after a minute: <a href=\"/exchange#stuck\">see why, and what helps</a>.</p>",
            grouped(undecided)
        );
    }
    for what in &shown.trouble {
        let _ = write!(out, "<p class=\"alert\">Could not be read: {}</p>", Escaped(what));
    }
    out
}

/// A figure with its name.
fn figure(out: &mut String, name: &str, value: &str, note: &str) {
    let note = if note.is_empty() { String::new() } else { format!("<dd class=\"note\">{note}</dd>") };
    let _ = write!(out, "<div><dt>{name}</dt><dd>{value}</dd>{note}</div>");
}

fn counts(shown: &Shown) -> String {
    let counted = &shown.counted;
    let number = |n: u64| grouped(i64::try_from(n).unwrap_or(i64::MAX));
    let mut out = String::new();
    figure(&mut out, "Customers", &counted.customers.map_or("\u{2013}".to_owned(), number), "");
    figure(&mut out, "Accounts opened", &number(counted.accounts), "");
    figure(&mut out, "Postings", &number(counted.postings), &format!("{} refused", number(counted.refused)));
    let paid = shown.books.iter().filter(|book| book.sums.interest_payments_today > 0);
    let mut paid: Vec<_> = paid.map(|book| &book.sums).collect();
    paid.sort_by_key(|sums| std::cmp::Reverse(sums.interest_payments_today));
    match paid.first() {
        None => figure(&mut out, "Interest paid today", "0", "nobody has claimed"),
        Some(sums) => {
            let payments: i64 = paid.iter().map(|sums| sums.interest_payments_today).sum();
            let value = format!("{} {}", money(sums.interest_paid_today, sums.currency), sums.currency);
            let more = if paid.len() > 1 { format!(" in {} currencies", paid.len()) } else { String::new() };
            let tax = money(sums.interest_tax_today, sums.currency);
            let note = format!("{} {}{more}, {tax} withheld", grouped(payments), plural(payments, "claim"));
            figure(&mut out, "Interest paid today", &value, &note);
        }
    }
    out
}

/// Words that begin a line.
#[must_use]
pub fn capital(words: &str) -> String {
    let mut words = words.replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

/// The word as it goes with a number.
fn plural(n: i64, word: &str) -> String {
    if n == 1 { word.to_owned() } else { format!("{word}s") }
}

fn services(shown: &Shown) -> String {
    let mut out = String::new();
    for name in &shown.services {
        let name = Escaped(name);
        let _ = write!(
            out,
            "<li><span class=\"name\">{name}</span><code>/{name}/v1</code>\
             <a href=\"/{name}/v1/openapi.json\" aria-label=\"OpenAPI document of {name}\">OpenAPI</a></li>"
        );
    }
    out
}
