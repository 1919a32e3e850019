//! Posts a batch of commands. The batch is the function; one is a batch of one.
//!
//! A batch whose commands need nothing but memory is decided while earlier ones are still being written; one that needs
//! the store (a key that may be known, an account not met yet, a hold, a reversal, interest) has the ledger to itself.
//! Each is one unit of work, unless others write the same database (`locked`):
//!
//! | per | statements |
//! |---|---|
//! | batch | one outbox row |
//! | command | one posting row, which is entries, key and message |
//! | account seen for the first time since start | one or two reads |
//! | account whose running day ended | one daily-balance row |
//! | key that is in no known gap, or came lately | one read |
//! | hold, capture, release, reversal, interest | one or two reads, one write |

mod batch;
mod behind;
mod locked;

pub(crate) use batch::Batch;
use batch::refusal_from;
pub(crate) use behind::{raise, tell_others, write_stored, write_stored_rows};
pub use locked::Lane;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, InterestId};
use jangbu_kernel::money::Currency;
use jangbu_platform::db::{Fault, Tx};
use jangbu_platform::defect::planted;
use jangbu_platform::probe;

use crate::domain::book::{Account, Book, Day};
use crate::domain::command::{Action, Command, Kind};
use crate::domain::decide::{self, Posting, Refusal};
use crate::domain::eligibility::{find, number_of};
use crate::domain::interest::{self, Interest};
use crate::domain::keys::Seen;
use crate::domain::tax::TaxClass;
use crate::ledger::{Ledger, Names, Product, State};
use crate::pipeline::{Room, Work};
use crate::store;
use crate::store::days::Payment;
use crate::store::postings::Stored;

/// Commands that share one unit of work at most.
pub const COMMANDS_PER_BATCH_MAX: usize = 8_190;

/// Commands whose accounts are fetched from memory together.
const FETCHED_AHEAD: usize = 64;

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

/// What was learned of a batch's keys; they count as seen since.
type Taken = Option<(u64, Vec<Seen>)>;

/// Outcomes that hold once this has ended well, and not before.
pub type Answers = BoxFuture<'static, Result<Vec<Outcome>, Fault>>;

/// Decides a batch and sends it on its way. `room` is its place among the batches under way; `lane` is what its lane keeps
/// from one to the next where others write the same database.
///
/// # Errors
/// Nothing of the batch stands; the commands come back.
pub async fn post(
    ledger: &Arc<Ledger>,
    lane: &mut Lane,
    room: Room,
    commands: Vec<Command>,
) -> Result<Answers, (Fault, Vec<Command>)> {
    if !ledger.db.sole_owner() {
        return locked::post(ledger, lane, room, commands).await;
    }
    match decide_at_once(ledger, room, commands).await {
        Ok(answers) => Ok(answers),
        Err((commands, taken)) => decide_alone(ledger, commands, taken).await,
    }
}

fn fetch(book: &Book, commands: &[Command]) {
    for command in commands {
        match &command.action {
            Action::Credit { account, .. } | Action::Debit { account, .. } | Action::Hold { account, .. } => {
                book.accounts.fetch(number_of(*account));
            }
            Action::Transfer { from, to, .. } => {
                book.accounts.fetch(number_of(*from));
                book.accounts.fetch(number_of(*to));
            }
            Action::Capture { .. } | Action::Release { .. } | Action::Reversal { .. } | Action::Interest { .. } => {}
        }
    }
}

/// Whether a command can be decided by what is in memory.
fn is_in_memory(book: &Book, command: &Command) -> bool {
    match &command.action {
        Action::Credit { account, .. } | Action::Debit { account, .. } | Action::Hold { account, .. } => {
            find(book, *account).is_some()
        }
        Action::Transfer { from, to, .. } => find(book, *from).is_some() && find(book, *to).is_some(),
        Action::Capture { .. } | Action::Release { .. } | Action::Reversal { .. } | Action::Interest { .. } => false,
    }
}

