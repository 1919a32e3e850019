//! Exchanges and the states that they passed through.

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::defect::planted;
use jangbu_kernel::id::{AccountId, CustomerId, ExchangeId, PostingId, QuoteId};
use jangbu_kernel::time::Timestamp;
use jangbu_platform::db::{Fault, Inserted, Row, Tx, Value};

use super::{currency, side};
use crate::domain::limits::Span;
use crate::domain::plan::{Because, State};
use crate::domain::price::Side;
use crate::proof::Kept;

/// An exchange as it is begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Id, which is also its saga's.
    pub id: ExchangeId,
    /// The quote that it uses.
    pub quote: QuoteId,
    /// Whose.
    pub customer: CustomerId,
    /// His account in won.
    pub krw_account: AccountId,
    /// His account in the currency.
    pub fx_account: AccountId,
    /// First days of the spans on whose limits it reserved.
    pub firsts: [(Span, BusinessDate); 2],
    /// All that its decision used, as JSON.
    pub snapshot: String,
}

/// An exchange as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// As it was begun.
    pub begun: Begun,
    /// Name of its state.
    pub state: String,
    /// The posting that withdrew.
    pub withdrawal: Option<PostingId>,
    /// The posting that deposited.
    pub deposit: Option<PostingId>,
    /// Why it failed or is being undone.
    pub because: Option<Because>,
}

/// Writes a new exchange in its first state.
pub async fn insert(tx: &mut Tx, begun: &Begun) -> Result<(), Fault> {
    let ids = [
        begun.id.to_bytes(),
        begun.quote.to_bytes(),
        begun.customer.to_bytes(),
        begun.krw_account.to_bytes(),
        begun.fx_account.to_bytes(),
    ];
    let mut row: Vec<Value<'_>> = ids.iter().map(|id| Value::Bytes(id)).collect();
    let [(_, day), (_, month)] = begun.firsts;
    let rest: [Value<'_>; 5] = [
        State::Started.name().into(),
        day.days().into(),
        month.days().into(),
        (&begun.snapshot).into(),
        tx.now().micros().into(),
    ];
    row.extend(rest);
    let sql = "INSERT INTO exchange (id, quote, customer, krw_account, fx_account, state, day_first, month_first, \
               snapshot, began_at) VALUES (?*)";
    match tx.insert(sql, &row).await? {
        Inserted::New => pass(tx, begun.id, &State::Started, "the quote was accepted").await,
        Inserted::Duplicate => Err(Fault::Busy("the exchange's id was taken".into())),
    }
}

/// One exchange.
pub async fn find(tx: &mut Tx, id: ExchangeId) -> Result<Option<Stored>, Fault> {
    let bytes = id.to_bytes();
    let sql = "SELECT quote, customer, krw_account, fx_account, state, withdrawal, deposit, code, detail, day_first, \
               month_first, snapshot FROM exchange WHERE id = ? FOR UPDATE";
    let Some(r) = tx.query_one(sql, &[Value::Bytes(&bytes)]).await? else { return Ok(None) };
    let posting = |i: usize| r.opt_bytes(i).and_then(|b| <[u8; 16]>::try_from(b).ok()).map(PostingId::from_bytes);
    let day = |i: usize| BusinessDate::from_days(i32::try_from(r.int(i)).unwrap_or(0));
    let because = r
        .opt_text(7)
        .map(|code| Because { code: code.to_owned(), detail: r.opt_text(8).unwrap_or_default().to_owned() });
    Ok(Some(Stored {
        begun: Begun {
            id,
            quote: QuoteId::from_bytes(r.id(0)),
            customer: CustomerId::from_bytes(r.id(1)),
            krw_account: AccountId::from_bytes(r.id(2)),
            fx_account: AccountId::from_bytes(r.id(3)),
            firsts: [(Span::Day, day(9)), (Span::Month, day(10))],
            snapshot: r.text(11).to_owned(),
        },
        state: r.text(4).to_owned(),
        withdrawal: posting(5),
        deposit: posting(6),
        because,
    }))
}

