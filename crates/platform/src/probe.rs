//! Places that are rarely reached, noted when they are: a simulation that never comes there proves nothing about them.
//!
//! Outside a simulation a probe costs one relaxed load.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

static WATCHED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static SEEN: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Notes that a rare place was reached. Names are words joined by hyphens.
pub fn reached(name: &'static str) {
    if WATCHED.load(Ordering::Relaxed) {
        SEEN.with_borrow_mut(|seen| *seen.entry(name).or_default() += 1);
    }
}

/// Begins to note what this process reaches, each thread for itself.
pub fn watch() {
    WATCHED.store(true, Ordering::Relaxed);
}

/// What this thread has reached since it was asked last, with counts.
#[must_use]
pub fn take() -> BTreeMap<&'static str, u64> {
    SEEN.with_borrow_mut(std::mem::take)
}
