//! Virtual time: it runs only while everybody waits, can be moved ahead when nobody does, and each node has its own
//! opinion of it, a little off.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use jangbu_kernel::time::Timestamp;
use jangbu_platform::clock::{Clock, ticks};
use tokio::time::Instant;

/// The true time of a simulation, by which its auditor lives.
#[derive(Debug)]
pub struct Time {
    began: Instant,
    at_tick_zero: AtomicI64,
}

impl Time {
    /// Time that stands at `at` now. Called within the runtime whose pauses it follows.
    #[must_use]
    pub fn starting(at: Timestamp) -> Arc<Time> {
        Arc::new(Time { began: ticks(), at_tick_zero: AtomicI64::new(at.micros()) })
    }

    /// Jumps ahead to `to`, which lies ahead.
    pub fn jump_to(&self, to: Timestamp) {
        let ahead = to.micros() - self.now().micros();
        assert!(ahead >= 0, "time never goes back");
        self.at_tick_zero.fetch_add(ahead, SeqCst);
    }
}

impl Clock for Time {
    fn now(&self) -> Timestamp {
        let ran = i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(self.at_tick_zero.load(SeqCst) + ran)
    }
}

/// A node's clock: the true time and how far it is off, microseconds.
#[derive(Debug)]
pub struct NodeClock {
    time: Arc<Time>,
    off: AtomicI64,
}

impl NodeClock {
    /// A clock that is right.
    #[must_use]
    pub fn new(time: Arc<Time>) -> Arc<NodeClock> {
        Arc::new(NodeClock { time, off: AtomicI64::new(0) })
    }

    /// Sets how far it is off, microseconds; it may step back by that.
    pub fn set_off(&self, off: i64) {
        self.off.store(off, SeqCst);
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        self.time.now().plus_micros(self.off.load(SeqCst))
    }
}

/// The same time, off by a fixed amount: the auditor's bounds of what any node may think.
#[derive(Debug)]
pub struct Bound {
    /// The true time.
    pub time: Arc<Time>,
    /// Microseconds, signed.
    pub off: i64,
}

impl Clock for Bound {
    fn now(&self) -> Timestamp {
        self.time.now().plus_micros(self.off)
    }
}
