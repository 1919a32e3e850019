//! Transfers between random accounts of one deposit instance, through its combiner.
//!
//! The events to publish are written with each batch, as in a running bank; nobody carries them away here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use jangbu_adapters::stand::Server;
use jangbu_deposit::combiner::Combiner;
use jangbu_deposit::domain::command::{Action, Command};
use jangbu_deposit::flows::bulk::{ACCOUNTS_PER_LOAD_MAX, load_accounts};
use jangbu_deposit::flows::post::{COMMANDS_PER_BATCH_MAX, Lane, Outcome, post};
use jangbu_deposit::ledger::Ledger;
use jangbu_deposit::service::{self, KRW};
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_kernel::time::UtcOffset;
use jangbu_platform::clock::{Clock, RealClock};
use jangbu_platform::db::Fault;
use jangbu_platform::dice::Dice;
use jangbu_platform::migrate;
use tokio::sync::{Mutex, Semaphore};

use super::{Args, Latencies, Report, memory_bytes, progress};
use crate::Failure;
use crate::store::Store;

/// What every account begins with, minor units: enough to pay for as long as a benchmark runs.
const FIRST_MONEY: i64 = 1_000_000_000_000;
/// Largest transfer, minor units.
const AMOUNT_MAX: u64 = 1_000;
/// How often balances are written back, as in a running bank.
const FOLD_MS: u64 = 1_000;
/// How long it runs before it is measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// Transactions under way at a time when each command has one of its own, on a server.
const ONE_PER_TX_MAX: usize = 16;

/// How commands reach the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Commands that meet share a commit.
    Combined,
    /// One transaction, one flush per command.
    OnePerTx,
}

/// A deposit instance made for a measurement.
pub struct Bench {
    /// Its ledger.
    pub ledger: Arc<Ledger>,
    /// The way in.
    pub combiner: Combiner,
    /// The ways in of all replicas.
    replicas: Vec<Combiner>,
    /// Its accounts.
    pub accounts: Vec<AccountId>,
    /// Where it lives.
    pub dir: PathBuf,
    day: BusinessDate,
    keys: AtomicU64,
    // Ends after everything that uses it.
    _server: Option<Server>,
}

/// A quick throw for choosing accounts; splitmix64, whose quality is more than enough here.
pub struct Throws(u64);

