//! What every call passes before and after its handler, at a socket or in process.
//!
//! | step | answer when it fails |
//! |---|---|
//! | a place among the calls under way | 429 `BUSY`, at once: a queue here would only grow |
//! | a session cookie changes things only from the bank's own page | 403 `FORBIDDEN` |
//! | the caller's deadline (`x-deadline-ms`) | 400; 504 `DEADLINE` when it passes |
//! | the key is not under way | 409 `KEY_IN_USE` |
//! | the handler | a panic is a bug: 500 `INTERNAL`, logged and counted |
//! | a request with a key that met another unit of work | is handled again, a few times, after a pause by chance |
//! | trace out, one line, latency and outcome counted | |

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::FutureExt as _;
use jangbu_contracts::codes::Code;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::clock::ticks;
use crate::context::{Context, Trace};
use crate::dice::Dice;
use crate::http::{Again, BODY_BYTES_MAX, Gate, ProblemCode, Refused, by_session_alone, from_own_page};
use crate::probe;
use crate::telemetry::{Counter, Histogram, Metrics, Unit};

/// Calls under way in one service.
pub const CALLS_UNDER_WAY_MAX: usize = 4_096;
/// Longest deadline that a caller may ask for, and the one of callers who ask for none.
pub const DEADLINE_MS_MAX: u64 = 60_000;
/// Deadline of callers who ask for none.
pub const DEADLINE_MS_DEFAULT: u64 = 30_000;
const _: () = assert!(DEADLINE_MS_DEFAULT <= DEADLINE_MS_MAX);

/// Times that a request is handled at most when another unit of work was in its way.
pub const TRIES_MAX: u32 = 4;
/// Longest pause before it is handled a second time, milliseconds; twice as long before each further one.
const PAUSE_MS_FIRST: u64 = 10;

/// Header with the milliseconds that the caller waits.
pub const DEADLINE_HEADER: &str = "x-deadline-ms";
/// Header with the trace.
pub const TRACE_HEADER: &str = "traceparent";

/// The edge of one process; it wraps each service's router.
#[derive(Clone)]
pub struct Edge {
    gate: Gate,
    dice: Dice,
    metrics: Metrics,
    calls_max: usize,
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Edge")
    }
}

/// What the edge keeps for one service.
struct Door {
    service: String,
    edge: Edge,
    places: Semaphore,
    bugs: Counter,
    conflicts: Counter,
    routes: RwLock<HashMap<String, Arc<Route>>>,
    keys: Mutex<HashSet<(String, String)>>,
}

struct Route {
    took: Histogram,
    answers: [Counter; 3],
}

impl Edge {
    /// An edge that knows callers by `gate`; traces come from `dice`, numbers go to `metrics`.
    #[must_use]
    pub fn new(gate: Gate, dice: Dice, metrics: Metrics) -> Self {
        Self { gate, dice, metrics, calls_max: CALLS_UNDER_WAY_MAX }
    }

    /// The same with another limit of calls under way in one service.
    #[must_use]
    pub fn with_calls_max(mut self, calls_max: usize) -> Self {
        self.calls_max = calls_max;
        self
    }

    /// Puts a service's router behind the edge. Its bodies are limited to [`BODY_BYTES_MAX`] unless a route of its
    /// own says otherwise. Unknown methods are answered here, unknown paths by whoever merges the routers.
    pub fn open(&self, service: &str, router: Router) -> Router {
        let labels = [("service", service)];
        let conflicts = "Requests handled again because another unit of work was in their way.";
        let door = Door {
            conflicts: self.metrics.counter("jangbu_conflicts_total", conflicts, &labels),
            service: service.to_owned(),
            edge: self.clone(),
            places: Semaphore::new(self.calls_max),
            bugs: self.metrics.counter("jangbu_bugs_total", "Handlers that panicked.", &labels),
            routes: RwLock::default(),
            keys: Mutex::default(),
        };
        router
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(middleware::from_fn_with_state(Arc::new(door), around))
    }
}

/// The router for `/healthz`, `/readyz` and `/metrics`. `ready` names what is not ready.
pub fn beside(metrics: Metrics, ready: impl Fn() -> Result<(), String> + Clone + Send + Sync + 'static) -> Router {
    let shown = move || async move {
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response()
    };
    let readiness = move || async move {
        ready().map(|()| "ready\n").map_err(|why| Refused::new(Code::Unavailable, why)).into_response()
    };
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(shown))
}

async fn around(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    let started = ticks();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let key = text_header(request.headers(), "idempotency-key").map(str::to_owned);
    let dice = &door.edge.dice;
    let trace = text_header(request.headers(), TRACE_HEADER).and_then(|text| text.parse::<Trace>().ok());
    let trace = trace.map_or_else(|| Trace::root(dice), |trace| trace.child(dice));
    request.extensions_mut().insert(door.edge.gate.clone());

    let mut response = match answer(&door, started, trace, key.as_deref(), request, next).await {
        Ok(response) => response,
        Err(refused) => refused.into_response(),
    };
    if let Ok(value) = HeaderValue::try_from(trace.to_string()) {
        response.headers_mut().insert(TRACE_HEADER, value);
    }
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    door.note(&method, route, &response, key.as_deref(), trace, started.elapsed());
    response
}

