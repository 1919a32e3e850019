//! The trace of a run: everything that happens, in order, as one hash, and the last of it as a story can be told from.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::clock::Clock as _;
use xxhash_rust::xxh3::Xxh3;

use super::time::Time;

/// What is kept for the one who has to understand a failure.
const KEPT: usize = 8_192;
/// Lines of it that are shown as they are.
const LINES_SHOWN: usize = 400;
/// Most that is kept of one body, bytes; of what is only read much less.
const BODY_KEPT: usize = 64 << 10;
const BODY_READ_KEPT: usize = 2 << 10;

/// A request from outside and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// When it was sent, by true time.
    pub sent: Timestamp,
    /// The node that was asked.
    pub node: String,
    /// Method and path, query included.
    pub call: String,
    /// Idempotency key.
    pub key: Option<String>,
    /// What was asked; its first part when it is long.
    pub asked: Bytes,
    /// Status of the answer; none when there was no answer.
    pub status: Option<u16>,
    /// What was answered; its first part when it is long.
    pub answered: Bytes,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Happening {
    /// In words.
    Line(String),
    /// A fault struck, of that kind.
    Fault(&'static str),
    /// A node died: which, and when in its work.
    Died(String, String),
    /// A node is back.
    Back(String),
    /// A request was answered, or not.
    Exchange(Box<Exchange>),
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Happening::Line(line) => f.write_str(line),
            Happening::Fault(kind) => write!(f, "fault: {kind}"),
            Happening::Died(node, when) => write!(f, "{node}: crashes {when}"),
            Happening::Back(node) => write!(f, "{node}: is back"),
            Happening::Exchange(exchange) => {
                let status = exchange.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
                write!(f, "{} {}: {status}", exchange.call, exchange.key.as_deref().unwrap_or("-"))
            }
        }
    }
}

/// What one who watches a run is shown.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// A step, by its parts.
    Step(&'a [&'a [u8]]),
    /// Something that happened.
    Happening(&'a Happening),
}

/// Somebody who watches a run. Nothing of what he does changes it: he may take his time, since virtual time stands
/// still meanwhile.
pub trait Watcher: fmt::Debug + Send + Sync {
    /// Something happened, at that virtual time.
    fn see(&self, at: Timestamp, seen: Seen<'_>);
}

/// What has happened.
pub struct Trace {
    time: Arc<Time>,
    aloud: bool,
    watcher: Option<Arc<dyn Watcher>>,
    state: Mutex<State>,
}

struct State {
    hash: Xxh3,
    steps: u64,
    kept: VecDeque<(Timestamp, Happening)>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({} steps)", self.lock().steps)
    }
}

impl Trace {
    /// An empty trace of a run that lives by `time`; `aloud` also writes each line to stderr.
    #[must_use]
    pub fn new(time: &Arc<Time>, aloud: bool, watcher: Option<Arc<dyn Watcher>>) -> Trace {
        let state = State { hash: Xxh3::new(), steps: 0, kept: VecDeque::new() };
        Trace { time: Arc::clone(time), aloud, watcher, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a step by its parts alone: cheap enough for every statement.
    pub fn step(&self, parts: &[&[u8]]) {
        {
            let mut state = self.lock();
            state.steps += 1;
            for part in parts {
                state.hash.update(part);
                state.hash.update(&[0xff]);
            }
        }
        if let Some(watcher) = &self.watcher {
            watcher.see(self.time.now(), Seen::Step(parts));
        }
    }

    /// Notes in words what a reader of a failure wants to know.
    pub fn say(&self, line: impl FnOnce() -> String) {
        self.note(Happening::Line(line()));
    }

    /// Notes what happened.
    pub fn note(&self, happening: Happening) {
        let at = self.time.now();
        if self.aloud {
            eprintln!("{} {happening}", clock_of(at));
        }
        if let Some(watcher) = &self.watcher {
            watcher.see(at, Seen::Happening(&happening));
        }
        let mut state = self.lock();
        state.steps += 1;
        match &happening {
            Happening::Line(line) => state.hash.update(line.as_bytes()),
            Happening::Fault(kind) => state.hash.update(kind.as_bytes()),
            Happening::Died(node, text) => [node, text].iter().for_each(|part| state.hash.update(part.as_bytes())),
            Happening::Back(node) => state.hash.update(node.as_bytes()),
            Happening::Exchange(exchange) => {
                state.hash.update(exchange.call.as_bytes());
                state.hash.update(exchange.key.as_deref().unwrap_or("-").as_bytes());
                state.hash.update(&exchange.status.unwrap_or(0).to_le_bytes());
                state.hash.update(&exchange.answered);
            }
        }
        if state.kept.len() == KEPT {
            state.kept.pop_front();
        }
        state.kept.push_back((at, happening));
    }

    /// The hash over all of it, and how many steps it had.
    #[must_use]
    pub fn sum(&self) -> (u64, u64) {
        let state = self.lock();
        (state.hash.digest(), state.steps)
    }

    /// The last of what happened, in order.
    #[must_use]
    pub fn kept(&self) -> Vec<(Timestamp, Happening)> {
        self.lock().kept.iter().cloned().collect()
    }

    /// The last lines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let state = self.lock();
        let skipped = state.kept.len().saturating_sub(LINES_SHOWN);
        state.kept.iter().skip(skipped).map(|(at, happening)| format!("{} {happening}", clock_of(*at))).collect()
    }
}

/// What is kept of a body that came or went with a call.
#[must_use]
pub fn kept_of(call: &str, body: &Bytes) -> Bytes {
    let most = if call.starts_with("GET") { BODY_READ_KEPT } else { BODY_KEPT };
    // A copy of the part, so that the rest is let go of.
    if body.len() <= most { body.clone() } else { Bytes::copy_from_slice(&body[..most]) }
}

/// An instant as the bank's clock on the wall in Seoul shows it: the day of the month, and the time to the microsecond.
#[must_use]
pub fn clock_of(at: Timestamp) -> String {
    let day = at.business_date(UtcOffset::SEOUL);
    let us = at.micros() - Timestamp::start_of(day, UtcOffset::SEOUL).micros();
    let (s, us) = (us / 1_000_000, us % 1_000_000);
    format!("{:02}. {:02}:{:02}:{:02}.{us:06}", day.day(), s / 3_600, s / 60 % 60, s % 60)
}
