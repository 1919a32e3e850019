//! Sagas: business that needs several services, carried on step by step and never left half done.
//!
//! An instance is a row while it runs. A step is one call, under a key made of the instance and the step, so that a
//! repeat does nothing; what came of it and all that the service writes for it are one unit of work. Whoever carries
//! an instance on holds its turn: an instant until which others leave it alone, and a number that grows each time it
//! is taken. Who lost his turn writes nothing, and what he asked for has been asked under the same key.
//!
//! | the call was | the instance |
//! |---|---|
//! | answered, or refused | goes on as its plan says |
//! | of unknown outcome | goes on as its plan says, mostly by asking for its own reference; never by assuming |
//! | again unknown | waits 30 s, then twice as long each time, up to an hour |
//! | unknown [`TRIES_MAX`] times | waits for a person |
//!
//! A plan may go *through* a state: what the step before came to is kept together with the next one. Whoever takes over
//! meanwhile makes the step before again, under its key, and hears the same; a plan that gives up in between has to
//! reckon with the next step's having been made.
//!
//! | per | statements |
//! |---|---|
//! | beginning | one row, in the unit of work of who begins it |
//! | steps kept together | one read, one write, and the service's own, for all of them |
//! | look of the sweep | one read, one write per instance taken |

mod lane;
mod store;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Method;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_kernel::defect::planted;
use jangbu_kernel::id::SagaId;
use jangbu_kernel::time::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::ask::{Ask, Call, Outcome, REPLY_MS_MAX, Reply};
use crate::clock::ticks;
use crate::context::{Context, Trace};
use crate::db::{Db, Fault, Tx};
use crate::dice::Dice;
use crate::service::Job;
use crate::{probe, task};
pub use store::{Row, find, forget, waiting_for_a_person};

/// The table of instances; a service with sagas has it among its migrations.
pub const SCHEMA: &str = include_str!("../migrations/saga.sql");

/// How long a turn lasts from one step to the next, in milliseconds. Longer than any call: else an instance would be
/// taken from who still waits for an answer.
pub const TURN_MS: u64 = 20_000;
/// The first wait for what is not known, in milliseconds: time for the other to come back.
pub const WAIT_MS_FIRST: u64 = 30_000;
/// The longest wait, in milliseconds.
pub const WAIT_MS_MAX: u64 = 3_600_000;
/// How often one step is tried before it waits for a person.
pub const TRIES_MAX: u32 = 12;
/// Steps of one instance at most; a plan that goes in circles ends before a person.
pub const STEPS_MAX: u32 = 200;
/// Instances taken by one look of the sweep.
pub const INSTANCES_PER_SWEEP_MAX: u32 = 256;
/// Instances that sweeps of one process carry on at once.
pub const SWEPT_UNDER_WAY_MAX: usize = 1_024;
/// A turn that is older is not carried through a state without being kept: the next call needs what is left of it.
const THROUGH_MS_MAX: u64 = TURN_MS - REPLY_MS_MAX - 5_000;
/// How often the sweep looks, in milliseconds.
const SWEEP_EVERY_MS: u64 = 500;
/// Longest reason that is kept, in characters.
const WHY_CHARS_MAX: usize = 500;

/// One call to another service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name; at most 32 characters.
    pub name: &'static str,
    /// The step whose key the call carries: mostly its own. None for calls that change nothing.
    pub key_of: Option<&'static str>,
    /// Name of the service.
    pub service: &'static str,
    /// Method.
    pub method: Method,
    /// Path below `/{service}/v1`, with its query.
    pub path: String,
    /// JSON; empty when there is none.
    pub body: Bytes,
}

/// How an instance goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    On,
    /// At once, and kept together with what comes next.
    Through,
    /// Not before so many milliseconds have passed.
    After(u64),
    /// It is still not known: after a wait that grows from try to try.
    Again,
    /// It has ended.
    End,
    /// Only when a person says so.
    Person,
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The state after it, as the plan writes it.
    pub state: String,
    /// How it goes on.
    pub pace: Pace,
    /// Why, for people.
    pub why: String,
}

