//! Exchanges and the states that they passed through.

use std::collections::BTreeMap;

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::defect::planted;
use jangbu_kernel::id::{AccountId, CustomerId, ExchangeId, PostingId, QuoteId};
use jangbu_kernel::time::Timestamp;
use jangbu_platform::db::engine::group;
use jangbu_platform::db::{Fault, Inserted, Row, Tx, Value};

use super::{currency, price, side};
use crate::domain::limits::Span;
use crate::domain::plan::{Because, State};
use crate::domain::price::{Amounts, Price, Quoted, Side};
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
    /// What its decision used besides what its quote was made from, as JSON.
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

/// Writes new exchanges in their first state; a duplicate when a quote of them was used before.
pub async fn insert(tx: &mut Tx, all: &[Begun]) -> Result<Inserted, Fault> {
    let ids = |begun: &Begun| {
        [
            begun.id.to_bytes(),
            begun.quote.to_bytes(),
            begun.customer.to_bytes(),
            begun.krw_account.to_bytes(),
            begun.fx_account.to_bytes(),
        ]
    };
    let ids: Vec<_> = all.iter().map(ids).collect();
    let mut rows: Vec<Value<'_>> = Vec::with_capacity(all.len() * 10);
    for (begun, ids) in all.iter().zip(&ids) {
        let [(_, day), (_, month)] = begun.firsts;
        let rest: [Value<'_>; 5] = [
            State::Started.name().into(),
            day.days().into(),
            month.days().into(),
            (&begun.snapshot).into(),
            tx.now().micros().into(),
        ];
        rows.extend(ids.iter().map(|id| Value::Bytes(id)));
        rows.extend(rest);
    }
    let sql = "INSERT INTO exchange (id, quote, customer, krw_account, fx_account, state, day_first, month_first, \
               snapshot, began_at) VALUES (?*)";
    if tx.insert_rows(sql, 10, &rows).await? == Inserted::Duplicate {
        return Ok(Inserted::Duplicate);
    }
    let (why, at) = ("the quote was accepted", tx.now());
    let first = |begun: &Begun| Passed { id: begun.id, state: &State::Started, why, at };
    pass(tx, &all.iter().map(first).collect::<Vec<_>>()).await?;
    Ok(Inserted::New)
}

/// One exchange; locks it.
pub async fn find(tx: &mut Tx, id: ExchangeId) -> Result<Option<Stored>, Fault> {
    let bytes = id.to_bytes();
    let sql = "SELECT quote, customer, krw_account, fx_account, state, withdrawal, deposit, code, detail, day_first, \
               month_first, snapshot FROM exchange WHERE id = ? FOR UPDATE";
    let Some(r) = tx.query_one(sql, &[Value::Bytes(&bytes)]).await? else { return Ok(None) };
    Ok(Some(Stored {
        begun: Begun {
            id,
            quote: QuoteId::from_bytes(r.id(0)),
            customer: CustomerId::from_bytes(r.id(1)),
            krw_account: AccountId::from_bytes(r.id(2)),
            fx_account: AccountId::from_bytes(r.id(3)),
            firsts: [(Span::Day, day(&r, 9)), (Span::Month, day(&r, 10))],
            snapshot: r.text(11).to_owned(),
        },
        state: r.text(4).to_owned(),
        withdrawal: posting(&r, 5),
        deposit: posting(&r, 6),
        because: because(&r, 7),
    }))
}

fn because(r: &Row, code: usize) -> Option<Because> {
    let detail = || r.opt_text(code + 1).unwrap_or_default().to_owned();
    r.opt_text(code).map(|code| Because { code: code.to_owned(), detail: detail() })
}

/// What is shown of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The quote that it used.
    pub quote: QuoteId,
    /// Whose.
    pub customer: CustomerId,
    /// His account in won.
    pub krw_account: AccountId,
    /// His account in the currency.
    pub fx_account: AccountId,
    /// Name of its state.
    pub state: String,
    /// The posting that withdrew.
    pub withdrawal: Option<PostingId>,
    /// The posting that deposited.
    pub deposit: Option<PostingId>,
    /// Why it failed or is being undone.
    pub because: Option<Because>,
    /// Buys or sells.
    pub side: Side,
    /// Currency, unit and the customer's price.
    pub quoted: Quoted,
    /// What is exchanged.
    pub amounts: Amounts,
    /// States that it passed through, oldest first.
    pub passages: Vec<Passage>,
}

