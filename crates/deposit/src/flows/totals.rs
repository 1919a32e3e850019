//! Brings the sums that prove the books up to date: reads the postings in order, once, behind those who post.
//!
//! | per | statements |
//! |---|---|
//! | posting | its share of one read |
//! | account seen for the first time since start | its share of one read, and mostly one more |
//! | look | one unit of work that keeps the sums |
//!
//! It uses nothing that postings are decided by: an error there shows here. It never takes the ledger's turn for longer
//! than it takes to keep a few rows, and rests while commands come in faster than it reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use jangbu_kernel::money::Currency;
use jangbu_platform::db::{Db, Fault, Tx};
use tokio::sync::Mutex;

use crate::domain::decide::{Leg, Posting};
use crate::domain::totals::{Before, Last, Totals};
use crate::store;

/// Postings read at once.
const POSTINGS_PER_READ_MAX: u32 = 2_000;
/// Reads of one look while commands come in: at most 20,000 postings a look, about a twentieth of a core.
const READS_PER_LOOK_BUSY: u32 = 10;
/// Reads of one look while no commands come in.
const READS_PER_LOOK_QUIET: u32 = 100;
/// Accounts whose last entry is remembered; 24 bytes each, by number. Others cost two reads.
const ACCOUNTS_REMEMBERED_MAX: usize = 1 << 22;

/// The sums of an instance, and what is needed to go on with them.
pub struct Prover {
    db: Db,
    state: Mutex<State>,
    // What the last look left; read without waiting for a look under way.
    shown: RwLock<Arc<Totals>>,
}

#[derive(Default)]
struct State {
    loaded: bool,
    totals: Totals,
    accounts: Vec<Known>,
    /// The last place taken when the last look ended.
    last: u64,
}

/// What is remembered of an account; no currency where nothing is.
#[derive(Clone, Copy, Default)]
struct Known {
    currency: Option<Currency>,
    last: Last,
}

const _: () = assert!(size_of::<Known>() == 24);

impl Prover {
    /// The sums of the instance in `db`.
    #[must_use]
    pub fn new(db: Db) -> Prover {
        Prover { db, state: Mutex::default(), shown: RwLock::default() }
    }

    /// The sums as the last look left them.
    #[must_use]
    pub fn totals(&self) -> Arc<Totals> {
        Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One look: takes in what has been posted since the last one, or a part of it.
    ///
    /// # Errors
    /// The store failed; the next look begins where the sums were last kept.
    pub async fn look(&self) -> Result<(), Fault> {
        let mut state = self.state.lock().await;
        let done = self.advance(&mut state).await;
        if done.is_err() {
            *state = State::default();
        }
        done
    }

    async fn advance(&self, state: &mut State) -> Result<(), Fault> {
        let mut tx = self.db.read("deposit.totals").await?;
        if !state.loaded {
            state.totals = store::totals::load(&mut tx).await?;
            state.loaded = true;
            self.show(&state.totals);
        }
        let last = store::postings::last_seq(&mut tx).await?;
        drop(tx);
        let quiet = last == state.last;
        state.last = last;
        if state.totals.through >= last {
            return Ok(());
        }
        for _ in 0..if quiet { READS_PER_LOOK_QUIET } else { READS_PER_LOOK_BUSY } {
            if self.read(state, last).await? < POSTINGS_PER_READ_MAX {
                break;
            }
            tokio::task::yield_now().await; // reading is done in place: let others have the thread
        }
        let mut tx = self.db.begin("deposit.keep_totals").await?;
        store::totals::keep(&mut tx, &state.totals).await?;
        tx.commit().await?;
        self.show(&state.totals);
        Ok(())
    }

    fn show(&self, totals: &Totals) {
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(totals.clone());
    }

    /// Takes in the next postings up to `last`; how many rows there were.
    async fn read(&self, state: &mut State, last: u64) -> Result<u32, Fault> {
        let mut tx = self.db.read("deposit.totals").await?;
        let from = state.totals.through + 1;
        let rows = store::postings::range(&mut tx, from, last, POSTINGS_PER_READ_MAX).await?;
        let legs = rows.iter().filter_map(|row| row.posting.as_ref()).flat_map(|p| [p.debit, p.credit]).flatten();
        let new: BTreeSet<u64> = legs.map(|leg| leg.account).filter(|no| state.known(*no).is_none()).collect();
        let new = store::totals::currencies(&mut tx, &new).await?;
        for row in &rows {
            if let Some(posting) = &row.posting {
                let debit = before(&mut tx, (state, &new), posting, posting.debit).await?;
                let credit = before(&mut tx, (state, &new), posting, posting.credit).await?;
                state.totals.take(posting, debit, credit);
                for (leg, before) in [(posting.debit, debit), (posting.credit, credit)] {
                    if let (Some(leg), Some(before)) = (leg, before) {
                        state.remember(leg.account, before.currency, last_of(leg));
                    }
                }
            } else {
                state.totals.refused += 1;
            }
            state.totals.through = row.seq;
        }
        Ok(u32::try_from(rows.len()).unwrap_or(u32::MAX))
    }
}

fn last_of(leg: Leg) -> Last {
    Last { serial: leg.serial, balance: leg.balance }
}

/// The account of a leg before its posting; `new` are the currencies of accounts seen for the first time.
async fn before(
    tx: &mut Tx,
    (state, new): (&State, &BTreeMap<u64, Currency>),
    posting: &Posting,
    leg: Option<Leg>,
) -> Result<Option<Before>, Fault> {
    let Some(leg) = leg else { return Ok(None) };
    if let Some(known) = state.known(leg.account) {
        return Ok(Some(known));
    }
    let missing = || Fault::Damaged(format!("account {} is missing", leg.account));
    let currency = *new.get(&leg.account).ok_or_else(missing)?;
    let last = match leg.back.prev {
        _ if !posting.moves() => Some(last_of(leg)), // makes no entry: what it says is checked with the next one
        0 if leg.serial == 1 => Some(Last::default()),
        0 => None,
        place => store::totals::entry_at(tx, leg.account, place).await?,
    };
    Ok(Some(Before { currency, last }))
}

impl State {
    fn known(&self, no: u64) -> Option<Before> {
        let known = self.accounts.get(usize::try_from(no).ok()?)?;
        Some(Before { currency: known.currency?, last: Some(known.last) })
    }

    fn remember(&mut self, no: u64, currency: Currency, last: Last) {
        let Some(at) = usize::try_from(no).ok().filter(|at| *at < ACCOUNTS_REMEMBERED_MAX) else { return };
        if at >= self.accounts.len() {
            self.accounts.resize(at + 1, Known::default()); // the vector itself grows in doublings
        }
        self.accounts[at] = Known { currency: Some(currency), last };
    }
}

#[cfg(test)]
#[path = "../tests/totals.rs"]
mod tests;
