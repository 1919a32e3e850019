//! Commands over HTTP: server, customers' accounts and callers on one machine.
//!
//! The callers have a thread and a runtime of their own, so that they are scheduled by the system against the bank and
//! not among its tasks. Customer and deposit are open as in a running bank, with their relay and jobs.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use jangbu_platform::auth::Role;
use jangbu_platform::clock::{Clock as _, RealClock};
use jangbu_platform::http::with_fallbacks;
use jangbu_platform::service::Stop;
use jangbu_sim::client::{Client, KRW, Keys};
use jangbu_sim::load::{self, LoadPlan, LoadReport};

use super::place::Place;
use super::{Args, Report, Took, memory_bytes, progress};
use crate::Failure;

/// Services that are open.
const SERVICES: [&str; 2] = ["customer", KRW];
/// How long the credential of the callers is good.
const CREDENTIAL_TTL: Duration = Duration::from_secs(86_400);

/// Runs it.
///
/// # Errors
/// The world failed.
pub async fn run(args: &Args) -> Result<Report, Failure> {
    let place = Place::new(args)?;
    let measured = measure(args, &place).await;
    place.clear(args)?;
    let (load, memory_bytes, wrong) = measured?;
    if let Some(why) = &wrong {
        eprintln!("the books are wrong: {why}");
    }
    Ok(Report {
        bench: "posting-http".to_owned(),
        engine: args.engine.clone(),
        batch: args.batch,
        callers: args.callers(),
        accounts: args.accounts,
        hot: args.hot,
        seconds: args.seconds,
        before: 0,
        per_second: load.per_second,
        took: Took { mean_us: load.mean_us, p50_us: load.p50_us, p99_us: load.p99_us, max_us: load.max_us },
        committed: load.committed,
        refused: load.refused,
        books_ok: wrong.is_none(),
        memory_bytes,
        more: std::collections::BTreeMap::new(),
    })
}

async fn measure(args: &Args, place: &Place) -> Result<(LoadReport, u64, Option<String>), Failure> {
    let bank = place.open(Arc::new(RealClock), &SERVICES).await?;
    let now = RealClock.now();
    let token = bank.keys.issue(Role::Service, "bench", now, CREDENTIAL_TTL);
    let token = token.map_err(|e| Failure::World(e.to_string()))?;
    let router = with_fallbacks(bank.router.clone());
    let client = Client::here(router.clone(), &token).map_err(Failure::World)?;
    let server = crate::up::bind((Ipv4Addr::LOCALHOST, 0).into()).await?;
    let address = server.local_addr().map_err(|e| Failure::World(e.to_string()))?;
    let stop = Stop::default();
    let serving = tokio::spawn(server.run(router, stop.clone()));
    let keys = Arc::new(Keys::since(now));
    let bar = progress(args, "opening accounts", u64::from(args.accounts));
    let accounts = load::prepare(&client, KRW, args.accounts as usize, &keys).await.map_err(Failure::World)?;
    bar.finish_and_clear();
    let plan = LoadPlan {
        address,
        token,
        instance: KRW.to_owned(),
        accounts: accounts.clone(),
        callers: args.callers() as usize,
        batch: args.batch as usize,
        hot: args.hot,
        run_for: Duration::from_secs(u64::from(args.seconds)),
        seed: 1,
        keys,
    };
    let load = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(load::run(&plan))
    });
    let load = load.await.map_err(|e| Failure::World(e.to_string()))?;
    let load = load.map_err(|e| Failure::World(format!("the load broke off: {e}")))?;
    let memory = memory_bytes();
    let wrong = load::prove(&client, KRW, &accounts, load.posted_in_all).await.map_err(Failure::World)?;
    stop.stop();
    let _ = serving.await; // it drains; the measurement is done
    bank.close().await;
    Ok((load, memory, wrong))
}
