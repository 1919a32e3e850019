//! A client of the bank's API, as somebody outside would write one: in process or over HTTP, one credential, and
//! three outcomes of a call. It never tries again by itself: whoever drives the bank must see every answer.

mod exchange;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jangbu_contracts::accounting::{TaxPayment, TrialBalance};
use jangbu_contracts::channel::AccountScreen;
use jangbu_contracts::customer::{Customer, Register, SetMark};
use jangbu_contracts::deposit::{
    Account, AccountEntry, Batch, Command, DailyBalance, InterestPayment, InterestPreview, OpenAccount, Outcome,
    Posting,
};
use jangbu_contracts::page::Page;
use jangbu_contracts::problem::Problem;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::{AccountId, CustomerId};
use jangbu_kernel::money::Currency;
use jangbu_kernel::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// The won instance.
pub const KRW: &str = "deposit-krw";
/// The instance of foreign currencies.
pub const FX: &str = "deposit-fx";

/// How long an answer is waited for, in milliseconds.
const ANSWER_MS_MAX: u64 = 15_000;
/// How long making a connection may take, in milliseconds.
const CONNECT_MS_MAX: u64 = 2_000;
/// Idle connections kept open.
const IDLE_CONNECTIONS_MAX: usize = 128;
/// How long an idle connection is kept, in milliseconds: less than the bank's own patience.
const IDLE_MS_MAX: u64 = 10_000;

type Http = hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>;

#[derive(Clone)]
enum Way {
    Here(Router),
    There(Http, Arc<str>),
}

/// The way to a bank, with the credential of one caller. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    way: Way,
    bearer: HeaderValue,
    patience: Duration,
}

/// How long an answer is waited for unless told otherwise.
const PATIENCE: Duration = Duration::from_millis(ANSWER_MS_MAX);

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<T> {
    /// Done as asked.
    Reply(T),
    /// The bank said no.
    Problem(Box<Problem>),
    /// Nobody knows: the answer was lost, or could not be read.
    Unknown(String),
}

/// An answer with what stands around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// What became of the call.
    pub said: Said<T>,
    /// HTTP status; zero when there was no answer.
    pub status: u16,
    /// The bank says that it gave this answer before.
    pub replay: bool,
}

impl<T> Answer<T> {
    fn unknown(why: impl Into<String>) -> Self {
        Self { said: Said::Unknown(why.into()), status: 0, replay: false }
    }

    /// The reply, for calls that must succeed.
    ///
    /// # Errors
    /// What the bank said instead, for people.
    pub fn reply(self) -> Result<T, String> {
        match self.said {
            Said::Reply(reply) => Ok(reply),
            Said::Problem(problem) => Err(format!("{} {}: {}", problem.status, problem.code, problem.detail)),
            Said::Unknown(why) => Err(format!("no answer: {why}")),
        }
    }

    /// The code of a problem.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        if let Said::Problem(problem) = &self.said { Some(&problem.code) } else { None }
    }
}

/// Outcomes of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Outcomes {
    /// One per command, in order.
    pub outcomes: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Shown {
    now: Timestamp,
}

impl Client {
    /// A bank in this process.
    ///
    /// # Errors
    /// The token can't stand in a header.
    pub fn here(router: Router, token: &str) -> Result<Client, String> {
        Ok(Client { way: Way::Here(router), bearer: bearer(token)?, patience: PATIENCE })
    }

