//! Services opened in one process, all of the bank or a few.
//!
//! Each service has a database of its own: a file of the bank's directory, of which a lock file tells a second process
//! at once that the service is open already, or one on a server, which several processes of the service share. The event
//! log is one file that processes on the same directory share, or lies on brokers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use jangbu_kernel::time::UtcOffset;
use jangbu_platform::ask::Ask;
use jangbu_platform::auth::Keyring;
use jangbu_platform::clock::{Clock, RealClock};
use jangbu_platform::crypto::DataKey;
use jangbu_platform::db::Fault;
use jangbu_platform::dice::Dice;
use jangbu_platform::edge::{CALLS_UNDER_WAY_MAX, Edge, beside};
use jangbu_platform::http::{Gate, with_fallbacks};
use jangbu_platform::log::Log;
use jangbu_platform::log::retention::{self, KEPT_DAYS_DEFAULT, Retention};
use jangbu_platform::migrate;
use jangbu_platform::running::{Opener, Part};
use jangbu_platform::service::{Stop, World};
use jangbu_platform::telemetry::Metrics;
use tokio::task::JoinSet;

use crate::shared::{KvPlace, LogPlace};
use crate::store::Store;

/// How a bank is opened.
pub struct Opening {
    /// Where its files live; made when missing.
    pub dir: PathBuf,
    /// Where its databases are.
    pub store: Store,
    /// Where its log is.
    pub log: LogPlace,
    /// Where its caches, leases and counters are.
    pub kv: KvPlace,
    /// Its time.
    pub clock: Arc<dyn Clock>,
    /// Its chance.
    pub dice: Dice,
    /// Which services are opened in this process.
    pub services: Vec<&'static Opener>,
    /// Where the others are: name and base address.
    pub peers: Vec<(String, String)>,
    /// The bank's distance from UTC.
    pub offset: UtcOffset,
    /// Calls under way in one service at most.
    pub calls_max: usize,
    /// Days for which the log keeps what everybody has taken.
    pub log_days: u32,
}

impl Opening {
    /// The whole bank in `dir`.
    #[must_use]
    pub fn whole(dir: &Path, clock: Arc<dyn Clock>, dice: Dice) -> Self {
        let services = crate::services::ALL.iter().collect();
        let (peers, offset) = (Vec::new(), UtcOffset::SEOUL);
        let (calls_max, log_days) = (CALLS_UNDER_WAY_MAX, KEPT_DAYS_DEFAULT);
        let (dir, store) = (dir.to_owned(), Store::Embedded(dir.to_owned()));
        let (log, kv) = (LogPlace::Embedded, KvPlace::Embedded);
        Self { dir, store, log, kv, clock, dice, services, peers, offset, calls_max, log_days }
    }
}

/// An open bank, or the part of one that this process runs.
pub struct Bank {
    /// All calls of all services, behind the edge.
    pub router: Router,
    /// The bank's keys.
    pub keys: Keyring,
    /// Calls to the services in the name of the bank's own programs.
    pub ask: Ask,
    /// What is counted.
    pub metrics: Metrics,
    /// The event log.
    pub log: Log,
    /// The bank's time.
    pub clock: Arc<dyn Clock>,
    /// Who knows callers.
    pub gate: Gate,
    /// What runs.
    pub parts: Arc<Vec<Arc<Part>>>,
    /// Tells running parts to end.
    pub stop: Stop,
    tasks: JoinSet<()>,
    // Held while the bank is open: a second process is told at once.
    _locks: Vec<File>,
}

/// Takes a service of the directory for this process alone, as long as the file is held.
///
/// # Errors
/// Another process has it, or the directory can't be written.
pub fn lock(dir: &Path, service: &str) -> Result<File, Fault> {
    let path = dir.join(format!("{service}.lock"));
    let storage =
        |e: std::io::Error| Fault::Storage { doing: format!("opening {}", path.display()), why: e.to_string() };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(storage)?;
    file.try_lock().map_err(|_| {
        let why = format!("{service} in {} is run by another jangbu process; stop it first", dir.display());
        Fault::Unavailable(why)
    })?;
    Ok(file)
}

