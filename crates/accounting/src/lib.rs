//! The general ledger: journals made from postings, trial balance, and the tax withheld from interest.
//!
//! Owns what the bank's own accounts hold; customers' money stands in one control account per currency and deposit
//! instance. Listens to postings; asks and tells nobody, so that nothing a customer waits for waits for it. Never works
//! a figure out again: amounts and taxes are those of the posting.

mod api;
mod consumers;
mod domain;
pub mod proof;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::consumer::{Consumer, watch};
use jangbu_platform::db::Fault;
use jangbu_platform::migrate::Migration;
use jangbu_platform::operators::Desk;
use jangbu_platform::service::{Job, Service, ServiceSpec, World};

use crate::domain::chart::TAX_SUSPENSE;

/// What is known of this service before it starts.
pub const SERVICE: ServiceSpec = ServiceSpec {
    name: "accounting",
    migrations: &[Migration {
        version: 1,
        name: "general ledger",
        sql: include_str!("../migrations/0001_general_ledger.sql"),
    }],
    asks: &[],
    tells: &[],
    listens: &["deposit-krw.postings", "deposit-fx.postings"],
};

/// How often the suspense account is looked at, in milliseconds.
const SUSPENSE_EVERY_MS: u64 = 5_000;

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
        handler: Arc::new(consumers::Postings { journals }),
    };
    let consumers = vec![consumer];
    let desk = Desk::new(&db, &consumers, Vec::new());
    let jobs = vec![watch::job(SERVICE.name, &world, &consumers), suspense_job(&world)];
    Service {
        name: SERVICE.name.to_owned(),
        router: api::router(Arc::new(world), &desk),
        consumers,
        outgoing: Vec::new(),
        jobs,
        db,
    }
}

/// Shows what stands in suspense, which should be nothing.
fn suspense_job(world: &World) -> Job {
    let (db, metrics) = (world.db.clone(), world.metrics.clone());
    let run = move |_: Timestamp| -> BoxFuture<'static, Result<(), Fault>> {
        let (db, metrics) = (db.clone(), metrics.clone());
        async move {
            let mut tx = db.read("accounting.suspense").await?;
            let mut sums = BTreeMap::new();
            for total in store::totals_of(&mut tx, TAX_SUSPENSE).await? {
                *sums.entry(total.currency).or_insert(0i128) += i128::from(total.credits) - i128::from(total.debits);
            }
            for (currency, sum) in sums {
                let help = "Tax withheld and not yet moved to what is owed, minor units.";
                let gauge = metrics.gauge("jangbu_tax_suspense", help, &[("currency", currency.code())]);
                gauge.set(i64::try_from(sum).unwrap_or(i64::MAX));
            }
            Ok(())
        }
        .boxed()
    };
    Job { name: "accounting.suspense", every_ms: SUSPENSE_EVERY_MS, run: Box::new(run), due: None }
}
