//! What operators are promised: a second person where one is needed, and a record of deeds that can't be altered.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use futures_util::future::BoxFuture;
use jangbu_contracts::operators::{Approval, Decision};
use jangbu_kernel::id::ApprovalId;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::approvals::{self, APPROVAL_US_MAX, Action, Approvals, Shown, Wish};
use jangbu_platform::audit::{self, Chain, Deed};
use jangbu_platform::auth::{Caller, Role};
use jangbu_platform::clock::{Clock, ManualClock};
use jangbu_platform::db::{Db, Tx, Value};
use jangbu_platform::dice::Dice;
use jangbu_platform::http::Refused;
use jangbu_platform::migrate::{self, Migration};

const TABLE: &[Migration] =
    &[Migration { version: 1, name: "test", sql: "CREATE TABLE door (id BIGINT NOT NULL PRIMARY KEY);\n" }];

struct World {
    clock: Arc<ManualClock>,
    db: Db,
    _dir: tempfile::TempDir,
}

async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
    let db = Db::open_embedded(&dir.path().join("t.db"), clock.clone(), Dice::seeded(1)).unwrap();
    migrate::apply(&db, TABLE).await.unwrap();
    World { clock, db, _dir: dir }
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
    fn carry_out<'a>(&'a self, tx: &'a mut Tx, asked: &'a Approval) -> BoxFuture<'a, Result<String, Refused>> {
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
