//! `jangbu sim`: the whole bank in one deterministic simulation, seed by seed.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jangbu_platform::clock::{Clock as _, RealClock, ticks};
use jangbu_sim::simulated::day::{self, Plan, Report};
use jangbu_sim::simulated::faults::{Fault, Level};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use crate::{Ended, Failure, Verdict, say, services};

/// Failures that are told in full; further ones are counted.
const TOLD_MAX: usize = 5;

/// What it is told.
#[derive(clap::Args)]
pub struct Args {
    /// Where all chance begins; the time of day unless told.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds, one after the other from the first.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Days of each.
    #[arg(long, default_value_t = 1)]
    days: u32,
    /// How hard the world is: none, some, hostile.
    #[arg(long, default_value_t = Level::Hostile)]
    faults: Level,
    /// Customers.
    #[arg(long, default_value_t = 200)]
    customers: usize,
    /// What customers do on a day, besides taking interest.
    #[arg(long, default_value_t = 400)]
    acts: u64,
    /// Kinds of fault that are left out, by name; may be given often.
    #[arg(long)]
    without: Vec<String>,
    /// Ends after so many seconds, whatever number of seeds that makes.
    #[arg(long)]
    seconds: Option<u64>,
    /// Seeds run at a time, each on a thread of its own; as many as there are cores unless told.
    #[arg(long)]
    threads: Option<usize>,
    /// Writes the trace of all that happens to stderr.
    #[arg(long)]
    trace: bool,
    /// Ends with one line of JSON on stdout, and nothing else there.
    #[arg(long)]
    json: bool,
    /// A defect to plant, by name; the first seed that finds it ends the run.
    #[cfg(feature = "defects")]
    #[arg(long)]
    defect: Option<String>,
}

impl Args {
    fn plan(&self, seed: u64) -> Result<Plan, Failure> {
        let kind = |name: &String| {
            let found = Fault::ALL.iter().copied().find(|kind| kind.name() == name);
            found.ok_or_else(|| Failure::Use(format!("{name:?} is no kind of fault")))
        };
        let without = self.without.iter().map(kind).collect::<Result<_, _>>()?;
        let (plan, defect) = (Plan::of(seed, self.faults), self.planted()?);
        let (customers, days, acts_per_day) = (self.customers, self.days, self.acts);
        Ok(Plan { customers, days, acts_per_day, without, aloud: self.trace, defect, ..plan })
    }

    /// The defect that is planted; never one in a build that has none.
    fn planted(&self) -> Result<Option<&'static str>, Failure> {
        #[cfg(feature = "defects")]
        if let Some(name) = &self.defect {
            let found = jangbu_sim::simulated::defects::named(name);
            return found.map(Some).ok_or_else(|| Failure::Use(format!("{name:?} is no defect that is listed")));
        }
        Ok(None)
    }

    /// After how many failures the run ends.
    fn failures_max(&self) -> usize {
        if matches!(self.planted(), Ok(None)) { TOLD_MAX } else { 1 }
    }

    /// The command that runs a seed again.
    fn again(&self, seed: u64) -> String {
        let mut line = format!("jangbu sim --seed {seed} --faults {}", self.faults);
        if self.days != 1 {
            line += &format!(" --days {}", self.days);
        }
        if self.customers != 200 {
            line += &format!(" --customers {}", self.customers);
        }
        if self.acts != 400 {
            line += &format!(" --acts {}", self.acts);
        }
        if let Ok(Some(name)) = self.planted() {
            line += &format!(" --defect {name}");
        }
        for kind in &self.without {
            line += &format!(" --without {kind:?}");
        }
        line
    }
}

/// What all runs gave together.
#[derive(Default)]
struct Sum {
    reports: BTreeMap<u64, Report>,
}

/// Runs `jangbu sim`.
///
/// # Errors
/// It is told nonsense.
pub fn run(args: Args) -> Ended {
    let first = args.seed.unwrap_or_else(|| RealClock.now().micros().unsigned_abs());
    args.plan(first)?;
    if args.customers < 2 || args.days == 0 {
        return Err(Failure::Use("a simulation needs two customers and a day".to_owned()));
    }
    day::note_panics();
    let began = ticks();
    let limit = args.seconds.map(Duration::from_secs);
    let seeds = if limit.is_some() && args.seeds == 1 { u64::MAX } else { args.seeds };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.unwrap_or(cores).clamp(1, usize::try_from(seeds).unwrap_or(cores).max(1));
    let (next, enough, sum) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(Sum::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !enough.load(Ordering::SeqCst) && limit.is_none_or(|limit| began.elapsed() < limit) {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    if n >= seeds {
                        return;
                    }
                    let Ok(plan) = args.plan(first.wrapping_add(n)) else { return };
                    let report = day::run(&plan, services::ALL);
                    tell(&args, &report);
                    let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    sum.reports.insert(n, report);
                    let failed = sum.reports.values().filter(|report| report.failure.is_some()).count();
                    enough.store(failed >= args.failures_max(), Ordering::SeqCst);
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(conclude(&args, &sum, began.elapsed()))
}

/// Tells of one seed, on stderr when stdout is for JSON.
fn tell(args: &Args, report: &Report) {
    if let Some(failure) = &report.failure {
        eprintln!("seed {} failed at {failure}", report.seed);
        if !args.trace {
            for line in failure.lines.iter().rev().take(40).rev() {
                eprintln!("    {line}");
            }
        }
        eprintln!("  again: {}", args.again(report.seed));
    } else if !args.json && args.seeds == 1 && args.seconds.is_none() {
        say(&format!(
            "seed {}: {} postings, {} steps, hash {:016x}",
            report.seed, report.postings, report.steps, report.hash
        ));
    }
}

fn conclude(args: &Args, sum: &Sum, took: Duration) -> Verdict {
    let (mut faults, mut rare, mut hashes) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let mut postings = 0;
    for report in sum.reports.values() {
        for (kind, count) in &report.faults {
            *faults.entry(*kind).or_insert(0u64) += count;
        }
        for (name, count) in &report.rare {
            *rare.entry(*name).or_insert(0u64) += count;
        }
        postings += report.postings;
        hashes.extend(report.hash.to_le_bytes());
    }
    let failed: Vec<&Report> = sum.reports.values().filter(|report| report.failure.is_some()).collect();
    let hash = format!("{:016x}", xxh3_64(&hashes));
    let (seeds, days) = (sum.reports.len(), sum.reports.len() as u64 * u64::from(args.days));
    if args.json {
        let failure = |report: &&Report| {
            let failure = report.failure.as_ref();
            json!({
                "seed": report.seed,
                "at": failure.map(|f| f.at.to_string()),
                "doing": failure.map(|f| f.doing.clone()),
                "findings": failure.map(|f| f.findings.clone()),
                "again": args.again(report.seed),
            })
        };
        let failures: Vec<_> = failed.iter().map(failure).collect();
        let line = json!({
            "seeds": seeds, "days": days, "failures": failures, "hash": hash, "faults": faults, "rare": rare,
            "postings": postings, "seconds": took.as_secs(),
        });
        say(&line.to_string());
    } else {
        let ms = took.as_millis();
        say(&format!("{seeds} seeds, {days} days, {postings} postings in {ms} ms; hash {hash}"));
        say(&format!("faults: {}", listed(&faults)));
        say(&format!("rare: {}", listed(&rare)));
        say(&format!("{} failures", failed.len()));
    }
    if failed.is_empty() { Verdict::Done } else { Verdict::No }
}

fn listed(counts: &BTreeMap<&str, u64>) -> String {
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}
