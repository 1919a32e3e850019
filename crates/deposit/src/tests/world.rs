//! A small world in this process: one instance behind the edge, with customers who are only told of.

#![expect(dead_code, reason = "grows with the tests beside it")]
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request};
use axum::routing::get;
use jangbu_contracts::customer::{Kind, StandingChangedV1};
use jangbu_kernel::id::CustomerId;
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::ask::Ask;
use jangbu_platform::auth::{Keyring, Role};
use jangbu_platform::clock::ManualClock;
use jangbu_platform::crypto::DataKey;
use jangbu_platform::db::Db;
use jangbu_platform::dice::Dice;
use jangbu_platform::edge::Edge;
use jangbu_platform::http::{Gate, Refused, json, path_id, with_fallbacks};
use jangbu_platform::kv::{Kv, KvLimits};
use jangbu_platform::log::Log;
use jangbu_platform::migrate;
use jangbu_platform::service::{ServiceSpec, World as Given};
use jangbu_platform::telemetry::Metrics;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::service::{FX, KRW, open};

/// Products of both instances.
const PRODUCTS: &str = r#"[
 {"code":"demand","name":"Demand","kind":"demand","currency":"KRW","from":"2022-01-01","tiers":[{"up_to":null,"rate":"0.02"}]},
 {"code":"limits","name":"Limits","kind":"demand","currency":"KRW","from":"2022-01-01","tiers":[{"up_to":null,"rate":"0"}],
  "limits":{"transaction":1000,"day":2000,"month":3000},"corporations":true},
 {"code":"term","name":"Term","kind":"term","currency":"KRW","from":"2022-01-01","tiers":[{"up_to":null,"rate":"0.03"}],"term":{"months":12}},
 {"code":"later","name":"Later","kind":"demand","currency":"KRW","from":"2030-01-01","tiers":[{"up_to":null,"rate":"0.02"}]},
 {"code":"usd","name":"Dollars","kind":"demand","currency":"USD","from":"2022-01-01","day_count":"ACT/360","tiers":[{"up_to":null,"rate":"0.045"}]}
]"#;

/// Customers as their service tells of them.
pub type Customers = Arc<Mutex<HashMap<CustomerId, StandingChangedV1>>>;

/// An answer.
pub struct Got {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
    pub fn replay(&self) -> bool {
        self.headers.get("idempotent-replay").is_some_and(|v| v == "true")
    }
    /// Field `name` as text.
    pub fn text_of(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_default().to_owned()
    }
}

/// The world; its directory goes with it.
pub struct World {
    pub router: Router,
    pub clock: Arc<ManualClock>,
    pub keys: Keyring,
    pub ask: Ask,
    pub customers: Customers,
    pub operator: String,
    pub service: String,
    pub name: &'static str,
    pub dice: Dice,
    _dir: tempfile::TempDir,
}

async fn told(State(customers): State<Customers>, Path(id): Path<String>) -> Result<axum::response::Response, Refused> {
    let id: CustomerId = path_id(&id)?;
    let found = customers.lock().unwrap().get(&id).cloned();
    json(200, &found.ok_or_else(Refused::not_found)?, false)
}

impl World {
    pub async fn krw() -> World {
        Self::open(&KRW, 1).await
    }
    pub async fn fx() -> World {
        Self::open(&FX, 2).await
    }

    async fn open(spec: &'static ServiceSpec, tag: u16) -> World {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new("2023-08-15T10:00:00+09:00".parse().unwrap()));
        let (dice, metrics) = (Dice::seeded(7), Metrics::default());
        let keys = Keyring::in_memory(dice.clone());
        let db = Db::open_embedded(&dir.path().join("deposit.db"), clock.clone(), dice.clone()).unwrap();
        migrate::apply(&db, spec.migrations).await.unwrap();
        let ask = Ask::new(spec.name, keys.clone(), clock.clone(), dice.clone());
        let gate = Gate::new(keys.clone(), clock.clone());
        let edge = Edge::new(gate, dice.clone(), metrics.clone());
        let given = Given {
            db,
            clock: clock.clone(),
            dice: dice.clone(),
            offset: UtcOffset::SEOUL,
            log: Log::open_embedded(&dir.path().join("log.db"), clock.clone(), dice.clone()).await.unwrap(),
            data_key: Arc::new(DataKey::open(dir.path(), dice.clone()).unwrap()),
            ask: ask.clone(),
            metrics,
            kv: Kv::in_process(clock.clone(), KvLimits::default()),
        };
        let service = open(spec, tag, given, PRODUCTS).await.unwrap();
        let router = with_fallbacks(edge.open(spec.name, service.router));
        let hour = Duration::from_secs(366 * 86_400);
        let token = |role| keys.issue(role, "kim", jangbu_platform::clock::Clock::now(&*clock), hour).unwrap();
        let (operator, by_service) = (token(Role::Operator), token(Role::Service));
        let (customers, name) = (Customers::default(), spec.name);
        let world = World { router, clock, keys, ask, customers, operator, service: by_service, name, dice, _dir: dir };
        world.open_customers();
        world
    }

    /// The customer service answers.
    pub fn open_customers(&self) {
        let router = Router::new().route("/customer/v1/customers/{id}/standing", get(told));
        self.ask.open_here("customer", router.with_state(Arc::clone(&self.customers)));
    }

    pub fn move_to(&self, at: &str) {
        assert!(self.clock.advance_to(at.parse::<Timestamp>().unwrap()));
    }

    /// A customer with these marks, known to the customer service alone.
    pub fn customer(&self, kind: Kind, marks: &[&str]) -> CustomerId {
        let customer = CustomerId::from_bytes(self.dice.bytes());
        let standing = StandingChangedV1 {
            customer,
            version: 1,
            kind,
            birth_date: "1990-01-01".parse().unwrap(),
            marks: marks.iter().map(|m| (*m).to_owned()).collect(),
        };
        self.customers.lock().unwrap().insert(customer, standing);
        customer
    }

    /// A customer's own credential.
    pub fn token_of(&self, customer: CustomerId) -> String {
        let now = jangbu_platform::clock::Clock::now(&*self.clock);
        self.keys.issue(Role::Customer, &customer.to_string(), now, Duration::from_secs(86_400)).unwrap()
    }

    /// A request as it comes from outside; `path` is below `/{name}/v1`.
    pub async fn send(&self, request: Request<Body>) -> Got {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Got { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    pub fn request(&self, token: &str, method: &str, path: &str, key: Option<&str>) -> axum::http::request::Builder {
        let mut request = Request::builder().method(method).uri(format!("/{}/v1{path}", self.name));
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        request
    }

    pub async fn get(&self, token: &str, path: &str) -> Got {
        self.send(self.request(token, "GET", path, None).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, token: &str, path: &str, key: &str, body: &Value) -> Got {
        let request = self.request(token, "POST", path, Some(key)).header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Got {
        let request = self.request(&self.operator, "PUT", path, None).header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// An open account of a new customer.
    pub async fn account(&self, product: &str) -> (String, CustomerId) {
        let customer = self.customer(Kind::Person, &[]);
        let body = serde_json::json!({"customer": customer, "product": product});
        let got = self.post(&self.service, "/accounts", &format!("open-{customer}"), &body).await;
        assert_eq!(got.status, 201, "{}", got.text);
        (got.text_of("id"), customer)
    }
}
