//! A bank opened in one process: every service on its own embedded database under one directory.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use jangbu_kernel::time::UtcOffset;
use jangbu_platform::auth::Keyring;
use jangbu_platform::clock::Clock;
use jangbu_platform::crypto::DataKey;
use jangbu_platform::db::{Db, Fault};
use jangbu_platform::dice::Dice;
use jangbu_platform::http::{Gate, with_fallbacks};
use jangbu_platform::log::Log;
use jangbu_platform::migrate;
use jangbu_platform::relay;
use jangbu_platform::service::{Service, ServiceSpec, Stop, World, run_job};
use tokio::task::JoinSet;

/// An open bank.
pub struct Bank {
    /// All calls of all services.
    pub router: Router,
    /// The bank's keys.
    pub keys: Keyring,
    /// Tells running parts to end.
    pub stop: Stop,
    tasks: JoinSet<()>,
    // Held while the bank is open: a second process is told at once.
    _lock: File,
}

/// Takes the directory for this process alone.
fn lock(dir: &Path) -> Result<File, Fault> {
    let storage =
        |e: std::io::Error| Fault::Storage { doing: format!("opening {}", dir.display()), why: e.to_string() };
    std::fs::create_dir_all(dir).map_err(storage)?;
    let file = File::options().create(true).truncate(false).write(true).open(dir.join("lock")).map_err(storage)?;
    file.try_lock().map_err(|_| {
        Fault::Unavailable(format!("{} is in use by another jangbu process; stop it first", dir.display()))
    })?;
    Ok(file)
}

impl Bank {
    /// Opens the bank that lives in `dir`, made when missing, and starts its relays, consumers and jobs.
    ///
    /// # Errors
    /// The directory is in use, can't be read or written, or belongs to newer code.
    pub async fn open(dir: &Path, clock: Arc<dyn Clock>, dice: Dice) -> Result<Bank, Fault> {
        let lock = lock(dir)?;
        let keys = Keyring::load_or_create(&dir.join("keys"), clock.now());
        let keys = keys.map_err(|e| Fault::Storage { doing: "opening the signing keys".into(), why: e.to_string() })?;
        let data_key = Arc::new(DataKey::open(dir, dice.clone())?);
        let log = Log::open_embedded(&dir.join("log.db"), Arc::clone(&clock), dice.clone()).await?;
        let mut services = Vec::new();
        for spec in crate::services::ALL {
            let db = Db::open_embedded(&dir.join(format!("{}.db", spec.name)), Arc::clone(&clock), dice.clone())?;
            migrate::apply(&db, spec.migrations).await?;
            let world = World {
                db,
                clock: Arc::clone(&clock),
                dice: dice.clone(),
                offset: UtcOffset::SEOUL,
                log: log.clone(),
                data_key: Arc::clone(&data_key),
            };
            services.push(open_service(spec, world).await?);
        }
        let (stop, mut tasks) = (Stop::default(), JoinSet::new());
        let mut router = Router::new().route("/healthz", get(|| async { "ok\n" }));
        for service in services {
            router = router.merge(service.router.clone());
            start(service, &log, &clock, &stop, &mut tasks);
        }
        let gate = Gate { keys: keys.clone(), clock };
        let router = with_fallbacks(router).layer(axum::Extension(gate));
        Ok(Bank { router, keys, stop, tasks, _lock: lock })
    }

    /// Lets everything under way end.
    pub async fn close(mut self) {
        self.stop.stop();
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn open_service(spec: &'static ServiceSpec, world: World) -> Result<Service, Fault> {
    match spec.name {
        "customer" => Ok(jangbu_customer::open(world)),
        "deposit-krw" => jangbu_deposit::service::open(spec, 1, world, include_str!("../seed/deposit-krw.json")).await,
        _ => jangbu_deposit::service::open(spec, 2, world, include_str!("../seed/deposit-fx.json")).await,
    }
}

fn start(service: Service, log: &Log, clock: &Arc<dyn Clock>, stop: &Stop, tasks: &mut JoinSet<()>) {
    for outgoing in service.outgoing {
        let wake = service.db.emitted();
        tasks.spawn(relay::run(service.name.clone(), outgoing, wake, log.clone(), stop.clone()));
    }
    for consumer in service.consumers {
        tasks.spawn(consumer.run(log.clone(), stop.clone()));
    }
    for job in service.jobs {
        tasks.spawn(run_job(job, Arc::clone(clock), stop.clone()));
    }
}
