//! The state an instance decides by, and how it follows the store.
//!
//! The embedded engine is the only writer of its file, so balances are kept in memory between commits and
//! written back in runs ("folded"); postings are the truth, and what was not yet folded is rebuilt from them.
//! After a commit that failed nothing in memory is trusted: all of it is dropped and read again.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::db::{Db, Fault, Tx};
use jangbu_platform::dice::Dice;
use rustc_hash::FxHashSet;
use tokio::sync::{Mutex, MutexGuard};

use crate::domain::book::{Account, Book};
use crate::domain::command::Kind;
use crate::domain::decide;
use crate::domain::terms::History;
use crate::store;

/// Keys of one generation: two are remembered, so that keys a little out of order need no look into the store.
const KEYS_PER_GENERATION: usize = 1 << 16;
/// Accounts written back by one unit of work.
const ACCOUNTS_PER_FOLD_MAX: usize = 4_096;
/// Postings read at once when state is rebuilt.
const POSTINGS_PER_READ_MAX: u32 = 10_000;

/// The end of a flush, for all who wait for it.
pub type Flush = Shared<BoxFuture<'static, Result<(), Fault>>>;

/// A product as the ledger uses it.
#[derive(Debug, Default)]
pub struct Product {
    /// Code.
    pub code: String,
    /// Versions of its terms.
    pub history: History,
    /// The same as given, by first day.
    pub texts: Vec<(BusinessDate, String)>,
}

/// What is in memory.
#[derive(Default)]
pub struct State {
    /// What decisions are made by.
    pub book: Book,
    /// Products; accounts name them by index.
    pub products: Vec<Product>,
    /// The last place taken.
    pub seq: u64,
    /// The greatest account number given out.
    pub last_no: u64,
    /// The last flush begun.
    pub flush: Option<Flush>,
    keys: Keys,
    dirty: FxHashSet<u64>,
    ready: bool,
}

/// What is known of a key without asking the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is certainly new.
    Never,
    /// It may be in the store, but in no command of late.
    Perhaps,
    /// It came lately, perhaps in the same batch.
    Lately,
}

/// Which keys have never been seen, known without asking the store: those greater than all it held.
#[derive(Default)]
struct Keys {
    /// Keys up to this one may be in the store.
    floor: String,
    /// The greatest key of the older generation.
    older_greatest: String,
    /// The greatest key seen.
    greatest: String,
    older: FxHashSet<u64>,
    recent: FxHashSet<u64>,
}

impl State {
    /// What is known of a key without asking the store; it is remembered as seen.
    pub fn take_key(&mut self, key: &str) -> Seen {
        let keys = &mut self.keys;
        if keys.recent.len() >= KEYS_PER_GENERATION {
            keys.older = std::mem::take(&mut keys.recent);
            keys.floor = std::mem::replace(&mut keys.older_greatest, keys.greatest.clone());
        }
        if key > keys.greatest.as_str() {
            key.clone_into(&mut keys.greatest);
        }
        let hash = xxhash_rust::xxh3::xxh3_64(key.as_bytes());
        if keys.older.contains(&hash) || !keys.recent.insert(hash) {
            Seen::Lately
        } else if key > keys.floor.as_str() {
            Seen::Never
        } else {
            Seen::Perhaps
        }
    }

    /// The index of a product.
    #[must_use]
    pub fn product(&self, code: &str) -> Option<u32> {
        self.products.iter().position(|p| p.code == code).and_then(|i| u32::try_from(i).ok())
    }

    /// Notes that an account must be written back.
    pub fn touch(&mut self, no: u64) {
        self.dirty.insert(no);
    }

    /// Takes over the limits of all versions of all products.
    fn take_limits(&mut self) {
        let limits = |p: &Product| p.history.versions().iter().map(|t| (t.from, t.limits)).collect();
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
    flushed: AtomicU64,
}

impl Ledger {
    /// The ledger on a migrated database.
    #[must_use]
    pub fn new(db: Db, instance: &str, tag: u16, offset: UtcOffset, dice: Dice) -> Self {
        let state = Mutex::default();
        Self { db, instance: instance.to_owned(), tag, offset, dice, state, flushed: AtomicU64::new(0) }
    }

    /// The state, current as of everything before `tx`. Take it after the unit of work began, never before: the
    /// writer's turn is the lock that guards it.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn state(&self, tx: &mut Tx) -> Result<MutexGuard<'_, State>, Fault> {
        let mut state = self.state.lock().await;
        let failed = state.flush.clone().and_then(FutureExt::now_or_never).is_some_and(|f| f.is_err());
        if failed || !state.ready {
            *state = State::default();
            if let Err(fault) = self.rebuild(tx, &mut state).await {
                *state = State::default();
                return Err(fault);
            }
            state.ready = true;
        }
        Ok(state)
    }

    /// Forgets everything in memory: after a unit of work that changed it and did not commit.
    pub fn forget(state: &mut State) {
        *state = State::default();
    }

    /// Commits a unit of work that changed the state, and lets go of the state before it waits for the flush: whoever
    /// comes next has the writer's turn already and waits for the state, and the flush waits for him.
    ///
    /// # Errors
    /// Nothing of it stands, and the state is read again before it is used.
    pub async fn commit(mut tx: Tx, mut state: MutexGuard<'_, State>) -> Result<(), Fault> {
        let flush = match tx.finish().await {
            Ok(flush) => flush.shared(),
            Err(fault) => {
                Self::forget(&mut state);
                return Err(fault);
            }
        };
        state.flush = Some(flush.clone());
        drop(state);
        flush.await
    }

