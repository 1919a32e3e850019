//! Tells of exchanges whose books do not agree: each once, when it is due.

use jangbu_kernel::time::Timestamp;
use jangbu_platform::db::{Db, Fault};

use crate::store::exchanges::{self, Unmatched};

/// Breaks told by one unit of work.
const PER_LOOK_MAX: u32 = 100;

/// Writes down that breaks are told of, then logs them: one line each. Those that a crash in between keeps from the log
/// are still in the list and in the metric.
///
/// # Errors
/// The engine failed; what was not told is told by the next look.
pub async fn tell_breaks(db: &Db, now: Timestamp) -> Result<(), Fault> {
    let mut tx = db.read("accounting.untold").await?;
    let due = exchanges::untold(&mut tx, now.micros(), PER_LOOK_MAX).await?;
    drop(tx);
    if due.is_empty() {
        return Ok(());
    }
    let mut tx = db.begin("accounting.tell_breaks").await?;
    let mut mine: Vec<Unmatched> = Vec::with_capacity(due.len());
    for open in due {
        if exchanges::tell(&mut tx, open.exchange).await? {
            mine.push(open);
        }
    }
    tx.commit().await?;
    for Unmatched { exchange, class, detail, since, .. } in mine {
        let (class, since) = (class.name(), Timestamp::from_micros(since));
        tracing::error!(%exchange, class, %since, detail, "the books of an exchange do not agree");
    }
    Ok(())
}
