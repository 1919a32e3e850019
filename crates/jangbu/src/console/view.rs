//! The page with the figures, as HTML, in parts that are replaced on their own when they change.

use std::fmt::Write as _;

use jangbu_kernel::date::{BusinessDate, Weekday};
use jangbu_kernel::time::{Timestamp, UtcOffset};

use super::pages::{MARK, document};
use super::text::{Escaped, time_of_day};

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The bank's time.
    pub now: Timestamp,
    /// Whether that time is moved by hand.
    pub by_hand: bool,
    /// The services that are open here.
    pub services: Vec<String>,
}

/// A part of the page: its name in the page, and its HTML.
pub type Part = (&'static str, String);

/// All parts.
#[must_use]
pub fn parts(shown: &Shown) -> Vec<Part> {
    vec![("clock", clock(shown)), ("services", services(shown))]
}

/// The whole page.
#[must_use]
pub fn page(shown: &Shown) -> String {
    let parts = parts(shown);
    let part = |name: &str| parts.iter().find(|(n, _)| *n == name).map_or("", |(_, html)| html.as_str());
    let body = format!(
        "<a class=\"skip\" href=\"#main\">To the figures</a>\n\
         <header class=\"top\"><div class=\"wrap\">\n{MARK}\n\
         <p class=\"clock\" data-part=\"clock\">{clock}</p>\n<div class=\"side\">\
         <form method=\"post\" action=\"/logout\"><button type=\"submit\">Log out</button></form></div>\n</div></header>\n\
         <main id=\"main\" class=\"wrap\">\n<h1 class=\"unseen\">The bank now</h1>\n\
         <section aria-labelledby=\"services\"><h2 id=\"services\">Services</h2>\
         <ul class=\"rows\" data-part=\"services\">{services}</ul></section>\n</main>\n\
         <footer class=\"wrap\"><p>Figures of the whole process: <a href=\"/metrics\">/metrics</a></p></footer>\n",
        clock = part("clock"),
        services = part("services"),
    );
    document("Jangbu", "", &body)
}

fn weekday(date: BusinessDate) -> &'static str {
    match date.weekday() {
        Weekday::Monday => "Mon",
        Weekday::Tuesday => "Tue",
        Weekday::Wednesday => "Wed",
        Weekday::Thursday => "Thu",
        Weekday::Friday => "Fri",
        Weekday::Saturday => "Sat",
        Weekday::Sunday => "Sun",
    }
}

fn clock(shown: &Shown) -> String {
    let date = shown.now.business_date(UtcOffset::SEOUL);
    let time = time_of_day(shown.now, UtcOffset::SEOUL);
    let hand = if shown.by_hand { " · moved by hand" } else { "" };
    format!("<b>{} {date} {time}</b> Seoul{hand}", weekday(date))
}

fn services(shown: &Shown) -> String {
    let mut out = String::new();
    for name in &shown.services {
        let name = Escaped(name);
        let _ = write!(
            out,
            "<li><span class=\"name\">{name}</span><span class=\"links\"><code>/{name}/v1</code>\
             <a href=\"/{name}/v1/openapi.json\">OpenAPI</a></span></li>"
        );
    }
    out
}
