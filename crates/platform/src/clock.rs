//! The one place where time comes from.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use jangbu_kernel::time::Timestamp;

/// Where a process gets its time from. Handed in, never asked of the operating system elsewhere.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The wall clock of the machine.
#[derive(Debug, Default)]
pub struct RealClock;

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// The running time, for deadlines and durations and never for dates. A paused runtime (tests, simulations) pauses it.
#[must_use]
pub fn ticks() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// A clock that stands still until it is moved, and never goes back.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `at`.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        Self(AtomicI64::new(at.micros()))
    }

    /// Moves to `to`; false, and nothing happens, when `to` lies in the past.
    pub fn advance_to(&self, to: Timestamp) -> bool {
        self.0.fetch_max(to.micros(), Ordering::SeqCst) <= to.micros()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}
