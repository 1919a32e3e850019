//! Posts a batch on a database that other processes write too. The instance's place is the arbiter: whoever has its row
//! makes the next postings, and whatever else a command decides by changes under it as well.
//!
//! The lane keeps what it decides by from one batch to the next. Beside the place stands a token of who moved it last, and
//! how often something changed that is in no posting. When both are as this lane left them, what it keeps is how things
//! are; when another has posted, his postings are carried out in memory; after any other change everything is read again.
//!
//! Whoever has the place holds up all others, so a batch is kept under it packed, in one row, and its callers are answered.
//! The rows of its postings and its balances are written behind it, by units of work of their own. Where a process dies
//! before that, another does it.
//!
//! | per | statements |
//! |---|---|
//! | batch | the place; the packed batch, its outbox row, the place again and a commit at once |
//! | some batches | their postings, an end of the packed ones, a commit; how far balances are written back, balances, that again, a commit |
//! | batch of few commands, where nobody else posts | all in one unit of work, and nothing packed |
//! | batch after one of another | one read of what he did |
//! | batch with accounts, owners or keys not met yet | one read for all of each |
//! | hold, capture, release, reversal, interest | one or two reads, one write |
//!
//! Inserts of many rows are a few statements of certain sizes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use jangbu_platform::db::{Fault, Tx};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::behind::{Behind, Run};
use super::{Answers, Batch, COMMANDS_PER_BATCH_MAX, Outcome, decide_all};
use crate::domain::command::{Action, Command, Kind};
use crate::domain::decide::{self, Movement};
use crate::domain::eligibility::number_of;
use crate::domain::keys::{Keys, Seen};
use crate::ledger::{Ledger, State};
use crate::pipeline::{Flush, Room};
use crate::store;
use crate::store::batches::Packed;
use crate::store::locked::Place;
use crate::store::postings::Stored;

/// How often a batch is tried that others are in the way of.
const TRIES_MAX: u32 = 5;
/// Longest pause before the second try, in microseconds; twice as long before each further one.
const PAUSE_US_FIRST: u64 = 1_000;
/// Accounts kept at most; when there are more, all are read anew.
const ACCOUNTS_KEPT_MAX: usize = 1_000_000;

/// Commands of a batch up to which it is written whole where nobody else posts: whoever looks at its accounts next would
/// wait for more flushes.
const COMMANDS_WRITTEN_WHOLE_MAX: usize = 32;

/// Postings of others between two looks at what is kept of accounts not met, to leave out what the store has by now.
const POSTINGS_PER_CLEARING: u64 = 4_096;
/// Postings of others that are carried out at once; when there are more, all is read anew.
const POSTINGS_FOLLOWED_MAX: u64 = 4 * COMMANDS_PER_BATCH_MAX as u64;
/// How long the answer to a commit is waited for when another has the place already.
const COMMIT_ANSWER_MAX: Duration = Duration::from_millis(100);
/// Batches since another process was last seen to post, after which it is taken to do so no longer.
const BATCHES_BESIDE: u32 = 64;

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
    pub async fn ready(&mut self, ledger: &Arc<Ledger>) {
        if !ledger.db.sole_owner() {
            self.begun = begin(ledger, self.kept.take()).await.ok(); // the batch tries again, and tells why not
        }
    }
}

/// Movements of accounts by their numbers, in order, each of that account alone.
type Unmet = FxHashMap<u64, SmallVec<[Movement; 1]>>;

/// How things are at a place.
struct Memory {
    state: State,
    at: Place,
    /// The commit that led there.
    commit: Flush,
    /// What others did to accounts that are not in the book: what the store has of those may be older.
    unmet: Unmet,
    /// Where it was last looked through.
    cleared: u64,
    /// Up to here all that moved since is in the book, or was sent to be written back.
    covered: u64,
    behind: Behind,
    /// For how many more batches others are taken to post here too.
    beside: u32,
}

