//! How far a run of many seeds is: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jangbu_platform::clock::ticks;
use tokio::time::Instant;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(20);
/// Seeds that pass without a word of their being on the way.
const QUIET_SEEDS: u64 = 4;

/// Progress, told on stderr.
pub struct Progress {
    began: Instant,
    limit: Option<Duration>,
    seeds: u64,
    bar: Option<ProgressBar>,
    told: Mutex<Instant>,
}

impl Progress {
    /// Nothing is done of `seeds`, which may be endless when there is a limit.
    #[must_use]
    pub fn new(seeds: u64, limit: Option<Duration>) -> Progress {
        let began = ticks();
        let shown = seeds > QUIET_SEEDS && std::io::stderr().is_terminal();
        let length = limit.map_or(seeds, |limit| limit.as_secs().min(seeds));
        let style = ProgressStyle::with_template("{bar:30} {elapsed} {msg}");
        let bar = shown.then(|| ProgressBar::new(length).with_style(style.unwrap_or(ProgressStyle::default_bar())));
        Progress { began, limit, seeds, bar, told: Mutex::new(began) }
    }

    /// Does what writes lines of its own.
    pub fn hide(&self, work: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(work),
            None => work(),
        }
    }

    /// One more seed is done.
    pub fn one_more(&self, done: usize, failures: usize) {
        let text = format!("{done} seeds, {failures} failures");
        if let Some(bar) = &self.bar {
            bar.set_position(if self.limit.is_some() { self.began.elapsed().as_secs() } else { done as u64 });
            bar.set_message(text);
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.elapsed() >= LINE_EVERY {
            *told = ticks();
            let of = match self.limit {
                Some(limit) => format!("{} of {} s", self.began.elapsed().as_secs(), limit.as_secs()),
                None => format!("{done} of {} seeds", self.seeds),
            };
            eprintln!("{of}: {text}");
        }
    }

    /// All is done.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
