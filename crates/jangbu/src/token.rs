//! `jangbu token`

use std::path::PathBuf;
use std::time::Duration;

use jangbu_platform::auth::Role;
use jangbu_platform::clock::{Clock, RealClock};

use crate::{Ended, Failure, Verdict};

/// What it is told.
#[derive(clap::Args)]
pub struct Args {
    /// The bank's directory.
    #[arg(long, conflicts_with = "config")]
    data: Option<PathBuf>,
    /// A service's configuration, which names the directory.
    #[arg(long)]
    config: Option<PathBuf>,
    /// operator, service or customer.
    #[arg(long)]
    role: String,
    /// Whose credential it is; for a customer his id.
    #[arg(long, default_value = "cli")]
    subject: String,
    /// How long it is good: 30s, 15m, 1h, 7d.
    #[arg(long, default_value = "1h")]
    ttl: String,
}

/// Reads `30s`, `15m`, `1h`, `7d`.
pub fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// Prints a token.
///
/// # Errors
/// Wrong use, or the keys can't be read.
pub fn run(args: Args) -> Ended {
    let role: Role = args.role.parse().map_err(|e: jangbu_platform::auth::AuthError| Failure::Use(e.to_string()))?;
    let ttl = seconds(&args.ttl).ok_or_else(|| Failure::Use("--ttl is a number and s, m, h or d, like 15m".into()))?;
    let keys = crate::keys::ring(args.data, args.config)?;
    let token = keys.issue(role, &args.subject, RealClock.now(), Duration::from_secs(ttl));
    crate::say(&token.map_err(|e| Failure::Use(e.to_string()))?);
    Ok(Verdict::Done)
}
