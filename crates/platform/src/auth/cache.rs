//! Tokens whose signature was checked before. Bounded: two generations, of which the older is dropped whole.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use xxhash_rust::xxh3::xxh3_64;

use super::Caller;

/// Parts of the cache, so that callers on several cores seldom wait for each other.
const SHARDS: usize = 16;
/// Tokens in one generation of one shard. At most 2 x 16 x 512 tokens are remembered, about 8 MiB.
const GENERATION_TOKENS_MAX: usize = 512;

struct Known {
    token: Box<str>,
    caller: Caller,
    exp: i64,
}

#[derive(Default)]
struct Shard {
    young: HashMap<u64, Known>,
    old: HashMap<u64, Known>,
}

pub(super) struct Verified([Mutex<Shard>; SHARDS]);

impl Default for Verified {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Verified {
    fn shard(&self, hash: u64) -> std::sync::MutexGuard<'_, Shard> {
        let index = usize::try_from(hash >> 60).unwrap_or(0) % SHARDS;
        self.0[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Caller and end of a token that was verified before. The whole text is compared: the hash is not a secret one.
    pub(super) fn get(&self, token: &str) -> Option<(Caller, i64)> {
        let hash = xxh3_64(token.as_bytes());
        let mut shard = self.shard(hash);
        if let Some(known) = shard.young.get(&hash) {
            return (*known.token == *token).then(|| (known.caller.clone(), known.exp));
        }
        let known = shard.old.remove(&hash).filter(|known| *known.token == *token)?;
        let found = (known.caller.clone(), known.exp);
        shard.insert(hash, known);
        Some(found)
    }

    pub(super) fn put(&self, token: &str, caller: &Caller, exp: i64) {
        let hash = xxh3_64(token.as_bytes());
        let known = Known { token: token.into(), caller: caller.clone(), exp };
        self.shard(hash).insert(hash, known);
    }

    pub(super) fn clear(&self) {
        for shard in &self.0 {
            *shard.lock().unwrap_or_else(PoisonError::into_inner) = Shard::default();
        }
    }
}

impl Shard {
    fn insert(&mut self, hash: u64, known: Known) {
        if self.young.len() >= GENERATION_TOKENS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, known);
    }
}
