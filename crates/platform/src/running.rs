//! What runs of an open service besides its calls: its relays, consumers and jobs.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::clock::Clock;
use crate::consumer::Consumer;
use crate::db::{Db, Fault};
use crate::kv::Kv;
use crate::log::Log;
use crate::relay::{self, Outgoing, Turn};
use crate::service::{Job, Service, ServiceSpec, Stop, World, run_job};

/// How long one look for events under way waits before the next.
const SETTLE_POLL_MS: u64 = 5;
/// Events waiting to leave that are looked at together.
const EVENTS_MARKED_MAX: u32 = 1_024;

/// A service of the bank: what is known of it, and how it is opened on a migrated database.
pub struct Opener {
    /// What is known of it.
    pub spec: &'static ServiceSpec,
    /// Opens it.
    pub open: fn(World) -> BoxFuture<'static, Result<Service, Fault>>,
}

/// What runs of an open service besides its calls.
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its database.
    pub db: Db,
    /// Its consumers.
    pub consumers: Vec<Consumer>,
    /// Where its events wait to leave.
    pub outgoing: Vec<Arc<dyn Outgoing>>,
    /// Its regular work.
    pub jobs: Vec<Arc<Job>>,
    /// Where its processes agree on whose turn it is; only asked where they share a database.
    turns: Option<Kv>,
}

impl Part {
    /// The part of a service that runs by itself.
    #[must_use]
    pub fn of(service: Service) -> Part {
        let Service { name, db, consumers, outgoing, jobs, .. } = service;
        let jobs = jobs.into_iter().map(Arc::new).collect();
        Part { name, db, consumers, outgoing, jobs, turns: None }
    }

    /// With other processes beside it, which agree with it by `kv`.
    #[must_use]
    pub fn sharing(self, kv: Kv) -> Part {
        let turns = (!self.db.sole_owner()).then_some(kv);
        Part { turns, ..self }
    }

    /// Starts all of it by `spawn`, until `stop`.
    pub fn run(&self, log: &Log, clock: &Arc<dyn Clock>, stop: &Stop, mut spawn: impl FnMut(BoxFuture<'static, ()>)) {
        for (n, outgoing) in self.outgoing.iter().enumerate() {
            let (name, wake) = (self.name.clone(), self.db.emitted());
            let turn = |kv: &Kv| Turn::new(kv.clone(), self.db.clone(), format!("relay:{name}:{n}"));
            let turn = self.turns.as_ref().map(turn);
            spawn(Box::pin(relay::run(name, Arc::clone(outgoing), wake, log.clone(), stop.clone(), turn)));
        }
        for consumer in &self.consumers {
            spawn(Box::pin(consumer.clone().run(log.clone(), stop.clone())));
        }
        for job in &self.jobs {
            spawn(Box::pin(run_job(Arc::clone(job), Arc::clone(clock), stop.clone())));
        }
    }
}

/// Waits until every event that was told up to now, and what came of it, has been taken by all who listen. A bank at
/// work goes on telling; that is not waited for.
///
/// # Errors
/// A database or the log failed.
pub async fn settle(parts: &[Arc<Part>], log: &Log) -> Result<(), Fault> {
    // Who takes an event may tell another; such a chain is no longer than there are services.
    for _ in 0..=parts.len() {
        let mut found = false;
        for outgoing in parts.iter().flat_map(|part| &part.outgoing) {
            found |= wait_until_left(outgoing.as_ref()).await?;
        }
        for consumer in parts.iter().flat_map(|part| &part.consumers) {
            for topic in &consumer.topics {
                found |= wait_until_taken(log, consumer.group, topic).await?;
            }
        }
        if !found {
            return Ok(());
        }
    }
    Ok(())
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(SETTLE_POLL_MS)).await;
}

/// Waits for the events that now wait to leave; whether there were any.
async fn wait_until_left(outgoing: &dyn Outgoing) -> Result<bool, Fault> {
    let mut found = false;
    loop {
        let waiting = outgoing.unsent(EVENTS_MARKED_MAX).await?;
        let Some(last) = waiting.last().map(|event| event.id) else { return Ok(found) };
        found = true;
        while outgoing.unsent(1).await?.first().is_some_and(|event| event.id <= last) {
            pause().await;
        }
        if waiting.len() < EVENTS_MARKED_MAX as usize {
            return Ok(found);
        }
    }
}

/// Waits until a group has taken what the topic now holds; whether there was anything to take.
async fn wait_until_taken(log: &Log, group: &str, topic: &str) -> Result<bool, Fault> {
    let mut found = false;
    let ends = log.ends(topic).await?;
    let behind = |taken: &[i64]| taken.iter().zip(&ends).any(|(taken, end)| taken < end);
    while behind(&log.committed(group, topic).await?) {
        found = true;
        pause().await;
    }
    Ok(found)
}
