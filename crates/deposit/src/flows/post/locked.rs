//! Posts a batch on a database that other processes write too. The instance's place is the arbiter: whoever has its row
//! makes the next postings, and whatever else a command decides by changes under it as well.
//!
//! The lane keeps what it decides by from one batch to the next. Beside the place stands a token of who moved it last, and
//! how often something changed that is in no posting. When both are as this lane left them, what it keeps is how things
//! are; when another has posted, his postings are carried out in memory; after any other change everything is read again.
//!
//! Whoever has the place holds up all others, so a batch is kept under it packed, in one row, and its callers are answered.
//! The rows of postings and balances are written behind it for all processes by one of them, in large units of work. Where that
//! one dies or stands still, another does it.
//!
//! | per | statements |
//! |---|---|
//! | batch | the place; the packed batch, its outbox row, the place again and a commit at once |
//! | some batches | the packed ones; their postings, an end of the packed ones and a commit; how far balances are written back, balances, that again, a commit |
//! | batch of few commands, where nobody else posts | all in one unit of work, and nothing packed |
//! | batch after one of another | one read of what he did |
//! | batch with accounts, owners or keys not met yet | one read for all of each |
//! | hold, capture, release, reversal, interest | one or two reads, one write |
//!
//! Inserts of many rows are a few statements of certain sizes.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, TryFutureExt as _};
use jangbu_platform::db::{Fault, Tx};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::behind::{Balances, Behind};
use super::{Answers, Batch, Outcome, decide_all};
use crate::domain::book::{Account, Book};
use crate::domain::command::{Action, Command};
use crate::domain::decide::{self, Movement};
use crate::domain::eligibility::number_of;
use crate::domain::keys::{Keys, Seen};
use crate::ledger::{Ledger, State};
use crate::pipeline::{Flush, Room};
use crate::store;
use crate::store::batches::Packed;
use crate::store::locked::{Place, Written};
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
const POSTINGS_FOLLOWED_MAX: u64 = 65_536;
/// Accounts not met that another has moved are met at once where they are no more: then balances are his, or this lane's, to
/// write back, and not both's in turns. With more of them, as where most accounts are seldom moved, that would hold up all.
const MET_AT_ONCE_MAX: usize = 64;
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

    /// Between batches: hands balances over each time they are asked for, without end.
    pub async fn rest(&mut self) -> Infallible {
        rest(&mut self.kept).await
    }
}

/// Hands over the balances of what is kept each time they are asked for, without end.
async fn rest(kept: &mut Option<Memory>) -> Infallible {
    let Some(memory) = kept else { return std::future::pending().await };
    while memory.covered < memory.at.seq {
        memory.behind.asked().await;
        memory.hand_over();
    }
    std::future::pending().await
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
    /// Up to here balances were handed over to be written back, or another does it; those that changed since are marked.
    covered: u64,
    /// In the middle of a batch, of which nobody knows yet whether it stands.
    deciding: bool,
    behind: Behind,
    /// For how many more batches others are taken to post here too.
    beside: u32,
}

