//! Registering customers and marking them.

use jangbu_contracts::customer::{Customer, Kind, Register, SetMark, StandingChangedV1};
use jangbu_contracts::topics::CUSTOMER_STANDING;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::CustomerId;
use jangbu_platform::audit::{self, Deed};
use jangbu_platform::auth::Caller;
use jangbu_platform::db::{Answer, Fault, Key, Recall, Tx};
use jangbu_platform::defect::planted;
use jangbu_platform::service::World;

use crate::store::{self, Stored};

fn kind_text(kind: Kind) -> &'static str {
    match kind {
        Kind::Person => "person",
        Kind::Corporation => "corporation",
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|e| Fault::Damaged(e.to_string()))
}

fn shown(id: CustomerId, name: String, birth_date: BusinessDate, kind: Kind, marks: Vec<String>) -> Customer {
    let kyc = if marks.iter().any(|m| m == "kyc_expired") { "expired" } else { "verified" };
    let status = if marks.is_empty() { "active" } else { "restricted" };
    Customer { id, name, birth_date, kind, status: status.into(), kyc: kyc.into(), marks }
}

fn standing_of(customer: &Customer, version: i64) -> StandingChangedV1 {
    StandingChangedV1 { customer: customer.id, version, kind: customer.kind, marks: customer.marks.clone() }
}

fn tell(tx: &mut Tx, customer: &Customer, version: i64) -> Result<(), Fault> {
    let event = standing_of(customer, version);
    tx.emit(CUSTOMER_STANDING, &customer.id.to_string(), StandingChangedV1::TYPE, json(&event)?);
    Ok(())
}

/// Registers a customer, once per key.
///
/// # Errors
/// Nobody was registered.
pub async fn register(world: &World, key: &Key, hash: u64, body: &Register) -> Result<Recall, Fault> {
    let mut tx = world.db.begin("customer.register").await?;
    match tx.recall(key, hash).await? {
        Recall::New => {}
        known => {
            // What is known may be the work of a flow that waits for the same flush.
            tx.commit().await?;
            return Ok(known);
        }
    }
    let id = CustomerId::from_bytes(tx.new_id());
    let personal = json(&(&body.name, body.birth_date))?;
    let sealed = world.data_key.seal(&id.to_bytes(), personal.as_bytes())?;
    store::insert(&mut tx, id, &sealed, kind_text(body.kind)).await?;
    let customer = shown(id, body.name.clone(), body.birth_date, body.kind, Vec::new());
    tell(&mut tx, &customer, 1)?;
    let answer = Answer { status: 201, body: json(&customer)? };
    // The kept answer names a person: it is kept sealed, like the record itself.
    let kept = Answer { status: 201, body: json(&id)? };
    tx.remember(key, hash, &kept).await?;
    tx.commit().await?;
    Ok(Recall::Same(answer))
}

fn open(world: &World, id: CustomerId, stored: Stored) -> Result<Customer, Fault> {
    let plain = world.data_key.open_sealed(&id.to_bytes(), &stored.personal)?;
    let (name, birth_date): (String, BusinessDate) =
        serde_json::from_slice(&plain).map_err(|e| Fault::Damaged(e.to_string()))?;
    let kind = if stored.kind == "corporation" { Kind::Corporation } else { Kind::Person };
    Ok(shown(id, name, birth_date, kind, stored.marks))
}

/// One customer.
///
/// # Errors
/// The store can't be read, or the data key is another.
pub async fn get(world: &World, id: CustomerId) -> Result<Option<Customer>, Fault> {
    let mut tx = world.db.read("customer.get").await?;
    let stored = store::find(&mut tx, id).await?;
    stored.map(|s| open(world, id, s)).transpose()
}

/// One customer's standing, as its last event told it.
///
/// # Errors
/// The store can't be read, or the data key is another.
pub async fn standing(world: &World, id: CustomerId) -> Result<Option<StandingChangedV1>, Fault> {
    let mut tx = world.db.read("customer.standing").await?;
    let Some(stored) = store::find(&mut tx, id).await? else { return Ok(None) };
    let version = stored.version;
    Ok(Some(standing_of(&open(world, id, stored)?, version)))
}

/// Sets or clears a mark and tells the new standing; `None` when there is no such customer.
///
/// # Errors
/// Nothing was changed.
pub async fn set_mark(
    world: &World,
    id: CustomerId,
    mark: &str,
    body: &SetMark,
    by: &Caller,
) -> Result<Option<Customer>, Fault> {
    let mut tx = world.db.begin("customer.set_mark").await?;
    let Some(mut stored) = store::find(&mut tx, id).await? else { return Ok(None) };
    if stored.marks.iter().any(|m| m == mark) == body.on {
        tx.commit().await?; // it may be as it is by a flow that waits for the same flush
        return open(world, id, stored).map(Some); // as it was: nothing to tell
    }
    let version = stored.version + 1;
    stored.marks.retain(|m| m != mark);
    if body.on {
        stored.marks.push(mark.to_owned());
        stored.marks.sort();
    }
    store::put_mark(&mut tx, id, (mark, body.on), (&body.reason, &by.subject), version).await?;
    let customer = open(world, id, stored)?;
    if planted("event-outside-unit") {
        tx.commit().await?;
        tx = world.db.begin("customer.tell").await?;
    }
    tell(&mut tx, &customer, version)?;
    let (who, subject) = (by.to_string(), id.to_string());
    let result = format!("{mark} was {}", if body.on { "set" } else { "cleared" });
    let deed = Deed { who: &who, what: "customer.mark", subject: &subject, reason: &body.reason, result: &result };
    audit::note(&mut tx, &deed).await?;
    tx.commit().await?;
    Ok(Some(customer))
}

/// How many customers there are.
///
/// # Errors
/// The store can't be read.
pub async fn count(world: &World) -> Result<u64, Fault> {
    store::count(&mut world.db.read("customer.count").await?).await
}
