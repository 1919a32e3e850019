//! What batches leave to be written behind them on a database that other processes write too: the rows of their postings, and
//! balances. Each has a task. One process does it for all, and the others leave it to this one for as long as it gets on.
//!
//! Packed batches are read from the store, in order, whoever posted them, and their rows written in large units of work. For
//! balances the task asks the lane for all accounts that changed since it asked last, those too that others changed. All rows
//! up to a posting are there before balances are written back up to it. Should two processes be at it, the keys of rows and
//! the lock of what tells how far balances are keep them apart.
//!
//! Nobody is kept waiting for it who posts, unless too much is left. Whoever looks waits until balances are written back to
//! where the postings were, and whoever is at it hurries then.

mod whose;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt as _, TryStreamExt as _};
use jangbu_platform::clock::ticks;
use jangbu_platform::db::{Fault, Tx};
use jangbu_platform::task;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, oneshot, watch};

use crate::domain::book::Account;
use crate::ledger::Ledger;
use crate::pipeline::Flush;
use crate::store;
use crate::store::batches::Packed;
use crate::store::locked::Written;
use whose::{By, hurry, hurry_elsewhere, leave};

/// How often something is tried that others are in the way of.
const TRIES_MAX: u32 = 5;
/// Rows of postings that share a unit of work, but for those of the last batch of it.
const ROWS_PER_WRITE: u64 = 2_048;
/// Packed batches read at once.
const BATCHES_PER_READ: usize = 64;
/// Units of work with rows that are made ready side by side.
const WRITERS: usize = 2;
/// Balances that share one, but for those of the last run of it.
const BALANCES_PER_WRITE: usize = 16_384;

/// Few rows, and balances, are written so often at most, so that more share the work; sooner where somebody waits for them.
const PACE: Duration = Duration::from_millis(20);
/// The more balances there are to write, the longer they rest, in times what the last took, so that an account that moves
/// often is written once for more postings; at most so long.
const BALANCES_REST: u32 = 2;
const REST_MAX: Duration = Duration::from_millis(250);
/// Rows left at most before the next batch waits for them to be written.
const ROWS_LEFT_MAX: u64 = 8_192;
/// Postings whose balances are left at most before the next batch waits for those.
const BALANCES_LEFT_MAX: u64 = 65_536;
/// How long rows, or balances, are left to another process after it was last seen to have written some. Balances rest.
const ROWS_LEFT_FOR: Duration = Duration::from_millis(300);
const BALANCES_LEFT_FOR: Duration = Duration::from_secs(1);
/// How long rows are waited for before the store is asked, since another process may have written them.
const HEARING_OF_ROWS: Duration = Duration::from_millis(50);

/// How often in a row another may have been quicker at rows, before it is told as something that fails.
const LOST_TO_ANOTHER_MAX: u32 = 64;

/// Pauses between tries of what failed otherwise: the first, and the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Accounts as the postings after `before` up to `upto` left them, once a commit ends well.
pub(super) struct Balances {
    pub commit: Flush,
    pub before: u64,
    pub upto: u64,
    pub accounts: Vec<Account>,
}

/// What a lane and the tasks behind it tell each other.
struct Shared {
    /// Up to where it is known that all is written back.
    through: AtomicU64,
    /// Who writes balances back.
    balances_by: By,
    /// Who writes rows.
    rows_by: By,
    /// Whether accounts are asked for.
    asked: AtomicBool,
    asks: Notify,
    /// Up to where postings stand, packed or not.
    packed: watch::Sender<u64>,
    /// Up to where it is known that all rows are written.
    rows: watch::Sender<u64>,
}

impl Shared {
    fn through(&self) -> u64 {
        self.through.load(Ordering::Relaxed)
    }

    fn reached(&self, seq: u64) {
        self.through.fetch_max(seq, Ordering::Relaxed);
    }

    fn stands(&self, upto: u64) {
        raise(&self.packed, upto);
    }

    fn rows_written(&self, upto: u64) {
        raise(&self.rows, upto);
    }

    /// Waits for a while until it is known that rows are written; whether it is.
    async fn hears_of_rows(&self, upto: u64) -> bool {
        let mut rows = self.rows.subscribe();
        let there = rows.wait_for(|rows| *rows >= upto);
        tokio::time::timeout(HEARING_OF_ROWS, there).await.is_ok()
    }
}

/// Tells that something is higher than was told before.
pub(crate) fn raise(told: &watch::Sender<u64>, seq: u64) {
    told.send_if_modified(|told| std::mem::replace(told, seq.max(*told)) < seq);
}

