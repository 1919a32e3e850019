//! The bank of a simulation: its nodes, and everything around them.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::future::BoxFuture;
use http::Request;
use jangbu_contracts::page::Page;
use jangbu_contracts::topics;
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::ask::Ask;
use jangbu_platform::auth::{Keyring, Role};
use jangbu_platform::clock::Clock as _;
use jangbu_platform::crypto::DataKey;
use jangbu_platform::dice::Dice;
use jangbu_platform::edge::CALLS_UNDER_WAY_MAX;
use jangbu_platform::kv::Kv;
use jangbu_platform::log::{Log, PARTITIONS};
use jangbu_platform::probe;
use jangbu_platform::running::{self, Opener, Part};
use jangbu_platform::telemetry::Metrics;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::broker::Broker;
use super::cache::Cache;
use super::calls::{Network, front_of, give};
use super::day::Plan;
use super::faults::{Fault, Faults};
use super::node::{Around, Node};
use super::seed_of;
use super::time::{Bound, Time};
use super::trace::Trace;
use crate::auditor::Auditor;
use crate::client::{Client, FX, KRW, Keys};
use crate::workload::town::{Tokens, Town, Ways};

/// When every simulation begins: 2026-01-30, 07:00 in Seoul.
const BEGINNING: &str = "2026-01-29T22:00:00Z";
/// How far a node's clock may be off, microseconds either way.
const OFF_US_MAX: i64 = 150_000;
/// Of so many banks one has room for few calls at a time, and for how many at least and at most.
const NARROW_EVERY: u64 = 3;
const NARROW_CALLS: (u64, u64) = (6, 16);
/// How long credentials are good: simulated days pass in no time.
const CREDENTIAL_TTL: Duration = Duration::from_secs(366 * 86_400);
/// How long faults between tasks are thrown within a watch, milliseconds.
const CHAOS_MS: u64 = 2_000;
/// How long an operator looks after parked events within a watch, and how often, milliseconds.
const OPERATOR_MS: u64 = 3_000;
const OPERATOR_EVERY_MS: u64 = 800;
/// One of so many people has an account in a foreign currency.
const ABROAD_EVERY: usize = 5;
/// How often the dice of chaos are thrown, milliseconds.
const CHAOS_EVERY_MS: u64 = 250;

/// The bank.
pub struct Bank {
    /// True time.
    pub time: Arc<Time>,
    /// What can go wrong.
    pub faults: Arc<Faults>,
    /// What has happened.
    pub trace: Arc<Trace>,
    /// Who judges.
    pub auditor: Arc<Auditor>,
    /// The log.
    pub broker: Arc<Broker>,
    log: Log,
    keys: Keyring,
    nodes: Arc<Vec<Arc<Node>>>,
    router: Router,
    /// Why nodes could not come back.
    lost: Arc<Mutex<Vec<String>>>,
    watchers: Vec<tokio::task::JoinHandle<()>>,
    seed: u64,
}

impl Bank {
    /// A bank that was never opened, with its files in `dir`.
    #[must_use]
    pub fn found(plan: &Plan, openers: &'static [Opener], dir: &Path) -> Bank {
        let seed = plan.seed;
        let dice = |of: &str| Dice::seeded(seed_of(seed, of));
        let time = Time::starting(BEGINNING.parse().expect("the beginning is an instant"));
        let trace = Arc::new(Trace::new(&time, plan.aloud, plan.watcher.clone()));
        let faults = Arc::new(Faults::drawn(seed, plan.level, &plan.without).told_to(&trace));
        let broker = Arc::new(Broker::new(Arc::clone(&time), Arc::clone(&faults), Arc::clone(&trace)));
        let log = Log::new(Arc::clone(&broker) as _);
        let shape = dice("shape");
        let members = 1 + usize::try_from(shape.below(2)).unwrap_or(0);
        let few = NARROW_CALLS.0 + shape.below(NARROW_CALLS.1 - NARROW_CALLS.0);
        let narrow = shape.below(NARROW_EVERY) == 0;
        let calls_max = if narrow { usize::try_from(few).unwrap_or(1) } else { CALLS_UNDER_WAY_MAX };
        let kv = Kv::new(Arc::new(Cache::new(Arc::clone(&time) as _, Arc::clone(&faults))));
        let keys = Keyring::in_memory(dice("keys"));
        let ask = Ask::new("bank", keys.clone(), Arc::clone(&time) as _, dice("calls"));
        ask.meddle(Some(Arc::new(Network(Arc::clone(&faults)))));
        let data_key = Arc::new(DataKey::new(&dice("data key").bytes(), dice("nonces")));
        let around = Around {
            seed,
            time: Arc::clone(&time),
            broker: Arc::clone(&broker),
            members,
            calls_max,
            kv,
            keys: keys.clone(),
            ask,
            metrics: Metrics::default(),
            data_key,
        };
        let node = |opener| Arc::new(Node::new(opener, &around, &faults, &trace, dir));
        let nodes: Arc<Vec<Arc<Node>>> = Arc::new(openers.iter().map(node).collect());
        let behind = Bound { time: Arc::clone(&time), off: -OFF_US_MAX };
        let ahead = Bound { time: Arc::clone(&time), off: OFF_US_MAX };
        let auditor = Arc::new(Auditor::new(Arc::new(behind)).with_ahead(Arc::new(ahead)));
        let router = front(&nodes, &auditor);
        let (lost, watchers) = (Arc::default(), Vec::new());
        Bank { time, faults, trace, auditor, broker, log, keys, nodes, router, lost, watchers, seed }
    }