impl Memory {
    /// How things are now, which stay so until the unit of work ends.
    async fn now(ledger: &Arc<Ledger>, tx: &mut Tx, kept: Option<Memory>) -> Result<Memory, Fault> {
        let (place, folded) = store::locked::place(tx).await?;
        if let Some(mut memory) = kept
            && memory.follow(tx, place).await?
        {
            memory.behind.reached(folded);
            return Ok(memory);
        }
        ledger.folded_through(place.seq).await?;
        let mut state = ledger.blank(tx).await?;
        state.seq = place.seq;
        state.keys = Keys::above(store::postings::last_key(tx).await?);
        let (commit, behind) = (std::future::ready(Ok(())).boxed().shared(), Behind::start(ledger, place.seq));
        Ok(Memory {
            state,
            at: place,
            commit,
            unmet: Unmet::default(),
            cleared: place.seq,
            covered: place.seq,
            behind,
            beside: 0,
        })
    }

    /// Whether what is kept leads to a place: then it is how things are there.
    async fn follow(&mut self, tx: &mut Tx, place: Place) -> Result<bool, Fault> {
        if place == self.at {
            return Ok(true);
        }
        // Who moves the place without a token takes its number alone on.
        let moved = place.seq > self.at.seq && place.token != self.at.token && place.changes == self.at.changes;
        if !moved || place.seq - self.at.seq > POSTINGS_FOLLOWED_MAX {
            return Ok(false);
        }
        // The other stands on what this lane left only if that stands; a commit whose answer is lost says neither. A server
        // lets go of the place before it answers.
        if !matches!(tokio::time::timeout(COMMIT_ANSWER_MAX, self.commit.clone()).await, Ok(Ok(()))) {
            return Ok(false);
        }
        let (state, unmet, mut covers) = (&mut self.state, &mut self.unmet, true);
        let see = &mut |key: &str, moved: Option<Movement>| {
            state.keys.take(key);
            covers &= moved.is_none_or(|moved| replay(state, unmet, &moved));
        };
        store::locked::moved(tx, self.at.seq, place.seq, see).await?;
        (self.state.seq, self.at, self.beside) = (place.seq, place, BATCHES_BESIDE);
        if !covers {
            self.covered = place.seq; // whoever posted it writes it back
        }
        if place.seq - self.cleared >= POSTINGS_PER_CLEARING {
            let written = self.behind.through();
            self.unmet.retain(|_, moved| {
                moved.retain(|moved| moved.seq > written);
                !moved.is_empty()
            });
            self.cleared = place.seq;
        }
        Ok(true)
    }

    /// Brings accounts that the store has into the book, and up to here.
    async fn meet(&mut self, ledger: &Ledger, tx: &mut Tx, missing: &[u64]) -> Result<(), Fault> {
        let moved = missing.iter().filter_map(|no| self.unmet.get(no)).flatten();
        if let Some(seq) = moved.filter(|moved| !is_whole(moved)).map(|moved| moved.seq).max() {
            ledger.folded_through(seq).await?;
        }
        let state = &mut self.state;
        for account in store::locked::accounts(tx, missing, |code| state.product(code)).await? {
            let (no, changed) = (account.no, account.changed);
            state.book.accounts.insert(account);
            let moved = self.unmet.remove(&no).into_iter().flatten();
            moved.filter(|moved| moved.seq > changed).for_each(|moved| decide::replay(&mut state.book, &moved, None));
        }
        Ok(())
    }

    /// Writes a batch; gives what is to be written behind it when it stands.
    async fn write(&mut self, ledger: &Ledger, tx: &mut Tx, batch: &Batch) -> Result<Option<Run>, Fault> {
        let rows = batch.rows();
        if rows.is_empty() {
            return Ok(None);
        }
        let before = self.at.seq;
        (self.at.seq, self.at.token) = (self.state.seq, ledger.dice.u64());
        let touched = self.state.take_touched();
        let alone = self.beside == 0;
        self.beside = self.beside.saturating_sub(1);
        // Whoever has the place and finds all before it written back is the only one who writes any back.
        let whole = alone && rows.len() <= COMMANDS_WRITTEN_WHOLE_MAX && self.behind.is_through(tx, before).await?;
        let packed = if whole { None } else { Packed::of(&rows) };
        let run = match packed {
            None => {
                store::postings::insert(tx, &rows).await?;
                store::locked::write_balances(tx, touched, before).await?;
                store::accounts::set_folded(tx, self.at.seq).await?;
                None
            }
            Some(packed) => {
                store::batches::keep(tx, &packed).await?;
                let accounts = touched.into_iter().cloned().collect();
                Some(Run { before: self.covered, upto: self.at.seq, packed, accounts })
            }
        };
        batch.store_beside(tx).await?;
        store::locked::set_place(tx, self.at.seq, self.at.token).await?;
        self.covered = self.at.seq;
        Ok(run)
    }
}