impl Bank {
    /// Opens services and starts their relays, consumers and jobs.
    ///
    /// # Errors
    /// The directory is in use, can't be read or written, or belongs to newer code.
    pub async fn open(opening: Opening) -> Result<Bank, Fault> {
        let Opening { dir, store, log, kv, clock, dice, services, peers, offset, calls_max, log_days } = opening;
        let making =
            |e: std::io::Error| Fault::Storage { doing: format!("making {}", dir.display()), why: e.to_string() };
        std::fs::create_dir_all(&dir).map_err(making)?;
        let owned = services.iter().filter(|_| store.is_one_owners());
        let locks = owned.map(|entry| lock(&dir, entry.spec.name)).collect::<Result<Vec<_>, _>>()?;
        let wall: Arc<dyn Clock> = Arc::new(RealClock);
        let keys = Keyring::load_or_create(&dir.join("keys"), wall.now());
        let keys = keys.map_err(|e| Fault::Storage { doing: "opening the signing keys".into(), why: e.to_string() })?;
        // Never seeded dice: a second start would seal other data with the same nonces.
        let data_key = Arc::new(DataKey::open(&dir, Dice::from_os())?);
        let specs = services.iter().map(|opener| opener.spec);
        let log = log.open(&dir, Arc::clone(&clock), dice.clone(), specs).await?;
        let kv = kv.open(Arc::clone(&clock)).await?;
        let metrics = Metrics::default();
        let gate = Gate::new(keys.clone(), Arc::clone(&clock)).with_wall_clock(Arc::clone(&wall));
        let edge = Edge::new(gate.clone(), dice.clone(), metrics.clone()).with_calls_max(calls_max);
        let ask = Ask::new("bank", keys.clone(), wall, dice.clone());
        for (service, base) in &peers {
            ask.open_there(service, base).map_err(Fault::Unavailable)?;
        }
        let mut router = Router::new();
        let mut parts = Vec::new();
        for Opener { spec, open } in services {
            let db = store.open(spec.name, Arc::clone(&clock), dice.clone()).await?;
            if store.is_one_owners() {
                migrate::apply(&db, spec.migrations).await?; // elsewhere that is a command's, which may do more
            }
            let world = World {
                db,
                clock: Arc::clone(&clock),
                dice: dice.clone(),
                offset,
                log: log.clone(),
                data_key: Arc::clone(&data_key),
                ask: ask.named(spec.name),
                metrics: metrics.clone(),
                kv: kv.clone(),
            };
            let service = open(world).await?;
            let in_its_name = service.consumers.iter().all(|consumer| consumer.group == spec.name);
            assert!(in_its_name, "{} reads in another name than the log keeps records for", spec.name);
            let calls = edge.open(&service.name, service.router.clone());
            ask.open_here(&service.name, with_fallbacks(calls.clone()));
            router = router.merge(calls);
            parts.push(Arc::new(Part::of(service).sharing(kv.clone())));
        }
        let stop = Stop::default();
        let stopping = stop.clone();
        let ready = move || if stopping.is_stopping() { Err("shutting down".to_owned()) } else { Ok(()) };
        let router = router.merge(beside(metrics.clone(), ready));
        let (parts, tasks) = (Arc::new(parts), JoinSet::new());
        let mut bank = Bank { router, keys, ask, metrics, log, clock, gate, parts, stop, tasks, _locks: locks };
        bank.start(Retention::of_days(log_days, crate::services::readers()));
        Ok(bank)
    }

    fn start(&mut self, kept: Retention) {
        self.tasks.spawn(retention::run(self.log.clone(), kept, self.stop.clone()));
        for part in self.parts.iter() {
            part.run(&self.log, &self.clock, &self.stop, |work| drop(self.tasks.spawn(work)));
        }
    }

    /// Lets everything under way end, then lets go of the directory.
    pub async fn close(mut self) {
        self.stop.stop();
        for part in self.parts.iter() {
            self.ask.close(&part.name); // routers know the way to each other: a circle that must be cut
        }
        while self.tasks.join_next().await.is_some() {}
        for part in self.parts.iter() {
            told(&part.name, part.db.close().await);
        }
        told("log", self.log.close().await);
    }
}

/// A journal that stays beside its file costs room and no data, so it keeps nobody from ending.
fn told(database: &str, closed: Result<(), Fault>) {
    if let Err(e) = closed {
        tracing::warn!(database, error = %e, "the journal could not be moved into the file");
    }
}