    /// Notes that postings up to `seq` are durable.
    pub fn flushed(&self, seq: u64) {
        self.flushed.fetch_max(seq, Ordering::SeqCst);
    }

    /// Looks at the state as far as it is durable: waits for the flush of what `look` saw, if need be.
    ///
    /// # Errors
    /// The store can't be read, or the flush failed.
    pub async fn look<T>(&self, no: u64, look: impl Fn(&State, &Account) -> T) -> Result<Option<T>, Fault> {
        let state = self.state.lock().await;
        let known = state.ready.then(|| state.book.accounts.get(no)).flatten();
        if let Some(account) = known {
            let (seen, changed) = (look(&state, account), account.changed);
            let flush = state.flush.clone().filter(|_| changed > self.flushed.load(Ordering::SeqCst));
            drop(state);
            if let Some(flush) = flush {
                flush.await?;
            }
            return Ok(Some(seen));
        }
        drop(state);
        let mut tx = self.db.begin("deposit.look").await?;
        let mut state = self.state(&mut tx).await?;
        self.load(&mut tx, &mut state, no).await?;
        Ok(state.book.accounts.get(no).map(|account| look(&state, account)))
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
        Ok(())
    }

    async fn rebuild(&self, tx: &mut Tx, state: &mut State) -> Result<(), Fault> {
        for (code, from, text) in store::products::all(tx).await? {
            let terms = crate::terms_text::read(&text, from).map_err(Fault::Damaged)?;
            let at = match state.product(&code) {
                Some(at) => at as usize,
                None => {
                    state.products.push(Product { code, ..Product::default() });
                    state.products.len() - 1
                }
            };
            state.products[at].history.add(terms);
            state.products[at].texts.push((from, text));
        }
        state.take_limits();
        state.last_no = store::accounts::last_no(tx).await?;
        state.seq = store::postings::last_seq(tx).await?;
        state.keys.floor = store::postings::last_key(tx).await?;
        state.keys.older_greatest.clone_from(&state.keys.floor);
        state.keys.greatest.clone_from(&state.keys.floor);
        let mut from = store::accounts::folded(tx).await? + 1;
        while from <= state.seq {
            let rows = store::postings::range(tx, from, state.seq, POSTINGS_PER_READ_MAX).await?;
            let Some(last) = rows.last() else { break };
            from = last.seq + 1;
            for posting in rows.iter().filter_map(|r| r.posting.as_ref()) {
                self.replay(tx, state, posting).await?;
            }
        }
        self.flushed(0);
        Ok(())
    }

    async fn replay(&self, tx: &mut Tx, state: &mut State, posting: &decide::Posting) -> Result<(), Fault> {
        let mut posting = posting.clone();
        for leg in [&mut posting.debit, &mut posting.credit] {
            let Some(no) = leg.map(|l| l.account) else { continue };
            self.load(tx, state, no).await?;
            // An account written back after this posting has it already.
            if state.book.accounts.get(no).is_some_and(|a| a.changed >= posting.seq) {
                *leg = None;
            } else {
                state.touch(no);
            }
        }
        let counted_on = match (posting.kind, posting.refers) {
            (Kind::Capture | Kind::Release, Some(hold)) => store::days::hold(tx, hold).await?.map(|h| h.counted_on),
            (Kind::Reversal, Some(original)) => {
                store::postings::original(tx, original).await?.map(|original| original.counted_on)
            }
            _ => None,
        };
        decide::replay(&mut state.book, &posting, counted_on);
        if posting.kind == Kind::Interest
            && let Some(no) = posting.credit.map(|l| l.account)
            && let Some(paid) = store::days::payment(tx, posting.seq).await?
            && let Some(account) = state.book.accounts.get_mut(no)
        {
            account.paid_through = account.paid_through.max(paid.to);
        }
        Ok(())
    }

    /// Writes balances back, a run at a time; when it ends, a restart has nothing to rebuild up to where it began.
    ///
    /// # Errors
    /// The store can't be written.
    pub async fn fold(&self) -> Result<usize, Fault> {
        let mut tx = self.db.begin("deposit.fold").await?;
        let mut state = self.state(&mut tx).await?;
        let (upto, mut dirty) = (state.seq, std::mem::take(&mut state.dirty).into_iter().collect::<Vec<_>>());
        drop(state);
        drop(tx);
        if dirty.is_empty() {
            return Ok(0);
        }
        dirty.sort_unstable();
        for (i, run) in dirty.chunks(ACCOUNTS_PER_FOLD_MAX).enumerate() {
            if let Err(fault) = self.fold_run(run).await {
                let rest = &dirty[i * ACCOUNTS_PER_FOLD_MAX..];
                self.state.lock().await.dirty.extend(rest);
                return Err(fault);
            }
        }
        let mut tx = self.db.begin("deposit.folded").await?;
        store::accounts::set_folded(&mut tx, upto).await?;
        tx.commit().await?;
        Ok(dirty.len())
    }

    async fn fold_run(&self, run: &[u64]) -> Result<(), Fault> {
        let mut tx = self.db.begin("deposit.fold_run").await?;
        let state = self.state(&mut tx).await?;
        for account in run.iter().filter_map(|no| state.book.accounts.get(*no)) {
            store::accounts::write_balance(&mut tx, account).await?;
        }
        drop(state);
        tx.commit().await
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

/// Milliseconds of an instant, for ids.
#[must_use]
pub fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.micros() / 1_000).unwrap_or(0)
}
