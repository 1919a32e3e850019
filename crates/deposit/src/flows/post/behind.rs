//! What a batch leaves to be written behind it on a database that other processes write too: the rows of its postings, and
//! balances. Each has a task, which takes along all that has come while it was at the last.
//!
//! Each process writes the rows of its own postings, in whatever order processes come to it. Balances are written in the
//! order of postings, whoever posted them: one who is at it takes along those of others, as far as he has their accounts in
//! memory. All rows up to a posting are there before balances are written back up to it.
//!
//! Nobody is kept waiting for it who posts. Whoever looks waits until balances are written back to where the postings were.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use jangbu_platform::db::{Fault, Tx};
use jangbu_platform::task;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::domain::book::Account;
use crate::ledger::Ledger;
use crate::pipeline::{Flush, Room};
use crate::store;
use crate::store::batches::Packed;

/// How often something is tried that others are in the way of.
const TRIES_MAX: u32 = 5;
/// Rows of postings that share a unit of work, but for those of the last batch of it.
const ROWS_PER_WRITE: u64 = 2_048;

/// Pauses between tries of what failed otherwise: the first, and the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A batch, and accounts as the postings after `before` up to `upto` left them.
pub(super) struct Run {
    pub before: u64,
    pub upto: u64,
    pub packed: Packed,
    pub accounts: Vec<Account>,
}

/// A run whose batch stands once its commit ends well.
struct Sent {
    commit: Flush,
    run: Run,
    room: Option<Room>,
}

/// Accounts to be written back when the rows of their postings are there.
struct Balances {
    before: u64,
    upto: u64,
    accounts: Vec<Account>,
    rooms: Vec<Room>,
}

/// The way of what a lane leaves behind its batches; its tasks end with it, when all is written.
pub(super) struct Behind {
    runs: UnboundedSender<Sent>,
    /// Up to where it was sent.
    upto: u64,
    /// Whether the last batch was written whole.
    whole: bool,
    /// Up to where it is known that all is written back.
    through: Arc<AtomicU64>,
}

impl Behind {
    /// Starts the tasks; all is written up to here.
    pub fn start(ledger: &Arc<Ledger>, upto: u64) -> Behind {
        let (runs, waiting) = mpsc::unbounded_channel(); // bounded by the room
        let (written, rows_there) = mpsc::unbounded_channel();
        let through = Arc::new(AtomicU64::new(upto));
        task::spawn(write_rows(Arc::clone(ledger), waiting, written));
        task::spawn(write_balances(Arc::clone(ledger), rows_there, Arc::clone(&through)));
        Behind { runs, upto, whole: true, through }
    }

    /// A batch was written whole.
    pub fn whole(&mut self, commit: Flush, upto: u64, room: Option<Room>) {
        (self.upto, self.whole) = (upto, true);
        task::spawn(commit.map(|_| drop(room)));
    }

    /// Has a run written when its batch stands.
    pub fn send(&mut self, commit: Flush, run: Run, room: Option<Room>) {
        (self.upto, self.whole) = (run.upto, false);
        let _ = self.runs.send(Sent { commit, run, room }); // without a task, others write it
    }

    /// All is written back up to here.
    pub fn reached(&self, seq: u64) {
        self.through.fetch_max(seq, Ordering::Relaxed);
    }

    /// Up to where all is written back at least.
    pub fn through(&self) -> u64 {
        self.through.load(Ordering::Relaxed)
    }

    /// Whether all is written back up to the place, of which `tx` knows that it stands; often known without asking.
    pub async fn is_through(&self, tx: &mut Tx, seq: u64) -> Result<bool, Fault> {
        let known = self.whole && self.upto == seq || self.through() >= seq;
        let is_through = known || store::accounts::folded(tx).await? == seq;
        if is_through {
            self.reached(seq);
        }
        Ok(is_through)
    }
}

async fn write_rows(ledger: Arc<Ledger>, mut runs: UnboundedReceiver<Sent>, written: UnboundedSender<Balances>) {
    let mut next = None;
    loop {
        let first = match next.take() {
            Some(run) => Some(run),
            None => runs.recv().await,
        };
        let Some(first) = first else { return };
        if first.commit.clone().await.is_err() {
            continue; // should it stand all the same, another writes it
        }
        let (mut rows, mut taken) = (0, Vec::new());
        next = Some(first);
        while let Some(sent) = next.take() {
            match sent.commit.clone().now_or_never() {
                Some(Ok(())) => {
                    rows += sent.run.packed.last + 1 - sent.run.packed.first;
                    taken.push(sent);
                }
                Some(Err(_)) => {}
                None => {
                    next = Some(sent);
                    break;
                }
            }
            if rows >= ROWS_PER_WRITE {
                break;
            }
            next = runs.try_recv().ok();
        }
        let batches: Vec<Packed> = taken.iter().map(|sent| sent.run.packed.clone()).collect();
        let mut pause = PAUSE_FIRST;
        while let Err(fault) = write_batches(&ledger, &batches).await {
            rest(&mut pause, &fault).await;
        }
        for Sent { run: Run { before, upto, accounts, .. }, room, .. } in taken {
            let _ = written.send(Balances { before, upto, accounts, rooms: room.into_iter().collect() });
        }
    }
}

