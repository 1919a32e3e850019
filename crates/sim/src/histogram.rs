//! How often which latency was met: whole numbers, few bytes, within one part in 64.

/// Steps within each power of two.
const STEPS: u64 = 64;
/// Powers of two that are told apart; a day in microseconds fits.
const POWERS: usize = 40;

/// Counts by size.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        let buckets = POWERS * usize::try_from(STEPS).unwrap_or(0);
        Self { counts: vec![0; buckets], count: 0, sum: 0, max: 0 }
    }
}

/// Below 64 each value has its own bucket; above, each power of two has 64.
fn bucket(value: u64) -> usize {
    if value < STEPS {
        return usize::try_from(value).unwrap_or(usize::MAX);
    }
    let shift = value.ilog2() - STEPS.ilog2();
    usize::try_from(u64::from(shift) * STEPS + (value >> shift)).unwrap_or(usize::MAX)
}

/// The greatest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let at = bucket as u64;
    if at < STEPS {
        return at;
    }
    ((at % STEPS + STEPS + 1) << (at / STEPS - 1)) - 1
}

impl Histogram {
    /// Counts a value.
    pub fn add(&mut self, value: u64) {
        let last = self.counts.len() - 1;
        self.counts[bucket(value).min(last)] += 1;
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        self.max = self.max.max(value);
    }

    /// Counts all that another counted.
    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean; zero when nothing was counted.
    #[must_use]
    pub fn mean(&self) -> u64 {
        self.sum / self.count.max(1)
    }

    /// The greatest.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    /// That many of a thousand are not above it.
    #[must_use]
    pub fn at_per_mille(&self, per_mille: u64) -> u64 {
        let wanted = (self.count * per_mille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (at, n) in self.counts.iter().enumerate() {
            seen += n;
            if seen >= wanted {
                return upper(at).min(self.max);
            }
        }
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_narrow() {
        let mut last = 0;
        for value in 0..5_000u64 {
            let at = bucket(value);
            assert!(at == last || at == last + 1, "{value}: {at} after {last}");
            last = at;
        }
        for value in (0..5_000u64).chain((12..40).map(|p| (1u64 << p) + p)) {
            let top = upper(bucket(value));
            assert!(top >= value && top - value <= value / 32, "{value}: up to {top}");
        }
    }

    #[test]
    fn parts_of_the_counted_are_found() {
        let mut h = Histogram::default();
        (1..=1_000).for_each(|v| h.add(v));
        assert_eq!((h.count(), h.mean(), h.max()), (1_000, 500, 1_000));
        assert!((500..=516).contains(&h.at_per_mille(500)), "{}", h.at_per_mille(500));
        assert!((990..=1_000).contains(&h.at_per_mille(990)));
        assert_eq!(h.at_per_mille(1_000), 1_000);
        let mut twice = h.clone();
        twice.merge(&h);
        assert_eq!((twice.count(), twice.mean()), (2_000, 500));
    }
}
