//! What the bank's people do about exchanges that are stuck: look, and have them asked about again.

use jangbu_contracts::codes::Code;
use jangbu_contracts::exchange as wire;
use jangbu_contracts::page::Page;
use jangbu_kernel::id::{ExchangeId, SagaId};
use jangbu_kernel::time::Timestamp;
use jangbu_platform::audit::{self, Deed};
use jangbu_platform::auth::Caller;
use jangbu_platform::db::{Fault, Tx};
use jangbu_platform::http::Refused;
use jangbu_platform::{paging, saga};

use super::exchanges::{shown, shown_all};
use crate::Exchanges;
use crate::domain::plan::State;
use crate::domain::stuck::{STUCK_US, remedy};
use crate::store::desk::{self, Wanted};
use crate::store::exchanges;

/// The saga of an exchange.
#[must_use]
pub fn saga_of(id: ExchangeId) -> SagaId {
    SagaId::from_bytes(id.to_bytes())
}

/// Whatever began up to then and is not decided is stuck.
#[must_use]
pub fn stuck_since(now: Timestamp) -> Timestamp {
    now.plus_micros(-STUCK_US)
}

/// Why an exchange that is not decided is stuck; nothing while it may just be on its way.
///
/// # Errors
/// The store can't be read.
pub async fn stuck(
    tx: &mut Tx,
    id: ExchangeId,
    state: &str,
    passages: &[(String, Timestamp, String)],
) -> Result<Option<wire::Stuck>, Fault> {
    let (saga, since) = (saga::find(tx, saga_of(id)).await?, passages.first().map_or(tx.now(), |first| first.1));
    let next_try_at = saga.as_ref().and_then(|row| row.due_at);
    if next_try_at.is_some() && since > stuck_since(tx.now()) {
        return Ok(None);
    }
    let last = passages.last().map_or("", |last| last.2.as_str());
    let reason = match &saga {
        Some(row) if !row.why.is_empty() => row.why.as_str(),
        Some(_) => last,
        None => "nobody carries it on any more: what its next step is was lost",
    };
    let remedy = remedy(state, next_try_at.is_none());
    Ok(Some(wire::Stuck { since, reason: reason.to_owned(), remedy: remedy.to_owned(), next_try_at }))
}

/// A page of exchanges, newest first.
///
/// # Errors
/// The store can't be read.
pub async fn list(
    exchanges: &Exchanges,
    wanted: Wanted<'_>,
    before: Option<ExchangeId>,
    limit: u32,
    staff: bool,
) -> Result<Page<wire::Exchange>, Fault> {
    let mut tx = exchanges.db.read("exchange.list").await?;
    let mut ids = desk::list(&mut tx, &wanted, before, limit + 1).await?;
    let next = paging::next(&mut ids, limit, ToString::to_string);
    let mut shown = shown_all(&mut tx, &ids, staff).await?;
    let items = ids.iter().filter_map(|id| shown.remove(id)).collect();
    Ok(Page { items, next })
}

/// An exchange that is not decided; its row is locked.
///
/// # Errors
/// There is none, or it is decided.
pub async fn undecided(tx: &mut Tx, id: ExchangeId) -> Result<exchanges::Stored, Refused> {
    let stored = exchanges::find(tx, id).await?.ok_or_else(Refused::not_found)?;
    if State::DECIDED.contains(&stored.state.as_str()) {
        return Err(Refused::new(Code::ExchangeDecided, format!("it is {} and stays so", stored.state)));
    }
    Ok(stored)
}

/// Has an exchange that waits asked about at once.
///
/// # Errors
/// It is decided, or goes on by itself.
pub async fn recheck(
    exchanges: &Exchanges,
    id: ExchangeId,
    by: &Caller,
    reason: &str,
) -> Result<wire::Exchange, Refused> {
    let mut tx = exchanges.db.begin("exchange.recheck").await?;
    // The saga is locked before the exchange, as its steps do.
    let waited = exchanges.runner.retry(&mut tx, saga_of(id)).await?;
    let stored = undecided(&mut tx, id).await?;
    if !waited {
        return Err(Refused::new(Code::ExchangeNotStuck, "its next step is under way, or will be within seconds"));
    }
    let (who, subject, result) = (by.to_string(), id.to_string(), format!("asked again in {}", stored.state));
    let deed = Deed { who: &who, what: "exchange.recheck", subject: &subject, reason, result: &result };
    audit::note(&mut tx, &deed).await?;
    let after = shown(&mut tx, id, true).await?.ok_or_else(Refused::not_found)?;
    tx.commit().await?;
    Ok(after)
}
