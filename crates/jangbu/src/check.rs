//! `jangbu check`: reads everything and proves the books, level by level, on a stopped bank or beside a running one.
//!
//! Each database is read in a snapshot of its own, so beside a running bank some postings are under way between two of
//! them. Accounting is read first: what it has not taken when it is read, deposit has. Postings are held against journals
//! one by one (`beside`), and only those that are really on their way (`way`) are told as timing.

mod beside;
mod exchanges;
mod way;

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use jangbu_accounting::proof::{Control, Journaled, OpenExchange};
use jangbu_contracts::breaks::{Break, Breaks, Class, Level};
use jangbu_kernel::id::ExchangeId;
use jangbu_kernel::money::Currency;
use jangbu_platform::audit::{self, Chain};
use jangbu_platform::clock::RealClock;
use jangbu_platform::consumer::letters::parked_count;
use jangbu_platform::db::{Db, Fault, Tx};
use jangbu_platform::dice::Dice;
use jangbu_platform::migrate::{self, Schema};
use jangbu_platform::service::ServiceSpec;
use serde::Serialize;

use self::beside::{Journals, Moved, OnTheWay, Postings, place};
use self::way::Way;
use crate::services::ALL;
use crate::shared::LogPlace;
use crate::store::Store;
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
    store: Store,
    log: LogPlace,
    quiet: bool,
    read: Vec<Read>,
    breaks: Breaks,
    ledger: Option<Ledger>,
    /// Exchanges that are not decided.
    undecided: BTreeSet<ExchangeId>,
}

/// The general ledger as it was read, for the postings that will be held against it.
struct Ledger {
    /// The snapshot.
    tx: Tx,
    controls: Vec<Control>,
    /// By instance.
    journals: BTreeMap<String, Journals>,
    /// Exchanges whose books do not agree, or not yet.
    open: Vec<OpenExchange>,
    way: Way,
}

/// Reads everything.
///
/// # Errors
/// There is no bank in the directory, or it can't be read.
pub fn run(args: Args) -> Ended {
    let (dir, store, log) = crate::config::place(args.data, args.config)?;
    let report = crate::runtime()?.block_on(Check::of(dir, store, log, args.json).all())?;
    if args.json {
        crate::say(&serde_json::to_string(&report).map_err(|e| Failure::World(e.to_string()))?);
    } else {
        show(&report);
    }
    Ok(if report.ok { Verdict::Done } else { Verdict::No })
}