/// What is shown of some exchanges, as of one instant.
pub async fn shown(tx: &mut Tx, ids: &[ExchangeId]) -> Result<BTreeMap<ExchangeId, Shown>, Fault> {
    let ids: Vec<_> = ids.iter().map(|id| id.to_bytes()).collect();
    let params: Vec<Value<'_>> = ids.iter().map(|id| Value::Bytes(id)).collect();
    let sql = "SELECT e.id, e.quote, e.customer, e.krw_account, e.fx_account, e.state, e.withdrawal, e.deposit, e.code, \
               e.detail, q.side, q.currency, q.unit, q.price, q.foreign_amount, q.won, p.state, p.passed_at, p.why \
               FROM exchange e JOIN quote q ON q.id = e.quote JOIN passage p ON p.exchange = e.id \
               WHERE e.id IN (?*) ORDER BY e.id, p.place";
    let mut all = BTreeMap::<ExchangeId, Shown>::new();
    for r in &tx.query(sql, &params).await? {
        let passage = (r.text(16).to_owned(), Timestamp::from_micros(r.int(17)), r.text(18).to_owned());
        let id = ExchangeId::from_bytes(r.id(0));
        if let Some(shown) = all.get_mut(&id) {
            shown.passages.push(passage);
            continue;
        }
        let shown = Shown {
            quote: QuoteId::from_bytes(r.id(1)),
            customer: CustomerId::from_bytes(r.id(2)),
            krw_account: AccountId::from_bytes(r.id(3)),
            fx_account: AccountId::from_bytes(r.id(4)),
            state: r.text(5).to_owned(),
            withdrawal: posting(r, 6),
            deposit: posting(r, 7),
            because: because(r, 8),
            side: side(r.text(10))?,
            quoted: Quoted { currency: currency(r.text(11))?, unit: r.int(12), price: price(r.int(13))? },
            amounts: Amounts { foreign: r.int(14), won: r.int(15) },
            passages: vec![passage],
        };
        all.insert(id, shown);
    }
    Ok(all)
}

/// A state that an exchange came to.
#[derive(Clone, Copy, Debug)]
pub struct Passed<'a> {
    /// Which.
    pub id: ExchangeId,
    /// The state.
    pub state: &'a State,
    /// Why.
    pub why: &'a str,
    /// When.
    pub at: Timestamp,
}

/// Writes that exchanges came to states, with what is known in them, those of one exchange in order. A withdrawal that was given back stays on record.
pub async fn passed(tx: &mut Tx, all: &[Passed<'_>]) -> Result<(), Fault> {
    // Those that came to the same state for no reason of their own, which are most, share a statement.
    let mut alike = BTreeMap::<_, Vec<&Passed<'_>>>::new();
    let last: BTreeMap<_, _> = all.iter().map(|passed| (passed.id, passed)).collect();
    for passed in last.into_values() {
        alike.entry((passed.state.name(), passed.state.because())).or_default().push(passed);
    }
    for ((state, because), some) in alike {
        stand(tx, state, because, &some).await?;
    }
    let written = |passed: &&Passed<'_>| {
        !(planted("passage-not-written") && matches!(passed.state, State::WithdrawCancelNeeded { .. }))
    };
    pass(tx, &all.iter().filter(written).copied().collect::<Vec<_>>()).await
}

