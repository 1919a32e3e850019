//! The trace of a run: everything that happens, in order, as one hash, and its last lines as text.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::Xxh3;

/// Lines kept for the one who has to understand a failure.
const LINES_KEPT: usize = 400;

/// What has happened.
pub struct Trace(Mutex<State>);

struct State {
    hash: Xxh3,
    steps: u64,
    lines: VecDeque<String>,
    aloud: bool,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({} steps)", self.lock().steps)
    }
}

impl Trace {
    /// An empty trace; `aloud` also writes each line to stderr.
    #[must_use]
    pub fn new(aloud: bool) -> Trace {
        Trace(Mutex::new(State { hash: Xxh3::new(), steps: 0, lines: VecDeque::new(), aloud }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a step by its parts alone: cheap enough for every statement.
    pub fn step(&self, parts: &[&[u8]]) {
        let mut state = self.lock();
        state.steps += 1;
        for part in parts {
            state.hash.update(part);
            state.hash.update(&[0xff]);
        }
    }

    /// Notes what a reader of a failure wants to know.
    pub fn say(&self, line: impl FnOnce() -> String) {
        let line = line();
        let mut state = self.lock();
        state.steps += 1;
        state.hash.update(line.as_bytes());
        if state.aloud {
            eprintln!("{line}");
        }
        if state.lines.len() == LINES_KEPT {
            state.lines.pop_front();
        }
        state.lines.push_back(line);
    }

    /// The hash over all of it, and how many steps it had.
    #[must_use]
    pub fn sum(&self) -> (u64, u64) {
        let state = self.lock();
        (state.hash.digest(), state.steps)
    }

    /// The last lines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.iter().cloned().collect()
    }
}
