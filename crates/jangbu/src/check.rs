//! `jangbu check`: reads everything and proves the books, level by level, on a stopped bank or beside a running one.
//!
//! Each database is read in a snapshot of its own, so what is under way between two of them is told as timing. Accounting
//! is read first: what it has not taken when it is read, deposit has.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use jangbu_accounting::proof::Control;
use jangbu_contracts::breaks::{Break, Breaks, Class, Level};
use jangbu_platform::audit::{self, Chain};
use jangbu_platform::clock::RealClock;
use jangbu_platform::consumer::letters::parked_count;
use jangbu_platform::db::{Db, Fault};
use jangbu_platform::dice::Dice;
use jangbu_platform::log::Log;
use jangbu_platform::migrate::{self, Schema};
use jangbu_platform::service::ServiceSpec;
use serde::Serialize;

use crate::services::ALL;
use crate::{Ended, Failure, Verdict};

/// The service that keeps the general ledger.
const LEDGER: &str = "accounting";

/// What it is told.
#[derive(clap::Args)]
pub struct Args {
    /// The bank's directory.
    #[arg(long, conflicts_with = "config")]
    data: Option<PathBuf>,
    /// A service's configuration, which names the directory.
    #[arg(long)]
    config: Option<PathBuf>,
    /// One JSON object on stdout, and nothing else.
    #[arg(long)]
    json: bool,
}

/// What was read of one service.
#[derive(Debug, Serialize)]
struct Read {
    service: String,
    /// Postings, or journals.
    rows: u64,
    accounts: u64,
    deeds: i64,
    dead_letters: i64,
}

/// What is told at the end.
#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    breaks: u64,
    services: Vec<Read>,
    /// By level and class; what is behind only is no break.
    counts: Vec<(Level, Class, u64)>,
    told: Vec<Break>,
}

struct Check {
    dir: PathBuf,
    quiet: bool,
    read: Vec<Read>,
    breaks: Breaks,
    controls: Vec<Control>,
}

/// Reads everything.
///
/// # Errors
/// There is no bank in the directory, or it can't be read.
pub fn run(args: Args) -> Ended {
    let dir = crate::config::directory(args.data, args.config)?;
    let found = ALL.iter().any(|entry| file(&dir, entry.spec.name).is_file());
    if !found {
        return Err(Failure::World(format!("there is no bank in {}", dir.display())));
    }
    let check = Check { dir, quiet: args.json, read: Vec::new(), breaks: Breaks::default(), controls: Vec::new() };
    let report = crate::runtime()?.block_on(check.all())?;
    if args.json {
        crate::say(&serde_json::to_string(&report).map_err(|e| Failure::World(e.to_string()))?);
    } else {
        show(&report);
    }
    Ok(if report.ok { Verdict::Done } else { Verdict::No })
}

fn file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.db"))
}

/// Whether some process runs a service of the directory.
fn is_running(dir: &Path, service: &str) -> bool {
    File::open(dir.join(format!("{service}.lock"))).is_ok_and(|lock| lock.try_lock_shared().is_err())
}

fn show(report: &Report) {
    for read in &report.services {
        let Read { service, rows, accounts, deeds, dead_letters } = read;
        crate::say(&format!(
            "{service:<12} {rows} rows, {accounts} accounts, {deeds} deeds, {dead_letters} dead letters"
        ));
    }
    for Break { level, class, subject, detail } in &report.told {
        crate::say(&format!("{level:?} {class:?} {subject}: {detail}"));
    }
    for (level, class, count) in &report.counts {
        crate::say(&format!("{level:?} {class:?}: {count}"));
    }
    crate::say(if report.ok { "the books balance" } else { "the books DO NOT balance" });
}

impl Check {
    async fn all(mut self) -> Result<Report, Failure> {
        let is_ledger = |name: &str| name == LEDGER;
        let first = ALL.iter().filter(|entry| is_ledger(entry.spec.name));
        for entry in first.chain(ALL.iter().filter(|entry| !is_ledger(entry.spec.name))) {
            if file(&self.dir, entry.spec.name).is_file() {
                self.service(entry.spec).await?;
            }
        }
        let told = std::mem::take(&mut self.breaks.told);
        let breaks = self.breaks.count();
        let counts = self.breaks.counts().collect();
        Ok(Report { ok: breaks == 0, breaks, services: self.read, counts, told })
    }

    fn open(&self, name: &str) -> Result<Db, Fault> {
        Db::open_to_read(&file(&self.dir, name), Arc::new(RealClock), Dice::from_os())
    }

