//! Customers who exchange, and remember each won and each cent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::Method;
use futures_util::{StreamExt as _, stream};
use jangbu_contracts::customer::{Kind, Register};
use jangbu_contracts::deposit::{Command, OpenAccount};
use jangbu_contracts::exchange::{
    AmountIn, AskExchange, AskQuote, BoardRate, Exchange, Limits, PutRates, Quote, Rates, Side,
};
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_kernel::money::{Amount, Currency};
use jangbu_platform::dice::Dice;
use jangbu_sim::client::{Answer, Client, FX, KRW, Keys, Said};
use tokio::task::JoinSet;

/// Customers who exchange all the time, each one thing at a time.
const PEOPLE: usize = 6;
/// Customers who exchange now and then: an exchange that a fault caught midway keeps its customer's turn for a while.
const OTHERS: usize = 24;
/// What both accounts of each begin with, minor units.
const FIRST_MONEY: i64 = 100_000_000;
/// Exchanges that are asked for at a time in the end.
const DECIDED_AT_ONCE: usize = 12;
/// The largest exchange, cents: so small that a day's limit has room for tens of thousands.
const CENTS_MAX: u64 = 60;
/// How long all of them may take to be decided once nothing is in their way: the longest wait of a saga that has met
/// three outages, and some.
const DECIDED: Duration = Duration::from_secs(400);

#[derive(Clone, Copy)]
struct Person {
    customer: CustomerId,
    won: AccountId,
    dollars: AccountId,
}

/// An exchange that somebody asked for, and the last that he heard of it.
#[derive(Clone)]
struct Asked {
    person: usize,
    key: String,
    body: AskExchange,
    heard: Option<Exchange>,
}

/// Those who exchange.
pub struct Exchangers {
    client: Client,
    people: Vec<Person>,
    keys: Arc<Keys>,
    asked: Mutex<Vec<Asked>>,
    /// Which of the others comes next.
    next: AtomicUsize,
}

async fn post<T: serde::de::DeserializeOwned>(
    client: &Client,
    path: &str,
    key: Option<&str>,
    body: &impl serde::Serialize,
) -> Answer<T> {
    client.call(Method::POST, path, key, Some(serde_json::to_vec(body).unwrap())).await
}

/// Publishes a board with dollars on it.
pub async fn publish(operator: &Client) {
    let [mid, tts, ttb] = ["1313.23", "1326.36", "1300.10"].map(|rate| rate.parse().unwrap());
    let line = BoardRate { currency: Currency::USD, unit: 1, mid, tts, ttb };
    let board = serde_json::to_vec(&PutRates { rates: vec![line], reason: None }).unwrap();
    operator.call::<Rates>(Method::PUT, "/exchange/v1/rates", None, Some(board)).await.reply().unwrap();
}

impl Exchangers {
    /// They move in.
    pub async fn new(client: Client, keys: Arc<Keys>) -> Exchangers {
        let mut people = Vec::new();
        for _ in 0..PEOPLE + OTHERS {
            let who = Register { name: "Ex".into(), birth_date: "1990-01-02".parse().unwrap(), kind: Kind::Person };
            let customer = client.register(&keys.next(), &who).await.reply().unwrap().id;
            let mut accounts = Vec::new();
            for (instance, product) in [(KRW, "toss-demand"), (FX, "fx-usd")] {
                let opening = OpenAccount { customer, product: product.into(), currency: None };
                let account = client.deposit(instance).open(&keys.next(), &opening).await.reply().unwrap().id;
                let amount = Amount::new(FIRST_MONEY).unwrap();
                let credit = Command::Credit { account, amount, source: "cash".into(), memo: None };
                client.deposit(instance).post(&keys.next(), &credit).await.reply().unwrap();
                accounts.push(account);
            }
            people.push(Person { customer, won: accounts[0], dollars: accounts[1] });
        }
        Exchangers { client, people, keys, asked: Mutex::default(), next: AtomicUsize::new(0) }
    }

