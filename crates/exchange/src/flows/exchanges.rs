//! Beginning an exchange, and waiting for what comes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use jangbu_contracts::codes::Code;
use jangbu_contracts::deposit::Account;
use jangbu_contracts::exchange::{self as wire, AskExchange};
use jangbu_contracts::marks::AccountMark;
use jangbu_kernel::defect::planted;
use jangbu_kernel::id::{AccountId, CustomerId, ExchangeId};
use jangbu_kernel::money::Currency;
use jangbu_platform::ask::Outcome;
use jangbu_platform::context::Context;
use jangbu_platform::db::{Fault, Key, Recall, Tx};
use jangbu_platform::http::{Known, Refused};
use jangbu_platform::kv::Lease;
use jangbu_platform::probe;
use jangbu_platform::saga::{Held, Rest, TURN_MS};
use xxhash_rust::xxh3::xxh3_64;

use super::begin::Beginning;
use super::{desk, saga};
use crate::Exchanges;
use crate::domain::limits::Span;
use crate::domain::plan::{Instance, State};
use crate::domain::price::{Quoted, Side};
use crate::store::exchanges::{self, Shown};
use crate::store::limits;
use crate::store::quotes::Quote;

/// How long whoever asks is kept waiting when he named no deadline, in milliseconds.
const WAIT_MS_MAX: u64 = 10_000;
/// What is left of his deadline for the answer, in milliseconds.
const MARGIN_MS: u64 = 100;

/// An exchange that was begun: now, or by the same request before.
pub struct Accepted {
    /// Which.
    pub id: ExchangeId,
    /// Whether it was begun before.
    pub replay: bool,
}

/// Begins an exchange, once per key, and carries it on as far as the caller waits.
///
/// # Errors
/// It can't be begun; nothing moved.
pub async fn exchange(
    exchanges: &Exchanges,
    known: &Known,
    key: &Key,
    body: &AskExchange,
) -> Result<Accepted, Refused> {
    let hash = xxh3_64(&serde_json::to_vec(body).unwrap_or_default());
    let quote = exchanges.looks.quote(body.quote).await?;
    let quote = quote.filter(|quote| planted("quote-of-others") || known.may_see(&quote.customer.to_string()));
    let done = match quote {
        Some(quote) => first(exchanges, known, (key, hash), quote, body).await,
        None => Err(no_quote()),
    };
    let Err(refused) = done else { return done };
    // The same request may have been carried out before, its answer lost, and stand in its own way: by its quote, which is
    // used, or its key, which is taken. Whether it was is asked only of those who can't begin.
    let mut tx = exchanges.db.read("exchange.look_again").await?;
    match recalled(tx.recall(key, hash).await?)? {
        Some(id) => Ok(Accepted { id, replay: true }),
        None => Err(refused),
    }
}

/// Begins an exchange.
async fn first(
    exchanges: &Exchanges,
    known: &Known,
    (key, hash): (&Key, u64),
    quote: Quote,
    body: &AskExchange,
) -> Result<Accepted, Refused> {
    usable(&quote, known.now)?;
    accounts(exchanges, &quote, body).await?;
    let lease = take_turn(exchanges, quote.customer).await?;
    let asked = Beginning { key: key.clone(), hash, quote, body: body.clone() };
    let begun = exchanges.beginning.begin(asked).await;
    let (done, over) = match begun {
        Ok((id, held)) => (Ok(Accepted { id, replay: false }), wait(exchanges, held).await),
        Err(refused) => (Err(refused), true),
    };
    // What is not decided keeps the customer's turn until that expires.
    if let Some(lease) = lease.filter(|_| over)
        && let Err(e) = exchanges.kv.release_lease(lease).await
    {
        tracing::debug!(error = %e, "a lease stays until it expires");
    }
    done
}

fn no_quote() -> Refused {
    Refused::new(Code::QuoteNotFound, "there is no such quote of this customer's")
}

fn recalled(recall: Recall) -> Result<Option<ExchangeId>, Refused> {
    match recall {
        Recall::New => Ok(None),
        Recall::KeyReused => Err(Refused::new(Code::KeyReused, "the key came with another request before")),
        Recall::Same(answer) => {
            let id = serde_json::from_str(&answer.body).map_err(|e| Fault::Damaged(format!("a kept answer: {e}")))?;
            Ok(Some(id))
        }
    }
}