impl Throws {
    /// Throws that follow from `seed`, and have nothing to do with those of the next one.
    pub fn new(seed: u64) -> Self {
        // A throw adds to where it stands what tells seeds apart: begun at the seed, each would follow one behind the next.
        Self(Throws(seed).throw())
    }
    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.throw() % n.max(1)
    }
    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Bench {
    /// Opens an instance in a new folder, with its accounts and their first money.
    pub async fn make(args: &Args) -> Result<Bench, Failure> {
        let dir = args.dir.join(format!("jangbu-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|e| Failure::World(format!("could not make {}: {e}", dir.display())))?;
        let clock: Arc<dyn Clock> = Arc::new(RealClock);
        let (store, server) = store(args, &dir)?;
        let db = store.make(KRW.name, Arc::clone(&clock), Dice::from_os()).await?;
        migrate::apply(&db, KRW.migrations).await?;
        let db = store.open(KRW.name, Arc::clone(&clock), Dice::from_os()).await?;
        let ledger = Arc::new(Ledger::new(db, KRW.name, 1, UtcOffset::SEOUL, Dice::from_os()));
        service::offer(&ledger, include_str!("../../seed/deposit-krw.json")).await?;
        let day = clock.now().business_date(UtcOffset::SEOUL);
        let combiner = Combiner::start(Arc::clone(&ledger));
        let keys = AtomicU64::new(0);
        let mut replicas = vec![combiner.clone()];
        for _ in 1..args.replicas {
            let db = store.open(KRW.name, Arc::clone(&clock), Dice::from_os()).await?;
            let other = Ledger::new(db, KRW.name, 1, UtcOffset::SEOUL, Dice::from_os());
            replicas.push(Combiner::start(Arc::new(other)));
        }
        let mut bench = Bench { ledger, combiner, replicas, accounts: Vec::new(), dir, day, keys, _server: server };
        bench.open_accounts(args).await?;
        Ok(bench)
    }

    async fn open_accounts(&mut self, args: &Args) -> Result<(), Failure> {
        let bar = progress(args, "opening accounts", u64::from(args.accounts));
        let owner = CustomerId::from_parts(1, 1);
        while self.accounts.len() < args.accounts as usize {
            let left = args.accounts - u32::try_from(self.accounts.len()).unwrap_or(u32::MAX);
            let count = left.min(ACCOUNTS_PER_LOAD_MAX);
            let opened = load_accounts(&self.ledger, owner, "toss-demand", self.day, count).await?;
            let opened = opened.map_err(|refusal| Failure::World(format!("accounts were refused: {refusal:?}")))?;
            bar.inc(opened.len() as u64);
            let credit = |account: &AccountId| {
                self.command(Action::Credit { account: *account, amount: FIRST_MONEY, bank: "cash" })
            };
            let commands = opened.iter().map(credit).collect();
            refused(&self.combiner.post(commands).await?, 0)?;
            self.accounts.extend(opened);
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// A command under a key that grows with time, as those of good clients do.
    pub fn command(&self, action: Action) -> Command {
        let n = self.keys.fetch_add(1, Relaxed);
        Command { key: format!("{n:016x}\u{1f}service:bench"), hash: n, action, date: self.day, memo: None }
    }

    fn transfer(&self, throws: &mut Throws, hot: bool) -> Command {
        let n = self.accounts.len() as u64;
        let from = throws.below(n);
        let to = (from + 1 + throws.below(n - 1)) % n;
        let from = if hot && to != 0 { 0 } else { from };
        let amount = i64::try_from(1 + throws.below(AMOUNT_MAX)).unwrap_or(1);
        let account = |i: u64| self.accounts[usize::try_from(i).unwrap_or(0)];
        self.command(Action::Transfer { from: account(from), to: account(to), amount })
    }

    /// Writes balances back while it runs, as a running bank does.
    pub fn fold_regularly(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let ledger = Arc::clone(&self.ledger);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(FOLD_MS)).await;
                if let Err(fault) = ledger.fold_when_due().await {
                    tracing::warn!(error = %fault, "balances could not be written back");
                }
            }
        })
    }
}

/// Where a measurement's database is: a file of its folder, or a server, which lives there too unless one is named.
fn store(args: &Args, dir: &Path) -> Result<(Store, Option<Server>), Failure> {
    if args.engine != "mysql" {
        return Ok((Store::Embedded(dir.to_owned()), None));
    }
    let server = Server::mysql(dir).map_err(|e| Failure::World(format!("no server to measure: {e}")))?;
    let prefix = format!("jangbu_bench_{}", std::process::id());
    let store = Store::server(&server.database(&prefix));
    if args.keep {
        server.keep();
    }
    Ok((store, Some(server)))
}

/// How many were refused; more than `most` is a failure of the measurement.
fn refused(outcomes: &[Outcome], most: u64) -> Result<u64, Failure> {
    let refused = outcomes.iter().filter(|o| !matches!(o, Outcome::Posted(..))).count() as u64;
    if refused > most { Err(Failure::World(format!("{refused} commands were refused"))) } else { Ok(refused) }
}

#[derive(Default)]
struct Counted {
    latencies: Latencies,
    committed: u64,
    refused: u64,
}

