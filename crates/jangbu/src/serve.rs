//! `jangbu serve`: one service alone.

use std::path::PathBuf;
use std::sync::Arc;

use jangbu_platform::clock::RealClock;
use jangbu_platform::dice::Dice;
use jangbu_platform::http::with_fallbacks;
use jangbu_platform::log;
use jangbu_platform::migrate::{self, Migration, Schema};
use jangbu_platform::running::Opener;
use jangbu_platform::serve::Server;
use jangbu_platform::service::Stop;

use crate::bank::{Bank, Opening};
use crate::config::{Config, DEFAULT, Telemetry};
use crate::services::ALL;
use crate::shared::LogPlace;
use crate::store::Store;
use crate::{Ended, Failure, Verdict, up};

/// What it is told.
#[derive(clap::Args)]
pub struct Args {
    /// Its name, like `customer`, or `deposit` with an instance.
    #[arg(required_unless_present = "print_config")]
    service: Option<String>,
    /// Which of its instances, like `krw`.
    #[arg(long)]
    instance: Option<String>,
    /// Its configuration.
    #[arg(long, required_unless_present = "print_config")]
    config: Option<PathBuf>,
    /// Prints a configuration with all that may be set, and ends.
    #[arg(long)]
    print_config: bool,
}

impl Args {
    /// What its configuration says of the log, if it can be read: the log begins before the command does.
    #[must_use]
    pub fn telemetry(&self) -> Option<Telemetry> {
        self.config.as_ref().and_then(|path| Config::read(path).ok()).map(|config| config.telemetry)
    }
}

/// Opens a service and serves it until it is told to end.
///
/// # Errors
/// There is no such service, its schema is behind, or the port is taken.
pub fn run(args: Args) -> Ended {
    if args.print_config {
        crate::say(DEFAULT.trim_end());
        return Ok(Verdict::Done);
    }
    let (Some(service), Some(config)) = (args.service, args.config) else {
        return Err(Failure::Use("name a service and its --config".into()));
    };
    let config = Config::read(&config)?;
    let entry = find(&service, args.instance.as_deref())?;
    crate::runtime()?.block_on(serve(entry, config))
}

fn find(service: &str, instance: Option<&str>) -> Result<&'static Opener, Failure> {
    let name = instance.map_or_else(|| service.to_owned(), |instance| format!("{service}-{instance}"));
    ALL.iter().find(|entry| entry.spec.name == name).ok_or_else(|| {
        let known: Vec<&str> = ALL.iter().map(|entry| entry.spec.name).collect();
        Failure::Use(format!("there is no service {name:?}; services are {}", known.join(", ")))
    })
}

/// A service alone never changes a schema by starting: its other processes may still run on the old one.
async fn refuse_other_schema(store: &Store, name: &str, migrations: &[Migration]) -> Result<(), Failure> {
    let behind = || {
        let how = match store {
            Store::Embedded(dir) => format!("jangbu migrate --data {}", dir.display()),
            Store::MySql { .. } => "jangbu migrate --config FILE".to_owned(),
        };
        Failure::World(format!("the schema of {name} is behind: run `{how}`"))
    };
    let Some(db) = store.open_to_read(name, Arc::new(RealClock), Dice::from_os()).await? else { return Err(behind()) };
    let mut tx = db.read("serve.schema").await?;
    match migrate::compare(&mut tx, migrations).await? {
        Schema::Current => Ok(()),
        Schema::Behind(_) => Err(behind()),
        Schema::Foreign(why) => Err(Failure::World(format!("{name}: {why}"))),
    }
}

async fn serve(entry: &'static Opener, config: Config) -> Ended {
    let peers = config.peers_of(entry.spec)?;
    let bound = Server::bind(config.listen, config.serve_limits()).await;
    let server = bound.map_err(|e| {
        let listen = config.listen;
        Failure::World(format!("{listen} can't be used ({e}); name another address by `listen` in the --config file"))
    })?;
    let address = server.local_addr().map_err(|e| Failure::World(e.to_string()))?;
    let (store, files) = (Store::of(&config.store, &config.data)?, Store::Embedded(config.data.clone()));
    refuse_other_schema(&store, entry.spec.name, entry.spec.migrations).await?;
    let (log_place, kv) = (config.log_place()?, config.kv_place()?);
    if log_place == LogPlace::Embedded {
        refuse_other_schema(&files, "log", log::MIGRATIONS).await?;
    }
    let opening = Opening {
        offset: config.offset(),
        calls_max: config.limits.calls,
        log_days: config.limits.log_days,
        dir: config.data,
        store,
        log: log_place,
        kv,
        clock: Arc::new(RealClock),
        dice: Dice::from_os(),
        services: vec![entry],
        peers,
    };
    let bank = Bank::open(opening).await?;
    crate::say(&format!("{:<12} http://{address}/{}/v1", entry.spec.name, entry.spec.name));
    let stop = Stop::default();
    tokio::spawn(up::stop_when_told(stop.clone()));
    let drained = server.run(with_fallbacks(bank.router.clone()), stop).await;
    if drained.cut > 0 {
        tracing::warn!(connections = drained.cut, "connections that took too long were cut");
    }
    bank.close().await;
    crate::say("closed");
    Ok(Verdict::Done)
}