    /// A bank behind a base address, like `http://127.0.0.1:8080`, over connections that are kept.
    ///
    /// # Errors
    /// The token can't stand in a header.
    pub fn there(base: &str, token: &str) -> Result<Client, String> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_millis(CONNECT_MS_MAX)));
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_millis(IDLE_MS_MAX))
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            // The library would send a request again by itself; here every sending is the caller's own.
            .retry_canceled_requests(false)
            .build(connector);
        Ok(Client {
            way: Way::There(http, base.trim_end_matches('/').into()),
            bearer: bearer(token)?,
            patience: PATIENCE,
        })
    }

    /// The same way for another caller.
    ///
    /// # Errors
    /// The token can't stand in a header.
    pub fn with_token(&self, token: &str) -> Result<Client, String> {
        Ok(Client { bearer: bearer(token)?, ..self.clone() })
    }

    /// The same caller, who gives up after that time.
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Client {
        Client { patience, ..self.clone() }
    }

    /// Calls of one deposit instance.
    #[must_use]
    pub fn deposit<'a>(&'a self, instance: &'a str) -> Deposit<'a> {
        Deposit { client: self, instance }
    }

    /// Makes a call and reads its answer.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<Vec<u8>>,
    ) -> Answer<T> {
        let base = if let Way::There(_, base) = &self.way { base } else { "" };
        let mut request = Request::builder().method(method).uri(format!("{base}{path}"));
        request = request.header(AUTHORIZATION, self.bearer.clone());
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let Ok(request) = request.body(Bytes::from(body.unwrap_or_default())) else {
            return Answer::unknown(format!("{path} can't be asked"));
        };
        match tokio::time::timeout(self.patience, self.send(request)).await {
            Ok(Ok((status, headers, body))) => read(status, &headers, &body),
            Ok(Err(why)) => Answer::unknown(why),
            Err(_) => Answer::unknown("no answer in time"),
        }
    }

    async fn send(&self, request: Request<Bytes>) -> Result<(u16, HeaderMap, Bytes), String> {
        let (status, headers, body) = match &self.way {
            Way::Here(router) => {
                let Ok(answered) = router.clone().oneshot(request.map(Body::from)).await;
                let (head, body) = answered.into_parts();
                (head.status, head.headers, body.collect().await.map_err(|e| e.to_string())?)
            }
            Way::There(http, _) => {
                let answered = http.request(request.map(Full::new)).await;
                let (head, body) = answered.map_err(|e| format!("the connection failed: {e}"))?.into_parts();
                (head.status, head.headers, body.collect().await.map_err(|e| format!("the answer broke off: {e}"))?)
            }
        };
        Ok((status.as_u16(), headers, body.to_bytes()))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Answer<T> {
        self.call(Method::GET, path, None, None).await
    }

    async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Answer<T> {
        self.call(Method::PUT, path, None, Some(written(body))).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, key: Option<&str>, body: &impl Serialize) -> Answer<T> {
        self.call(Method::POST, path, key, Some(written(body))).await
    }

    /// Registers a customer.
    pub async fn register(&self, key: &str, who: &Register) -> Answer<Customer> {
        self.post("/customer/v1/customers", Some(key), who).await
    }

    /// One customer.
    pub async fn customer(&self, id: CustomerId) -> Answer<Customer> {
        self.get(&format!("/customer/v1/customers/{id}")).await
    }

    /// Sets or clears a mark of a customer.
    pub async fn mark_customer(&self, id: CustomerId, mark: &str, on: bool) -> Answer<Customer> {
        let body = SetMark { on, reason: "as told".to_owned() };
        self.put(&format!("/customer/v1/customers/{id}/marks/{mark}"), &body).await
    }

    /// Moves a manual clock; what is due on the way has happened when it answers.
    pub async fn move_clock(&self, to: Timestamp) -> Answer<Timestamp> {
        let Answer { said, status, replay } =
            self.post::<Shown>("/sim/v1/clock", None, &json!({ "to": to.to_string() })).await;
        let said = match said {
            Said::Reply(shown) => Said::Reply(shown.now),
            Said::Problem(problem) => Said::Problem(problem),
            Said::Unknown(why) => Said::Unknown(why),
        };
        Answer { said, status, replay }
    }

    /// The general ledger's accounts of one currency, as they stand today.
    pub async fn trial_balance(&self, currency: Currency) -> Answer<TrialBalance> {
        self.get(&format!("/accounting/v1/trial-balance?currency={currency}")).await
    }

    /// The general ledger's accounts of one currency, as they stood when a day ended.
    pub async fn trial_balance_on(&self, currency: Currency, date: BusinessDate) -> Answer<TrialBalance> {
        self.get(&format!("/accounting/v1/trial-balance?currency={currency}&date={date}")).await
    }

    /// Taxes withheld on a day; `rest` goes on with the query, like `&cursor=…`.
    pub async fn tax_payments(&self, date: BusinessDate, rest: &str) -> Answer<Page<TaxPayment>> {
        self.get(&format!("/accounting/v1/tax-payments?date={date}&limit=500{rest}")).await
    }

    /// A customer's screen of an account.
    pub async fn screen(&self, account: AccountId) -> Answer<AccountScreen> {
        self.get(&format!("/channel/v1/accounts/{account}")).await
    }

    /// Claims interest through the channel.
    pub async fn claim_by_channel(&self, account: AccountId, key: &str) -> Answer<InterestPayment> {
        self.post(&format!("/channel/v1/accounts/{account}/interest-claims"), Some(key), &json!({})).await
    }
}

/// Calls of one deposit instance.
#[derive(Clone, Copy)]
pub struct Deposit<'a> {
    client: &'a Client,
    instance: &'a str,
}