/// Runs it.
pub async fn run(args: &Args, way: Way) -> Result<Report, Failure> {
    let bench = Arc::new(Bench::make(args).await?);
    post_before(&bench, args).await?;
    bench.ledger.fold().await?; // what making the data left behind is not measured
    let folding = bench.fold_regularly();
    let (measuring, stopping) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    // On the embedded engine nobody begins before the last one's flush; a server has its own way of keeping them apart.
    let turns = Arc::new(Semaphore::new(if args.engine == "mysql" { ONE_PER_TX_MAX } else { 1 }));
    let lane = Arc::new(Mutex::new(Lane::default()));
    let caller = |n: u32| {
        let (bench, measuring, stopping) = (Arc::clone(&bench), Arc::clone(&measuring), Arc::clone(&stopping));
        let (turns, lane) = (Arc::clone(&turns), Arc::clone(&lane));
        let (batch, hot, replica) = (args.batch as usize, args.hot, n as usize % args.replicas as usize);
        tokio::spawn(async move {
            let (mut counted, mut throws) = (Counted::default(), Throws::new(u64::from(n) + 1));
            while !stopping.load(Relaxed) {
                let commands: Vec<Command> = (0..batch).map(|_| bench.transfer(&mut throws, hot)).collect();
                let asked = Instant::now();
                let outcomes = match way {
                    Way::Combined => bench.replicas[replica].post(commands).await?,
                    Way::OnePerTx => alone(&bench.ledger, &turns, &lane, commands).await?,
                };
                if measuring.load(Relaxed) {
                    counted.latencies.add(asked.elapsed(), 1);
                    let refused = outcomes.iter().filter(|o| !matches!(o, Outcome::Posted(..))).count() as u64;
                    counted.refused += refused;
                    counted.committed += outcomes.len() as u64 - refused;
                }
            }
            Ok::<Counted, Fault>(counted)
        })
    };
    let callers: Vec<_> = (0..args.callers()).map(caller).collect();
    tokio::time::sleep(WARM_UP).await;
    measuring.store(true, Relaxed);
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(u64::from(args.seconds))).await;
    measuring.store(false, Relaxed);
    let took = began.elapsed();
    stopping.store(true, Relaxed);
    let mut all = Counted::default();
    for caller in callers {
        let counted = caller.await.map_err(|e| Failure::World(e.to_string()))??;
        all.latencies.merge(&counted.latencies);
        all.committed += counted.committed;
        all.refused += counted.refused;
    }
    folding.abort();
    bench.ledger.fold().await?;
    let memory = memory_bytes();
    let books_ok = super::books_balance(args, &bench.ledger.db).await?;
    report(args, way, &bench.dir, (all, took), memory, books_ok)
}

/// Postings that are there before anything is measured.
async fn post_before(bench: &Arc<Bench>, args: &Args) -> Result<(), Failure> {
    let bar = progress(args, "posting before", args.before);
    let mut throws = Throws::new(0);
    let mut left = args.before;
    while left > 0 {
        let count = left.min(COMMANDS_PER_BATCH_MAX as u64);
        let commands = (0..count).map(|_| bench.transfer(&mut throws, false)).collect();
        refused(&bench.combiner.post(commands).await?, 0)?;
        left -= count;
        bar.inc(count);
    }
    bar.finish_and_clear();
    Ok(())
}

/// The old way: a transaction and a flush for each command.
async fn alone(
    ledger: &Arc<Ledger>,
    turns: &Semaphore,
    lane: &Mutex<Lane>,
    commands: Vec<Command>,
) -> Result<Vec<Outcome>, Fault> {
    let mut all = Vec::with_capacity(commands.len());
    for command in commands {
        let turn = turns.acquire().await;
        let room = ledger.room().await;
        let mut lane = lane.lock().await;
        let posted = post(ledger, &mut lane, room, vec![command]).await;
        drop(lane); // the next one is decided while this one is flushed, as between batches
        let answers = posted.map_err(|(fault, _)| fault)?;
        all.extend(answers.await?);
        drop(turn);
    }
    Ok(all)
}

fn report(
    args: &Args,
    way: Way,
    dir: &Path,
    (all, took): (Counted, Duration),
    memory_bytes: u64,
    books_ok: bool,
) -> Result<Report, Failure> {
    if !args.keep {
        std::fs::remove_dir_all(dir).map_err(|e| Failure::World(format!("could not remove {}: {e}", dir.display())))?;
    }
    let done = u128::from(all.committed + all.refused) * 1_000_000 / took.as_micros().max(1);
    Ok(Report {
        bench: if way == Way::Combined { "posting" } else { "posting-one-per-tx" }.to_owned(),
        engine: args.engine.clone(),
        batch: args.batch,
        callers: args.callers(),
        accounts: args.accounts,
        hot: args.hot,
        seconds: args.seconds,
        before: args.before,
        per_second: u64::try_from(done).unwrap_or(0),
        took: all.latencies.took(),
        committed: all.committed,
        refused: all.refused,
        books_ok,
        memory_bytes,
        more: BTreeMap::from([("replicas", u64::from(args.replicas))]),
    })
}
