//! `POST /sim/v1/clock`: a clock that is moved by hand, and everything that is due on the way.
//!
//! The clock stops at each instant at which some job has work: the job runs, its events arrive everywhere, and only
//! then does time go on. So a year passes in order, whatever its length.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use jangbu_contracts::codes::Code;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::clock::{Clock, ManualClock};
use jangbu_platform::db::Fault;
use jangbu_platform::http::{Known, Refused, Strict, json};
use jangbu_platform::log::Log;
use jangbu_platform::running::{Part, settle};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::bank::Bank;

/// Instants at which one move may stop.
const STOPS_MAX: usize = 100_000;

/// A clock moved by hand, with the bank whose time it is.
pub struct Hand {
    clock: Arc<ManualClock>,
    parts: Arc<Vec<Arc<Part>>>,
    log: Log,
    // One move at a time.
    moving: Mutex<()>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    to: Timestamp,
}

#[derive(Serialize)]
struct Shown {
    now: Timestamp,
}

/// The calls under `/sim/v1`.
pub fn router(bank: &Bank, clock: Arc<ManualClock>) -> Router {
    let hand = Hand { clock, parts: Arc::clone(&bank.parts), log: bank.log.clone(), moving: Mutex::default() };
    Router::new().route("/sim/v1/clock", post(set).get(show)).with_state(Arc::new(hand))
}

async fn show(State(hand): State<Arc<Hand>>, _: Known) -> Result<Response, Refused> {
    json(200, &Shown { now: hand.clock.now() }, false)
}

async fn set(State(hand): State<Arc<Hand>>, known: Known, Strict(body): Strict<Move>) -> Result<Response, Refused> {
    known.operator()?;
    // On a task of its own: a caller who leaves must not leave the clock between two stops.
    let moved = tokio::spawn(async move { hand.advance(body.to).await }).await;
    let moved = moved.map_err(|_| Refused::new(Code::Internal, "the clock could not be moved"))??;
    let now = moved.ok_or_else(|| Refused::field(Code::ClockBackwards, "to", "the clock goes forward only"))?;
    json(200, &Shown { now }, false)
}

impl Hand {
    /// Moves the clock to `to`, stopping wherever something is due; `None` when that lies in the past.
    async fn advance(&self, to: Timestamp) -> Result<Option<Timestamp>, Fault> {
        let _alone = self.moving.lock().await;
        if to < self.clock.now() {
            return Ok(None);
        }
        settle(&self.parts, &self.log).await?;
        for _ in 0..STOPS_MAX {
            let Some(stop) = self.next_due().await?.filter(|due| *due <= to) else { break };
            let before = self.clock.now();
            self.clock.advance_to(stop.max(before));
            self.run_jobs().await?;
            if self.next_due().await? == Some(stop) && stop <= before {
                break; // what is due can't be done now; the job will look again
            }
        }
        self.clock.advance_to(to);
        self.run_jobs().await?;
        Ok(Some(self.clock.now()))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, Fault> {
        let mut next = None;
        for due in self.parts.iter().flat_map(|part| &part.jobs).filter_map(|job| job.due.as_ref()) {
            let at = due().await?;
            next = [next, at].into_iter().flatten().min();
        }
        Ok(next)
    }

    async fn run_jobs(&self) -> Result<(), Fault> {
        for job in self.parts.iter().flat_map(|part| &part.jobs) {
            (job.run)(self.clock.now()).await?;
        }
        settle(&self.parts, &self.log).await
    }
}
