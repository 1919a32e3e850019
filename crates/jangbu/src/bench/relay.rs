//! Events on their way: emitted with a commit into one service's outbox, through the log, into another's inbox.
//!
//! Both services have databases of their own on the embedded engine; only the log differs. So many events are kept in the
//! outbox that the relay never waits for one, and how long one takes is mostly how long it stands in that queue.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_adapters::kafka::{Kafka, Settings};
use jangbu_kernel::id::AccountId;
use jangbu_platform::clock::{Clock as _, RealClock};
use jangbu_platform::consumer::{Consumer, Handler, Reject, letters, taken_count};
use jangbu_platform::db::{Db, Event, Fault, Tx};
use jangbu_platform::dice::Dice;
use jangbu_platform::log::Log;
use jangbu_platform::migrate;
use jangbu_platform::relay::{self, Outbox, Outgoing as _};
use jangbu_platform::service::Stop;

use super::{Args, Latencies, Report, memory_bytes};
use crate::Failure;

/// Who takes the events.
const GROUP: &str = "bench";
/// Events of one commit.
const EVENTS_PER_COMMIT: usize = 500;
/// Events that wait in the outbox at most: enough that the relay always finds a full round.
const WAITING_MAX: u64 = 4_000;
/// Events that the inbox takes in one unit of work, as the general ledger does.
const EVENTS_PER_TX: u32 = 2_000;
/// Partitions of the topic.
const PARTITIONS: u32 = 12;
/// How long it runs before it is measured.
const WARM_UP: Duration = Duration::from_secs(2);
/// Pause between two looks at a queue.
const LOOK: Duration = Duration::from_millis(2);
/// About as long as the event of a posting, bytes.
const FILLING_BYTES: usize = 600;

/// Counts what is taken, and when it was emitted.
#[derive(Default)]
struct Counting {
    measuring: AtomicBool,
    taken: AtomicU64,
    measured: AtomicU64,
    latencies: Mutex<Latencies>,
}

impl Handler for Counting {
    fn apply<'a>(&'a self, _: &'a mut Tx, _: &'a [Event]) -> BoxFuture<'a, Result<(), Reject>> {
        std::future::ready(Ok(())).boxed() // the inbox rows are the work
    }

    fn events_per_tx_max(&self) -> u32 {
        EVENTS_PER_TX
    }

    fn applied<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, ()> {
        let (count, now) = (events.len() as u64, RealClock.now().micros());
        self.taken.fetch_add(count, Relaxed);
        if self.measuring.load(Relaxed) {
            self.measured.fetch_add(count, Relaxed);
            let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
            for event in events {
                let emitted = event.payload.split('"').nth(3).and_then(|at| at.parse::<i64>().ok()).unwrap_or(now);
                latencies.add(Duration::from_micros((now - emitted).unsigned_abs()), 1);
            }
        }
        std::future::ready(()).boxed()
    }
}

async fn open(dir: &Path, name: &str) -> Result<Db, Fault> {
    let db = Db::open_embedded(&dir.join(format!("{name}.db")), Arc::new(RealClock), Dice::from_os())?;
    migrate::apply(&db, &[]).await?;
    Ok(db)
}

async fn log(args: &Args, dir: &Path, topic: &str) -> Result<Log, Failure> {
    if args.engine != "kafka" {
        return Ok(Log::open_embedded(&dir.join("log.db"), Arc::new(RealClock), Dice::from_os()).await?);
    }
    let servers = super::place::brokers(args)?;
    let settings =
        Settings { servers, partitions: PARTITIONS, replicas: None, retention_days: 1, namespace: String::new() };
    Ok(Kafka::open(&settings, &[topic.to_owned()]).await?)
}

