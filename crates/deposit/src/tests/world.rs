//! A small world in this process: one instance behind the edge, with customers who are only told of.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::request;
use axum::response::Response;
use axum::routing::get;
use jangbu_contracts::customer::{Kind, StandingChangedV1};
use jangbu_contracts::deposit::PostingRecordedV1;
use jangbu_contracts::topics::CUSTOMER_STANDING;
use jangbu_kernel::id::{CustomerId, EventId};
use jangbu_platform::auth::Role;
use jangbu_platform::clock::Clock as _;
use jangbu_platform::consumer::Consumer;
use jangbu_platform::db::Event;
use jangbu_platform::http::{self, Refused, path_id};
use jangbu_platform::log::Log;
use jangbu_platform::openapi::Document;
use jangbu_platform::relay::Outgoing;
use jangbu_platform::service::{Job, ServiceSpec};
use jangbu_platform::stand::{Got, Stand};
use serde_json::{Value, json};

use crate::service::{KRW, open};

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
type Customers = Arc<Mutex<HashMap<CustomerId, StandingChangedV1>>>;

/// The world; its directory goes with it.
pub struct World {
    stand: Stand,
    document: Document,
    customers: Customers,
    log: Log,
    consumer: Consumer,
    jobs: Vec<Job>,
    outgoing: Arc<dyn Outgoing>,
    _dir: tempfile::TempDir,
}

impl Deref for World {
    type Target = Stand;
    fn deref(&self) -> &Stand {
        &self.stand
    }
}

async fn told(State(customers): State<Customers>, Path(id): Path<String>) -> Result<Response, Refused> {
    let id: CustomerId = path_id(&id)?;
    let found = customers.lock().unwrap().get(&id).cloned();
    http::json(200, &found.ok_or_else(Refused::not_found)?, false)
}

impl World {
    pub async fn krw() -> World {
        Self::open(&KRW, 1).await
    }

    async fn open(spec: &'static ServiceSpec, tag: u16) -> World {
        let dir = tempfile::tempdir().unwrap();
        let at = "2023-08-15T10:00:00+09:00".parse().unwrap();
        let (stand, given) = Stand::new(dir.path(), spec, at).await.unwrap();
        let log = given.log.clone();
        let service = open(spec, tag, given, PRODUCTS).await.unwrap();
        let consumer = service.consumers[0].clone();
        let (jobs, outgoing) = (service.jobs, Arc::clone(&service.outgoing[0]));
        let stand = stand.with(service.router);
        let document = stand.document().await.unwrap();
        let world =
            World { stand, document, customers: Customers::default(), log, consumer, jobs, outgoing, _dir: dir };
        world.open_customers();
        world
    }

    /// Sends a request and holds the answer against the document.
    pub async fn call(&self, request: request::Builder, body: impl Into<Body>) -> Got {
        let method = request.method_ref().map_or("GET", |m| m.as_str()).to_owned();
        let path = request.uri_ref().map(ToString::to_string).unwrap_or_default();
        let got = self.stand.send(request, body).await;
        let allowed = matches!(got.code().as_str(), "NOT_FOUND" | "METHOD_NOT_ALLOWED");
        if !allowed && method != "HEAD" {
            let flaws = self.document.answer_flaws(&method, &path, got.status, &got.json());
            assert_eq!(flaws, Vec::<String>::new(), "{method} {path}: {}", got.status);
        }
        got
    }

    pub async fn get(&self, token: &str, path: &str) -> Got {
        self.call(self.request(token, "GET", path), Body::empty()).await
    }