/// Writes that an exchange came to a state, with what is known in it.
pub async fn passed(tx: &mut Tx, id: ExchangeId, state: &State, why: &str) -> Result<(), Fault> {
    let (bytes, now) = (id.to_bytes(), tx.now().micros());
    if let Some(withdrawal) = state.withdrawal() {
        withdrew(tx, id, withdrawal).await?;
    }
    let deposit = match state {
        State::ExchangeSucceeded { deposit, .. } => Some(deposit.to_bytes()),
        _ => None,
    };
    let because = state.because();
    let row = [
        state.name().into(),
        deposit.as_ref().into(),
        because.map(|b| b.code.as_str()).into(),
        because.map(|b| b.detail.as_str()).into(),
        state.is_decided().then_some(now).into(),
        Value::Bytes(&bytes),
    ];
    let sql = "UPDATE exchange SET state = ?, deposit = ?, code = ?, detail = ?, decided_at = ? WHERE id = ?";
    tx.execute(sql, &row).await?;
    if planted("passage-not-written") && matches!(state, State::WithdrawCancelNeeded { .. }) {
        return Ok(());
    }
    pass(tx, id, state, why).await
}

/// Notes the withdrawal. One that was given back stays on record.
pub async fn withdrew(tx: &mut Tx, id: ExchangeId, withdrawal: PostingId) -> Result<(), Fault> {
    let sql = "UPDATE exchange SET withdrawal = ? WHERE id = ?";
    tx.execute(sql, &[Value::Bytes(&withdrawal.to_bytes()), Value::Bytes(&id.to_bytes())]).await.map(drop)
}

async fn pass(tx: &mut Tx, id: ExchangeId, state: &State, why: &str) -> Result<(), Fault> {
    let (bytes, now) = (id.to_bytes(), tx.now().micros());
    let place = tx.query_one("SELECT COUNT(*) FROM passage WHERE exchange = ?", &[Value::Bytes(&bytes)]).await?;
    let place = place.map_or(0, |r| r.int(0));
    let row = [Value::Bytes(&bytes), place.into(), state.name().into(), now.into(), why.into()];
    let sql = "INSERT INTO passage (exchange, place, state, passed_at, why) VALUES (?*)";
    match tx.insert(sql, &row).await? {
        Inserted::New => Ok(()),
        Inserted::Duplicate => Err(Fault::Busy("another passage was written at the same moment".into())),
    }
}

/// States that an exchange passed through, oldest first: name, instant, reason.
pub async fn passages(tx: &mut Tx, id: ExchangeId) -> Result<Vec<(String, Timestamp, String)>, Fault> {
    let bytes = id.to_bytes();
    let sql = "SELECT state, passed_at, why FROM passage WHERE exchange = ? ORDER BY place";
    let rows = tx.query(sql, &[Value::Bytes(&bytes)]).await?;
    Ok(rows.iter().map(|r| (r.text(0).to_owned(), Timestamp::from_micros(r.int(1)), r.text(2).to_owned())).collect())
}

/// Exchanges after one with what they come to, by id.
pub async fn kept(tx: &mut Tx, after: Option<ExchangeId>, limit: u32) -> Result<Vec<Kept>, Fault> {
    let after = after.map_or([0; 16], ExchangeId::to_bytes);
    let sql = "SELECT e.id, e.state, e.withdrawal, e.deposit, q.side, q.currency, q.foreign_amount, q.won \
               FROM exchange e JOIN quote q ON q.id = e.quote WHERE e.id > ? ORDER BY e.id LIMIT ?";
    let rows = tx.query(sql, &[Value::Bytes(&after), limit.into()]).await?;
    let read = |r: &Row| {
        let posting = |i: usize| r.opt_bytes(i).and_then(|b| <[u8; 16]>::try_from(b).ok()).map(PostingId::from_bytes);
        let succeeded = match r.text(1) {
            "EXCHANGE_SUCCEEDED" => Some(true),
            "EXCHANGE_FAILED" => Some(false),
            _ => None,
        };
        Ok(Kept {
            exchange: ExchangeId::from_bytes(r.id(0)),
            succeeded,
            buys: side(r.text(4))? == Side::Buy,
            currency: currency(r.text(5))?,
            foreign: r.int(6),
            won: r.int(7),
            withdrawal: posting(2),
            deposit: posting(3),
        })
    };
    rows.iter().map(read).collect()
}
