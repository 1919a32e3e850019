//! `jangbu sim --watch`: a page that watches runs as they go, and sets how fast.

mod screen;
mod view;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use jangbu_platform::auth::{Keyring, LoginLinks, Role};
use jangbu_platform::clock::{Clock as _, RealClock};
use jangbu_platform::dice::Dice;
use jangbu_platform::edge::{Edge, beside};
use jangbu_platform::http::{Gate, Known, Refused, Strict, json, with_fallbacks};
use jangbu_platform::service::Stop;
use jangbu_platform::telemetry::Metrics;
use jangbu_sim::simulated::day;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{Args, command};
use crate::console::{Console, Part};
use crate::{Ended, Failure, Verdict, services, up};
use screen::{Screen, Speed};

/// How often the page is drawn anew, milliseconds.
const DRAWN_EVERY_MS: u64 = 250;

/// Watches runs from a seed on until it is told to end.
///
/// # Errors
/// The port is taken, or there is no room for the bank's files.
pub fn run(args: Args, first: u64) -> Ended {
    crate::runtime()?.block_on(serve(args, first))
}

async fn serve(args: Args, first: u64) -> Ended {
    let server = up::bind((Ipv4Addr::LOCALHOST, args.port).into()).await?;
    let address = server.local_addr().map_err(|e| Failure::World(e.to_string()))?;
    let (keys, stop, wall) = (Keyring::in_memory(Dice::from_os()), Stop::default(), Arc::new(RealClock));
    let gate = Gate::new(keys.clone(), Arc::clone(&wall) as _);
    let links = LoginLinks::new(keys.clone(), Dice::from_os());
    let screen = Arc::new(Screen::at(Speed::default()));
    let (shown, parts) = watch::channel(Arc::new(view::parts(&screen.picture())));
    let console = Arc::new(Console::of(gate.clone(), keys, links.clone(), wall, parts, view::page, stop.clone()));
    let metrics = Metrics::default();
    let edge = Edge::new(gate, Dice::from_os(), metrics.clone());
    let router = edge.open("console", crate::console::router(console)).merge(edge.open("sim", router(&screen)));
    let router = router.merge(beside(metrics, || Ok(())));
    crate::say(&format!("{:<12} http://{address}/sim/v1", "simulation"));
    let code = links.offer(Role::Operator, "operator", RealClock.now()).map_err(|e| Failure::World(e.to_string()))?;
    crate::say(&format!("the simulation's page, good once: http://{address}/login?code={code}"));
    tokio::spawn(up::stop_when_told(stop.clone()));
    tokio::spawn(draw(Arc::clone(&screen), shown, stop.clone()));
    let files = tempfile::tempdir().map_err(|e| Failure::World(format!("a directory could not be made: {e}")))?;
    let (watched, dir) = (Arc::clone(&screen), files.path().to_owned());
    // A thread of its own, with a runtime of its own whose time stands still: it ends with the process.
    std::thread::spawn(move || runs(&args, first, &watched, &dir));
    server.run(with_fallbacks(router), stop).await;
    crate::say("closed");
    Ok(Verdict::Done)
}

/// Runs seed after seed; a failure ends it.
fn runs(args: &Args, first: u64, screen: &Arc<Screen>, dir: &std::path::Path) {
    let seeds = if args.seeds == 1 { u64::MAX } else { args.seeds };
    for n in 0..seeds {
        let Ok(plan) = args.plan(first.wrapping_add(n)) else { break };
        screen.begins(plan.seed, services::ALL.iter().map(|opener| opener.spec.name.to_owned()));
        let again = command(&plan);
        let plan = day::Plan { watcher: Some(Arc::clone(screen) as _), ..plan };
        let report = day::run_in(&plan, services::ALL, &dir.join(format!("run-{n}")));
        screen.ended(&report, &again);
        if report.failure.is_some() {
            break;
        }
    }
    screen.is_over();
}

/// Draws the page again and again.
async fn draw(screen: Arc<Screen>, shown: watch::Sender<Arc<Vec<Part>>>, stop: Stop) {
    let mut every = tokio::time::interval(Duration::from_millis(DRAWN_EVERY_MS));
    loop {
        tokio::select! {
            biased;
            () = stop.wait() => return,
            _ = every.tick() => {}
        }
        shown.send_replace(Arc::new(view::parts(&screen.picture())));
    }
}

/// What sets the speed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pace {
    speed: Speed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// The calls under `/sim/v1`.
fn router(screen: &Arc<Screen>) -> Router {
    Router::new()
        .route("/sim/v1/speed", post(set_speed))
        .route("/sim/v1/step", post(step))
        .with_state(Arc::clone(screen))
}

async fn set_speed(
    State(screen): State<Arc<Screen>>,
    known: Known,
    Strict(pace): Strict<Pace>,
) -> Result<Response, Refused> {
    known.operator()?;
    screen.set_speed(pace.speed);
    json(200, &pace, false)
}

async fn step(State(screen): State<Arc<Screen>>, known: Known, _: Strict<Nothing>) -> Result<Response, Refused> {
    known.operator()?;
    screen.step();
    json(200, &Pace { speed: Speed::Paused }, false)
}

#[cfg(test)]
mod tests;
