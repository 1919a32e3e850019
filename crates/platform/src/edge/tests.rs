#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU32, Ordering};

use axum::routing::post;
use jangbu_kernel::time::Timestamp;
use tokio::sync::Notify;
use tower::ServiceExt as _;

use super::*;
use crate::auth::{Keyring, Role};
use crate::clock::ManualClock;
use crate::db::Fault;
use crate::http::{Keyed, Known, Strict, with_fallbacks};

struct World {
    router: Router,
    metrics: Metrics,
    keys: Keyring,
    go: Arc<Notify>,
}

async fn bug() -> &'static str {
    panic!("a bug")
}

/// Meets others as often as its body says, and tells how often it was asked.
async fn meets(asked: Arc<AtomicU32>, met: u32) -> Result<String, Refused> {
    let asked = asked.fetch_add(1, Ordering::SeqCst) + 1;
    if asked <= met { Err(Fault::Conflict("another was there".into()).into()) } else { Ok(asked.to_string()) }
}

fn now() -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000)
}

fn world(calls_max: usize) -> World {
    let keys = Keyring::in_memory(Dice::seeded(1));
    let gate = Gate::new(keys.clone(), Arc::new(ManualClock::new(now())));
    let (metrics, go) = (Metrics::default(), Arc::new(Notify::new()));
    let edge = Edge::new(gate, Dice::seeded(2), metrics.clone()).with_calls_max(calls_max);
    let (waits, asked) = (Arc::clone(&go), Arc::<AtomicU32>::default());
    let router = Router::new()
        .route("/t/v1/echo", post(|Strict(body): Strict<serde_json::Value>| async move { body.to_string() }))
        .route("/t/v1/staff", get(|known: Known| async move { known.operator().map(|()| "ok") }))
        .route("/t/v1/keyed", post(|keyed: Keyed| async move { keyed.0.key }))
        .route("/t/v1/bug", post(bug))
        .route(
            "/t/v1/meets",
            post(move |_: Keyed, Strict(body): Strict<HashMap<String, u32>>| meets(Arc::clone(&asked), body["met"])),
        )
        .route("/t/v1/left", get(|| async { Context::current().unwrap().left().as_millis().to_string() }))
        .route(
            "/t/v1/slow",
            post(move |_: Keyed| async move {
                waits.notified().await;
                "done"
            }),
        );
    World { router: with_fallbacks(edge.open("t", router)), metrics, keys, go }
}

impl World {
    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request {
        let mut request = hyper::Request::builder().method(method).uri(format!("/t/v1/{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::from(body.to_owned())).unwrap()
    }
    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String, HeaderMap) {
        let request = self.request(method, path, headers, body);
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (parts.status.as_u16(), String::from_utf8(body.to_vec()).unwrap(), parts.headers)
    }
    fn bearer(&self, role: Role) -> String {
        format!("Bearer {}", self.keys.issue(role, "kim", now(), Duration::from_secs(60)).unwrap())
    }
}

/// Method, path, headers, body; status and what the answer says.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, u16, &'a str);

#[tokio::test]
async fn what_is_wrong_at_the_edge_has_its_code() {
    let world = world(8);
    let (customer, operator) = (world.bearer(Role::Customer), world.bearer(Role::Operator));
    let old = world.keys.issue(Role::Operator, "kim", now().plus_micros(-9_000_000), Duration::from_secs(5)).unwrap();
    let (old, json) = (format!("Bearer {old}"), ("content-type", "application/json"));
    let long_key = "k".repeat(65);
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(BODY_BYTES_MAX));
    let auth = ("authorization", operator.as_str());
    #[rustfmt::skip]
    let cases: &[Case<'_>] = &[
        ("GET", "staff", &[], "", 401, "NO_CREDENTIAL"),
        ("GET", "staff", &[("authorization", "Basic eA==")], "", 401, "NO_CREDENTIAL"),
        ("GET", "staff", &[("authorization", "Bearer x.y.z")], "", 401, "CREDENTIAL_INVALID"),
        ("GET", "staff", &[("authorization", &old)], "", 401, "CREDENTIAL_EXPIRED"),
        ("GET", "staff", &[("authorization", &customer)], "", 403, "FORBIDDEN"),
        ("GET", "staff", &[auth], "", 200, "ok"),
        ("POST", "keyed", &[auth], "", 400, "KEY_MISSING"),
        ("POST", "keyed", &[auth, ("idempotency-key", "")], "", 400, "KEY_INVALID"),
        ("POST", "keyed", &[auth, ("idempotency-key", &long_key)], "", 400, "KEY_INVALID"),
        ("POST", "keyed", &[auth, ("idempotency-key", "t\tb")], "", 400, "KEY_INVALID"),
        ("POST", "keyed", &[auth, ("idempotency-key", "k 1")], "", 200, "k 1"),
        ("POST", "echo", &[], "{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", "echo", &[json], &large, 413, "BODY_TOO_LARGE"),
        ("POST", "echo", &[json], "{", 400, "MALFORMED_JSON"),
        ("POST", "echo", &[("content-type", "Application/JSON; charset=utf-8")], "{}", 200, "{}"),
        ("GET", "echo", &[], "", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "nothing", &[], "", 404, "NOT_FOUND"),
        ("POST", "echo", &[json, (DEADLINE_HEADER, "0")], "{}", 400, "INVALID_FIELD"),
        ("POST", "bug", &[], "", 500, "INTERNAL"),
    ];
    for (method, path, headers, body, status, said) in cases {
        let (got, text, answered) = world.call(method, path, headers, body).await;
        assert_eq!(got, *status, "{method} {path} {said}: {text}");
        assert!(text.contains(said), "{method} {path}: {text}");
        let problem = answered.get("content-type").is_some_and(|kind| kind == "application/problem+json");
        assert_eq!(problem, *status >= 400, "{method} {path}");
    }
    let shown = world.metrics.render();
    assert!(shown.contains("jangbu_bugs_total{service=\"t\"} 1"), "{shown}");
    assert!(shown.contains("jangbu_refusals_total{service=\"t\",code=\"KEY_MISSING\"} 1"), "{shown}");
}