/// The way of what a lane leaves behind its batches; its tasks end with it, when all is written.
pub(super) struct Behind {
    balances: UnboundedSender<Balances>,
    /// Dropped with the lane, after which what is packed by then is written.
    _end: oneshot::Sender<()>,
    /// Ends of batches whose balances are not known to be written back.
    own: VecDeque<u64>,
    /// Up to where it was sent.
    upto: u64,
    /// Whether the last batch was written whole.
    whole: bool,
    shared: Arc<Shared>,
}

impl Behind {
    /// Starts the tasks; all is written up to here.
    pub fn start(ledger: &Arc<Ledger>, upto: u64) -> Behind {
        let (end, ends) = oneshot::channel();
        let (balances, runs) = mpsc::unbounded_channel(); // bounded by what may be left
        let shared = Arc::new(Shared {
            through: upto.into(),
            balances_by: By::new(upto, BALANCES_LEFT_FOR),
            rows_by: By::new(upto, ROWS_LEFT_FOR),
            asked: AtomicBool::new(false),
            asks: Notify::new(),
            packed: watch::Sender::new(upto),
            rows: watch::Sender::new(upto),
        });
        task::spawn(write_rows(Arc::clone(ledger), Arc::clone(&shared), ends));
        task::spawn(write_balances(Arc::clone(ledger), Waiting { runs, next: None }, Arc::clone(&shared)));
        Behind { _end: end, balances, own: VecDeque::new(), upto, whole: true, shared }
    }

    /// A batch was written whole.
    pub fn whole(&mut self, upto: u64) {
        (self.upto, self.whole) = (upto, true);
    }

    /// A batch was packed; it is to be told when it stands.
    pub fn packed(&mut self, upto: u64) -> impl FnOnce() + Send + use<> {
        (self.upto, self.whole) = (upto, false);
        self.own.push_back(upto);
        let shared = Arc::clone(&self.shared);
        move || shared.stands(upto)
    }

    /// What another process has posted up to here stands.
    pub fn followed(&mut self, upto: u64) {
        self.shared.stands(upto);
    }

    /// Waits until there are not too many rows to be written of postings up to a place.
    pub async fn settle_rows(&self, ledger: &Ledger, seq: u64) -> Result<(), Fault> {
        let rows = seq.saturating_sub(ROWS_LEFT_MAX);
        if self.shared.rows_by.is_left() && *self.shared.rows.borrow() < rows || !self.shared.hears_of_rows(rows).await
        {
            ledger.listed_through(rows).await?;
            self.shared.rows_written(rows);
        }
        Ok(())
    }

    /// Up to where balances are to be written back before more is posted after a place, unless enough are.
    pub fn too_far_back(&self, seq: u64) -> Option<u64> {
        let enough = seq.saturating_sub(BALANCES_LEFT_MAX);
        (self.through() < enough).then_some(enough)
    }

    /// Has balances written back when they stand.
    pub fn send_balances(&self, run: Balances) {
        self.shared.asked.store(false, Ordering::SeqCst);
        let _ = self.balances.send(run); // without a task, others write them
    }

