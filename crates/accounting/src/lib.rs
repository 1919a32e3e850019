//! The general ledger: journals made from postings and exchanges, trial balance, the tax withheld from interest, positions
//! in foreign currencies, and whether the legs of each exchange agree.
//!
//! Owns what the bank's own accounts hold; customers' money stands in one control account per currency and deposit
//! instance. Listens to postings, decided exchanges and boards; asks and tells nobody, so that nothing a customer waits for waits for it. Never works
//! a figure out again: amounts and taxes are those of the posting.

mod api;
mod consumers;
mod domain;
mod flows;
pub mod proof;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_contracts::topics;
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::consumer::{Consumer, watch};
use jangbu_platform::db::{Db, Fault};
use jangbu_platform::migrate::Migration;
use jangbu_platform::operators::Desk;
use jangbu_platform::service::{Job, Service, ServiceSpec, World};

use crate::domain::chart::{Code, EXCHANGE_CLEARING, TAX_SUSPENSE};
use crate::domain::matching::{Class, TIMING};

/// What is known of this service before it starts.
pub const SERVICE: ServiceSpec = ServiceSpec {
    name: "accounting",
    migrations: &[
        Migration { version: 1, name: "general ledger", sql: include_str!("../migrations/0001_general_ledger.sql") },
        Migration {
            version: 2,
            name: "foreign exchange",
            sql: include_str!("../migrations/0002_foreign_exchange.sql"),
        },
    ],
    asks: &[],
    tells: &[],
    listens: &["deposit-krw.postings", "deposit-fx.postings", topics::EXCHANGE_BOARDS, topics::EXCHANGE_DECIDED],
};

/// How often suspense and clearing are looked at, in milliseconds.
const SUSPENSE_EVERY_MS: u64 = 5_000;
/// How often exchanges are looked at whose books do not agree, in milliseconds.
const EXCHANGES_EVERY_MS: u64 = 1_000;

/// Opens the service on a migrated database.
#[must_use]
pub fn open(world: World) -> Service {
    let db = world.db.clone();
    let help = "Journals written to the general ledger.";
    let journals = world.metrics.counter("jangbu_journals_total", help, &[]);
    let consumer = Consumer {
        group: SERVICE.name,
        topics: SERVICE.listens.iter().map(|topic| (*topic).to_owned()).collect(),
        db: db.clone(),
        handler: Arc::new(consumers::Taken { journals, offset: world.offset }),
    };
    let consumers = vec![consumer];
    let desk = Desk::new(&db, &consumers, Vec::new());
    let jobs = vec![watch::job(SERVICE.name, &world, &consumers), suspense_job(&world), exchanges_job(&world)];
    Service {
        name: SERVICE.name.to_owned(),
        router: api::router(Arc::new(world), &desk),
        consumers,
        outgoing: Vec::new(),
        jobs,
        db,
    }
}

/// What an account holds that should be empty, by currency: credits less debits.
async fn held(db: &Db, code: Code) -> Result<BTreeMap<Currency, i64>, Fault> {
    let mut tx = db.read("accounting.held").await?;
    let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
    for total in store::totals_of(&mut tx, code).await? {
        *sums.entry(total.currency).or_default() += i128::from(total.credits) - i128::from(total.debits);
    }
    Ok(sums.into_iter().map(|(currency, sum)| (currency, i64::try_from(sum).unwrap_or(i64::MAX))).collect())
}

/// Shows what stands in suspense, which should be nothing, and in clearing, which is what exchanges have under way.
fn suspense_job(world: &World) -> Job {
    let (db, metrics) = (world.db.clone(), world.metrics.clone());
    let run = move |_: Timestamp| -> BoxFuture<'static, Result<(), Fault>> {
        let (db, metrics) = (db.clone(), metrics.clone());
        async move {
            let suspense = "Tax withheld and not yet moved to what is owed, minor units.";
            let clearing = "Legs of exchanges that no decision has moved out of clearing, minor units.";
            let of = [
                (TAX_SUSPENSE, "jangbu_tax_suspense", suspense),
                (EXCHANGE_CLEARING, "jangbu_exchange_clearing", clearing),
            ];
            for (code, name, help) in of {
                for (currency, sum) in held(&db, code).await? {
                    metrics.gauge(name, help, &[("currency", currency.code())]).set(sum);
                }
            }
            Ok(())
        }
        .boxed()
    };
    Job { name: "accounting.suspense", every_ms: SUSPENSE_EVERY_MS, run: Box::new(run), due: None }
}

/// Counts exchanges whose books do not agree, and tells of each once.
fn exchanges_job(world: &World) -> Job {
    let db = world.db.clone();
    let help = "Exchanges whose legs and decision do not agree, by class; timing while something may be on its way.";
    let gauge =
        |class: &'static str| (class, world.metrics.gauge("jangbu_exchange_unmatched", help, &[("class", class)]));
    let gauges: Vec<_> = Class::ALL.into_iter().map(Class::name).chain([TIMING]).map(gauge).collect();
    let help = "Age of the oldest exchange whose legs and decision do not agree, seconds.";
    let oldest = world.metrics.gauge("jangbu_exchange_unmatched_oldest_seconds", help, &[]);
    let run = move |now: Timestamp| -> BoxFuture<'static, Result<(), Fault>> {
        let (db, gauges, oldest) = (db.clone(), gauges.clone(), oldest.clone());
        async move {
            let (counts, since) =
                store::exchanges::counts(&mut db.read("accounting.unmatched").await?, now.micros()).await?;
            for (class, gauge) in gauges {
                gauge.set(counts.get(class).copied().unwrap_or(0));
            }
            oldest.set(since.map_or(0, |since| (now.micros() - since).max(0) / 1_000_000));
            flows::tell_breaks(&db, now).await
        }
        .boxed()
    };
    Job { name: "accounting.exchanges", every_ms: EXCHANGES_EVERY_MS, run: Box::new(run), due: None }
}
