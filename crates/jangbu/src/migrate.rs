//! `jangbu migrate`: brings the schemas of a directory's databases to what this program needs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jangbu_platform::clock::RealClock;
use jangbu_platform::db::Fault;
use jangbu_platform::dice::Dice;
use jangbu_platform::log;
use jangbu_platform::migrate::{self, Migration, Schema};

use crate::services::ALL;
use crate::shared::LogPlace;
use crate::store::Store;
use crate::{Ended, Failure, Verdict, bank};

/// What it is told.
#[derive(clap::Args)]
pub struct Args {
    /// The bank's directory, made when missing.
    #[arg(long, conflicts_with = "config")]
    data: Option<PathBuf>,
    /// A service's configuration, which names the directory.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Only compares; 1 when something is missing or foreign, 3 when something can't be read.
    #[arg(long)]
    check: bool,
}

/// Applies what is missing, database by database.
///
/// # Errors
/// A database belongs to newer or other code, is in use, or can't be written.
pub fn run(args: Args) -> Ended {
    let (dir, store, log) = crate::config::place(args.data, args.config)?;
    let databases = databases(&dir, &store, &log);
    let work = async { if args.check { compare(&dir, databases).await } else { apply(&dir, &store, databases).await } };
    crate::runtime()?.block_on(work)
}

/// A database: where it is, its name, its schema.
type Database = (Store, &'static str, &'static [Migration]);

/// Every database of a bank: those of the services, and the log that they share, unless brokers have it.
fn databases(dir: &Path, store: &Store, log: &LogPlace) -> Vec<Database> {
    let services = ALL.iter().map(|entry| (store.clone(), entry.spec.name, entry.spec.migrations));
    let log = (*log == LogPlace::Embedded).then(|| (Store::Embedded(dir.to_owned()), "log", log::MIGRATIONS));
    services.chain(log).collect()
}

/// All of them are told, whatever is wrong with one: who looks before an upgrade looks once.
async fn compare(dir: &Path, databases: Vec<Database>) -> Ended {
    let (mut verdict, mut unreadable) = (Verdict::Done, Vec::new());
    for (store, name, migrations) in databases {
        let said = match schema(&store, name, migrations).await {
            Ok(Schema::Current) => "current".to_owned(),
            Ok(Schema::Behind(versions)) => {
                verdict = Verdict::No;
                format!("behind: versions {versions:?} are missing")
            }
            Ok(Schema::Foreign(why)) => {
                verdict = Verdict::No;
                format!("foreign: {why}")
            }
            Err(e) => {
                unreadable.push(name);
                format!("unreadable: {e}")
            }
        };
        crate::say(&format!("{name:<12} {said}"));
    }
    if unreadable.is_empty() {
        return Ok(verdict);
    }
    Err(Failure::World(format!("no schema can be read in {}: {}", dir.display(), unreadable.join(", "))))
}

async fn schema(store: &Store, name: &str, migrations: &[Migration]) -> Result<Schema, Fault> {
    let Some(db) = store.open_to_read(name, Arc::new(RealClock), Dice::from_os()).await? else {
        return Ok(Schema::Behind((0..=u32::try_from(migrations.len()).unwrap_or(u32::MAX)).collect()));
    };
    let mut tx = db.read("migrate.compare").await?;
    migrate::compare(&mut tx, migrations).await
}

async fn apply(dir: &Path, store: &Store, databases: Vec<Database>) -> Ended {
    std::fs::create_dir_all(dir).map_err(|e| Failure::World(format!("could not make {}: {e}", dir.display())))?;
    // All of them before anything is changed: a bank that is half stopped stays as it is.
    let owned = ALL.iter().filter(|_| store.is_one_owners());
    let _alone = owned.map(|entry| bank::lock(dir, entry.spec.name)).collect::<Result<Vec<_>, _>>()?;
    for (store, name, migrations) in databases {
        let db = store.make(name, Arc::new(RealClock), Dice::from_os()).await?;
        match migrate::apply(&db, migrations).await?.as_slice() {
            [] => crate::say(&format!("{name:<12} current")),
            applied => crate::say(&format!("{name:<12} applied versions {applied:?}")),
        }
    }
    Ok(Verdict::Done)
}
