//! Two processes of the exchange service on one MariaDB, without a store of turns between them: the same customers, quotes
//! and sagas at once. Rows alone guard what is used once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use jangbu_adapters::mysql::{self, Limits};
use jangbu_adapters::stand::Server;
use jangbu_contracts::codes::Code;
use jangbu_exchange::SERVICE;
use jangbu_kernel::id::{AccountId, CustomerId, PostingId};
use jangbu_platform::auth::Role;
use jangbu_platform::clock::Clock as _;
use jangbu_platform::db::{Db, Row};
use jangbu_platform::dice::Dice;
use jangbu_platform::http::{self, Refused};
use jangbu_platform::migrate;
use jangbu_platform::service::{Job, Service};
use jangbu_platform::stand::{Got, Stand};
use serde_json::{Value, json};

/// What a customer may exchange on a day, in exchanges of [`WON`].
const A_DAY: usize = 10;
const WON: i64 = 1_000_000;

/// The books of both deposit instances, played: what is asked under a key is done once, or refused for ever. Withdrawals
/// that are given up are given back at once.
#[derive(Default)]
struct Books {
    done: BTreeMap<String, Value>,
    closed: BTreeSet<String>,
    away: bool,
}

impl Books {
    fn command(&mut self, key: &str, command: &Value) -> Result<Value, Code> {
        let closes = command["kind"] == "reversal";
        if closes && self.done.contains_key(key) {
            return Err(Code::KeyReused);
        }
        if closes || self.closed.contains(key) {
            self.closed.insert(key.to_owned());
            return Err(Code::PostingNotFound);
        }
        let next = posting(self.done.len() as u128 + 1);
        Ok(self.done.entry(key.to_owned()).or_insert(next).clone())
    }
}

type Shared = Arc<Mutex<Books>>;

