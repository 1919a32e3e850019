//! The service on a stand, beside two deposit instances that are played: they keep accounts, balances and answers by key.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use jangbu_contracts::codes::Code;
use jangbu_kernel::id::{AccountId, CustomerId, PostingId};
use jangbu_platform::clock::Clock as _;
use jangbu_platform::db::{Db, Event};
use jangbu_platform::http::{self, Refused};
use jangbu_platform::kv::Kv;
use jangbu_platform::relay::Outgoing;
use jangbu_platform::service::{Job, Service};
use jangbu_platform::stand::{Got, Stand};
use serde_json::{Value, json};

/// What one deposit instance knows.
#[derive(Default)]
pub struct Books {
    pub accounts: BTreeMap<String, Value>,
    /// Answers by key: status and body.
    pub kept: BTreeMap<String, (u16, Value)>,
    /// Postings that were undone.
    pub undone: BTreeSet<String>,
    /// Postings are refused by this code.
    pub refuse: Option<Code>,
    /// Nothing is answered.
    pub away: bool,
}

/// A posting as the books show it.
pub fn posting(id: PostingId, kind: &Value, amount: i64) -> Value {
    json!({"id": id, "kind": kind, "amount": amount, "currency": "KRW", "business_date": "2026-01-01",
           "posted_at": "2026-01-01T00:00:00.000000Z", "entries": []})
}

impl Books {
    /// What came of a command, by its key.
    pub fn answer(&self, key: &str) -> Option<Value> {
        self.kept.get(key).map(|(_, answer)| answer.clone())
    }

    fn post(&mut self, key: &str, command: &Value) -> (u16, Value) {
        if let Some(kept) = self.kept.get(key) {
            return kept.clone();
        }
        let id = PostingId::from_parts(1_767_225_600_000, self.kept.len() as u128 + 1);
        let (name, sign) = match command["kind"].as_str().unwrap() {
            "debit" => ("account", -1),
            _ => ("account", 1),
        };
        let amount = command["amount"].as_i64().unwrap_or(0);
        let account = self.accounts.get_mut(command[name].as_str().unwrap_or_default());
        let answer = match (self.refuse, account) {
            (Some(code), _) => (422, json!({"code": code.as_str()})),
            (None, None) => (422, json!({"code": "POSTING_NOT_FOUND"})),
            (None, Some(account)) => {
                account["ledger_balance"] = json!(account["ledger_balance"].as_i64().unwrap() + sign * amount);
                (201, posting(id, &command["kind"], amount))
            }
        };
        self.kept.insert(key.to_owned(), answer.clone());
        answer
    }
}

type Shared = Arc<Mutex<Books>>;

async fn serve(State(books): State<Shared>, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let mut books = books.lock().unwrap();
    if books.away {
        return http::json(500, &"away", false);
    }
    let path = parts.uri.path();
    if let Some(ids) = parts.uri.query().and_then(|q| q.strip_prefix("ids=")) {
        let items: Vec<&Value> = ids.split(',').filter_map(|id| books.accounts.get(id)).collect();
        return http::json(200, &json!({ "items": items, "next": null }), false);
    }
    if let Some(id) = path.strip_suffix("/reversal").and_then(|path| path.rsplit('/').next()) {
        let undone = books.undone.contains(id).then(|| posting(PostingId::from_parts(1, 9), &json!("reversal"), 0));
        return http::json(200, &undone.ok_or_else(Refused::not_found)?, false);
    }
    let (status, answer) = match parts.uri.query().and_then(|q| q.strip_prefix("key=")) {
        Some(key) => books.kept.get(key).cloned().ok_or_else(Refused::not_found)?,
        None => {
            let key = parts.headers["idempotency-key"].to_str().unwrap().to_owned();
            books.post(&key, &serde_json::from_slice(&body).unwrap())
        }
    };
    if status == 422 {
        let code = Code::parse(answer["code"].as_str().unwrap()).unwrap();
        return Err(Refused::new(code, "as the test has it"));
    }
    http::json(status, &answer, false)
}

/// The world; its directory goes with it.
pub struct World {
    stand: Stand,
    pub kv: Kv,
    krw: Shared,
    fx: Shared,
    outgoing: Arc<dyn Outgoing>,
    pub db: Db,
    jobs: Vec<Job>,
    _dir: tempfile::TempDir,
}

impl Deref for World {
    type Target = Stand;
    fn deref(&self) -> &Stand {
        &self.stand
    }
}

