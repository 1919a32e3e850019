//! The state an instance decides by, and how it follows the store.
//!
//! The embedded engine is the only writer of its file, so balances are kept in memory between commits and
//! written back in runs ("folded"); postings are the truth, and what was not yet folded is rebuilt from them.
//! After a commit that failed nothing in memory is trusted: all of it is dropped and read again.

mod shared;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::clock::ticks;
use jangbu_platform::db::{Db, Fault, Tx};
use jangbu_platform::defect::planted;
use jangbu_platform::dice::Dice;
use jangbu_platform::probe;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::domain::book::{Account, Book, Owner};
use crate::domain::command::Command;
use crate::domain::decide::{self, Decided, Movement, Posting};
use crate::domain::keys::Keys;
use crate::domain::terms::{History, Terms};
use crate::pipeline::{BATCHES_UNDER_WAY_MAX, Flush, Pipeline, Room, Sent, Work};
use crate::store;
use crate::store::accounts::Fixed;
use crate::store::postings::Stored;

/// Accounts written back in one go: few enough that postings behind them hardly notice.
const ACCOUNTS_PER_FOLD_MAX: usize = 1_024;
/// For each moment that writing back took, so many pass before the next: with a million busy accounts it would else take
/// more of the writer's time than the postings do.
const FOLD_REST: u32 = 9;
/// Postings read at once when state is rebuilt.
const POSTINGS_PER_READ_MAX: u32 = 10_000;

/// Accounts' ids and currencies by their numbers.
pub(crate) type Names = FxHashMap<u64, (AccountId, Currency)>;

/// A product as the ledger uses it.
#[derive(Clone, Debug, Default)]
pub struct Product {
    /// Code.
    pub code: String,
    /// Versions of its terms.
    pub history: History,
}

/// What is in memory.
#[derive(Default)]
pub struct State {
    /// What decisions are made by.
    pub book: Book,
    /// Products; accounts name them by index.
    pub products: Vec<Arc<Product>>,
    /// The last place taken.
    pub seq: u64,
    /// The greatest account number given out.
    pub last_no: u64,
    /// The last flush begun, or to be begun.
    pub flush: Option<Flush>,
    /// Grows each time the state is read anew.
    pub generation: u64,
    /// Which keys are new without asking the store.
    pub keys: Keys,
    dirty: FxHashSet<u64>,
    ready: bool,
    /// The flush that all in memory waits for, but for what postings changed since.
    settled: Option<Flush>,
    /// Whether the unit of work under way read or changed something besides postings.
    unsettled: bool,
}

impl State {
    /// The index of a product.
    #[must_use]
    pub fn product(&self, code: &str) -> Option<u32> {
        self.products.iter().position(|p| p.code == code).and_then(|i| u32::try_from(i).ok())
    }

    /// Decides a command at the next place.
    pub fn decide(&mut self, command: &Command, now: i64) -> (u64, Decided) {
        self.seq += 1;
        (self.seq, decide::decide(&mut self.book, self.seq, command, now))
    }

    /// Memory is in the middle of a change: should it end there, by a bug, all is read anew.
    pub fn deciding(&mut self) {
        self.ready = false;
    }

    /// What was begun is whole. Its holds go with the batch, and the store is asked for them from now on.
    pub fn decided(&mut self) {
        self.book.holds.clear();
        self.ready = true;
    }

    /// Accounts that must be written back, as they are; they count as written.
    pub(crate) fn take_touched(&mut self) -> Vec<&Account> {
        let book = &self.book;
        self.dirty.drain().filter_map(|no| book.accounts.get(no)).collect()
    }

    /// Notes that an account must be written back.
    pub fn touch(&mut self, no: u64) {
        self.dirty.insert(no);
    }

    /// Forgets everything: after what was decided in memory did not come to stand.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Adds a version of a product's terms.
    pub fn offer(&mut self, code: &str, terms: Terms) {
        let at = self.product(code).map_or(self.products.len(), |at| at as usize);
        if at == self.products.len() {
            self.products.push(Arc::new(Product { code: code.to_owned(), ..Product::default() }));
        }
        Arc::make_mut(&mut self.products[at]).history.add(terms);
    }