/// A kind of saga: its plan, which is pure, and what its service writes along the way.
pub trait Kind: Send + Sync {
    /// Its name in the table; at most 32 characters.
    fn name(&self) -> &'static str;
    /// The version in which states are written today.
    fn version(&self) -> i64;
    /// The step of an instance in a state.
    ///
    /// # Errors
    /// The state can't be read, or belongs to a version that this code does not know; the text says which.
    fn next(&self, id: SagaId, version: i64, state: &str, now: Timestamp) -> Result<Step, String>;
    /// Where the outcome of that step leads; the new state is of today's version.
    ///
    /// # Errors
    /// As for [`Kind::next`].
    fn heard(
        &self,
        version: i64,
        state: &str,
        step: &Step,
        outcome: &Outcome<Reply>,
        now: Timestamp,
    ) -> Result<Turn, String>;
    /// Makes a step's call, in the context of the instance; in its own way where calls of several can go together.
    fn call<'a>(&'a self, ask: &'a Ask, call: Call<'a>) -> BoxFuture<'a, Outcome<Reply>> {
        async move { ask.call(&call).await }.boxed()
    }
    /// Writes what belongs to passages from one state to another, of an instance each, in the unit of work that keeps
    /// them. Told of steps that change nothing too; of an instance that went through a state, each passage in order.
    fn write<'a>(&'a self, tx: &'a mut Tx, passages: &'a [Passage<'a>]) -> BoxFuture<'a, Result<(), Fault>>;
}

/// A step of an instance that is being kept.
#[derive(Clone, Copy, Debug)]
pub struct Passage<'a> {
    /// The instance.
    pub id: SagaId,
    /// Its state before.
    pub before: &'a str,
    /// What the step came to.
    pub turn: &'a Turn,
    /// When that was heard, or is kept.
    pub at: Timestamp,
}

/// An instance whose turn somebody has.
#[must_use = "an instance that is held and not run waits until its turn is over"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub id: SagaId,
    version: i64,
    state: String,
    steps: u32,
    tries: u32,
    fence: i64,
    began_at: Timestamp,
}

/// Where an instance came to rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It has ended, in that state.
    Ended(String),
    /// It is not decided yet and will be carried on.
    Waits(String),
    /// It waits for a person.
    Person(String),
    /// Somebody else carries it on.
    TakenOver,
}

/// The key of a step's call.
#[must_use]
pub fn key(id: SagaId, step: &str) -> String {
    format!("{id}:{step}")
}

/// Carries instances of one kind on. Cheap to clone.
#[derive(Clone)]
pub struct Runner(Arc<Inner>);

struct Inner {
    kind: Arc<dyn Kind>,
    db: Db,
    ask: Ask,
    dice: Dice,
    lane: lane::Lane,
    room: Arc<Semaphore>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Runner({})", self.0.kind.name())
    }
}

impl Runner {
    /// A runner, with the tasks that write for it.
    #[must_use]
    pub fn start(kind: Arc<dyn Kind>, db: Db, ask: Ask, dice: Dice) -> Runner {
        let lane = lane::Lane::start(&db, Arc::clone(&kind));
        let room = Arc::new(Semaphore::new(SWEPT_UNDER_WAY_MAX));
        Runner(Arc::new(Inner { kind, db, ask, dice, lane, room }))
    }

    /// Begins an instance in the caller's unit of work, who has its first turn: once that is committed, he runs it,
    /// or the sweep does after [`TURN_MS`].
    ///
    /// # Errors
    /// The engine failed, or the id is taken.
    pub async fn begin(&self, tx: &mut Tx, id: SagaId, state: String) -> Result<Held, Fault> {
        let mut held = self.begin_all(tx, vec![(id, state)]).await?;
        Ok(held.pop().expect("one was begun"))
    }

