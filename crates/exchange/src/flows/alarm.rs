//! The alarm about exchanges that are not decided within a minute: a number for Prometheus, and one line in the log for
//! each.

use jangbu_kernel::id::ExchangeId;
use jangbu_platform::db::{Db, Fault};
use jangbu_platform::telemetry::Gauge;

use super::desk::{stuck, stuck_since};
use crate::store::{desk, exchanges};

/// Lines written by one look at most; the rest are written by the next one.
const LINES_PER_LOOK_MAX: u32 = 64;

/// Counts what is not decided in time, and tells the log of each once: the exchange says that it was told of, so that
/// neither a start nor another process tells it again. Those that were told of now.
///
/// # Errors
/// The store failed.
pub async fn look(db: &Db, undecided: &Gauge) -> Result<Vec<ExchangeId>, Fault> {
    let mut tx = db.read("exchange.undecided").await?;
    let since = stuck_since(tx.now());
    undecided.set(desk::undecided(&mut tx, since).await?);
    let unheard = desk::unheard(&mut tx, since, LINES_PER_LOOK_MAX).await?;
    drop(tx);
    let mut told = Vec::new();
    for id in unheard {
        let mut tx = db.begin("exchange.alarm").await?;
        let Some(stored) = exchanges::find(&mut tx, id).await? else { continue };
        let passages = exchanges::passages(&mut tx, id).await?;
        let why = stuck(&mut tx, id, &stored.state, &passages).await?;
        let first = desk::heard(&mut tx, id).await?;
        tx.commit().await?;
        if let (true, Some(why)) = (first, why) {
            let (state, reason, remedy) = (stored.state, why.reason, why.remedy);
            tracing::error!(exchange = %id, state, reason, remedy, "an exchange is not decided after a minute");
            told.push(id);
        }
    }
    Ok(told)
}
