//! The bank of a simulation: its nodes, and everything around them.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::future::BoxFuture;
use http::Request;
use jangbu_contracts::page::Page;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::ask::Ask;
use jangbu_platform::auth::{Keyring, Role};
use jangbu_platform::crypto::DataKey;
use jangbu_platform::dice::Dice;
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
use crate::client::{Client, KRW, Keys};
use crate::workload::town::{Tokens, Town, Ways};

/// When every simulation begins: 2026-01-30, 07:00 in Seoul.
const BEGINNING: &str = "2026-01-29T22:00:00Z";
/// How far a node's clock may be off, microseconds either way.
const OFF_US_MAX: i64 = 40_000;
/// How long credentials are good: simulated days pass in no time.
const CREDENTIAL_TTL: Duration = Duration::from_secs(366 * 86_400);
/// How long faults between tasks are thrown within a watch, milliseconds.
const CHAOS_MS: u64 = 2_000;
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
        let trace = Arc::new(Trace::new(plan.aloud));
        let faults = Arc::new(Faults::drawn(seed, plan.level, &plan.without));
        let broker = Arc::new(Broker::new(Arc::clone(&time), Arc::clone(&faults), Arc::clone(&trace)));
        let log = Log::new(Arc::clone(&broker) as _);
        let kv = Kv::new(Arc::new(Cache::new(Arc::clone(&time) as _, Arc::clone(&faults))));
        let keys = Keyring::in_memory(dice("keys"));
        let ask = Ask::new("bank", keys.clone(), Arc::clone(&time) as _, dice("calls"));
        ask.meddle(Some(Arc::new(Network(Arc::clone(&faults)))));
        let data_key = Arc::new(DataKey::new(&dice("data key").bytes(), dice("nonces")));
        let (around_time, metrics) = (Arc::clone(&time), Metrics::default());
        let around =
            Around { seed, time: around_time, log: log.clone(), kv, keys: keys.clone(), ask, metrics, data_key };
        let node = |opener| Arc::new(Node::new(opener, &around, &faults, &trace, dir));
        let nodes: Arc<Vec<Arc<Node>>> = Arc::new(openers.iter().map(node).collect());
        let behind = Bound { time: Arc::clone(&time), off: -OFF_US_MAX };
        let ahead = Bound { time: Arc::clone(&time), off: OFF_US_MAX };
        let auditor = Arc::new(Auditor::new(Arc::new(behind)).with_ahead(Arc::new(ahead)));
        let router = front(&nodes, &auditor);
        let (lost, watchers) = (Arc::default(), Vec::new());
        Bank { time, faults, trace, auditor, broker, log, keys, nodes, router, lost, watchers, seed }
    }

    /// Opens all services; nothing goes wrong meanwhile.
    ///
    /// # Errors
    /// One could not be opened.
    pub async fn open(&mut self) -> Result<(), String> {
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
        Ok(())
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

    fn client(&self, role: Role, subject: &str) -> Result<Client, String> {
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
        let tight = json!({"code": "tight", "name": "tight", "kind": "demand", "currency": "KRW", "from": "2026-01-30",
            "tiers": [{"up_to": 1_000_000, "rate": "0.05"}, {"up_to": null, "rate": "0.01"}],
            "limits": {"transaction": 9_000, "day": 40_000, "month": 90_000}});
        operator.deposit(KRW).put_product("tight", &tight).await.reply()?;
        for terms in operator.deposit(KRW).products().await.reply()?.items {
            self.auditor.product(KRW, &terms)?;
        }
        let client = self.client(Role::Service, "town")?;
        let ways = Ways { client, tokens: self.tokens(), auditor: Some(Arc::clone(&self.auditor)) };
        let keys = Arc::new(Keys::since(Timestamp::from_micros(1_000)));
        let mut town = Town::of(Vec::new(), &ways, keys)?;
        let dice = Dice::seeded(seed_of(self.seed, "town"));
        town.grow(customers, &["toss-demand", "tight"], &dice, |_| {}).await?;
        Ok(town)
    }

    /// Sets or clears a mark of somebody's account, while nobody is under way.
    ///
    /// # Errors
    /// What the bank said instead.
    pub async fn mark_somebody(&self, town: &Town, dice: &Dice) -> Result<(), String> {
        let who = usize::try_from(dice.below(town.people.len() as u64)).unwrap_or(0);
        let marks = ["deposit_stop", "withdrawal_stop", "limited"];
        let mark = marks[usize::try_from(dice.below(marks.len() as u64)).unwrap_or(0)];
        let account = town.people[who].account;
        let on = self.auditor.look(|m| !m.accounts[&account].marks.contains(mark));
        self.client(Role::Operator, "operator")?.deposit(KRW).mark(account, mark, on).await.reply()?;
        self.auditor.account_marked(account, mark, on);
        Ok(())
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
                    one.clock.set_off(i64::try_from(off).unwrap_or(0) - OFF_US_MAX);
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
            while node.part().is_none() || node.site.home().is_dead() {
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
            let base = format!("/{}/v1/dead-letters", part.name);
            loop {
                let page = operator.call::<Page<Value>>(http::Method::GET, &base, None, None).await.reply()?;
                let Some(id) = page.items.first().and_then(|letter| letter["id"].as_str()) else { break };
                probe::reached("dead-letter-driven-again");
                let path = format!("{base}/{id}/redrive");
                let body = json!({"reason": "the world is right again"}).to_string().into_bytes();
                let done: Value = operator.call(http::Method::POST, &path, Some(id), Some(body)).await.reply()?;
                self.trace.say(|| format!("{}: letter {id} driven again: {done}", part.name));
            }
        }
        Ok(())
    }

    /// Waits until everything that was told has been taken by all who listen.
    ///
    /// # Errors
    /// A database failed.
    pub async fn settle(&self) -> Result<(), String> {
        running::settle(&self.parts(), &self.log).await.map_err(|e| e.to_string())?;
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
        let service = self.client(Role::Service, "town").map_err(|why| vec![why])?;
        self.auditor.compare(&service).await?;
        let operator = self.client(Role::Operator, "operator").map_err(|why| vec![why])?;
        self.auditor.general_ledger(&operator).await
    }
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
