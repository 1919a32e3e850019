//! Owners' standing: by event, and by asking where an event has not come yet.

use jangbu_contracts::customer::{Kind, StandingChangedV1};
use jangbu_kernel::id::CustomerId;
use jangbu_platform::ask::{Ask, Outcome};
use jangbu_platform::db::{Fault, Tx};
use jangbu_platform::probe;

use crate::domain::book::{Marks, Owner};
use crate::ledger::Ledger;
use crate::store;
use crate::store::accounts::KeptOwner;

/// A standing as decisions use it.
#[must_use]
pub fn owner(standing: &StandingChangedV1) -> Owner {
    let marks = Marks::OF_CUSTOMERS
        .iter()
        .filter(|(_, name)| standing.marks.iter().any(|m| m == name))
        .fold(Marks::default(), |all, (mark, _)| all.with(*mark, true));
    Owner { marks: marks.with(Marks::CORPORATION, standing.kind == Kind::Corporation), version: standing.version }
}

/// Keeps a standing, unless a newer one is known; what decisions may use from now on, when it was taken.
///
/// # Errors
/// The engine failed.
pub async fn keep(ledger: &Ledger, tx: &mut Tx, standing: &StandingChangedV1) -> Result<Option<Owner>, Fault> {
    let kind = if standing.kind == Kind::Corporation { "corporation" } else { "person" };
    let owner = owner(standing);
    let kept = store::accounts::keep_owner(tx, standing.customer, owner, kind).await?;
    match kept {
        KeptOwner::Not => {
            probe::reached("standing-not-newer-than-the-one-held");
            return Ok(None);
        }
        // One who was not known is in nobody's memory.
        KeptOwner::First => {}
        KeptOwner::Newer => ledger.changes(tx).await?,
    }
    Ok(Some(owner))
}

/// Asks for the standing of a customer whose event has not come yet; none when he is known, or nobody knows him.
/// Never while a unit of work is open.
///
/// # Errors
/// Nobody can say.
pub async fn ask(ledger: &Ledger, ask: &Ask, customer: CustomerId) -> Result<Option<StandingChangedV1>, Fault> {
    let mut tx = ledger.db.read("deposit.owner").await?;
    let known = store::accounts::owner(&mut tx, customer).await?.is_some();
    drop(tx);
    if known {
        return Ok(None);
    }
    match ask.get("customer", &format!("/customers/{customer}/standing")).await {
        Outcome::Reply(standing) => {
            probe::reached("standing-asked-for-before-its-event-came");
            Ok(Some(standing))
        }
        Outcome::Refusal(problem) if problem.status == 404 => Ok(None),
        Outcome::Refusal(problem) => Err(Fault::Unavailable(format!("the standing of {customer}: {}", problem.detail))),
        Outcome::Unknown(why) => Err(Fault::Unavailable(format!("the standing of {customer}: {why}"))),
    }
}
