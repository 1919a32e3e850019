//! Legs of exchanges, decisions, and exchanges whose books do not agree.

use std::collections::BTreeMap;

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, ExchangeId, PostingId};
use jangbu_platform::db::{Fault, Inserted, Row, Tx, Value};

use super::{currency, day};
use crate::domain::chart::Side;
use crate::domain::matching::{Class, Decision, Leg, TIMING};
use crate::domain::position::Booked;

/// A posting on the clearing account, and the exchange that it belongs to.
pub type Of = (Leg, Option<ExchangeId>);

const LEG_COLUMNS: usize = 7;
const LEG: &str = "SELECT posting, exchange, account, debits, currency, amount, reverses FROM exchange_leg";
const DECISION_COLUMNS: usize = 14;
const DECISION: &str = "SELECT exchange, succeeded, buys, currency, foreign_amount, won, krw_account, fx_account, \
                        withdrawal, deposit, business_date, foreign_moved, value_moved, trading FROM exchange_decision";
const OPEN_COLUMNS: usize = 6;
const OPEN: &str = "SELECT exchange, kind, detail, since, due_at, told FROM exchange_open";

fn ids(exchanges: &[ExchangeId]) -> Vec<[u8; 16]> {
    exchanges.iter().map(|id| id.to_bytes()).collect()
}

fn opt_id(row: &Row, at: usize) -> Option<[u8; 16]> {
    row.opt_bytes(at).and_then(|bytes| bytes.try_into().ok())
}

/// Inserts postings on the clearing account. After a duplicate among several the unit of work must be dropped.
pub async fn insert_legs(tx: &mut Tx, legs: &[Of]) -> Result<Inserted, Fault> {
    if legs.is_empty() {
        return Ok(Inserted::New);
    }
    let ids: Vec<_> = legs
        .iter()
        .map(|(leg, of)| {
            let reverses = leg.reverses.map(PostingId::to_bytes);
            (leg.posting.to_bytes(), of.map(ExchangeId::to_bytes), leg.account.to_bytes(), reverses)
        })
        .collect();
    let mut values: Vec<Value<'_>> = Vec::with_capacity(legs.len() * LEG_COLUMNS);
    for ((leg, _), (posting, exchange, account, reverses)) in legs.iter().zip(&ids) {
        let row: [Value<'_>; LEG_COLUMNS] = [
            posting.into(),
            exchange.as_ref().into(),
            account.into(),
            (leg.side == Side::Debit).into(),
            leg.currency.code().into(),
            leg.amount.into(),
            reverses.as_ref().into(),
        ];
        values.extend(row);
    }
    let sql = "INSERT INTO exchange_leg (posting, exchange, account, debits, currency, amount, reverses) VALUES (?*)";
    tx.insert_rows(sql, LEG_COLUMNS, &values).await
}

fn leg(row: &Row) -> Result<Of, Fault> {
    let leg = Leg {
        posting: PostingId::from_bytes(row.id(0)),
        account: AccountId::from_bytes(row.id(2)),
        side: if row.int(3) == 1 { Side::Debit } else { Side::Credit },
        currency: currency(row.text(4))?,
        amount: row.int(5),
        reverses: opt_id(row, 6).map(PostingId::from_bytes),
    };
    Ok((leg, opt_id(row, 1).map(ExchangeId::from_bytes)))
}

/// Legs of these exchanges, by posting.
pub async fn legs_of(tx: &mut Tx, exchanges: &[ExchangeId]) -> Result<BTreeMap<ExchangeId, Vec<Leg>>, Fault> {
    let mut found: BTreeMap<ExchangeId, Vec<Leg>> = BTreeMap::new();
    if exchanges.is_empty() {
        return Ok(found);
    }
    let ids = ids(exchanges);
    let sql = format!("{LEG} WHERE exchange IN (?*) ORDER BY posting");
    for row in tx.query(&sql, &ids.iter().map(Value::from).collect::<Vec<_>>()).await? {
        if let (leg, Some(exchange)) = leg(&row)? {
            found.entry(exchange).or_default().push(leg);
        }
    }
    Ok(found)
}

/// The exchanges that these postings belong to, of those that belong to one.
pub async fn exchanges_of(tx: &mut Tx, postings: &[PostingId]) -> Result<BTreeMap<PostingId, ExchangeId>, Fault> {
    if postings.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<[u8; 16]> = postings.iter().map(|id| id.to_bytes()).collect();
    let sql = "SELECT posting, exchange FROM exchange_leg WHERE posting IN (?*)";
    let rows = tx.query(sql, &ids.iter().map(Value::from).collect::<Vec<_>>()).await?;
    let of = |row: &Row| Some((PostingId::from_bytes(row.id(0)), ExchangeId::from_bytes(opt_id(row, 1)?)));
    Ok(rows.iter().filter_map(of).collect())
}

