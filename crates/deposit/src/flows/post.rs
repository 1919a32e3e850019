//! Posts a batch of commands in one unit of work. The batch is the function; one is a batch of one.
//!
//! | per | statements |
//! |---|---|
//! | batch | one outbox row |
//! | command | one posting row, which is entries, key and message |
//! | account seen for the first time since start | one or two reads |
//! | account whose running day ended | one daily-balance row |
//! | key not greater than all before | one read |
//! | hold, capture, release, reversal, interest | one or two reads, one write |

use futures_util::FutureExt;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, InterestId};
use jangbu_kernel::money::Currency;
use jangbu_platform::db::{Fault, Tx};

use crate::domain::book::{Account, Day, Hold};
use crate::domain::command::{Action, Command, Kind};
use crate::domain::decide::{self, Decided, Posting, Refusal};
use crate::domain::eligibility::number_of;
use crate::domain::interest::{self, Interest};
use crate::domain::tax::TaxClass;
use crate::ledger::{Flush, Ledger, Seen, State};
use crate::store;
use crate::store::postings::{NewRow, Stored};

/// Commands that share one unit of work at most.
pub const COMMANDS_PER_BATCH_MAX: usize = 8_190;

/// A posting with what is needed to show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Posted {
    /// The posting.
    pub posting: Posting,
    /// Id of the debited account.
    pub debit: Option<AccountId>,
    /// Id of the credited account.
    pub credit: Option<AccountId>,
    /// Currency.
    pub currency: Currency,
    /// Microseconds UTC.
    pub at: i64,
    /// Text for the statement.
    pub memo: Option<String>,
    /// Id of the interest payment.
    pub interest: Option<InterestId>,
    /// When the posting that it undoes was made, microseconds UTC: a part of that one's id.
    pub undone_at: Option<i64>,
}

/// What became of one command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Posted; `true` when it was posted before under this key.
    Posted(Box<Posted>, bool),
    /// Refused; `true` when it was refused before under this key.
    Refused(Refusal, bool),
    /// The key came with another request before.
    KeyReused,
}

#[derive(Default)]
struct Writes {
    fresh: Vec<(usize, u64)>,
    ended: Vec<(u64, Day, u64)>,
    holds: Vec<Hold>,
}

/// Decides and writes a batch. The answers hold once the returned flush has ended well, and not before.
///
/// # Errors
/// Nothing of the batch stands.
pub async fn post(ledger: &Ledger, commands: &[Command]) -> Result<(Vec<Outcome>, Flush), Fault> {
    let mut tx = ledger.db.begin("deposit.post").await?;
    let mut state = ledger.state(&mut tx).await?;
    let done = write(ledger, &mut tx, &mut state, commands).await;
    let flush = match done {
        Ok(outcomes) => tx.finish().await.map(|flush| (outcomes, flush.shared())),
        Err(fault) => Err(fault),
    };
    match &flush {
        Ok((_, flush)) => state.flush = Some(flush.clone()),
        Err(_) => Ledger::forget(&mut state), // what was decided in memory does not stand
    }
    flush
}

async fn write(ledger: &Ledger, tx: &mut Tx, state: &mut State, commands: &[Command]) -> Result<Vec<Outcome>, Fault> {
    let now = tx.now().micros();
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(commands.len());
    let mut writes = Writes::default();
    for (i, command) in commands.iter().enumerate() {
        let before = match state.take_key(&command.key) {
            Seen::Never => None,
            Seen::Perhaps => Some(&commands[..0]),
            Seen::Lately => Some(&commands[..i]),
        };
        if let Some(before) = before
            && let Some(known) = recall(ledger, tx, state, before, &outcomes, command).await?
        {
            outcomes.push(known);
            continue;
        }
        let prepared = prepare(ledger, tx, state, command).await?;
        state.seq += 1;
        let seq = state.seq;
        let decided = decide::decide(&mut state.book, seq, prepared.as_ref().unwrap_or(command), now);
        writes.fresh.push((i, seq));
        let outcome = note(tx, state, &mut writes, decided, command).await?;
        outcomes.push(outcome);
    }
    store_all(tx, commands, &outcomes, &writes).await?;
    Ok(outcomes)
}

/// What is known under a key: from an earlier command of this batch, or from the store.
async fn recall(
    ledger: &Ledger,
    tx: &mut Tx,
    state: &mut State,
    before: &[Command],
    outcomes: &[Outcome],
    command: &Command,
) -> Result<Option<Outcome>, Fault> {
    if let Some(at) = before.iter().position(|c| c.key == command.key) {
        let known = match &outcomes[at] {
            _ if before[at].hash != command.hash => Outcome::KeyReused,
            Outcome::Posted(posted, _) => Outcome::Posted(posted.clone(), true),
            Outcome::Refused(refusal, _) => Outcome::Refused(refusal.clone(), true),
            Outcome::KeyReused => Outcome::KeyReused,
        };
        return Ok(Some(known));
    }
    let Some(row) = store::postings::by_key(tx, &command.key).await? else { return Ok(None) };
    if row.hash != command.hash {
        return Ok(Some(Outcome::KeyReused));
    }
    known(ledger, tx, state, row).await.map(Some)
}