    /// The same for several instances.
    ///
    /// # Errors
    /// As [`Runner::begin`]; none was begun.
    pub async fn begin_all(&self, tx: &mut Tx, begun: Vec<(SagaId, String)>) -> Result<Vec<Held>, Fault> {
        let (kind, began_at) = (self.0.kind.as_ref(), tx.now());
        let version = kind.version();
        let new = |(id, state)| Held { id, version, state, steps: 0, tries: 0, fence: 1, began_at };
        let held: Vec<Held> = begun.into_iter().map(new).collect();
        store::insert(tx, kind.name(), &held, turn_ends(began_at)).await?;
        Ok(held)
    }

    /// Runs an instance in a task of its own, which goes on when nobody waits for it any more.
    pub fn go(&self, held: Held) -> JoinHandle<Result<Rest, Fault>> {
        let (runner, trace) = (self.clone(), Context::current().map(|context| context.trace));
        task::spawn(async move { runner.run(held, trace).await })
    }

    /// Runs an instance until it rests.
    async fn run(&self, mut held: Held, trace: Option<Trace>) -> Result<Rest, Fault> {
        let (mut through, mut since) = (Vec::new(), ticks());
        loop {
            let made = self.step(&held, trace).await;
            if let Ok(lane::Made { turn, .. }) = &made
                && turn.pace == Pace::Through
                && ticks() - since < Duration::from_millis(THROUGH_MS_MAX)
            {
                let before = std::mem::replace(&mut held.state, turn.state.clone());
                (held.version, held.steps, held.tries) = (self.0.kind.version(), held.steps + 1, 0);
                through.push(lane::Through { before, turn: turn.clone(), at: self.0.db.now() });
                continue;
            }
            match self.0.lane.keep(held, std::mem::take(&mut through), made, self.0.dice.u64()).await? {
                lane::Kept::Goes(next) => (held, since) = (next, ticks()),
                lane::Kept::Rests(rest) => return Ok(rest),
            }
        }
    }

    /// Makes the call of the step that the instance stands before. Fails when its state can't be read.
    async fn step(&self, held: &Held, trace: Option<Trace>) -> Result<lane::Made, String> {
        let Inner { kind, db, ask, dice, .. } = self.0.as_ref();
        let step = kind.next(held.id, held.version, &held.state, db.now())?;
        let anew = if planted("saga-key-anew") { held.steps.to_string() } else { String::new() };
        let key = step.key_of.map(|name| key(held.id, name) + &anew);
        let call = Call {
            service: step.service,
            method: step.method.clone(),
            path: &step.path,
            key: key.as_deref(),
            body: step.body.clone(),
        };
        // Each step has all its time, whatever is left to who asked for the whole.
        let deadline = ticks() + Duration::from_millis(REPLY_MS_MAX);
        let context = Context { trace: trace.unwrap_or_else(|| Trace::root(dice)), deadline };
        let outcome = settled(&step, context.scope(kind.call(ask, call)).await);
        let turn = kind.heard(held.version, &held.state, &step, &outcome, db.now())?;
        Ok(lane::Made { step: step.name, turn })
    }

    /// Takes the instances that nobody carries on, because their wait is over or who had their turn is gone, and runs
    /// each in a task of its own.
    ///
    /// # Errors
    /// The engine failed; an instance whose own step can't be kept is taken again when its turn is over.
    pub async fn sweep(&self) -> Result<Vec<JoinHandle<Result<Rest, Fault>>>, Fault> {
        let taken = self.take_due().await?;
        let runs = taken.into_iter().map(|(held, place)| {
            let runner = self.clone();
            task::spawn(async move {
                let _place = place;
                let rest = runner.run(held, None).await;
                if let Err(e) = &rest {
                    let saga = runner.0.kind.name();
                    tracing::warn!(saga, error = %e, "a step could not be kept; it will be repeated");
                }
                rest
            })
        });
        Ok(runs.collect())
    }