/// A leg beside the journal of its posting: packed lines, none where there is no journal.
pub struct Journaled {
    /// The leg.
    pub leg: Leg,
    /// Packed lines.
    pub lines: Option<String>,
    /// Currency of the journal.
    pub currency: Option<String>,
}

/// Legs after a posting, each with its journal.
pub async fn legs_journaled(tx: &mut Tx, after: Option<PostingId>, limit: u32) -> Result<Vec<Journaled>, Fault> {
    let after = after.map_or([0; 16], PostingId::to_bytes);
    let sql = "SELECT l.posting, l.exchange, l.account, l.debits, l.currency, l.amount, l.reverses, j.packed, j.currency \
               FROM exchange_leg l LEFT JOIN journal j ON j.id = l.posting WHERE l.posting > ? ORDER BY l.posting LIMIT ?";
    let rows = tx.query(sql, &[Value::Bytes(&after), limit.into()]).await?;
    let read = |row: &Row| {
        let text = |at| row.opt_text(at).map(str::to_owned);
        Ok(Journaled { leg: leg(row)?.0, lines: text(7), currency: text(8) })
    };
    rows.iter().map(read).collect()
}

/// A decision with what it was booked as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The exchange.
    pub exchange: ExchangeId,
    /// What was decided.
    pub decision: Decision,
    /// The day it counts for.
    pub date: BusinessDate,
    /// Changes of position and counter-value, and trading profit; nothing of one that failed.
    pub moved: [i64; 3],
}

impl Decided {
    /// A decision as it is booked.
    pub fn new(exchange: ExchangeId, decision: Decision, date: BusinessDate, booked: Option<&Booked>) -> Decided {
        let moved = booked.map_or([0; 3], |booked| [booked.position, booked.value, booked.trading]);
        Decided { exchange, decision, date, moved }
    }
}

/// Inserts decisions. After a duplicate among several the unit of work must be dropped.
pub async fn insert_decisions(tx: &mut Tx, decided: &[Decided]) -> Result<Inserted, Fault> {
    if decided.is_empty() {
        return Ok(Inserted::New);
    }
    let ids: Vec<_> = decided
        .iter()
        .map(|Decided { exchange, decision: d, .. }| {
            let accounts = [d.krw_account, d.fx_account].map(|id| id.map(AccountId::to_bytes));
            (exchange.to_bytes(), accounts, [d.withdrawal, d.deposit].map(|id| id.map(PostingId::to_bytes)))
        })
        .collect();
    let mut values: Vec<Value<'_>> = Vec::with_capacity(decided.len() * DECISION_COLUMNS);
    for (Decided { decision, date, moved, .. }, (exchange, accounts, postings)) in decided.iter().zip(&ids) {
        let row: [Value<'_>; 6] = [
            exchange.into(),
            decision.succeeded.into(),
            decision.buys.into(),
            decision.currency.code().into(),
            decision.foreign.into(),
            decision.won.into(),
        ];
        values.extend(row);
        values.extend(accounts.iter().chain(postings).map(|id| Value::from(id.as_ref())));
        values.push(date.days().into());
        values.extend(moved.map(Value::Int));
    }
    let sql = "INSERT INTO exchange_decision (exchange, succeeded, buys, currency, foreign_amount, won, krw_account, \
               fx_account, withdrawal, deposit, business_date, foreign_moved, value_moved, trading) VALUES (?*)";
    tx.insert_rows(sql, DECISION_COLUMNS, &values).await
}

fn decided(row: &Row) -> Result<Decided, Fault> {
    let account = |at| opt_id(row, at).map(AccountId::from_bytes);
    let posting = |at| opt_id(row, at).map(PostingId::from_bytes);
    let decision = Decision {
        succeeded: row.int(1) == 1,
        buys: row.int(2) == 1,
        currency: currency(row.text(3))?,
        foreign: row.int(4),
        won: row.int(5),
        krw_account: account(6),
        fx_account: account(7),
        withdrawal: posting(8),
        deposit: posting(9),
    };
    let moved = [11, 12, 13].map(|at| row.int(at));
    Ok(Decided { exchange: ExchangeId::from_bytes(row.id(0)), decision, date: day(row.int(10))?, moved })
}

