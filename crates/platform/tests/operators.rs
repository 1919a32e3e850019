//! What operators are promised: a second person where one is needed, and a record of deeds that can't be altered.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jangbu_contracts::operators::{Approval, Decision};
use jangbu_kernel::id::{ApprovalId, EventId};
use jangbu_kernel::time::Timestamp;
use jangbu_platform::approvals::{self, APPROVAL_US_MAX, Action, Approvals, Shown, Wish};
use jangbu_platform::audit::{self, Chain, Deed};
use jangbu_platform::auth::{Caller, Keyring, Role};
use jangbu_platform::clock::{Clock, ManualClock};
use jangbu_platform::consumer::{Consumer, Handler, Reject};
use jangbu_platform::db::{Db, Event, Tx, Value};
use jangbu_platform::dice::Dice;
use jangbu_platform::edge::Edge;
use jangbu_platform::http::{Gate, Refused, with_fallbacks};
use jangbu_platform::log::Log;
use jangbu_platform::migrate::{self, Migration};
use jangbu_platform::operators::Desk;
use jangbu_platform::telemetry::Metrics;
use tower::ServiceExt as _;

const TABLE: &[Migration] =
    &[Migration { version: 1, name: "test", sql: "CREATE TABLE door (id BIGINT NOT NULL PRIMARY KEY);\n" }];

struct World {
    clock: Arc<ManualClock>,
    db: Db,
    dir: tempfile::TempDir,
}

async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
    let db = Db::open_embedded(&dir.path().join("t.db"), clock.clone(), Dice::seeded(1)).unwrap();
    migrate::apply(&db, TABLE).await.unwrap();
    World { clock, db, dir }
}

impl World {
    async fn sql(&self, sql: &str, params: &[Value<'_>]) -> u64 {
        let mut tx = self.db.begin("test").await.unwrap();
        let changed = tx.execute(sql, params).await.unwrap();
        tx.commit().await.unwrap();
        changed
    }
    async fn doors(&self) -> usize {
        self.db.read("test").await.unwrap().query("SELECT id FROM door", &[]).await.unwrap().len()
    }
    async fn deed(&self, what: &str, subject: &str) {
        let mut tx = self.db.begin("test").await.unwrap();
        let deed = Deed { who: "operator:kim", what, subject, reason: "so", result: "done" };
        audit::note(&mut tx, &deed).await.unwrap();
        tx.commit().await.unwrap();
    }
    async fn verify(&self) -> Chain {
        audit::verify(&mut self.db.read("test").await.unwrap()).await.unwrap()
    }
}

/// Opens a door once; a door that stands open can't be opened.
struct OpenDoor;

impl Action for OpenDoor {
    fn kind(&self) -> &'static str {
        "door.open"
    }
    fn carry_out<'a>(
        &'a self,
        tx: &'a mut Tx,
        asked: &'a Approval,
        _seen: &'a serde_json::Value,
    ) -> BoxFuture<'a, Result<String, Refused>> {
        Box::pin(async move {
            let id = asked.action["door"].as_i64().unwrap();
            let stands = tx.query_one("SELECT id FROM door WHERE id = ?", &[id.into()]).await?;
            if stands.is_some() {
                return Err(Refused::new(jangbu_contracts::codes::Code::NotReversible, "it stands open"));
            }
            let _ = tx.insert("INSERT INTO door (id) VALUES (?*)", &[id.into()]).await?;
            Ok(format!("door {id} was opened"))
        })
    }
}

fn person(role: Role, name: &str) -> Caller {
    Caller { role, subject: name.to_owned() }
}

async fn ask(office: &Approvals, by: &Caller, action: &str) -> ApprovalId {
    let wish = Wish { by, kind: "door.open", subject: "door", action, reason: "visitors" };
    office.ask(&wish).await.unwrap().approval
}

async fn refused(office: &Approvals, id: ApprovalId, by: &Caller, decision: Decision) -> (u16, String) {
    let problem = office.decide(id, by, decision, "r").await.unwrap_err().0;
    (problem.status, problem.code)
}