    /// Opens all services, whatever goes wrong meanwhile.
    ///
    /// # Errors
    /// One could not be opened.
    pub async fn open(&mut self) -> Result<(), String> {
        self.faults.set_on(true);
        for node in self.nodes.iter() {
            node.start().await.map_err(|e| format!("{}: {e}", node.site.name))?;
            let (watched, lost) = (Arc::clone(node), Arc::clone(&self.lost));
            self.watchers.push(tokio::spawn(async move {
                let name = watched.site.name.clone();
                if let Err(e) = watched.watch_over().await {
                    let why = format!("{name} could not come back: {e}");
                    lost.lock().unwrap_or_else(PoisonError::into_inner).push(why);
                }
            }));
        }
        self.faults.set_on(false);
        self.all_up().await;
        self.lost()
    }

    /// Ends everything.
    pub async fn end(self) {
        for watcher in &self.watchers {
            watcher.abort();
        }
        for node in self.nodes.iter() {
            node.end().await;
        }
    }

    /// The way of a caller to the bank.
    pub(super) fn client(&self, role: Role, subject: &str) -> Result<Client, String> {
        Client::here(self.router.clone(), &self.tokens()(role, subject)?)
    }

    fn tokens(&self) -> Tokens {
        let (keys, time) = (self.keys.clone(), Arc::clone(&self.time));
        Arc::new(move |role, subject| {
            let now = jangbu_platform::clock::Clock::now(time.as_ref());
            keys.issue(role, subject, now, CREDENTIAL_TTL).map_err(|e| e.to_string())
        })
    }

    /// A town of people who all have accounts and their first money.
    ///
    /// # Errors
    /// What the bank said instead.
    pub async fn town(&self, customers: usize) -> Result<Town, String> {
        let operator = self.client(Role::Operator, "operator")?;
        for (instance, terms) in [(KRW, tight("2026-01-30", "0.05")), (FX, dollar("2026-01-30", "0.0345"))] {
            let code = terms["code"].as_str().unwrap_or_default().to_owned();
            operator.deposit(instance).put_product(&code, &terms).await.reply()?;
            for terms in operator.deposit(instance).products().await.reply()?.items {
                self.auditor.product(instance, &terms)?;
            }
        }
        let client = self.client(Role::Service, "town")?;
        let ways = Ways { client, tokens: self.tokens(), auditor: Some(Arc::clone(&self.auditor)) };
        let keys = Arc::new(Keys::since(Timestamp::from_micros(1_000)));
        let mut town = Town::of(Vec::new(), &ways, keys)?;
        let dice = Dice::seeded(seed_of(self.seed, "town"));
        town.grow(customers, &["toss-demand", "tight"], &dice, |_| {}).await?;
        town.go_abroad(ABROAD_EVERY, &["dollar", "fx-jpy", "dollar", "fx-eur"]).await?;
        self.enrich(&town, &dice).await?;
        Ok(town)
    }