/// What was decided of these exchanges.
pub async fn decisions_of(tx: &mut Tx, exchanges: &[ExchangeId]) -> Result<BTreeMap<ExchangeId, Decision>, Fault> {
    if exchanges.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids = ids(exchanges);
    let rows = tx
        .query(&format!("{DECISION} WHERE exchange IN (?*)"), &ids.iter().map(Value::from).collect::<Vec<_>>())
        .await?;
    rows.iter().map(|row| decided(row).map(|d| (d.exchange, d.decision))).collect()
}

/// Decisions after an exchange, by exchange.
pub async fn decisions(tx: &mut Tx, after: Option<ExchangeId>, limit: u32) -> Result<Vec<Decided>, Fault> {
    let after = after.map_or([0; 16], ExchangeId::to_bytes);
    let sql = format!("{DECISION} WHERE exchange > ? ORDER BY exchange LIMIT ?");
    tx.query(&sql, &[Value::Bytes(&after), limit.into()]).await?.iter().map(decided).collect()
}

/// Exchanges after one that have legs, by exchange.
pub async fn with_legs(tx: &mut Tx, after: Option<ExchangeId>, limit: u32) -> Result<Vec<ExchangeId>, Fault> {
    let after = after.map_or([0; 16], ExchangeId::to_bytes);
    let sql = "SELECT DISTINCT exchange FROM exchange_leg WHERE exchange > ? ORDER BY exchange LIMIT ?";
    let rows = tx.query(sql, &[Value::Bytes(&after), limit.into()]).await?;
    Ok(rows.iter().map(|row| ExchangeId::from_bytes(row.id(0))).collect())
}

/// An exchange whose books do not agree, or not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmatched {
    /// The exchange.
    pub exchange: ExchangeId,
    /// How they differ.
    pub class: Class,
    /// What it is about.
    pub detail: String,
    /// Since when, microseconds UTC.
    pub since: i64,
    /// From when it is a break; until then it is a matter of time.
    pub due_at: i64,
    /// Whether somebody was told.
    pub told: bool,
}

fn unmatched(row: &Row) -> Result<Unmatched, Fault> {
    let class = Class::ALL.into_iter().find(|class| class.name() == row.text(1));
    Ok(Unmatched {
        exchange: ExchangeId::from_bytes(row.id(0)),
        class: class.ok_or_else(|| Fault::Damaged(format!("a break of kind {:?}", row.text(1))))?,
        detail: row.text(2).to_owned(),
        since: row.int(3),
        due_at: row.int(4),
        told: row.int(5) == 1,
    })
}

/// Those of these exchanges that are open, under their locks, in order.
pub async fn open_of(tx: &mut Tx, exchanges: &[ExchangeId]) -> Result<BTreeMap<ExchangeId, Unmatched>, Fault> {
    if exchanges.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids = ids(exchanges);
    let sql = format!("{OPEN} WHERE exchange IN (?*) ORDER BY exchange FOR UPDATE");
    let rows = tx.query(&sql, &ids.iter().map(Value::from).collect::<Vec<_>>()).await?;
    rows.iter().map(|row| unmatched(row).map(|open| (open.exchange, open))).collect()
}