/// Decides in memory, while earlier batches are still being written; gives the commands back where one of them needs
/// the store.
async fn decide_at_once(
    ledger: &Arc<Ledger>,
    room: Room,
    commands: Vec<Command>,
) -> Result<Answers, (Vec<Command>, Taken)> {
    let Some(mut state) = ledger.current().await else { return Err((commands, None)) };
    if !commands.iter().all(|command| is_in_memory(&state.book, command)) {
        return Err((commands, None));
    }
    let seen: Vec<Seen> = commands.iter().map(|command| state.keys.take(&command.key)).collect();
    if seen.iter().any(|seen| *seen != Seen::Never) {
        return Err((commands, Some((state.generation, seen))));
    }
    let mut batch = Batch::new(ledger.db.now(), commands.len());
    state.deciding();
    for (i, command) in commands.iter().enumerate() {
        if i % FETCHED_AHEAD == 0 {
            fetch(&state.book, &commands[i..commands.len().min(i + FETCHED_AHEAD)]);
        }
        let (seq, decided) = state.decide(command, batch.at);
        let outcome = match batch.note(&mut state, i, seq, decided) {
            Ok(posting) => {
                Outcome::Posted(Box::new(show(&state, posting, batch.at, command.memo.clone(), None)), false)
            }
            Err(refusal) => Outcome::Refused(refusal, false),
        };
        batch.outcomes.push(outcome);
    }
    batch.commands = commands;
    state.decided();
    let sent = ledger.send(&mut state, room, Work::Postings(batch));
    drop(state);
    let ledger = Arc::clone(ledger);
    Ok(async move {
        let work = sent.back.await;
        if !planted("answered-before-flush") {
            sent.flush.await?;
        }
        match work {
            Ok(Work::Postings(batch)) => Ok(batch.answer(&ledger)),
            _ => Err(Fault::Unavailable("the ledger is shutting down".into())),
        }
    }
    .boxed())
}

/// Decides with the ledger to itself and the store at hand.
async fn decide_alone(
    ledger: &Arc<Ledger>,
    commands: Vec<Command>,
    taken: Taken,
) -> Result<Answers, (Fault, Vec<Command>)> {
    let mut alone = match ledger.alone("deposit.post").await {
        Ok(alone) => alone,
        Err(fault) => return Err((fault, commands)),
    };
    let mut batch = match decide_all(ledger, &mut alone.tx, &mut alone.state, &commands, taken, None).await {
        Ok(batch) => batch,
        Err(fault) => return Err((fault, commands)),
    };
    batch.commands = commands;
    if let Err(fault) = batch.store(&mut alone.tx).await {
        return Err((fault, batch.commands));
    }
    match alone.finish().await {
        Ok(flush) => {
            let ledger = Arc::clone(ledger);
            Ok(async move { flush.await.map(|()| batch.answer(&ledger)) }.boxed())
        }
        Err(fault) => Err((fault, batch.commands)),
    }
}

/// Decides commands one after the other; `stored` is what the store has under their keys, where it was asked for all at
/// once.
async fn decide_all(
    ledger: &Ledger,
    tx: &mut Tx,
    state: &mut State,
    commands: &[Command],
    taken: Taken,
    stored: Option<&HashMap<String, Stored>>,
) -> Result<Batch, Fault> {
    let mut batch = Batch::new(ledger.db.now(), commands.len()); // the unit of work may have begun before they came
    state.deciding();
    let taken = taken.filter(|(generation, _)| *generation == state.generation).map(|(_, seen)| seen);
    let (mut places, mut in_vain) = (None, Vec::new());
    for (i, command) in commands.iter().enumerate() {
        let seen = taken.as_ref().map_or_else(|| state.keys.take(&command.key), |seen| seen[i]);
        let earlier = match seen {
            Seen::Never | Seen::Perhaps => None,
            Seen::Lately => places.get_or_insert_with(|| first_places(commands)).get(command.key.as_str()).copied(),
        };
        // One that was refused for its key says only that the store has this key.
        let earlier = earlier.filter(|at| *at < i && batch.outcomes[*at] != Outcome::KeyReused);
        let known = match earlier {
            Some(at) => {
                probe::reached("double-tap-decided-in-one-batch");
                Some(again(&commands[at], &batch.outcomes[at], command))
            }
            None if seen == Seen::Never => None,
            None => {
                let row = match stored {
                    Some(stored) => stored.get(command.key.as_str()).cloned(),
                    None => store::postings::by_key(tx, &command.key).await?,
                };
                recall(ledger, tx, state, command, row).await?
            }
        };
        if let Some(known) = known {
            batch.outcomes.push(known);
            continue;
        }
        if seen == Seen::Perhaps {
            in_vain.push(command.key.as_str());
        }
        let prepared = prepare(ledger, tx, state, &batch.ended, command).await?;
        let (seq, decided) = state.decide(prepared.as_ref().unwrap_or(command), batch.at);
        let outcome = match batch.note(state, i, seq, decided) {
            Ok(posting) => {
                if posting.date > command.date {
                    probe::reached("posting-dated-by-the-running-day-of-its-account");
                }
                let interest = store_at_once(tx, &posting).await?;
                let undone_at = undone_at(tx, &posting).await?;
                let posted = show(state, posting, batch.at, command.memo.clone(), interest);
                Outcome::Posted(Box::new(Posted { undone_at, ..posted }), false)
            }
            Err(refusal) => Outcome::Refused(refusal, false),
        };
        batch.outcomes.push(outcome);
    }
    if let Some(place) = state.keys.asked_in_vain(in_vain) {
        let packed = store::batches::rows_after(tx, 0).await?; // first: those written meanwhile are found around it
        let (floor, ceiling) = store::postings::keys_around(tx, place).await?;
        let under_way = packed.iter().map(|row| &row.key).chain(commands.iter().map(|command| &command.key));
        state.keys.learn(floor, ceiling, under_way.map(String::as_str));
    }
    state.decided();
    Ok(batch)
}

