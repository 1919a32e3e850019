//! Steps of many instances that came to an end at the same time are kept by one unit of work.

use std::sync::Arc;

use jangbu_kernel::time::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::{Held, Kind, Pace, Rest, STEPS_MAX, TRIES_MAX, Turn, micros, store, turn_ends, wait_ms};
use crate::db::{Db, Fault, Tx};
use crate::{probe, task};

/// Steps kept by one unit of work at most.
const STEPS_PER_TX_MAX: usize = 128;
/// Steps that wait for the lane at most; who comes then waits for room.
const STEPS_QUEUED_MAX: usize = 4_096;

/// A step that was made, and what it came to.
pub(super) struct Made {
    pub(super) step: &'static str,
    pub(super) turn: Turn,
}

/// What became of an instance whose step was kept.
pub(super) enum Kept {
    /// It goes on at once, and its turn lasts anew.
    Goes(Held),
    Rests(Rest),
}

struct Done {
    held: Held,
    /// Or why its state can't be read.
    made: Result<Made, String>,
    chance: u64,
    answer: oneshot::Sender<Result<Kept, Fault>>,
}

/// The way to the task that writes.
pub(super) struct Lane(mpsc::Sender<Done>);

impl Lane {
    /// Starts the task; it ends when the lane is dropped.
    pub(super) fn start(db: Db, kind: Arc<dyn Kind>) -> Lane {
        let (queue, mut done) = mpsc::channel(STEPS_QUEUED_MAX);
        task::spawn(async move {
            let mut batch = Vec::new();
            while done.recv_many(&mut batch, STEPS_PER_TX_MAX).await > 0 {
                keep(&db, &kind, std::mem::take(&mut batch)).await;
            }
        });
        Lane(queue)
    }

    /// Keeps what a step came to.
    pub(super) async fn keep(&self, held: Held, made: Result<Made, String>, chance: u64) -> Result<Kept, Fault> {
        let (answer, kept) = oneshot::channel();
        let gone = || Fault::Unavailable("sagas are shutting down".into());
        self.0.send(Done { held, made, chance, answer }).await.map_err(|_| gone())?;
        kept.await.map_err(|_| gone())?
    }
}

/// Keeps a batch; when that fails, each alone, so that one which can't be kept holds up nobody.
async fn keep(db: &Db, kind: &Arc<dyn Kind>, batch: Vec<Done>) {
    let together = write(db, kind, &batch).await;
    match together {
        Ok(kept) => answer(batch.into_iter().zip(kept.into_iter().map(Ok))),
        Err(e) if batch.len() == 1 => answer(batch.into_iter().zip([Err(e)])),
        Err(_) => {
            for one in batch {
                let alone = std::slice::from_ref(&one);
                let kept = write(db, kind, alone).await.map(|mut kept| kept.pop());
                let kept = kept.and_then(|kept| kept.ok_or_else(|| Fault::Damaged("a step without answer".into())));
                answer([(one, kept)]);
            }
        }
    }
}

fn answer(kept: impl IntoIterator<Item = (Done, Result<Kept, Fault>)>) {
    for (done, kept) in kept {
        let _ = done.answer.send(kept); // who no longer waits finds it in the table
    }
}

async fn write(db: &Db, kind: &Arc<dyn Kind>, batch: &[Done]) -> Result<Vec<Kept>, Fault> {
    let mut tx = db.begin("saga.step").await?;
    let mut kept = Vec::with_capacity(batch.len());
    for done in batch {
        kept.push(write_one(&mut tx, kind, done).await?);
    }
    tx.commit().await?;
    Ok(kept)
}

async fn write_one(tx: &mut Tx, kind: &Arc<dyn Kind>, done: &Done) -> Result<Kept, Fault> {
    let Done { held, made, chance, .. } = done;
    if !store::is_held(tx, held).await? {
        probe::reached("saga-turn-taken-over");
        return Ok(Kept::Rests(Rest::TakenOver));
    }
    let Made { step, turn } = match made {
        Ok(made) => made,
        Err(why) => {
            store::update(tx, held, "", None, why).await?;
            return Ok(Kept::Rests(Rest::Person(held.state.clone())));
        }
    };
    kind.write(tx, held.id, &held.state, turn).await?;
    if turn.pace == Pace::End {
        store::forget(tx, held.id).await?;
        return Ok(Kept::Rests(Rest::Ended(turn.state.clone())));
    }
    let next = Held {
        version: kind.version(),
        state: turn.state.clone(),
        steps: held.steps + 1,
        tries: if turn.pace == Pace::Again { held.tries + 1 } else { 0 },
        ..held.clone()
    };
    let due =
        if next.steps < STEPS_MAX && next.tries < TRIES_MAX { due(&next, turn.pace, tx.now(), *chance) } else { None };
    store::update(tx, &next, step, due, &turn.why).await?;
    Ok(match (due, turn.pace) {
        (None, _) => Kept::Rests(Rest::Person(next.state)),
        (Some(_), Pace::On) => Kept::Goes(next),
        (Some(_), _) => Kept::Rests(Rest::Waits(next.state)),
    })
}

/// When an instance is taken next by others than its holder; none when a person has to say so.
fn due(next: &Held, pace: Pace, now: Timestamp, chance: u64) -> Option<Timestamp> {
    match pace {
        Pace::On => Some(turn_ends(now)),
        Pace::After(ms) => Some(now.plus_micros(micros(ms))),
        Pace::Again => Some(now.plus_micros(micros(wait_ms(next.tries, chance)))),
        Pace::Person | Pace::End => None,
    }
}
