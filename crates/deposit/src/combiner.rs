//! Commands that arrive while a commit is under way share the next one.
//!
//! Callers push their commands and await their own outcomes; one lane takes whatever has queued, up to a limit,
//! and posts it as one batch. While a batch is flushed the next is already decided. A full queue says "busy".

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use jangbu_platform::db::Fault;
use jangbu_platform::defect::planted;
use jangbu_platform::{probe, task};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::domain::command::Command;
use crate::flows::post::{Answers, COMMANDS_PER_BATCH_MAX, Lane, Outcome, post};
use crate::ledger::Ledger;
use crate::pipeline::Room;

/// Commands that may wait in the queue.
const COMMANDS_QUEUED_MAX: usize = 65_536;
/// Tries that fail one after the other before it is the store that fails, and not a command. Halving comes to a lone
/// command in thirteen.
const TRIES_IN_VAIN_MAX: u32 = 32;

const _: () = assert!(COMMANDS_PER_BATCH_MAX < 1 << (TRIES_IN_VAIN_MAX / 2), "a culprit is found before that");

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
        task::spawn(run(ledger, requests));
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
    let (mut left_over, mut lane) = (None, Lane::default());
    loop {
        let first = match left_over.take() {
            Some(request) => request,
            None => {
                let next = tokio::select! {
                    next = requests.recv() => next,
                    never = lane.rest() => match never {},
                };
                let Some(next) = next else { return };
                next
            }
        };
        // Taken before the queue is emptied: whatever comes while there is no room shares this batch.
        let room = tokio::select! {
            biased;
            room = ledger.room() => room,
            never = lane.rest() => match never {},
        };
        lane.ready(&ledger).await;
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
        post_batch(&ledger, &mut lane, room, batch).await;
    }
}

/// One who waits: how many of the outcomes are his, and where they go. His places in the queue are freed with him.
struct Waiter {
    count: usize,
    answer: oneshot::Sender<Result<Vec<Outcome>, Fault>>,
    _places: tokio::sync::OwnedSemaphorePermit,
}

/// Posts what has gathered; a batch that hits a fault is retried by halves until the culprit stands alone. When everything
/// fails all are told so: each try reads memory anew.
async fn post_batch(ledger: &Arc<Ledger>, lane: &mut Lane, room: Room, batch: Vec<Request>) {
    let mut commands = Vec::with_capacity(batch.iter().map(|r| r.commands.len()).sum());
    let mut waiters = Vec::with_capacity(batch.len());
    for request in batch {
        let Request { commands: mut own, answer, _places } = request;
        waiters.push(Waiter { count: own.len(), answer, _places });
        commands.append(&mut own);
    }
    let mut parts = vec![(waiters, commands)];
    let mut room = Some(room);
    let mut in_vain = 0;
    while let Some((mut waiters, commands)) = parts.pop() {
        let room = match room.take() {
            Some(room) => room,
            None => ledger.room().await,
        };
        // The lane outlives a bug: memory is read anew, and those behind it are served.
        let posted = AssertUnwindSafe(post(ledger, lane, room, commands)).catch_unwind().await;
        let bug = |_| Err((Fault::Damaged("deciding a batch panicked".into()), None));
        match posted.map_or_else(bug, |posted| posted.map_err(|(fault, commands)| (fault, Some(commands)))) {
            Ok(answers) => {
                in_vain = 0;
                drop(task::spawn(answer(waiters, answers)));
            }
            Err((_, Some(mut commands))) if waiters.len() > 1 && in_vain < TRIES_IN_VAIN_MAX => {
                in_vain += 1;
                probe::reached("batch-of-several-callers-tried-by-halves");
                let half = waiters.split_off(waiters.len() / 2);
                let first: usize = waiters.iter().map(|w| w.count).sum();
                let rest = commands.split_off(first);
                parts.extend([(half, rest), (waiters, commands)]);
            }
            Err((fault, _)) => {
                in_vain += 1;
                if in_vain > TRIES_IN_VAIN_MAX {
                    waiters.extend(parts.drain(..).flat_map(|(waiters, _)| waiters));
                }
                for waiter in waiters {
                    let _ = waiter.answer.send(Err(fault.clone())); // a caller who left doesn't hear it
                }
            }
        }
    }
}

async fn answer(mut waiters: Vec<Waiter>, answers: Answers) {
    if planted("answers-crossed") {
        waiters.reverse();
    }
    match answers.await {
        Ok(outcomes) => {
            let mut outcomes = outcomes.into_iter();
            for waiter in waiters {
                let own = outcomes.by_ref().take(waiter.count).collect();
                let _ = waiter.answer.send(Ok(own)); // a caller who left doesn't hear it
            }
        }
        Err(fault) => {
            for waiter in waiters {
                let _ = waiter.answer.send(Err(fault.clone()));
            }
        }
    }
}