    async fn take_due(&self) -> Result<Vec<(Held, OwnedSemaphorePermit)>, Fault> {
        let Inner { kind, db, room, .. } = self.0.as_ref();
        let mut tx = db.read("saga.due").await?;
        // Looked at without a lock first: mostly there is nothing.
        if store::next_due(&mut tx, kind.name()).await?.is_none_or(|due| due > tx.now().micros()) {
            return Ok(Vec::new());
        }
        drop(tx);
        let places: Vec<_> =
            (0..INSTANCES_PER_SWEEP_MAX).map_while(|_| room.clone().try_acquire_owned().ok()).collect();
        let limit = u32::try_from(places.len()).unwrap_or(INSTANCES_PER_SWEEP_MAX);
        let mut tx = db.begin("saga.take").await?;
        let until = turn_ends(tx.now());
        let taken = store::take_due(&mut tx, kind.name(), until, limit).await?;
        tx.commit().await?;
        if taken.iter().any(|held| held.steps == 0) {
            probe::reached("saga-left-behind-before-its-first-step");
        }
        Ok(taken.into_iter().zip(places).collect())
    }

    /// When the sweep has something to do next, if ever.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, Fault> {
        let mut tx = self.0.db.read("saga.next_due").await?;
        Ok(store::next_due(&mut tx, self.0.kind.name()).await?.map(Timestamp::from_micros))
    }

    /// The sweep as regular work.
    #[must_use]
    pub fn job(&self, name: &'static str) -> Job {
        let (sweeper, waker) = (self.clone(), self.clone());
        let run = move |_| -> BoxFuture<'static, Result<(), Fault>> {
            let runner = sweeper.clone();
            async move { runner.sweep().await.map(drop) }.boxed()
        };
        let due = move || -> BoxFuture<'static, Result<Option<Timestamp>, Fault>> {
            let runner = waker.clone();
            async move { runner.next_due().await }.boxed()
        };
        Job { name, every_ms: SWEEP_EVERY_MS, run: Box::new(run), due: Some(Box::new(due)) }
    }

    /// Has an instance that waits for a person, or for the end of a growing wait, carried on by the next sweep, with
    /// all its tries before it, in the caller's unit of work; false when there is none that waits so.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn retry(&self, tx: &mut Tx, id: SagaId) -> Result<bool, Fault> {
        store::retry(tx, id).await
    }
}

/// What a plan hears. Only what the other keeps under the key is a refusal of a command: any other no ("forbidden",
/// "busy") says nothing of an earlier try of the same step whose answer was lost.
fn settled(step: &Step, outcome: Outcome<Reply>) -> Outcome<Reply> {
    match outcome {
        Outcome::Refusal(problem) if step.key_of.is_some() && problem.status != 422 => {
            Outcome::Unknown(format!("{} turned it away: {} {}", step.service, problem.code, problem.detail))
        }
        other => other,
    }
}

fn micros(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000)
}

fn turn_ends(now: Timestamp) -> Timestamp {
    now.plus_micros(micros(TURN_MS))
}

/// How long to wait after so many tries, in milliseconds: chance adds up to an eighth, so that those whom one outage
/// stopped don't come back together.
fn wait_ms(tries: u32, chance: u64) -> u64 {
    let wait = WAIT_MS_FIRST.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(WAIT_MS_MAX);
    wait + chance % (wait / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_half_a_minute_to_an_hour() {
        let waits: Vec<u64> = (1..=9).map(|tries| wait_ms(tries, 0) / 1_000).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
        assert!(wait_ms(1, u64::MAX) < 30_000 + 30_000 / 8);
        assert!(wait_ms(TRIES_MAX, u64::MAX) < WAIT_MS_MAX + WAIT_MS_MAX / 8);
    }
}
