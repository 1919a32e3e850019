//! All SQL of sagas.

use std::collections::BTreeMap;

use jangbu_kernel::id::SagaId;
use jangbu_kernel::time::Timestamp;

use super::{Held, WHY_CHARS_MAX};
use crate::db::{Fault, Inserted, Tx, Value};

/// An instance as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which.
    pub id: SagaId,
    /// Its state, as its plan writes it.
    pub state: String,
    /// The last step made; empty before the first.
    pub step: String,
    /// Steps made.
    pub steps: u32,
    /// Tries of a step whose outcome is not known.
    pub tries: u32,
    /// When it is taken next, unless whoever has its turn goes on before; none when it waits for a person.
    pub due_at: Option<Timestamp>,
    /// Why it stands where it does.
    pub why: String,
    /// When it began.
    pub began_at: Timestamp,
    /// When its last step was kept.
    pub moved_at: Timestamp,
}

const SELECT: &str = "SELECT id, state, step, steps, tries, due_at, why, began_at, moved_at FROM saga";

fn count(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn row(r: &crate::db::Row) -> Row {
    Row {
        id: SagaId::from_bytes(r.id(0)),
        state: r.text(1).to_owned(),
        step: r.text(2).to_owned(),
        steps: count(r.int(3)),
        tries: count(r.int(4)),
        due_at: r.opt_int(5).map(Timestamp::from_micros),
        why: r.text(6).to_owned(),
        began_at: Timestamp::from_micros(r.int(7)),
        moved_at: Timestamp::from_micros(r.int(8)),
    }
}

/// One instance, if it has not ended.
///
/// # Errors
/// The engine failed.
pub async fn find(tx: &mut Tx, id: SagaId) -> Result<Option<Row>, Fault> {
    let id = id.to_bytes();
    Ok(tx.query_one(&format!("{SELECT} WHERE id = ?"), &[Value::Bytes(&id)]).await?.as_ref().map(row))
}

/// Instances of a kind that wait for a person, after `after`, oldest first.
///
/// # Errors
/// The engine failed.
pub async fn waiting_for_a_person(
    tx: &mut Tx,
    name: &str,
    after: Option<SagaId>,
    limit: u32,
) -> Result<Vec<Row>, Fault> {
    let after = after.map_or([0; 16], SagaId::to_bytes);
    let sql = format!("{SELECT} WHERE name = ? AND due_at IS NULL AND id > ? ORDER BY id LIMIT ?");
    let rows = tx.query(&sql, &[name.into(), Value::Bytes(&after), limit.into()]).await?;
    Ok(rows.iter().map(row).collect())
}

/// An instance as it is to stand.
pub(super) struct Standing<'a> {
    pub(super) held: &'a Held,
    pub(super) step: &'a str,
    /// None when it waits for a person.
    pub(super) due: Option<Timestamp>,
    pub(super) why: &'a str,
}

const COLUMNS: &str = "(id, name, version, state, step, steps, tries, fence, due_at, why, began_at, moved_at)";
const WIDTH: usize = 12;

/// The rows of instances; their ids beside them.
fn values<'a>(name: &'a str, all: &'a [Standing<'_>], ids: &'a [[u8; 16]], now: Timestamp) -> Vec<Value<'a>> {
    let mut rows = Vec::with_capacity(all.len() * WIDTH);
    for (standing, id) in all.iter().zip(ids) {
        let held = standing.held;
        let why = standing.why.char_indices().nth(WHY_CHARS_MAX).map_or(standing.why, |(end, _)| &standing.why[..end]);
        let row: [Value<'a>; WIDTH] = [
            Value::Bytes(id),
            name.into(),
            held.version.into(),
            (&held.state).into(),
            standing.step.into(),
            held.steps.into(),
            held.tries.into(),
            held.fence.into(),
            standing.due.map(Timestamp::micros).into(),
            why.into(),
            held.began_at.micros().into(),
            now.micros().into(),
        ];
        rows.extend(row);
    }
    rows
}

pub(super) async fn insert(tx: &mut Tx, name: &str, held: &[Held], due: Timestamp) -> Result<(), Fault> {
    if held.is_empty() {
        return Ok(());
    }
    let standing = |held| Standing { held, step: "", due: Some(due), why: "" };
    let (all, ids): (Vec<_>, Vec<_>) = held.iter().map(|held| (standing(held), held.id.to_bytes())).unzip();
    let rows = values(name, &all, &ids, tx.now());
    match tx.insert_rows(&format!("INSERT INTO saga {COLUMNS} VALUES (?*)"), WIDTH, &rows).await? {
        Inserted::New => Ok(()),
        Inserted::Duplicate => Err(Fault::Busy("the saga's id was taken".into())),
    }
}

