//! The one place where chance comes from, and the ids made with it.

use std::sync::{Arc, Mutex, PoisonError};

use jangbu_kernel::time::Timestamp;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

/// A source of chance shared by a process. Seeded, it gives the same throws again.
#[derive(Clone, Debug)]
pub struct Dice(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    rng: StdRng,
    last_id: u128,
}

impl Dice {
    /// Dice whose throws follow from `seed` alone.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State { rng: StdRng::seed_from_u64(seed), last_id: 0 })))
    }

    /// Dice seeded by the operating system.
    #[must_use]
    pub fn from_os() -> Self {
        Self(Arc::new(Mutex::new(State { rng: StdRng::from_os_rng(), last_id: 0 })))
    }

    /// `N` random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.lock().rng.fill_bytes(&mut out);
        out
    }

    /// A random number.
    #[must_use]
    pub fn u64(&self) -> u64 {
        self.lock().rng.next_u64()
    }

    /// A number below `n`; zero when `n` is zero.
    #[must_use]
    pub fn below(&self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.u64() % n }
    }

    /// Sixteen bytes for a new id: 48 bits of milliseconds, then chance. Of one source each is greater than the
    /// one before, so that inserts stay at the right edge of their tree.
    #[must_use]
    pub fn id(&self, now: Timestamp) -> [u8; 16] {
        let mut state = self.lock();
        let millis = u128::try_from(now.micros() / 1_000).unwrap_or(0) & 0xffff_ffff_ffff;
        let chance = (u128::from(state.rng.next_u64()) << 16) | u128::from(state.rng.next_u32() & 0xffff);
        let fresh = (millis << 80) | (chance & ((1 << 80) - 1));
        // A second id within the same millisecond, or after a clock that stepped back, follows the last one.
        let step = u128::from(state.rng.next_u32() & 0xffff) + 1;
        let id = if fresh > state.last_id { fresh } else { state.last_id + step };
        state.last_id = id;
        id.to_be_bytes()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
