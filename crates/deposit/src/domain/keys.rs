//! Which keys have never been seen, known without asking the store. Pure.
//!
//! Known are gaps: ranges in which the store holds no key but those seen of late. Keys that grow, whether all callers count
//! together or each for himself, stay within a few gaps, whose lower ends follow them.

use rustc_hash::FxHashSet;

/// Keys of one generation: two are remembered, so that keys a little out of order need no look into the store.
const KEYS_PER_GENERATION: usize = 1 << 16;
/// Gaps known at once: callers whose keys begin differently and grow.
const GAPS_MAX: usize = 8;
/// Keys asked of the store in vain after which a gap is looked for.
const IN_VAIN_MAX: usize = 256;
/// How many of a batch's keys are tried in turn as the place of a gap, so that one far away is not taken for ever.
const PLACES_TRIED: usize = 4;

/// What is known of a key without asking the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is certainly new.
    Never,
    /// It may be in the store, but in no command of late.
    Perhaps,
    /// It came lately, perhaps in the same batch.
    Lately,
}

/// Between `floor` and `ceiling` lie only keys that were seen of late.
#[derive(Debug)]
struct Gap {
    floor: String,
    /// None where there is no greater key.
    ceiling: Option<String>,
    /// The greatest key of the older generation, or the floor.
    older_greatest: String,
    /// The greatest key seen, or the floor.
    greatest: String,
    /// When it was last of use.
    used: u64,
}

/// The keys seen of late, and the gaps that they lie in.
#[derive(Debug, Default)]
pub struct Keys {
    gaps: Vec<Gap>,
    older: FxHashSet<u64>,
    recent: FxHashSet<u64>,
    taken: u64,
    in_vain: usize,
    tries: usize,
}

impl Gap {
    fn new(floor: String, ceiling: Option<String>, used: u64) -> Gap {
        Gap { older_greatest: floor.clone(), greatest: floor.clone(), floor, ceiling, used }
    }

    fn holds(&self, key: &str) -> bool {
        key > self.floor.as_str() && self.ceiling.as_deref().is_none_or(|ceiling| key < ceiling)
    }

    fn take(&mut self, key: &str) {
        if key > self.greatest.as_str() {
            key.clone_into(&mut self.greatest);
        }
    }
}

impl Keys {
    /// Nothing is known but the greatest key of the store.
    #[must_use]
    pub fn above(greatest: String) -> Keys {
        Keys { gaps: vec![Gap::new(greatest, None, 0)], ..Keys::default() }
    }

    /// What is known of a key; it is remembered as seen.
    pub fn take(&mut self, key: &str) -> Seen {
        if self.recent.len() >= KEYS_PER_GENERATION {
            self.older = std::mem::take(&mut self.recent);
            for gap in &mut self.gaps {
                gap.floor = std::mem::replace(&mut gap.older_greatest, gap.greatest.clone());
            }
        }
        self.taken += 1;
        let gap = self.gaps.iter_mut().find(|gap| gap.holds(key));
        let is_in_gap = gap.is_some();
        if let Some(gap) = gap {
            gap.used = self.taken;
            gap.take(key);
        }
        let hash = xxhash_rust::xxh3::xxh3_64(key.as_bytes());
        if self.older.contains(&hash) || !self.recent.insert(hash) {
            Seen::Lately
        } else if is_in_gap {
            Seen::Never
        } else {
            Seen::Perhaps
        }
    }