impl Deposit<'_> {
    fn path(&self, rest: &str) -> String {
        format!("/{}/v1{rest}", self.instance)
    }

    /// Products, each with all versions of its terms as they are written.
    pub async fn products(&self) -> Answer<Page<Value>> {
        self.client.get(&self.path("/products")).await
    }

    /// A new version of a product's terms.
    pub async fn put_product(&self, code: &str, terms: &Value) -> Answer<Value> {
        self.client.put(&self.path(&format!("/products/{code}")), terms).await
    }

    /// Opens an account.
    pub async fn open(&self, key: &str, opening: &OpenAccount) -> Answer<Account> {
        self.client.post(&self.path("/accounts"), Some(key), opening).await
    }

    /// One account.
    pub async fn account(&self, id: AccountId) -> Answer<Account> {
        self.client.get(&self.path(&format!("/accounts/{id}"))).await
    }

    /// Accounts of a customer.
    pub async fn accounts_of(&self, customer: CustomerId) -> Answer<Page<Account>> {
        self.client.get(&self.path(&format!("/accounts?customer={customer}"))).await
    }

    /// Sets or clears a mark of an account.
    pub async fn mark(&self, id: AccountId, mark: &str, on: bool) -> Answer<Account> {
        let body = SetMark { on, reason: "as told".to_owned() };
        self.client.put(&self.path(&format!("/accounts/{id}/marks/{mark}")), &body).await
    }

    /// Closes an empty account.
    pub async fn close(&self, id: AccountId, key: &str) -> Answer<Account> {
        self.client.post(&self.path(&format!("/accounts/{id}/close")), Some(key), &json!({})).await
    }

    /// Posts one command.
    pub async fn post(&self, key: &str, command: &Command) -> Answer<Posting> {
        self.client.post(&self.path("/postings"), Some(key), command).await
    }

    /// Posts many commands, each accepted or refused alone.
    pub async fn batch(&self, batch: &Batch) -> Answer<Outcomes> {
        self.client.post(&self.path("/postings/batch"), None, batch).await
    }

    /// What became of a key of this caller.
    pub async fn by_key(&self, key: &str) -> Answer<Posting> {
        let escaped: String = key.bytes().map(|b| format!("%{b:02X}")).collect();
        self.client.get(&self.path(&format!("/postings?key={escaped}"))).await
    }

    /// Entries of an account with serials above `after`, at most `limit`.
    pub async fn entries(&self, id: AccountId, after: u64, limit: u32) -> Answer<Page<AccountEntry>> {
        self.client.get(&self.path(&format!("/accounts/{id}/entries?after_serial={after}&limit={limit}"))).await
    }

    /// The days of an account; `range` is a query like `from=2026-01-01`, or empty.
    pub async fn days(&self, id: AccountId, range: &str) -> Answer<Page<DailyBalance>> {
        self.client.get(&self.path(&format!("/accounts/{id}/daily-balances?{range}"))).await
    }

    /// What a claim would pay now.
    pub async fn interest(&self, id: AccountId) -> Answer<InterestPreview> {
        self.client.get(&self.path(&format!("/accounts/{id}/interest"))).await
    }

    /// Claims interest.
    pub async fn claim(&self, id: AccountId, key: &str) -> Answer<InterestPayment> {
        self.client.post(&self.path(&format!("/accounts/{id}/interest-claims")), Some(key), &json!({})).await
    }
}

fn bearer(token: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|e| e.to_string())?;
    value.set_sensitive(true);
    Ok(value)
}

fn written(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("wire types are written as JSON")
}

fn read<T: DeserializeOwned>(status: u16, headers: &HeaderMap, body: &[u8]) -> Answer<T> {
    let replay = headers.get("idempotent-replay").is_some_and(|v| v == "true");
    let unreadable = |e: serde_json::Error| Said::Unknown(format!("an answer of {status} that can't be read: {e}"));
    let said = if (200..300).contains(&status) {
        serde_json::from_slice(body).map_or_else(unreadable, Said::Reply)
    } else {
        match serde_json::from_slice::<Problem>(body) {
            // Down or too late: it may have taken effect all the same.
            Ok(problem) if status >= 500 => Said::Unknown(format!("{}: {}", problem.code, problem.detail)),
            Ok(problem) => Said::Problem(Box::new(problem)),
            Err(e) => unreadable(e),
        }
    };
    Answer { said, status, replay }
}

/// Idempotency keys that grow: the bank knows a key greater than all before as new without looking, and they stand at
/// the right edge of its index. Shared by all callers of a process.
#[derive(Debug)]
pub struct Keys {
    last: AtomicU64,
}

impl Keys {
    /// Keys from `now` on: greater than those of an earlier run.
    #[must_use]
    pub fn since(now: Timestamp) -> Keys {
        Keys { last: AtomicU64::new(now.micros().unsigned_abs()) }
    }

    /// The next key.
    #[must_use]
    pub fn next(&self) -> String {
        format!("k{:017}", self.last.fetch_add(1, Ordering::Relaxed))
    }
}
