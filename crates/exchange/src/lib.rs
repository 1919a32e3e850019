//! Foreign exchange around the clock: the board, quotes, limits, and exchanges as sagas over the books of two deposit
//! instances.
//!
//! Owns boards, discounts, quotes, exchanges and what is taken of limits; no balance. Asks both deposit instances, tells
//! decisions and withdrawals that are to be given back. Never assumes what became of a call.

mod api;
pub mod domain;
mod flows;
pub mod proof;
mod store;

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_contracts::topics;
use jangbu_kernel::time::UtcOffset;
use jangbu_platform::db::{Db, Fault};
use jangbu_platform::kv::Kv;
use jangbu_platform::migrate::Migration;
use jangbu_platform::operators::Desk;
use jangbu_platform::relay::Outbox;
use jangbu_platform::saga::{self, Runner};
use jangbu_platform::service::{Job, Service, ServiceSpec, World};
use jangbu_platform::telemetry::Metrics;

use crate::flows::begin::Beginnings;
use crate::flows::boards::PublishBoard;
use crate::flows::force::ForceExchange;
use crate::flows::legs::Legs;
use crate::flows::looks::Looks;
use crate::flows::quotes::Quoting;
use crate::flows::saga::Exchanging;

/// How often it looks for exchanges that take too long, in milliseconds.
const ALARM_EVERY_MS: u64 = 5_000;

/// What is known of this service before it starts.
pub const SERVICE: ServiceSpec = ServiceSpec {
    name: "exchange",
    migrations: &[
        Migration { version: 1, name: "sagas", sql: saga::SCHEMA },
        Migration { version: 2, name: "exchange", sql: include_str!("../migrations/0002_exchange.sql") },
    ],
    asks: &["deposit-krw", "deposit-fx"],
    tells: &[topics::EXCHANGE_BOARDS, topics::EXCHANGE_DECIDED, topics::EXCHANGE_GIVEN_UP],
    listens: &[],
};

/// What flows work with.
struct Exchanges {
    db: Db,
    kv: Kv,
    offset: UtcOffset,
    runner: Runner,
    quoting: Quoting,
    beginning: Beginnings,
    looks: Looks,
    desk: Desk,
}

/// Opens the service on a migrated database.
#[must_use]
pub fn open(world: World) -> Service {
    let World { db, ask, kv, offset, dice, metrics, .. } = world;
    let looks = Looks::start(&db, &ask, &dice);
    let runner = Runner::start(Arc::new(Exchanging(Legs::start(&ask))), db.clone(), ask.clone(), dice);
    let force = ForceExchange { db: db.clone(), ask };
    let desk = Desk::new(&db, &[], vec![Arc::new(PublishBoard(offset)), Arc::new(force)]);
    let sweep = runner.job("exchange.sweep");
    let (quoting, beginning) = (Quoting::start(&db), Beginnings::start(&db, &runner, offset));
    let exchanges = Arc::new(Exchanges { db: db.clone(), kv, offset, runner, quoting, beginning, looks, desk });
    Service {
        name: SERVICE.name.to_owned(),
        router: api::router(exchanges),
        consumers: Vec::new(),
        outgoing: vec![Arc::new(Outbox(db.clone()))],
        jobs: vec![sweep, alarm(&db, &metrics)],
        db,
    }
}

/// The look for exchanges that take too long, as regular work.
fn alarm(db: &Db, metrics: &Metrics) -> Job {
    let undecided = metrics.gauge("jangbu_exchange_undecided_old", "Exchanges not decided after a minute.", &[]);
    let db = db.clone();
    let run = move |_| -> BoxFuture<'static, Result<(), Fault>> {
        let (db, undecided) = (db.clone(), undecided.clone());
        async move { flows::alarm::look(&db, &undecided).await.map(drop) }.boxed()
    };
    Job { name: "exchange.alarm", every_ms: ALARM_EVERY_MS, run: Box::new(run), due: None }
}

#[cfg(test)]
mod tests;
