//! Whole exchanges through the services' routers in process: a quote, and the exchange by it until it is decided. All
//! services of the bank are open, and accounting follows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use axum::http::Method;
use jangbu_contracts::customer::{Kind, Register};
use jangbu_contracts::deposit::{Batch, Command, KeyedCommand, OpenAccount};
use jangbu_contracts::exchange::{AmountIn, AskExchange, AskQuote, BoardRate, Exchange, PutRates, Quote, Rates, Side};
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_kernel::money::{Amount, Currency};
use jangbu_platform::auth::Role;
use jangbu_platform::clock::{Clock as _, RealClock};
use jangbu_platform::http::with_fallbacks;
use jangbu_platform::running::settle;
use jangbu_sim::client::{Answer, Client, FX, KRW, Keys};
use serde::Serialize;
use tokio::task::JoinSet;

use super::place::Place;
use super::posting::Throws;
use super::{Args, Latencies, Report, memory_bytes, progress, watch_lag};
use crate::Failure;
use crate::bank::Bank;

/// Services that are open.
const SERVICES: [&str; 5] = ["customer", KRW, FX, "accounting", "exchange"];
/// How long the credentials of the callers are good.
const CREDENTIAL_TTL: Duration = Duration::from_secs(86_400);
/// How long it runs before it is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// Customers who are prepared at a time.
const PREPARED_AT_ONCE: usize = 64;
/// What both accounts of a customer begin with, minor units.
const FIRST_MONEY: i64 = 1_000_000_000_000;
/// Commands of one batch of first money.
const FIRST_MONEY_BATCH: usize = 4_096;
/// An exchange is of one to five dollars, so that a customer's day has room for thousands.
const CENTS: (u64, u64) = (100, 400);

/// Somebody who exchanges.
#[derive(Clone, Copy)]
struct Person {
    customer: CustomerId,
    won: AccountId,
    dollars: AccountId,
}

/// What the callers share.
struct Rush {
    client: Client,
    people: Vec<Person>,
    keys: Keys,
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
    if args.accounts < args.callers() {
        return Err(Failure::Use(
            "a customer exchanges once at a time: there must be as many --accounts as --callers".into(),
        ));
    }
    let bank = place.open(Arc::new(RealClock), &SERVICES).await?;
    let router = with_fallbacks(bank.router.clone());
    let client = |role| {
        let token = bank.keys.issue(role, "bench", RealClock.now(), CREDENTIAL_TTL);
        let token = token.map_err(|e| Failure::World(e.to_string()))?;
        Client::here(router.clone(), &token).map_err(Failure::World)
    };
    publish(&client(Role::Operator)?).await.map_err(Failure::World)?;
    let (client, keys) = (client(Role::Service)?, Arc::new(Keys::since(RealClock.now())));
    let people = people(args, &client, &keys).await.map_err(Failure::World)?;
    settle(&bank.parts, &bank.log).await?;
    let (measuring, stopping) = (AtomicBool::new(false), AtomicBool::new(false));
    let keys = Keys::since(RealClock.now());
    let rush = Arc::new(Rush { client, people, keys, measuring, stopping });
    let (mut all, took, lag_max) = rushed(args, &bank, &rush).await?;
    let ended = Instant::now();
    settle(&bank.parts, &bank.log).await?;
    let behind_ms = u64::try_from(ended.elapsed().as_millis()).unwrap_or(u64::MAX);
    let memory_bytes = memory_bytes();
    bank.close().await;
    let books_ok = crate::check::at_rest(place.dir.clone(), place.store.clone(), place.log.clone()).await?;
    let done = u128::from(all.committed) * 1_000_000 / took.as_micros().max(1);
    let latencies = std::mem::take(&mut all.latencies);
    Ok(Report {
        bench: "exchange".to_owned(),
        engine: args.engine.clone(),
        batch: 1,
        callers: args.callers(),
        accounts: args.accounts,
        hot: false,
        seconds: args.seconds,
        before: 0,
        per_second: u64::try_from(done).unwrap_or(0),
        took: latencies.took(),
        committed: all.committed,
        refused: all.refused,
        books_ok,
        memory_bytes,
        more: BTreeMap::from([("events_behind_max", lag_max), ("accounting_behind_ms", behind_ms)]),
    })
}

/// Has the callers at work; what they counted, how long they were measured, and how far behind those who listen were.
async fn rushed(args: &Args, bank: &Bank, rush: &Arc<Rush>) -> Result<(Counted, Duration, u64), Failure> {
    let callers = args.callers() as usize;
    let mut running = JoinSet::new();
    for n in 0..callers {
        running.spawn(exchange_on(Arc::clone(rush), n, callers));
    }
    tokio::time::sleep(WARM_UP).await;
    rush.measuring.store(true, Relaxed);
    let began = Instant::now();
    let lag_max = watch_lag(bank, Duration::from_secs(u64::from(args.seconds))).await?;
    rush.measuring.store(false, Relaxed);
    let took = began.elapsed();
    rush.stopping.store(true, Relaxed);
    let mut all = Counted::default();
    while let Some(counted) = running.join_next().await {
        let counted = counted.map_err(|e| Failure::World(e.to_string()))?.map_err(Failure::World)?;
        all.latencies.merge(&counted.latencies);
        all.committed += counted.committed;
        all.refused += counted.refused;
    }
    Ok((all, took, lag_max))
}

