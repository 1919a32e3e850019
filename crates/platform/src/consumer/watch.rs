//! Numbers about consumers: how far they are behind, and how many events are parked.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_kernel::time::Timestamp;

use super::{Consumer, letters};
use crate::db::Fault;
use crate::service::{Job, World};

/// How often the numbers are taken, in milliseconds.
const EVERY_MS: u64 = 1_000;

/// A job that shows, of one service, the lag of each topic its consumers read and the letters that are parked.
#[must_use]
pub fn job(service: &'static str, world: &World, consumers: &[Consumer]) -> Job {
    let (db, log, metrics) = (world.db.clone(), world.log.clone(), &world.metrics);
    let help = "Events that a consumer could not take and that wait for an operator.";
    let parked = metrics.gauge("jangbu_dead_letters_parked", help, &[("service", service)]);
    let mut lags = Vec::new();
    for consumer in consumers {
        for topic in &consumer.topics {
            let labels = [("service", service), ("group", consumer.group), ("topic", topic.as_str())];
            let gauge = metrics.gauge("jangbu_consumer_lag", "Events told and not yet taken.", &labels);
            lags.push((consumer.group, topic.clone(), gauge));
        }
    }
    let run = move |_: Timestamp| -> BoxFuture<'static, Result<(), Fault>> {
        let (db, log, parked, lags) = (db.clone(), log.clone(), parked.clone(), lags.clone());
        async move {
            parked.set(letters::parked_count(&mut db.read("dead_letter.count").await?).await?);
            for (group, topic, gauge) in lags {
                gauge.set(log.lag(group, &topic).await?);
            }
            Ok(())
        }
        .boxed()
    };
    Job { name: "consumer.watch", every_ms: EVERY_MS, run: Box::new(run), due: None }
}
