//! Posts a batch on a database that other processes write too. Rows are the arbiters: what a command decides by is read
//! under the locks of its accounts, all of a batch at once, and written back with it.
//!
//! | per | statements |
//! |---|---|
//! | batch | keys, products, locks, accounts, owners and the place: six reads; postings, balances, outbox and the place: four writes; a commit |
//! | hold, capture, release, reversal, interest | one or two reads, one write |
//!
//! Inserts of many rows are one statement per power of two in their number.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_platform::db::{Fault, Tx};

use super::{Answers, Batch, Outcome, Posted, again, first_places, known, prepare, show, store_at_once, undone_at};
use crate::domain::command::{Action, Command};
use crate::domain::eligibility::number_of;
use crate::ledger::{Ledger, State};
use crate::pipeline::Room;
use crate::store;
use crate::store::postings::Stored;

/// How often a batch is tried that others are in the way of.
const TRIES_MAX: u32 = 5;
/// Longest pause before the second try, in microseconds; twice as long before each further one.
const PAUSE_US_FIRST: u64 = 1_000;

type Commit = BoxFuture<'static, Result<(), Fault>>;

/// Decides a batch under the locks of its accounts and sends it on its way.
///
/// # Errors
/// Nothing of the batch stands; the commands come back.
pub(super) async fn post(
    ledger: &Arc<Ledger>,
    room: Room,
    mut commands: Vec<Command>,
) -> Result<Answers, (Fault, Vec<Command>)> {
    let mut tries = 0;
    loop {
        let (decided, back) = attempt(ledger, commands).await;
        match decided {
            Ok((commit, outcomes)) => {
                return Ok(async move {
                    let done = commit.await;
                    drop(room);
                    done.map(|()| outcomes)
                }
                .boxed());
            }
            Err(fault @ Fault::Conflict(_)) if tries + 1 < TRIES_MAX => {
                tracing::debug!(error = %fault, tries, "a batch is tried again");
                // By chance, or the two that met would meet again.
                let pause = ledger.dice.u64() % (PAUSE_US_FIRST << tries);
                tokio::time::sleep(Duration::from_micros(pause)).await;
                tries += 1;
                commands = back;
            }
            Err(fault) => return Err((fault, back)),
        }
    }
}

/// One try; the commands come back where it fails.
async fn attempt(ledger: &Ledger, commands: Vec<Command>) -> (Result<(Commit, Vec<Outcome>), Fault>, Vec<Command>) {
    let mut tx = match ledger.db.begin("deposit.post").await {
        Ok(tx) => tx,
        Err(fault) => return (Err(fault), commands),
    };
    let (mut batch, state) = match decide_all(ledger, &mut tx, &commands).await {
        Ok(decided) => decided,
        Err(fault) => return (Err(fault), commands),
    };
    batch.commands = commands;
    match write(&mut tx, &batch, &state).await {
        Ok(()) => {}
        Err(fault) => return (Err(fault), batch.commands),
    }
    match tx.finish().await {
        Ok(commit) => (Ok((commit, batch.outcomes)), Vec::new()),
        Err(fault) => (Err(fault), batch.commands),
    }
}

async fn write(tx: &mut Tx, batch: &Batch, state: &State) -> Result<(), Fault> {
    batch.store(tx).await?;
    if batch.fresh.is_empty() {
        return Ok(());
    }
    let touched: BTreeSet<u64> = state.touched().collect();
    let accounts: Vec<_> = touched.iter().filter_map(|no| state.book.accounts.get(*no)).collect();
    store::locked::write_balances(tx, &accounts).await?;
    store::locked::set_place(tx, state.seq).await
}

async fn decide_all(ledger: &Ledger, tx: &mut Tx, commands: &[Command]) -> Result<(Batch, State), Fault> {
    let places = first_places(commands);
    let stored = recall_all(tx, &places).await?;
    let mut state = ledger.blank(tx).await?;
    lock(tx, &mut state, commands, &stored).await?;
    let names = ledger.names(tx, Some(&state.book), stored.values()).await?;
    let mut batch = Batch::new(tx.now(), commands.len());
    for (i, command) in commands.iter().enumerate() {
        // One that was refused for its key says only that the store has this key.
        let earlier = places.get(command.key.as_str()).copied();
        let earlier = earlier.filter(|at| *at < i && batch.outcomes[*at] != Outcome::KeyReused);
        let known = match (earlier, stored.get(command.key.as_str())) {
            (Some(at), _) => Some(again(&commands[at], &batch.outcomes[at], command)),
            (None, Some(row)) if row.hash != command.hash => Some(Outcome::KeyReused),
            (None, Some(row)) => Some(known(tx, &names, row.clone()).await?),
            (None, None) => None,
        };
        if let Some(known) = known {
            batch.outcomes.push(known);
            continue;
        }
        if batch.fresh.is_empty() {
            state.seq = store::locked::place(tx).await?;
        }
        let prepared = prepare(ledger, tx, &mut state, &batch.ended, command).await?;
        let (seq, decided) = state.decide(prepared.as_ref().unwrap_or(command), batch.at);
        let outcome = match batch.note(&mut state, i, seq, decided) {
            Ok(posting) => {
                let interest = store_at_once(tx, &posting).await?;
                let undone_at = undone_at(tx, &posting).await?;
                let posted = show(&state, posting, batch.at, command.memo.clone(), interest);
                Outcome::Posted(Box::new(Posted { undone_at, ..posted }), false)
            }
            Err(refusal) => Outcome::Refused(refusal, false),
        };
        batch.outcomes.push(outcome);
    }
    Ok((batch, state))
}

/// What the store knows of a batch's keys. A key that another process takes meanwhile is met again at the insert.
async fn recall_all(tx: &mut Tx, places: &HashMap<&str, usize>) -> Result<HashMap<String, Stored>, Fault> {
    let mut keys: Vec<&str> = places.keys().copied().collect();
    keys.sort_unstable(); // near each other in the index
    let rows = store::locked::by_keys(tx, &keys).await?;
    Ok(rows.into_iter().map(|row| (row.key.clone(), row)).collect())
}

/// Locks the accounts that the commands of new keys move, and brings them with their owners into the book.
async fn lock(
    tx: &mut Tx,
    state: &mut State,
    commands: &[Command],
    stored: &HashMap<String, Stored>,
) -> Result<(), Fault> {
    let (mut nos, mut holds, mut originals) = (BTreeSet::new(), Vec::new(), Vec::new());
    for command in commands.iter().filter(|command| !stored.contains_key(command.key.as_str())) {
        match &command.action {
            Action::Credit { account, .. }
            | Action::Debit { account, .. }
            | Action::Hold { account, .. }
            | Action::Interest { account, .. } => drop(nos.insert(number_of(*account))),
            Action::Transfer { from, to, .. } => nos.extend([*from, *to].map(number_of)),
            Action::Capture { hold, .. } | Action::Release { hold } => holds.push(*hold),
            Action::Reversal { original } => originals.extend(original.iter().map(|original| original.seq)),
        }
    }
    nos.extend(store::locked::held_accounts(tx, &holds).await?);
    for posting in store::locked::by_seqs(tx, &originals).await?.into_iter().filter_map(|row| row.posting) {
        nos.extend([posting.debit, posting.credit].into_iter().flatten().map(|leg| leg.account));
    }
    let accounts = store::locked::accounts(tx, &nos, |code| state.product(code)).await?;
    let customers = accounts.iter().map(|account| account.customer).collect();
    state.book.owners.extend(store::locked::owners(tx, &customers).await?);
    accounts.into_iter().for_each(|account| state.book.accounts.insert(account));
    Ok(())
}
