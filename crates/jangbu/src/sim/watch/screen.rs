//! What is seen of a run while it goes on, and how fast it may go.
//!
//! The run calls [`Screen::see`] from its own thread at each step. Virtual time stands still meanwhile, so sleeping there
//! makes it slower and changes nothing of what happens.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jangbu_kernel::time::Timestamp;
use jangbu_sim::simulated::day::Report;
use jangbu_sim::simulated::trace::{Exchange, Happening, Seen, Watcher};
use serde::{Deserialize, Serialize};

/// Happenings shown.
const HAPPENINGS_SHOWN: usize = 14;
/// Findings and lines of a failure's story that are shown.
const STORY_SHOWN: usize = 60;
/// Sleeps shorter than this are put together, microseconds.
const SLEEP_US_MIN: i64 = 4_000;
/// Gaps longer than this are jumps between watches of a day: nobody waits for them, microseconds.
const JUMP_US: i64 = 2_000_000;

/// How fast virtual time runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speed {
    /// Not at all.
    Paused,
    /// Ten seconds for one of the bank.
    Slow,
    /// A second for one of the bank.
    #[default]
    Real,
    /// A second for ten of the bank.
    Quick,
    /// As fast as it can.
    Fast,
}

impl Speed {
    /// All, as people choose among them.
    pub const ALL: [Speed; 5] = [Speed::Paused, Speed::Slow, Speed::Real, Speed::Quick, Speed::Fast];

    /// How long so much virtual time takes, microseconds both; nothing when it doesn't pass.
    fn takes(self, virtual_us: i64) -> Option<i64> {
        match self {
            Speed::Paused => None,
            Speed::Slow => Some(virtual_us * 10),
            Speed::Real => Some(virtual_us),
            Speed::Quick => Some(virtual_us / 10),
            Speed::Fast => Some(0),
        }
    }

    /// Its name in requests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Speed::Paused => "paused",
            Speed::Slow => "slow",
            Speed::Real => "real",
            Speed::Quick => "quick",
            Speed::Fast => "fast",
        }
    }
}

/// What is seen of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Down since then; it lives when absent.
    pub down_since: Option<Timestamp>,
    /// How often it died.
    pub deaths: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests without an answer.
    pub unanswered: u64,
    /// Commands and claims that were posted.
    pub postings: u64,
}

/// Everything shown.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// The seed under way.
    pub seed: u64,
    /// Runs that ended before it.
    pub ended: u64,
    /// What came of the last of them.
    pub last: Option<String>,
    /// Virtual time.
    pub at: Option<Timestamp>,
    /// Steps of the run.
    pub steps: u64,
    /// Nodes by name.
    pub nodes: BTreeMap<String, Node>,
    /// Events told, by topic.
    pub topics: BTreeMap<String, u64>,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// The last happenings, newest first.
    pub happenings: VecDeque<(Timestamp, Happening)>,
    /// Why the run failed, line by line.
    pub failure: Vec<String>,
    /// Whether all runs have ended.
    pub over: bool,
    /// How fast it goes.
    pub speed: Speed,
}

/// What is seen of a run. Shared by its thread and the page.
#[derive(Default)]
pub struct Screen {
    state: Mutex<State>,
    turned: Condvar,
}

#[derive(Default)]
struct State {
    picture: Picture,
    /// Happenings that may still come while it is paused.
    steps_free: u64,
    /// What has to be slept for, microseconds.
    owed_us: i64,
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Screen")
    }
}