    /// What goes wrong by itself during a watch: nodes die, clocks go off.
    pub fn chaos(&self, dice: Dice, since: Instant) -> BoxFuture<'static, Result<(), String>> {
        let (nodes, faults) = (Arc::clone(&self.nodes), Arc::clone(&self.faults));
        Box::pin(async move {
            while since.elapsed() < Duration::from_millis(CHAOS_MS) {
                tokio::time::sleep(Duration::from_millis(1 + dice.below(CHAOS_EVERY_MS))).await;
                let one = &nodes[usize::try_from(dice.below(nodes.len() as u64)).unwrap_or(0)];
                if faults.strikes(Fault::ClockOff) {
                    let off = faults.below(Fault::ClockOff, 2 * OFF_US_MAX.unsigned_abs());
                    set_clock(&nodes, one, i64::try_from(off).unwrap_or(0) - OFF_US_MAX);
                }
                if faults.strikes(Fault::NodeCrash) {
                    one.site.crash("by chance");
                }
                if faults.strikes(Fault::BankCrash) {
                    probe::reached("all-nodes-crashed-at-once");
                    for node in nodes.iter() {
                        node.site.crash("with all others");
                    }
                }
            }
            Ok(())
        })
    }

    /// All nodes die and come back.
    pub async fn restart_all(&self) {
        for node in self.nodes.iter() {
            node.site.crash("to be read anew");
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.all_up().await;
    }

    /// Waits until all nodes live; all clocks are right again.
    pub async fn all_up(&self) {
        for node in self.nodes.iter() {
            node.clock.set_off(0);
            while self.lost().is_ok() && (node.part().is_none() || node.site.home().is_dead()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    fn parts(&self) -> Vec<Arc<Part>> {
        self.nodes.iter().filter_map(|node| node.part()).collect()
    }

    /// Drives parked events again, as an operator does: once nothing goes wrong, each must go through.
    ///
    /// # Errors
    /// One was rejected again.
    pub async fn drive_letters(&self) -> Result<(), String> {
        let operator = self.client(Role::Operator, "operator")?;
        for part in self.parts().iter().filter(|part| !part.consumers.is_empty()) {
            while drive_oldest(&operator, &part.name, &self.trace).await? {}
        }
        Ok(())
    }

    /// An operator who drives parked events again while things still go wrong: letters may be rejected again.
    pub fn impatient_operator(&self, dice: Dice, since: Instant) -> BoxFuture<'static, Result<(), String>> {
        let (nodes, trace, operator) =
            (Arc::clone(&self.nodes), Arc::clone(&self.trace), self.client(Role::Operator, "operator"));
        Box::pin(async move {
            let operator = operator?;
            while since.elapsed() < Duration::from_millis(OPERATOR_MS) {
                tokio::time::sleep(Duration::from_millis(1 + dice.below(OPERATOR_EVERY_MS))).await;
                let one = &nodes[usize::try_from(dice.below(nodes.len() as u64)).unwrap_or(0)];
                if one.part().is_some_and(|part| !part.consumers.is_empty())
                    && drive_oldest(&operator, &one.site.name, &trace).await.is_err()
                {
                    probe::reached("operator-could-not-drive-a-letter");
                }
            }
            Ok(())
        })
    }

    /// Waits until everything that was told has been taken by all who listen.
    ///
    /// # Errors
    /// A database failed.
    pub async fn settle(&self) -> Result<(), String> {
        running::settle(&self.parts(), &self.log).await.map_err(|e| e.to_string())?;
        self.lost()
    }

    /// Whatever was to be told has left.
    async fn outboxes_are_empty(&self) -> Result<(), Vec<String>> {
        let mut left = Vec::new();
        for part in self.parts() {
            for outgoing in &part.outgoing {
                let unsent = outgoing.unsent(1).await.map_err(|e| vec![e.to_string()])?;
                left.extend(unsent.iter().map(|event| format!("{} has not sent {event:?}", part.name)));
            }
        }
        if left.is_empty() { Ok(()) } else { Err(left) }
    }

    /// Whether all nodes could come back so far.
    fn lost(&self) -> Result<(), String> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if lost.is_empty() { Ok(()) } else { Err(lost.join("; ")) }
    }

    /// What is not at rest.
    #[must_use]
    pub fn unsettled(&self) -> String {
        let mut why = self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for node in self.nodes.iter().filter(|node| node.part().is_none() || node.site.home().is_dead()) {
            why.push(format!("{} is down", node.site.name));
        }
        let open = self.auditor.open();
        why.extend(open.iter().take(5).map(|(key, what)| format!("nobody knows of {key:?} {what:?}")));
        if why.is_empty() { format!("events are under way in {PARTITIONS} partitions") } else { why.join("; ") }
    }

    /// Judges every answer, every account, and the general ledger.
    ///
    /// # Errors
    /// All that is wrong.
    pub async fn judge(&self) -> Result<(), Vec<String>> {
        self.auditor.judge()?;
        let touched = self.auditor.touched();
        let service = self.client(Role::Service, "town").map_err(|why| vec![why])?;
        self.auditor.compare(&service).await?;
        let operator = self.client(Role::Operator, "operator").map_err(|why| vec![why])?;
        self.auditor.general_ledger(&operator).await?;
        self.auditor.days_of_the_ledger(&operator).await?;
        self.auditor.screens(&service, &touched).await?;
        self.auditor.decisions_told(&self.broker.told(topics::EXCHANGE_DECIDED))?;
        self.auditor.limits(&service).await?;
        self.auditor.matched(&operator).await?;
        self.outboxes_are_empty().await?;
        let told = [KRW, FX].map(|instance| self.broker.told(&topics::postings(instance)));
        self.auditor.events(&told.concat())
    }
}

/// Drives the events parked with the oldest letter of a service again; whether there was one.
async fn drive_oldest(operator: &Client, service: &str, trace: &Trace) -> Result<bool, String> {
    let base = format!("/{service}/v1/dead-letters");
    let parked = format!("{base}?state=parked");
    let page = operator.call::<Page<Value>>(http::Method::GET, &parked, None, None).await.reply()?;
    let Some(id) = page.items.first().and_then(|letter| letter["id"].as_str()) else { return Ok(false) };
    probe::reached("dead-letter-driven-again");
    let path = format!("{base}/{id}/redrive");
    let body = json!({"reason": "the world is right again"}).to_string().into_bytes();
    let done: Value = operator.call(http::Method::POST, &path, Some(id), Some(body)).await.reply()?;
    trace.say(|| format!("{service}: letter {id} driven again: {done}"));
    Ok(true)
}

/// Sets how far a node's clock is off.
fn set_clock(nodes: &[Arc<Node>], one: &Node, off: i64) {
    let day = |node: &Node| node.clock.now().business_date(UtcOffset::SEOUL);
    let (before, was) = (one.clock.now(), day(one));
    one.clock.set_off(off);
    if one.clock.now() < before {
        probe::reached("clock-of-a-node-stepped-back");
    }
    if day(one) < was {
        probe::reached("clock-of-a-node-stepped-back-over-midnight");
    }
    if nodes.iter().any(|node| day(node) != day(one)) {
        probe::reached("nodes-on-different-days");
    }
}

/// Terms with low limits, for won.
#[must_use]
pub fn tight(from: &str, rate: &str) -> Value {
    json!({"code": "tight", "name": "tight", "kind": "demand", "currency": "KRW", "from": from,
        "tiers": [{"up_to": 1_000_000, "rate": rate}, {"up_to": null, "rate": "0.01"}],
        "limits": {"transaction": 9_000, "day": 20_000, "month": 45_000}})
}

/// Terms of a dollar account that pays interest.
#[must_use]
pub fn dollar(from: &str, rate: &str) -> Value {
    json!({"code": "dollar", "name": "dollar", "kind": "demand", "currency": "USD", "from": from,
        "day_count": "ACT/360", "tiers": [{"up_to": null, "rate": rate}]})
}

/// The way of the outside to all nodes, by the first segment of the path.
fn front(nodes: &[Arc<Node>], auditor: &Arc<Auditor>) -> Router {
    let ways: Vec<(String, Router)> =
        nodes.iter().map(|node| (node.site.name.clone(), front_of(node, auditor))).collect();
    let ways = Arc::new(ways);
    Router::new().fallback(move |request: Request<Body>| {
        let ways = Arc::clone(&ways);
        async move {
            let first = request.uri().path().split('/').nth(1).unwrap_or_default();
            let way = ways.iter().find(|(name, _)| name == first).map(|(_, way)| way.clone());
            give(way.unwrap_or_default(), request).await
        }
    })
}
