//! `jangbu keys`: the bank's signing keys.

use std::path::PathBuf;

use jangbu_platform::auth::{AuthError, Keyring};
use jangbu_platform::clock::{Clock, RealClock};

use crate::{Ended, Failure, Verdict};

/// What it is told.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
    /// The bank's directory.
    #[arg(long, global = true, conflicts_with = "config")]
    data: Option<PathBuf>,
    /// A service's configuration, which names the directory.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum What {
    /// The keys, oldest first: the last one signs, all verify.
    List,
    /// Makes a new key, which signs from now on; credentials of the older ones stay good until they expire.
    Rotate,
    /// Takes a key away: every credential that it signed is worth nothing.
    Retire {
        /// The key's name, as `list` prints it.
        key: String,
    },
}

/// The keys of a bank that exists.
///
/// # Errors
/// There is no bank, or its keys can't be read.
pub fn ring(data: Option<PathBuf>, config: Option<PathBuf>) -> Result<Keyring, Failure> {
    let data = crate::config::directory(data, config)?;
    let dir = data.join("keys");
    if !dir.is_dir() {
        let why = format!("there is no bank in {}: `jangbu up --data` makes one", data.display());
        return Err(Failure::World(why));
    }
    Keyring::load_or_create(&dir, RealClock.now()).map_err(failure)
}

/// Files that fail are the world's fault, the rest is use.
fn failure(e: AuthError) -> Failure {
    match e {
        AuthError::Files { .. } => Failure::World(e.to_string()),
        AuthError::Invalid | AuthError::Expired(_) | AuthError::Use(_) => Failure::Use(e.to_string()),
    }
}

/// Shows or changes the keys, and says what holds afterwards.
///
/// # Errors
/// Wrong use, or the keys can't be read or written.
pub fn run(args: Args) -> Ended {
    let ring = ring(args.data, args.config)?;
    match args.what {
        What::List => {}
        What::Rotate => {
            for kid in ring.retire_outlived(RealClock.now()).map_err(failure)? {
                crate::say(&format!("{kid}  removed: nothing that it signed is good any more"));
            }
            ring.rotate(RealClock.now()).map_err(failure)?;
        }
        What::Retire { key } => ring.retire(&key).map_err(failure)?,
    }
    let keys = ring.keys();
    for (at, key) in keys.iter().enumerate() {
        let made = key.made_at.map_or_else(String::new, |made| format!(", made {made}"));
        let does = match key.needed_until {
            _ if at + 1 == keys.len() => "signs".to_owned(),
            Some(until) => format!("verifies, until {until} at the latest"),
            None => "verifies".to_owned(),
        };
        crate::say(&format!("{}  {does}{made}", key.kid));
    }
    Ok(Verdict::Done)
}