async fn posted<T: serde::de::DeserializeOwned>(
    client: &Client,
    path: &str,
    key: Option<&str>,
    body: &impl Serialize,
) -> Answer<T> {
    client.call(Method::POST, path, key, serde_json::to_vec(body).ok()).await
}

/// Publishes a board with one currency.
async fn publish(operator: &Client) -> Result<(), String> {
    let rate = |text: &str| text.parse().map_err(|e| format!("{text}: {e}"));
    let (mid, tts, ttb) = (rate("1313.23")?, rate("1326.36")?, rate("1300.10")?);
    let line = BoardRate { currency: Currency::USD, unit: 1, mid, tts, ttb };
    let board = serde_json::to_vec(&PutRates { rates: vec![line], reason: None }).map_err(|e| e.to_string())?;
    operator.call::<Rates>(Method::PUT, "/exchange/v1/rates", None, Some(board)).await.reply().map(drop)
}

/// Customers with an account in won and one in dollars, and money on both.
async fn people(args: &Args, client: &Client, keys: &Arc<Keys>) -> Result<Vec<Person>, String> {
    let bar = progress(args, "opening accounts", u64::from(args.accounts));
    let (mut people, mut begun, mut under_way) = (Vec::new(), 0, JoinSet::new());
    while people.len() < args.accounts as usize {
        while begun < args.accounts && under_way.len() < PREPARED_AT_ONCE {
            under_way.spawn(moved_in(client.clone(), Arc::clone(keys)));
            begun += 1;
        }
        let Some(arrived) = under_way.join_next().await else { break };
        people.push(arrived.map_err(|e| e.to_string())??);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let amount = Amount::new(FIRST_MONEY).map_err(|e| e.to_string())?;
    for (instance, account) in [(KRW, (|p| p.won) as fn(&Person) -> AccountId), (FX, |p| p.dollars)] {
        for some in people.chunks(FIRST_MONEY_BATCH) {
            let credit = |person: &Person| {
                let account = account(person);
                let command = Command::Credit { account, amount, source: "cash".to_owned(), memo: None };
                let command = serde_json::to_value(command).expect("wire types are written as JSON");
                KeyedCommand { key: keys.next(), command }
            };
            let commands = some.iter().map(credit).collect();
            let done = client.deposit(instance).batch(&Batch { commands }).await.reply()?;
            if let Some(bad) = done.outcomes.iter().find(|o| o.status != 201) {
                return Err(format!("first money was refused: {:?}", bad.code));
            }
        }
    }
    Ok(people)
}

async fn moved_in(client: Client, keys: Arc<Keys>) -> Result<Person, String> {
    let who = Register { name: "Load".to_owned(), birth_date: BusinessDate::from_days(7_305), kind: Kind::Person };
    let customer = client.register(&keys.next(), &who).await.reply()?.id;
    let opening = |product: &str| OpenAccount { customer, product: product.to_owned(), currency: None };
    let won = client.deposit(KRW).open(&keys.next(), &opening("toss-demand")).await.reply()?.id;
    let dollars = client.deposit(FX).open(&keys.next(), &opening("fx-usd")).await.reply()?.id;
    Ok(Person { customer, won, dollars })
}

/// One caller: he exchanges for each of his customers in turn.
async fn exchange_on(rush: Arc<Rush>, n: usize, callers: usize) -> Result<Counted, String> {
    let (mut counted, mut throws) = (Counted::default(), Throws::new(n as u64 + 1));
    let mine: Vec<Person> = rush.people.iter().skip(n).step_by(callers).copied().collect();
    for person in mine.iter().cycle() {
        if rush.stopping.load(Relaxed) {
            break;
        }
        let asked = Instant::now();
        let succeeded = exchanged(&rush, person, &mut throws).await?;
        if rush.measuring.load(Relaxed) {
            counted.latencies.add(asked.elapsed(), 1);
            *(if succeeded { &mut counted.committed } else { &mut counted.refused }) += 1;
        }
    }
    Ok(counted)
}

/// A quote, and an exchange by it; whether it succeeded.
async fn exchanged(rush: &Rush, person: &Person, throws: &mut Throws) -> Result<bool, String> {
    let side = if throws.below(2) == 0 { Side::Buy } else { Side::Sell };
    let cents = i64::try_from(CENTS.0 + throws.below(CENTS.1)).unwrap_or(1);
    let amount = Amount::new(cents).map_err(|e| e.to_string())?;
    let (customer, currency, amount_in) = (person.customer, Currency::USD, AmountIn::Foreign);
    let asked = AskQuote { customer, side, currency, amount, amount_in, campaign: None };
    let quote: Quote = posted(&rush.client, "/exchange/v1/quotes", None, &asked).await.reply()?;
    let asked = AskExchange { quote: quote.id, krw_account: person.won, fx_account: person.dollars };
    let key = rush.keys.next();
    let done: Exchange = posted(&rush.client, "/exchange/v1/exchanges", Some(&key), &asked).await.reply()?;
    match done.state.as_str() {
        "EXCHANGE_SUCCEEDED" => Ok(true),
        "EXCHANGE_FAILED" => Ok(false),
        state => Err(format!("{} was still {state} when it was answered", done.id)),
    }
}
