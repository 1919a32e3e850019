//! A small world in this process: one instance behind the edge, with customers who are only told of.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use jangbu_contracts::customer::{Kind, StandingChangedV1};
use jangbu_kernel::id::CustomerId;
use jangbu_platform::http::{Refused, json, path_id};
use jangbu_platform::service::ServiceSpec;
use jangbu_platform::stand::Stand;

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
    customers: Customers,
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
    json(200, &found.ok_or_else(Refused::not_found)?, false)
}

impl World {
    pub async fn krw() -> World {
        Self::open(&KRW, 1).await
    }

    async fn open(spec: &'static ServiceSpec, tag: u16) -> World {
        let dir = tempfile::tempdir().unwrap();
        let at = "2023-08-15T10:00:00+09:00".parse().unwrap();
        let (stand, given) = Stand::new(dir.path(), spec, at).await.unwrap();
        let service = open(spec, tag, given, PRODUCTS).await.unwrap();
        let world = World { stand: stand.with(service.router), customers: Customers::default(), _dir: dir };
        world.open_customers();
        world
    }

    /// The customer service answers.
    pub fn open_customers(&self) {
        let router = Router::new().route("/customer/v1/customers/{id}/standing", get(told));
        self.ask.open_here("customer", router.with_state(Arc::clone(&self.customers)));
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
}
