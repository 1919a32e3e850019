#![allow(clippy::unwrap_used)]

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use futures_util::StreamExt as _;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::auth::Role;
use jangbu_platform::clock::ManualClock;
use jangbu_platform::dice::Dice;
use jangbu_platform::edge::Edge;
use jangbu_platform::http::with_fallbacks;
use jangbu_platform::telemetry::Metrics;
use tower::ServiceExt as _;

use super::*;

/// Headers of a request.
type Headers<'a> = &'a [(&'a str, &'a str)];

struct World {
    router: Router,
    keys: Keyring,
    links: LoginLinks,
    wall: Arc<ManualClock>,
    show: watch::Sender<Arc<Vec<view::Part>>>,
    stop: Stop,
}

fn now() -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000)
}

fn world() -> World {
    let keys = Keyring::in_memory(Dice::seeded(1));
    let wall = Arc::new(ManualClock::new(now()));
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new("2026-01-02T03:04:05+09:00".parse().unwrap()));
    let gate = Gate::new(keys.clone(), Arc::clone(&clock)).with_wall_clock(Arc::clone(&wall) as Arc<dyn Clock>);
    let links = LoginLinks::new(keys.clone(), Dice::seeded(2));
    let shown = Shown { now: Some(clock.now()), services: vec!["customer".into()], ..Shown::default() };
    let (show, parts) = watch::channel(Arc::new(view::parts(&shown)));
    let stop = Stop::default();
    let console = Console {
        gate: gate.clone(),
        keys: keys.clone(),
        links: links.clone(),
        wall: Arc::clone(&wall) as Arc<dyn Clock>,
        page: view::page,
        parts,
        stop: stop.clone(),
        places: Arc::new(Semaphore::new(2)),
    };
    let edge = Edge::new(gate, Dice::seeded(3), Metrics::default());
    World { router: with_fallbacks(edge.open("console", router(Arc::new(console)))), keys, links, wall, show, stop }
}

struct Got {
    status: u16,
    text: String,
    headers: HeaderMap,
}

impl Got {
    /// What a browser would send back.
    fn cookie(&self) -> String {
        self.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
    }
}

impl World {
    async fn ask(&self, method: &str, path: &str, headers: Headers<'_>, body: &str) -> Got {
        let mut request = Request::builder().method(method).uri(path).header("host", "bank:1");
        if method == "POST" {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
        Got { status: parts.status.as_u16(), text, headers: parts.headers }
    }
    fn token(&self, role: Role) -> String {
        self.keys.issue(role, "kim", now(), Duration::from_secs(3_600)).unwrap()
    }
}

#[tokio::test]
async fn a_link_logs_in_once() {
    let world = world();
    let code = world.links.offer(Role::Operator, "kim", now()).unwrap();
    let path = format!("/login?code={code}");
    assert_eq!(world.ask("HEAD", &path, &[], "").await.status, 200, "looking does not use it up");
    let got = world.ask("GET", &path, &[], "").await;
    assert_eq!((got.status, &got.headers["location"]), (303, &HeaderValue::from_static("/")));
    let set = got.headers["set-cookie"].to_str().unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(set.contains(part), "{set}");
    }
    let page = world.ask("GET", "/", &[("cookie", &got.cookie())], "").await;
    assert!(page.status == 200 && page.text.contains("/customer/v1"), "{}", page.text);
    assert!(page.text.contains("Friday 2026-01-02 03:04:05"), "{}", page.text);
    let again = world.ask("GET", &path, &[], "").await;
    assert!(again.status == 401 && again.text.contains("each logs in once"), "{}", again.text);
    let late = world.links.offer(Role::Operator, "kim", now()).unwrap();
    world.wall.advance_to(now().plus_micros(900_000_000));
    let late = world.ask("GET", &format!("/login?code={late}"), &[], "").await;
    assert!(late.status == 401 && late.text.contains("too old"), "{}", late.text);
}