    /// Takes note of keys that the store was asked for and did not have, and names one around which it should be asked for
    /// the nearest keys, now and then.
    pub fn asked_in_vain<'k>(&mut self, mut keys: Vec<&'k str>) -> Option<&'k str> {
        self.in_vain += keys.len();
        if keys.is_empty() || self.in_vain < IN_VAIN_MAX {
            return None;
        }
        keys.sort_unstable_by(|a, b| b.cmp(a)); // the greatest leaves the fewest behind it
        let place = self.tries % PLACES_TRIED;
        (self.in_vain, self.tries) = (0, self.tries + 1);
        keys.get(place).or(keys.last()).copied()
    }

    /// Takes note that the store holds no key between two, but for `under_way`, which come next. They are remembered anew:
    /// some may have been taken here so long ago that they are forgotten.
    pub fn learn<'k>(&mut self, floor: String, ceiling: Option<String>, under_way: impl Iterator<Item = &'k str>) {
        let mut gap = Gap::new(floor, ceiling, self.taken);
        for key in under_way.filter(|key| gap.holds(key)).collect::<Vec<_>>() {
            gap.take(key);
            self.recent.insert(xxhash_rust::xxh3::xxh3_64(key.as_bytes()));
        }
        gap.older_greatest.clone_from(&gap.greatest);
        // A key must raise all the gaps that hold it, and so it lies in one.
        let beyond = |a: &Gap, b: &Gap| a.ceiling.as_ref().is_some_and(|ceiling| *ceiling <= b.floor);
        self.gaps.retain(|other| beyond(other, &gap) || beyond(&gap, other));
        if self.gaps.len() >= GAPS_MAX
            && let Some(idle) = (0..self.gaps.len()).min_by_key(|at| self.gaps[*at].used)
        {
            self.gaps.remove(idle);
        }
        self.gaps.push(gap);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::Bound::{Excluded, Unbounded};

    use super::*;

    /// A store, and how many keys of how many batches it was asked for.
    #[derive(Default)]
    struct Store {
        keys: Keys,
        held: BTreeSet<String>,
        asked: usize,
    }

    impl Store {
        fn post(&mut self, batch: &[String]) {
            let mut in_vain = Vec::new();
            for (i, key) in batch.iter().enumerate() {
                let seen = self.keys.take(key);
                let known = self.held.contains(key);
                assert!(seen != Seen::Never || !known && !batch[..i].contains(key), "{key} is known");
                self.asked += usize::from(seen != Seen::Never);
                if seen == Seen::Perhaps && !known {
                    in_vain.push(key.as_str());
                }
            }
            if let Some(place) = self.keys.asked_in_vain(in_vain) {
                let floor =
                    self.held.range::<str, _>((Unbounded, Excluded(place))).next_back().cloned().unwrap_or_default();
                let ceiling = self.held.range::<str, _>((Excluded(place), Unbounded)).next().cloned();
                self.keys.learn(floor, ceiling, batch.iter().map(String::as_str));
            }
            self.held.extend(batch.iter().cloned());
        }

        /// Keys that grow, a hundred at once and out of order within a batch; how many were asked for.
        fn grow(&mut self, prefix: &str, from: usize, count: usize) -> usize {
            let before = self.asked;
            for first in (from..from + count).step_by(100) {
                self.post(&(0..100).map(|i| format!("{prefix}{:09}", first + i * 37 % 100)).collect::<Vec<_>>());
            }
            self.asked - before
        }
    }

    #[test]
    fn keys_that_grow_are_new_without_asking() {
        let mut store = Store { keys: Keys::above(String::new()), ..Store::default() };
        assert_eq!(store.grow("k", 0, 300_000), 0);
        assert_eq!(store.grow("k", 250_000, 100), 100, "each of them is known or was seen of late");
        assert_eq!(store.grow("k", 0, 100), 100);
    }

    #[test]
    fn one_large_key_does_not_send_all_others_to_the_store() {
        let mut store = Store { keys: Keys::above(String::new()), ..Store::default() };
        store.post(&["zzz".to_owned()]);
        let asked = store.grow("k", 0, 200_000);
        assert!(asked < 500, "{asked}: no more than till the keys around them were looked for");
        // Many of them, one in each batch.
        for n in 0..1_000 {
            let mut batch: Vec<String> = (0..100).map(|i| format!("k{:09}", 300_000 + n * 100 + i)).collect();
            batch.insert(50, format!("zzz{n:05}"));
            store.post(&batch);
        }
        assert!(store.asked < 2_000, "{}", store.asked);
        // After a start.
        store.keys = Keys::above(store.held.last().cloned().unwrap_or_default());
        let asked = store.grow("k", 700_000, 50_000);
        assert!(asked < 1_000, "{asked}");
    }

    #[test]
    fn callers_who_count_for_themselves_have_a_gap_each() {
        let mut store = Store { keys: Keys::above(String::new()), ..Store::default() };
        for n in 0..60 {
            for caller in ["teller1-", "app-", "teller2-", "batch-"] {
                store.grow(caller, n * 1_000, 1_000);
            }
        }
        assert!(store.asked < 2_000, "{} of 240,000", store.asked);
        // More callers than gaps, and keys by chance, cost their asking and nothing else.
        for n in 0..20_usize {
            for caller in 0..12 {
                store.grow(&format!("c{caller}-"), n * 100, 100);
            }
            let by_chance =
                (0..100_u64).map(|i| format!("{:x}", xxhash_rust::xxh3::xxh3_64(&(n as u64 * 100 + i).to_be_bytes())));
            store.post(&by_chance.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_key_under_way_is_not_new_in_a_gap_though_it_was_forgotten() {
        let mut keys = Keys::above("m".into());
        assert_eq!(keys.take("k"), Seen::Perhaps);
        for n in 0..3 * KEYS_PER_GENERATION {
            keys.take(&format!("z{n:09}"));
        }
        // The store was asked around it before it came there.
        keys.learn("j".into(), Some("l".into()), ["k"].into_iter());
        assert_eq!(keys.take("k"), Seen::Lately);
        assert_eq!(keys.take("kk"), Seen::Never);
        for n in 0..3 * KEYS_PER_GENERATION {
            keys.take(&format!("z{:09}", KEYS_PER_GENERATION * 3 + n));
        }
        assert_eq!(keys.take("k"), Seen::Perhaps);
    }
}