    /// A bar on a terminal, a line elsewhere, nothing with `--json`.
    fn progress(&self, what: &str) -> ProgressBar {
        if self.quiet || !std::io::stderr().is_terminal() {
            if !self.quiet {
                eprintln!("reading {what}");
            }
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{msg} {spinner} {human_pos} rows, {per_sec}");
        let style = style.expect("the template is right");
        ProgressBar::new_spinner().with_style(style).with_message(format!("reading {what}"))
    }

    async fn service(&mut self, spec: &'static ServiceSpec) -> Result<(), Failure> {
        let db = self.open(spec.name)?;
        if !self.common(spec, &db).await? {
            return Ok(()); // of another schema: what it holds can't be read by this program
        }
        let bar = self.progress(spec.name);
        let progress = |rows: u64| bar.set_position(rows);
        if spec.name == LEDGER {
            let mut tx = db.read("check.ledger").await?;
            let proof = jangbu_accounting::proof::proof(&mut tx, &progress).await?;
            for told in proof.told {
                self.breaks.add(Level::Journals, Class::Amount, LEDGER, || told);
            }
            self.note(spec.name, |read| read.rows = proof.journals);
            self.controls = proof.controls;
        } else if spec.migrations.as_ptr() == jangbu_deposit::service::KRW.migrations.as_ptr() {
            let proof = jangbu_deposit::proof::prove(&db, &progress).await?;
            self.control(spec, &proof).await?;
            self.note(spec.name, |read| (read.rows, read.accounts) = (proof.postings, proof.accounts));
            self.breaks.take(proof.breaks);
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn note(&mut self, service: &str, note: impl FnOnce(&mut Read)) {
        if let Some(read) = self.read.iter_mut().find(|read| read.service == service) {
            note(read);
        }
    }

    /// What every service has: a schema, a chain of deeds, dead letters. Whether the rest can be read.
    async fn common(&mut self, spec: &ServiceSpec, db: &Db) -> Result<bool, Failure> {
        let mut tx = db.read("check.common").await?;
        let why = match migrate::compare(&mut tx, spec.migrations).await {
            Ok(Schema::Current) => None,
            Ok(Schema::Behind(versions)) => {
                Some(format!("versions {versions:?} are missing: `jangbu migrate` adds them"))
            }
            Ok(Schema::Foreign(why)) => Some(why),
            Err(busy @ Fault::Busy(_)) => return Err(busy.into()),
            Err(e) => Some(format!("it has no schema of a bank: {e}")),
        };
        if let Some(why) = why {
            self.breaks.add(Level::Schema, Class::Damaged, spec.name, || why);
            return Ok(false);
        }
        let deeds = match audit::verify(&mut tx).await? {
            Chain::Whole { rows, .. } => rows,
            Chain::Broken { seq, why } => {
                self.breaks.add(Level::Audit, Class::Damaged, format!("{} {seq}", spec.name), || why);
                seq - 1
            }
        };
        let dead_letters = parked_count(&mut tx).await?;
        if dead_letters > 0 {
            let why = || format!("{dead_letters} events are parked and wait for an operator");
            self.breaks.add(Level::Events, Class::Timing, spec.name, why);
        }
        self.read.push(Read { service: spec.name.to_owned(), rows: 0, accounts: 0, deeds, dead_letters });
        Ok(true)
    }

    /// Customers' balances against the general ledger's control account. While events are on their way, a difference is
    /// one of time.
    async fn control(&mut self, spec: &ServiceSpec, proof: &jangbu_deposit::proof::Proof) -> Result<(), Failure> {
        if !file(&self.dir, LEDGER).is_file() {
            return Ok(());
        }
        let controls = self.controls.iter().filter(|control| control.instance == spec.name);
        let mut ledger: BTreeMap<_, _> = controls.map(|control| (control.currency, control.balance)).collect();
        let mut differ = Vec::new();
        for (currency, balance) in &proof.customers {
            let kept = ledger.remove(currency).unwrap_or(0);
            if kept != *balance {
                differ.push(format!("customers have {balance} {currency}, the control account {kept}"));
            }
        }
        differ.extend(ledger.iter().filter(|(_, kept)| **kept != 0).map(|(c, kept)| format!("{kept} {c} of nobody")));
        if differ.is_empty() {
            return Ok(());
        }
        let class = if self.is_under_way(spec, proof).await? { Class::Timing } else { Class::Amount };
        for why in differ {
            self.breaks.add(Level::Control, class, spec.name, || why);
        }
        Ok(())
    }

    /// Whether events of an instance wait to leave, to be taken, or in accounting for an operator.
    async fn is_under_way(&self, spec: &ServiceSpec, proof: &jangbu_deposit::proof::Proof) -> Result<bool, Failure> {
        let parked = self.read.iter().any(|read| read.service == LEDGER && read.dead_letters > 0);
        // A running bank goes on between the snapshots of its databases.
        if proof.unsent > 0 || parked || is_running(&self.dir, spec.name) {
            return Ok(true);
        }
        let log = Log::open_to_read(&file(&self.dir, "log"), Arc::new(RealClock), Dice::from_os())?;
        for topic in spec.tells {
            if log.lag(LEDGER, topic).await? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
