//! `jangbu migrate`: brings the schemas of a directory's databases to what this program needs.

use std::path::PathBuf;
use std::sync::Arc;

use jangbu_platform::clock::RealClock;
use jangbu_platform::db::Db;
use jangbu_platform::dice::Dice;
use jangbu_platform::migrate::{self, Schema};

use crate::services::ALL;
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
    /// Only compares; 1 when something is behind.
    #[arg(long)]
    check: bool,
}

/// Applies what is missing, service by service.
///
/// # Errors
/// A database belongs to newer or other code, is in use, or can't be written.
pub fn run(args: Args) -> Ended {
    let dir = crate::config::directory(args.data, args.config)?;
    crate::runtime()?.block_on(all(dir, args.check))
}

async fn all(dir: PathBuf, only_compare: bool) -> Ended {
    if !only_compare {
        std::fs::create_dir_all(&dir).map_err(|e| Failure::World(format!("could not make {}: {e}", dir.display())))?;
    }
    let mut verdict = Verdict::Done;
    for spec in ALL.iter().map(|entry| entry.spec) {
        let path = dir.join(format!("{}.db", spec.name));
        if only_compare {
            let found = if path.is_file() {
                let db = Db::open_to_read(&path, Arc::new(RealClock), Dice::from_os())?;
                let mut tx = db.read("migrate.compare").await?;
                migrate::compare(&mut tx, spec.migrations).await?
            } else {
                Schema::Behind((0..=u32::try_from(spec.migrations.len()).unwrap_or(u32::MAX)).collect())
            };
            match found {
                Schema::Current => println!("{:<12} current", spec.name),
                Schema::Behind(versions) => {
                    println!("{:<12} behind: versions {versions:?} are missing", spec.name);
                    verdict = Verdict::No;
                }
                Schema::Foreign(why) => return Err(Failure::World(why)),
            }
        } else {
            let _alone = bank::lock(&dir, spec.name)?;
            let db = Db::open_embedded(&path, Arc::new(RealClock), Dice::from_os())?;
            match migrate::apply(&db, spec.migrations).await?.as_slice() {
                [] => println!("{:<12} current", spec.name),
                applied => println!("{:<12} applied versions {applied:?}", spec.name),
            }
        }
    }
    Ok(verdict)
}
