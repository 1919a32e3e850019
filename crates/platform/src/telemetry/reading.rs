//! Numbers read inside the process, by name: for a page that shows them.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use super::{Histogram, Metrics, Series};

/// How a histogram stood at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    bounds: &'static [u64],
    counts: Vec<u64>,
}

/// Where a part of the values ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    /// At or below this bound.
    Bound(u64),
    /// Above this bound, which is the last.
    Above(u64),
}

impl Histogram {
    /// How it stands now.
    #[must_use]
    pub fn spread(&self) -> Spread {
        Spread { bounds: self.0.bounds, counts: self.0.counts.iter().map(|count| count.load(Relaxed)).collect() }
    }
}

impl Spread {
    /// How many values were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What was counted after `earlier`, which was read from the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Spread) -> Spread {
        let counts = self.counts.iter().zip(&earlier.counts).map(|(now, then)| now.saturating_sub(*then));
        Spread { bounds: self.bounds, counts: counts.collect() }
    }

    /// The bound at or below which so many of a thousand values lie; none where nothing was counted.
    #[must_use]
    pub fn quantile(&self, per_mille: u64) -> Option<Below> {
        let wanted = (self.count() * per_mille).div_ceil(1_000);
        let mut seen = 0;
        for (i, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                let last = self.bounds.last().copied().unwrap_or(0);
                return Some(self.bounds.get(i).map_or(Below::Above(last), |bound| Below::Bound(*bound)));
            }
        }
        None
    }
}

impl Metrics {
    /// The histograms of a name, each with its labels as they are shown, like `service="x",route="/y"`.
    #[must_use]
    pub fn histograms(&self, name: &str) -> Vec<(String, Histogram)> {
        self.pick(name, |series| match series {
            Series::Histogram(histogram) => Some(histogram.clone()),
            Series::Counter(_) | Series::Gauge(_) => None,
        })
    }

    /// The gauges of a name, each with its labels.
    #[must_use]
    pub fn gauges(&self, name: &str) -> Vec<(String, i64)> {
        self.pick(name, |series| match series {
            Series::Gauge(gauge) => Some(gauge.get()),
            Series::Counter(_) | Series::Histogram(_) => None,
        })
    }

    fn pick<T>(&self, name: &str, pick: impl Fn(&Series) -> Option<T>) -> Vec<(String, T)> {
        let families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let series = families.get(name).into_iter().flat_map(|family| &family.series);
        series.filter_map(|(labels, series)| Some((labels.clone(), pick(series)?))).collect()
    }
}

/// The value of one label in labels as they are shown.
#[must_use]
pub fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = labels;
    loop {
        let (found, after) = rest.split_once("=\"")?;
        let end = after.find('"')?;
        if found == name {
            return Some(&after[..end]);
        }
        rest = after[end + 1..].strip_prefix(',')?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Unit;

    #[test]
    fn quantiles_are_bounds_of_what_came_since() {
        let metrics = Metrics::default();
        let took = metrics.histogram("took_seconds", "Took.", Unit::Micros, &[("route", "/a")]);
        took.record(20_000_000);
        let before = took.spread();
        assert_eq!(before.quantile(500), Some(Below::Above(10_000_000)));
        for us in [50, 90, 200, 7_000] {
            took.record(us);
        }
        let [(labels, found)] = metrics.histograms("took_seconds").try_into().expect("one series");
        assert_eq!(labels, "route=\"/a\"");
        let since = found.spread().since(&before);
        assert_eq!(
            (since.count(), since.quantile(500), since.quantile(990)),
            (4, Some(Below::Bound(100)), Some(Below::Bound(10_000)))
        );
        assert_eq!(before.since(&before).quantile(500), None);
        assert!(metrics.histograms("other").is_empty());
    }

    #[test]
    fn gauges_are_read_with_their_labels() {
        let metrics = Metrics::default();
        metrics.gauge("lag", "Lag.", &[("group", "a"), ("topic", "b.c")]).set(7);
        let gauges = metrics.gauges("lag");
        assert_eq!(gauges, [("group=\"a\",topic=\"b.c\"".to_owned(), 7)]);
        let labels = gauges[0].0.as_str();
        assert_eq!(
            (label(labels, "group"), label(labels, "topic"), label(labels, "x")),
            (Some("a"), Some("b.c"), None)
        );
    }
}