/// Where each key of a batch comes first.
fn first_places(commands: &[Command]) -> HashMap<&str, usize> {
    commands.iter().enumerate().rev().map(|(i, command)| (command.key.as_str(), i)).collect()
}

/// The outcome of a command of the same batch that came under the same key.
fn again(before: &Command, outcome: &Outcome, command: &Command) -> Outcome {
    match outcome {
        _ if before.hash != command.hash && !planted("key-body-unchecked") => Outcome::KeyReused,
        Outcome::Posted(posted, _) => Outcome::Posted(posted.clone(), true),
        Outcome::Refused(refusal, _) => Outcome::Refused(refusal.clone(), true),
        Outcome::KeyReused => Outcome::KeyReused,
    }
}

/// What the store's row of a key says of a command.
async fn recall(
    ledger: &Ledger,
    tx: &mut Tx,
    state: &State,
    command: &Command,
    row: Option<Stored>,
) -> Result<Option<Outcome>, Fault> {
    let Some(row) = row else { return Ok(None) };
    if row.hash != command.hash && !planted("key-body-unchecked") {
        return Ok(Some(Outcome::KeyReused));
    }
    let names = ledger.names(tx, Some(&state.book), std::slice::from_ref(&row)).await?;
    known(tx, &names, row).await.map(Some)
}

/// A stored row as an outcome that is given again; `names` are of its accounts.
pub(crate) async fn known(tx: &mut Tx, names: &Names, row: Stored) -> Result<Outcome, Fault> {
    let pays = row.posting.as_ref().is_some_and(|posting| posting.kind == Kind::Interest);
    let paid = if pays { store::days::payment(tx, row.seq).await? } else { None };
    known_paid(tx, names, row, paid).await
}

/// The same, where the interest payment that it made was read with those of others.
pub(crate) async fn known_paid(
    tx: &mut Tx,
    names: &Names,
    row: Stored,
    paid: Option<Payment>,
) -> Result<Outcome, Fault> {
    let Some(mut posting) = row.posting else {
        return Ok(Outcome::Refused(refusal_from(row.refused.as_deref().unwrap_or("")), true));
    };
    let mut interest = None;
    if let Some(paid) = paid {
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
    let name = |leg: Option<decide::Leg>| leg.and_then(|l| names.get(&l.account)).copied();
    let (debit, credit) = (name(posting.debit), name(posting.credit));
    let (_, currency) = debit.or(credit).ok_or_else(|| Fault::Damaged("a posting of no known account".into()))?;
    let (debit, credit) = (debit.map(|(id, _)| id), credit.map(|(id, _)| id));
    let undone_at = undone_at(tx, &posting).await?;
    let posted = Posted { debit, credit, currency, at: row.posted_at, memo: row.memo, interest, undone_at, posting };
    Ok(Outcome::Posted(Box::new(posted), true))
}

async fn undone_at(tx: &mut Tx, posting: &Posting) -> Result<Option<i64>, Fault> {
    let Some(original) = posting.refers.filter(|_| posting.kind == Kind::Reversal) else { return Ok(None) };
    Ok(store::postings::by_seq(tx, original).await?.map(|row| row.posted_at))
}

/// A posting just decided: its accounts are in the book.
fn show(state: &State, posting: Posting, at: i64, memo: Option<String>, interest: Option<InterestId>) -> Posted {
    let account = |leg: Option<decide::Leg>| leg.and_then(|l| state.book.accounts.get(l.account));
    let (debit, credit) = (account(posting.debit), account(posting.credit));
    let currency = debit.or(credit).expect("a posting is of an account in the book").currency;
    let id = |account: Option<&Account>| account.map(|a| a.id);
    Posted { debit: id(debit), credit: id(credit), currency, at, memo, interest, undone_at: None, posting }
}

/// Loads what a command decides by; some commands carry what was found.
async fn prepare(
    ledger: &Ledger,
    tx: &mut Tx,
    state: &mut State,
    ended: &[(u64, Day, u64)],
    command: &Command,
) -> Result<Option<Command>, Fault> {
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
                if state.book.holds.contains_key(hold) {
                    probe::reached("hold-settled-twice-in-one-batch");
                }
                // A hold changed earlier in this batch is newer in the book than in the store.
                let hold = *state.book.holds.entry(*hold).or_insert(found);
                ledger.load(tx, state, hold.account).await?;
            } else if let Some(account) = state.book.holds.get(hold).map(|h| h.account) {
                probe::reached("hold-made-and-settled-in-one-batch");
                ledger.load(tx, state, account).await?;
            }
        }
        Action::Reversal { original: Some(wanted) } => {
            let original = store::postings::original(tx, wanted.seq).await?;
            if original.as_ref().is_some_and(|found| found.kind == Kind::Capture) {
                probe::reached("capture-to-be-undone");
            }
            if let Some(found) = &original {
                for no in [found.debit, found.credit].into_iter().flatten() {
                    ledger.load(tx, state, no).await?;
                }
            }
            return Ok(Some(Command { action: Action::Reversal { original }, ..command.clone() }));
        }
        Action::Reversal { original: None } => {}
        Action::Interest { account, .. } => {
            ledger.load(tx, state, number_of(*account)).await?;
            let due = match find(&state.book, *account).map(|a| (a, state.products.get(a.product as usize))) {
                Some((account, Some(product))) => {
                    let again = planted("day-asked-twice").then(|| tx.now().business_date(ledger.offset));
                    due(tx, product, account, ended, again.unwrap_or(command.date)).await?
                }
                _ => None,
            };
            let action = Action::Interest { account: *account, due };
            return Ok(Some(Command { action, ..command.clone() }));
        }
    }
    Ok(None)
}