    pub async fn post(&self, token: &str, path: &str, key: &str, body: &Value) -> Got {
        let request = self.request(token, "POST", path).header("idempotency-key", key);
        self.call(request.header("content-type", "application/json"), body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Got {
        let request = self.request(&self.operator, "PUT", path).header("content-type", "application/json");
        self.call(request, body.to_string()).await
    }

    /// An open account of that owner.
    pub async fn account_of(&self, customer: CustomerId, product: &str) -> String {
        let body = json!({"customer": customer, "product": product});
        let key = format!("open-{}", self.dice.u64());
        let got = self.post(&self.service, "/accounts", &key, &body).await;
        assert_eq!(got.status, 201, "{}", got.text);
        got.text_of("id")
    }

    /// An open account of a new person with that balance.
    pub async fn account(&self, product: &str, balance: i64) -> (String, CustomerId) {
        let customer = self.customer(Kind::Person, &[]);
        let id = self.account_of(customer, product).await;
        if balance > 0 {
            let body = json!({"kind": "credit", "account": id, "amount": balance, "source": "cash"});
            self.posted(&body).await;
        }
        (id, customer)
    }

    /// A command that is accepted.
    pub async fn posted(&self, command: &Value) -> Got {
        let key = format!("key-{}", self.dice.u64());
        let got = self.post(&self.service, "/postings", &key, command).await;
        assert_eq!(got.status, 201, "{command}: {}", got.text);
        got
    }

    /// A mark set or cleared.
    pub async fn mark(&self, account: &str, mark: &str, on: bool) {
        let got = self.put(&format!("/accounts/{account}/marks/{mark}"), &json!({"on": on, "reason": "test"})).await;
        assert_eq!(got.status, 200, "{}", got.text);
    }

    /// A customer's own credential.
    pub fn token_of(&self, customer: CustomerId) -> String {
        self.token(Role::Customer, &customer.to_string())
    }

    /// Everything that a refused call must leave as it was: accounts, entries, products, deeds.
    pub async fn books(&self) -> String {
        let mut books = String::new();
        let mut look = async |path: &str| {
            let got = self.get(&self.operator, path).await;
            assert_eq!(got.status, 200, "{path}: {}", got.text);
            books += &got.text;
            got.json()
        };
        let accounts = look("/accounts?limit=500").await;
        for account in accounts["items"].as_array().unwrap() {
            look(&format!("/accounts/{}/entries?limit=500", account["id"].as_str().unwrap())).await;
        }
        look("/products").await;
        look("/audit").await;
        books
    }

    /// The customer service answers.
    pub fn open_customers(&self) {
        let router = Router::new().route("/customer/v1/customers/{id}/standing", get(told));
        self.ask.open_here("customer", router.with_state(Arc::clone(&self.customers)));
    }

    /// The event of a customer's next standing comes in.
    pub async fn tell(&self, customer: CustomerId, kind: Kind, marks: &[&str]) {
        let standing = {
            let mut customers = self.customers.lock().unwrap();
            let known = customers.get_mut(&customer).unwrap();
            known.version += 1;
            known.kind = kind;
            known.marks = marks.iter().map(|m| (*m).to_owned()).collect();
            known.clone()
        };
        let event = Event {
            id: EventId::from_bytes(self.dice.bytes()),
            topic: CUSTOMER_STANDING.to_owned(),
            key: customer.to_string(),
            event_type: StandingChangedV1::TYPE.to_owned(),
            payload: serde_json::to_string(&standing).unwrap(),
        };
        self.hear(vec![event]).await;
    }

    /// Events come in.
    pub async fn hear(&self, events: Vec<Event>) {
        self.log.append(&events).await.unwrap();
        self.consumer.drain(&self.log).await.unwrap();
    }

    /// Postings that wait to be told.
    pub async fn told(&self) -> Vec<PostingRecordedV1> {
        let events = self.outgoing.unsent(1_000).await.unwrap();
        let told = events.iter().filter(|event| !event.event_type.is_empty());
        told.map(|event| serde_json::from_str(&event.payload).unwrap()).collect()
    }

    /// The regular work looks once.
    pub async fn work(&self) {
        for job in &self.jobs {
            (job.run)(self.clock.now()).await.unwrap();
        }
    }

    /// A customer with these marks, known to the customer service alone.
    pub fn customer(&self, kind: Kind, marks: &[&str]) -> CustomerId {
        let customer = CustomerId::from_bytes(self.dice.bytes());
        let standing =
            StandingChangedV1 { customer, version: 1, kind, marks: marks.iter().map(|m| (*m).to_owned()).collect() };
        self.customers.lock().unwrap().insert(customer, standing);
        customer
    }
}