async fn books(State(books): State<Shared>, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let mut books = books.lock().unwrap();
    if books.away {
        return http::json(500, &"away", false);
    }
    let path = parts.uri.path();
    if let Some(ids) = parts.uri.query().and_then(|query| query.strip_prefix("ids=")) {
        let currency = if path.contains("deposit-krw") { "KRW" } else { "USD" };
        let items: Vec<Value> = ids.split(',').map(|id| account(id, currency)).collect();
        return http::json(200, &json!({ "items": items, "next": null }), false);
    }
    if let Some(key) = parts.uri.query().and_then(|query| query.strip_prefix("key=")) {
        if key.ends_with("cancel") {
            return http::json(200, &posting(0), false);
        }
        if books.closed.contains(key) {
            return Err(Refused::new(Code::PostingNotFound, "there is no posting of this id"));
        }
        return http::json(200, books.done.get(key).ok_or_else(Refused::not_found)?, false);
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    let Some(commands) = body["commands"].as_array() else {
        let key = parts.headers["idempotency-key"].to_str().unwrap();
        return http::json(201, &books.command(key, &body).map_err(|code| Refused::new(code, "so it is"))?, false);
    };
    let outcome = |command: &Value| {
        let key = command["key"].as_str().unwrap();
        match books.command(key, command) {
            Ok(posting) => json!({"key": key, "status": 201, "posting": posting}),
            Err(code) => json!({"key": key, "status": code.status(), "code": code.as_str(), "detail": "so it is"}),
        }
    };
    http::json(200, &json!({"outcomes": commands.iter().map(outcome).collect::<Vec<_>>()}), false)
}

fn posting(number: u128) -> Value {
    let id = PostingId::from_parts(1_767_225_600_000, number);
    json!({"id": id, "kind": "debit", "amount": WON, "currency": "KRW", "business_date": "2026-01-02",
        "posted_at": "2026-01-02T00:00:00.000000Z", "entries": []})
}

/// An account of the customer whose id has the same number.
fn account(id: &str, currency: &str) -> Value {
    let number = id.parse::<AccountId>().unwrap().rest();
    json!({"id": id, "number": "1", "customer": CustomerId::from_parts(1, number), "product": "p",
        "currency": currency, "status": "open", "ledger_balance": 0, "held": 0, "available_balance": 0,
        "last_serial": 0, "opened_on": "2026-01-01", "closed_on": null, "interest_paid_through": "2026-01-01", "marks": []})
}

struct Process {
    stand: Stand,
    jobs: Vec<Job>,
}

struct Two {
    processes: [Process; 2],
    books: Shared,
    db: Db,
    _dirs: Vec<tempfile::TempDir>,
    _server: Server,
}

impl Two {
    async fn new() -> Two {
        let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let server = Server::mysql(dirs[2].path()).unwrap();
        let url = server.database(&format!("exchange_{}_{}", std::process::id(), Dice::from_os().u64()));
        mysql::make(&url).await.unwrap();
        let (books_of_all, at) = (Shared::default(), "2026-01-02T10:00:00+09:00".parse().unwrap());
        let mut processes = Vec::new();
        for (seed, dir) in (1..).zip(&dirs[..2]) {
            let (stand, mut world) = Stand::new(dir.path(), &SERVICE, at).await.unwrap();
            world.dice = Dice::seeded(seed);
            world.db = mysql::open(&url, Limits::default(), world.clock.clone(), Dice::seeded(seed)).await.unwrap();
            migrate::apply(&world.db, SERVICE.migrations).await.unwrap();
            for name in SERVICE.asks {
                stand.ask.open_here(name, Router::new().fallback(books).with_state(Arc::clone(&books_of_all)));
            }
            let db = world.db.clone();
            let Service { router, jobs, .. } = jangbu_exchange::open(world);
            processes.push((Process { stand: stand.with(router), jobs }, db));
        }
        let (second, db) = processes.pop().unwrap();
        let (first, _) = processes.pop().unwrap();
        let two = Two { processes: [first, second], books: books_of_all, db, _dirs: dirs, _server: server };
        let board =
            json!({"rates": [{"currency": "USD", "unit": 1, "mid": "1266.62", "tts": "1288.78", "ttb": "1244.46"}]});
        let put = two.processes[0].stand.put("/rates", &board).await;
        assert_eq!(put.status, 200, "{}", put.text);
        two
    }

    /// A quote of a customer's for a million won.
    async fn quote(&self, customer: u128) -> String {
        let body = json!({"customer": CustomerId::from_parts(1, customer), "side": "buy", "currency": "USD", "amount": WON,
            "amount_in": "krw"});
        let got = self.post(0, customer, "/quotes", "q", &body).await;
        assert_eq!(got.status, 201, "{}", got.text);
        got.text_of("id")
    }

    async fn post(&self, process: usize, customer: u128, path: &str, key: &str, body: &Value) -> Got {
        let stand = &self.processes[process].stand;
        let token = stand.token(Role::Customer, &CustomerId::from_parts(1, customer).to_string());
        stand.post(&token, path, key, body).await
    }

    /// Has a process exchange by a quote, again as long as it is busy.
    async fn exchange(&self, process: usize, customer: u128, quote: &str, key: &str) -> Got {
        let account = AccountId::from_parts(1, customer);
        let body = json!({"quote": quote, "krw_account": account, "fx_account": account});
        loop {
            let got = self.post(process, customer, "/exchanges", key, &body).await;
            if got.status != 429 && got.code() != "KEY_IN_USE" {
                return got;
            }
        }
    }

    async fn rows(&self, sql: &str) -> Vec<Row> {
        self.db.read("races").await.unwrap().query(sql, &[]).await.unwrap()
    }

    /// What is taken of limits must be what was exchanged, and both legs of each must be in the books, once.
    async fn prove(&self) {
        let sql = "SELECT e.customer, e.state, q.won FROM exchange e JOIN quote q ON q.id = e.quote";
        let mut used: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        let exchanges = self.rows(sql).await;
        for row in &exchanges {
            assert_eq!(row.text(1), "EXCHANGE_SUCCEEDED");
            *used.entry(row.bytes(0).to_vec()).or_default() += row.int(2);
        }
        for row in self.rows("SELECT customer, span, used, reserved FROM limit_usage").await {
            let of = used.get(row.bytes(0)).copied().unwrap_or(0);
            assert_eq!((row.int(2), row.int(3)), (of, 0), "used and reserved of a {}", row.text(1));
        }
        assert_eq!(self.books.lock().unwrap().done.len(), 2 * exchanges.len(), "two legs each");
        assert_eq!(self.rows("SELECT id FROM saga").await.len(), 0, "no saga is left");
        let told = self.rows("SELECT COUNT(*) FROM outbox WHERE topic = 'exchange.decided'").await;
        assert_eq!(told[0].int(0), i64::try_from(exchanges.len()).unwrap(), "each decision is told once");
    }
}

/// A customer exchanges at both processes at once until his day's limit is taken, which is not passed by a won.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_is_taken_once() {
    let two = Two::new().await;
    for customer in 1..=12 {
        let mut done = 0;
        for round in 0..=A_DAY / 2 {
            let (a, b) = (two.quote(customer).await, two.quote(customer).await);
            let (ka, kb) = (format!("a{customer}-{round}"), format!("b{customer}-{round}"));
            let (one, other) = tokio::join!(two.exchange(0, customer, &a, &ka), two.exchange(1, customer, &b, &kb));
            for got in [one, other] {
                assert!(got.status == 201 || got.code() == "LIMIT_EXCEEDED", "{}", got.text);
                done += usize::from(got.status == 201);
            }
        }
        assert_eq!(done, A_DAY);
    }
    two.prove().await;
}