/// A board on which a dollar is 1,266.62 won and a hundred yen 905.17.
pub fn board() -> Value {
    json!({"rates": [
        {"currency": "USD", "unit": 1, "mid": "1266.62", "tts": "1288.78", "ttb": "1244.46"},
        {"currency": "JPY", "unit": 100, "mid": "905.17", "tts": "921.01", "ttb": "889.33"},
    ]})
}

impl World {
    pub async fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let at = "2026-01-02T10:00:00+09:00".parse().unwrap();
        let (stand, given) = Stand::new(dir.path(), &crate::SERVICE, at).await.unwrap();
        let (krw, fx) = (Shared::default(), Shared::default());
        for (name, books) in [("deposit-krw", &krw), ("deposit-fx", &fx)] {
            stand.ask.open_here(name, Router::new().fallback(serve).with_state(Arc::clone(books)));
        }
        let kv = given.kv.clone();
        let Service { router, db, outgoing, jobs, .. } = crate::open(given);
        let (stand, outgoing) = (stand.with(router), Arc::clone(&outgoing[0]));
        World { stand, kv, krw, fx, outgoing, db, jobs, _dir: dir }
    }

    /// Lets everybody who looks for work look once.
    pub async fn look(&self) {
        for job in &self.jobs {
            (job.run)(self.clock.now()).await.unwrap();
        }
    }

    /// Waits until an exchange is as wanted, while sagas are carried on; the exchange.
    pub async fn until(&self, id: &str, is: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..400 {
            let shown = self.get(&self.operator, &format!("/exchanges/{id}")).await.json();
            if is(&shown) {
                return shown;
            }
            self.look().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{}", self.get(&self.operator, &format!("/exchanges/{id}")).await.text);
    }

    pub async fn with_board() -> World {
        let world = World::new().await;
        let put = world.put("/rates", &board()).await;
        assert_eq!(put.status, 200, "{}", put.text);
        world
    }

    /// What waits to be told: topic, key and payload.
    pub async fn told(&self) -> Vec<(String, String, Value)> {
        let events = self.outgoing.unsent(1_000).await.unwrap();
        let told = |e: Event| (e.topic, e.key, serde_json::from_str(&e.payload).unwrap());
        events.into_iter().map(told).collect()
    }

    pub fn krw(&self) -> MutexGuard<'_, Books> {
        self.krw.lock().unwrap()
    }

    pub fn fx(&self) -> MutexGuard<'_, Books> {
        self.fx.lock().unwrap()
    }

    /// A customer's account in a currency, with a balance.
    pub fn account(&self, customer: CustomerId, n: u128, currency: &str, balance: i64) -> AccountId {
        let id = AccountId::from_parts(1_767_225_600_000, n);
        let account = json!({"id": id, "number": "1", "customer": customer, "product": "p", "currency": currency,
            "status": "active", "marks": [], "ledger_balance": balance, "held": 0, "available_balance": balance,
            "last_serial": 0, "opened_on": "2026-01-01", "closed_on": null, "interest_paid_through": "2025-12-31"});
        let mut books = if currency == "KRW" { self.krw() } else { self.fx() };
        books.accounts.insert(id.to_string(), account);
        id
    }

    /// Balances of both accounts of [`World::customer`].
    pub fn balances(&self, accounts: (AccountId, AccountId)) -> (i64, i64) {
        let of = |books: &Books, id: AccountId| books.accounts[&id.to_string()]["ledger_balance"].as_i64().unwrap();
        (of(&self.krw(), accounts.0), of(&self.fx(), accounts.1))
    }

    /// A customer with twenty million won and a thousand dollars.
    pub fn customer(&self, n: u128) -> (CustomerId, (AccountId, AccountId)) {
        let id = CustomerId::from_parts(1_767_225_600_000, n);
        (id, (self.account(id, n * 10 + 1, "KRW", 20_000_000), self.account(id, n * 10 + 2, "USD", 100_000)))
    }

    pub async fn quote(&self, customer: CustomerId, side: &str, amount: i64, amount_in: &str) -> Got {
        let body = json!({"customer": customer, "side": side, "currency": "USD", "amount": amount,
                          "amount_in": amount_in});
        self.post(&self.service, "/quotes", "q", &body).await
    }

    pub async fn exchange(&self, key: &str, quote: &str, (krw, fx): (AccountId, AccountId)) -> Got {
        let body = json!({"quote": quote, "krw_account": krw, "fx_account": fx});
        self.post(&self.service, "/exchanges", key, &body).await
    }

    pub async fn limits(&self, customer: CustomerId) -> Value {
        self.get(&self.service, &format!("/limits/{customer}")).await.json()
    }
}
