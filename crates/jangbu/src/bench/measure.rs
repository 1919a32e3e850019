//! How long answers took.

use std::time::Duration;

use serde::Serialize;

/// Microseconds up to which each has a bucket of its own; above, buckets grow with the value.
const FINE: u64 = 1 << 7;
const BUCKETS: usize = 64 * FINE as usize;

/// Times of answers, counted in buckets no wider than one part in 64 of the value.
pub struct Latencies {
    counts: Vec<u32>,
    count: u64,
    sum_us: u64,
    max_us: u64,
}

/// Times of answers, told, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Took {
    /// Mean.
    pub mean_us: u64,
    /// Half were no slower.
    pub p50_us: u64,
    /// 99 of 100 were no slower.
    pub p99_us: u64,
    /// The slowest.
    pub max_us: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], count: 0, sum_us: 0, max_us: 0 }
    }
}

fn bucket(us: u64) -> usize {
    if us < FINE {
        return usize::try_from(us).unwrap_or(0);
    }
    let shift = u64::from(us.ilog2()) - 6;
    usize::try_from(shift * 64 + (us >> shift)).unwrap_or(BUCKETS - 1).min(BUCKETS - 1)
}

/// The greatest value of a bucket.
fn top(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < FINE {
        return bucket;
    }
    let shift = (bucket - 64) / 64;
    ((bucket - shift * 64 + 1) << shift) - 1
}

impl Latencies {
    /// Counts `times` answers that took as long.
    pub fn add(&mut self, took: Duration, times: u32) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(us)] += times;
        self.count += u64::from(times);
        self.sum_us += us * u64::from(times);
        self.max_us = self.max_us.max(us);
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Latencies) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.count += other.count;
        self.sum_us += other.sum_us;
        self.max_us = self.max_us.max(other.max_us);
    }

    /// What they come to.
    pub fn took(&self) -> Took {
        let at = |percent: u64| {
            let wanted = (self.count * percent).div_ceil(100).max(1);
            let mut seen = 0;
            let found = self.counts.iter().position(|n| {
                seen += u64::from(*n);
                seen >= wanted
            });
            found.map_or(0, top).min(self.max_us)
        };
        Took { mean_us: self.sum_us / self.count.max(1), p50_us: at(50), p99_us: at(99), max_us: self.max_us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_in_order() {
        for us in (0..10_000u64).chain([123_456, 9_999_999, 60_000_000]) {
            let upper = top(bucket(us));
            assert!(upper >= us && upper - us <= us / 64 + 1, "{us} counts as {upper}");
            assert!(bucket(us + 1) >= bucket(us));
        }
    }

    #[test]
    fn quantiles_are_of_answers() {
        let mut all = Latencies::default();
        (1..=100u64).for_each(|us| all.add(Duration::from_micros(us), 2));
        let took = all.took();
        assert_eq!((took.mean_us, took.p50_us, took.p99_us, took.max_us), (50, 50, 99, 100));
    }
}