/// One quote, used at both processes at once: by one request, and by two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quote_is_used_once() {
    let two = Two::new().await;
    for customer in 1..=40 {
        let quote = two.quote(customer).await;
        let same = customer % 2 == 0;
        let (ka, kb) = (format!("a{customer}"), format!("{}{customer}", if same { "a" } else { "b" }));
        let (one, other) = tokio::join!(two.exchange(0, customer, &quote, &ka), two.exchange(1, customer, &quote, &kb));
        if same {
            let id = one.text_of("id");
            assert!(!id.is_empty() && other.text_of("id") == id, "{} {}", one.text, other.text);
        } else {
            let codes = [one.code(), other.code()];
            assert_eq!(codes.iter().filter(|code| *code == "QUOTE_USED").count(), 1, "{} {}", one.text, other.text);
        }
    }
    until_at_rest(&two).await;
    two.prove().await;
}

/// Exchanges that nobody could decide are carried on by both processes at once, each by one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saga_is_carried_on_by_one() {
    let two = Two::new().await;
    let mut quotes = Vec::new();
    for customer in 1..=60 {
        quotes.push((customer, two.quote(customer).await));
    }
    let begun = quotes.iter().map(|(customer, quote)| {
        let key = format!("k{customer}");
        let two = &two;
        async move { two.exchange(usize::try_from(customer % 2).unwrap(), *customer, quote, &key).await }
    });
    let away = async {
        while two.books.lock().unwrap().done.len() < 5 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        two.books.lock().unwrap().away = true;
        tokio::time::sleep(Duration::from_millis(400)).await;
        two.books.lock().unwrap().away = false;
    };
    let (got, ()) = tokio::join!(futures_util::future::join_all(begun), away);
    let good = got.iter().filter(|got| [201, 202].contains(&got.status)).count();
    assert!(good > 0, "{}", got[0].text);
    until_at_rest(&two).await;
    let states = two.rows("SELECT state, COUNT(*) FROM exchange GROUP BY state").await;
    assert!(states.iter().all(|row| row.text(0).starts_with("EXCHANGE_")), "{states:?}");
    let taken = two.rows("SELECT SUM(reserved) FROM limit_usage").await;
    assert_eq!(taken[0].opt_int(0).unwrap_or(0), 0, "nothing is reserved any more");
}

/// Has both processes carry sagas on, at once, until none is left.
async fn until_at_rest(two: &Two) {
    for minute in 0..40 {
        let look = async |process: &Process| {
            for job in &process.jobs {
                (job.run)(process.stand.clock.now()).await.unwrap();
            }
        };
        tokio::join!(look(&two.processes[0]), look(&two.processes[1]));
        tokio::time::sleep(Duration::from_millis(50)).await;
        if two.rows("SELECT id FROM saga").await.is_empty() {
            return;
        }
        for process in &two.processes {
            process.stand.move_to(&format!("2026-01-02T10:{:02}:30+09:00", minute + 1));
        }
    }
    let left = two.rows("SELECT state, step, why FROM saga").await;
    panic!("{} sagas are left, like {:?}", left.len(), left.first());
}