/// Whether a movement tells all that it does to accounts; what the others rest on is in the store.
fn is_whole(moved: &Movement) -> bool {
    matches!(moved.kind, Kind::Credit | Kind::Debit | Kind::Transfer)
}

/// Carries out in memory what another has posted, as far as its accounts are there; whether they all are.
fn replay(state: &mut State, unmet: &mut Unmet, moved: &Movement) -> bool {
    let (debit, credit, mut covers) = (moved.debit, moved.credit, true);
    for (no, leg) in [(debit, Movement { credit: None, ..*moved }), (credit, Movement { debit: None, ..*moved })] {
        let Some(no) = no else { continue };
        if !is_whole(moved) {
            state.book.accounts.remove(no); // to be read again
        }
        if state.book.accounts.get(no).is_some() {
            state.touch(no); // with the next batch it is written back, should that come first
        } else {
            unmet.entry(no).or_default().push(leg);
            covers = false;
        }
    }
    decide::replay(&mut state.book, moved, None);
    covers
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
    let (mut tries, mut room) = (0, Some(room));
    loop {
        let (decided, back) = attempt(ledger, lane, &mut room, commands).await;
        match decided {
            Ok((commit, outcomes)) => return Ok(async move { commit.await.map(|()| outcomes) }.boxed()),
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

/// One try: the commit under way, and outcomes that hold if it ends well. The commands come back where it fails; the room
/// is kept until all of the batch is written.
async fn attempt(
    ledger: &Arc<Ledger>,
    lane: &mut Lane,
    room: &mut Option<Room>,
    commands: Vec<Command>,
) -> (Result<(Flush, Vec<Outcome>), Fault>, Vec<Command>) {
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
    match run {
        Some(run) => memory.behind.send(commit.clone(), run, room.take()),
        None if memory.at.seq > before => memory.behind.whole(commit.clone(), memory.at.seq, room.take()),
        None => {}
    }
    if memory.state.book.accounts.len() <= ACCOUNTS_KEPT_MAX {
        lane.kept = Some(memory);
    }
    (Ok((commit, batch.outcomes)), Vec::new())
}

async fn begin(ledger: &Arc<Ledger>, kept: Option<Memory>) -> Result<(Tx, Memory), Fault> {
    let mut tx = ledger.db.begin("deposit.post").await?;
    let memory = Memory::now(ledger, &mut tx, kept).await?;
    Ok((tx, memory))
}

async fn decide(ledger: &Ledger, tx: &mut Tx, memory: &mut Memory, commands: &[Command]) -> Result<Batch, Fault> {
    let seen: Vec<Seen> = commands.iter().map(|command| memory.state.keys.take(&command.key)).collect();
    let stored = recall_all(tx, memory, commands, &seen).await?;
    meet(ledger, tx, memory, commands, &stored).await?;
    let taken = Some((memory.state.generation, seen));
    decide_all(ledger, tx, &mut memory.state, commands, taken, Some(&stored)).await
}

/// What the store knows of those keys of a batch that may be known.
async fn recall_all(
    tx: &mut Tx,
    memory: &Memory,
    commands: &[Command],
    seen: &[Seen],
) -> Result<HashMap<String, Stored>, Fault> {
    let asked = commands.iter().zip(seen).filter(|(_, seen)| **seen != Seen::Never);
    let mut keys: Vec<&str> = asked.map(|(command, _)| command.key.as_str()).collect();
    keys.sort_unstable(); // near each other in the index
    keys.dedup();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let mut rows = store::batches::rows_after(tx, memory.behind.through()).await?;
    rows.retain(|row| keys.binary_search(&row.key.as_str()).is_ok());
    rows.extend(store::locked::by_keys(tx, &keys).await?);
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
    // Those of batches still packed; beyond the place there are none.
    let packed = memory.behind.through() + 1..=memory.at.seq;
    if let Some(original) = originals.iter().filter(|original| packed.contains(original)).max() {
        ledger.folded_through(*original).await?;
    }
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