impl Screen {
    /// A screen that shows nothing yet, of a run that will go at that speed.
    #[must_use]
    pub fn at(speed: Speed) -> Screen {
        let screen = Screen::default();
        screen.lock().picture.speed = speed;
        screen
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be seen now.
    #[must_use]
    pub fn picture(&self) -> Picture {
        self.lock().picture.clone()
    }

    /// Changes how fast it goes.
    pub fn set_speed(&self, speed: Speed) {
        let mut state = self.lock();
        (state.picture.speed, state.owed_us, state.steps_free) = (speed, 0, 0);
        self.turned.notify_all();
    }

    /// Lets one more thing happen, and stops there.
    pub fn step(&self) {
        let mut state = self.lock();
        (state.picture.speed, state.owed_us) = (Speed::Paused, 0);
        state.steps_free += 1;
        self.turned.notify_all();
    }

    /// A run begins, with nodes of these names.
    pub fn begins(&self, seed: u64, nodes: impl Iterator<Item = String>) {
        let mut state = self.lock();
        let Picture { ended, last, speed, .. } = std::mem::take(&mut state.picture);
        let nodes = nodes.map(|name| (name, Node::default())).collect();
        state.picture = Picture { seed, ended, last, speed, nodes, ..Picture::default() };
    }

    /// A run has ended; `again` is its command.
    pub fn ended(&self, report: &Report, again: &str) {
        let mut state = self.lock();
        let picture = &mut state.picture;
        picture.ended += 1;
        let Report { seed, postings, steps, hash, .. } = report;
        let came = if report.failure.is_some() { "failed" } else { "all was right" };
        picture.last = Some(format!("seed {seed}: {came}; {postings} postings, {steps} steps, hash {hash:016x}"));
        if let Some(failure) = &report.failure {
            picture.failure = failure.to_string().lines().take(STORY_SHOWN).map(str::to_owned).collect();
            picture.failure.push(format!("again: {again}"));
        }
    }

    /// There are no more runs.
    pub fn is_over(&self) {
        self.lock().picture.over = true;
    }

    /// Waits as long as the speed says; `happened` when somebody who steps wants to see it.
    fn pace(&self, mut state: MutexGuard<'_, State>, passed_us: i64, happened: bool) {
        if (0..JUMP_US).contains(&passed_us) {
            state.owed_us += state.picture.speed.takes(passed_us).unwrap_or(0);
        }
        if happened {
            state.steps_free = state.steps_free.saturating_sub(1);
        }
        loop {
            let speed = state.picture.speed;
            if speed == Speed::Paused {
                if state.steps_free > 0 {
                    return;
                }
                state = self.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else if state.owed_us < SLEEP_US_MIN {
                return;
            } else {
                // Whoever changes the speed forgives what is owed.
                let owed = Duration::from_micros(state.owed_us.unsigned_abs());
                let waited = self.turned.wait_timeout(state, owed).unwrap_or_else(PoisonError::into_inner);
                state = waited.0;
                if waited.1.timed_out() {
                    state.owed_us = 0;
                }
            }
        }
    }
}

impl Watcher for Screen {
    fn see(&self, at: Timestamp, seen: Seen<'_>) {
        let mut state = self.lock();
        let picture = &mut state.picture;
        let passed_us = picture.at.map_or(0, |before| at.micros() - before.micros());
        picture.at = Some(at);
        picture.steps += 1;
        match seen {
            Seen::Step([b"append", topic, ..]) => {
                *picture.topics.entry(String::from_utf8_lossy(topic).into_owned()).or_default() += 1;
            }
            Seen::Step(_) => {}
            Seen::Happening(happening) => picture.take(at, happening),
        }
        self.pace(state, passed_us, matches!(seen, Seen::Happening(_)));
    }
}

/// How many commands of a batch were posted.
fn posted_in(outcomes: &[u8]) -> u64 {
    let posted = b"\"status\":201";
    outcomes.windows(posted.len()).filter(|window| window == posted).count() as u64
}

impl Picture {
    fn take(&mut self, at: Timestamp, happening: &Happening) {
        match happening {
            Happening::Line(_) => {}
            Happening::Fault(kind) => *self.faults.entry(kind).or_default() += 1,
            Happening::Died(node, _) => {
                let node = self.nodes.entry(node.clone()).or_default();
                (node.down_since, node.deaths) = (Some(at), node.deaths + 1);
            }
            Happening::Back(node) => self.nodes.entry(node.clone()).or_default().down_since = None,
            Happening::Exchange(exchange) => self.answer(exchange),
        }
        self.happenings.push_front((at, happening.clone()));
        self.happenings.truncate(HAPPENINGS_SHOWN);
    }

    fn answer(&mut self, exchange: &Exchange) {
        let node = self.nodes.entry(exchange.node.clone()).or_default();
        match exchange.status {
            None => node.unanswered += 1,
            Some(status) => {
                node.answered += 1;
                node.postings += match exchange.call.as_str() {
                    call if call.ends_with("/postings/batch") => posted_in(&exchange.answered),
                    call => {
                        u64::from(status == 201 && ["/postings", "/interest-claims"].iter().any(|c| call.ends_with(c)))
                    }
                };
            }
        }
    }
}
