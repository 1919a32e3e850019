//! The engine in this process: maps behind one lock, held for a look-up and no longer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use jangbu_kernel::time::Timestamp;

use super::expiring::Expiring;
use super::{Back, Engine, KvLimits, Op};
use crate::clock::Clock;
use crate::db::Fault;

/// What keeping an entry costs besides its key and value, roughly, bytes.
const ENTRY_BYTES: usize = 200;

/// The engine in this process: bounded, and gone with it.
pub struct Memory {
    clock: Arc<dyn Clock>,
    limits: KvLimits,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    cache: Expiring<Vec<u8>>,
    cache_bytes: usize,
    leases: Expiring<i64>,
    last_fence: i64,
    sets: HashMap<String, SortedSet>,
    members: usize,
    counters: Expiring<i64>,
}

impl Memory {
    /// An empty store that lives by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, limits: KvLimits) -> Self {
        Self { clock, limits, held: Mutex::default() }
    }
}

impl Engine for Memory {
    fn run<'a>(&'a self, op: Op<'a>) -> BoxFuture<'a, Result<Back, Fault>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let back = held.run(op, self.clock.now(), &self.limits);
        Box::pin(std::future::ready(back))
    }
}

fn yes(is: bool) -> Back {
    Back::Number(Some(i64::from(is)))
}

fn number(n: usize) -> Back {
    Back::Number(i64::try_from(n).ok())
}

impl Held {
    fn run(&mut self, op: Op<'_>, now: Timestamp, limits: &KvLimits) -> Result<Back, Fault> {
        Ok(match op {
            Op::Get(key) => Back::Value(self.cache.get(key, now).cloned()),
            Op::Put { key, value, until } => {
                self.put(key, value, until, now, limits.cache_bytes_max);
                yes(true)
            }
            Op::Forget(key) => yes(self.forget(key)),
            Op::TakeLease { name, until } => Back::Number(self.take_lease(name, until, now, limits.leases_max)?),
            Op::RenewLease { name, fence, until } => {
                let held = self.leases.get(name, now) == Some(&fence);
                if held {
                    self.leases.insert(name, fence, until);
                }
                yes(held)
            }
            Op::ReleaseLease { name, fence } => {
                let held = self.leases.get(name, now) == Some(&fence);
                yes(held && self.leases.remove(name).is_some())
            }
            Op::SetAdd { set, member, score } => yes(self.set_add(set, member, score, limits.members_max)?),
            Op::SetRemove { set, member } => yes(self.set_remove(set, member)),
            Op::SetRank { set, member } => {
                let rank = self.sets.get(set).and_then(|set| set.rank(member));
                rank.map_or(Back::Number(None), number)
            }
            Op::SetLen(set) => number(self.sets.get(set).map_or(0, |set| set.order.len())),
            Op::SetFirst { set, count } => Back::Members(self.sets.get(set).map_or_else(Vec::new, |s| s.first(count))),
            Op::Count { name, by, until } => {
                Back::Number(Some(self.count(name, by, until, now, limits.counters_max)?))
            }
            Op::Counted(name) => Back::Number(self.counters.get(name, now).copied()),
            Op::Wipe => {
                // Numbers of leases go on growing: those from before may still be in use.
                *self = Held { last_fence: self.last_fence, ..Held::default() };
                yes(true)
            }
        })
    }

    fn put(&mut self, key: &str, value: Vec<u8>, until: Timestamp, now: Timestamp, bytes_max: usize) {
        self.forget(key);
        for (key, value) in self.cache.clear(now) {
            self.cache_bytes -= cost(&key, &value);
        }
        let bytes = cost(key, &value);
        if until <= now || bytes > bytes_max {
            return;
        }
        while self.cache_bytes + bytes > bytes_max
            && let Some((key, value)) = self.cache.pop()
        {
            self.cache_bytes -= cost(&key, &value);
        }
        self.cache.insert(key, value, until);
        self.cache_bytes += bytes;
    }

    fn forget(&mut self, key: &str) -> bool {
        let Some(value) = self.cache.remove(key) else { return false };
        self.cache_bytes -= cost(key, &value);
        true
    }

    fn take_lease(
        &mut self,
        name: &str,
        until: Timestamp,
        now: Timestamp,
        leases_max: usize,
    ) -> Result<Option<i64>, Fault> {
        if until <= now || self.leases.get(name, now).is_some() {
            return Ok(None);
        }
        self.leases.remove(name);
        self.leases.clear(now);
        if self.leases.len() >= leases_max {
            return Err(Fault::Busy(format!("{leases_max} leases are held, which is all there are")));
        }
        // Not one more than the last alone: after a restart the numbers go on above those that were given before.
        self.last_fence = now.micros().max(self.last_fence + 1);
        self.leases.insert(name, self.last_fence, until);
        Ok(Some(self.last_fence))
    }

    fn set_add(&mut self, set: &str, member: &str, score: i64, members_max: usize) -> Result<bool, Fault> {
        let known = self.sets.get(set).is_some_and(|set| set.scores.contains_key(member));
        if !known && self.members >= members_max {
            return Err(Fault::Busy(format!("the sorted sets have {members_max} members, which is all they take")));
        }
        self.members += usize::from(!known);
        self.sets.entry(set.to_owned()).or_default().add(member, score);
        Ok(!known)
    }

    fn set_remove(&mut self, name: &str, member: &str) -> bool {
        let Some(set) = self.sets.get_mut(name) else { return false };
        let was = set.remove(member);
        self.members -= usize::from(was);
        if set.order.is_empty() {
            self.sets.remove(name);
        }
        was
    }

    fn count(
        &mut self,
        name: &str,
        by: i64,
        until: Timestamp,
        now: Timestamp,
        counters_max: usize,
    ) -> Result<i64, Fault> {
        if let Some(count) = self.counters.get_mut(name, now) {
            *count = count.saturating_add(by);
            return Ok(*count);
        }
        self.counters.remove(name);
        self.counters.clear(now);
        if self.counters.len() >= counters_max {
            return Err(Fault::Busy(format!("{counters_max} counters are kept, which is all there are")));
        }
        if until > now {
            self.counters.insert(name, by, until);
        }
        Ok(by)
    }
}

fn cost(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

/// Members in order. A queue, because most come at the end and leave at the front; a rank is found by halving.
#[derive(Default)]
struct SortedSet {
    order: VecDeque<(i64, Arc<str>)>,
    scores: HashMap<Arc<str>, i64>,
}

impl SortedSet {
    fn place(&self, score: i64, member: &str) -> Result<usize, usize> {
        self.order.binary_search_by(|(s, m)| (*s, m.as_ref()).cmp(&(score, member)))
    }

    fn rank(&self, member: &str) -> Option<usize> {
        self.place(*self.scores.get(member)?, member).ok()
    }

    fn first(&self, count: usize) -> Vec<(String, i64)> {
        self.order.iter().take(count).map(|(score, member)| (member.to_string(), *score)).collect()
    }

    fn add(&mut self, member: &str, score: i64) {
        self.remove(member);
        let member = Arc::<str>::from(member);
        let (Ok(at) | Err(at)) = self.place(score, &member);
        self.order.insert(at, (score, Arc::clone(&member)));
        self.scores.insert(member, score);
    }

    fn remove(&mut self, member: &str) -> bool {
        let Some(at) = self.rank(member) else { return false };
        self.order.remove(at);
        self.scores.remove(member);
        true
    }
}