    /// Takes over the limits of all versions of all products.
    pub fn take_limits(&mut self) {
        let limits = |p: &Arc<Product>| p.history.versions().iter().map(|t| (t.from, t.limits)).collect();
        self.book.limits = self.products.iter().map(limits).collect();
    }
}

/// One instance's ledger.
pub struct Ledger {
    /// Its database.
    pub db: Db,
    /// Its name, like `deposit-krw`.
    pub instance: String,
    /// Its number, which its ids carry.
    pub tag: u16,
    /// The bank's time zone.
    pub offset: UtcOffset,
    /// Chance.
    pub dice: Dice,
    state: Mutex<State>,
    pipeline: Pipeline,
    flushed: AtomicU64,
    next_fold: Mutex<Option<tokio::time::Instant>>,
    /// Accounts that a fold has begun to write back; its owner is the fold that holds it.
    unfolded: Mutex<FxHashSet<u64>>,
    /// What a database that others write too offered when it was last read.
    offered: Mutex<shared::Offered>,
    /// Is held by the one who writes what a dead process left.
    writing_stored: Mutex<()>,
    /// Up to where somebody here did so, or is about to.
    pub(crate) helped: AtomicU64,
    /// Up to where one waits for balances to be written back there.
    pub(crate) wanted: watch::Sender<u64>,
    /// What never changes of accounts that were shown.
    described: Mutex<FxHashMap<u64, Arc<Fixed>>>,
}

/// The ledger to oneself: nothing is decided that is not also in this unit of work or before it. Dropped before it is
/// finished, by a fault or a bug, it takes along all that is in memory: what was changed there doesn't stand.
pub struct Alone<'a> {
    /// The unit of work.
    pub tx: Tx,
    /// The state, current as of everything before `tx`.
    pub state: MutexGuard<'a, State>,
    finished: bool,
    _room: Room,
}

impl Alone<'_> {
    /// Ends the statements; the flush may still be under way.
    ///
    /// # Errors
    /// Nothing of it stands.
    pub async fn finish(mut self) -> Result<Flush, Fault> {
        let flush = self.tx.finish().await?.shared();
        self.state.flush = Some(flush.clone());
        if std::mem::take(&mut self.state.unsettled) {
            self.state.settled = Some(flush.clone());
        }
        self.finished = true;
        Ok(flush)
    }

    /// Makes it durable. Also how a flow ends that changed nothing: what it read may wait for its flush.
    ///
    /// # Errors
    /// Nothing of it stands.
    pub async fn commit(mut self) -> Result<(), Fault> {
        self.state.unsettled = true;
        self.finish().await?.await
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.state.forget();
        }
    }
}

impl Ledger {
    /// The ledger on a migrated database. Must be called where tasks can be spawned.
    #[must_use]
    pub fn new(db: Db, instance: &str, tag: u16, offset: UtcOffset, dice: Dice) -> Self {
        let (state, pipeline) = (Mutex::default(), Pipeline::start(db.clone()));
        Self {
            db,
            instance: instance.to_owned(),
            tag,
            offset,
            dice,
            state,
            pipeline,
            flushed: AtomicU64::new(0),
            next_fold: Mutex::default(),
            unfolded: Mutex::default(),
            offered: Mutex::default(),
            writing_stored: Mutex::default(),
            helped: AtomicU64::default(),
            wanted: watch::Sender::default(),
            described: Mutex::default(),
        }
    }

    /// A place among the batches under way.
    pub async fn room(&self) -> Room {
        self.pipeline.room(1).await
    }

