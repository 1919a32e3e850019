//! `jangbu bench`: measurements that anyone can repeat. Each makes its own data, proves the books before it reports,
//! and cleans up.

mod exchange;
mod http;
mod interest;
mod measure;
mod place;
mod posting;
mod relay;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::bank::Bank;
use crate::{Ended, Failure, Verdict};
pub use measure::{Latencies, Took};

/// How often it is looked how far those who listen are behind.
const LAG_LOOK: Duration = Duration::from_millis(100);

/// What it is told.
#[derive(clap::Args, Clone)]
pub struct Args {
    /// posting, posting-one-per-tx, posting-http, interest, exchange, relay.
    name: String,
    /// Engine of the database, or of the log for relay. With mysql, whole services have Kafka and Redis too.
    #[arg(long, default_value = "embedded", value_parser = ["embedded", "mysql", "kafka"])]
    engine: String,
    /// Brokers, like host:9092, where there is Kafka; those of JANGBU_TEST_KAFKA unless told.
    #[arg(long)]
    brokers: Option<String>,
    /// Redis, like redis://host:6379, where there is one; that of JANGBU_TEST_REDIS unless told.
    #[arg(long)]
    redis: Option<String>,
    /// Commands a caller sends at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8190))]
    batch: u32,
    /// Callers that wait for their answer before they ask again; 4 with batches and 64 without, unless told.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    callers: Option<u32>,
    /// Customers' accounts; for exchanges, customers with two of them.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=10_000_000))]
    accounts: u32,
    /// Every command touches one customer account.
    #[arg(long)]
    hot: bool,
    /// Ledgers of the instance on one database, each with its own connections and memory; for posting on mysql.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    replicas: u32,
    /// How long it is measured, after a warm-up.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Postings made before it is measured.
    #[arg(long, default_value_t = 0)]
    before: u64,
    /// Where its data lives while it runs: a folder on the disk that is measured.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Keeps the data, as a bank that `check` and `up` can open.
    #[arg(long)]
    keep: bool,
    /// One JSON object on stdout, and nothing else.
    #[arg(long)]
    json: bool,
}

impl Args {
    fn callers(&self) -> u32 {
        self.callers.unwrap_or(if self.batch > 1 { 4 } else { 64 })
    }
}

/// What a benchmark tells.
#[derive(Debug, Serialize)]
pub struct Report {
    bench: String,
    engine: String,
    batch: u32,
    callers: u32,
    accounts: u32,
    hot: bool,
    seconds: u32,
    before: u64,
    per_second: u64,
    #[serde(flatten)]
    took: Took,
    committed: u64,
    refused: u64,
    books_ok: bool,
    /// Resident memory at the end, bytes.
    memory_bytes: u64,
    #[serde(flatten)]
    more: std::collections::BTreeMap<&'static str, u64>,
}

/// Runs a benchmark.
///
/// # Errors
/// There is none of that name, or the world failed.
pub fn run(args: Args) -> Ended {
    let runs = match args.engine.as_str() {
        "mysql" => args.name != "relay",
        "kafka" => args.name == "relay",
        _ => true,
    };
    if !runs {
        return Err(Failure::Use(format!("{} does not run on {}; leave --engine out", args.name, args.engine)));
    }
    if args.replicas > 1 && (args.name != "posting" || args.engine != "mysql") {
        return Err(Failure::Use("--replicas is for posting with --engine mysql".into()));
    }
    let report = match args.name.as_str() {
        "posting" => crate::runtime()?.block_on(posting::run(&args, posting::Way::Combined)),
        "posting-one-per-tx" => crate::runtime()?.block_on(posting::run(&args, posting::Way::OnePerTx)),
        "posting-http" => crate::runtime()?.block_on(http::run(&args)),
        "interest" => crate::runtime()?.block_on(interest::run(&args)),
        "exchange" => crate::runtime()?.block_on(exchange::run(&args)),
        "relay" => crate::runtime()?.block_on(relay::run(&args)),
        other => {
            let known = "posting, posting-one-per-tx, posting-http, interest, exchange, relay";
            Err(Failure::Use(format!("there is no benchmark {other:?}: {known}")))
        }
    }?;
    if args.json {
        crate::say(&serde_json::to_string(&report).map_err(|e| Failure::World(e.to_string()))?);
    } else {
        show(&report);
    }
    Ok(if report.books_ok { Verdict::Done } else { Verdict::No })
}

fn show(r: &Report) {
    crate::say(&format!("{} on {}: {} per second", r.bench, r.engine, r.per_second));
    crate::say(&format!(
        "  {} callers, batches of {}, {} accounts{}",
        r.callers,
        r.batch,
        r.accounts,
        if r.hot { ", hot" } else { "" }
    ));
    crate::say(&format!(
        "  answer in us: mean {}, p50 {}, p99 {}, max {}",
        r.took.mean_us, r.took.p50_us, r.took.p99_us, r.took.max_us
    ));
    crate::say(&format!(
        "  {} committed, {} refused, memory {} MB",
        r.committed,
        r.refused,
        r.memory_bytes / 1_000_000
    ));
    for (name, value) in &r.more {
        crate::say(&format!("  {name} {value}"));
    }
    crate::say(&format!("  books {}", if r.books_ok { "balance" } else { "DO NOT balance" }));
}

/// Waits, and looks how far those who listen are behind; the most events.
async fn watch_lag(bank: &Bank, time: Duration) -> Result<u64, Failure> {
    let (began, mut most) = (Instant::now(), 0);
    while began.elapsed() < time {
        tokio::time::sleep(LAG_LOOK.min(time.saturating_sub(began.elapsed()))).await;
        for consumer in bank.parts.iter().flat_map(|part| &part.consumers) {
            for topic in &consumer.topics {
                most = most.max(bank.log.lag(consumer.group, topic).await?);
            }
        }
    }
    Ok(u64::try_from(most).unwrap_or(0))
}

/// Proves the books of a deposit instance; what does not hold is said on stderr.
async fn books_balance(args: &Args, db: &jangbu_platform::db::Db) -> Result<bool, Failure> {
    let mut tx = db.read("bench.size").await?;
    let last = jangbu_deposit::store::postings::last_seq(&mut tx).await?;
    drop(tx);
    let bar = progress(args, "proving the books", last);
    let proof = jangbu_deposit::proof::prove(db, &|n| bar.set_position(n)).await?;
    bar.finish_and_clear();
    for broken in &proof.breaks.told {
        eprintln!("the books are wrong: {broken:?}");
    }
    Ok(proof.breaks.count() == 0)
}

/// A bar on a terminal, plain lines elsewhere, nothing with `--json`.
fn progress(args: &Args, what: &'static str, total: u64) -> indicatif::ProgressBar {
    let bar = if args.json || !std::io::stderr().is_terminal() {
        if !args.json {
            eprintln!("{what}: {total}");
        }
        indicatif::ProgressBar::hidden()
    } else {
        indicatif::ProgressBar::new(total)
    };
    let style = indicatif::ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}");
    bar.with_style(style.expect("the template is right")).with_message(what)
}

/// Resident memory of this process, bytes; zero where the system doesn't tell.
fn memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}
