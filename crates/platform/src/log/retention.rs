//! How long the embedded log keeps what everybody has taken.
//!
//! A record goes when each group that reads its topic has passed it and it is older than the rule says. The last record
//! of a partition stays, since the next offset follows from it. It goes in steps of one small unit of work each, with a
//! rest in between, so that those who append hardly wait; the pages that become free are used again.

use std::time::Duration;

use super::Log;
use crate::service::Stop;

/// Days for which a record is kept unless the bank says otherwise.
pub const KEPT_DAYS_DEFAULT: u32 = 7;
/// Records forgotten by one unit of work.
pub(super) const RECORDS_PER_STEP_MAX: u32 = 500;
/// The writer's rest between two steps.
const REST_BETWEEN_STEPS: Duration = Duration::from_millis(20);
/// How long the job sleeps when nothing is old enough.
const IDLE: Duration = Duration::from_secs(60);

/// What may be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long a record is kept at least, microseconds.
    pub kept_us: i64,
    /// Topic and group of each that reads, whether it ever came or not: one that has yet to start needs everything.
    /// Groups that the log knows besides are waited for too.
    pub readers: Vec<(String, String)>,
}

impl Retention {
    /// Keeps records for so many days.
    #[must_use]
    pub fn of_days(days: u32, readers: Vec<(String, String)>) -> Self {
        Self { kept_us: i64::from(days) * 86_400 * 1_000_000, readers }
    }
}

/// Forgets until `stop`.
pub async fn run(log: Log, rule: Retention, stop: Stop) {
    loop {
        let pause = match log.forget(&rule).await {
            Ok(0) => IDLE,
            Ok(_) => REST_BETWEEN_STEPS,
            Err(e) => {
                tracing::warn!(error = %e, "old records could not be forgotten; trying again later");
                IDLE
            }
        };
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