/// Whether a quote can be used.
///
/// # Errors
/// It was used, or has expired.
pub fn usable(quote: &Quote, now: jangbu_kernel::time::Timestamp) -> Result<(), Refused> {
    if let Some(by) = quote.exchange
        && !planted("quote-reused")
    {
        return Err(Refused::new(Code::QuoteUsed, format!("{by} used it")));
    }
    if now >= quote.expires_at && !planted("quote-expired-accepted") {
        return Err(Refused::new(Code::QuoteExpired, format!("it could be used until {}", quote.expires_at)));
    }
    Ok(())
}

/// Looks at both accounts before anything moves: whose they are, their currencies, and what speaks against money going
/// out of one and into the other. The books look again when they post.
async fn accounts(exchanges: &Exchanges, quote: &Quote, body: &AskExchange) -> Result<(), Refused> {
    let [won, foreign] = exchanges.looks.accounts(body.krw_account, body.fx_account).await?;
    let (won, foreign) = (there(won, body.krw_account, Instance::Krw)?, there(foreign, body.fx_account, Instance::Fx)?);
    let buys = quote.side == Side::Buy;
    for (account, currency, out) in [(won, Currency::KRW, buys), (foreign, quote.quoted.currency, !buys)] {
        if account.customer != quote.customer {
            return Err(Refused::new(Code::AccountNotFound, format!("{} is not the customer's", account.id)));
        }
        if account.currency != currency {
            let why = format!("{} is in {}, not in {currency}", account.id, account.currency);
            return Err(Refused::new(Code::CurrencyMismatch, why));
        }
        if account.closed_on.is_some() {
            return Err(Refused::new(Code::AccountClosed, format!("{} is closed", account.id)));
        }
        let marks = account.marks.iter().filter_map(|mark| mark.parse().ok());
        if let Some(code) = marks.filter_map(|mark| stops(mark, out)).next() {
            return Err(Refused::new(code, format!("{}: {}", account.id, code.title())));
        }
    }
    Ok(())
}

fn there(found: Outcome<Option<Account>>, id: AccountId, instance: Instance) -> Result<Account, Refused> {
    match found {
        Outcome::Reply(Some(account)) => Ok(account),
        Outcome::Reply(None) => {
            Err(Refused::new(Code::AccountNotFound, format!("{id} is no account of {}", instance.service())))
        }
        Outcome::Refusal(problem) => Err((*problem).into()),
        Outcome::Unknown(why) => Err(Fault::Unavailable(why).into()),
    }
}

/// What a mark says against money going out of an account, or into it.
fn stops(mark: AccountMark, out: bool) -> Option<Code> {
    match mark {
        AccountMark::Dormant => Some(Code::AccountDormant),
        AccountMark::Suspended => Some(Code::AccountSuspended),
        AccountMark::DepositStop => (!out).then_some(Code::DepositBlocked),
        AccountMark::WithdrawalStop => out.then_some(Code::WithdrawalBlocked),
        AccountMark::LossReport => out.then_some(Code::LossReported),
        AccountMark::Attached => out.then_some(Code::Attached),
        AccountMark::Pledged => out.then_some(Code::Pledged),
        AccountMark::FraudFreeze => out.then_some(Code::FraudFrozen),
        AccountMark::Limited => None,
    }
}

/// A turn of the customer's, so that a second exchange at the same time fails fast. Without the store that keeps turns
/// there is none, and exchanges go on: quote and limits are guarded by their rows.
async fn take_turn(exchanges: &Exchanges, customer: CustomerId) -> Result<Option<Lease>, Refused> {
    let until = exchanges.db.now().plus_micros(i64::try_from(TURN_MS).unwrap_or(0) * 1_000);
    match exchanges.kv.take_lease(&format!("exchange:{customer}"), until).await {
        Ok(Some(lease)) => Ok(Some(lease)),
        Ok(None) => Err(Refused::new(Code::ExchangeInProgress, "another exchange of the customer's is under way")),
        Err(e) => {
            probe::reached("exchange-without-a-turn");
            tracing::debug!(error = %e, "exchanges go on without turns");
            Ok(None)
        }
    }
}

