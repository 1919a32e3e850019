#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use axum::routing::{get, post};
use jangbu_contracts::codes::Code;
use serde_json::{Value, json};

use super::*;
use crate::clock::ManualClock;
use crate::edge::Edge;
use crate::http::{Gate, Keyed, Known, Refused, Strict};
use crate::serve::{ServeLimits, Server};
use crate::service::Stop;
use crate::telemetry::Metrics;

struct World {
    ask: Ask,
    calls: Arc<AtomicU32>,
    router: Router,
    stop: Stop,
}

fn router(calls: &Arc<AtomicU32>) -> Router {
    let counted = Arc::clone(calls);
    Router::new()
        .route("/bank/v1/who", get(|known: Known| async move { format!("\"{}\"", known.caller) }))
        .route(
            "/bank/v1/pay",
            post(|keyed: Keyed, Strict(body): Strict<Value>| async move {
                axum::Json(json!({"key": keyed.0.key, "body": body}))
            }),
        )
        .route("/bank/v1/no", post(|| async { Refused::new(Code::AccountClosed, "closed") }))
        .route("/bank/v1/broken", post(|| async { Refused::new(Code::Internal, "oops") }))
        .route(
            "/bank/v1/again",
            post(|Strict(status): Strict<Value>| async move {
                let status = if status["no"] == true { Code::NothingToPay.status() } else { 201 };
                let problem = Problem::new(Code::NothingToPay, "nothing");
                crate::http::json(status, &problem, true)
            }),
        )
        .route("/bank/v1/inuse", post(|| async { Refused::new(Code::KeyInUse, "runs") }))
        .route(
            "/bank/v1/busy",
            post(move || async move {
                let n = counted.fetch_add(1, SeqCst);
                if n < 2 { Err(Refused::new(Code::Busy, "busy")) } else { Ok(axum::Json(n)) }
            }),
        )
        .route("/bank/v1/slow", post(|| async { tokio::time::sleep(Duration::from_secs(60)).await }))
}

async fn world(there: bool) -> World {
    let keys = Keyring::in_memory(Dice::seeded(1));
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
    let gate = Gate::new(keys.clone(), Arc::clone(&clock));
    let calls = Arc::new(AtomicU32::new(0));
    let router = Edge::new(gate, Dice::seeded(2), Metrics::default()).open("bank", router(&calls));
    let ask = Ask::new("teller", keys, clock, Dice::seeded(3));
    let stop = Stop::default();
    if there {
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), ServeLimits::default()).await.unwrap();
        ask.open_there("bank", &format!("http://{}", server.local_addr().unwrap())).unwrap();
        tokio::spawn(server.run(router.clone(), stop.clone()));
    } else {
        ask.open_here("bank", router.clone());
    }
    World { ask, calls, router, stop }
}

async fn post_to(ask: &Ask, path: &str) -> Outcome<Value> {
    ask.post("bank", path, "k1", &json!({})).await
}

#[tokio::test]
async fn a_call_is_the_same_here_and_there() {
    for there in [false, true] {
        let world = world(there).await;
        let ask = &world.ask;
        assert_eq!(ask.get::<String>("bank", "/who").await, Outcome::Reply("service:teller".to_owned()));
        let named = ask.named("exchange");
        assert_eq!(named.get::<String>("bank", "/who").await, Outcome::Reply("service:exchange".to_owned()));
        let paid: Outcome<Value> = ask.post("bank", "/pay", "k1", &json!({"a": 1})).await;
        assert_eq!(paid, Outcome::Reply(json!({"key": "k1", "body": {"a": 1}})));
        assert!(matches!(post_to(ask, "/no").await, Outcome::Refusal(p) if p.code == "ACCOUNT_CLOSED"));
        assert!(matches!(post_to(ask, "/broken").await, Outcome::Unknown(_)));
        assert!(matches!(post_to(ask, "/inuse").await, Outcome::Unknown(_)));
        assert!(matches!(post_to(ask, "/nowhere").await, Outcome::Unknown(_)), "not a problem of ours");
        assert_eq!(post_to(ask, "/busy").await, Outcome::Reply(json!(2)), "busy is tried again");
        assert_eq!(world.calls.load(SeqCst), 3);
        world.stop.stop();
    }
}

#[tokio::test]
async fn an_answer_can_be_passed_on_as_it_is() {
    for there in [false, true] {
        let world = world(there).await;
        for (body, status) in [("{\"no\":false}", 201), ("{\"no\":true}", 422)] {
            let body = Bytes::from_static(body.as_bytes());
            let call = Call { service: "bank", method: Method::POST, path: "/again", key: Some("k1"), body };
            let reply = world.ask.answer(&call).await.unwrap();
            assert_eq!((reply.status, reply.replay), (status, true));
            assert_eq!(reply.problem().is_some(), status == 422);
        }
        let call = Call { service: "bank", method: Method::GET, path: "/who", key: None, body: Bytes::new() };
        assert!(!world.ask.answer(&call).await.unwrap().replay);
        world.stop.stop();
    }
}

#[tokio::test]
async fn a_call_ends_with_the_request_that_makes_it() {
    for there in [false, true] {
        let world = world(there).await;
        let deadline = Instant::now() + Duration::from_millis(120);
        let context = Context { trace: Trace::root(&Dice::seeded(9)), deadline };
        let outcome = context.scope(post_to(&world.ask, "/slow")).await;
        assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
        assert!(Instant::now() < deadline + Duration::from_millis(500));
    }
}

#[tokio::test]
async fn nobody_there_is_unknown() {
    let world = world(false).await;
    world.ask.close("bank");
    assert!(matches!(post_to(&world.ask, "/pay").await, Outcome::Unknown(why) if why.contains("not open")));
    world.ask.open_there("bank", "http://127.0.0.1:1").unwrap();
    assert!(matches!(post_to(&world.ask, "/pay").await, Outcome::Unknown(why) if why.contains("no connection")));
    for bad in ["", "bank", "https://bank", "http://bank/path", "http://"] {
        assert!(world.ask.open_there("bank", bad).is_err(), "{bad}");
    }
    world.ask.open_here("bank", world.router.clone());
    assert!(matches!(post_to(&world.ask, "/pay").await, Outcome::Reply(_)));
}

#[tokio::test]
async fn a_simulation_decides_the_fate_of_calls() {
    struct Always(Fate);
    impl Meddler for Always {
        fn fate(&self, caller: &str, call: &Call<'_>) -> Fate {
            assert_eq!((caller, call.path), ("teller", "/busy"));
            self.0
        }
    }
    let world = world(false).await;
    for (fate, calls) in [(Fate::Lost, 0), (Fate::AnswerLost, 1)] {
        world.ask.meddle(Some(Arc::new(Always(fate))));
        assert!(matches!(post_to(&world.ask, "/busy").await, Outcome::Unknown(_)));
        assert_eq!(world.calls.load(SeqCst), calls, "{fate:?}");
    }
    world.ask.meddle(Some(Arc::new(Always(Fate::Twice))));
    assert_eq!(post_to(&world.ask, "/busy").await, Outcome::Reply(json!(2)));
}
