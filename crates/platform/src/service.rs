//! What a service is to the program that runs it: data about it, and its parts once opened.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::future::BoxFuture;
use jangbu_kernel::time::{Timestamp, UtcOffset};
use tokio::sync::watch;

use crate::ask::Ask;
use crate::clock::Clock;
use crate::consumer::Consumer;
use crate::db::{Db, Fault};
use crate::dice::Dice;
use crate::kv::Kv;
use crate::log::Log;
use crate::migrate::Migration;
use crate::relay::Outgoing;
use crate::telemetry::Metrics;

/// What is known of a service before anything starts.
#[derive(Clone, Copy, Debug)]
pub struct ServiceSpec {
    /// Its name, which is also the first segment of its paths.
    pub name: &'static str,
    /// Its schema.
    pub migrations: &'static [Migration],
    /// Services it calls.
    pub asks: &'static [&'static str],
    /// Topics it writes.
    pub tells: &'static [&'static str],
    /// Topics it reads, as a group of its own name.
    pub listens: &'static [&'static str],
}

/// What every service is handed when it opens.
#[derive(Clone)]
pub struct World {
    /// Its own database, migrated.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub dice: Dice,
    /// The bank's time zone.
    pub offset: UtcOffset,
    /// The event log.
    pub log: Log,
    /// The key for personal data at rest.
    pub data_key: Arc<crate::crypto::DataKey>,
    /// The way to the other services, in this one's name.
    pub ask: Ask,
    /// Where it counts.
    pub metrics: Metrics,
    /// What it may share and lose: cache, leases, sorted sets, counters.
    pub kv: Kv,
}

/// Regular work of a service.
pub struct Job {
    /// Its name in logs.
    pub name: &'static str,
    /// How often it looks, in milliseconds.
    pub every_ms: u64,
    /// One look: does what is due at the instant, in order, and ends.
    pub run: Look,
    /// When something will be due next, for clocks that are moved by hand and must stop there; none when nothing
    /// waits for an instant.
    pub due: Option<Due>,
}

/// One look of a job.
pub type Look = Box<dyn Fn(Timestamp) -> BoxFuture<'static, Result<(), Fault>> + Send + Sync>;
/// Tells when a job has work next.
pub type Due = Box<dyn Fn() -> BoxFuture<'static, Result<Option<Timestamp>, Fault>> + Send + Sync>;

/// An open service.
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its database.
    pub db: Db,
    /// Its calls, under `/{name}/v1`.
    pub router: Router,
    /// Its consumers.
    pub consumers: Vec<Consumer>,
    /// Where its events wait to leave.
    pub outgoing: Vec<Arc<dyn Outgoing>>,
    /// Its regular work.
    pub jobs: Vec<Job>,
}

/// Tells running parts to end.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::channel(false).0))
    }
}

impl Stop {
    /// Asks everybody to end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
    /// Whether everybody was asked to end.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow()
    }
    /// Ends when everybody is asked to end.
    pub async fn wait(&self) {
        let mut seen = self.0.subscribe();
        let _ = seen.wait_for(|stopping| *stopping).await; // the sender lives as long as we do
    }
}

/// Runs a job until `stop`.
pub async fn run_job(job: Arc<Job>, clock: Arc<dyn Clock>, stop: Stop) {
    loop {
        tokio::select! {
            biased;
            () = stop.wait() => return,
            () = tokio::time::sleep(Duration::from_millis(job.every_ms)) => {}
        }
        if let Err(e) = (job.run)(clock.now()).await {
            tracing::warn!(job = job.name, error = %e, "a job could not run; it will look again");
        }
    }
}
