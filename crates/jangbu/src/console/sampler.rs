//! Gathers the figures once a second, whether anybody looks or not.
//!
//! Nothing here takes part in serving: it reads numbers that are counted anyway, asks the services for their totals as
//! anybody may, and reads the last few events of the log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jangbu_contracts::accounting::TrialBalance;
use jangbu_contracts::deposit::Totals;
use jangbu_contracts::exchange::{Exchange, Rates};
use jangbu_contracts::operators::{Approval, DeadLetter};
use jangbu_contracts::page::Page;
use jangbu_contracts::{accounting, customer};
use jangbu_kernel::money::Currency;
use jangbu_platform::ask::{Ask, Outcome};
use jangbu_platform::clock::{Clock, ticks};
use jangbu_platform::log::Log;
use jangbu_platform::running::Part;
use jangbu_platform::service::Stop;
use jangbu_platform::telemetry::Metrics;
use jangbu_platform::telemetry::reading::{Spread, label};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::figures::{Book, Calls, Control, Counted, Exchanging, Lag, Letter, Shown};
use super::{told, view};
use crate::bank::Bank;

/// How often it looks, in milliseconds.
const EVERY_MS: u64 = 1_000;
/// Seconds that are kept.
const SECONDS_KEPT: usize = 60;
/// What changes slowly or costs more is read every so many looks.
const LOOKS_PER_SLOW_LOOK: u64 = 5;
/// Parked events shown.
const LETTERS_SHOWN_MAX: usize = 8;
/// Calls shown.
const CALLS_SHOWN_MAX: usize = 10;
/// Name of the service with the general ledger.
const ACCOUNTING: &str = "accounting";
/// Name of the general ledger's account that holds what customers have.
const CONTROL_ACCOUNT: &str = "customer_deposits";

/// Name of the service with the board.
const EXCHANGE: &str = "exchange";
/// Exchanges shown of each kind.
const EXCHANGES_SHOWN_MAX: usize = 12;

/// What the sampler itself asks for; the page doesn't show its own calls.
const OWN_CALLS: [&str; 6] =
    ["/v1/totals", "/v1/trial-balance", "/v1/dead-letters", "/v1/rates", "/v1/exchanges", "/v1/approvals"];

/// What the figures are made from.
pub struct Sampler {
    ask: Ask,
    log: Log,
    metrics: Metrics,
    parts: Arc<Vec<Arc<Part>>>,
    clock: Arc<dyn Clock>,
    by_hand: bool,
    topics: Vec<String>,
    looks: u64,
    recorded: Option<(u64, Instant)>,
    rates: VecDeque<u64>,
    spreads: VecDeque<BTreeMap<String, Spread>>,
    customers: Option<u64>,
    letters: Vec<Letter>,
    exchange: Option<Exchanging>,
    controls: BTreeMap<(String, Currency), Control>,
}

impl Sampler {
    /// A sampler of a bank.
    #[must_use]
    pub fn new(bank: &Bank, by_hand: bool) -> Sampler {
        let open = |name: &str| bank.parts.iter().any(|part| part.name == name);
        let specs = crate::services::ALL.iter().map(|entry| entry.spec).filter(|spec| open(spec.name));
        Sampler {
            ask: bank.ask.named("console"),
            log: bank.log.clone(),
            metrics: bank.metrics.clone(),
            parts: Arc::clone(&bank.parts),
            clock: Arc::clone(&bank.clock),
            by_hand,
            topics: specs.flat_map(|spec| spec.tells).map(|topic| (*topic).to_owned()).collect(),
            looks: 0,
            recorded: None,
            rates: VecDeque::new(),
            spreads: VecDeque::new(),
            customers: None,
            letters: Vec::new(),
            exchange: None,
            controls: BTreeMap::new(),
        }
    }