/// A stored row as an outcome that is given again.
pub(crate) async fn known(ledger: &Ledger, tx: &mut Tx, state: &mut State, row: Stored) -> Result<Outcome, Fault> {
    let Some(mut posting) = row.posting else {
        return Ok(Outcome::Refused(refusal_from(row.refused.as_deref().unwrap_or("")), true));
    };
    for leg in [posting.debit, posting.credit].into_iter().flatten() {
        ledger.load(tx, state, leg.account).await?;
    }
    let mut interest = None;
    if posting.kind == Kind::Interest
        && let Some(paid) = store::days::payment(tx, posting.seq).await?
    {
        interest = Some(paid.id);
        posting.interest = Some(Box::new(Interest {
            from: paid.from,
            to: paid.to,
            gross: paid.gross,
            income_tax: paid.income_tax,
            local_tax: paid.local_tax,
            other_tax: paid.other_tax,
            net: paid.net,
            periods: Vec::new(),
        }));
    }
    let mut posted = show(state, posting, row.posted_at, row.memo, interest)?;
    posted.undone_at = undone_at(tx, &posted.posting).await?;
    Ok(Outcome::Posted(Box::new(posted), true))
}

async fn undone_at(tx: &mut Tx, posting: &Posting) -> Result<Option<i64>, Fault> {
    let Some(original) = posting.refers.filter(|_| posting.kind == Kind::Reversal) else { return Ok(None) };
    Ok(store::postings::by_seq(tx, original).await?.map(|row| row.posted_at))
}

fn show(
    state: &State,
    posting: Posting,
    at: i64,
    memo: Option<String>,
    interest: Option<InterestId>,
) -> Result<Posted, Fault> {
    let account = |leg: Option<decide::Leg>| leg.and_then(|l| state.book.accounts.get(l.account));
    let (debit, credit) = (account(posting.debit), account(posting.credit));
    let currency = debit.or(credit).map(|a| a.currency);
    let currency = currency.ok_or_else(|| Fault::Damaged("a posting of no known account".into()))?;
    let id = |account: Option<&Account>| account.map(|a| a.id);
    Ok(Posted { debit: id(debit), credit: id(credit), currency, at, memo, interest, undone_at: None, posting })
}

/// Loads what a command decides by; some commands carry what was found.
async fn prepare(ledger: &Ledger, tx: &mut Tx, state: &mut State, command: &Command) -> Result<Option<Command>, Fault> {
    match &command.action {
        Action::Credit { account, .. } | Action::Debit { account, .. } | Action::Hold { account, .. } => {
            ledger.load(tx, state, number_of(*account)).await?;
        }
        Action::Transfer { from, to, .. } => {
            ledger.load(tx, state, number_of(*from)).await?;
            ledger.load(tx, state, number_of(*to)).await?;
        }
        Action::Capture { hold, .. } | Action::Release { hold } => {
            if let Some(found) = store::days::hold(tx, *hold).await? {
                // A hold changed earlier in this batch is newer in the book than in the store.
                let hold = *state.book.holds.entry(*hold).or_insert(found);
                ledger.load(tx, state, hold.account).await?;
            } else if let Some(account) = state.book.holds.get(hold).map(|h| h.account) {
                ledger.load(tx, state, account).await?;
            }
        }
        Action::Reversal { original: Some(wanted) } => {
            let mut original = store::postings::original(tx, wanted.seq).await?;
            if let Some(found) = &mut original {
                found.reversed |= state.book.reversed.contains(&found.seq);
                for no in [found.debit, found.credit].into_iter().flatten() {
                    ledger.load(tx, state, no).await?;
                }
            }
            return Ok(Some(Command { action: Action::Reversal { original }, ..command.clone() }));
        }
        Action::Reversal { original: None } => {}
        Action::Interest { account, .. } => {
            ledger.load(tx, state, number_of(*account)).await?;
            let due = due(tx, state, *account, command.date).await?;
            let action = Action::Interest { account: *account, due };
            return Ok(Some(Command { action, ..command.clone() }));
        }
    }
    Ok(None)
}

