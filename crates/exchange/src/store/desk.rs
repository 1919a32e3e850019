//! Exchanges as the bank's people look for them.

use jangbu_kernel::id::{CustomerId, ExchangeId};
use jangbu_kernel::time::Timestamp;
use jangbu_platform::db::{Fault, Tx, Value};

use crate::domain::plan::State;

/// Which exchanges a list shows; whatever is named must hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Those in this state.
    pub state: Option<&'a str>,
    /// Those of this customer.
    pub customer: Option<CustomerId>,
    /// Those that are not decided, and began up to then or wait for a person.
    pub stuck_since: Option<Timestamp>,
}

/// Exchanges before `before`, newest first.
pub async fn list(
    tx: &mut Tx,
    wanted: &Wanted<'_>,
    before: Option<ExchangeId>,
    limit: u32,
) -> Result<Vec<ExchangeId>, Fault> {
    let before = before.map_or([0xff; 16], ExchangeId::to_bytes);
    let customer = wanted.customer.map(CustomerId::to_bytes);
    let (mut sql, mut params) = ("SELECT e.id FROM exchange e".to_owned(), Vec::new());
    if wanted.stuck_since.is_some() {
        sql.push_str(" LEFT JOIN saga s ON s.id = e.id");
    }
    sql.push_str(" WHERE e.id < ?");
    params.push(Value::Bytes(&before));
    if let Some(customer) = &customer {
        sql.push_str(" AND e.customer = ?");
        params.push(Value::Bytes(customer));
    }
    if let Some(state) = wanted.state {
        sql.push_str(" AND e.state = ?");
        params.push(state.into());
    }
    if let Some(since) = wanted.stuck_since {
        sql.push_str(" AND e.state IN (?*) AND (e.began_at <= ? OR s.due_at IS NULL)");
        params.extend(State::UNDECIDED.map(Value::from));
        params.push(since.micros().into());
    }
    sql.push_str(" ORDER BY e.id DESC LIMIT ?");
    params.push(limit.into());
    let rows = tx.query(&sql, &params).await?;
    Ok(rows.iter().map(|r| ExchangeId::from_bytes(r.id(0))).collect())
}

/// How many exchanges that began up to then are not decided.
pub async fn undecided(tx: &mut Tx, since: Timestamp) -> Result<i64, Fault> {
    let mut params: Vec<Value<'_>> = State::UNDECIDED.map(Value::from).into();
    params.push(since.micros().into());
    let sql = "SELECT COUNT(*) FROM exchange WHERE state IN (?*) AND began_at <= ?";
    Ok(tx.query_one(sql, &params).await?.map_or(0, |r| r.int(0)))
}

/// Some of those of which the log has not heard.
pub async fn unheard(tx: &mut Tx, since: Timestamp, limit: u32) -> Result<Vec<ExchangeId>, Fault> {
    let mut params: Vec<Value<'_>> = State::UNDECIDED.map(Value::from).into();
    params.extend([Value::from(since.micros()), limit.into()]);
    let sql =
        "SELECT id FROM exchange WHERE state IN (?*) AND began_at <= ? AND alarmed_at IS NULL ORDER BY id LIMIT ?";
    let rows = tx.query(sql, &params).await?;
    Ok(rows.iter().map(|r| ExchangeId::from_bytes(r.id(0))).collect())
}

/// Notes that the log hears of an exchange now; false when it did before.
pub async fn heard(tx: &mut Tx, id: ExchangeId) -> Result<bool, Fault> {
    let (id, now) = (id.to_bytes(), tx.now().micros());
    let sql = "UPDATE exchange SET alarmed_at = ? WHERE id = ? AND alarmed_at IS NULL";
    Ok(tx.execute(sql, &[now.into(), Value::Bytes(&id)]).await? > 0)
}