#[tokio::test]
async fn a_second_person_decides_once_and_in_time() {
    let world = world().await;
    let office = Approvals::new(world.db.clone(), vec![Arc::new(OpenDoor)]);
    let (kim, lee) = (person(Role::Operator, "kim"), person(Role::Operator, "lee"));
    let first = ask(&office, &kim, "{\"door\":1}").await;
    assert_eq!(ask(&office, &kim, "{\"door\":1}").await, first, "the same wish is not asked twice");
    assert_eq!(world.doors().await, 0, "nothing is done before somebody agrees");

    for (by, decision) in [(&kim, Decision::Approve), (&kim, Decision::Reject)] {
        assert_eq!(refused(&office, first, by, decision).await, (403, "SAME_PERSON".into()));
    }
    let service = person(Role::Service, "kim");
    assert_eq!(refused(&office, first, &service, Decision::Approve).await.0, 403, "one person, whatever the role");
    let stranger = "apr_00000000000000000000000001".parse().unwrap();
    assert_eq!(refused(&office, stranger, &lee, Decision::Approve).await.0, 404);

    let done = office.decide(first, &lee, Decision::Approve, "they may").await.unwrap();
    assert_eq!((done.state.as_str(), done.result.as_deref()), ("approved", Some("door 1 was opened")));
    assert_eq!((done.asked_by.as_str(), done.decided_by.as_deref()), ("operator:kim", Some("operator:lee")));
    assert_eq!(world.doors().await, 1);
    assert_eq!(refused(&office, first, &lee, Decision::Reject).await, (409, "APPROVAL_DECIDED".into()));

    let again = ask(&office, &kim, "{\"door\":1}").await;
    assert_eq!(refused(&office, again, &lee, Decision::Approve).await.0, 422, "what can't be done any more");
    let declined = office.decide(again, &lee, Decision::Reject, "it is open").await.unwrap();
    assert_eq!((declined.state.as_str(), declined.result), ("rejected", None));

    let late = ask(&office, &kim, "{\"door\":2}").await;
    world.clock.advance_to(Timestamp::from_micros(world.clock.now().micros() + APPROVAL_US_MAX));
    assert_eq!(refused(&office, late, &lee, Decision::Approve).await, (409, "APPROVAL_EXPIRED".into()));
    assert_ne!(ask(&office, &kim, "{\"door\":2}").await, late, "an expired wish is asked anew");
    assert_eq!(world.doors().await, 1);

    let mut tx = world.db.read("test").await.unwrap();
    let mut count = async |shown, after| approvals::list(&mut tx, shown, after, 10).await.unwrap().len();
    assert_eq!(count(None, None).await, 4);
    assert_eq!(count(None, Some(first)).await, 3);
    for shown in [Shown::Pending, Shown::Approved, Shown::Rejected, Shown::Expired] {
        assert_eq!(count(Some(shown), None).await, 1, "{shown:?}");
    }
    let deeds = audit::list(&mut tx, Some("door"), None, 10).await.unwrap();
    let deeds: Vec<_> = deeds.iter().rev().map(|d| format!("{} {}", d.who, d.what)).collect();
    let want = ["kim door.open.ask", "lee door.open.approve", "kim door.open.ask", "lee door.open.reject"];
    assert_eq!(deeds[..4], want.map(|w| format!("operator:{w}")));
    assert!(matches!(audit::verify(&mut tx).await.unwrap(), Chain::Whole { rows: 6, .. }));
}

#[tokio::test]
async fn two_who_decide_at_once_do_it_once() {
    let world = world().await;
    let office = Approvals::new(world.db.clone(), vec![Arc::new(OpenDoor)]);
    let id = ask(&office, &person(Role::Operator, "kim"), "{\"door\":1}").await;
    let deciders = (0..8).map(|n| {
        let (office, by) = (office.clone(), person(Role::Operator, &format!("op{n}")));
        tokio::spawn(async move { office.decide(id, &by, Decision::Approve, "yes").await.is_ok() })
    });
    let mut done = 0;
    for decider in deciders.collect::<Vec<_>>() {
        done += usize::from(decider.await.unwrap());
    }
    assert_eq!((done, world.doors().await), (1, 1));
}

