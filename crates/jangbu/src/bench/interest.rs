//! Interest claims on a deposit instance in process, with its relay and accounting following: every claim pays one day,
//! and the clock goes on by a day when every account has claimed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use jangbu_kernel::id::AccountId;
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::auth::Role;
use jangbu_platform::clock::{Clock as _, ManualClock, RealClock};
use jangbu_platform::http::with_fallbacks;
use jangbu_platform::running::{Part, settle};
use jangbu_sim::client::{Client, KRW, Keys};
use jangbu_sim::load;
use tokio::sync::RwLock;

use super::place::Place;
use super::{Args, Latencies, Report, memory_bytes, progress, watch_lag};
use crate::Failure;

/// Services that are open.
const SERVICES: [&str; 3] = ["customer", KRW, "accounting"];
/// How long the credential of the callers is good.
const CREDENTIAL_TTL: Duration = Duration::from_secs(86_400);
/// How long it runs before it is measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// What the callers share.
struct Rush {
    client: Client,
    accounts: Vec<AccountId>,
    keys: Keys,
    clock: Arc<ManualClock>,
    first_day: Timestamp,
    claims: AtomicU64,
    /// Claims hold it shared; a new day begins when none is under way.
    day: RwLock<u64>,
    measuring: AtomicBool,
    stopping: AtomicBool,
}

#[derive(Default)]
struct Counted {
    latencies: Latencies,
    committed: u64,
    refused: u64,
}

/// Runs it.
///
/// # Errors
/// The world failed.
pub async fn run(args: &Args) -> Result<Report, Failure> {
    let place = Place::new(args)?;
    let measured = measure(args, &place).await;
    place.clear(args)?;
    measured
}

async fn measure(args: &Args, place: &Place) -> Result<Report, Failure> {
    let first_day = Timestamp::start_of(RealClock.now().business_date(UtcOffset::SEOUL), UtcOffset::SEOUL);
    let clock = Arc::new(ManualClock::new(first_day));
    let bank = place.open(clock.clone(), &SERVICES).await?;
    let token = bank.keys.issue(Role::Service, "bench", RealClock.now(), CREDENTIAL_TTL);
    let token = token.map_err(|e| Failure::World(e.to_string()))?;
    let client = Client::here(with_fallbacks(bank.router.clone()), &token).map_err(Failure::World)?;
    let keys = Keys::since(RealClock.now());
    let bar = progress(args, "opening accounts", u64::from(args.accounts));
    let accounts = load::prepare(&client, KRW, args.accounts as usize, &keys).await.map_err(Failure::World)?;
    bar.finish_and_clear();
    settle(&bank.parts, &bank.log).await?;
    let rush = Arc::new(Rush {
        client,
        accounts,
        keys,
        clock,
        first_day,
        claims: AtomicU64::new(0),
        day: RwLock::new(0),
        measuring: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
    });
    let callers: Vec<_> = (0..args.callers()).map(|_| tokio::spawn(claim_on(Arc::clone(&rush)))).collect();
    tokio::time::sleep(WARM_UP).await;
    rush.measuring.store(true, Relaxed);
    let began = Instant::now();
    let lag_max = watch_lag(&bank, Duration::from_secs(u64::from(args.seconds))).await?;
    rush.measuring.store(false, Relaxed);
    let took = began.elapsed();
    rush.stopping.store(true, Relaxed);
    let mut all = Counted::default();
    for caller in callers {
        let counted = caller.await.map_err(|e| Failure::World(e.to_string()))?.map_err(Failure::World)?;
        all.latencies.merge(&counted.latencies);
        all.committed += counted.committed;
        all.refused += counted.refused;
    }
    let ended = Instant::now();
    settle(&bank.parts, &bank.log).await?;
    let behind_ms = u64::try_from(ended.elapsed().as_millis()).unwrap_or(u64::MAX);
    let memory_bytes = memory_bytes();
    let deposit = bank.parts.iter().find(|part| part.name == KRW);
    let deposit = deposit.ok_or_else(|| Failure::World("deposit is not open".to_owned()))?;
    let books_ok = ledger_balances(&bank.parts).await? & super::books_balance(args, &deposit.db).await?;
    bank.close().await;
    let done = u128::from(all.committed) * 1_000_000 / took.as_micros().max(1);
    Ok(Report {
        bench: "interest".to_owned(),
        engine: args.engine.clone(),
        batch: args.batch,
        callers: args.callers(),
        accounts: args.accounts,
        hot: false,
        seconds: args.seconds,
        before: 0,
        per_second: u64::try_from(done).unwrap_or(0),
        took: all.latencies.took(),
        committed: all.committed,
        refused: all.refused,
        books_ok,
        memory_bytes,
        more: BTreeMap::from([("events_behind_max", lag_max), ("accounting_behind_ms", behind_ms)]),
    })
}

async fn claim_on(rush: Arc<Rush>) -> Result<Counted, String> {
    let mut counted = Counted::default();
    while !rush.stopping.load(Relaxed) {
        let n = rush.claims.fetch_add(1, Relaxed);
        let accounts = rush.accounts.len() as u64;
        let (day, account) = (1 + n / accounts, rush.accounts[usize::try_from(n % accounts).unwrap_or(0)]);
        begin_day(&rush, day).await;
        let today = rush.day.read().await;
        let asked = Instant::now();
        let claimed = rush.client.deposit(KRW).claim(account, &rush.keys.next()).await;
        drop(today);
        let refused = claimed.code().is_some();
        if !refused {
            claimed.reply()?;
        }
        if rush.measuring.load(Relaxed) {
            counted.latencies.add(asked.elapsed(), 1);
            *(if refused { &mut counted.refused } else { &mut counted.committed }) += 1;
        }
    }
    Ok(counted)
}

/// Moves the clock to a day, once all claims of the day before have their answer.
async fn begin_day(rush: &Rush, day: u64) {
    if *rush.day.read().await >= day {
        return;
    }
    let mut today = rush.day.write().await;
    if *today < day {
        let micros = i64::try_from(day).unwrap_or(0) * 86_400_000_000;
        rush.clock.advance_to(rush.first_day.plus_micros(micros));
        *today = day;
    }
}

/// Whether accounting's journals balance, suspense is empty, and nothing is parked.
async fn ledger_balances(parts: &[Arc<Part>]) -> Result<bool, Failure> {
    let accounting = parts.iter().find(|part| part.name == "accounting");
    let accounting = accounting.ok_or_else(|| Failure::World("accounting is not open".to_owned()))?;
    let mut tx = accounting.db.read("bench.proof").await?;
    let proof = jangbu_accounting::proof::proof(&mut tx, &|_| {}).await?;
    for broken in &proof.told {
        eprintln!("the books are wrong: {broken}");
    }
    Ok(proof.breaks == 0)
}
