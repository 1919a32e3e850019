//! Posts a batch on a database that other processes write too. The instance's place is the arbiter: whoever has its row
//! makes the next postings, and whatever else a command decides by changes under it as well.
//!
//! The lane keeps what it decides by from one batch to the next. Beside the place stands a token of who moved it last, and
//! how often something changed that is in no posting. When both are as this lane left them, what it keeps is how things
//! are; when another has posted, his postings are carried out in memory, by the news that he left beside the place or by
//! their rows; after any other change everything is read again.
//!
//! Whoever has the place holds up all others, so a batch lets go of it when its postings stand, and its callers are answered.
//! Its balances are written back behind it, by a unit of work of their own. Where a process dies between the two, another
//! writes them back from the postings.
//!
//! | per | statements |
//! |---|---|
//! | batch | the place; postings, outbox and the place again; a commit; how far balances are written back, balances, and that again; a commit |
//! | batch of few commands | the same in one unit of work |
//! | batch after one that left no news | one read of its postings |
//! | batch with accounts, owners or keys not met yet | one read for all of each |
//! | hold, capture, release, reversal, interest | one or two reads, one write |
//!
//! Inserts of many rows are a few statements of certain sizes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use jangbu_platform::db::{Fault, Tx};
use jangbu_platform::task;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::write_back::{Run, Writing};
use super::{Answers, Batch, COMMANDS_PER_BATCH_MAX, Outcome, decide_all};
use crate::domain::command::{Action, Command, Kind};
use crate::domain::decide::{self, Movement};
use crate::domain::eligibility::number_of;
use crate::domain::keys::{Keys, Seen};
use crate::domain::news::{self, News};
use crate::ledger::{Ledger, State};
use crate::pipeline::{Flush, Room};
use crate::store;
use crate::store::locked::Place;
use crate::store::postings::Stored;

/// How often a batch is tried that others are in the way of.
const TRIES_MAX: u32 = 5;
/// Longest pause before the second try, in microseconds; twice as long before each further one.
const PAUSE_US_FIRST: u64 = 1_000;
/// Accounts kept at most; when there are more, all are read anew.
const ACCOUNTS_KEPT_MAX: usize = 1_000_000;

/// Commands of a batch up to which its balances are written with it: others would gain little from having the place sooner,
/// and whoever looks at its accounts next would wait for a second flush.
const COMMANDS_WRITTEN_WHOLE_MAX: usize = 32;

/// Accounts of which it is kept what others did to them, before those are left out that the store has by now.
const ACCOUNTS_BEHIND_MAX: usize = 1_024;
/// Batches that leave news of themselves since another process was last seen to post.
const BATCHES_TOLD: u32 = 64;

/// What one lane keeps between its batches. Of a batch that fails nothing is kept, nor of those before it.
#[derive(Default)]
pub struct Lane {
    kept: Option<Memory>,
    /// The unit of work of the batch to come, which has the place.
    begun: Option<(Tx, Memory)>,
}

impl Lane {
    /// Takes the instance's place for the next batch, where there are others who may have it: what comes while it is waited
    /// for can share the batch.
    pub async fn ready(&mut self, ledger: &Ledger) {
        if !ledger.db.sole_owner() {
            self.begun = begin(ledger, self.kept.take()).await.ok(); // the batch tries again, and tells why not
        }
    }
}

/// Movements of accounts by their numbers, in order, each of that account alone.
type Behind = FxHashMap<u64, SmallVec<[Movement; 1]>>;

/// How things are at a place.
struct Memory {
    state: State,
    at: Place,
    /// The commit that led there.
    commit: Flush,
    /// What others did to accounts that are not in the book: what the store has of those may be older.
    behind: Behind,
    /// Up to here all that moved since is in the book, or was sent to be written back.
    covered: u64,
    writing: Writing,
    /// How many more batches leave news of themselves for others who post here.
    told: u32,
}

impl Memory {
    /// How things are now, which stay so until the unit of work ends.
    async fn now(ledger: &Ledger, tx: &mut Tx, kept: Option<Memory>) -> Result<Memory, Fault> {
        let (place, news) = store::locked::place(tx).await?;
        if let Some(mut memory) = kept
            && memory.follow(tx, place, news.as_deref()).await?
        {
            return Ok(memory);
        }
        ledger.folded_through(place.seq).await?;
        let mut state = ledger.blank(tx).await?;
        state.seq = place.seq;
        state.keys = Keys::above(store::postings::last_key(tx).await?);
        let (commit, writing) = (std::future::ready(Ok(())).boxed().shared(), Writing::done(place.seq));
        Ok(Memory { state, at: place, commit, behind: Behind::default(), covered: place.seq, writing, told: 0 })
    }

