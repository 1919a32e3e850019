//! What came of all seeds together: for people, for programs, and for the file that CI keeps.

use std::collections::BTreeMap;
use std::time::Duration;

use jangbu_sim::simulated::day::{Plan, Report};
use jangbu_sim::simulated::rare;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::command;

/// What all runs gave together.
pub struct Summary {
    days: u32,
    hashes: BTreeMap<u64, u64>,
    faults: BTreeMap<&'static str, u64>,
    rare: BTreeMap<&'static str, u64>,
    postings: usize,
    acts: u64,
    exchanges: (usize, usize),
    first: Option<u64>,
    failed: BTreeMap<u64, Value>,
    /// How long all of it took.
    pub took: Duration,
}

impl Summary {
    /// Of no seeds yet, each with that many days.
    #[must_use]
    pub fn new(days: u32) -> Summary {
        let (hashes, faults, rare, failed) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Summary {
            days,
            hashes,
            faults,
            rare,
            postings: 0,
            acts: 0,
            exchanges: (0, 0),
            first: None,
            failed,
            took: Duration::ZERO,
        }
    }

    /// Adds the run with that number in the order of seeds.
    pub fn add(&mut self, n: u64, plan: &Plan, report: Report) {
        for (kind, count) in &report.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
        for (name, count) in &report.rare {
            *self.rare.entry(*name).or_default() += count;
        }
        self.postings += report.postings;
        self.acts += report.acts;
        self.exchanges.0 += report.exchanges.0;
        self.exchanges.1 += report.exchanges.1;
        if n == 0 {
            self.first = Some(report.seed);
        }
        self.hashes.insert(n, report.hash);
        if let Some(failure) = &report.failure {
            let failed = json!({
                "seed": report.seed,
                "at": failure.at.to_string(),
                "doing": failure.doing,
                "findings": failure.findings,
                "story": failure.story,
                "again": command(plan),
            });
            self.failed.insert(n, failed);
        }
    }

    /// How many seeds.
    #[must_use]
    pub fn seeds(&self) -> usize {
        self.hashes.len()
    }

    /// How many of them failed.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.failed.len()
    }

    /// Rare events that none of them met, with what they are.
    #[must_use]
    pub fn missing(&self) -> Vec<(&'static str, &'static str)> {
        rare::missing(&self.rare)
    }

    fn bank_days(&self) -> u64 {
        self.seeds() as u64 * u64::from(self.days)
    }

    /// One hash over the traces of all seeds, in their order.
    #[must_use]
    pub fn hash(&self) -> String {
        let bytes: Vec<u8> = self.hashes.values().flat_map(|hash| hash.to_le_bytes()).collect();
        format!("{:016x}", xxh3_64(&bytes))
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let failures: Vec<&Value> = self.failed.values().collect();
        json!({
            "first_seed": self.first, "seeds": self.seeds(), "days": self.bank_days(), "failures": failures,
            "hash": self.hash(), "faults": self.faults, "rare": self.rare,
            "rare_missing": self.missing().iter().map(|(name, _)| name).collect::<Vec<_>>(), "postings": self.postings,
            "acts": self.acts, "exchanges": self.exchanges.0, "exchanged": self.exchanges.1, "seconds": self.took.as_secs(),
        })
    }

    /// For people.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let (seeds, days, postings, ms) = (self.seeds(), self.bank_days(), self.postings, self.took.as_millis());
        let (begun, done) = self.exchanges;
        let mut lines = vec![
            format!("{seeds} seeds, {days} bank-days, {postings} postings in {ms} ms; hash {}", self.hash()),
            format!("{begun} exchanges, of which {done} succeeded"),
            format!("faults: {}", listed(&self.faults)),
            format!("rare: {}", listed(&self.rare)),
            format!("{} failures", self.failures()),
        ];
        lines.extend(self.failed.values().filter_map(|failed| Some(format!("  {}", failed["again"].as_str()?))));
        lines
    }
}

fn listed(counts: &BTreeMap<&str, u64>) -> String {
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}
