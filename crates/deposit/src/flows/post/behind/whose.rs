//! Whose work it is, of several processes that could do it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jangbu_platform::clock::ticks;
use jangbu_platform::db::Fault;
use tokio::time::Instant;

use super::{PACE, raise};
use crate::ledger::Ledger;
use crate::store;

/// How long somebody waits for what is left to another before it is left no longer.
const IN_VAIN: Duration = Duration::from_millis(60);

/// How long it is waited for what other processes want.
const ANSWER_MAX: Duration = Duration::from_millis(250);

/// Whether this process is at something, or another.
pub(super) struct By {
    /// When another was last seen to have done what this one would have done.
    another: Mutex<Option<Instant>>,
    /// Up to where this one tried.
    tried: AtomicU64,
    /// How long it is left to another.
    patience: Duration,
}

impl By {
    pub(super) fn new(upto: u64, patience: Duration) -> By {
        By { another: Mutex::default(), tried: upto.into(), patience }
    }

    pub(super) fn tries(&self, upto: u64) {
        self.tried.fetch_max(upto, Ordering::Relaxed);
    }

    pub(super) fn tried(&self) -> u64 {
        self.tried.load(Ordering::Relaxed)
    }

    pub(super) fn is_another(&self, seen: Option<Instant>) {
        *self.another.lock().expect("nobody panics with it") = seen;
    }

    pub(super) fn is_left(&self) -> bool {
        let seen = *self.another.lock().expect("nobody panics with it");
        seen.is_some_and(|at| at.elapsed() < self.patience)
    }
}

/// Waits until an instant, or until somebody waits for a posting to be written; whether somebody does.
pub(super) async fn hurry(ledger: &Ledger, seq: u64, until: Instant) -> bool {
    let mut wanted = ledger.wanted.subscribe();
    let hurry = wanted.wait_for(|wanted| *wanted >= seq);
    tokio::time::timeout_at(until, hurry).await.is_ok()
}

/// Leaves something to another process while that one does it: until it was not seen at it for a while, or somebody has waited
/// for some time and nothing came.
pub(super) async fn leave(ledger: &Ledger, by: &By, written: impl Fn() -> u64) {
    let mut wait = Wait::default();
    while by.is_left() {
        let written = written();
        let is_wanted = hurry_elsewhere(ledger, written + 1, ticks() + PACE).await;
        if wait.is_in_vain(written, is_wanted, ticks()) {
            by.is_another(None);
        } else if is_wanted {
            tokio::time::sleep(PACE).await;
        }
    }
}

/// How somebody waits for what is left to another.
#[derive(Default)]
struct Wait(Option<(u64, Instant)>);

impl Wait {
    /// Whether somebody has waited for some time now while nothing was written.
    fn is_in_vain(&mut self, written: u64, is_wanted: bool, now: Instant) -> bool {
        match self.0 {
            Some((at, since)) if is_wanted && at == written => now.duration_since(since) >= IN_VAIN,
            _ => {
                self.0 = is_wanted.then_some((written, now));
                false
            }
        }
    }
}

/// Waits until an instant, or until somebody waits for a posting to be written, in whichever process; whether somebody does.
pub(super) async fn hurry_elsewhere(ledger: &Ledger, seq: u64, until: Instant) -> bool {
    while ticks() < until {
        if hurry(ledger, seq, until.min(ticks() + PACE)).await {
            return true;
        }
        // Who waits here is not to wait for an answer that does not come.
        if let Ok(Ok(wanted)) = tokio::time::timeout(ANSWER_MAX, wanted_elsewhere(ledger)).await {
            raise(&ledger.wanted, wanted);
        }
    }
    *ledger.wanted.borrow() >= seq
}

async fn wanted_elsewhere(ledger: &Ledger) -> Result<u64, Fault> {
    store::locked::wanted(&mut ledger.db.glance("deposit.wanted").await?).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_in_vain_once_nothing_was_written_for_long() {
        let (mut wait, began) = (Wait::default(), Instant::now());
        let mut is_in_vain =
            |written, is_wanted, ms| wait.is_in_vain(written, is_wanted, began + Duration::from_millis(ms));
        assert!(!is_in_vain(5, false, 0) && !is_in_vain(5, false, 200), "nobody waits");
        assert!(!is_in_vain(5, true, 210) && !is_in_vain(5, true, 269));
        assert!(!is_in_vain(6, true, 270), "some was written");
        assert!(!is_in_vain(6, true, 329) && is_in_vain(6, true, 330));
        assert!(!is_in_vain(6, false, 340) && !is_in_vain(6, true, 350), "another waits");
    }
}
