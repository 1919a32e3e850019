//! What a running bank tells about itself: numbers for Prometheus ([`Metrics`]) and lines for people or programs
//! ([`logging`]).
//!
//! Handles are taken once, at start, with their labels fixed; counting is then one atomic addition. No number is a
//! float: durations are counted in microseconds and only written as decimal seconds.

pub mod logging;
pub mod reading;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Series that one process shows at most. Beyond it handles still count, but nobody sees them.
pub const SERIES_MAX: usize = 4_096;

/// Bounds of latency histograms, in microseconds.
pub const LATENCY_BOUNDS_US: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];
/// Bounds of histograms that count things, like the size of batches.
pub const SIZE_BOUNDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192];

/// A number that only grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }
    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }
    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }
    /// Changes it.
    pub fn add(&self, delta: i64) {
        self.0.fetch_add(delta, Relaxed);
    }
    /// The number.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// What a histogram measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds, shown as seconds.
    Micros,
    /// Things.
    Count,
}

/// How often values fell below each bound.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    unit: Unit,
    bounds: &'static [u64],
    /// One per bound and one for all above.
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

impl Histogram {
    fn new(unit: Unit) -> Self {
        let bounds = match unit {
            Unit::Micros => LATENCY_BOUNDS_US,
            Unit::Count => SIZE_BOUNDS,
        };
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Buckets { unit, bounds, counts, sum: AtomicU64::new(0) }))
    }

    /// Counts a value: microseconds or things.
    pub fn record(&self, value: u64) {
        let bucket = self.0.bounds.partition_point(|bound| *bound < value);
        self.0.counts[bucket].fetch_add(1, Relaxed);
        self.0.sum.fetch_add(value, Relaxed);
    }

    /// Counts a duration.
    pub fn record_duration(&self, duration: std::time::Duration) {
        self.record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// How many values were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Relaxed)).sum()
    }
}

enum Series {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

struct Family {
    help: &'static str,
    kind: &'static str,
    series: BTreeMap<String, Series>,
}

/// All numbers of a process. Cheap to clone; handed in, so that two banks in one process don't mix.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<BTreeMap<&'static str, Family>>>);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// A counter; the same one for the same name and labels. By custom the name ends with `_total`.
    #[must_use]
    pub fn counter(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Counter {
        self.series(
            name,
            help,
            "counter",
            labels,
            || Series::Counter(Counter::default()),
            |found| match found {
                Series::Counter(counter) => Some(counter.clone()),
                Series::Gauge(_) | Series::Histogram(_) => None,
            },
        )
        .unwrap_or_default()
    }

    /// A gauge; the same one for the same name and labels.
    #[must_use]
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Gauge {
        self.series(
            name,
            help,
            "gauge",
            labels,
            || Series::Gauge(Gauge::default()),
            |found| match found {
                Series::Gauge(gauge) => Some(gauge.clone()),
                Series::Counter(_) | Series::Histogram(_) => None,
            },
        )
        .unwrap_or_default()
    }

    /// A histogram; the same one for the same name and labels. Of durations by custom the name ends with `_seconds`.
    #[must_use]
    pub fn histogram(&self, name: &'static str, help: &'static str, unit: Unit, labels: &[(&str, &str)]) -> Histogram {
        self.series(
            name,
            help,
            "histogram",
            labels,
            || Series::Histogram(Histogram::new(unit)),
            |found| match found {
                Series::Histogram(histogram) => Some(histogram.clone()),
                Series::Counter(_) | Series::Gauge(_) => None,
            },
        )
        .unwrap_or_else(|| Histogram::new(unit))
    }

    fn series<T>(
        &self,
        name: &'static str,
        help: &'static str,
        kind: &'static str,
        labels: &[(&str, &str)],
        make: impl FnOnce() -> Series,
        pick: impl FnOnce(&Series) -> Option<T>,
    ) -> Option<T> {
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = families.values().map(|family| family.series.len()).sum();
        let family = families.entry(name).or_insert_with(|| Family { help, kind, series: BTreeMap::new() });
        debug_assert_eq!(family.kind, kind, "{name} is a {} already", family.kind);
        let labels = labels_text(labels);
        if !family.series.contains_key(&labels) && total >= SERIES_MAX {
            tracing::warn!(metric = name, "there are too many series; this one is not shown");
            return None;
        }
        pick(family.series.entry(labels).or_insert_with(make))
    }

    /// Everything as Prometheus reads it (text format 0.0.4).
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        for (name, family) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {}", family.help, family.kind);
            for (labels, series) in &family.series {
                let _ = match series {
                    Series::Counter(counter) => writeln!(out, "{name}{} {}", braces(labels), counter.get()),
                    Series::Gauge(gauge) => writeln!(out, "{name}{} {}", braces(labels), gauge.get()),
                    Series::Histogram(histogram) => render_histogram(&mut out, name, labels, &histogram.0),
                };
            }
        }
        out
    }
}

fn render_histogram(out: &mut String, name: &str, labels: &str, buckets: &Buckets) -> std::fmt::Result {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut total = 0;
    for (i, count) in buckets.counts.iter().enumerate() {
        total += count.load(Relaxed);
        let le = buckets.bounds.get(i).map_or_else(|| "+Inf".to_owned(), |bound| number(buckets.unit, *bound));
        writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{le}\"}} {total}")?;
    }
    writeln!(out, "{name}_sum{} {}", braces(labels), number(buckets.unit, buckets.sum.load(Relaxed)))?;
    writeln!(out, "{name}_count{} {total}", braces(labels))
}

/// Microseconds as decimal seconds, things as they are.
fn number(unit: Unit, value: u64) -> String {
    match unit {
        Unit::Count => value.to_string(),
        Unit::Micros => {
            let text = format!("{}.{:06}", value / 1_000_000, value % 1_000_000);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

fn braces(labels: &str) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{labels}}}") }
}

fn labels_text(labels: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (i, (name, value)) in labels.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(out, "{comma}{name}=\"{value}\"");
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_are_shown_as_prometheus_reads_them() {
        let metrics = Metrics::default();
        metrics.counter("calls_total", "Calls.", &[("path", "/a\"b")]).add(2);
        metrics.counter("calls_total", "Calls.", &[("path", "/a\"b")]).inc();
        metrics.gauge("waiting", "Waiting.", &[]).set(-4);
        let latency = metrics.histogram("took_seconds", "Took.", Unit::Micros, &[("f", "x")]);
        for us in [1, 100, 101, 1_500_000, 90_000_000] {
            latency.record(us);
        }
        let text = metrics.render();
        for line in [
            "# TYPE calls_total counter",
            "calls_total{path=\"/a\\\"b\"} 3",
            "waiting -4",
            "took_seconds_bucket{f=\"x\",le=\"0.0001\"} 2",
            "took_seconds_bucket{f=\"x\",le=\"0.00025\"} 3",
            "took_seconds_bucket{f=\"x\",le=\"2.5\"} 4",
            "took_seconds_bucket{f=\"x\",le=\"+Inf\"} 5",
            "took_seconds_sum{f=\"x\"} 91.500202",
            "took_seconds_count{f=\"x\"} 5",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn series_are_bounded() {
        let metrics = Metrics::default();
        for i in 0..=SERIES_MAX {
            metrics.counter("many_total", "Many.", &[("i", &i.to_string())]).inc();
        }
        assert_eq!(metrics.render().lines().count(), SERIES_MAX + 2);
        metrics.counter("many_total", "Many.", &[("i", "7")]).inc();
        assert!(metrics.render().contains("many_total{i=\"7\"} 2"));
    }
}