/// Interest of an account up to the day before `date`; none when no day is unpaid.
///
/// # Errors
/// The store can't be read, or the account's terms don't cover its days.
pub async fn due(tx: &mut Tx, state: &State, id: AccountId, date: BusinessDate) -> Result<Option<Interest>, Fault> {
    let Some(account) = state.book.accounts.get(number_of(id)).filter(|a| a.id == id) else { return Ok(None) };
    let (from, to) = (account.paid_through.add_days(1), date.add_days(-1));
    let Some(product) = state.products.get(account.product as usize).filter(|_| from <= to) else {
        return Ok(None);
    };
    let closings = closings(tx, account, from, to).await?;
    let worked = interest::work_out(&product.history, TaxClass::Normal, &closings, from, to);
    worked.map(Some).map_err(|e| Fault::Damaged(format!("interest of {id}: {e:?}")))
}

/// Closing balances from the day before `from`, as days from which each holds.
async fn closings(
    tx: &mut Tx,
    account: &Account,
    from: BusinessDate,
    to: BusinessDate,
) -> Result<Vec<(BusinessDate, i64)>, Fault> {
    let day = account.day;
    let running = if day.date <= to { Some((day.date, account.ledger)) } else { None };
    if day.date <= from {
        return Ok(vec![(from, account.ledger)]); // untouched since: one balance for all days
    }
    let rows = store::days::between(tx, account.no, from, to).await?;
    let opening = rows.first().map_or(day.opening, |r| r.opening);
    let mut closings = vec![(from.add_days(-1), opening)];
    closings.extend(rows.iter().map(|r| (r.date, r.closing)));
    closings.extend(running);
    Ok(closings)
}

/// Collects what a decision writes besides its posting row.
async fn note(
    tx: &mut Tx,
    state: &mut State,
    writes: &mut Writes,
    decided: Decided,
    command: &Command,
) -> Result<Outcome, Fault> {
    writes.ended.extend(decided.ended);
    writes.holds.extend(decided.hold);
    let posting = match decided.outcome {
        Ok(posting) => posting,
        Err(refusal) => return Ok(Outcome::Refused(refusal, false)),
    };
    for leg in [posting.debit, posting.credit].into_iter().flatten() {
        state.touch(leg.account);
    }
    let mut id = None;
    match (posting.kind, posting.refers, &posting.interest, posting.credit) {
        (Kind::Interest, _, Some(interest), Some(leg)) => {
            let new = InterestId::from_bytes(tx.new_id());
            store::days::insert_interest(tx, posting.seq, leg.account, new, interest).await?;
            id = Some(new);
        }
        (Kind::Reversal, Some(original), _, _) => {
            state.book.reversed.insert(original);
            store::postings::insert_reversal(tx, original, posting.seq).await?;
        }
        _ => {}
    }
    let mut posted = show(state, posting, tx.now().micros(), command.memo.clone(), id)?;
    posted.undone_at = undone_at(tx, &posted.posting).await?;
    Ok(Outcome::Posted(Box::new(posted), false))
}

async fn store_all(tx: &mut Tx, commands: &[Command], outcomes: &[Outcome], writes: &Writes) -> Result<(), Fault> {
    let refusals: Vec<String> = writes
        .fresh
        .iter()
        .map(|(i, _)| match &outcomes[*i] {
            Outcome::Refused(refusal, _) => refusal_text(refusal),
            _ => String::new(),
        })
        .collect();
    let mut rows: Vec<NewRow<'_>> = Vec::with_capacity(writes.fresh.len());
    for (at, (i, seq)) in writes.fresh.iter().enumerate() {
        let command = &commands[*i];
        let outcome = match &outcomes[*i] {
            Outcome::Posted(posted, _) => Ok(&posted.posting),
            _ => Err(refusals[at].as_str()),
        };
        rows.push(NewRow {
            seq: *seq,
            key: &command.key,
            hash: command.hash,
            kind: command.action.kind(),
            date: command.date,
            memo: command.memo.as_deref(),
            outcome,
        });
    }
    store::days::insert(tx, &writes.ended).await?;
    store::postings::insert(tx, &rows).await?;
    for hold in &writes.holds {
        store::days::put_hold(tx, hold).await?;
    }
    if let (Some((_, first)), Some((_, last))) = (writes.fresh.first(), writes.fresh.last()) {
        store::outbox::insert(tx, *first, *last).await?;
    }
    Ok(())
}

/// A refusal as it is kept: a line per failure, code and text.
fn refusal_text(refusal: &Refusal) -> String {
    refusal.iter().map(|(code, why)| format!("{} {why}\n", code.as_str())).collect()
}

fn refusal_from(text: &str) -> Refusal {
    let line = |line: &str| {
        let (code, why) = line.split_once(' ')?;
        Some((jangbu_contracts::codes::Code::parse(code)?, why.to_owned()))
    };
    text.lines().filter_map(line).collect()
}