/// Interest of an account up to the day before `date`; none when no day is unpaid. Days in `ended` (of any account)
/// have ended, but have no row yet.
///
/// # Errors
/// The store can't be read, or the account's terms don't cover its days.
pub async fn due(
    tx: &mut Tx,
    product: &Product,
    account: &Account,
    ended: &[(u64, Day, u64)],
    date: BusinessDate,
) -> Result<Option<Interest>, Fault> {
    let (from, mut to) = (account.paid_through.add_days(1), date.add_days(-1));
    if planted("interest-of-today") {
        to = date;
    }
    if from > to {
        return Ok(None);
    }
    let closings = closings(tx, account, ended, from, to).await?;
    let worked = interest::work_out(&product.history, TaxClass::Normal, &closings, from, to);
    worked.map(Some).map_err(|e| Fault::Damaged(format!("interest of {}: {e:?}", account.id)))
}

/// Closing balances from the day before `from`, as days from which each holds; at least up to `to`.
async fn closings(
    tx: &mut Tx,
    account: &Account,
    ended: &[(u64, Day, u64)],
    from: BusinessDate,
    to: BusinessDate,
) -> Result<Vec<(BusinessDate, i64)>, Fault> {
    let day = account.day;
    if day.date <= from {
        return Ok(vec![(from, account.ledger)]); // untouched since: one balance for all days
    }
    // Rows of days after the account's own belong to what came after it was looked at. Days between `to` and the
    // running day, which may be there around midnight, tell what `to` closed with.
    let rows = store::days::between(tx, account.no, from, day.date.add_days(-1)).await?;
    let mut days: Vec<(BusinessDate, i64, i64)> = rows.iter().map(|r| (r.date, r.opening, r.closing)).collect();
    let lately = ended.iter().filter(|(no, d, _)| *no == account.no && d.date >= from);
    if !planted("ended-day-unseen") {
        days.extend(lately.map(|(_, d, _)| (d.date, d.opening, d.opening + d.credits - d.debits)));
    }
    let opening = days.first().map_or(day.opening, |(_, opening, _)| *opening);
    let mut closings = vec![(from.add_days(-1), opening)];
    closings.extend(days.iter().map(|(date, _, closing)| (*date, *closing)));
    if day.date <= to {
        closings.push((day.date, account.ledger));
    }
    Ok(closings)
}

/// Writes what later commands of the same batch look for in the store; the id of an interest payment.
async fn store_at_once(tx: &mut Tx, posting: &Posting) -> Result<Option<InterestId>, Fault> {
    match (posting.kind, posting.refers) {
        (Kind::Interest, _) => Ok(posting.interest.as_ref().map(|_| InterestId::from_bytes(tx.new_id()))),
        (Kind::Reversal, Some(original)) => {
            store::postings::insert_reversal(tx, original, posting.seq).await?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
#[path = "../tests/bugs.rs"]
mod tests;
