//! A stand for tests: one service behind the edge in this process, called as callers call it, at a time that is moved
//! by hand. Not for running a bank: nothing here relays, consumes or looks for work by itself.

pub mod drill;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, request};
use jangbu_kernel::time::{Timestamp, UtcOffset};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::ask::Ask;
use crate::auth::{Keyring, Role};
use crate::clock::{Clock, ManualClock};
use crate::crypto::DataKey;
use crate::db::{Db, Fault};
use crate::dice::Dice;
use crate::edge::Edge;
use crate::http::{Gate, with_fallbacks};
use crate::kv::{Kv, KvLimits};
use crate::log::Log;
use crate::migrate;
use crate::openapi::Document;
use crate::service::{ServiceSpec, World};
use crate::telemetry::Metrics;

/// How long its credentials are good.
const CREDENTIAL_TTL: Duration = Duration::from_secs(366 * 86_400);

/// One service on a stand.
pub struct Stand {
    /// The service's name.
    pub name: &'static str,
    /// Its time.
    pub clock: Arc<ManualClock>,
    /// Its keys.
    pub keys: Keyring,
    /// Its chance.
    pub dice: Dice,
    /// Its way to others; open them here to be asked.
    pub ask: Ask,
    /// An operator's credential.
    pub operator: String,
    /// A service's credential.
    pub service: String,
    router: Router,
    gate: Gate,
    metrics: Metrics,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Got {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub text: String,
}

impl Got {
    /// The body; null when it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
    /// A field of the body that is text; empty when it is not.
    #[must_use]
    pub fn text_of(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_default().to_owned()
    }
    /// The code of a problem; empty when it is none.
    #[must_use]
    pub fn code(&self) -> String {
        self.text_of("code")
    }
    /// The codes of all failures of a problem.
    #[must_use]
    pub fn codes(&self) -> Vec<String> {
        let failures = self.json()["failures"].as_array().cloned().unwrap_or_default();
        failures.iter().filter_map(|f| f["code"].as_str().map(str::to_owned)).collect()
    }
    /// The fields that failures are about.
    #[must_use]
    pub fn fields(&self) -> Vec<String> {
        let failures = self.json()["failures"].as_array().cloned().unwrap_or_default();
        failures.iter().filter_map(|f| f["field"].as_str().map(str::to_owned)).collect()
    }
    /// Whether it was given before.
    #[must_use]
    pub fn is_replay(&self) -> bool {
        self.headers.get(crate::http::REPLAY_HEADER).is_some_and(|v| v == "true")
    }
}

impl Stand {
    /// A stand for the service at that time, and the world to open it with.
    ///
    /// # Errors
    /// The directory can't be used.
    pub async fn new(dir: &Path, spec: &ServiceSpec, at: Timestamp) -> Result<(Stand, World), Fault> {
        let clock = Arc::new(ManualClock::new(at));
        let (dice, metrics) = (Dice::seeded(7), Metrics::default());
        let keys = Keyring::in_memory(dice.clone());
        let now: Arc<dyn Clock> = clock.clone();
        let db = Db::open_embedded(&dir.join(format!("{}.db", spec.name)), Arc::clone(&now), dice.clone())?;
        migrate::apply(&db, spec.migrations).await?;
        let ask = Ask::new(spec.name, keys.clone(), Arc::clone(&now), dice.clone());
        let world = World {
            db,
            clock: Arc::clone(&now),
            dice: dice.clone(),
            offset: UtcOffset::SEOUL,
            log: Log::open_embedded(&dir.join("log.db"), Arc::clone(&now), dice.clone()).await?,
            data_key: Arc::new(DataKey::open(dir, dice.clone())?),
            ask: ask.clone(),
            metrics: metrics.clone(),
            kv: Kv::in_process(Arc::clone(&now), KvLimits::default()),
        };
        let gate = Gate::new(keys.clone(), now);
        let mut stand = Stand {
            name: spec.name,
            clock,
            keys,
            dice,
            ask,
            operator: String::new(),
            service: String::new(),
            router: Router::new(),
            gate,
            metrics,
        };
        stand.operator = stand.token(Role::Operator, "kim");
        stand.service = stand.token(Role::Service, "partner");
        Ok((stand, world))
    }

    /// Puts the opened service's router behind the edge.
    #[must_use]
    pub fn with(mut self, router: Router) -> Stand {
        let edge = Edge::new(self.gate.clone(), self.dice.clone(), self.metrics.clone());
        self.router = with_fallbacks(edge.open(self.name, router));
        self
    }

    /// Moves the clock on.
    pub fn move_to(&self, at: &str) {
        let at = at.parse().expect("instants of tests are well formed");
        assert!(self.clock.advance_to(at), "the clock goes forward only");
    }

    /// A credential.
    #[must_use]
    pub fn token(&self, role: Role, subject: &str) -> String {
        let issued = self.keys.issue(role, subject, self.clock.now(), CREDENTIAL_TTL);
        issued.expect("subjects of tests are plain text")
    }

    /// Begins a request; `path` is below `/{service}/v1`, and an empty token is none.
    pub fn request(&self, token: &str, method: &str, path: &str) -> request::Builder {
        let request = Request::builder().method(method).uri(format!("/{}/v1{path}", self.name));
        if token.is_empty() { request } else { request.header("authorization", format!("Bearer {token}")) }
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: request::Builder, body: impl Into<Body>) -> Got {
        let request = request.body(body.into()).expect("requests of tests are well formed");
        let Ok(response) = self.router.clone().oneshot(request).await;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.expect("answers are in memory");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Got { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    /// Reads.
    pub async fn get(&self, token: &str, path: &str) -> Got {
        self.send(self.request(token, "GET", path), Body::empty()).await
    }

    /// Posts JSON under a key.
    pub async fn post(&self, token: &str, path: &str, key: &str, body: &Value) -> Got {
        let request = self.request(token, "POST", path).header("idempotency-key", key);
        self.send(request.header("content-type", "application/json"), body.to_string()).await
    }

    /// Puts JSON as an operator.
    pub async fn put(&self, path: &str, body: &Value) -> Got {
        let request = self.request(&self.operator, "PUT", path).header("content-type", "application/json");
        self.send(request, body.to_string()).await
    }

    /// The service's API document.
    ///
    /// # Errors
    /// There is none.
    pub async fn document(&self) -> Result<Document, String> {
        Document::read(&self.get("", "/openapi.json").await.text)
    }

    /// What is wrong with the document: in itself, calls that no route serves, and calls that need an idempotency
    /// key without saying so or say so without needing one.
    pub async fn document_flaws(&self) -> Vec<String> {
        let document = match self.document().await {
            Ok(document) => document,
            Err(why) => return vec![why],
        };
        let mut flaws = document.flaws();
        for (method, path, operation) in document.calls() {
            let below = path.strip_prefix(&format!("/{}/v1", self.name)).unwrap_or("");
            let path = below.replace(['{', '}'], "");
            let request = self.request(&self.operator, &method.to_uppercase(), &path);
            let got = self.send(request.header("content-type", "application/json"), "{}").await;
            if got.status == 405 || got.text.contains("there is no such path") {
                flaws.push(format!("{method} {below} is served by no route"));
            }
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let says = parameters.clone().any(|p| p["name"] == "Idempotency-Key" && p["required"] == true);
            if says != (got.code() == "KEY_MISSING") {
                flaws.push(format!("{method} {below} says {says} of its key, and answers {}", got.text));
            }
        }
        flaws
    }
}