/// Writes where exchanges stand that came to the same state.
async fn stand(tx: &mut Tx, state: &str, because: Option<&Because>, all: &[&Passed<'_>]) -> Result<(), Fault> {
    let decided_at = all.iter().any(|passed| passed.state.is_decided()).then_some(tx.now().micros());
    // Filled up to a power of two with the last one, so that few statements are kept prepared.
    let filled = all.iter().chain(all.last().into_iter().cycle()).take(all.len().next_power_of_two());
    let rows = filled.map(|Passed { id, state, .. }| {
        let deposit = match state {
            State::ExchangeSucceeded { deposit, .. } => Some(deposit.to_bytes()),
            _ => None,
        };
        (id.to_bytes(), state.withdrawal().map(PostingId::to_bytes), deposit)
    });
    let rows: Vec<_> = rows.collect();
    let each = " WHEN ? THEN ?".repeat(rows.len());
    let sql = format!(
        "UPDATE exchange SET state = ?, withdrawal = COALESCE(CASE id{each} END, withdrawal), \
         deposit = CASE id{each} END, code = ?, detail = ?, decided_at = ? WHERE id IN {}",
        group(rows.len())
    );
    let mut params: Vec<Value<'_>> = vec![state.into()];
    params.extend(rows.iter().flat_map(|(id, withdrawal, _)| [Value::Bytes(id), withdrawal.as_ref().into()]));
    params.extend(rows.iter().flat_map(|(id, _, deposit)| [Value::Bytes(id), deposit.as_ref().into()]));
    params.push(because.map(|b| b.code.as_str()).into());
    params.push(because.map(|b| b.detail.as_str()).into());
    params.push(decided_at.into());
    params.extend(rows.iter().map(|(id, ..)| Value::Bytes(id)));
    tx.execute(&sql, &params).await.map(drop)
}

/// Notes the withdrawal of an exchange.
pub async fn withdrew(tx: &mut Tx, id: ExchangeId, withdrawal: PostingId) -> Result<(), Fault> {
    let sql = "UPDATE exchange SET withdrawal = ? WHERE id = ?";
    tx.execute(sql, &[Value::Bytes(&withdrawal.to_bytes()), Value::Bytes(&id.to_bytes())]).await.map(drop)
}

/// Adds passages.
async fn pass(tx: &mut Tx, all: &[Passed<'_>]) -> Result<(), Fault> {
    if all.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = all.iter().map(|passed| passed.id.to_bytes()).collect();
    let mut rows: Vec<Value<'_>> = Vec::with_capacity(all.len() * 5);
    for (Passed { state, why, at, .. }, bytes) in all.iter().zip(&ids) {
        let place = i64::from(state.place());
        rows.extend([Value::Bytes(bytes), place.into(), state.name().into(), at.micros().into(), (*why).into()]);
    }
    let sql = "INSERT INTO passage (exchange, place, state, passed_at, why) VALUES (?*)";
    match tx.insert_rows(sql, 5, &rows).await? {
        Inserted::New => Ok(()),
        Inserted::Duplicate => Err(Fault::Busy("another wrote the same passage at the same moment".into())),
    }
}

/// What the end of an exchange needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whose.
    pub customer: CustomerId,
    /// His account in won.
    pub krw_account: AccountId,
    /// His account in the currency.
    pub fx_account: AccountId,
    /// First days of the spans on whose limits it reserved.
    pub firsts: [(Span, BusinessDate); 2],
    /// The posting that withdrew.
    pub withdrawal: Option<PostingId>,
    /// The posting that deposited.
    pub deposit: Option<PostingId>,
    /// Buys or sells.
    pub side: Side,
    /// Currency, unit and the customer's price.
    pub quoted: Quoted,
    /// The board's base price.
    pub mid: Price,
    /// What was to be exchanged.
    pub amounts: Amounts,
}

/// What the ends of exchanges need to know of them.
pub async fn terms(tx: &mut Tx, ids: &[ExchangeId]) -> Result<BTreeMap<ExchangeId, Terms>, Fault> {
    let ids: Vec<_> = ids.iter().map(|id| id.to_bytes()).collect();
    let params: Vec<Value<'_>> = ids.iter().map(|id| Value::Bytes(id)).collect();
    let sql = "SELECT e.id, e.customer, e.krw_account, e.fx_account, e.day_first, e.month_first, e.withdrawal, e.deposit, \
               q.side, q.currency, q.unit, q.price, q.mid, q.foreign_amount, q.won \
               FROM exchange e JOIN quote q ON q.id = e.quote WHERE e.id IN (?*)";
    let mut all = BTreeMap::new();
    for r in tx.query(sql, &params).await? {
        let terms = Terms {
            customer: CustomerId::from_bytes(r.id(1)),
            krw_account: AccountId::from_bytes(r.id(2)),
            fx_account: AccountId::from_bytes(r.id(3)),
            firsts: [(Span::Day, day(&r, 4)), (Span::Month, day(&r, 5))],
            withdrawal: posting(&r, 6),
            deposit: posting(&r, 7),
            side: side(r.text(8))?,
            quoted: Quoted { currency: currency(r.text(9))?, unit: r.int(10), price: price(r.int(11))? },
            mid: price(r.int(12))?,
            amounts: Amounts { foreign: r.int(13), won: r.int(14) },
        };
        all.insert(ExchangeId::from_bytes(r.id(0)), terms);
    }
    Ok(all)
}

fn posting(r: &Row, i: usize) -> Option<PostingId> {
    r.opt_bytes(i).and_then(|b| <[u8; 16]>::try_from(b).ok()).map(PostingId::from_bytes)
}

fn day(r: &Row, i: usize) -> BusinessDate {
    BusinessDate::from_days(i32::try_from(r.int(i)).unwrap_or(0))
}

/// A state that an exchange passed through: name, instant, reason.
pub type Passage = (String, Timestamp, String);

/// States that an exchange passed through, oldest first.
pub async fn passages(tx: &mut Tx, id: ExchangeId) -> Result<Vec<Passage>, Fault> {
    let sql = "SELECT state, passed_at, why FROM passage WHERE exchange = ? ORDER BY place";
    let rows = tx.query(sql, &[Value::Bytes(&id.to_bytes())]).await?;
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
