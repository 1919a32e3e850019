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
    heard: Heard,
}

/// What the bank behind the page was asked: method, path, and body; all calls had the visitor's own token.
type Heard = Arc<std::sync::Mutex<Vec<String>>>;

/// A bank that says no to every force, and yes to all else.
async fn stub(State(heard): State<Heard>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    assert!(parts.headers["authorization"].to_str().unwrap().starts_with("Bearer ey"));
    let body = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    heard.lock().unwrap().push(format!("{} {} {body}", parts.method, parts.uri));
    if parts.uri.path().ends_with("/force") {
        return jangbu_platform::http::Refused::new(jangbu_contracts::codes::Code::ExchangeNotStuck, "not <yet>")
            .into_response();
    }
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], "{\"items\":[],\"next\":null}").into_response()
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
    let (stop, heard) = (Stop::default(), Heard::default());
    let console = Console {
        gate: gate.clone(),
        keys: keys.clone(),
        links: links.clone(),
        wall: Arc::clone(&wall) as Arc<dyn Clock>,
        page: view::page,
        parts,
        stop: stop.clone(),
        places: Arc::new(Semaphore::new(2)),
        counter: Some(Counter::new(Router::new().fallback(stub).with_state(Arc::clone(&heard)), Dice::seeded(4))),
    };
    let edge = Edge::new(gate, Dice::seeded(3), Metrics::default());
    World {
        router: with_fallbacks(edge.open("console", router(Arc::new(console)))),
        keys,
        links,
        wall,
        show,
        stop,
        heard,
    }
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
    let (operator, service) = (world.token(Role::Operator), world.token(Role::Service));
    let old = world.keys.issue(Role::Operator, "kim", now().plus_micros(-9_000_000), Duration::from_secs(5)).unwrap();
    let cookie = |token: &str| format!("jangbu_session={token}");
    let (operator, service, old) = (cookie(&operator), cookie(&service), cookie(&old));
    #[rustfmt::skip]
    let cases: &[(Headers<'_>, u16, &str)] = &[
        (&[], 401, "name=\"token\""),
        (&[("sec-fetch-site", "cross-site")], 200, "http-equiv=\"refresh\""),
        (&[("cookie", "jangbu_session=x.y.z")], 401, "session has ended"),
        (&[("cookie", &old)], 401, "session has ended"),
        (&[("cookie", &service)], 403, "for operators only"),
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
    let (operator, service) = (world.token(Role::Operator), world.token(Role::Service));
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
        (&[], &paste(&service), 403),
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

#[tokio::test]
async fn forms_call_the_bank_in_the_name_of_who_sends_them() {
    let world = world();
    let cookie = format!("jangbu_session={}", world.token(Role::Operator));
    let own = [("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
    let id = jangbu_kernel::id::ExchangeId::from_parts(1, 1);
    let approval = jangbu_kernel::id::ApprovalId::from_parts(1, 1);
    for (form, status, calls) in [
        (
            format!("do=recheck&id={id}&reason=so"),
            303,
            format!("POST /exchange/v1/exchanges/{id}/recheck {{\"reason\":\"so\"}}"),
        ),
        (
            format!("do=fail&id={id}&reason=so"),
            409,
            format!("POST /exchange/v1/exchanges/{id}/force {{\"to\":\"EXCHANGE_FAILED\",\"reason\":\"so\"}}"),
        ),
        (
            format!("do=reject&id={approval}&reason=no"),
            303,
            format!("POST /exchange/v1/approvals/{approval} {{\"decision\":\"reject\",\"reason\":\"no\"}}"),
        ),
        (format!("do=reject&id={id}&reason=no"), 404, String::new()),
        ("do=recheck&id=..%2F..&reason=no".to_owned(), 404, String::new()),
    ] {
        let got = world.ask("POST", "/exchange/act", &own, &form).await;
        assert_eq!(got.status, status, "{form}: {}", got.text);
        assert_eq!(world.heard.lock().unwrap().drain(..).collect::<Vec<_>>().join("\n"), calls, "{form}");
        assert!(status != 409 || got.text.contains("not &lt;yet&gt;"), "{}", got.text);
    }
    let forced =
        world.ask("POST", "/exchange/act", &[("cookie", &cookie), ("sec-fetch-site", "cross-site")], "do=fail").await;
    assert_eq!(forced.status, 403, "not from another site");
    let got = world.ask("GET", "/exchange?state=STARTED", &own, "").await;
    assert!(got.status == 200 && got.text.contains("aria-current=\"page\">Started</a>"), "{}", got.text);
    assert!(world.heard.lock().unwrap()[0].starts_with("GET /exchange/v1/exchanges?limit=25&state=STARTED"));
}

#[tokio::test]
async fn customers_have_a_page_of_their_own_and_no_other() {
    let world = world();
    let id = jangbu_kernel::id::CustomerId::from_parts(1, 1).to_string();
    let token = world.keys.issue(Role::Customer, &id, now(), Duration::from_secs(3_600)).unwrap();
    let got = world.ask("POST", "/login", &[("sec-fetch-site", "same-origin")], &format!("token={token}")).await;
    assert_eq!(got.status, 303, "{}", got.text);
    let cookie = got.cookie();
    let own = [("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/exchange"),
        ("GET", "/exchange/board"),
        ("POST", "/exchange/board"),
        ("POST", "/exchange/act"),
        ("GET", "/events"),
    ] {
        let got = world.ask(method, path, &own, "do=fail").await;
        assert_eq!((got.status, got.headers["location"].to_str().unwrap()), (303, "/my"), "{path}");
    }
    assert_eq!(*world.heard.lock().unwrap(), Vec::<String>::new(), "the bank was asked nothing");
    let request = Request::builder().uri("/events?page=my").header("cookie", &cookie).body(Body::empty()).unwrap();
    let mut stream = world.router.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
    let first = String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(first.contains("\"prices\"") && !first.contains("customer/v1") && !first.contains("events"), "{first}");
    let operator = format!("jangbu_session={}", world.token(Role::Operator));
    for path in ["/my", "/events?page=my"] {
        let got = world.ask("GET", path, &[("cookie", &operator)], "").await;
        assert_eq!((got.status, got.headers["location"].to_str().unwrap()), (303, "/"), "{path}");
    }
    let stranger = world.ask("GET", "/my", &[], "").await;
    assert!(stranger.status == 401 && stranger.text.contains("name=\"token\""), "{}", stranger.text);
}