impl Memory {
    /// How things are at the place that was locked, which stay so until the unit of work ends.
    async fn now(
        ledger: &Arc<Ledger>,
        tx: &mut Tx,
        (place, written): (Place, Written),
        kept: Option<Memory>,
    ) -> Result<Memory, Fault> {
        if let Some(mut memory) = kept
            && memory.follow(tx, place).await?
        {
            memory.behind.reached(ledger, written);
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
            deciding: false,
            behind,
            beside: 0,
        })
    }

    /// Hands over all balances that are not written back, as they are.
    fn hand_over(&mut self) {
        let (through, before) = (self.behind.through(), std::mem::replace(&mut self.covered, self.at.seq));
        if self.at.seq > before.max(through) {
            let touched = self.state.take_touched().into_iter().filter(|account| account.changed > through);
            let (commit, accounts) = (self.commit.clone(), touched.cloned().collect());
            self.behind.send_balances(Balances { commit, before, upto: self.at.seq, accounts });
        }
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
        let keys = &mut self.state.keys;
        let mut see = |key: &str| {
            keys.take(key);
        };
        let moved = store::movements::moved(tx, self.at.seq, place.seq, &mut see).await?;
        let met = self.those_to_meet(tx, &moved).await?;
        if met.is_none() {
            self.hand_over(); // whoever posted what follows writes it back
            self.behind.take_over();
            self.covered = place.seq;
        }
        moved.iter().for_each(|moved| replay(&mut self.state, &mut self.unmet, moved));
        (self.state.seq, self.at, self.beside) = (place.seq, place, BATCHES_BESIDE);
        self.bring_in(met.unwrap_or_default());
        self.behind.followed(place.seq);
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

    /// The accounts that another has moved and that are not in the book, as the store has them, where they are few.
    async fn those_to_meet(&self, tx: &mut Tx, moved: &[Movement]) -> Result<Option<Vec<Account>>, Fault> {
        let unmet = not_in(&self.state.book, moved.iter().flat_map(legs));
        if unmet.len() > MET_AT_ONCE_MAX {
            return Ok(None);
        }
        let met = self.stored(tx, &unmet).await?;
        Ok((met.len() == unmet.len()).then_some(met))
    }

    async fn stored(&self, tx: &mut Tx, nos: &[u64]) -> Result<Vec<Account>, Fault> {
        store::locked::accounts(tx, nos, |code| self.state.product(code)).await
    }

    /// Puts accounts into the book, with what others did to them since the store has them so.
    fn bring_in(&mut self, met: Vec<Account>) {
        let state = &mut self.state;
        for account in met {
            let (no, changed) = (account.no, account.changed);
            state.book.accounts.insert(account);
            for moved in self.unmet.remove(&no).into_iter().flatten().filter(|moved| moved.seq > changed) {
                decide::replay(&mut state.book, &moved);
                state.touch(no);
            }
        }
    }

    /// Writes a batch; whether packed, and not whole.
    async fn write(&mut self, ledger: &Ledger, tx: &mut Tx, batch: &Batch) -> Result<bool, Fault> {
        let rows = batch.rows();
        if rows.is_empty() {
            return Ok(false);
        }
        let before = self.at.seq;
        (self.at.seq, self.at.token) = (self.state.seq, ledger.dice.u64());
        let alone = self.beside == 0;
        self.beside = self.beside.saturating_sub(1);
        // Whoever has the place and finds all before it written back is the only one who writes any back.
        let whole = alone && rows.len() <= COMMANDS_WRITTEN_WHOLE_MAX && self.behind.is_through(tx, before).await?;
        let packed = if whole { None } else { Packed::of(&rows) };
        if let Some(packed) = &packed {
            store::batches::keep(tx, packed).await?;
        } else {
            store::postings::insert(tx, &rows).await?;
            store::locked::write_balances(tx, self.state.take_touched(), before).await?;
            store::accounts::set_folded(tx, self.at.seq).await?;
            self.covered = self.at.seq;
        }
        batch.store_beside(tx).await?;
        store::locked::set_place(tx, self.at.seq, self.at.token).await?;
        Ok(packed.is_some())
    }
}

/// Those accounts that are not in the book, in order; the others are on their way from memory then.
fn not_in(book: &Book, nos: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut missing: Vec<u64> = nos.filter(|no| !book.accounts.fetch(*no)).collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}

/// The accounts that a movement moves.
fn legs(moved: &Movement) -> impl Iterator<Item = u64> {
    [moved.debit, moved.credit].into_iter().flatten()
}

impl Drop for Memory {
    fn drop(&mut self) {
        if !self.deciding {
            self.hand_over();
        }
    }
}