    /// They exchange until they are told to stop.
    pub fn load(self: &Arc<Self>, dice: &Dice, stopping: &Arc<AtomicBool>) -> JoinSet<()> {
        let mut all = JoinSet::new();
        for person in 0..PEOPLE {
            let (one, dice, stopping) = (Arc::clone(self), Dice::seeded(dice.u64()), Arc::clone(stopping));
            all.spawn(async move {
                while !stopping.load(SeqCst) {
                    if one.exchange(person, &dice).await.is_none() {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            });
        }
        all
    }

    /// Whether an exchange of somebody else's succeeds at once.
    pub async fn succeeds(&self, dice: &Dice) -> bool {
        let other = PEOPLE + self.next.fetch_add(1, SeqCst) % OTHERS;
        self.exchange(other, dice).await.is_some_and(|exchange| exchange.state == "EXCHANGE_SUCCEEDED")
    }

    /// One exchange, if it was answered.
    async fn exchange(&self, person: usize, dice: &Dice) -> Option<Exchange> {
        let Person { customer, won, dollars } = self.people[person];
        let side = if dice.below(2) == 0 { Side::Buy } else { Side::Sell };
        let amount = Amount::new(i64::try_from(1 + dice.below(CENTS_MAX)).unwrap()).unwrap();
        let asked =
            AskQuote { customer, side, currency: Currency::USD, amount, amount_in: AmountIn::Foreign, campaign: None };
        let client = &self.client;
        let quote = post::<Quote>(client, "/exchange/v1/quotes", None, &asked).await.reply();
        let quote = quote.ok()?;
        let body = AskExchange { quote: quote.id, krw_account: won, fx_account: dollars };
        let asked = Asked { person, key: self.keys.next(), body, heard: None };
        let at = {
            let mut all = self.asked.lock().unwrap();
            all.push(asked.clone());
            all.len() - 1
        };
        let answer = post::<Exchange>(client, "/exchange/v1/exchanges", Some(&asked.key), &asked.body).await;
        let Said::Reply(exchange) = answer.said else { return None };
        self.asked.lock().unwrap()[at].heard = Some(exchange.clone());
        Some(exchange)
    }

    /// Once nothing is in their way, every exchange is decided, none is other than it was told to be, and accounts and
    /// limits hold exactly what the decided ones moved. How many succeeded, failed, and were never begun.
    pub async fn account_for_all(&self) -> (usize, usize, usize) {
        let asked = self.asked.lock().unwrap().clone();
        let mut counts = (0, 0, 0);
        let mut of: BTreeMap<usize, Vec<Exchange>> = BTreeMap::new();
        let decided = stream::iter(asked).map(|asked| async move { (self.decided(&asked).await, asked) });
        let decided: Vec<_> = decided.buffer_unordered(DECIDED_AT_ONCE).collect().await;
        for (decided, asked) in decided {
            match decided {
                Some(exchange) if exchange.state == "EXCHANGE_SUCCEEDED" => {
                    counts.0 += 1;
                    of.entry(asked.person).or_default().push(exchange);
                }
                Some(exchange) => {
                    counts.1 += 1;
                    of.entry(asked.person).or_default().push(exchange);
                }
                None => counts.2 += 1,
            }
        }
        for (at, person) in self.people.iter().enumerate() {
            self.compare(person, of.get(&at).map_or(&[], Vec::as_slice)).await;
        }
        counts
    }

    /// How an exchange was decided; none when it was never begun.
    async fn decided(&self, asked: &Asked) -> Option<Exchange> {
        let until = Instant::now() + DECIDED;
        loop {
            let answer = post::<Exchange>(&self.client, "/exchange/v1/exchanges", Some(&asked.key), &asked.body).await;
            let key = &asked.key;
            match answer.said {
                Said::Reply(now) if matches!(now.state.as_str(), "EXCHANGE_SUCCEEDED" | "EXCHANGE_FAILED") => {
                    if let Some(told) = &asked.heard {
                        assert_eq!(told.id, now.id, "{key} is another exchange now");
                        let decided = told.state.starts_with("EXCHANGE_");
                        assert!(!decided || *told == now, "{key} was told {told:?} and is {now:?}");
                    }
                    return Some(now);
                }
                Said::Problem(problem) if matches!(problem.code.as_str(), "QUOTE_EXPIRED" | "LIMIT_EXCEEDED") => {
                    assert!(asked.heard.is_none(), "{key} was told {:?} and is not known: {problem:?}", asked.heard);
                    return None;
                }
                said => {
                    assert!(Instant::now() < until, "{key} is not decided: {said:?}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    async fn compare(&self, person: &Person, decided: &[Exchange]) {
        let client = &self.client;
        let (mut won, mut dollars, mut used) = (FIRST_MONEY, FIRST_MONEY, 0);
        let (mut won_entries, mut dollar_entries) = (1, 1);
        for exchange in decided {
            let buys = exchange.side == Side::Buy;
            if exchange.state == "EXCHANGE_SUCCEEDED" {
                let sign = if buys { 1 } else { -1 };
                (won, dollars) = (won - sign * exchange.krw, dollars + sign * exchange.foreign);
                used += exchange.krw;
                (won_entries, dollar_entries) = (won_entries + 1, dollar_entries + 1);
            } else if exchange.withdrawal.is_some() {
                *(if buys { &mut won_entries } else { &mut dollar_entries }) += 2; // taken, and given back
            }
        }
        for (instance, account, balance, entries) in
            [(KRW, person.won, won, won_entries), (FX, person.dollars, dollars, dollar_entries)]
        {
            let shown = client.deposit(instance).account(account).await.reply().unwrap();
            let found = (shown.ledger_balance, shown.available_balance, shown.last_serial);
            assert_eq!(found, (balance, balance, entries), "{account} of {instance}: balance, available, entries");
        }
        let path = format!("/exchange/v1/limits/{}", person.customer);
        let limits: Limits = client.call(Method::GET, &path, None, None).await.reply().unwrap();
        assert_eq!((limits.month.used, limits.month.reserved), (used, 0), "limits of {}", person.customer);
    }
}
