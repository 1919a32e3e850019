//! `jangbu sim --shrink`: a shorter run that still fails in the same way.
//!
//! A run that ends after fewer acts is the same run up to there, so acts are bisected. Kinds of fault have dice of their
//! own, so leaving one out leaves the others in kind, though not in time. Fewer customers make another run altogether:
//! a few seeds are tried, and what is found is kept only when it is shorter.

use std::collections::BTreeSet;
use std::time::Duration;

use jangbu_platform::clock::ticks;
use jangbu_sim::simulated::day::{Failure, Plan, Report};
use jangbu_sim::simulated::faults::Fault;
use tokio::time::Instant;

use super::command;

/// How long it is searched unless told otherwise.
pub const LIMIT: Duration = Duration::from_secs(120);
/// Seeds tried for a run with fewer customers.
const SEEDS_TRIED: u64 = 4;
/// Sizes of a town that are tried.
const TOWNS: [usize; 5] = [3, 8, 20, 50, 100];
/// Of a hundred words, how many must be the same for two findings to be of one kind.
const SAME_WORDS_PER_CENT: usize = 50;

/// A search for a shorter run.
pub struct Search<'a> {
    run: &'a (dyn Fn(&Plan) -> Report + Sync),
    threads: usize,
    until: Instant,
    kind: Kind,
    best: (Plan, Report),
    runs: usize,
}

/// In what way a run failed.
struct Kind {
    doing: String,
    words: BTreeSet<String>,
}

impl Kind {
    fn of(failure: &Failure) -> Kind {
        // Ids, keys and amounts differ from run to run; words stay.
        let first = failure.findings.first().map_or("", String::as_str);
        let word = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
        let words = first.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(word).map(str::to_owned);
        Kind { doing: failure.doing.clone(), words: words.collect() }
    }

    fn is_of(&self, other: &Kind) -> bool {
        let (both, all) = (self.words.intersection(&other.words).count(), self.words.union(&other.words).count());
        self.doing == other.doing && both * 100 >= all * SAME_WORDS_PER_CENT
    }
}

