//! Events and calls: what was told last, who is behind, what could not be taken, how long calls take.

use std::fmt::Write as _;

use jangbu_kernel::time::UtcOffset;
use jangbu_platform::telemetry::reading::Below;

use super::plural;
use crate::console::figures::Shown;
use crate::console::text::{Escaped, grouped, masked, time_of_day};

pub(super) fn events(shown: &Shown) -> String {
    if shown.events.is_empty() {
        return "<li class=\"faint\">No events yet.</li>".to_owned();
    }
    let mut out = String::new();
    for event in &shown.events {
        let time = time_of_day(event.at, UtcOffset::SEOUL);
        let _ = write!(
            out,
            "<li><span class=\"when\">{time}</span> <span>{}</span> <span class=\"who\">{}</span> \
             <span class=\"sum\">{}</span></li>",
            Escaped(&event.what),
            Escaped(&event.who),
            Escaped(&event.amount)
        );
    }
    out
}

/// A number that should be nothing.
fn count(n: i64) -> String {
    let class = if n == 0 { "faint" } else { "" };
    format!("<td class=\"{class}\">{}</td>", grouped(n))
}

pub(super) fn lags(shown: &Shown) -> String {
    let mut out = String::new();
    for (service, waiting) in &shown.waiting {
        let service = Escaped(service);
        let waiting = count(i64::try_from(*waiting).unwrap_or(i64::MAX));
        let _ =
            write!(out, "<tr><th scope=\"row\">{service} <span class=\"faint\">\u{2192} log</span></th>{waiting}</tr>");
    }
    for lag in &shown.lags {
        let (topic, group) = (Escaped(&lag.topic), Escaped(&lag.group));
        let behind = count(lag.events);
        let _ = write!(
            out,
            "<tr><th scope=\"row\"><span class=\"faint\">{topic} \u{2192}</span> {group}</th>{behind}</tr>"
        );
    }
    out
}

pub(super) fn parked(shown: &Shown) -> String {
    let parked: u64 = shown.parked.iter().map(|(_, count)| count).sum();
    let parked = i64::try_from(parked).unwrap_or(i64::MAX);
    if parked == 0 {
        return "<p class=\"faint\">None. An event that cannot be taken waits here, and later ones of its key behind it.</p>"
            .to_owned();
    }
    let mut out =
        format!("<p class=\"bad\">{} {} parked.</p><ul class=\"rows\">", grouped(parked), plural(parked, "event"));
    for letter in &shown.letters {
        let (service, id, event_type) = (Escaped(&letter.service), letter.id, Escaped(&letter.event_type));
        let _ = write!(
            out,
            "<li><span class=\"name\">{event_type} <span class=\"faint\">in {service}, {time}, {short}</span></span>\
             <button type=\"button\" data-post=\"/{service}/v1/dead-letters/{id}/redrive\" \
             data-body=\"{{&quot;reason&quot;:&quot;driven again from the bank's page&quot;}}\" \
             data-done=\"It went through.\">Drive again</button><span class=\"why\">{reason}</span></li>",
            time = time_of_day(letter.at, UtcOffset::SEOUL),
            short = masked(&id.to_string()),
            reason = Escaped(&letter.reason),
        );
    }
    out.push_str("</ul>");
    out
}

/// A bound in microseconds, in the unit that people use for it.
fn took(below: Option<Below>) -> String {
    let text = |us: u64| match us {
        0..1_000 => format!("{us} \u{b5}s"),
        1_000..1_000_000 => format!("{} ms", decimal(us, 1_000)),
        _ => format!("{} s", decimal(us, 1_000_000)),
    };
    match below {
        None => "\u{2013}".to_owned(),
        Some(Below::Bound(us)) => format!("\u{2264} {}", text(us)),
        Some(Below::Above(us)) => format!("&gt; {}", text(us)),
    }
}

fn decimal(n: u64, unit: u64) -> String {
    let tenths = n * 10 / unit;
    if tenths.is_multiple_of(10) { (tenths / 10).to_string() } else { format!("{}.{}", tenths / 10, tenths % 10) }
}

pub(super) fn calls(shown: &Shown) -> String {
    if shown.calls.is_empty() {
        return "<tr><td class=\"faint\" colspan=\"4\">No calls in the last minute.</td></tr>".to_owned();
    }
    let mut out = String::new();
    for calls in &shown.calls {
        let (method, path) = calls.call.split_once(' ').unwrap_or(("", calls.call.as_str()));
        let _ = write!(
            out,
            "<tr><th scope=\"row\"><span class=\"faint\">{}</span> {}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
            Escaped(method),
            Escaped(path).to_string().replace('/', "<wbr>/"),
            grouped(i64::try_from(calls.count).unwrap_or(i64::MAX)),
            took(calls.p50),
            took(calls.p99)
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_the_unit_that_people_use() {
        let cases =
            [(100, "≤ 100 µs"), (1_000, "≤ 1 ms"), (2_500, "≤ 2.5 ms"), (100_000, "≤ 100 ms"), (2_500_000, "≤ 2.5 s")];
        for (us, text) in cases {
            assert_eq!(took(Some(Below::Bound(us))), text);
        }
        assert_eq!((took(Some(Below::Above(10_000_000))).as_str(), took(None).as_str()), ("&gt; 10 s", "–"));
    }
}