async fn answer(
    door: &Arc<Door>,
    started: Instant,
    trace: Trace,
    key: Option<&str>,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let _place = door.places.try_acquire().map_err(|_| {
        probe::reached("call-turned-away-by-a-full-house");
        Refused::new(Code::Busy, format!("{} has as many calls under way as it takes", door.service))
    })?;
    if !request.method().is_safe() && by_session_alone(request.headers()) && !from_own_page(request.headers()) {
        return Err(Refused::new(Code::Forbidden, "a session changes things from the bank's own page only"));
    }
    let deadline = started + deadline_of(request.headers())?;
    let running = match key {
        Some(key) if *request.method() != Method::GET => door.run(request.headers(), key)?,
        _ => None,
    };
    let handled = Context { trace, deadline }
        .scope(AssertUnwindSafe(door.handle(running.is_some(), request, next)).catch_unwind());
    match tokio::time::timeout_at(deadline, handled).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(_)) => {
            door.bugs.inc();
            tracing::error!(service = %door.service, trace = %trace.id(), "a handler panicked");
            Err(Refused::new(Code::Internal, "an error of the bank; ask by your key whether it took effect"))
        }
        Err(_) => {
            probe::reached("deadline-passed-while-a-call-was-answered");
            Err(Refused::new(Code::Deadline, "the deadline passed; ask by your key whether it took effect"))
        }
    }
}

fn text_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// How long the caller waits.
fn deadline_of(headers: &HeaderMap) -> Result<Duration, Refused> {
    let Some(value) = headers.get(DEADLINE_HEADER) else { return Ok(Duration::from_millis(DEADLINE_MS_DEFAULT)) };
    let ms = value.to_str().ok().and_then(|text| text.parse::<u64>().ok()).filter(|ms| *ms > 0).ok_or_else(|| {
        Refused::field(Code::InvalidField, DEADLINE_HEADER, "a deadline is a number of milliseconds above zero")
    })?;
    Ok(Duration::from_millis(ms.min(DEADLINE_MS_MAX)))
}

/// A key under way; dropping it frees the key.
struct Running {
    door: Arc<Door>,
    key: (String, String),
}

impl Drop for Running {
    fn drop(&mut self) {
        self.door.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl Door {
    /// Has a request handled; one that may be repeated, since its key is known, again if it met another.
    async fn handle(&self, repeatable: bool, request: Request, next: Next) -> Response {
        let length = request.body().size_hint().exact();
        if !repeatable || length.is_none_or(|bytes| bytes > BODY_BYTES_MAX as u64) {
            return next.run(request).await;
        }
        let (parts, body) = request.into_parts();
        // As long as the caller said, or he has broken off; then the handler finds what he left.
        let body = to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
        let mut tries = 0;
        loop {
            let response = next.clone().run(Request::from_parts(parts.clone(), Body::from(body.clone()))).await;
            tries += 1;
            if tries == TRIES_MAX || response.extensions().get::<Again>().is_none() {
                return response;
            }
            self.conflicts.inc();
            let pause = self.edge.dice.u64() % (PAUSE_MS_FIRST << tries);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Notes that a key is under way. Whoever has no good credential is told so by the handler, not here.
    fn run(self: &Arc<Self>, headers: &HeaderMap, key: &str) -> Result<Option<Running>, Refused> {
        let Ok(caller) = self.edge.gate.caller(headers) else { return Ok(None) };
        let key = (caller.to_string(), key.to_owned());
        if !self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
            probe::reached("key-in-use-at-the-edge");
            return Err(Refused::new(Code::KeyInUse, "a request with this key is still running"));
        }
        Ok(Some(Running { door: Arc::clone(self), key }))
    }

    fn route(&self, method: &Method, route: &str) -> Arc<Route> {
        // What is not a route of ours must not make a series of its own: anybody can invent methods.
        let method = if route == "none" { "any" } else { method.as_str() };
        let name = format!("{method} {route}");
        if let Some(known) = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Arc::clone(known);
        }
        let (service, metrics) = (self.service.as_str(), &self.edge.metrics);
        let labels = [("service", service), ("method", method), ("route", route)];
        let answers = ["2xx", "4xx", "5xx"].map(|class| {
            let labels = [labels[0], labels[1], labels[2], ("class", class)];
            metrics.counter("jangbu_answers_total", "Answers by class of status.", &labels)
        });
        let took = metrics.histogram("jangbu_call_seconds", "Time from request to answer.", Unit::Micros, &labels);
        let made = Arc::new(Route { took, answers });
        self.routes.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::clone(&made));
        made
    }

    fn note(&self, method: &Method, route: &str, response: &Response, key: Option<&str>, trace: Trace, took: Duration) {
        let status = response.status().as_u16();
        let series = self.route(method, route);
        series.took.record_duration(took);
        series.answers[usize::from(status >= 400) + usize::from(status >= 500)].inc();
        let code = response.extensions().get::<ProblemCode>().map_or("", |code| code.0.as_str());
        if !code.is_empty() {
            let labels = [("service", self.service.as_str()), ("code", code)];
            self.edge.metrics.counter("jangbu_refusals_total", "Answers that are errors, by code.", &labels).inc();
        }
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let (service, key, trace) = (self.service.as_str(), key.unwrap_or(""), tracing::field::display(trace));
        if status >= 500 {
            tracing::warn!(target: "access", service, %method, route, key, status, code, us, %trace, "answered");
        } else if *method == Method::GET {
            tracing::debug!(target: "access", service, %method, route, status, code, us, %trace, "answered");
        } else {
            tracing::info!(target: "access", service, %method, route, key, status, code, us, %trace, "answered");
        }
    }
}

#[cfg(test)]
mod tests;
