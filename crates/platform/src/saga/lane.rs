//! Steps of many instances that came to an end at the same time are kept by one unit of work.

use std::sync::Arc;

use futures_util::FutureExt as _;
use jangbu_kernel::id::SagaId;
use jangbu_kernel::time::Timestamp;

use super::store::{self, Standing};
use super::{Held, Kind, Pace, Passage, Rest, STEPS_MAX, TRIES_MAX, Turn, micros, turn_ends, wait_ms};
use crate::db::{Db, Fault, Tx};
use crate::gather::Gather;
use crate::probe;

/// Steps kept by one unit of work at most.
const STEPS_PER_TX_MAX: usize = 128;
/// A step that was made, and what it came to.
pub(super) struct Made {
    pub(super) step: &'static str,
    pub(super) turn: Turn,
}

/// A state that an instance went through, and what it came to there, before its step was kept.
pub(super) struct Through {
    pub(super) before: String,
    pub(super) turn: Turn,
    pub(super) at: Timestamp,
}

/// What became of an instance whose step was kept.
pub(super) enum Kept {
    /// It goes on at once, and its turn lasts anew.
    Goes(Held),
    Rests(Rest),
}

struct Done {
    held: Held,
    through: Vec<Through>,
    /// Or why its state can't be read.
    made: Result<Made, String>,
    chance: u64,
}

/// The way to the tasks that write.
pub(super) struct Lane(Gather<Done, Kept>);

impl Lane {
    /// Starts the tasks; they end when the lane is dropped.
    pub(super) fn start(db: &Db, kind: Arc<dyn Kind>) -> Lane {
        Lane(Gather::writing(STEPS_PER_TX_MAX, db, "saga.step", move |tx, done: &[Done]| {
            let kind = Arc::clone(&kind);
            async move { write(tx, kind.as_ref(), done).await }.boxed()
        }))
    }

    /// Keeps what a step came to.
    pub(super) async fn keep(
        &self,
        held: Held,
        through: Vec<Through>,
        made: Result<Made, String>,
        chance: u64,
    ) -> Result<Kept, Fault> {
        self.0.ask(Done { held, through, made, chance }).await
    }
}

/// Keeps steps in one unit of work.
async fn write(mut tx: Tx, kind: &dyn Kind, batch: &[Done]) -> Result<Vec<Kept>, Fault> {
    let ids: Vec<SagaId> = batch.iter().map(|done| done.held.id).collect();
    let fences = store::fences(&mut tx, &ids).await?;
    let is_held = |done: &Done| fences.get(&done.held.id) == Some(&done.held.fence);
    let now = tx.now();
    let passages: Vec<Passage<'_>> =
        batch.iter().filter(|done| is_held(done)).flat_map(|done| passages(done, now)).collect();
    if !passages.is_empty() {
        kind.write(&mut tx, &passages).await?;
    }
    let after = |done: &Done| if is_held(done) { leads(kind, done, now) } else { After::TakenOver };
    let after: Vec<After> = batch.iter().map(after).collect();
    if after.iter().any(|after| matches!(after, After::TakenOver)) {
        probe::reached("saga-turn-taken-over");
    }
    let standing: Vec<Standing<'_>> =
        batch.iter().zip(&after).filter_map(|(done, after)| after.standing(done)).collect();
    store::update(&mut tx, kind.name(), &standing).await?;
    let is_over = |(done, after): (&Done, &After)| matches!(after, After::Over(_)).then_some(done.held.id);
    let over: Vec<SagaId> = batch.iter().zip(&after).filter_map(is_over).collect();
    store::end(&mut tx, &over).await?;
    tx.commit().await?;
    Ok(after.into_iter().map(After::kept).collect())
}

fn passages(done: &Done, now: Timestamp) -> impl Iterator<Item = Passage<'_>> {
    let id = done.held.id;
    let last = done.made.iter().map(move |made| Passage { id, before: &done.held.state, turn: &made.turn, at: now });
    done.through.iter().map(move |Through { before, turn, at }| Passage { id, before, turn, at: *at }).chain(last)
}

/// What a step made of an instance.
enum After {
    TakenOver,
    Unreadable(String),
    Over(String),
    Stands { next: Held, due: Option<Timestamp>, pace: Pace },
}

fn leads(kind: &dyn Kind, done: &Done, now: Timestamp) -> After {
    let held = &done.held;
    let Ok(Made { turn, .. }) = &done.made else { return After::Unreadable(held.state.clone()) };
    if turn.pace == Pace::End {
        return After::Over(turn.state.clone());
    }
    let next = Held {
        version: kind.version(),
        state: turn.state.clone(),
        steps: held.steps + 1,
        tries: if turn.pace == Pace::Again { held.tries + 1 } else { 0 },
        ..held.clone()
    };
    let goes_on = next.steps < STEPS_MAX && next.tries < TRIES_MAX;
    let due = if goes_on { due(&next, turn.pace, now, done.chance) } else { None };
    After::Stands { next, due, pace: turn.pace }
}

impl After {
    /// The row as it is to stand, where there is one of ours.
    fn standing<'a>(&'a self, done: &'a Done) -> Option<Standing<'a>> {
        match (self, &done.made) {
            (After::Unreadable(_), Err(why)) => Some(Standing { held: &done.held, step: "", due: None, why }),
            (After::Stands { next, due, .. }, Ok(Made { step, turn })) => {
                Some(Standing { held: next, step, due: *due, why: &turn.why })
            }
            _ => None,
        }
    }

    fn kept(self) -> Kept {
        match self {
            After::TakenOver => Kept::Rests(Rest::TakenOver),
            After::Unreadable(state) => Kept::Rests(Rest::Person(state)),
            After::Over(state) => Kept::Rests(Rest::Ended(state)),
            After::Stands { next, due: None, .. } => Kept::Rests(Rest::Person(next.state)),
            After::Stands { next, pace: Pace::On | Pace::Through, .. } => Kept::Goes(next),
            After::Stands { next, .. } => Kept::Rests(Rest::Waits(next.state)),
        }
    }
}

/// When an instance is taken next by others than its holder; none when a person has to say so.
fn due(next: &Held, pace: Pace, now: Timestamp, chance: u64) -> Option<Timestamp> {
    match pace {
        Pace::On | Pace::Through => Some(turn_ends(now)),
        Pace::After(ms) => Some(now.plus_micros(micros(ms))),
        Pace::Again => Some(now.plus_micros(micros(wait_ms(next.tries, chance)))),
        Pace::Person | Pace::End => None,
    }
}