#[tokio::test]
async fn an_altered_record_is_seen() {
    let world = world().await;
    assert_eq!(world.verify().await, Chain::Whole { rows: 0, head: "0".repeat(64) });
    for n in 1..=5 {
        world.deed("account.mark", &format!("acc{n}")).await;
    }
    let mut tx = world.db.begin("test").await.unwrap();
    audit::note(&mut tx, &Deed { who: "w", what: "x", subject: "s", reason: "r", result: "r" }).await.unwrap();
    drop(tx);
    let whole = world.verify().await;
    assert!(matches!(&whole, Chain::Whole { rows: 5, .. }), "what was rolled back leaves no row: {whole:?}");

    let alterations = [
        ("UPDATE audit SET reason = 'other' WHERE seq = 3", "UPDATE audit SET reason = 'so' WHERE seq = 3", 3),
        (
            "UPDATE audit SET done_at = done_at + 1 WHERE seq = 2",
            "UPDATE audit SET done_at = done_at - 1 WHERE seq = 2",
            2,
        ),
        (
            "UPDATE audit SET who = 'operator:kima', what = 'ccount.mark' WHERE seq = 1",
            "UPDATE audit SET who = 'operator:kim', what = 'account.mark' WHERE seq = 1",
            1,
        ),
        ("UPDATE audit SET seq = 9 WHERE seq = 4", "UPDATE audit SET seq = 4 WHERE seq = 9", 5),
        (
            "UPDATE audit SET prev_hash = hash WHERE seq = 5",
            "UPDATE audit SET prev_hash = (SELECT hash FROM audit WHERE seq = 4) WHERE seq = 5",
            5,
        ),
    ];
    for (alter, restore, at) in alterations {
        assert_eq!(world.sql(alter, &[]).await, 1);
        let found = world.verify().await;
        assert!(matches!(&found, Chain::Broken { seq, .. } if *seq == at), "{alter}: {found:?}");
        assert_eq!(world.sql(restore, &[]).await, 1);
        assert_eq!(world.verify().await, whole, "{restore}");
    }
    world.sql("DELETE FROM audit WHERE seq = 1", &[]).await;
    assert!(matches!(world.verify().await, Chain::Broken { seq: 2, .. }));
}

/// Takes numbers into the table of doors; "?" is what it can't take until it is healed.
#[derive(Default)]
struct Doorman(AtomicBool);

impl Handler for Doorman {
    fn apply<'a>(&'a self, tx: &'a mut Tx, events: &'a [Event]) -> BoxFuture<'a, Result<(), Reject>> {
        Box::pin(async move {
            for event in events {
                let door: i64 = match event.payload.parse() {
                    Ok(door) => door,
                    Err(_) if self.0.load(Ordering::SeqCst) => 99,
                    Err(_) => return Err(Reject::Poison(format!("{} is no door", event.payload))),
                };
                let _ = tx.insert("INSERT INTO door (id) VALUES (?*)", &[door.into()]).await?;
            }
            Ok(())
        })
    }
}

/// A service with three parked letters: "?" and 2 of key k, "!" of key l.
struct Office {
    world: World,
    router: axum::Router,
    keys: Keyring,
    handler: Arc<Doorman>,
}

async fn office() -> Office {
    let world = world().await;
    let path = world.dir.path().join("log.db");
    let log = Log::open_embedded(&path, world.clock.clone(), Dice::seeded(3)).await.unwrap();
    let event = |n: u128, key: &str, payload: &str| Event {
        id: EventId::from_parts(1, n),
        topic: "doors".into(),
        key: key.into(),
        event_type: "door.v1".into(),
        payload: payload.into(),
    };
    let events = [event(1, "k", "?"), event(2, "k", "2"), event(3, "l", "!"), event(4, "m", "4")];
    log.append(&events).await.unwrap();
    let handler = Arc::new(Doorman::default());
    let consumer =
        Consumer { group: "g", topics: vec!["doors".into()], db: world.db.clone(), handler: handler.clone() };
    consumer.drain(&log).await.unwrap();
    let keys = Keyring::in_memory(Dice::seeded(1));
    let edge = Edge::new(Gate::new(keys.clone(), world.clock.clone()), Dice::seeded(2), Metrics::default());
    let desk = Desk::new(&world.db, &[consumer], vec![Arc::new(OpenDoor)]);
    let router = with_fallbacks(edge.open("t", axum::Router::new().nest("/t/v1", desk.router())));
    Office { world, router, keys, handler }
}