    /// Whether balances are asked for.
    pub fn asks(&self) -> bool {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// Waits until balances are asked for.
    pub async fn asked(&self) {
        while !self.asks() {
            self.shared.asks.notified().await;
        }
    }

    /// So far all is written.
    pub fn reached(&mut self, ledger: &Ledger, written: Written) {
        let helped = ledger.helped.load(Ordering::Relaxed);
        if written.rows > self.shared.rows_by.tried().max(helped).max(*self.shared.rows.borrow()) {
            self.shared.rows_by.is_another(Some(ticks()));
        }
        self.shared.rows_written(written.rows);
        self.shared.reached(written.balances);
        let own = self.own.partition_point(|upto| *upto <= written.balances);
        if self.own.drain(..own).next_back().is_some_and(|own| own > self.shared.balances_by.tried().max(helped)) {
            self.shared.balances_by.is_another(Some(ticks()));
        }
    }

    /// The balances that come next nobody else can write back.
    pub fn take_over(&self) {
        self.shared.balances_by.is_another(None);
    }

    /// Up to where all is written back at least.
    pub fn through(&self) -> u64 {
        self.shared.through()
    }

    /// Whether all is written back up to the place, of which `tx` knows that it stands; often known without asking.
    pub async fn is_through(&self, tx: &mut Tx, seq: u64) -> Result<bool, Fault> {
        let known = self.whole && self.upto == seq || self.through() >= seq;
        let is_through = known || store::accounts::folded(tx).await? == seq;
        if is_through {
            self.shared.reached(seq);
        }
        Ok(is_through)
    }
}

/// Writes the rows of what is packed, until its lane has ended and all that it packed is written.
async fn write_rows(ledger: Arc<Ledger>, shared: Arc<Shared>, mut ends: oneshot::Receiver<()>) {
    let (mut due, mut packed) = (ticks(), shared.packed.subscribe());
    let (mut pause, mut tries) = (PAUSE_FIRST, 0);
    loop {
        let rows = *shared.rows.borrow();
        tokio::select! {
            biased;
            _ = packed.wait_for(|packed| *packed > rows) => {}
            _ = &mut ends => return,
        }
        tokio::select! {
            biased;
            _ = hurry(&ledger, rows + 1, due) => {}
            _ = packed.wait_for(|packed| *packed >= rows + ROWS_PER_WRITE) => {}
        }
        leave(&ledger, &shared.rows_by, || *shared.rows.borrow()).await;
        due = ticks() + PACE;
        let (stood, written) = (*packed.borrow_and_update(), *shared.rows.borrow());
        let told = |what| match what {
            Rows::Tried(upto) => shared.rows_by.tries(upto),
            Rows::Stand(upto) => shared.rows_written(upto),
        };
        match write_packed(&ledger, told).await {
            Ok(upto) => {
                shared.rows_written(upto.unwrap_or(stood)); // where nothing is packed, another has written it
                (pause, tries) = (PAUSE_FIRST, 0);
            }
            Err(Fault::Conflict(_) | Fault::Busy(_)) if *shared.rows.borrow() > written => {} // on from there
            Err(Fault::Conflict(_) | Fault::Busy(_)) if tries < LOST_TO_ANOTHER_MAX => {
                tries += 1;
                shared.rows_by.is_another(Some(ticks()));
                tokio::time::sleep(PAUSE_FIRST).await;
            }
            Err(fault) => rest(&mut pause, &fault).await,
        }
    }
}

/// Writes the rows of the first batches that are packed; up to where all are written then, if there were any. `told` hears
/// what is tried, and what stands.
///
/// # Errors
/// [`Fault::Conflict`] where another writes them too; what was told to stand does.
async fn write_packed(ledger: &Ledger, told: impl Fn(Rows)) -> Result<Option<u64>, Fault> {
    let mut tx = ledger.db.glance("deposit.packed").await?;
    let batches = store::batches::first(&mut tx, BATCHES_PER_READ).await?;
    drop(tx);
    let units = share_out(batches);
    let ends: Vec<u64> = units.iter().filter_map(|unit| unit.last()).map(|batch| batch.last).collect();
    let Some(upto) = ends.last().copied() else { return Ok(None) };
    told(Rows::Tried(upto));
    // One is made ready beside the other; they end in the order of postings, so that rows are there up to one of them always.
    let mut ready: FuturesOrdered<_> = units.iter().map(|unit| ready_rows(ledger, unit)).collect();
    for end in ends {
        let Some(tx) = ready.try_next().await? else { break };
        tx.commit().await?;
        told(Rows::Stand(end));
    }
    Ok(Some(upto))
}

/// What becomes of rows, up to a posting.
enum Rows {
    Tried(u64),
    Stand(u64),
}

/// The first batches in units of work.
fn share_out(batches: Vec<Packed>) -> Vec<Vec<Packed>> {
    let (mut units, mut room): (Vec<Vec<Packed>>, _) = (Vec::new(), 0);
    for batch in batches {
        if room == 0 {
            if units.len() == WRITERS {
                break;
            }
            units.push(Vec::new());
            room = ROWS_PER_WRITE;
        }
        room = room.saturating_sub(batch.last + 1 - batch.first);
        units.last_mut().expect("there is one").push(batch);
    }
    units
}

/// A unit of work in which the rows of batches are written.
async fn ready_rows(ledger: &Ledger, batches: &[Packed]) -> Result<Tx, Fault> {
    let mut tx = ledger.db.begin("deposit.write_rows").await?;
    store::batches::write(&mut tx, batches).await?;
    Ok(tx)
}

/// Runs of balances, in the order of postings.
struct Waiting {
    runs: UnboundedReceiver<Balances>,
    next: Option<Balances>,
}

impl Waiting {
    /// The next run that is not written back, if it is there.
    fn next_beyond(&mut self, through: u64) -> Option<Balances> {
        loop {
            let run = self.next.take().or_else(|| self.runs.try_recv().ok())?;
            if run.upto > through {
                return Some(run);
            }
        }
    }