/// Writes the rows of batches, but of those of which another did it.
async fn write_batches(ledger: &Ledger, batches: &[Packed]) -> Result<(), Fault> {
    let mut tries = 0;
    let mut left = batches.to_vec();
    while !left.is_empty() {
        let written = async {
            let mut tx = ledger.db.begin("deposit.write_rows").await?;
            if tries > 0 {
                store::batches::retain_kept(&mut tx, &mut left).await?;
            }
            store::batches::write(&mut tx, &left).await?;
            tx.commit().await
        };
        match written.await {
            Err(Fault::Conflict(_) | Fault::Busy(_)) if tries < TRIES_MAX => tries += 1,
            done => return done,
        }
    }
    Ok(())
}

/// Runs of balances, in the order of postings.
struct Waiting {
    runs: UnboundedReceiver<Balances>,
    next: Option<Balances>,
}

impl Waiting {
    /// Adds to a run those that came behind it; none whose rows may not be there, from a place on.
    fn add_to(&mut self, run: &mut Balances, first_packed: Option<u64>) {
        while let Some(other) = self.next.take().or_else(|| self.runs.try_recv().ok()) {
            if other.before != run.upto || first_packed.is_some_and(|first| first <= other.upto) {
                self.next = Some(other);
                return;
            }
            run.upto = other.upto;
            run.accounts.extend(other.accounts);
            run.rooms.extend(other.rooms);
        }
    }
}

async fn write_balances(ledger: Arc<Ledger>, runs: UnboundedReceiver<Balances>, through: Arc<AtomicU64>) {
    let mut waiting = Waiting { runs, next: None };
    loop {
        let first = match waiting.next.take() {
            Some(run) => Some(run),
            None => waiting.runs.recv().await,
        };
        let Some(mut run) = first else { return };
        if run.upto <= through.load(Ordering::Relaxed) {
            continue; // another did it
        }
        let mut pause = PAUSE_FIRST;
        while let Err(fault) = write_back(&ledger, &mut run, &mut waiting).await {
            rest(&mut pause, &fault).await;
        }
        through.fetch_max(run.upto, Ordering::Relaxed);
    }
}

/// Before the next try of what failed. Those who post run out of room meanwhile, and are told to come again.
async fn rest(pause: &mut Duration, fault: &Fault) {
    tracing::warn!(error = %fault, "what is answered could not be written out yet");
    tokio::time::sleep(*pause).await;
    *pause = PAUSE_MAX.min(*pause * 2);
}

async fn write_back(ledger: &Ledger, run: &mut Balances, waiting: &mut Waiting) -> Result<(), Fault> {
    let mut tries = 0;
    loop {
        match write_back_once(ledger, run, waiting).await {
            Ok(Turn::Done) => return Ok(()),
            Ok(Turn::BalancesBefore) => ledger.folded_through(run.before).await?,
            Ok(Turn::RowsBefore) => ledger.listed_through(run.upto).await?,
            Err(Fault::Conflict(_) | Fault::Busy(_)) if tries < TRIES_MAX => tries += 1,
            Err(fault) => return Err(fault),
        }
    }
}

/// What became of a try to write balances back.
enum Turn {
    Done,
    /// Balances before them are to be written back first.
    BalancesBefore,
    /// Rows of postings that led to them are to be written first.
    RowsBefore,
}

async fn write_back_once(ledger: &Ledger, run: &mut Balances, waiting: &mut Waiting) -> Result<Turn, Fault> {
    let mut tx = ledger.db.begin("deposit.write_back").await?;
    let (folded, first_packed) = store::locked::folded(&mut tx).await?;
    if folded >= run.upto {
        return Ok(Turn::Done); // another did it
    }
    if folded < run.before {
        return Ok(Turn::BalancesBefore);
    }
    if first_packed.is_some_and(|first| first <= run.upto) {
        return Ok(Turn::RowsBefore);
    }
    waiting.add_to(run, first_packed); // others may have been at it for long
    store::locked::write_balances(&mut tx, run.accounts.iter().collect(), folded).await?;
    store::accounts::set_folded(&mut tx, run.upto).await?;
    tx.commit().await.map(|()| Turn::Done)
}

/// Writes the rows of all batches that are packed by now, and balances back up to the last of them: of a process that died,
/// whose accounts nobody has in memory.
///
/// # Errors
/// The store failed.
pub(crate) async fn write_stored(ledger: &Ledger) -> Result<(), Fault> {
    let packed = store::batches::after(&mut ledger.db.read("deposit.packed").await?, 0).await?;
    write_batches(ledger, &packed).await?;
    let mut tx = ledger.db.begin("deposit.write_back").await?;
    let (folded, _) = store::locked::folded(&mut tx).await?;
    let upto = store::postings::last_seq(&mut tx).await?;
    if folded >= upto {
        return Ok(()); // meanwhile it was done
    }
    let mut state = ledger.blank(&mut tx).await?;
    ledger.replay_range(&mut tx, &mut state, folded + 1, upto).await?;
    store::locked::write_balances(&mut tx, state.take_touched(), folded).await?;
    store::accounts::set_folded(&mut tx, upto).await?;
    tx.commit().await
}