    /// Whether what is kept leads to a place: then it is how things are there.
    async fn follow(&mut self, tx: &mut Tx, place: Place, news: Option<&[u8]>) -> Result<bool, Fault> {
        if place == self.at {
            return Ok(true);
        }
        // Who moves the place without a token takes its number alone on.
        let moved = place.seq > self.at.seq && place.token != self.at.token && place.changes == self.at.changes;
        // The other stands on what this lane left only if that stands; a commit whose answer is lost says neither.
        let stands = matches!(self.commit.clone().now_or_never(), Some(Ok(())));
        if !moved || !stands || place.seq - self.at.seq > COMMANDS_PER_BATCH_MAX as u64 {
            return Ok(false);
        }
        let (state, behind, mut covers) = (&mut self.state, &mut self.behind, true);
        let mut see = |key: &str, moved: Option<Movement>| {
            state.keys.take(key);
            covers &= moved.is_none_or(|moved| replay(state, behind, &moved));
        };
        match news.and_then(|news| News::of(news, self.at.seq, place.seq)) {
            Some(news) if !news.each(&mut see) => return Err(Fault::Damaged("the news of a batch".into())),
            Some(_) => {}
            None => store::locked::moved(tx, self.at.seq, place.seq, &mut see).await?,
        }
        (self.state.seq, self.at, self.told) = (place.seq, place, BATCHES_TOLD);
        if !covers {
            self.covered = place.seq; // whoever posted it writes it back
        }
        if self.behind.len() > ACCOUNTS_BEHIND_MAX {
            let written = self.writing.through();
            self.behind.retain(|_, moved| moved.last().is_some_and(|last| last.seq > written));
        }
        Ok(true)
    }

    /// Brings accounts that the store has into the book, and up to here.
    async fn meet(&mut self, ledger: &Ledger, tx: &mut Tx, missing: &[u64]) -> Result<(), Fault> {
        let moved = missing.iter().filter_map(|no| self.behind.get(no)).flatten();
        if let Some(seq) = moved.filter(|moved| !is_whole(moved)).map(|moved| moved.seq).max() {
            ledger.folded_through(seq).await?;
        }
        let state = &mut self.state;
        for account in store::locked::accounts(tx, missing, |code| state.product(code)).await? {
            let (no, changed) = (account.no, account.changed);
            state.book.accounts.insert(account);
            let moved = self.behind.remove(&no).into_iter().flatten();
            moved.filter(|moved| moved.seq > changed).for_each(|moved| decide::replay(&mut state.book, &moved, None));
        }
        Ok(())
    }

    /// Writes a batch; the balances to be written back when it stands, unless that is done.
    async fn write(&mut self, ledger: &Ledger, tx: &mut Tx, batch: &Batch) -> Result<Option<Run>, Fault> {
        batch.store(tx).await?;
        if batch.fresh.is_empty() {
            return Ok(None);
        }
        let before = self.at.seq;
        (self.at.seq, self.at.token) = (self.state.seq, ledger.dice.u64());
        let told = self.told > 0;
        self.told = self.told.saturating_sub(1);
        let news = if told { news::pack(before + 1, done(batch)) } else { None };
        store::locked::set_place(tx, self.at.seq, self.at.token, news.as_deref()).await?;
        let touched = self.state.take_touched();
        let accounts = touched.iter().filter_map(|no| self.state.book.accounts.get(*no));
        // Whoever has the place and finds all before it written back is the only one who writes any back.
        if batch.commands.len() <= COMMANDS_WRITTEN_WHOLE_MAX && self.writing.is_through(tx, before).await? {
            let accounts: Vec<_> = accounts.filter(|account| account.changed > before).collect();
            store::locked::write_balances(tx, &accounts).await?;
            store::accounts::set_folded(tx, self.at.seq).await?;
            self.covered = self.at.seq;
            return Ok(None);
        }
        let accounts = accounts.map(|account| (account.no, account.clone())).collect();
        let run = Run { before: self.covered, upto: self.at.seq, accounts };
        self.covered = run.upto;
        Ok(Some(run))
    }
}

/// Whether a movement tells all that it does to accounts; what the others rest on is in the store.
fn is_whole(moved: &Movement) -> bool {
    matches!(moved.kind, Kind::Credit | Kind::Debit | Kind::Transfer)
}

/// Carries out in memory what another has posted, as far as its accounts are there; whether they all are.
fn replay(state: &mut State, behind: &mut Behind, moved: &Movement) -> bool {
    let (debit, credit, mut covers) = (moved.debit, moved.credit, true);
    for (no, leg) in [(debit, Movement { credit: None, ..*moved }), (credit, Movement { debit: None, ..*moved })] {
        let Some(no) = no else { continue };
        if !is_whole(moved) {
            state.book.accounts.remove(no); // to be read again
        }
        if state.book.accounts.get(no).is_some() {
            state.touch(no); // with the next batch it is written back, should that come first
        } else {
            behind.entry(no).or_default().push(leg);
            covers = false;
        }
    }
    decide::replay(&mut state.book, moved, None);
    covers
}

