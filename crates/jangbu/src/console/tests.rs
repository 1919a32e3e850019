#![allow(clippy::unwrap_used)]

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
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
    let console = Console {
        gate: gate.clone(),
        keys: keys.clone(),
        links: links.clone(),
        wall: Arc::clone(&wall) as Arc<dyn Clock>,
        clock,
        by_hand: true,
        services: vec!["customer".into()],
    };
    let edge = Edge::new(gate, Dice::seeded(3), Metrics::default());
    World { router: with_fallbacks(edge.open("console", router(Arc::new(console)))), keys, links, wall }
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
    assert!(page.text.contains("Fri 2026-01-02 03:04:05"), "{}", page.text);
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
