//! The saga of an exchange: its plan's steps as calls, their outcomes as the plan hears them, and what is written along
//! the way.

use axum::body::Bytes;
use axum::http::Method;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_contracts::deposit::Command;
use jangbu_contracts::exchange::{ExchangeDecidedV1, Failed, Side as WireSide, WithdrawalGivenUpV1};
use jangbu_contracts::topics;
use jangbu_kernel::defect::planted;
use jangbu_kernel::id::{ExchangeId, PostingId, SagaId};
use jangbu_kernel::money::Amount;
use jangbu_kernel::rate::Rate;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::ask::{Ask, Call, Outcome, Reply};
use jangbu_platform::db::{Fault, Tx};
use jangbu_platform::probe;
use jangbu_platform::saga::{self, Kind, Turn, key};
use serde::Deserialize;

use super::legs::{Legs, POSTINGS};
use crate::domain::plan::{Because, Exchange, Heard, Leg, Pace, State, Step};
use crate::domain::price::{Price, Side};
use crate::store::exchanges::{self, Passed, Terms};
use crate::store::limits;

/// The key under which a withdrawal is given back.
const CANCEL: &str = "cancel";
/// The key of the withdrawal.
pub const WITHDRAW: &str = "withdraw";
/// The key of the deposit.
pub const DEPOSIT: &str = "deposit";

/// The kind of saga that an exchange is.
pub struct Exchanging(pub Legs);

/// The exchange of a saga.
#[must_use]
pub fn exchange_of(id: SagaId) -> ExchangeId {
    ExchangeId::from_bytes(id.to_bytes())
}

fn read(version: i64, state: &str) -> Result<Exchange, String> {
    serde_json::from_str(state).map_err(|e| format!("a state of version {version} can't be read: {e}"))
}

/// A state as it is kept.
///
/// # Errors
/// There is none: states are plain data.
pub fn text(exchange: &Exchange) -> Result<String, Fault> {
    serde_json::to_string(exchange).map_err(|e| Fault::Damaged(e.to_string()))
}

fn post(name: &'static str, key_of: &'static str, leg: Leg, command: &Command) -> Result<saga::Step, String> {
    let body = serde_json::to_vec(command).map_err(|e| e.to_string())?;
    let (service, path) = (leg.instance.service(), POSTINGS.to_owned());
    Ok(saga::Step { name, key_of: Some(key_of), service, method: Method::POST, path, body: Bytes::from(body) })
}

fn look(name: &'static str, id: SagaId, of: &str, leg: Leg) -> saga::Step {
    let path = format!("/postings?key={}", key(id, of));
    let (service, method, body) = (leg.instance.service(), Method::GET, Bytes::new());
    saga::Step { name, key_of: None, service, method, path, body }
}

/// A command that can only be refused: there is no posting of this id.
#[must_use]
pub fn closing() -> Command {
    let reason = "closes the key of an exchange that was given up".to_owned();
    Command::Reversal { posting: PostingId::from_bytes([0; 16]), reason }
}

fn close(name: &'static str, key_of: &'static str, leg: Leg) -> Result<saga::Step, String> {
    post(name, key_of, leg, &closing())
}

fn call(id: SagaId, exchange: &Exchange, step: Step) -> Result<saga::Step, String> {
    let memo = Some(format!("exchange {}", exchange_of(id)));
    let amount = |leg: Leg| Amount::new(leg.amount).map_err(|e| e.to_string());
    let (from, to) = (exchange.withdraw, exchange.deposit);
    let step = match step {
        Step::Withdraw if planted("deposit-first") => Step::Deposit,
        Step::Deposit if planted("deposit-first") => Step::Withdraw,
        step => step,
    };
    match step {
        Step::Withdraw => {
            let (account, target) = (from.account, "exchange".to_owned());
            post(WITHDRAW, WITHDRAW, from, &Command::Debit { account, amount: amount(from)?, target, memo })
        }
        Step::Deposit => {
            let (account, source) = (to.account, "exchange".to_owned());
            post(DEPOSIT, DEPOSIT, to, &Command::Credit { account, amount: amount(to)?, source, memo })
        }
        Step::CheckWithdraw => Ok(look("check_withdraw", id, WITHDRAW, from)),
        Step::CheckDeposit => Ok(look("check_deposit", id, DEPOSIT, to)),
        Step::CheckCancel => Ok(look("check_cancel", id, CANCEL, from)),
        Step::CloseWithdraw => close("close_withdraw", WITHDRAW, from),
        Step::CloseDeposit => close("close_deposit", DEPOSIT, to),
    }
}

/// Which of the plan's steps a call was.
fn step_of(name: &str) -> Result<Step, String> {
    let all = [
        ("withdraw", Step::Withdraw),
        ("check_withdraw", Step::CheckWithdraw),
        ("close_withdraw", Step::CloseWithdraw),
        ("deposit", Step::Deposit),
        ("check_deposit", Step::CheckDeposit),
        ("close_deposit", Step::CloseDeposit),
        ("check_cancel", Step::CheckCancel),
    ];
    all.into_iter().find(|(n, _)| *n == name).map(|(_, step)| step).ok_or_else(|| format!("no step is named {name}"))
}