impl<'a> Search<'a> {
    /// A search from a run that failed, by `run`, on so many threads, for about `limit`.
    ///
    /// # Errors
    /// The run did not fail.
    pub fn from(
        plan: Plan,
        report: Report,
        run: &'a (dyn Fn(&Plan) -> Report + Sync),
        threads: usize,
        limit: Duration,
    ) -> Result<Search<'a>, String> {
        let Some(failure) = &report.failure else { return Err(format!("seed {} did not fail", plan.seed)) };
        let kind = Kind::of(failure);
        Ok(Search { run, threads, until: ticks() + limit, kind, best: (plan, report), runs: 0 })
    }

    /// The shortest run found, what came of it, and how many were tried.
    pub fn shortest(mut self) -> (Plan, Report, usize) {
        self.fewer_days();
        self.fewer_acts();
        self.fewer_kinds();
        self.fewer_customers();
        self.fewer_acts();
        self.fewer_kinds();
        (self.best.0, self.best.1, self.runs)
    }

    fn is_over(&self) -> bool {
        ticks() >= self.until
    }

    /// Runs plans beside each other; for each whether it fails in the same way, with what came of it.
    fn try_some(&mut self, plans: &[Plan]) -> Vec<Option<Report>> {
        self.runs += plans.len();
        let (run, kind) = (self.run, &self.kind);
        let judged = |plan: &Plan| {
            let report = run(plan);
            let same = report.failure.as_ref().is_some_and(|failure| kind.is_of(&Kind::of(failure)));
            same.then_some(report)
        };
        std::thread::scope(|scope| {
            let running: Vec<_> = plans.iter().map(|plan| scope.spawn(|| judged(plan))).collect();
            running.into_iter().map(|one| one.join().unwrap_or(None)).collect()
        })
    }

    fn keep(&mut self, plan: Plan, report: Report) {
        eprintln!("run {}: {} acts still fail: {}", self.runs, report.acts, command(&plan));
        self.best = (plan, report);
    }

    /// Takes the first of these that fails in the same way; whether there was one.
    fn first_of(&mut self, plans: &[Plan]) -> bool {
        for some in plans.chunks(self.threads) {
            if self.is_over() {
                return false;
            }
            let tried = self.try_some(some);
            if let Some((plan, Some(report))) = some.iter().zip(tried).find(|(_, report)| report.is_some()) {
                self.keep(plan.clone(), report);
                return true;
            }
        }
        false
    }

    fn fewer_days(&mut self) {
        let days = self.best.0.days;
        let plans: Vec<Plan> = [1, days / 4, days / 2]
            .into_iter()
            .filter(|fewer| (1..days).contains(fewer))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .map(|days| Plan { days, ..self.best.0.clone() })
            .collect();
        self.first_of(&plans);
    }

    /// Bisects after how many acts nobody does anything any more, at several places at a time.
    fn fewer_acts(&mut self) {
        let mut enough = self.best.1.acts;
        let mut too_few = 0; // with no act at all there is no run
        while enough - too_few > 1 && !self.is_over() {
            let parts = (self.threads as u64 + 1).min(enough - too_few);
            let places: BTreeSet<u64> = (1..parts).map(|part| too_few + (enough - too_few) * part / parts).collect();
            let plan = |acts: &u64| Plan { acts_max: Some(*acts), ..self.best.0.clone() };
            let plans: Vec<Plan> = places.iter().map(plan).collect();
            let tried = self.try_some(&plans);
            let found = plans.iter().zip(tried).find_map(|(plan, report)| Some((plan.clone(), report?)));
            match found {
                Some((plan, report)) => {
                    enough = plan.acts_max.unwrap_or(enough);
                    too_few = places.range(..enough).next_back().copied().unwrap_or(too_few);
                    self.keep(plan, report);
                }
                None => too_few = places.last().copied().unwrap_or(too_few),
            }
        }
    }

    /// Leaves out kinds of fault, half of them at first, in the end one by one.
    fn fewer_kinds(&mut self) {
        let happened = |report: &Report| -> Vec<Fault> {
            Fault::ALL.iter().copied().filter(|kind| report.faults.contains_key(kind.name())).collect()
        };
        let mut size = happened(&self.best.1).len().div_ceil(2);
        while size > 0 && !self.is_over() {
            let kinds = happened(&self.best.1);
            let without = |gone: &[Fault]| {
                let only: Vec<Fault> = kinds.iter().copied().filter(|kind| !gone.contains(kind)).collect();
                let without = Fault::ALL.iter().copied().filter(|kind| !only.contains(kind)).collect();
                Plan { without, ..self.best.0.clone() }
            };
            let plans: Vec<Plan> = kinds.chunks(size).map(without).collect();
            if !self.first_of(&plans) {
                size /= 2;
            } else {
                size = size.min(happened(&self.best.1).len());
            }
        }
    }

    /// Tries smaller towns, each with a few seeds, and keeps what has fewer acts in the end.
    fn fewer_customers(&mut self) {
        let before = self.best.0.customers;
        for customers in TOWNS.into_iter().filter(|town| *town < before) {
            if self.is_over() {
                return;
            }
            let known = self.best.clone();
            let plan = |n| Plan { seed: known.0.seed.wrapping_add(n), customers, acts_max: None, ..known.0.clone() };
            let plans: Vec<Plan> = (0..SEEDS_TRIED).map(plan).collect();
            if self.first_of(&plans) {
                self.fewer_acts();
                if self.best.1.acts <= known.1.acts {
                    return;
                }
                self.best = known;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use jangbu_kernel::time::Timestamp;
    use jangbu_sim::simulated::faults::Level;

    use super::*;

    /// A world in which a torn write and the cache together lose a posting at the 37th act, and some seeds lose
    /// another thing sooner.
    fn world(plan: &Plan) -> Report {
        let acts = plan.acts_max.unwrap_or(600).min(600 * u64::from(plan.days));
        let on = |kind: Fault| !plan.without.contains(&kind);
        let lost = acts >= 37 && plan.customers >= 8 && on(Fault::TornFlush) && on(Fault::CacheWiped);
        let failure = |finding: String| Failure {
            at: Timestamp::from_micros(0),
            doing: "being judged".to_owned(),
            findings: vec![finding],
            story: Vec::new(),
            lines: Vec::new(),
        };
        let failed = if lost {
            Some(failure(format!("acc_{acts}: the bank has {acts} entries, should be {}", acts + 1)))
        } else if acts > 3 {
            Some(failure("another way in which runs may fail".to_owned()))
        } else {
            None
        };
        let faults: BTreeMap<_, _> = Fault::ALL.iter().filter(|k| on(**k)).map(|k| (k.name(), 1)).collect();
        let (seed, hash, steps, rare, postings) = (plan.seed, 0, 0, BTreeMap::new(), 0);
        Report { seed, hash, steps, faults, rare, acts, postings, exchanges: (0, 0), failure: failed }
    }

    #[test]
    fn the_shortest_run_has_the_act_the_town_and_the_faults_that_it_takes() {
        for threads in [1, 2, 5] {
            let plan = Plan { days: 5, ..Plan::of(1, Level::Hostile) };
            let report = world(&plan);
            let search = Search::from(plan, report, &world, threads, Duration::from_secs(60)).unwrap();
            let (plan, report, _) = search.shortest();
            assert_eq!((plan.days, plan.customers, plan.acts_max), (1, 8, Some(37)), "{threads} threads");
            let only: Vec<&Fault> = Fault::ALL.iter().filter(|kind| !plan.without.contains(kind)).collect();
            assert_eq!(only, [&Fault::TornFlush, &Fault::CacheWiped]);
            assert!(report.failure.unwrap().findings[0].contains("entries"));
        }
    }

    #[test]
    fn a_run_that_does_not_fail_can_not_be_made_shorter() {
        let plan = Plan { acts_max: Some(2), ..Plan::of(1, Level::Hostile) };
        let report = world(&plan);
        assert!(Search::from(plan, report, &world, 1, LIMIT).is_err());
    }

    #[test]
    fn time_bounds_the_search() {
        let plan = Plan::of(1, Level::Hostile);
        let report = world(&plan);
        let search = Search::from(plan, report, &world, 1, Duration::ZERO).unwrap();
        let (_, _, runs) = search.shortest();
        assert_eq!(runs, 0);
    }
}