#[tokio::test]
async fn nobody_sees_the_page_without_an_operators_credential() {
    let world = world();
    let (operator, customer) = (world.token(Role::Operator), world.token(Role::Customer));
    let old = world.keys.issue(Role::Operator, "kim", now().plus_micros(-9_000_000), Duration::from_secs(5)).unwrap();
    let cookie = |token: &str| format!("jangbu_session={token}");
    let (operator, customer, old) = (cookie(&operator), cookie(&customer), cookie(&old));
    #[rustfmt::skip]
    let cases: &[(Headers<'_>, u16, &str)] = &[
        (&[], 401, "name=\"token\""),
        (&[("sec-fetch-site", "cross-site")], 200, "http-equiv=\"refresh\""),
        (&[("cookie", "jangbu_session=x.y.z")], 401, "session has ended"),
        (&[("cookie", &old)], 401, "session has ended"),
        (&[("cookie", &customer)], 403, "for operators only"),
        (&[("cookie", &operator)], 200, "Services"),
    ];
    for (headers, status, said) in cases {
        let got = world.ask("GET", "/", headers, "").await;
        assert!(got.status == *status && got.text.contains(said), "{headers:?}: {} {}", got.status, got.text);
        assert_eq!(got.text.contains("/customer/v1"), headers == &[("cookie", operator.as_str())]);
        assert_eq!(got.headers["cache-control"], "no-store");
        assert!(got.headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
    }
}

#[tokio::test]
async fn a_pasted_token_becomes_a_session() {
    let world = world();
    let (operator, customer) = (world.token(Role::Operator), world.token(Role::Customer));
    let paste = |token: &str| format!("token=%20{token}%0A");
    let got = world.ask("POST", "/login", &[("sec-fetch-site", "same-origin")], &paste(&operator)).await;
    assert_eq!(got.status, 303, "{}", got.text);
    assert_ne!(got.cookie(), format!("jangbu_session={operator}"));
    let cookie = got.cookie();
    assert_eq!(world.ask("GET", "/", &[("cookie", &cookie)], "").await.status, 200);
    let out = world.ask("POST", "/logout", &[("cookie", &cookie), ("sec-fetch-site", "same-origin")], "").await;
    assert!(out.status == 303 && out.cookie() == "jangbu_session=", "{}", out.text);
    #[rustfmt::skip]
    let cases: &[(Headers<'_>, &str, u16)] = &[
        (&[], "token=x.y.z", 401),
        (&[], "", 401),
        (&[], &paste(&customer), 403),
        (&[("sec-fetch-site", "cross-site")], &paste(&operator), 403),
        (&[("origin", "http://evil")], &paste(&operator), 403),
        (&[("origin", "http://bank:1")], &paste(&operator), 303),
    ];
    for (headers, form, status) in cases {
        let got = world.ask("POST", "/login", headers, form).await;
        assert_eq!(got.status, *status, "{headers:?} {form}");
        assert_eq!(got.headers.contains_key("set-cookie"), *status == 303);
    }
    let forced = world.ask("POST", "/logout", &[("cookie", &cookie), ("sec-fetch-site", "cross-site")], "").await;
    assert_eq!(forced.status, 403);
}

#[tokio::test]
async fn a_page_that_listens_gets_what_changed_until_the_bank_stops() {
    let world = world();
    let cookie = format!("jangbu_session={}", world.token(Role::Operator));
    let listen = |cookie: &str| {
        let request = Request::builder().uri("/events").header("cookie", cookie).body(Body::empty()).unwrap();
        world.router.clone().oneshot(request)
    };
    assert_eq!(listen("").await.unwrap().status(), 401);
    let answer = listen(&cookie).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let mut stream = answer.into_body().into_data_stream();
    let mut next = async || stream.next().await.map(|chunk| String::from_utf8(chunk.unwrap().to_vec()).unwrap());
    let first = next().await.unwrap();
    assert!(first.starts_with("retry: ") && first.contains("customer/v1") && first.ends_with("\n\n"), "{first}");
    let shown = Shown { services: vec!["customer".into(), "deposit-krw".into()], ..Shown::default() };
    world.show.send_replace(Arc::new(view::parts(&shown)));
    let second = next().await.unwrap();
    assert!(second.starts_with("data: ") && second.contains("deposit-krw/v1"), "{second}");
    assert!(!second.contains("\"pulse\""), "what is the same is not sent again: {second}");

    let _second = listen(&cookie).await.unwrap();
    let third = listen(&cookie).await.unwrap();
    assert_eq!((third.status().as_u16(), third.headers().contains_key("retry-after")), (503, true));
    world.stop.stop();
    assert_eq!(next().await, None);
}

#[tokio::test]
async fn a_session_that_ends_ends_the_stream() {
    let world = world();
    let cookie = format!("jangbu_session={}", world.token(Role::Operator));
    let request = Request::builder().uri("/events").header("cookie", cookie).body(Body::empty()).unwrap();
    let mut stream = world.router.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
    assert!(stream.next().await.is_some());
    world.wall.advance_to(now().plus_micros(3_600_000_000));
    world.show.send_replace(Arc::new(Vec::new()));
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn every_error_code_has_its_page() {
    let world = world();
    let got = world.ask("GET", "/docs/codes/KEY_REUSED", &[], "").await;
    assert!(got.status == 200 && got.text.contains("<h2>What to do</h2>"), "{}", got.text);
    let list = world.ask("GET", "/docs/codes", &[], "").await;
    assert!(list.text.contains("href=\"/docs/codes/KEY_REUSED\""), "{}", list.text);
    for path in ["/docs/codes/NOTHING", "/docs/codes/%2e%2e"] {
        let got = world.ask("GET", path, &[], "").await;
        assert!(got.status == 404 && got.text.contains("no such code"), "{path}: {}", got.text);
    }
}