/// Keeps the outbox filled until it is told to end; how many events it emitted.
async fn emit(db: Db, topic: String, accounts: u32, stop: Stop) -> Result<u64, Fault> {
    let (outbox, dice) = (Outbox(db.clone()), Dice::from_os());
    let keys: Vec<String> =
        (0..accounts.min(10_000)).map(|_| AccountId::from_bytes(dice.bytes()).to_string()).collect();
    let (filling, mut emitted) = ("x".repeat(FILLING_BYTES), 0_usize);
    while !stop.is_stopping() {
        if outbox.waiting().await? >= WAITING_MAX {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let now = RealClock.now().micros();
        let event = |n: usize| {
            let key = keys[(emitted + n) % keys.len()].clone();
            (key, "bench.v1", format!("{{\"at\":\"{now}\",\"filling\":\"{filling}\"}}"))
        };
        relay::emit_alone(&db, &topic, (0..EVENTS_PER_COMMIT).map(event)).await?;
        emitted += EVENTS_PER_COMMIT;
    }
    Ok(emitted as u64)
}

/// Runs the measurement.
///
/// # Errors
/// The world failed.
pub async fn run(args: &Args) -> Result<Report, Failure> {
    let dir = args.dir.join(format!("jangbu-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(|e| Failure::World(format!("could not make {}: {e}", dir.display())))?;
    let measured = measure(args, &dir).await;
    if !args.keep {
        let removed = std::fs::remove_dir_all(&dir);
        removed.map_err(|e| Failure::World(format!("could not remove {}: {e}", dir.display())))?;
    }
    measured
}

async fn measure(args: &Args, dir: &Path) -> Result<Report, Failure> {
    let topic = format!("jangbu-bench-{}-{}", std::process::id(), RealClock.now().micros());
    let log = log(args, dir, &topic).await?;
    let (source, sink, counting) = (open(dir, "source").await?, open(dir, "sink").await?, Arc::<Counting>::default());
    let consumer = Consumer {
        group: GROUP,
        topics: vec![topic.clone()],
        db: sink.clone(),
        handler: Arc::clone(&counting) as Arc<dyn Handler>,
    };
    let (stop, enough) = (Stop::default(), Stop::default());
    let outbox = Arc::new(Outbox(source.clone()));
    let relaying = relay::run("bench".into(), outbox, source.emitted(), log.clone(), stop.clone(), None);
    let running = [tokio::spawn(relaying), tokio::spawn(consumer.run(log.clone(), stop.clone()))];
    let emitting = tokio::spawn(emit(source.clone(), topic.clone(), args.accounts, enough.clone()));
    tokio::time::sleep(WARM_UP).await;
    counting.measuring.store(true, Relaxed);
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(u64::from(args.seconds))).await;
    counting.measuring.store(false, Relaxed);
    let (took, measured) = (began.elapsed(), counting.measured.load(Relaxed));
    enough.stop();
    let emitted = emitting.await.map_err(|e| Failure::World(e.to_string()))??;
    let ended = Instant::now();
    while counting.taken.load(Relaxed) < emitted || log.lag(GROUP, &topic).await? > 0 {
        tokio::time::sleep(LOOK).await;
    }
    let behind_ms = u64::try_from(ended.elapsed().as_millis()).unwrap_or(u64::MAX);
    stop.stop();
    for running in running {
        running.await.map_err(|e| Failure::World(e.to_string()))?;
    }
    let books_ok = all_came(&source, &sink, emitted).await?;
    let took_all = counting.latencies.lock().unwrap_or_else(PoisonError::into_inner).took();
    Ok(Report {
        bench: "relay".to_owned(),
        engine: args.engine.clone(),
        batch: u32::try_from(EVENTS_PER_COMMIT).unwrap_or(u32::MAX),
        callers: 1,
        accounts: args.accounts,
        hot: false,
        seconds: args.seconds,
        before: 0,
        per_second: u64::try_from(u128::from(measured) * 1_000_000 / took.as_micros().max(1)).unwrap_or(0),
        took: took_all,
        committed: emitted,
        refused: 0,
        books_ok,
        memory_bytes: memory_bytes(),
        more: BTreeMap::from([("behind_at_the_end_ms", behind_ms)]),
    })
}

/// Whether every event that was emitted is noted in the inbox, once, and none waits or is parked.
async fn all_came(source: &Db, sink: &Db, emitted: u64) -> Result<bool, Fault> {
    let mut tx = sink.read("bench.proof").await?;
    let noted = taken_count(&mut tx, GROUP).await?;
    let parked = letters::parked_count(&mut tx).await?;
    let waiting = Outbox(source.clone()).waiting().await?;
    if (noted, parked, waiting) != (emitted, 0, 0) {
        eprintln!("{emitted} events were emitted: {noted} are noted, {parked} parked, {waiting} wait");
        return Ok(false);
    }
    Ok(true)
}
