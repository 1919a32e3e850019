//! `jangbu sim`: the whole bank in one deterministic simulation, seed by seed.

#[cfg(test)]
mod documented;
mod progress;
mod shrink;
mod summary;
mod watch;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jangbu_platform::clock::{Clock as _, RealClock, ticks};
use jangbu_sim::simulated::day::{self, Plan, Report};
use jangbu_sim::simulated::faults::{Fault, Level};

use crate::{Ended, Failure, Verdict, say, services};
use progress::Progress;
use summary::Summary;

/// Failures that are told in full; with so many a run of many seeds ends.
const TOLD_MAX: usize = 5;
/// Customers unless told.
const CUSTOMERS: usize = 200;
/// Acts of a day unless told.
const ACTS: u64 = 400;

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
    #[arg(long, default_value_t = CUSTOMERS)]
    customers: usize,
    /// What customers do on a day, besides taking interest.
    #[arg(long, default_value_t = ACTS)]
    acts: u64,
    /// Ends the work of customers after so many acts, taking interest included.
    #[arg(long)]
    acts_max: Option<u64>,
    /// Kinds of fault that are left out, by name; may be given often.
    #[arg(long)]
    without: Vec<String>,
    /// The only kinds of fault that may happen, by name; may be given often.
    #[arg(long, conflicts_with = "without")]
    only: Vec<String>,
    /// Ends after so many seconds, whatever number of seeds that makes.
    #[arg(long)]
    seconds: Option<u64>,
    /// Seeds run at a time, each on a thread of its own; as many as there are cores unless told.
    #[arg(long)]
    threads: Option<usize>,
    /// Shows the run on a page of this machine as it goes, at adjustable speed; seed after seed unless --seeds says how
    /// many.
    #[arg(long, conflicts_with_all = ["json", "summary", "shrink", "seconds", "threads"])]
    watch: bool,
    /// Port of the page; 0 takes a free one.
    #[arg(long, default_value_t = 8080, requires = "watch")]
    port: u16,
    /// Looks for a shorter run that fails in the same way, for two minutes unless --seconds says otherwise.
    #[arg(long, requires = "seed", conflicts_with_all = ["seeds", "json", "summary"])]
    shrink: bool,
    /// Writes the trace of all that happens to stderr.
    #[arg(long)]
    trace: bool,
    /// Fails when a rare event of the list was not met by any seed.
    #[arg(long)]
    require_rare: bool,
    /// Ends with one line of JSON on stdout, and nothing else there.
    #[arg(long)]
    json: bool,
    /// Writes what came of all seeds to a file, as JSON.
    #[arg(long)]
    summary: Option<PathBuf>,
    /// A defect to plant, by name; the first seed that finds it ends the run.
    #[cfg(feature = "defects")]
    #[arg(long)]
    defect: Option<String>,
}

/// The kinds of fault of these names.
fn kinds(names: &[String]) -> Result<Vec<Fault>, Failure> {
    let kind = |name: &String| {
        let found = Fault::ALL.iter().copied().find(|kind| kind.name() == name);
        let known = || Fault::ALL.iter().map(|kind| format!("{:?}", kind.name())).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| Failure::Use(format!("{name:?} is no kind of fault; there are {}", known())))
    };
    names.iter().map(kind).collect()
}

impl Args {
    fn plan(&self, seed: u64) -> Result<Plan, Failure> {
        let mut without = kinds(&self.without)?;
        if !self.only.is_empty() {
            let only = kinds(&self.only)?;
            without = Fault::ALL.iter().copied().filter(|kind| !only.contains(kind)).collect();
        }
        if self.customers < 2 || self.days == 0 {
            return Err(Failure::Use("a simulation needs two customers and a day".to_owned()));
        }
        let (customers, days, acts_per_day, acts_max) = (self.customers, self.days, self.acts, self.acts_max);
        let (plan, defect) = (Plan::of(seed, self.faults), self.planted()?);
        Ok(Plan { customers, days, acts_per_day, acts_max, without, aloud: self.trace, defect, ..plan })
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

    fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
    }
}

/// The command that runs a plan again.
#[must_use]
pub fn command(plan: &Plan) -> String {
    let mut line = format!("jangbu sim --seed {} --faults {}", plan.seed, plan.level);
    let mut add = |name: &str, value: &dyn std::fmt::Display, usual: bool| {
        if !usual {
            line += &format!(" --{name} {value}");
        }
    };
    add("days", &plan.days, plan.days == 1);
    add("customers", &plan.customers, plan.customers == CUSTOMERS);
    add("acts", &plan.acts_per_day, plan.acts_per_day == ACTS);
    add("defect", &plan.defect.unwrap_or_default(), plan.defect.is_none());
    add("acts-max", &plan.acts_max.unwrap_or(0), plan.acts_max.is_none());
    let only: Vec<Fault> = Fault::ALL.iter().copied().filter(|kind| !plan.without.contains(kind)).collect();
    let few = !only.is_empty() && only.len() < plan.without.len();
    let (name, listed) = if few { ("only", &only) } else { ("without", &plan.without) };
    for kind in listed {
        add(name, &format!("{:?}", kind.name()), false);
    }
    line
}

