//! `jangbu up`: the whole bank in one process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jangbu_kernel::time::Timestamp;
use jangbu_platform::auth::{Keyring, LoginLinks, Role};
use jangbu_platform::clock::{Clock, ManualClock, RealClock};
use jangbu_platform::dice::Dice;
use jangbu_platform::edge::Edge;
use jangbu_platform::files::write_private;
use jangbu_platform::http::with_fallbacks;
use jangbu_platform::serve::{ServeLimits, Server};
use jangbu_platform::service::Stop;

use crate::bank::{Bank, Opening};
use crate::console;
use crate::customers::{self, Place};
use crate::{Ended, Failure, Verdict};

/// How long the credentials that `up` lays into the directory are good.
const CREDENTIAL_TTL: Duration = Duration::from_secs(30 * 86_400);

/// Simulated customers on the machine's clock.
const CUSTOMERS_UNLESS_TOLD: u32 = 1_000;

/// How long a board stands on the machine's clock.
const BOARD_STANDS_UNLESS_TOLD: Duration = Duration::from_secs(30);

/// What it is told.
#[derive(clap::Args)]
pub struct Args {
    /// Where the bank lives.
    #[arg(long, default_value_os_t = crate::default_data())]
    data: PathBuf,
    /// Port on this machine; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Simulated customers who live in it; 1,000 unless told, none with a manual clock.
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    customers: Option<u32>,
    /// How long each board of past euro reference rates stands, like 30s or 1m, or `off`; 30s unless told, off with a
    /// manual clock or where nobody lives.
    #[arg(long)]
    feed: Option<String>,
    /// Whose time it is: the machine's, or one that stands still and is moved by `POST /sim/v1/clock`.
    #[arg(long, value_enum, default_value_t = ClockKind::Real)]
    clock: ClockKind,
    /// Where a manual clock starts, like 2026-01-01T00:00:00+09:00; now when absent.
    #[arg(long, requires_if("manual", "clock"))]
    at: Option<Timestamp>,
    /// Makes chance repeatable: ids and simulated customers follow from it.
    #[arg(long)]
    seed: Option<u64>,
}

/// Kinds of clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ClockKind {
    /// The machine's.
    Real,
    /// Stands still and is moved by hand.
    Manual,
}

/// Opens the bank and serves it until it is told to end.
///
/// # Errors
/// The port is taken, or the directory can't be used.
pub fn run(args: Args) -> Ended {
    if args.at.is_some() && args.clock == ClockKind::Real {
        return Err(Failure::Use("--at goes with --clock manual: the real clock can't be set".into()));
    }
    let feed = feed(&args)?;
    crate::runtime()?.block_on(serve(args, feed))
}

/// How long each board stands; none when none is published.
fn feed(args: &Args) -> Result<Option<Duration>, Failure> {
    match args.feed.as_deref() {
        // Whoever works with an empty bank publishes his own boards, and would meet these as jumps.
        None => {
            let lives = args.clock == ClockKind::Real && args.customers != Some(0);
            Ok(lives.then_some(BOARD_STANDS_UNLESS_TOLD))
        }
        Some("off") => Ok(None),
        Some(every) => {
            let seconds = crate::token::seconds(every).filter(|seconds| *seconds > 0);
            let wrong = || Failure::Use("--feed is a number and s, m, h or d, like 30s, or off".into());
            Ok(Some(Duration::from_secs(seconds.ok_or_else(wrong)?)))
        }
    }
}

/// Takes an address on this machine.
///
/// # Errors
/// It is taken, with the way out.
pub async fn bind(address: SocketAddr) -> Result<Server, Failure> {
    let bound = Server::bind(address, ServeLimits::default()).await;
    bound.map_err(|e| Failure::World(format!("port {} can't be used ({e}); name another by --port", address.port())))
}

/// Lays fresh credentials into the directory, for the operator and for programs of the bank.
fn lay_credentials(keys: &Keyring, dir: &Path) -> Result<(), Failure> {
    for (role, name) in [(Role::Operator, "operator"), (Role::Service, "service")] {
        let token = keys.issue(role, name, RealClock.now(), CREDENTIAL_TTL);
        let token = token.map_err(|e| Failure::World(e.to_string()))?;
        let path = dir.join(format!("{name}.token"));
        let written = write_private(&path, token.as_bytes());
        written.map_err(|e| Failure::World(format!("could not write {}: {e}", path.display())))?;
    }
    Ok(())
}

async fn serve(args: Args, feed: Option<Duration>) -> Ended {
    let server = bind((Ipv4Addr::LOCALHOST, args.port).into()).await?;
    let address = server.local_addr().map_err(|e| Failure::World(e.to_string()))?;
    let dice = args.seed.map_or_else(Dice::from_os, Dice::seeded);
    let manual = (args.clock == ClockKind::Manual)
        .then(|| Arc::new(ManualClock::new(args.at.unwrap_or_else(|| RealClock.now()))));
    let clock: Arc<dyn Clock> = match &manual {
        Some(clock) => Arc::clone(clock) as Arc<dyn Clock>,
        None => Arc::new(RealClock),
    };
    let bank = Bank::open(Opening::whole(&args.data, Arc::clone(&clock), dice.clone())).await?;
    lay_credentials(&bank.keys, &args.data)?;
    let links = LoginLinks::new(bank.keys.clone(), Dice::from_os());
    let edge = Edge::new(bank.gate.clone(), dice.clone(), bank.metrics.clone());
    let stop = Stop::default();
    let console = console::open(&bank, links.clone(), Arc::new(RealClock), manual.is_some(), &stop);
    let mut router = bank.router.clone().merge(edge.open("console", console::router(console)));
    if let Some(clock) = manual {
        router = router.merge(edge.open("sim", crate::clock::router(&bank, clock)));
    }
    for part in bank.parts.iter() {
        crate::say(&format!("{:<12} http://{address}/{}/v1", part.name, part.name));
    }
    crate::say(&format!("operator's credential: {}", args.data.join("operator.token").display()));
    let code = links.offer(Role::Operator, "operator", RealClock.now()).map_err(|e| Failure::World(e.to_string()))?;
    crate::say(&format!("the bank's page, good once: http://{address}/login?code={code}"));
    tokio::spawn(stop_when_told(stop.clone()));
    let router = with_fallbacks(router);
    let count = args.customers.unwrap_or(if args.clock == ClockKind::Manual { 0 } else { CUSTOMERS_UNLESS_TOLD });
    if let Some(every) = feed {
        let (ask, clock, stop) = (bank.ask.named("feed"), Arc::clone(&clock), stop.clone());
        tokio::spawn(async move {
            if let Err(why) = crate::feed::live(ask, clock, every, stop).await {
                tracing::error!(why, "no boards are published; the bank goes on");
            }
        });
    }
    let place = Place { router: router.clone(), keys: bank.keys.clone(), clock, dir: &args.data };
    let living = async {
        if count > 0
            && let Err(why) = customers::live(place, count as usize, dice, stop.clone()).await
        {
            tracing::error!(why, "the simulated customers could not go on; the bank does");
        }
    };
    let ((), drained) = tokio::join!(living, server.run(router, stop.clone()));
    if drained.cut > 0 {
        tracing::warn!(connections = drained.cut, "connections that took too long were cut");
    }
    bank.close().await;
    crate::say("closed");
    Ok(Verdict::Done)
}

/// Stops on SIGTERM and on Ctrl-C.
pub async fn stop_when_told(stop: Stop) {
    let term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    let Ok(mut term) = term else { return };
    tokio::select! {
        biased;
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    stop.stop();
}