impl Office {
    /// Calls as `who` ("operator:kim"); the status and the body.
    async fn call(&self, who: &str, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
        let (role, name) = who.split_once(':').unwrap();
        let token = self.keys.issue(role.parse().unwrap(), name, self.world.clock.now(), Duration::from_secs(60));
        let request = hyper::Request::builder()
            .method(method)
            .uri(format!("/t/v1/{path}"))
            .header("authorization", format!("Bearer {}", token.unwrap()))
            .header("content-type", "application/json")
            .body(axum::body::Body::from(body.to_owned()))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }
    async fn letters(&self, query: &str) -> Vec<(String, String)> {
        let (status, page) = self.call("service:watch", "GET", &format!("dead-letters{query}"), "").await;
        assert_eq!(status, 200, "{page}");
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        page["items"].as_array().unwrap().iter().map(|l| (text(&l["id"]), text(&l["payload"]))).collect()
    }
}

#[tokio::test]
async fn letters_are_seen_driven_again_and_dropped_by_two() {
    let office = office().await;
    let parked = office.letters("?state=parked").await;
    assert_eq!(parked.iter().map(|(_, payload)| payload.as_str()).collect::<Vec<_>>(), ["?", "2", "!"]);
    assert_eq!(office.world.doors().await, 1, "4, whose key has no letter");
    let (first, second, third) = (&parked[0].0, &parked[1].0, &parked[2].0);

    let path = format!("dead-letters/{first}/redrive");
    let (status, problem) = office.call("operator:kim", "POST", &path, "").await;
    assert_eq!((status, problem["code"].as_str()), (422, Some("REDRIVE_REJECTED")), "{problem}");
    office.handler.0.store(true, Ordering::SeqCst);
    // Naming a later letter of the key drives the earlier ones first.
    let path = format!("dead-letters/{second}/redrive");
    let (status, done) = office.call("operator:kim", "POST", &path, "{\"reason\":\"fixed\"}").await;
    assert_eq!((status, done["redriven"].as_u64()), (200, Some(2)), "{done}");
    assert_eq!(office.world.doors().await, 3);
    assert_eq!(office.call("operator:kim", "POST", &path, "").await.1["code"], "LETTER_SETTLED");

    let path = format!("dead-letters/{third}/drop");
    let (status, asked) = office.call("operator:kim", "POST", &path, "{\"reason\":\"noise\"}").await;
    assert_eq!(status, 202, "{asked}");
    let path = format!("approvals/{}", asked["approval"].as_str().unwrap());
    let agree = "{\"decision\":\"approve\",\"reason\":\"seen\"}";
    assert_eq!(office.call("operator:kim", "POST", &path, agree).await.1["code"], "SAME_PERSON");
    let (status, done) = office.call("operator:lee", "POST", &path, agree).await;
    assert_eq!((status, done["state"].as_str()), (200, Some("approved")), "{done}");
    assert_eq!(office.call("operator:lee", "POST", &path, agree).await.1["code"], "APPROVAL_DECIDED");
    assert!(office.letters("?state=parked").await.is_empty());
    assert_eq!(office.letters("?state=dropped").await, [(third.clone(), "!".to_owned())]);
    assert_eq!(office.world.doors().await, 3, "what was dropped has no effect");

    let (_, audit) = office.call("operator:kim", "GET", "audit?limit=2", "").await;
    let whats = |page: &serde_json::Value| {
        let entries = page["items"].as_array().unwrap();
        entries.iter().map(|e| e["what"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(whats(&audit), ["dead_letter.drop.approve", "dead_letter.drop.ask"]);
    let path = format!("audit?cursor={}", audit["next"].as_str().unwrap());
    let (_, audit) = office.call("operator:kim", "GET", &path, "").await;
    assert_eq!(whats(&audit), ["dead_letter.redrive"; 3], "two went through, one was rejected");
    assert_eq!(audit["next"], serde_json::Value::Null);
    assert!(matches!(office.world.verify().await, Chain::Whole { rows: 5, .. }));
}

#[tokio::test]
async fn wrong_calls_change_nothing() {
    let office = office().await;
    let id = office.letters("").await[0].0.clone();
    let other = "dlt_00000000000000000000000001";
    let reason = "{\"reason\":\"r\"}";
    let long = format!("{{\"reason\":\"{}\"}}", "x".repeat(1_001));
    let (redrive, drop) = (format!("dead-letters/{id}/redrive"), format!("dead-letters/{id}/drop"));
    #[rustfmt::skip]
    let cases: &[(&str, &str, &str, &str, u16, &str)] = &[
        ("customer:cus", "GET", "dead-letters", "", 403, "FORBIDDEN"),
        ("customer:cus", "POST", &redrive, "", 403, "FORBIDDEN"),
        ("service:x", "POST", &redrive, "", 403, "FORBIDDEN"),
        ("service:x", "POST", &drop, reason, 403, "FORBIDDEN"),
        ("service:x", "GET", "audit", "", 403, "FORBIDDEN"),
        ("customer:x", "GET", "approvals", "", 403, "FORBIDDEN"),
        ("operator:kim", "GET", "dead-letters/x", "", 404, "NOT_FOUND"),
        ("operator:kim", "GET", &format!("dead-letters/{other}"), "", 404, "NOT_FOUND"),
        ("operator:kim", "POST", &format!("dead-letters/{other}/redrive"), "", 404, "NOT_FOUND"),
        ("operator:kim", "POST", &redrive, "{\"why\":1}", 400, "UNKNOWN_FIELD"),
        ("operator:kim", "POST", &redrive, &long, 400, "INVALID_FIELD"),
        ("operator:kim", "POST", &drop, "{}", 400, "MISSING_FIELD"),
        ("operator:kim", "POST", &drop, "{\"reason\":\" \"}", 400, "INVALID_FIELD"),
        ("operator:kim", "POST", &drop, "{\"reason\":1}", 400, "INVALID_FIELD"),
        ("operator:kim", "GET", "dead-letters?limit=0", "", 400, "INVALID_FIELD"),
        ("operator:kim", "GET", "dead-letters?limit=501", "", 400, "INVALID_FIELD"),
        ("operator:kim", "GET", "dead-letters?cursor=x", "", 400, "INVALID_CURSOR"),
        ("operator:kim", "GET", "dead-letters?state=lost", "", 400, "INVALID_FIELD"),
        ("operator:kim", "GET", "dead-letters?page=1", "", 400, "INVALID_FIELD"),
        ("operator:kim", "GET", "audit?cursor=x", "", 400, "INVALID_CURSOR"),
        ("operator:kim", "POST", "approvals/apr_00000000000000000000000001", reason, 400, "MISSING_FIELD"),
        ("operator:kim", "POST", "approvals/apr_00000000000000000000000001",
         "{\"decision\":\"approve\",\"reason\":\"r\"}", 404, "NOT_FOUND"),
    ];
    for (who, method, path, body, status, code) in cases {
        let (got, problem) = office.call(who, method, path, body).await;
        assert_eq!((got, problem["code"].as_str()), (*status, Some(*code)), "{who} {method} {path}: {problem}");
    }
    assert_eq!(office.letters("?state=parked").await.len(), 3);
    assert_eq!(office.world.verify().await, Chain::Whole { rows: 0, head: "0".repeat(64) });
    let (_, page) = office.call("operator:kim", "GET", "dead-letters?limit=2", "").await;
    let rest = office.letters(&format!("?cursor={}", page["next"].as_str().unwrap())).await;
    assert_eq!((page["items"].as_array().unwrap().len(), rest.len()), (2, 1));
}