/// Runs `jangbu sim`.
///
/// # Errors
/// It is told nonsense, or the summary can't be written.
pub fn run(args: Args) -> Ended {
    let first = args.seed.unwrap_or_else(|| RealClock.now().micros().unsigned_abs());
    args.plan(first)?;
    day::note_panics();
    if args.watch {
        return watch::run(args, first);
    }
    if args.shrink {
        return shorten(&args, first);
    }
    let summary = run_seeds(&args, first);
    if let Some(file) = &args.summary {
        let written = std::fs::write(file, format!("{}\n", summary.json()));
        written.map_err(|e| Failure::World(format!("could not write {}: {e}", file.display())))?;
    }
    if args.json {
        say(&summary.json().to_string());
    } else {
        summary.lines().iter().for_each(|line| say(line));
    }
    let missing = if args.require_rare { summary.missing() } else { Vec::new() };
    for (name, what) in &missing {
        eprintln!("never met: {name}: {what}");
    }
    Ok(if summary.failures() == 0 && missing.is_empty() { Verdict::Done } else { Verdict::No })
}

/// Runs a seed, and looks for a shorter run that fails as it does.
fn shorten(args: &Args, seed: u64) -> Ended {
    let run = |plan: &Plan| day::run(plan, services::ALL);
    let plan = args.plan(seed)?;
    let report = run(&plan);
    tell(args, &plan, &report);
    if report.failure.is_none() {
        say("it did not fail: there is nothing to make shorter");
        return Ok(Verdict::Done);
    }
    let limit = args.seconds.map_or(shrink::LIMIT, Duration::from_secs);
    let search = shrink::Search::from(plan, report, &run, args.threads(), limit).map_err(Failure::World)?;
    let (plan, report, runs) = search.shortest();
    if let Some(failure) = &report.failure {
        say(&format!(
            "the shortest of {runs} runs, with {} acts, fails at {failure}  again: {}",
            report.acts,
            command(&plan)
        ));
    }
    Ok(Verdict::No)
}

/// Runs seeds one after the other on all threads, until there are enough, or enough have failed.
fn run_seeds(args: &Args, first: u64) -> Summary {
    let limit = args.seconds.map(Duration::from_secs);
    let seeds = if limit.is_some() && args.seeds == 1 { u64::MAX } else { args.seeds };
    let threads = args.threads().min(usize::try_from(seeds).unwrap_or(usize::MAX)).max(1);
    let (began, next, enough) = (ticks(), AtomicU64::new(0), AtomicBool::new(false));
    let progress = Progress::new(seeds, limit);
    let summary = Mutex::new(Summary::new(args.days));
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
                    progress.hide(|| tell(args, &plan, &report));
                    let mut summary = summary.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    summary.add(n, &plan, report);
                    enough.store(summary.failures() >= args.failures_max(), Ordering::SeqCst);
                    progress.one_more(summary.seeds(), summary.failures());
                }
            });
        }
    });
    progress.end();
    let mut summary = summary.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    summary.took = began.elapsed();
    summary
}

/// Tells of one seed: its failure on stderr, beside JSON that is for programs.
fn tell(args: &Args, plan: &Plan, report: &Report) {
    if let Some(failure) = &report.failure {
        eprintln!("seed {} failed at {failure}  again: {}", report.seed, command(plan));
    } else if !args.json && args.seeds == 1 && args.seconds.is_none() {
        let Report { seed, postings, steps, hash, .. } = report;
        say(&format!("seed {seed}: {postings} postings, {steps} steps, hash {hash:016x}"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Told {
        #[command(flatten)]
        args: Args,
    }

    fn plan(words: &[&str]) -> Result<Plan, Failure> {
        let words = std::iter::once("sim").chain(words.iter().copied());
        Told::try_parse_from(words).unwrap().args.plan(7)
    }

    #[test]
    fn a_plan_is_run_again_by_its_command() {
        for (words, wanted) in [
            (&[][..], "jangbu sim --seed 7 --faults hostile"),
            (&["--faults", "some", "--days", "3"], "jangbu sim --seed 7 --faults some --days 3"),
            (
                &["--customers", "9", "--acts", "8", "--acts-max", "5", "--without", "slow flush"],
                "jangbu sim --seed 7 --faults hostile --customers 9 --acts 8 --acts-max 5 --without \"slow flush\"",
            ),
            (
                &["--only", "cache wiped", "--only", "slow flush"],
                "jangbu sim --seed 7 --faults hostile --only \"slow flush\" --only \"cache wiped\"",
            ),
        ] {
            assert_eq!(command(&plan(words).unwrap()), wanted);
        }
    }

    #[test]
    fn nonsense_is_told_apart() {
        for words in [&["--without", "sunshine"][..], &["--only", "rain"], &["--customers", "1"], &["--days", "0"]] {
            assert!(matches!(plan(words), Err(Failure::Use(_))), "{words:?}");
        }
    }
}