/// Carries out in memory what another has posted, as far as its accounts are there.
fn replay(state: &mut State, unmet: &mut Unmet, moved: &Movement) {
    let (debit, credit) = (moved.debit, moved.credit);
    for (no, leg) in [(debit, Movement { credit: None, ..*moved }), (credit, Movement { debit: None, ..*moved })] {
        let Some(no) = no else { continue };
        if state.book.accounts.get(no).is_some() {
            state.touch(no);
        } else {
            unmet.entry(no).or_default().push(leg);
        }
    }
    decide::replay(&mut state.book, moved);
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
            Ok((commit, outcomes)) => {
                let answers = async move {
                    let stands = commit.await;
                    drop(room);
                    stands.map(|()| outcomes)
                };
                return Ok(answers.boxed());
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

/// One try: the commit under way, and outcomes that hold if it ends well. The commands come back where it fails.
async fn attempt(
    ledger: &Arc<Ledger>,
    lane: &mut Lane,
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
    memory.deciding = true;
    let mut batch = match decide(ledger, &mut tx, &mut memory, &commands).await {
        Ok(batch) => batch,
        Err(fault) => return (Err(fault), commands),
    };
    batch.commands = commands;
    let is_packed = match memory.write(ledger, &mut tx, &batch).await {
        Ok(is_packed) => is_packed,
        Err(fault) => return (Err(fault), batch.commands),
    };
    let commit = match tx.finish().await {
        Ok(commit) => commit,
        Err(fault) => return (Err(fault), batch.commands),
    };
    let commit = if is_packed {
        let stands = memory.behind.packed(memory.at.seq);
        commit.map_ok(|()| stands()).boxed().shared()
    } else {
        if memory.at.seq > before {
            memory.behind.whole(memory.at.seq);
        }
        commit.shared()
    };
    (memory.commit, memory.deciding) = (commit.clone(), false);
    if memory.behind.asks() {
        memory.hand_over();
    }
    if memory.state.book.accounts.len() <= ACCOUNTS_KEPT_MAX {
        lane.kept = Some(memory);
    }
    (Ok((commit, batch.outcomes)), Vec::new())
}

async fn begin(ledger: &Arc<Ledger>, mut kept: Option<Memory>) -> Result<(Tx, Memory), Fault> {
    if let Some(memory) = &mut kept {
        memory.behind.settle_rows(ledger, memory.at.seq).await?;
        if let Some(enough) = memory.behind.too_far_back(memory.at.seq) {
            memory.hand_over();
            ledger.folded_through(enough).await?;
        }
    }
    let lock = async {
        let mut tx = ledger.db.begin("deposit.post").await?;
        let place = store::locked::place(&mut tx).await?;
        Ok((tx, place))
    };
    // Whoever has the place may wait for balances.
    let (mut tx, place) = tokio::select! {
        biased;
        locked = lock => locked?,
        never = rest(&mut kept) => match never {},
    };
    let memory = Memory::now(ledger, &mut tx, place, kept).await?;
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
    let (mut nos, mut holds, mut originals) = (Vec::with_capacity(2 * commands.len()), Vec::new(), Vec::new());
    for command in commands.iter().filter(|command| !stored.contains_key(command.key.as_str())) {
        match &command.action {
            Action::Credit { account, .. }
            | Action::Debit { account, .. }
            | Action::Hold { account, .. }
            | Action::Interest { account, .. } => nos.push(number_of(*account)),
            Action::Transfer { from, to, .. } => nos.extend([*from, *to].map(number_of)),
            Action::Capture { hold, .. } | Action::Release { hold } => holds.push(*hold),
            Action::Reversal { original } => originals.extend(original.iter().map(|original| original.seq)),
        }
    }
    nos.extend(store::locked::held_accounts(tx, &holds).await?);
    // Those of batches still packed; beyond the place there are none.
    let packed = memory.behind.through() + 1..=memory.at.seq;
    if let Some(original) = originals.iter().filter(|original| packed.contains(original)).max() {
        memory.hand_over();
        ledger.folded_through(*original).await?;
    }
    for posting in store::locked::by_seqs(tx, &originals).await?.into_iter().filter_map(|row| row.posting) {
        nos.extend([posting.debit, posting.credit].into_iter().flatten().map(|leg| leg.account));
    }
    let missing = not_in(&memory.state.book, nos.iter().copied());
    let met = memory.stored(tx, &missing).await?;
    memory.bring_in(met);
    let state = &mut memory.state;
    // One who is not known yet may be by now.
    let book = &state.book;
    let owners = nos.iter().filter_map(|no| book.accounts.get(*no)).map(|account| account.customer);
    let unknown: BTreeSet<_> = owners.filter(|customer| !book.owners.contains_key(customer)).collect();
    state.book.owners.extend(store::locked::owners(tx, &unknown).await?);
    Ok(())
}
