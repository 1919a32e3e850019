//! The page that watches a run, as HTML, in parts that are replaced on their own when they change.

use std::fmt::Write as _;

use jangbu_kernel::time::UtcOffset;
use jangbu_sim::simulated::trace::{Happening, clock_of};

use super::screen::{Picture, Speed};
use crate::console::{Escaped, Part, capital, fill, grouped};

/// The whole page, filled with parts.
#[must_use]
pub fn page(parts: &[Part]) -> String {
    fill("A simulated bank · Jangbu", include_str!("page.html"), parts)
}

/// All parts.
#[must_use]
pub fn parts(picture: &Picture) -> Vec<Part> {
    vec![
        ("clock", clock(picture)),
        ("verdict", verdict(picture)),
        ("speed", speed(picture)),
        ("nodes", nodes(picture)),
        ("counts", counts(picture)),
        ("happenings", happenings(picture)),
        ("faults", faults(picture)),
        ("topics", topics(picture)),
    ]
}

fn number(n: u64) -> String {
    grouped(i64::try_from(n).unwrap_or(i64::MAX))
}

fn clock(picture: &Picture) -> String {
    let Some(at) = picture.at else { return "opening".to_owned() };
    let date = at.business_date(UtcOffset::SEOUL);
    let weekday = capital(date.weekday().name());
    // Tenths of a second: finer ones only flicker.
    let time = clock_of(at);
    let time = time.get(4..14).unwrap_or_default();
    format!("<b>{weekday} {date} {time}</b> Seoul, seed {}", picture.seed)
}

fn verdict(picture: &Picture) -> String {
    let mut out = String::new();
    if picture.failure.is_empty() {
        let text = if picture.over { "All was right" } else { "Nothing is wrong so far" };
        let _ = write!(out, "<p class=\"verdict good\">{text}</p>");
    } else {
        out.push_str("<p class=\"verdict bad\">Something is wrong</p><pre>");
        for line in &picture.failure {
            let _ = writeln!(out, "{}", Escaped(line));
        }
        out.push_str("</pre>");
    }
    let last = picture.last.as_deref().unwrap_or("The auditor judges whenever the bank is at rest.");
    let _ = write!(out, "<p class=\"faint\">{}</p>", Escaped(last));
    out
}

/// How a speed is called on its button.
fn label(speed: Speed) -> &'static str {
    match speed {
        Speed::Paused => "Pause",
        Speed::Slow => "A tenth",
        Speed::Real => "Real time",
        Speed::Quick => "Ten times",
        Speed::Fast => "As fast as it can",
    }
}

fn speed(picture: &Picture) -> String {
    let mut out = String::new();
    for speed in Speed::ALL {
        let pressed = speed == picture.speed;
        let class = if pressed { " class=\"solid\"" } else { "" };
        let _ = write!(
            out,
            "<button type=\"button\"{class} aria-pressed=\"{pressed}\" data-post=\"/sim/v1/speed\" \
             data-body=\"{{&quot;speed&quot;:&quot;{}&quot;}}\" data-done=\"\">{}</button> ",
            speed.name(),
            label(speed)
        );
    }
    out.push_str(
        "<button type=\"button\" data-post=\"/sim/v1/step\" data-body=\"{}\" data-done=\"\">One step</button>",
    );
    out
}

fn nodes(picture: &Picture) -> String {
    let mut out = String::new();
    for (name, node) in &picture.nodes {
        let state = match node.down_since {
            None => "<span class=\"good\">lives</span>".to_owned(),
            Some(_) => "<span class=\"bad\">is down</span>".to_owned(),
        };
        let _ = write!(out, "<tr><th scope=\"row\">{}</th><td>{state}</td>", Escaped(name));
        for n in [node.deaths, node.answered, node.unanswered, node.postings] {
            let class = if n == 0 { " class=\"faint\"" } else { "" };
            let _ = write!(out, "<td{class}>{}</td>", number(n));
        }
        out.push_str("</tr>");
    }
    out
}

fn counts(picture: &Picture) -> String {
    let figures = [
        ("Steps", picture.steps),
        ("Faults", picture.faults.values().sum()),
        ("Crashes", picture.nodes.values().map(|node| node.deaths).sum()),
        ("Runs ended", picture.ended),
    ];
    let figure = |(name, n): (&str, u64)| format!("<div><dt>{name}</dt><dd>{}</dd></div>", number(n));
    figures.into_iter().map(figure).collect()
}

fn happenings(picture: &Picture) -> String {
    if picture.happenings.is_empty() {
        return "<li class=\"faint\">Nothing has happened yet.</li>".to_owned();
    }
    let mut out = String::new();
    for (at, happening) in &picture.happenings {
        let class = match happening {
            Happening::Fault(_) | Happening::Died(..) => " class=\"bad\"",
            Happening::Back(_) => " class=\"good\"",
            Happening::Line(_) | Happening::Exchange(_) => "",
        };
        let time = clock_of(*at);
        let time = time.get(4..16).unwrap_or_default();
        let text = happening.to_string();
        let _ = write!(out, "<li><span class=\"when\">{time}</span> <span{class}>{}</span></li>", Escaped(&text));
    }
    out
}

fn rows<'a>(rows: impl Iterator<Item = (&'a str, u64)>, none: &str) -> String {
    let row = |(name, n): (&str, u64)| {
        format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>", Escaped(name), number(n)) //
    };
    let all: String = rows.map(row).collect();
    if all.is_empty() { format!("<tr><td class=\"faint\">{none}</td></tr>") } else { all }
}

fn faults(picture: &Picture) -> String {
    let mut by_count: Vec<(&str, u64)> = picture.faults.iter().map(|(kind, n)| (*kind, *n)).collect();
    by_count.sort_by_key(|(kind, n)| (std::cmp::Reverse(*n), *kind));
    rows(by_count.into_iter(), "None has struck.")
}

fn topics(picture: &Picture) -> String {
    rows(picture.topics.iter().map(|(topic, n)| (topic.as_str(), *n)), "None has been told.")
}
