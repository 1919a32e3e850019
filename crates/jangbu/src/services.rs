//! The one place that names every service.

use std::fmt::Write;

use jangbu_platform::service::ServiceSpec;

/// All services of the bank.
pub const ALL: [&ServiceSpec; 3] =
    [&jangbu_customer::SERVICE, &jangbu_deposit::service::KRW, &jangbu_deposit::service::FX];

/// Who asks and tells whom, a line each.
#[must_use]
pub fn drawing() -> String {
    let mut out = String::new();
    for service in ALL {
        let asks = if service.asks.is_empty() { "nobody".to_owned() } else { service.asks.join(", ") };
        let _ = writeln!(out, "{} asks {asks}", service.name); // writing to a string can't fail
        for topic in service.tells {
            let heard: Vec<&str> = ALL.iter().filter(|s| s.listens.contains(topic)).map(|s| s.name).collect();
            let heard = if heard.is_empty() { "nobody yet".to_owned() } else { heard.join(", ") };
            let _ = writeln!(out, "{} tells {topic} -> {heard}", service.name);
        }
    }
    out
}
