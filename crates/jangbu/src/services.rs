//! The one place that names every service.

use std::fmt::Write;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_platform::db::Fault;
use jangbu_platform::running::Opener;
use jangbu_platform::service::{Service, World};

/// All services of the bank.
pub const ALL: &[Opener] = &[
    Opener { spec: &jangbu_customer::SERVICE, open: |world| async { Ok(jangbu_customer::open(world)) }.boxed() },
    Opener { spec: &jangbu_deposit::service::KRW, open: deposit_krw },
    Opener { spec: &jangbu_deposit::service::FX, open: deposit_fx },
    Opener { spec: &jangbu_accounting::SERVICE, open: |world| async { Ok(jangbu_accounting::open(world)) }.boxed() },
    Opener { spec: &jangbu_exchange::SERVICE, open: |world| async { Ok(jangbu_exchange::open(world)) }.boxed() },
    Opener { spec: &jangbu_channel::SERVICE, open: |world| async { Ok(jangbu_channel::open(world)) }.boxed() },
];

fn deposit_krw(world: World) -> BoxFuture<'static, Result<Service, Fault>> {
    let seed = include_str!("../seed/deposit-krw.json");
    jangbu_deposit::service::open(&jangbu_deposit::service::KRW, 1, world, seed).boxed()
}

fn deposit_fx(world: World) -> BoxFuture<'static, Result<Service, Fault>> {
    let seed = include_str!("../seed/deposit-fx.json");
    jangbu_deposit::service::open(&jangbu_deposit::service::FX, 2, world, seed).boxed()
}

/// Every topic that is read, and who reads it, as the log knows him.
#[must_use]
pub fn readers() -> Vec<(String, String)> {
    let specs = ALL.iter().map(|entry| entry.spec);
    specs.flat_map(|spec| spec.listens.iter().map(|topic| ((*topic).to_owned(), spec.name.to_owned()))).collect()
}

/// Who asks and tells whom, a line each.
#[must_use]
pub fn drawing() -> String {
    let mut out = String::new();
    for service in ALL.iter().map(|entry| entry.spec) {
        let asks = if service.asks.is_empty() { "nobody".to_owned() } else { service.asks.join(", ") };
        let _ = writeln!(out, "{} asks {asks}", service.name); // writing to a string can't fail
        for topic in service.tells {
            let heard = ALL.iter().filter(|e| e.spec.listens.contains(topic)).map(|e| e.spec.name);
            let heard = heard.collect::<Vec<_>>();
            let heard = if heard.is_empty() { "nobody yet".to_owned() } else { heard.join(", ") };
            let _ = writeln!(out, "{} tells {topic} -> {heard}", service.name);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drawing_in_the_map_is_true() {
        let map = include_str!("../../../ARCHITECTURE.md");
        let drawn = map.split_once("```services\n").and_then(|(_, rest)| rest.split_once("```"));
        assert_eq!(drawn.map(|(drawn, _)| drawn), Some(drawing().as_str()), "print it anew by `jangbu services`");
    }

    #[test]
    fn whoever_is_asked_or_heard_exists() {
        let spec = |name: &str| ALL.iter().any(|entry| entry.spec.name == name);
        let told = |topic: &str| ALL.iter().any(|entry| entry.spec.tells.contains(&topic));
        for entry in ALL {
            assert!(entry.spec.asks.iter().all(|name| spec(name)), "{} asks somebody unknown", entry.spec.name);
            assert!(entry.spec.listens.iter().all(|topic| told(topic)), "{} hears nobody", entry.spec.name);
        }
    }
}