/// Runs the saga in a task of its own and waits for its rest, no longer than the caller does; whether it was decided.
async fn wait(exchanges: &Exchanges, held: Held) -> bool {
    let left = Context::current().map_or(Duration::from_millis(WAIT_MS_MAX), |context| context.left());
    let left = left.saturating_sub(Duration::from_millis(MARGIN_MS));
    let run = exchanges.runner.go(held);
    match tokio::time::timeout(left, run).await {
        Ok(Ok(Ok(rest))) => return matches!(rest, Rest::Ended(_)),
        Ok(Ok(Err(e))) => tracing::warn!(error = %e, "a step could not be kept; it will be repeated"),
        Ok(Err(e)) => tracing::warn!(error = %e, "an exchange's task ended early; the sweep goes on"),
        Err(_) => {} // it goes on without him
    }
    false
}

/// An exchange as shown.
///
/// # Errors
/// The store can't be read.
pub async fn show(exchanges: &Exchanges, id: ExchangeId, staff: bool) -> Result<Option<wire::Exchange>, Fault> {
    if staff {
        return shown(&mut exchanges.db.read("exchange.show").await?, id, staff).await;
    }
    exchanges.looks.exchange(id).await
}

/// An exchange as shown, to the bank's people with why it is stuck.
///
/// # Errors
/// The store can't be read.
pub async fn shown(tx: &mut Tx, id: ExchangeId, staff: bool) -> Result<Option<wire::Exchange>, Fault> {
    Ok(shown_all(tx, &[id], staff).await?.remove(&id))
}

/// Exchanges as shown, those of them that there are.
///
/// # Errors
/// The store can't be read.
pub async fn shown_all(
    tx: &mut Tx,
    ids: &[ExchangeId],
    staff: bool,
) -> Result<BTreeMap<ExchangeId, wire::Exchange>, Fault> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut all = BTreeMap::new();
    for (id, exchange) in exchanges::shown(tx, ids).await? {
        let undecided = staff && State::UNDECIDED.contains(&exchange.state.as_str());
        let stuck = if undecided { desk::stuck(tx, id, &exchange.state, &exchange.passages).await? } else { None };
        all.insert(id, told(id, exchange, stuck)?);
    }
    Ok(all)
}

fn told(id: ExchangeId, exchange: Shown, stuck: Option<wire::Stuck>) -> Result<wire::Exchange, Fault> {
    let Quoted { currency, unit, price } = exchange.quoted;
    let passage = |(state, at, why)| wire::Passage { state, at, why };
    Ok(wire::Exchange {
        id,
        state: exchange.state,
        quote: exchange.quote,
        customer: exchange.customer,
        side: saga::wire_side(exchange.side),
        currency,
        rate: price.to_string().parse().map_err(|e| Fault::Damaged(format!("a price: {e}")))?,
        unit,
        foreign: exchange.amounts.foreign,
        krw: exchange.amounts.won,
        krw_account: exchange.krw_account,
        fx_account: exchange.fx_account,
        withdrawal: exchange.withdrawal,
        deposit: exchange.deposit,
        failure: exchange.because.map(|b| wire::Failed { code: b.code, detail: b.detail }),
        history: exchange.passages.into_iter().map(passage).collect(),
        stuck,
    })
}

/// A customer's limits now.
///
/// # Errors
/// The store can't be read.
pub async fn limits_of(exchanges: &Exchanges, customer: CustomerId) -> Result<wire::Limits, Fault> {
    let mut tx = exchanges.db.read("exchange.limits").await?;
    let (now, mut both) = (tx.now(), Vec::new());
    for span in Span::BOTH {
        let first = span.first_day(now, exchanges.offset);
        let usage = limits::usage(&mut tx, customer, span, first).await?;
        let resets_at = span.resets_at(first, exchanges.offset);
        both.push(wire::Limit { limit: span.won_max(), used: usage.used, reserved: usage.reserved, resets_at });
    }
    match <[wire::Limit; 2]>::try_from(both) {
        Ok([day, month]) => Ok(wire::Limits { day, month }),
        Err(_) => unreachable!("there are two spans"),
    }
}
