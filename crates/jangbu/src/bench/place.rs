//! Where a measured bank lives: a folder of its own, and with `--engine mysql` a MariaDB, Kafka and Redis.

use std::path::PathBuf;
use std::sync::Arc;

use jangbu_adapters::stand::Server;
use jangbu_adapters::{kafka, redis};
use jangbu_platform::clock::{Clock, RealClock};
use jangbu_platform::dice::Dice;
use jangbu_platform::migrate;

use super::Args;
use crate::Failure;
use crate::bank::{Bank, Opening};
use crate::shared::{KvPlace, LogPlace};
use crate::store::Store;

/// Partitions of a topic.
const PARTITIONS: u32 = 12;

/// The place, and the server that ends with it.
pub struct Place {
    /// The folder.
    pub dir: PathBuf,
    /// The databases.
    pub store: Store,
    /// The event log.
    pub log: LogPlace,
    kv: KvPlace,
    _server: Option<Server>,
}

/// The brokers that are told, or named by the environment.
///
/// # Errors
/// There are none, with the way out.
pub fn brokers(args: &Args) -> Result<String, Failure> {
    let named = args.brokers.clone().or_else(|| std::env::var("JANGBU_TEST_KAFKA").ok());
    named.filter(|servers| !servers.is_empty()).ok_or_else(|| {
        let why = "which brokers? Name them by --brokers or JANGBU_TEST_KAFKA; `cargo xtask servers start` starts some";
        Failure::Use(why.into())
    })
}

/// A word that no other measurement has.
fn name() -> String {
    format!("bench-{}-{}", std::process::id(), RealClock.now().micros())
}

impl Place {
    /// A new folder; on servers, databases, topics and keys of its own.
    ///
    /// # Errors
    /// A server is missing, or the folder can't be made.
    pub fn new(args: &Args) -> Result<Place, Failure> {
        let dir = args.dir.join(format!("jangbu-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|e| Failure::World(format!("could not make {}: {e}", dir.display())))?;
        if args.engine != "mysql" {
            let store = Store::Embedded(dir.clone());
            return Ok(Place { dir, store, log: LogPlace::Embedded, kv: KvPlace::Embedded, _server: None });
        }
        let namespace = name();
        let servers = brokers(args)?;
        let redis = args.redis.clone().or_else(|| std::env::var("JANGBU_TEST_REDIS").ok());
        let redis = redis.filter(|url| !url.is_empty()).ok_or_else(|| {
            Failure::Use(
                "which Redis? Name it by --redis or JANGBU_TEST_REDIS; `cargo xtask servers start` starts one".into(),
            )
        })?;
        let server = Server::mysql(&dir).map_err(|e| Failure::World(format!("no server to measure: {e}")))?;
        let store = Store::server(&server.database(&namespace.replace('-', "_")));
        if args.keep {
            server.keep();
        }
        let log = LogPlace::Kafka(kafka::Settings {
            servers,
            partitions: PARTITIONS,
            replicas: None,
            retention_days: 1,
            namespace: namespace.clone(),
        });
        let kv = KvPlace::Redis(redis::Settings { url: redis, password: None, namespace });
        Ok(Place { dir, store, log, kv, _server: Some(server) })
    }

    /// Opens some services there.
    ///
    /// # Errors
    /// They can't be opened.
    pub async fn open(&self, clock: Arc<dyn Clock>, services: &[&str]) -> Result<Bank, Failure> {
        let mut opening = Opening::whole(&self.dir, clock, Dice::from_os());
        opening.services.retain(|entry| services.contains(&entry.spec.name));
        (opening.store, opening.log, opening.kv) = (self.store.clone(), self.log.clone(), self.kv.clone());
        if !self.store.is_one_owners() {
            for entry in &opening.services {
                let db = self.store.make(entry.spec.name, Arc::new(RealClock), Dice::from_os()).await?;
                migrate::apply(&db, entry.spec.migrations).await?;
            }
        }
        Ok(Bank::open(opening).await?)
    }

    /// Removes the folder, unless it is to be kept.
    ///
    /// # Errors
    /// It can't be removed.
    pub fn clear(&self, args: &Args) -> Result<(), Failure> {
        let dir = &self.dir;
        if args.keep {
            return Ok(());
        }
        std::fs::remove_dir_all(dir).map_err(|e| Failure::World(format!("could not remove {}: {e}", dir.display())))
    }
}