    /// Adds to a run those that came behind it and stand.
    fn add_to(&mut self, run: &mut Balances) {
        while run.accounts.len() < BALANCES_PER_WRITE
            && let Some(other) = self.next_beyond(run.upto)
        {
            let stands = matches!(other.commit.clone().now_or_never(), Some(Ok(())));
            if other.before != run.upto || !stands {
                self.next = Some(other);
                return;
            }
            run.upto = other.upto;
            run.accounts.extend(other.accounts);
        }
    }
}

async fn write_balances(ledger: Arc<Ledger>, mut waiting: Waiting, shared: Arc<Shared>) {
    let mut due = ticks();
    loop {
        hurry_elsewhere(&ledger, shared.through() + 1, due).await; // whoever waits may have the place
        leave(&ledger, &shared.balances_by, || shared.through()).await;
        let run = match waiting.next_beyond(shared.through()) {
            Some(run) => Some(run),
            None => {
                shared.asked.store(true, Ordering::SeqCst);
                shared.asks.notify_one();
                waiting.runs.recv().await
            }
        };
        let Some(mut run) = run else { return };
        if run.commit.clone().await.is_err() {
            continue; // should it stand all the same, another writes it
        }
        let began = ticks();
        waiting.add_to(&mut run);
        shared.hears_of_rows(run.upto).await;
        let mut pause = PAUSE_FIRST;
        while let Err(fault) = write_back(&ledger, &run, &shared).await {
            rest(&mut pause, &fault).await;
        }
        shared.reached(run.upto);
        due = ticks() + PACE.max(began.elapsed() * BALANCES_REST).min(REST_MAX);
    }
}

/// Before the next try of what failed. Those who post wait meanwhile, once too much is left, and are told to come again.
async fn rest(pause: &mut Duration, fault: &Fault) {
    tracing::warn!(error = %fault, "what is answered could not be written out yet");
    tokio::time::sleep(*pause).await;
    *pause = PAUSE_MAX.min(*pause * 2);
}

async fn write_back(ledger: &Ledger, run: &Balances, shared: &Shared) -> Result<(), Fault> {
    let mut tries = 0;
    loop {
        match write_back_once(ledger, run, shared).await {
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

async fn write_back_once(ledger: &Ledger, run: &Balances, shared: &Shared) -> Result<Turn, Fault> {
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
    shared.balances_by.tries(run.upto);
    store::locked::write_balances(&mut tx, run.accounts.iter().collect(), folded).await?;
    store::accounts::set_folded(&mut tx, run.upto).await?;
    tx.commit().await.map(|()| Turn::Done)
}

/// Tells other processes that somebody waits for balances to be written back.
///
/// # Errors
/// The store failed.
pub(crate) async fn tell_others(ledger: &Ledger, seq: u64) -> Result<(), Fault> {
    let mut tx = ledger.db.begin("deposit.want").await?;
    store::locked::want(&mut tx, seq).await?;
    tx.commit().await
}

/// Writes the rows of all batches that are packed by now, whoever posted them.
///
/// # Errors
/// The store failed.
pub(crate) async fn write_stored_rows(ledger: &Ledger) -> Result<(), Fault> {
    let upto = store::batches::last_seq(&mut ledger.db.read("deposit.packed").await?).await?;
    ledger.helped.fetch_max(upto, Ordering::Relaxed);
    while write_packed(ledger, drop).await?.is_some_and(|written| written < upto) {}
    Ok(())
}

/// Writes rows, and balances back up to the last of them: of a process that died, whose accounts nobody has in memory. Nothing
/// where balances are written back beyond `stood_at` meanwhile: then somebody lives who does it.
///
/// # Errors
/// The store failed.
pub(crate) async fn write_stored(ledger: &Ledger, stood_at: u64) -> Result<(), Fault> {
    let (folded, _) = store::locked::folded(&mut ledger.db.begin("deposit.write_back").await?).await?;
    if folded > stood_at {
        return Ok(());
    }
    write_stored_rows(ledger).await?;
    let mut tx = ledger.db.begin("deposit.write_back").await?;
    let (folded, _) = store::locked::folded(&mut tx).await?;
    let upto = store::postings::last_seq(&mut tx).await?;
    if folded >= upto || folded > stood_at {
        return Ok(());
    }
    ledger.helped.fetch_max(upto, Ordering::Relaxed);
    let mut state = ledger.blank(&mut tx).await?;
    ledger.replay_range(&mut tx, &mut state, folded + 1, upto).await?;
    store::locked::write_balances(&mut tx, state.take_touched(), folded).await?;
    store::accounts::set_folded(&mut tx, upto).await?;
    tx.commit().await
}