async fn write_open(tx: &mut Tx, sql: &str, rows: &[Unmatched]) -> Result<Inserted, Fault> {
    if rows.is_empty() {
        return Ok(Inserted::New);
    }
    let ids: Vec<[u8; 16]> = rows.iter().map(|row| row.exchange.to_bytes()).collect();
    let mut values: Vec<Value<'_>> = Vec::with_capacity(rows.len() * OPEN_COLUMNS);
    for (row, id) in rows.iter().zip(&ids) {
        let (class, detail) = (row.class.name(), &row.detail);
        let times = [row.since, row.due_at].map(Value::Int);
        let row: [Value<'_>; 4] = [id.into(), class.into(), detail.into(), row.told.into()];
        let [id, class, detail, told] = row;
        values.extend([id, class, detail, times[0], times[1], told]);
    }
    tx.insert_rows(sql, OPEN_COLUMNS, &values).await
}

/// Opens exchanges that were not open. After a duplicate the unit of work must be dropped: another process opened one.
pub async fn insert_open(tx: &mut Tx, rows: &[Unmatched]) -> Result<Inserted, Fault> {
    write_open(tx, "INSERT INTO exchange_open (exchange, kind, detail, since, due_at, told) VALUES (?*)", rows).await
}

/// Writes exchanges that stay open.
pub async fn replace_open(tx: &mut Tx, rows: &[Unmatched]) -> Result<(), Fault> {
    let sql = "REPLACE INTO exchange_open (exchange, kind, detail, since, due_at, told) VALUES (?*)";
    let _ = write_open(tx, sql, rows).await?; // rows that were there are replaced
    Ok(())
}

/// The books of these exchanges agree.
pub async fn close(tx: &mut Tx, exchanges: &[ExchangeId]) -> Result<(), Fault> {
    if !exchanges.is_empty() {
        let ids = ids(exchanges);
        let sql = "DELETE FROM exchange_open WHERE exchange IN (?*)";
        tx.execute(sql, &ids.iter().map(Value::from).collect::<Vec<_>>()).await?;
    }
    Ok(())
}

/// Open exchanges after one, by exchange.
pub async fn open_after(tx: &mut Tx, after: Option<ExchangeId>, limit: u32) -> Result<Vec<Unmatched>, Fault> {
    let after = after.map_or([0; 16], ExchangeId::to_bytes);
    let sql = format!("{OPEN} WHERE exchange > ? ORDER BY exchange LIMIT ?");
    tx.query(&sql, &[Value::Bytes(&after), limit.into()]).await?.iter().map(unmatched).collect()
}

/// Breaks after an exchange that are due and of a class, by exchange.
pub async fn due_after(
    tx: &mut Tx,
    class: Class,
    now: i64,
    after: Option<ExchangeId>,
    limit: u32,
) -> Result<Vec<Unmatched>, Fault> {
    let after = after.map_or([0; 16], ExchangeId::to_bytes);
    let sql = format!("{OPEN} WHERE kind = ? AND due_at <= ? AND exchange > ? ORDER BY exchange LIMIT ?");
    let place = [class.name().into(), now.into(), Value::Bytes(&after), limit.into()];
    tx.query(&sql, &place).await?.iter().map(unmatched).collect()
}

/// Open exchanges after one that are not due, by exchange.
pub async fn waiting_after(
    tx: &mut Tx,
    now: i64,
    after: Option<ExchangeId>,
    limit: u32,
) -> Result<Vec<Unmatched>, Fault> {
    let after = after.map_or([0; 16], ExchangeId::to_bytes);
    let sql = format!("{OPEN} WHERE due_at > ? AND exchange > ? ORDER BY exchange LIMIT ?");
    tx.query(&sql, &[now.into(), Value::Bytes(&after), limit.into()]).await?.iter().map(unmatched).collect()
}

/// Breaks that are due and that nobody was told of, the oldest first.
pub async fn untold(tx: &mut Tx, now: i64, limit: u32) -> Result<Vec<Unmatched>, Fault> {
    let sql = format!("{OPEN} WHERE told = ? AND due_at <= ? ORDER BY due_at LIMIT ?");
    tx.query(&sql, &[0i64.into(), now.into(), limit.into()]).await?.iter().map(unmatched).collect()
}

/// Notes that somebody is told of a break; whether nobody was before.
pub async fn tell(tx: &mut Tx, exchange: ExchangeId) -> Result<bool, Fault> {
    let sql = "UPDATE exchange_open SET told = ? WHERE exchange = ? AND told = ?";
    Ok(tx.execute(sql, &[1i64.into(), Value::Bytes(&exchange.to_bytes()), 0i64.into()]).await? == 1)
}

/// How many are open, by class as it is at the instant; `timing` for those that are not due. And since when the oldest is.
pub async fn counts(tx: &mut Tx, now: i64) -> Result<(BTreeMap<String, i64>, Option<i64>), Fault> {
    let sql = "SELECT kind, COUNT(*), MIN(since) FROM exchange_open WHERE due_at <= ? GROUP BY kind ORDER BY kind";
    let due = tx.query(sql, &[now.into()]).await?;
    let sql = "SELECT COUNT(*), MIN(since) FROM exchange_open WHERE due_at > ?";
    let waiting = tx.query_one(sql, &[now.into()]).await?;
    let oldest = due.iter().filter_map(|row| row.opt_int(2)).chain(waiting.iter().filter_map(|row| row.opt_int(1)));
    let oldest = oldest.min();
    let mut counts: BTreeMap<String, i64> = due.iter().map(|row| (row.text(0).to_owned(), row.int(1))).collect();
    counts.insert(TIMING.to_owned(), waiting.map_or(0, |row| row.int(0)));
    Ok((counts, oldest))
}