/// What a batch does, in order: each key that makes a row, and what its posting moves.
fn done(batch: &Batch) -> impl Iterator<Item = (&str, Option<Movement>)> {
    batch.fresh.iter().map(|(i, _)| {
        let moved = match &batch.outcomes[*i] {
            Outcome::Posted(posted, _) => Some(posted.posting.movement()),
            _ => None,
        };
        (batch.commands[*i].key.as_str(), moved)
    })
}

/// Decides a batch at the instance's place and sends it on its way.
///
/// # Errors
/// Nothing of the batch stands; the commands come back.
pub(super) async fn post(
    ledger: &Arc<Ledger>,
    lane: &mut Lane,
    room: Room,
    mut commands: Vec<Command>,
) -> Result<Answers, (Fault, Vec<Command>)> {
    let mut tries = 0;
    loop {
        let (decided, back) = attempt(ledger, lane, commands).await;
        match decided {
            Ok(Sent { commit, written, outcomes }) => {
                task::spawn(written.map(|_| drop(room)));
                return Ok(async move { commit.await.map(|()| outcomes) }.boxed());
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

/// A batch on its way.
struct Sent {
    /// Ends when the postings stand.
    commit: Flush,
    /// Ends when their balances are written back too, or are left to others.
    written: Flush,
    outcomes: Vec<Outcome>,
}

/// One try; the commands come back where it fails.
async fn attempt(ledger: &Arc<Ledger>, lane: &mut Lane, commands: Vec<Command>) -> (Result<Sent, Fault>, Vec<Command>) {
    let begun = match lane.begun.take() {
        Some(begun) => Ok(begun),
        None => begin(ledger, lane.kept.take()).await,
    };
    let (mut tx, mut memory) = match begun {
        Ok(begun) => begun,
        Err(fault) => return (Err(fault), commands),
    };
    let before = memory.at.seq;
    let mut batch = match decide(ledger, &mut tx, &mut memory, &commands).await {
        Ok(batch) => batch,
        Err(fault) => return (Err(fault), commands),
    };
    batch.commands = commands;
    let run = match memory.write(ledger, &mut tx, &batch).await {
        Ok(run) => run,
        Err(fault) => return (Err(fault), batch.commands),
    };
    let commit = match tx.finish().await {
        Ok(commit) => commit.shared(),
        Err(fault) => return (Err(fault), batch.commands),
    };
    memory.commit = commit.clone();
    let mut written = commit.clone();
    if let Some(run) = run {
        written = memory.writing.begin(ledger, commit.clone(), run);
    } else if memory.at.seq > before {
        memory.writing.whole(commit.clone(), memory.at.seq);
    }
    if memory.state.book.accounts.len() <= ACCOUNTS_KEPT_MAX {
        lane.kept = Some(memory);
    }
    (Ok(Sent { commit, written, outcomes: batch.outcomes }), Vec::new())
}

async fn begin(ledger: &Ledger, kept: Option<Memory>) -> Result<(Tx, Memory), Fault> {
    let mut tx = ledger.db.begin("deposit.post").await?;
    let memory = Memory::now(ledger, &mut tx, kept).await?;
    Ok((tx, memory))
}

async fn decide(ledger: &Ledger, tx: &mut Tx, memory: &mut Memory, commands: &[Command]) -> Result<Batch, Fault> {
    let seen: Vec<Seen> = commands.iter().map(|command| memory.state.keys.take(&command.key)).collect();
    let stored = recall_all(tx, commands, &seen).await?;
    meet(ledger, tx, memory, commands, &stored).await?;
    let taken = Some((memory.state.generation, seen));
    decide_all(ledger, tx, &mut memory.state, commands, taken, Some(&stored)).await
}

/// What the store knows of those keys of a batch that may be known.
async fn recall_all(tx: &mut Tx, commands: &[Command], seen: &[Seen]) -> Result<HashMap<String, Stored>, Fault> {
    let asked = commands.iter().zip(seen).filter(|(_, seen)| **seen != Seen::Never);
    let mut keys: Vec<&str> = asked.map(|(command, _)| command.key.as_str()).collect();
    keys.sort_unstable(); // near each other in the index
    keys.dedup();
    let rows = store::locked::by_keys(tx, &keys).await?;
    Ok(rows.into_iter().map(|row| (row.key.clone(), row)).collect())
}

/// Brings the accounts that the commands of new keys move, with their owners, into the book.
async fn meet(
    ledger: &Ledger,
    tx: &mut Tx,
    memory: &mut Memory,
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
    let book = &memory.state.book;
    let missing: Vec<u64> = nos.iter().copied().filter(|no| book.accounts.get(*no).is_none()).collect();
    memory.meet(ledger, tx, &missing).await?;
    let state = &mut memory.state;
    // One who is not known yet may be by now.
    let book = &state.book;
    let owners = nos.iter().filter_map(|no| book.accounts.get(*no)).map(|account| account.customer);
    let unknown: BTreeSet<_> = owners.filter(|customer| !book.owners.contains_key(customer)).collect();
    state.book.owners.extend(store::locked::owners(tx, &unknown).await?);
    Ok(())
}
