//! Decided batches on their way into the store: while one is written and flushed, the next is already decided.
//!
//! One task writes them in the order of decisions. Whatever waits when it has the writer's turn goes into one unit of
//! work and shares its flush. When a batch can't be written, all that was decided after it rests on sand: its whole
//! generation is refused, and memory is read anew.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use jangbu_platform::db::{Db, Fault, Tx};
use jangbu_platform::defect::planted;
use jangbu_platform::{probe, task};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::domain::book::Account;
use crate::flows::post::Batch;
use crate::store;

/// Batches decided and not yet written: one that waits while one is written.
pub const BATCHES_UNDER_WAY_MAX: usize = 2;
/// The same on a database that others write too, where they wait for the same place; what is left behind them is bounded
/// by itself.
const BATCHES_UNDER_WAY_MAX_SHARED: usize = 8;

/// The end of a flush, for all who wait for it.
pub type Flush = Shared<BoxFuture<'static, Result<(), Fault>>>;

/// A place among the batches under way.
pub type Room = OwnedSemaphorePermit;

/// What is written in the order of decisions.
pub(crate) enum Work {
    /// A batch of commands.
    Postings(Batch),
    /// Accounts as they are by now.
    Balances(Vec<Account>),
    /// All balances are written back up to here.
    Folded(u64),
}

/// Work that was sent on its way.
pub(crate) struct Sent {
    /// Ends when it is durable.
    pub flush: Flush,
    /// Gives the work back once it is written.
    pub back: oneshot::Receiver<Work>,
}

struct Job {
    generation: u64,
    work: Work,
    begun: oneshot::Sender<Result<Flush, Fault>>,
    back: oneshot::Sender<Work>,
    _room: Room,
}

struct Shore {
    db: Db,
    /// The greatest generation that failed.
    failed: AtomicU64,
    /// What the store had lost when the newest generation began.
    lost: AtomicU64,
}

/// The way of an instance's batches into its store.
pub(crate) struct Pipeline {
    room: Arc<Semaphore>,
    jobs: mpsc::UnboundedSender<Job>,
    shore: Arc<Shore>,
    generation: AtomicU64,
}

/// What those are told who wait for work that nobody ends any more.
pub(crate) fn gone() -> Fault {
    Fault::Unavailable("the ledger is shutting down".into())
}

impl Pipeline {
    /// Starts the writing task, which ends with the pipeline.
    pub fn start(db: Db) -> Pipeline {
        let (jobs, waiting) = mpsc::unbounded_channel(); // bounded by the room
        let room = if db.sole_owner() { BATCHES_UNDER_WAY_MAX } else { BATCHES_UNDER_WAY_MAX_SHARED };
        let shore = Arc::new(Shore { db, failed: AtomicU64::new(0), lost: AtomicU64::new(0) });
        task::spawn(run(Arc::clone(&shore), waiting));
        let room = Arc::new(Semaphore::new(room));
        Pipeline { room, jobs, shore, generation: AtomicU64::new(0) }
    }

    /// Takes some of the room, in the order of asking.
    pub async fn room(&self, places: usize) -> Room {
        let places = u32::try_from(places).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(places).await;
        room.expect("the room is never closed")
    }

    /// A generation of decisions that none before it can fail. Call it while nobody else writes: what the store loses from
    /// now on, this generation loses.
    pub fn next_generation(&self) -> u64 {
        self.shore.lost.store(self.shore.db.lost(), Ordering::SeqCst);
        self.generation.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Sends work on its way.
    pub fn send(&self, generation: u64, room: Room, work: Work) -> Sent {
        let (begun, beginning) = oneshot::channel();
        let (back, returning) = oneshot::channel();
        let _ = self.jobs.send(Job { generation, work, begun, back, _room: room }); // without a writer, both ends hear it
        let flush = async move { beginning.await.map_err(|_| gone())??.await };
        Sent { flush: flush.boxed().shared(), back: returning }
    }

    /// Whether decisions of a generation can still come to stand.
    ///
    /// # Errors
    /// Something before them failed.
    pub fn usable(&self, generation: u64) -> Result<(), Fault> {
        self.shore.usable(generation)
    }
}

impl Shore {
    /// Within a unit of work this is certain; elsewhere a flush under way may still fail.
    fn usable(&self, generation: u64) -> Result<(), Fault> {
        let lost = self.db.lost() != self.lost.load(Ordering::SeqCst) && !planted("flush-lost-ignored");
        if lost || self.failed.load(Ordering::SeqCst) >= generation {
            return Err(Fault::Busy("an earlier commit failed; try again".into()));
        }
        Ok(())
    }

    async fn write(&self, tx: Result<Tx, Fault>, generation: u64, group: &[Job]) -> Result<Flush, Fault> {
        let mut tx = tx?;
        if !planted("written-on-sand") {
            self.usable(generation)?;
        }
        for job in group {
            match &job.work {
                Work::Postings(batch) => batch.store(&mut tx).await?,
                Work::Balances(accounts) => {
                    for account in accounts {
                        store::accounts::write_balance(&mut tx, account).await?;
                    }
                }
                Work::Folded(seq) => store::accounts::set_folded(&mut tx, *seq).await?,
            }
        }
        Ok(tx.finish().await?.shared())
    }
}

async fn run(shore: Arc<Shore>, mut jobs: mpsc::UnboundedReceiver<Job>) {
    while let Some(first) = jobs.recv().await {
        let generation = first.generation;
        let tx = shore.db.begin("deposit.write").await;
        let mut group = vec![first];
        while let Ok(job) = jobs.try_recv() {
            group.push(job);
        }
        if group.len() > 1 {
            probe::reached("batches-written-by-one-unit-of-work");
        }
        // Should a bug end it midway, nothing of it stands; the next generation goes on.
        let begun = AssertUnwindSafe(shore.write(tx, generation, &group)).catch_unwind().await;
        let begun = begun.unwrap_or_else(|_| Err(Fault::Damaged("writing a batch panicked".into())));
        if begun.is_err() {
            probe::reached("batches-refused-with-their-generation");
            shore.failed.fetch_max(generation, Ordering::SeqCst);
        }
        for job in group {
            let _ = job.begun.send(begun.clone()); // whoever left doesn't hear it
            let _ = job.back.send(job.work);
        }
    }
}