    /// Waits until every batch under way is written, and lets no other begin.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn alone(&self, flow: &'static str) -> Result<Alone<'_>, Fault> {
        // Where others write too, the instance's place keeps flows apart.
        let room = self.pipeline.room(if self.db.sole_owner() { BATCHES_UNDER_WAY_MAX } else { 1 }).await;
        if !self.db.sole_owner() {
            self.settle().await?;
        }
        let mut tx = self.db.begin(flow).await?;
        let mut state = self.state.lock().await;
        if !self.db.sole_owner() {
            let (place, _) = store::locked::place(&mut tx).await?; // before all other rows, as those do who post
            self.folded_through(place.seq).await?;
            *state = self.blank(&mut tx).await?;
        } else if !self.is_current(&state) {
            if state.ready {
                probe::reached("memory-read-anew-after-a-lost-flush");
            }
            state.forget();
            if let Err(fault) = self.rebuild(&mut tx, &mut state).await {
                state.forget();
                return Err(fault);
            }
            state.generation = self.pipeline.next_generation();
            (state.ready, state.unsettled) = (true, true);
        }
        Ok(Alone { tx, state, finished: false, _room: room })
    }

    /// The state without a unit of work, when it can be trusted.
    pub(crate) async fn current(&self) -> Option<MutexGuard<'_, State>> {
        let state = self.state.lock().await;
        self.is_current(&state).then_some(state)
    }

    /// The state without a unit of work, read anew if need be.
    async fn trusted(&self) -> Result<MutexGuard<'_, State>, Fault> {
        loop {
            if let Some(state) = self.current().await {
                return Ok(state);
            }
            self.alone("deposit.rebuild").await?.finish().await?.await?;
        }
    }

    fn is_current(&self, state: &State) -> bool {
        self.db.sole_owner() && state.ready && self.pipeline.usable(state.generation).is_ok()
    }

    /// Sends what was decided on its way into the store, in the order of decisions: call it under the state's lock.
    pub(crate) fn send(&self, state: &mut State, room: Room, work: Work) -> Sent {
        let sent = self.pipeline.send(state.generation, room, work);
        state.flush = Some(sent.flush.clone());
        sent
    }

    /// Notes that postings up to `seq` are durable.
    pub fn flushed(&self, seq: u64) {
        self.flushed.fetch_max(seq, Ordering::SeqCst);
    }

    /// Looks at an account and its owner as far as they are durable: waits for the flush of what `look` saw, if need be.
    /// Openings, marks and closings are rare; all wait for the last of them.
    ///
    /// # Errors
    /// The store can't be read, or the flush failed.
    pub async fn look<T>(&self, no: u64, look: impl Fn(&Account, Owner) -> T) -> Result<Option<T>, Fault> {
        if !self.db.sole_owner() {
            return Ok(self.stored(&[no]).await?.pop().map(|(account, owner)| look(&account, owner)));
        }
        let mut waited = None;
        loop {
            let state = self.trusted().await?;
            if let Some(account) = state.book.accounts.get(no) {
                let owner = state.book.owners.get(&account.customer).copied().unwrap_or_default();
                let posted = account.changed > self.flushed.load(Ordering::SeqCst);
                let flush = if posted { state.flush.clone() } else { state.settled.clone() };
                let seen = look(account, owner);
                drop(state);
                if let Some(flush) = flush.filter(|_| !planted("look-before-flush")) {
                    flush.await?;
                }
                return Ok(Some(seen));
            }
            if waited != Some(state.generation)
                && let Some(flush) = state.settled.clone()
            {
                // What memory was read from may not be in a snapshot yet.
                waited = Some(state.generation);
                drop(state);
                flush.await?;
                continue;
            }
            // Not touched since the start: what is written back is what holds.
            let mut tx = self.db.read("deposit.look").await?;
            let found = store::accounts::load(&mut tx, no, |code| state.product(code)).await?;
            let Some(account) = found else { return Ok(None) };
            let owner = store::accounts::owner(&mut tx, account.customer).await?.unwrap_or_default();
            return Ok(Some(look(&account, owner)));
        }
    }

    /// Looks at accounts and their owners like [`Ledger::look`]; those that there are, in the order asked.
    ///
    /// # Errors
    /// As [`Ledger::look`].
    pub async fn look_all(&self, nos: &[u64]) -> Result<Vec<(Account, Owner)>, Fault> {
        if !self.db.sole_owner() {
            return self.stored(nos).await;
        }
        let mut all = Vec::with_capacity(nos.len());
        for no in nos {
            all.extend(self.look(*no, |account, owner| (account.clone(), owner)).await?);
        }
        Ok(all)
    }

    /// The product of an account, if it is known.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn product_of(&self, account: &Account) -> Result<Option<Arc<Product>>, Fault> {
        if !self.db.sole_owner() {
            let state = self.blank(&mut self.db.read("deposit.product").await?).await?;
            return Ok(state.products.get(account.product as usize).cloned());
        }
        let state = self.trusted().await?;
        let product = state.products.get(account.product as usize).cloned();
        let flush = state.settled.clone();
        drop(state);
        if let Some(flush) = flush {
            flush.await?;
        }
        Ok(product)
    }

    /// Takes over a newer standing of an owner in memory. Of others the store is asked when they are met: what comes here
    /// may be older than what it has.
    pub async fn take_standing(&self, customer: CustomerId, owner: Owner) {
        let mut state = self.state.lock().await;
        if let Some(known) = state.book.owners.get_mut(&customer).filter(|known| known.version < owner.version) {
            *known = owner;
        }
    }

    /// Brings an account and its owner into the book.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn load(&self, tx: &mut Tx, state: &mut State, no: u64) -> Result<(), Fault> {
        if state.book.accounts.get(no).is_some() {
            return Ok(());
        }
        let Some(account) = store::accounts::load(tx, no, |code| state.product(code)).await? else { return Ok(()) };
        if !state.book.owners.contains_key(&account.customer)
            && let Some(owner) = store::accounts::owner(tx, account.customer).await?
        {
            state.book.owners.insert(account.customer, owner);
        }
        state.book.accounts.insert(account);
        state.unsettled = true; // its owner's standing may share this flush
        Ok(())
    }

    /// Ids and currencies of the accounts of stored rows: from memory where they are, else from the store.
    ///
    /// # Errors
    /// The store can't be read.
    pub(crate) async fn names<'r>(
        &self,
        tx: &mut Tx,
        book: Option<&Book>,
        rows: impl IntoIterator<Item = &'r Stored>,
    ) -> Result<Names, Fault> {
        let wanted = accounts_of(rows);
        let mut names = Names::default();
        let mut missing = Vec::new();
        let guard = if book.is_none() { Some(self.state.lock().await) } else { None };
        let book = book.or(guard.as_ref().map(|state| &state.book));
        for no in wanted {
            match book.and_then(|book| book.accounts.get(no)) {
                Some(account) => drop(names.insert(no, (account.id, account.currency))),
                None => missing.push(no),
            }
        }
        drop(guard);
        missing.sort_unstable();
        missing.dedup();
        if !self.db.sole_owner() {
            self.names_kept(tx, &missing, &mut names).await?;
            return Ok(names);
        }
        let found = store::accounts::fixed(tx, &missing).await?;
        names.extend(found.into_iter().map(|(no, fixed)| (no, (fixed.id, fixed.currency))));
        Ok(names)
    }

    async fn rebuild(&self, tx: &mut Tx, state: &mut State) -> Result<(), Fault> {
        for (code, from, text) in store::products::all(tx).await? {
            let terms = crate::terms_text::read(&text, from).map_err(Fault::Damaged)?;
            state.offer(&code, terms);
        }
        state.take_limits();
        state.last_no = store::accounts::last_no(tx).await?;
        state.seq = store::postings::last_seq(tx).await?;
        state.keys = Keys::above(store::postings::last_key(tx).await?);
        if planted("keys-forgotten") {
            state.keys = Keys::above(String::new());
        }
        let mut from = store::accounts::folded(tx).await? + 1;
        if from <= state.seq {
            probe::reached("memory-read-with-balances-not-written-back");
        }
        if planted("replay-off-by-one") {
            from += 1;
        }
        let upto = state.seq;
        self.replay_range(tx, state, from, upto).await
    }

    /// Carries stored postings out again, except on accounts that were written back since; those it touches are to be
    /// written back.
    ///
    /// # Errors
    /// The store can't be read.
    pub(crate) async fn replay_range(&self, tx: &mut Tx, state: &mut State, from: u64, upto: u64) -> Result<(), Fault> {
        let mut from = from;
        while from <= upto {
            let rows = store::postings::range(tx, from, upto, POSTINGS_PER_READ_MAX).await?;
            let Some(last) = rows.last() else { break };
            from = last.seq + 1;
            self.meet(tx, state, &rows).await?;
            let postings = rows.iter().filter_map(|row| row.posting.as_ref());
            let mut moved: Vec<Movement> = postings.map(Posting::movement).collect();
            store::movements::complete(tx, &mut moved).await?;
            for moved in moved {
                self.replay(tx, state, moved).await?;
            }
        }
        Ok(())
    }

    async fn replay(&self, tx: &mut Tx, state: &mut State, mut moved: Movement) -> Result<(), Fault> {
        for leg in [&mut moved.debit, &mut moved.credit] {
            let Some(no) = *leg else { continue };
            self.load(tx, state, no).await?;
            // An account written back after this posting has it already.
            let twice = planted("replayed-twice");
            if !twice && state.book.accounts.get(no).is_some_and(|a| a.changed >= moved.seq) {
                probe::reached("memory-read-in-the-midst-of-writing-back");
                *leg = None;
            } else {
                state.touch(no);
            }
        }
        decide::replay(&mut state.book, &moved);
        Ok(())
    }

    /// Writes balances back, unless that was done lately for its length. What is not written back yet is rebuilt after
    /// a crash, so the rest is also what bounds the time of a start.
    ///
    /// # Errors
    /// The store can't be written.
    pub async fn fold_when_due(&self) -> Result<usize, Fault> {
        let mut next = self.next_fold.lock().await;
        let began = ticks();
        if next.is_some_and(|at| began < at) {
            return Ok(0);
        }
        let folded = self.fold().await;
        *next = Some(ticks() + began.elapsed() * FOLD_REST);
        folded
    }

    /// Writes balances back, a run at a time; when it ends, a restart has nothing to rebuild up to where it began. Left
    /// in the middle, it leaves to the next one what it has not done.
    ///
    /// # Errors
    /// The store can't be written.
    pub async fn fold(&self) -> Result<usize, Fault> {
        if !self.db.sole_owner() {
            return self.settle().await.map(|()| 0); // who posts writes back; what is left of one who died is done here
        }
        let mut unfolded = self.unfolded.lock().await;
        let Some(mut state) = self.current().await else { return Ok(0) };
        let (generation, upto) = (state.generation, state.seq);
        if !unfolded.is_empty() {
            probe::reached("writing-back-goes-on-where-it-was-left");
        }
        unfolded.extend(state.dirty.drain());
        drop(state);
        if unfolded.is_empty() {
            return Ok(0);
        }
        let mut dirty: Vec<u64> = unfolded.iter().copied().collect();
        dirty.sort_unstable();
        for run in dirty.chunks(ACCOUNTS_PER_FOLD_MAX) {
            let accounts = |state: &State| run.iter().filter_map(|no| state.book.accounts.get(*no)).cloned().collect();
            self.write_back(generation, |state| Work::Balances(accounts(state))).await?;
        }
        let upto = |state: &State| if planted("folded-too-far") { state.seq } else { upto };
        self.write_back(generation, |state| Work::Folded(upto(state))).await?;
        unfolded.clear();
        Ok(dirty.len())
    }

    /// Writes a part of a fold, which belongs to one generation: places of a lost one are taken again by other postings.
    async fn write_back(&self, generation: u64, work: impl FnOnce(&State) -> Work) -> Result<(), Fault> {
        let room = self.room().await;
        let state = self.current().await.filter(|state| state.generation == generation);
        let Some(mut state) = state else {
            probe::reached("writing-back-ended-by-memory-read-anew");
            return Err(Fault::Busy("memory was read anew since the fold began".into()));
        };
        let work = work(&state);
        let sent = self.send(&mut state, room, work);
        drop(state);
        sent.flush.await
    }

    /// The id of the posting at `seq`, made at `at`.
    #[must_use]
    pub fn id_rest(&self, seq: u64) -> u128 {
        (u128::from(self.tag) << 64) | u128::from(seq)
    }

    /// The place that an id made by this instance names.
    #[must_use]
    pub fn seq_of(&self, rest: u128) -> Option<u64> {
        let seq = u64::try_from(rest & u128::from(u64::MAX)).ok()?;
        (rest >> 64 == u128::from(self.tag)).then_some(seq)
    }
}

/// Numbers of the accounts that stored rows touch.
fn accounts_of<'r>(rows: impl IntoIterator<Item = &'r Stored>) -> Vec<u64> {
    let legs = rows.into_iter().filter_map(|row| row.posting.as_ref()).flat_map(|p| [p.debit, p.credit]);
    legs.flatten().map(|leg| leg.account).collect()
}

/// Milliseconds of an instant, for ids.
#[must_use]
pub fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.micros() / 1_000).unwrap_or(0)
}