/// What a journal says of its posting.
fn moved(journaled: &Journaled<'_>) -> Moved {
    let Journaled { id, currency, customers, tax, .. } = *journaled;
    Moved { seq: place(id.rest()), currency, customers, tax }
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

/// Whether a bank's books balance with nothing on its way, for measurements; what is found is told on stderr.
///
/// # Errors
/// It can't be read.
pub async fn at_rest(dir: PathBuf, store: Store, log: LogPlace) -> Result<bool, Failure> {
    let report = Check::of(dir, store, log, true).all().await?;
    for Break { level, class, subject, detail } in &report.told {
        eprintln!("{level:?} {class:?} {subject}: {detail}");
    }
    Ok(report.ok && report.counts.is_empty())
}

impl Check {
    fn of(dir: PathBuf, store: Store, log: LogPlace, quiet: bool) -> Check {
        let (read, breaks, undecided) = (Vec::new(), Breaks::default(), BTreeSet::new());
        Check { dir, store, log, quiet, read, breaks, ledger: None, undecided }
    }

    async fn all(mut self) -> Result<Report, Failure> {
        let is_ledger = |name: &str| name == LEDGER;
        let first = ALL.iter().filter(|entry| is_ledger(entry.spec.name));
        let mut found = false;
        for entry in first.chain(ALL.iter().filter(|entry| !is_ledger(entry.spec.name))) {
            let db = self.store.open_to_read(entry.spec.name, Arc::new(RealClock), Dice::from_os()).await?;
            if let Some(db) = db {
                found = true;
                self.service(entry.spec, db).await?;
            }
        }
        if !found {
            return Err(Failure::World(format!("there is no bank in {}", self.store)));
        }
        let strangers = self.ledger.iter().flat_map(|ledger| ledger.journals.keys());
        for name in strangers.filter(|name| ALL.iter().all(|entry| entry.spec.name != **name)) {
            let why = || "it has journals, and the bank no such service".to_owned();
            self.breaks.add(Level::Control, Class::MissingLeft, name, why);
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.compare_open(&self.undecided, &mut self.breaks).await?;
        }
        let told = std::mem::take(&mut self.breaks.told);
        let breaks = self.breaks.count();
        let counts = self.breaks.counts().collect();
        Ok(Report { ok: breaks == 0, breaks, services: self.read, counts, told })
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

    async fn service(&mut self, spec: &'static ServiceSpec, db: Db) -> Result<(), Failure> {
        if !self.common(spec, &db).await? {
            return Ok(()); // of another schema: what it holds can't be read by this program
        }
        let bar = self.progress(spec.name);
        let progress = |rows: u64| bar.set_position(rows);
        if spec.name == LEDGER {
            self.general_ledger(spec, &db, &progress).await?;
        } else if spec.migrations.as_ptr() == jangbu_deposit::service::KRW.migrations.as_ptr() {
            self.deposit(spec, &db, &progress).await?;
        } else if spec.name == jangbu_exchange::SERVICE.name {
            self.exchanges(spec, db, &progress).await?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    async fn general_ledger(
        &mut self,
        spec: &'static ServiceSpec,
        db: &Db,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Failure> {
        let mut way = Way::begin(self.log.open_to_read(&self.dir)?, spec.listens).await?;
        let mut tx = db.read("check.ledger").await?;
        way.read_parked(&mut tx).await?;
        let mut journals: BTreeMap<String, Journals> = BTreeMap::new();
        let mut see = |journal: Journaled<'_>| {
            if !journals.contains_key(journal.instance) {
                journals.insert(journal.instance.to_owned(), Journals::default());
            }
            if let Some(of) = journals.get_mut(journal.instance) {
                of.add(&moved(&journal));
            }
        };
        let proof = jangbu_accounting::proof::proof_beside(&mut tx, progress, &mut see).await?;
        for told in proof.told {
            self.breaks.add(Level::Journals, Class::Amount, LEDGER, || told);
        }
        for told in proof.told_of_positions {
            self.breaks.add(Level::Positions, Class::Amount, LEDGER, || told);
        }
        self.note(spec.name, |read| read.rows = proof.journals);
        self.ledger = Some(Ledger { tx, controls: proof.controls, journals, open: proof.open, way });
        Ok(())
    }

    async fn deposit(
        &mut self,
        spec: &'static ServiceSpec,
        db: &Db,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Failure> {
        let (beside, journals) = match &mut self.ledger {
            Some(ledger) => (true, ledger.journals.remove(spec.name)),
            None => (false, None),
        };
        let mut postings = Postings::beside(journals.unwrap_or_default());
        let mut see = |moved: jangbu_deposit::domain::proof::Moved| {
            if !beside {
                return; // there is nothing to hold them against, and all would be kept as differing
            }
            let (customers, tax) = (moved.customers.into(), moved.tax.into());
            postings.see(Moved { seq: moved.seq, currency: moved.currency, customers, tax });
        };
        let mut tx = db.read("check.deposit").await?;
        let proof = jangbu_deposit::proof::prove_beside(&mut tx, progress, &mut see).await?;
        let unsent = jangbu_deposit::store::outbox::all(&mut tx).await?;
        let exchanges = jangbu_deposit::proof::exchanges_in(&mut tx, &unsent).await?;
        drop(tx);
        if let Some(ledger) = &mut self.ledger {
            ledger.way.add_unsent(exchanges);
            ledger.compare(spec, postings, &unsent, &proof.customers, &mut self.breaks).await?;
        }
        self.note(spec.name, |read| (read.rows, read.accounts) = (proof.postings, proof.accounts));
        self.breaks.take(proof.breaks);
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
}

impl Ledger {
    /// Holds an instance's postings against their journals, and customers' balances against the control account and what
    /// is on its way to it.
    async fn compare(
        &mut self,
        spec: &ServiceSpec,
        postings: Postings,
        unsent: &[(u64, u64)],
        customers: &BTreeMap<Currency, i128>,
        breaks: &mut Breaks,
    ) -> Result<(), Failure> {
        let suspects = postings.end();
        let mut waiting = OnTheWay::default();
        if !suspects.is_empty() {
            let on_its_way = self.way.of(spec.tells, unsent).await?;
            let mut journals = Vec::new();
            let mut see = |journal: Journaled<'_>| {
                if journal.instance == spec.name && suspects.holds(place(journal.id.rest())) {
                    journals.push(moved(&journal));
                }
            };
            jangbu_accounting::proof::each_journaled(&mut self.tx, &mut see).await?;
            waiting = suspects.compare(journals, &on_its_way, spec.name, breaks);
        }
        if waiting.count > 0 {
            let why = || format!("{} postings are on their way to {LEDGER}", waiting.count);
            breaks.add(Level::Control, Class::Timing, spec.name, why);
        }
        let mut sums: BTreeMap<Currency, (i128, i128)> = BTreeMap::new();
        for (currency, balance) in customers {
            sums.entry(*currency).or_default().0 += balance;
        }
        for (currency, underway) in waiting.customers {
            sums.entry(currency).or_default().1 += underway;
        }
        for control in self.controls.iter().filter(|control| control.instance == spec.name) {
            sums.entry(control.currency).or_default().1 += control.balance;
        }
        for (currency, (balance, kept)) in sums.into_iter().filter(|(_, (balance, kept))| balance != kept) {
            let why = || {
                format!("customers have {balance} {currency}, the control account with what is on its way to it {kept}")
            };
            breaks.add(Level::Control, Class::Amount, spec.name, why);
        }
        Ok(())
    }
}
