//! Commands that arrive while a commit is under way share the next one.
//!
//! Callers push their commands and await their own outcomes; one lane takes whatever has queued, up to a limit,
//! and posts it as one batch. While a batch is flushed the next is already decided. A full queue says "busy".

use std::sync::Arc;

use jangbu_platform::db::Fault;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::domain::command::Command;
use crate::flows::post::{COMMANDS_PER_BATCH_MAX, Outcome, post};
use crate::ledger::Ledger;

/// Commands that may wait in the queue.
const COMMANDS_QUEUED_MAX: usize = 65_536;

struct Request {
    commands: Vec<Command>,
    answer: oneshot::Sender<Result<Vec<Outcome>, Fault>>,
    // Gives its places in the queue back when dropped.
    _places: tokio::sync::OwnedSemaphorePermit,
}

/// The way in for commands.
#[derive(Clone)]
pub struct Combiner {
    queue: mpsc::UnboundedSender<Request>,
    places: Arc<Semaphore>,
}

impl Combiner {
    /// Starts the lane of a ledger; it ends when the last combiner is dropped.
    #[must_use]
    pub fn start(ledger: Arc<Ledger>) -> Combiner {
        let (queue, requests) = mpsc::unbounded_channel();
        tokio::spawn(run(ledger, requests));
        Combiner { queue, places: Arc::new(Semaphore::new(COMMANDS_QUEUED_MAX)) }
    }

    /// Posts commands, each accepted or refused on its own; at most [`COMMANDS_PER_BATCH_MAX`].
    ///
    /// # Errors
    /// [`Fault::Busy`] at once when the queue is full; otherwise nothing is known but by asking by key.
    pub async fn post(&self, commands: Vec<Command>) -> Result<Vec<Outcome>, Fault> {
        let count = u32::try_from(commands.len().clamp(1, COMMANDS_PER_BATCH_MAX)).unwrap_or(u32::MAX);
        let places = Arc::clone(&self.places).try_acquire_many_owned(count);
        let places = places.map_err(|_| Fault::Busy("too many commands wait".into()))?;
        let (answer, answered) = oneshot::channel();
        let gone = || Fault::Unavailable("the ledger is shutting down".into());
        self.queue.send(Request { commands, answer, _places: places }).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn run(ledger: Arc<Ledger>, mut requests: mpsc::UnboundedReceiver<Request>) {
    let mut left_over = None;
    loop {
        let first = match left_over.take() {
            Some(request) => request,
            None => match requests.recv().await {
                Some(request) => request,
                None => return,
            },
        };
        let mut count = first.commands.len();
        let mut batch = vec![first];
        while let Ok(request) = requests.try_recv() {
            if count + request.commands.len() > COMMANDS_PER_BATCH_MAX {
                left_over = Some(request);
                break;
            }
            count += request.commands.len();
            batch.push(request);
        }
        post_batch(&ledger, batch).await;
    }
}

/// Posts what has gathered; a batch that hits a fault is retried by halves until the culprit stands alone.
async fn post_batch(ledger: &Arc<Ledger>, batch: Vec<Request>) {
    let mut waiting = vec![batch];
    while let Some(mut batch) = waiting.pop() {
        let commands: Vec<Command> = match batch.as_mut_slice() {
            [only] => std::mem::take(&mut only.commands),
            many => many.iter().flat_map(|r| r.commands.iter().cloned()).collect(),
        };
        match post(ledger, &commands).await {
            Ok((outcomes, flush)) => {
                tokio::spawn(answer(Arc::clone(ledger), batch, commands, outcomes, flush));
            }
            Err(fault) if batch.len() == 1 => {
                for request in batch {
                    let _ = request.answer.send(Err(fault.clone())); // a caller who left doesn't hear it
                }
            }
            Err(_) => {
                let half = batch.split_off(batch.len() / 2);
                waiting.extend([half, batch]);
            }
        }
    }
}

async fn answer(
    ledger: Arc<Ledger>,
    batch: Vec<Request>,
    commands: Vec<Command>,
    outcomes: Vec<Outcome>,
    flush: crate::ledger::Flush,
) {
    let flushed = flush.await;
    let highest = outcomes.iter().filter_map(|o| match o {
        Outcome::Posted(posted, _) => Some(posted.posting.seq),
        _ => None,
    });
    if flushed.is_ok() {
        ledger.flushed(highest.max().unwrap_or(0));
    }
    let single = batch.len() == 1;
    let mut outcomes = outcomes.into_iter();
    for request in batch {
        let count = if single { commands.len() } else { request.commands.len() };
        let own: Vec<Outcome> = outcomes.by_ref().take(count).collect();
        let _ = request.answer.send(flushed.clone().map(|()| own)); // a caller who left doesn't hear it
    }
}
