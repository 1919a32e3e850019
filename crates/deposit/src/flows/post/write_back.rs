//! Writes balances back on a database that other processes write too, behind the batches that changed them: in the order of
//! batches, whoever posted them. One who is at it takes along all that has come meanwhile, also of others, as far as he has
//! their accounts in memory.
//!
//! Nobody is kept waiting for it who posts. Whoever looks at accounts waits until it has come to where the postings were.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use jangbu_platform::db::{Fault, Tx};
use jangbu_platform::task;

use crate::domain::book::Account;
use crate::ledger::Ledger;
use crate::pipeline::{Flush, gone};
use crate::store;

/// How often a run is tried that others are in the way of.
const TRIES_MAX: u32 = 5;

/// Accounts as the postings after `before` up to `upto` left them.
pub(super) struct Run {
    pub before: u64,
    pub upto: u64,
    pub accounts: HashMap<u64, Account>,
}

/// What one lane is writing back.
pub(super) struct Writing {
    /// Runs whose postings stand.
    waiting: Arc<Mutex<VecDeque<Run>>>,
    /// The end of the last one, and up to where it is.
    end: Flush,
    upto: u64,
    /// Whether that was written with its batch.
    whole: bool,
    /// Up to where it is known that all is written back.
    through: Arc<AtomicU64>,
}

impl Writing {
    /// Nothing is; all is written back up to here.
    pub fn done(upto: u64) -> Writing {
        let end = std::future::ready(Ok(())).boxed().shared();
        Writing { waiting: Arc::default(), end, upto, whole: true, through: Arc::new(AtomicU64::new(upto)) }
    }

    /// A batch was written with its balances.
    pub fn whole(&mut self, commit: Flush, upto: u64) {
        (self.end, self.upto, self.whole) = (commit, upto, true);
    }

    /// Begins to write a run back when its postings stand; what is returned ends with it.
    pub fn begin(&mut self, ledger: &Arc<Ledger>, commit: Flush, run: Run) -> Flush {
        (self.upto, self.whole) = (run.upto, false);
        let (through, upto) = (Arc::clone(&self.through), run.upto);
        let written = write(Arc::clone(ledger), Arc::clone(&self.waiting), self.end.clone(), commit, run);
        let written = async move {
            written.await?;
            through.fetch_max(upto, Ordering::Relaxed);
            Ok(())
        };
        let written = task::spawn(written).map(|done| done.unwrap_or_else(|_| Err(gone())));
        self.end = written.boxed().shared();
        self.end.clone()
    }

    /// Up to where all is written back at least.
    pub fn through(&self) -> u64 {
        self.through.load(Ordering::Relaxed)
    }

    /// Whether all is written back up to the place, of which `tx` knows that it stands; often known without asking.
    pub async fn is_through(&self, tx: &mut Tx, seq: u64) -> Result<bool, Fault> {
        let known = self.upto == seq && (self.whole || matches!(self.end.clone().now_or_never(), Some(Ok(()))));
        let is_through = known || store::accounts::folded(tx).await? == seq;
        if is_through {
            self.through.fetch_max(seq, Ordering::Relaxed);
        }
        Ok(is_through)
    }
}

async fn write(
    ledger: Arc<Ledger>,
    waiting: Arc<Mutex<VecDeque<Run>>>,
    earlier: Flush,
    commit: Flush,
    run: Run,
) -> Result<(), Fault> {
    commit.await?;
    {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Tasks that heard of their commits together come here in any order.
        let at = waiting.partition_point(|other| other.before < run.before);
        match at.checked_sub(1).map(|at| &mut waiting[at]).filter(|last| last.upto == run.before) {
            Some(last) => {
                last.accounts.extend(run.accounts);
                last.upto = run.upto;
            }
            None => waiting.insert(at, run),
        }
    }
    let _ = earlier.await; // what it left undone is waited for
    let run = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let Some(run) = run else { return Ok(()) }; // the earlier one took it along
    let mut accounts: Vec<&Account> = run.accounts.values().collect();
    accounts.sort_unstable_by_key(|account| account.no); // near each other in the tree
    let mut tries = 0;
    loop {
        match write_once(&ledger, &accounts, &run).await {
            Ok(true) => return Ok(()),
            Ok(false) => ledger.folded_through(run.before).await?,
            Err(Fault::Conflict(_) | Fault::Busy(_)) if tries < TRIES_MAX => tries += 1,
            Err(fault) => {
                tracing::warn!(error = %fault, "balances are left to be written back from their postings");
                return Err(fault);
            }
        }
    }
}

/// Whether it is done; not where something before it is still to be written back.
async fn write_once(ledger: &Ledger, accounts: &[&Account], run: &Run) -> Result<bool, Fault> {
    let mut tx = ledger.db.begin("deposit.write_back").await?;
    let folded = store::locked::folded(&mut tx).await?;
    if folded >= run.upto {
        return Ok(true); // another did it
    }
    if folded < run.before {
        return Ok(false);
    }
    let newer: Vec<&Account> = accounts.iter().copied().filter(|account| account.changed > folded).collect();
    store::locked::write_balances(&mut tx, &newer).await?;
    store::accounts::set_folded(&mut tx, run.upto).await?;
    tx.commit().await.map(|()| true)
}

/// Writes all balances back from the postings, up to the last one that is durable: those of a process that died, which
/// nobody has in memory.
///
/// # Errors
/// The store failed.
pub(crate) async fn write_back_stored(ledger: &Ledger) -> Result<(), Fault> {
    let mut tx = ledger.db.begin("deposit.write_back").await?;
    let folded = store::locked::folded(&mut tx).await?;
    let upto = store::locked::reached(&mut tx).await?;
    if folded >= upto {
        return Ok(()); // meanwhile it was done
    }
    let mut state = ledger.blank(&mut tx).await?;
    ledger.replay_range(&mut tx, &mut state, folded + 1, upto).await?;
    let touched = state.take_touched();
    let accounts: Vec<&Account> = touched.iter().filter_map(|no| state.book.accounts.get(*no)).collect();
    store::locked::write_balances(&mut tx, &accounts).await?;
    store::accounts::set_folded(&mut tx, upto).await?;
    tx.commit().await
}