/// What an exchange has to know of [`jangbu_contracts::deposit::Posting`].
#[derive(Deserialize)]
struct Made {
    id: PostingId,
}

fn heard(step: &saga::Step, outcome: &Outcome<Reply>) -> Heard {
    match outcome {
        Outcome::Reply(reply) => match serde_json::from_slice::<Made>(&reply.body) {
            Ok(made) => Heard::Done(made.id),
            Err(e) => Heard::Unknown(format!("the answer of {} can't be read: {e}", step.service)),
        },
        Outcome::Refusal(problem) if problem.status == 422 => {
            Heard::Refused(Because { code: problem.code.clone(), detail: problem.detail.clone() })
        }
        Outcome::Refusal(problem) if problem.code == "NOT_FOUND" && step.key_of.is_none() => Heard::NotFound,
        Outcome::Refusal(problem) => Heard::Unknown(format!("{} {}", problem.code, problem.detail)),
        Outcome::Unknown(why) => Heard::Unknown(why.clone()),
    }
}

fn said(step: &saga::Step, heard: &Heard) -> String {
    match heard {
        Heard::Done(posting) => format!("{}: {posting}", step.name),
        Heard::Refused(because) => format!("{} was refused: {} {}", step.name, because.code, because.detail),
        Heard::NotFound => format!("{}: there is none", step.name),
        Heard::Unknown(why) => format!("{} is not known: {why}", step.name),
    }
}

impl Kind for Exchanging {
    fn name(&self) -> &'static str {
        "exchange"
    }
    fn version(&self) -> i64 {
        1
    }
    fn next(&self, id: SagaId, version: i64, state: &str, now: Timestamp) -> Result<saga::Step, String> {
        let exchange = read(version, state)?;
        let step = exchange.next(now.micros()).ok_or("it is decided")?;
        call(id, &exchange, step)
    }
    fn heard(
        &self,
        version: i64,
        state: &str,
        step: &saga::Step,
        outcome: &Outcome<Reply>,
        now: Timestamp,
    ) -> Result<Turn, String> {
        let exchange = read(version, state)?;
        let heard = heard(step, outcome);
        let why = said(step, &heard);
        let made = step_of(step.name)?;
        let (state, pace) = exchange.heard(made, heard, now.micros());
        if made == Step::CheckWithdraw && pace == Pace::On && matches!(state, State::WithdrawSucceeded { .. }) {
            probe::reached("withdrawal-found-made-too-late");
        }
        if matches!(made, Step::CloseWithdraw | Step::CloseDeposit) && pace == Pace::On {
            probe::reached("key-to-be-closed-had-been-used");
        }
        let pace = match pace {
            Pace::On => saga::Pace::On,
            Pace::Through => saga::Pace::Through,
            Pace::After(ms) => saga::Pace::After(ms),
            Pace::Again => saga::Pace::Again,
            Pace::End => saga::Pace::End,
            Pace::Person => saga::Pace::Person,
        };
        let state = text(&Exchange { state, ..exchange }).map_err(|e| e.to_string())?;
        Ok(Turn { state, pace, why })
    }
    fn call<'a>(&'a self, ask: &'a Ask, call: Call<'a>) -> BoxFuture<'a, Outcome<Reply>> {
        self.0.call(ask, call).boxed()
    }
    fn write<'a>(&'a self, tx: &'a mut Tx, passages: &'a [saga::Passage<'a>]) -> BoxFuture<'a, Result<(), Fault>> {
        async move {
            let damaged = |why: String| Fault::Damaged(why);
            let mut moved = Vec::with_capacity(passages.len());
            for passage in passages {
                let before = read(self.version(), passage.before).map_err(damaged)?;
                let after = read(self.version(), &passage.turn.state).map_err(damaged)?;
                if before.state.name() != after.state.name() {
                    moved.push((passage, before, after));
                }
            }
            if moved.is_empty() {
                return Ok(());
            }
            moved.iter().for_each(|(_, before, after)| met(&before.state, &after.state));
            let all: Vec<Passed<'_>> = moved
                .iter()
                .map(|(passage, _, after)| Passed {
                    id: exchange_of(passage.id),
                    state: &after.state,
                    why: &passage.turn.why,
                    at: passage.at,
                })
                .collect();
            exchanges::passed(tx, &all).await?;
            for (passage, before, after) in &moved {
                given_up(tx, passage.id, before, after)?;
            }
            let over: Vec<(ExchangeId, &State)> =
                all.iter().filter(|passed| passed.state.is_decided()).map(|passed| (passed.id, passed.state)).collect();
            decided(tx, &over).await
        }
        .boxed()
    }
}