/// The earliest instant at which an instance of the kind is due.
pub(super) async fn next_due(tx: &mut Tx, name: &str) -> Result<Option<i64>, Fault> {
    let sql = "SELECT due_at FROM saga WHERE name = ? AND due_at IS NOT NULL ORDER BY due_at LIMIT 1";
    Ok(tx.query_one(sql, &[name.into()]).await?.map(|r| r.int(0)))
}

/// Takes the turns of what is due.
pub(super) async fn take_due(tx: &mut Tx, name: &str, until: Timestamp, limit: u32) -> Result<Vec<Held>, Fault> {
    let sql = "SELECT id, version, state, steps, tries, fence, began_at FROM saga WHERE name = ? AND due_at <= ? \
               ORDER BY due_at, id LIMIT ? FOR UPDATE SKIP LOCKED";
    let now = tx.now().micros();
    let rows = tx.query(sql, &[name.into(), now.into(), limit.into()]).await?;
    let mut taken = Vec::with_capacity(rows.len());
    for r in rows {
        let held = Held {
            id: SagaId::from_bytes(r.id(0)),
            version: r.int(1),
            state: r.text(2).to_owned(),
            steps: count(r.int(3)),
            tries: count(r.int(4)),
            fence: r.int(5) + 1,
            began_at: Timestamp::from_micros(r.int(6)),
        };
        // TiDB takes the words about locks and locks nothing then: who comes second finds another turn begun.
        let sql = "UPDATE saga SET fence = ?, due_at = ? WHERE id = ? AND fence = ?";
        let (id, before) = (held.id.to_bytes(), held.fence - 1);
        let turn = [held.fence.into(), until.micros().into(), Value::Bytes(&id), before.into()];
        if tx.execute(sql, &turn).await? == 1 {
            taken.push(held);
        }
    }
    Ok(taken)
}

/// The numbers of the present turns of instances, of those that have not ended; locks their rows.
pub(super) async fn fences(tx: &mut Tx, ids: &[SagaId]) -> Result<BTreeMap<SagaId, i64>, Fault> {
    let mut ids: Vec<[u8; 16]> = ids.iter().map(|id| id.to_bytes()).collect();
    ids.sort_unstable();
    let params: Vec<Value<'_>> = ids.iter().map(|id| Value::Bytes(id)).collect();
    let rows = tx.query("SELECT id, fence FROM saga WHERE id IN (?*) ORDER BY id FOR UPDATE", &params).await?;
    Ok(rows.iter().map(|r| (SagaId::from_bytes(r.id(0)), r.int(1))).collect())
}

/// Writes instances as they are after a step; their rows are there and locked.
pub(super) async fn update(tx: &mut Tx, name: &str, all: &[Standing<'_>]) -> Result<(), Fault> {
    if all.is_empty() {
        return Ok(());
    }
    let ids: Vec<[u8; 16]> = all.iter().map(|standing| standing.held.id.to_bytes()).collect();
    let rows = values(name, all, &ids, tx.now());
    let _ = tx.insert_rows(&format!("REPLACE INTO saga {COLUMNS} VALUES (?*)"), WIDTH, &rows).await?; // they were there
    Ok(())
}

/// Takes instances out of the table: they have ended.
pub(super) async fn end(tx: &mut Tx, ids: &[SagaId]) -> Result<(), Fault> {
    if ids.is_empty() {
        return Ok(());
    }
    let ids: Vec<[u8; 16]> = ids.iter().map(|id| id.to_bytes()).collect();
    let params: Vec<Value<'_>> = ids.iter().map(|id| Value::Bytes(id)).collect();
    tx.execute("DELETE FROM saga WHERE id IN (?*)", &params).await.map(drop)
}

/// Takes an instance out of the table: it has ended, or is settled by other means.
///
/// # Errors
/// The engine failed.
pub async fn forget(tx: &mut Tx, id: SagaId) -> Result<(), Fault> {
    end(tx, &[id]).await
}

pub(super) async fn retry(tx: &mut Tx, id: SagaId) -> Result<bool, Fault> {
    let (id, now) = (id.to_bytes(), tx.now().micros());
    let found = tx.query_one("SELECT due_at, tries FROM saga WHERE id = ? FOR UPDATE", &[Value::Bytes(&id)]).await?;
    // Without tries it is under way, or its turn is: it goes on by itself.
    let waits = found.is_some_and(|r| r.opt_int(0).is_none() || r.int(1) > 0);
    if waits {
        let sql = "UPDATE saga SET due_at = ?, tries = 0, steps = 0, fence = fence + 1 WHERE id = ?";
        tx.execute(sql, &[now.into(), Value::Bytes(&id)]).await?;
    }
    Ok(waits)
}
