//! Parked events: what a consumer could not take, and the events of the same key that wait behind it.

use std::collections::HashSet;

use jangbu_kernel::id::{DeadLetterId, EventId};

use crate::db::{Event, Fault, Inserted, Row, Tx, Value};

/// A parked event.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Its identity.
    pub id: DeadLetterId,
    /// The consumer's group.
    pub group: String,
    /// The event.
    pub event: Event,
    /// Why it was parked.
    pub reason: String,
    /// How often it was tried.
    pub tries: i64,
    /// `parked`, `redriven` or `dropped`.
    pub state: String,
    /// When it was parked, microseconds UTC.
    pub parked_at: i64,
}

/// Which letters a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LetterState {
    /// Those that wait.
    Parked,
    /// Those that went through later.
    Redriven,
    /// Those that were left out for ever.
    Dropped,
}

impl LetterState {
    fn as_str(self) -> &'static str {
        match self {
            LetterState::Parked => "parked",
            LetterState::Redriven => "redriven",
            LetterState::Dropped => "dropped",
        }
    }
}

const LETTER: &str = "SELECT id, topic, event_key, event_id, event_type, payload, reason, tries, state, parked_at, \
                      consumer FROM dead_letter";

fn letter(row: &Row) -> DeadLetter {
    DeadLetter {
        id: DeadLetterId::from_bytes(row.id(0)),
        group: row.text(10).to_owned(),
        event: Event {
            id: EventId::from_bytes(row.id(3)),
            topic: row.text(1).to_owned(),
            key: row.text(2).to_owned(),
            event_type: row.text(4).to_owned(),
            payload: row.text(5).to_owned(),
        },
        reason: row.text(6).to_owned(),
        tries: row.int(7),
        state: row.text(8).to_owned(),
        parked_at: row.int(9),
    }
}

/// One letter by its id.
///
/// # Errors
/// The engine failed.
pub async fn find(tx: &mut Tx, id: DeadLetterId) -> Result<Option<DeadLetter>, Fault> {
    let row = tx.query_one(&format!("{LETTER} WHERE id = ? FOR UPDATE"), &[Value::Bytes(&id.to_bytes())]).await?;
    Ok(row.as_ref().map(letter))
}

/// Letters after `after`, oldest first, in one state or in all.
///
/// # Errors
/// The engine failed.
pub async fn list(
    tx: &mut Tx,
    state: Option<LetterState>,
    after: Option<DeadLetterId>,
    limit: u32,
) -> Result<Vec<DeadLetter>, Fault> {
    let after = after.map_or([0; 16], DeadLetterId::to_bytes);
    let after = Value::Bytes(&after);
    let rows = match state {
        Some(state) => {
            let sql = format!("{LETTER} WHERE state = ? AND id > ? ORDER BY id LIMIT ?");
            tx.query(&sql, &[state.as_str().into(), after, limit.into()]).await?
        }
        None => tx.query(&format!("{LETTER} WHERE id > ? ORDER BY id LIMIT ?"), &[after, limit.into()]).await?,
    };
    Ok(rows.iter().map(letter).collect())
}

/// How many letters are parked.
///
/// # Errors
/// The engine failed.
pub async fn parked_count(tx: &mut Tx) -> Result<i64, Fault> {
    let row = tx.query_one("SELECT COUNT(*) FROM dead_letter WHERE state = 'parked'", &[]).await?;
    Ok(row.map_or(0, |row| row.int(0)))
}

/// Marks a letter `redriven` or `dropped`.
///
/// # Errors
/// The engine failed.
pub async fn settle(tx: &mut Tx, id: DeadLetterId, state: &str) -> Result<(), Fault> {
    let sql = "UPDATE dead_letter SET state = ?, tries = tries + 1 WHERE id = ?";
    tx.execute(sql, &[state.into(), Value::Bytes(&id.to_bytes())]).await?;
    Ok(())
}

/// Notes that a letter was tried again in vain.
pub(super) async fn reject(tx: &mut Tx, id: DeadLetterId, why: &str) -> Result<(), Fault> {
    let sql = "UPDATE dead_letter SET tries = tries + 1, reason = ? WHERE id = ? AND state = 'parked'";
    tx.execute(sql, &[why.into(), Value::Bytes(&id.to_bytes())]).await?;
    Ok(())
}

/// The letter that has to go first.
pub(super) async fn oldest_of_key(tx: &mut Tx, group: &str, key: &str) -> Result<Option<DeadLetter>, Fault> {
    let sql =
        format!("{LETTER} WHERE consumer = ? AND state = 'parked' AND event_key = ? ORDER BY id LIMIT 1 FOR UPDATE");
    Ok(tx.query_one(&sql, &[group.into(), key.into()]).await?.as_ref().map(letter))
}

/// Keys whose events wait.
pub(super) async fn parked_keys(tx: &mut Tx, group: &str) -> Result<HashSet<String>, Fault> {
    let sql = "SELECT DISTINCT event_key FROM dead_letter WHERE consumer = ? AND state = 'parked'";
    Ok(tx.query(sql, &[group.into()]).await?.iter().map(|row| row.text(0).to_owned()).collect())
}

/// Parks an event.
pub(super) async fn park(tx: &mut Tx, group: &str, event: &Event, reason: &str, tries: u32) -> Result<(), Fault> {
    let (id, event_id, now) = (tx.new_id(), event.id.to_bytes(), tx.now().micros());
    let sql = "INSERT INTO dead_letter (id, consumer, topic, event_key, event_id, event_type, payload, reason, \
               tries, state, parked_at) VALUES (?*)";
    let row = [
        Value::Bytes(&id),
        group.into(),
        (&event.topic).into(),
        (&event.key).into(),
        Value::Bytes(&event_id),
        (&event.event_type).into(),
        (&event.payload).into(),
        reason.into(),
        tries.into(),
        "parked".into(),
        now.into(),
    ];
    match tx.insert(sql, &row).await? {
        Inserted::New => Ok(()),
        Inserted::Duplicate => Err(Fault::Damaged("a dead letter's id came twice".into())),
    }
}