/// Notes the ways that are rare.
fn met(before: &State, after: &State) {
    match (before, after) {
        (State::WithdrawResultCheckNeeded { .. }, State::WithdrawSucceeded { .. }) => {
            probe::reached("withdrawal-of-unknown-outcome-found-made");
        }
        (State::WithdrawResultCheckNeeded { .. }, State::ExchangeFailed { .. }) => {
            probe::reached("withdrawal-of-unknown-outcome-found-not-made");
        }
        (State::WithdrawSucceeded { .. }, State::WithdrawCancelNeeded { .. }) => {
            probe::reached("deposit-refused-after-its-withdrawal");
        }
        (State::DepositResultCheckNeeded { .. }, State::ExchangeSucceeded { .. }) => {
            probe::reached("deposit-of-unknown-outcome-found-made");
        }
        (State::DepositResultCheckNeeded { .. }, State::WithdrawCancelNeeded { .. }) => {
            probe::reached("deposit-of-unknown-outcome-found-not-made");
        }
        (State::WithdrawCancelNeeded { .. }, State::ExchangeFailed { .. }) => {
            probe::reached("withdrawal-given-back");
        }
        _ => {}
    }
}

/// Tells of a withdrawal that this passage gives up.
fn given_up(tx: &mut Tx, id: SagaId, before: &Exchange, after: &Exchange) -> Result<(), Fault> {
    let unknown = matches!(before.state, State::DepositResultCheckNeeded { .. });
    if let State::WithdrawCancelNeeded { withdrawal, because } = &after.state
        && !(planted("cancel-event-lost") && unknown)
    {
        give_up(tx, id, after, *withdrawal, because)?;
    }
    if after.state.is_decided()
        && planted("given-up-twice")
        && let State::WithdrawCancelNeeded { withdrawal, because } = &before.state
    {
        give_up(tx, id, after, *withdrawal, because)?;
    }
    Ok(())
}

/// Tells that a withdrawal is given up.
fn give_up(
    tx: &mut Tx,
    id: SagaId,
    exchange: &Exchange,
    withdrawal: PostingId,
    because: &Because,
) -> Result<(), Fault> {
    let event = WithdrawalGivenUpV1 {
        exchange: exchange_of(id),
        instance: exchange.withdraw.instance.service().to_owned(),
        withdrawal,
        key: key(id, CANCEL),
        reason: format!("exchange {} failed: {}", exchange_of(id), because.code),
    };
    let payload = serde_json::to_string(&event).map_err(|e| Fault::Damaged(e.to_string()))?;
    let account = exchange.withdraw.account.to_string();
    tx.emit(topics::EXCHANGE_GIVEN_UP, &account, WithdrawalGivenUpV1::TYPE, payload);
    Ok(())
}

/// Settles what exchanges reserved, and tells how they were decided.
///
/// # Errors
/// The store failed, or what belongs to an exchange is missing.
pub async fn decided(tx: &mut Tx, over: &[(ExchangeId, &State)]) -> Result<(), Fault> {
    if over.is_empty() {
        return Ok(());
    }
    let ids: Vec<ExchangeId> = over.iter().map(|(id, _)| *id).collect();
    let all = exchanges::terms(tx, &ids).await?;
    let terms = |id: &ExchangeId| all.get(id).ok_or_else(|| Fault::Damaged(format!("the row of {id} is missing")));
    let limits_of = |terms: &Terms| terms.firsts.map(|(span, first)| (span, first, terms.customer));
    let mut taken = limits::taken(tx, &all.values().flat_map(limits_of).collect()).await?;
    for (id, state) in over {
        let terms = terms(id)?;
        let succeeded = matches!(state, State::ExchangeSucceeded { .. });
        for limit in limits_of(terms) {
            if planted("limit-leaks") && !succeeded {
                continue;
            }
            taken.set(limit, taken.of(limit).settle(terms.amounts.won, succeeded));
        }
        let event = told(*id, terms, state, tx.now())?;
        let payload = serde_json::to_string(&event).map_err(|e| Fault::Damaged(e.to_string()))?;
        tx.emit(topics::EXCHANGE_DECIDED, &terms.customer.to_string(), ExchangeDecidedV1::TYPE, payload);
    }
    limits::put(tx, &taken).await
}

fn told(id: ExchangeId, terms: &Terms, state: &State, at: Timestamp) -> Result<ExchangeDecidedV1, Fault> {
    let rate = |price: Price| Rate::new(price.hundredths(), 2).map_err(|e| Fault::Damaged(format!("a price: {e}")));
    Ok(ExchangeDecidedV1 {
        exchange: id,
        customer: terms.customer,
        succeeded: matches!(state, State::ExchangeSucceeded { .. }),
        side: wire_side(terms.side),
        currency: terms.quoted.currency,
        rate: rate(terms.quoted.price)?,
        unit: terms.quoted.unit,
        mid: Some(rate(terms.mid)?),
        foreign: terms.amounts.foreign,
        krw: terms.amounts.won,
        krw_account: Some(terms.krw_account),
        fx_account: Some(terms.fx_account),
        withdrawal: terms.withdrawal,
        deposit: terms.deposit,
        failure: state.because().map(|b| Failed { code: b.code.clone(), detail: b.detail.clone() }),
        at,
    })
}

/// The wire's word for the domain's.
#[must_use]
pub fn wire_side(side: Side) -> WireSide {
    match side {
        Side::Buy => WireSide::Buy,
        Side::Sell => WireSide::Sell,
    }
}