#[tokio::test]
async fn a_full_service_says_busy_at_once_and_a_running_key_is_in_use() {
    let world = world(2);
    let auth = world.bearer(Role::Service);
    let headers = |key: &'static str| [("authorization", auth.clone()), ("idempotency-key", key.to_owned())];
    let slow = |key| {
        let headers = headers(key);
        let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        world.router.clone().oneshot(world.request("POST", "slow", &headers, ""))
    };
    let first = tokio::spawn(slow("one"));
    tokio::task::yield_now().await;
    let again = slow("one").await.unwrap();
    assert_eq!(again.status(), 409);
    let second = tokio::spawn(slow("two"));
    tokio::task::yield_now().await;
    let full = slow("three").await.unwrap();
    assert_eq!((full.status().as_u16(), full.headers().get("retry-after").is_some()), (429, true));
    world.go.notify_waiters();
    for task in [first, second] {
        assert_eq!(task.await.unwrap().unwrap().status(), 200);
    }
    world.go.notify_one();
    assert_eq!(slow("one").await.unwrap().status(), 200, "the key is free again");
}

#[tokio::test]
async fn deadlines_end_calls_and_travel_with_them() {
    let world = world(2);
    let auth = world.bearer(Role::Service);
    let headers = [("authorization", auth.as_str()), ("idempotency-key", "k"), (DEADLINE_HEADER, "250")];
    let (status, text, _) = world.call("POST", "slow", &headers, "").await;
    assert_eq!(status, 504, "{text}");
    let (_, left, _) = world.call("GET", "left", &[(DEADLINE_HEADER, "250")], "").await;
    assert!((1..=250).contains(&left.parse::<u64>().unwrap()), "{left}");
    let (_, left, _) = world.call("GET", "left", &[(DEADLINE_HEADER, "99999999")], "").await;
    assert!((DEADLINE_MS_MAX - 1_000..=DEADLINE_MS_MAX).contains(&left.parse::<u64>().unwrap()), "{left}");
}

#[tokio::test]
async fn a_trace_goes_on_or_starts() {
    let world = world(2);
    let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let (_, _, headers) = world.call("GET", "left", &[(TRACE_HEADER, sent)], "").await;
    let got = headers[TRACE_HEADER].to_str().unwrap();
    assert!(got.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && got != sent, "{got}");
    let (_, _, headers) = world.call("GET", "left", &[(TRACE_HEADER, "nonsense")], "").await;
    assert!(headers[TRACE_HEADER].to_str().unwrap().parse::<Trace>().is_ok());
}

#[tokio::test]
async fn a_session_changes_things_from_the_own_page_only() {
    let world = world(2);
    let cookie = format!("a=b; {}={}", crate::http::SESSION_COOKIE, &world.bearer(Role::Operator)[7..]);
    let bearer = world.bearer(Role::Operator);
    let (cookie, bearer) = (("cookie", cookie.as_str()), ("authorization", bearer.as_str()));
    let (key, host) = (("idempotency-key", "k"), ("host", "bank:1"));
    #[rustfmt::skip]
    let cases: &[(&[(&str, &str)], u16)] = &[
        (&[cookie, key, host], 403),
        (&[cookie, key, host, ("sec-fetch-site", "cross-site")], 403),
        (&[cookie, key, host, ("sec-fetch-site", "same-site"), ("origin", "http://bank:1")], 403),
        (&[cookie, key, host, ("origin", "http://evil")], 403),
        (&[cookie, key, host, ("origin", "null")], 403),
        (&[cookie, key, ("origin", "http://bank:1")], 403),
        (&[cookie, key, host, ("origin", "http://bank:1")], 200),
        (&[cookie, key, host, ("sec-fetch-site", "same-origin")], 200),
        (&[bearer, cookie, key, host], 200),
    ];
    for (headers, status) in cases {
        let (got, text, _) = world.call("POST", "keyed", headers, "").await;
        assert_eq!(got, *status, "{headers:?}: {text}");
    }
    assert_eq!(world.call("GET", "staff", &[cookie, ("sec-fetch-site", "cross-site")], "").await.0, 200);
}

#[tokio::test]
async fn a_request_that_met_another_is_handled_again_and_counted() {
    for (met, status, times) in [(0, 200, 0), (2, 200, 2), (9, 429, 3)] {
        let world = world(10);
        let auth = world.bearer(Role::Operator);
        let headers =
            [("authorization", auth.as_str()), ("idempotency-key", "k"), ("content-type", "application/json")];
        let body = format!("{{\"met\":{met}}}");
        let (got, said, _) = world.call("POST", "meets", &headers, &body).await;
        assert_eq!(got, status, "{said}");
        let counted = world.metrics.render();
        assert!(counted.contains(&format!("jangbu_conflicts_total{{service=\"t\"}} {times}")), "{counted}");
    }
}