    /// Looks until `stop`, and hands each look on as the parts of the page.
    pub async fn run(mut self, shown: watch::Sender<Arc<Vec<view::Part>>>, stop: Stop) {
        let mut every = tokio::time::interval(Duration::from_millis(EVERY_MS));
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.wait() => return,
                _ = every.tick() => {}
            }
            let look = self.look().await;
            shown.send_replace(Arc::new(view::parts(&look)));
        }
    }

    async fn look(&mut self) -> Shown {
        let mut shown = Shown {
            now: Some(self.clock.now()),
            by_hand: self.by_hand,
            services: self.parts.iter().map(|part| part.name.clone()).collect(),
            ..Shown::default()
        };
        self.flow(&mut shown).await;
        self.totals(&mut shown).await;
        if self.looks.is_multiple_of(LOOKS_PER_SLOW_LOOK) {
            self.slow(&mut shown).await;
        }
        self.looks += 1;
        shown.counted.customers = self.customers;
        shown.letters.clone_from(&self.letters);
        shown.exchange.clone_from(&self.exchange);
        for book in &mut shown.books {
            book.control = self.controls.get(&(book.instance.clone(), book.sums.currency)).copied();
        }
        shown.rates = self.rates.iter().copied().collect();
        shown.calls = self.calls();
        shown
    }

    fn is_open(&self, service: &str) -> bool {
        self.parts.iter().any(|part| part.name == service)
    }

    /// Asks a service; what can't be had is trouble, and shown as such.
    async fn get<T: DeserializeOwned>(&self, trouble: &mut Vec<String>, service: &str, path: &str) -> Option<T> {
        match self.ask.get(service, path).await {
            Outcome::Reply(reply) => return Some(reply),
            Outcome::Refusal(problem) => trouble.push(format!("{service}{path}: {}", problem.detail)),
            Outcome::Unknown(why) => trouble.push(format!("{service}{path}: {why}")),
        }
        None
    }

    /// Events on their way: the last ones, those that wait, and those who are behind.
    async fn flow(&self, shown: &mut Shown) {
        match told::latest(&self.log, &self.topics).await {
            Ok(events) => shown.events = events,
            Err(fault) => shown.trouble.push(fault.to_string()),
        }
        for part in self.parts.iter().filter(|part| !part.outgoing.is_empty()) {
            let mut waiting = 0;
            for outgoing in &part.outgoing {
                match outgoing.waiting().await {
                    Ok(count) => waiting += count,
                    Err(fault) => shown.trouble.push(fault.to_string()),
                }
            }
            let help = "Events that wait to leave.";
            let gauge = self.metrics.gauge("jangbu_outbox_waiting", help, &[("service", &part.name)]);
            gauge.set(i64::try_from(waiting).unwrap_or(i64::MAX));
            shown.waiting.push((part.name.clone(), waiting));
        }
        for (labels, events) in self.metrics.gauges("jangbu_consumer_lag") {
            let of = |name| label(&labels, name).unwrap_or("").to_owned();
            shown.lags.push(Lag { group: of("group"), topic: of("topic"), events });
        }
        for (labels, count) in self.metrics.gauges("jangbu_dead_letters_parked") {
            let service = label(&labels, "service").unwrap_or("").to_owned();
            shown.parked.push((service, count.unsigned_abs()));
        }
    }

    /// The sums of all deposit instances, and how fast they grow.
    async fn totals(&mut self, shown: &mut Shown) {
        let mut counted = Counted::default();
        let parts = Arc::clone(&self.parts);
        for part in parts.iter().filter(|part| part.name.starts_with("deposit-")) {
            let Some(totals) = self.get::<Totals>(&mut shown.trouble, &part.name, "/totals").await else { return };
            counted.accounts += totals.accounts;
            counted.postings += totals.postings;
            counted.refused += totals.refused;
            counted.recorded += totals.recorded;
            counted.behind += totals.recorded - totals.summed;
            let book = |sums| Book { instance: part.name.clone(), sums, control: None };
            shown.books.extend(totals.currencies.into_iter().map(book));
        }
        shown.counted = counted;
        let now = ticks();
        if let Some((before, then)) = self.recorded.replace((counted.recorded, now)) {
            let ms = u64::try_from((now - then).as_millis()).unwrap_or(u64::MAX).max(1);
            let grown = counted.recorded.saturating_sub(before);
            self.rates.push_back((grown.saturating_mul(1_000) + ms / 2) / ms);
            if self.rates.len() > SECONDS_KEPT {
                self.rates.pop_front();
            }
        }
    }

    async fn slow(&mut self, shown: &mut Shown) {
        if self.is_open("customer") {
            let totals = self.get::<customer::Totals>(&mut shown.trouble, "customer", "/totals").await;
            self.customers = totals.map(|totals| totals.customers);
        }
        self.read_letters(shown).await;
        self.read_exchange(shown).await;
        self.read_controls(shown).await;
        let spreads = self.metrics.histograms("jangbu_call_seconds");
        self.spreads.push_back(spreads.into_iter().map(|(labels, took)| (labels, took.spread())).collect());
        if self.spreads.len() > SECONDS_KEPT / 5 {
            self.spreads.pop_front();
        }
    }

    async fn read_letters(&mut self, shown: &mut Shown) {
        let mut letters = Vec::new();
        let path = format!("/dead-letters?state=parked&limit={LETTERS_SHOWN_MAX}");
        for (service, _) in shown.parked.iter().filter(|(_, count)| *count > 0) {
            let page = self.get::<Page<DeadLetter>>(&mut shown.trouble, service, &path).await;
            let letter = |l: DeadLetter| Letter {
                service: service.clone(),
                id: l.id,
                event_type: l.event_type,
                reason: l.reason,
                at: l.parked_at,
            };
            letters.extend(page.into_iter().flat_map(|page| page.items).map(letter));
        }
        letters.truncate(LETTERS_SHOWN_MAX);
        self.letters = letters;
    }

    /// The board, what waits for a second person, and exchanges.
    async fn read_exchange(&mut self, shown: &mut Shown) {
        if !self.is_open(EXCHANGE) {
            return;
        }
        let board = match self.ask.get::<Rates>(EXCHANGE, "/rates").await {
            Outcome::Reply(board) => Some(board),
            Outcome::Refusal(problem) if problem.code == "NOT_FOUND" => None,
            Outcome::Refusal(problem) => return shown.trouble.push(format!("{EXCHANGE}/rates: {}", problem.detail)),
            Outcome::Unknown(why) => return shown.trouble.push(format!("{EXCHANGE}/rates: {why}")),
        };
        let list = format!("/exchanges?limit={EXCHANGES_SHOWN_MAX}");
        let stuck = format!("{list}&stuck=true");
        let newest = self.get::<Page<Exchange>>(&mut shown.trouble, EXCHANGE, &list).await;
        let stuck = self.get::<Page<Exchange>>(&mut shown.trouble, EXCHANGE, &stuck).await;
        let (Some(newest), Some(stuck)) = (newest, stuck) else { return };
        let undecided = self.metrics.gauges("jangbu_exchange_undecided_old").iter().map(|(_, count)| *count).sum();
        let approvals = "/approvals?state=pending";
        let Some(approvals) = self.get::<Page<Approval>>(&mut shown.trouble, EXCHANGE, approvals).await else { return };
        let (approvals, stuck, newest) = (approvals.items, stuck.items, newest.items);
        self.exchange = Some(Exchanging { board, approvals, stuck, newest, undecided });
    }

    /// What the general ledger says customers have. It follows the postings, so it is only held against a sum when
    /// nothing is on its way.
    async fn read_controls(&mut self, shown: &mut Shown) {
        if !self.is_open(ACCOUNTING) {
            return;
        }
        let still = shown.counted.behind == 0
            && shown.waiting.iter().all(|(_, count)| *count == 0)
            && shown.lags.iter().all(|lag| lag.group != ACCOUNTING || lag.events == 0);
        let mut currencies: Vec<Currency> = shown.books.iter().map(|book| book.sums.currency).collect();
        currencies.sort_unstable();
        currencies.dedup();
        let mut controls = BTreeMap::new();
        for currency in currencies {
            let path = format!("/trial-balance?currency={currency}");
            let Some(balance) = self.get::<TrialBalance>(&mut shown.trouble, ACCOUNTING, &path).await else { return };
            for book in shown.books.iter().filter(|book| book.sums.currency == currency) {
                let of_book = |row: &&accounting::TrialBalanceRow| {
                    row.account == CONTROL_ACCOUNT && row.instance == book.instance
                };
                let sum: i128 = balance.accounts.iter().filter(of_book).map(|row| row.balance).sum();
                let key = (book.instance.clone(), currency);
                let before = self.controls.get(&key).map_or(0, |control| control.differs);
                let same = sum == i128::from(book.sums.customers_total);
                let differs = if still && !same { before + 1 } else { 0 };
                controls.insert(key, Control { balance: sum, same, differs });
            }
        }
        self.controls = controls;
    }

    /// How long calls took since the oldest reading that is kept.
    fn calls(&self) -> Vec<Calls> {
        let oldest = self.spreads.front();
        let mut calls = Vec::new();
        for (labels, took) in self.metrics.histograms("jangbu_call_seconds") {
            let of = |name| label(&labels, name).unwrap_or("");
            if of("service") == "console"
                || of("method") == "GET" && OWN_CALLS.iter().any(|path| of("route").ends_with(path))
            {
                continue;
            }
            let now = took.spread();
            let spread = oldest.and_then(|then| then.get(&labels)).map_or_else(|| now.clone(), |then| now.since(then));
            if spread.count() > 0 {
                let call = format!("{} {}", of("method"), of("route"));
                let (p50, p99) = (spread.quantile(500), spread.quantile(990));
                calls.push(Calls { call, count: spread.count(), p50, p99 });
            }
        }
        calls.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.call.cmp(&b.call)));
        calls.truncate(CALLS_SHOWN_MAX);
        calls
    }
}
