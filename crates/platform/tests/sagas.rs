//! What sagas are promised, shown by a small one that takes from one service and gives to another.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use axum::body::Bytes;
use axum::http::Method;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_contracts::codes::Code;
use jangbu_kernel::id::SagaId;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::ask::{Ask, Outcome, Reply};
use jangbu_platform::auth::Keyring;
use jangbu_platform::clock::{Clock, ManualClock};
use jangbu_platform::db::{Db, Event, Fault, Tx, Value};
use jangbu_platform::dice::Dice;
use jangbu_platform::migrate::{self, Migration};
use jangbu_platform::saga::{self, Kind, Pace, Passage, Rest, Runner, Step, TRIES_MAX, Turn};
use jangbu_platform::stand::drill::{Command, Drill, Subject};
use jangbu_platform::stepped::{self, Disk, Group};
use serde::{Deserialize, Serialize};
use serde_json::json;

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "sagas", sql: saga::SCHEMA },
    Migration {
        version: 2,
        name: "passages",
        sql: "CREATE TABLE passage (saga VARBINARY(16) NOT NULL, place BIGINT NOT NULL, state TEXT NOT NULL, \
              PRIMARY KEY (saga, place));\n",
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Carry {
    Take,
    Give,
    GiveBack,
    Moved,
    Failed,
}

fn text(state: Carry) -> String {
    serde_json::to_string(&state).unwrap()
}

/// Which rule of the plan is broken, to see that the drill finds it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Broken {
    #[default]
    Nothing,
    /// What is not known is taken for a refusal.
    UnknownIsNo,
    /// What was taken is not given back.
    KeepsWhatItTook,
    /// It gives before it takes.
    GivesFirst,
}

struct Carrying(Broken);

impl Kind for Carrying {
    fn name(&self) -> &'static str {
        "carry"
    }
    fn version(&self) -> i64 {
        1
    }
    fn next(&self, _: SagaId, version: i64, state: &str, _: Timestamp) -> Result<Step, String> {
        let state: Carry = serde_json::from_str(state).map_err(|e| format!("version {version}: {e}"))?;
        let (name, service, amount) = match state {
            Carry::Take => ("take", "left", -5),
            Carry::Give => ("give", "right", 5),
            Carry::GiveBack => ("give_back", "left", 5),
            Carry::Moved | Carry::Failed => return Err("it has ended".into()),
        };
        let body = Bytes::from(json!({ "amount": amount }).to_string());
        Ok(Step { name, key_of: Some(name), service, method: Method::POST, path: "/moves".into(), body })
    }
    fn heard(&self, _: i64, state: &str, _: &Step, outcome: &Outcome<Reply>, _: Timestamp) -> Result<Turn, String> {
        let state: Carry = serde_json::from_str(state).map_err(|e| e.to_string())?;
        let unknown_is_no = self.0 == Broken::UnknownIsNo && matches!(outcome, Outcome::Unknown(_));
        let no = unknown_is_no || matches!(outcome, Outcome::Refusal(_));
        let (next, pace) = match (state, outcome) {
            (Carry::Take, _) if no && self.0 == Broken::GivesFirst => (Carry::Moved, Pace::End),
            (Carry::Take, _) if no => (Carry::Failed, Pace::End),
            (Carry::Give, _) if no && self.0 == Broken::KeepsWhatItTook => (Carry::Failed, Pace::End),
            (Carry::Give, _) if no => (Carry::GiveBack, Pace::On),
            (state, _) if no => (state, Pace::Person),
            (Carry::Take, Outcome::Reply(_)) if self.0 == Broken::GivesFirst => (Carry::Moved, Pace::End),
            (Carry::Give, Outcome::Reply(_)) if self.0 == Broken::GivesFirst => (Carry::Take, Pace::On),
            (Carry::Take, Outcome::Reply(_)) => (Carry::Give, Pace::Through),
            (Carry::Give, Outcome::Reply(_)) => (Carry::Moved, Pace::End),
            (_, Outcome::Reply(_)) => (Carry::Failed, Pace::End),
            (state, _) => (state, Pace::Again),
        };
        Ok(Turn { state: text(next), pace, why: format!("{outcome:?}") })
    }
    fn write<'a>(&'a self, tx: &'a mut Tx, passages: &'a [Passage<'a>]) -> BoxFuture<'a, Result<(), Fault>> {
        async move {
            for Passage { id, before, turn, .. } in passages {
                if *before != turn.state {
                    note(tx, *id, &turn.state).await?;
                }
            }
            Ok(())
        }
        .boxed()
    }
}

async fn passages(tx: &mut Tx, id: SagaId) -> Result<Vec<String>, Fault> {
    let id = id.to_bytes();
    let rows = tx.query("SELECT state FROM passage WHERE saga = ? ORDER BY place", &[Value::Bytes(&id)]).await?;
    Ok(rows.iter().map(|r| r.text(0).to_owned()).collect())
}

async fn note(tx: &mut Tx, id: SagaId, state: &str) -> Result<(), Fault> {
    let place = i64::try_from(passages(tx, id).await?.len()).unwrap();
    let id = id.to_bytes();
    let row = [Value::Bytes(&id), place.into(), state.into()];
    let _ = tx.insert("INSERT INTO passage (saga, place, state) VALUES (?*)", &row).await?;
    Ok(())
}

struct Small(Broken);

impl Subject for Small {
    fn kind(&self, _: &Ask) -> Arc<dyn Kind> {
        Arc::new(Carrying(self.0))
    }
    fn begin<'a>(&'a self, tx: &'a mut Tx, id: SagaId) -> BoxFuture<'a, Result<String, Fault>> {
        async move {
            let first = text(if self.0 == Broken::GivesFirst { Carry::Give } else { Carry::Take });
            note(tx, id, &first).await?;
            Ok(first)
        }
        .boxed()
    }
    fn answer(&self, command: &Command) -> serde_json::Value {
        command.body.clone()
    }
    fn refuses(&self, _: &Command) -> Option<Code> {
        None
    }
    fn taken(&self, _: &Event) -> Option<Command> {
        None
    }
    fn flaws<'a>(
        &'a self,
        tx: &'a mut Tx,
        id: SagaId,
        accepted: &'a [Command],
        waits: bool,
    ) -> BoxFuture<'a, Result<Vec<String>, Fault>> {
        async move {
            let sum = |service: &str| -> i64 {
                let of = accepted.iter().filter(|c| c.service == service);
                of.filter_map(|c| c.body["amount"].as_i64()).sum()
            };
            let last = passages(tx, id).await?.pop().unwrap();
            let moved = (sum("left"), sum("right"));
            let right = match serde_json::from_str(&last).unwrap() {
                Carry::Moved => moved == (-5, 5) && !waits,
                Carry::Failed => moved == (0, 0) && !waits,
                // Giving back was refused: a person is told, and nothing is hidden.
                Carry::GiveBack => moved == (-5, 0) && waits,
                Carry::Take | Carry::Give => false,
            };
            Ok(if right { Vec::new() } else { vec![format!("{last} with {moved:?}, waits: {waits}")] })
        }
        .boxed()
    }
}

async fn drill(broken: Broken) -> Result<usize, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let subject = Arc::new(Small(broken));
    Drill::new(dir.path(), MIGRATIONS, &["left", "right"], subject).await.unwrap().run().await
}

#[tokio::test]
async fn a_saga_passes_its_drill() {
    let runs = drill(Broken::Nothing).await.unwrap_or_else(|found| panic!("{}", found.join("\n")));
    assert!(runs > 500, "{runs} runs");
}

#[tokio::test]
async fn the_drill_finds_what_is_wrong_with_a_saga() {
    for broken in [Broken::UnknownIsNo, Broken::KeepsWhatItTook, Broken::GivesFirst] {
        assert!(!drill(broken).await.unwrap_err().is_empty());
    }
}

/// A disk that flushes at once, and counts.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Disk for Counting {
    fn flush(&self, group: Group) {
        self.0.fetch_add(1, SeqCst);
        group.flush();
    }
}

struct World {
    clock: Arc<ManualClock>,
    flushes: Arc<Counting>,
    db: Db,
    runner: Runner,
    _dir: tempfile::TempDir,
}

/// A world in which nobody knows what becomes of a call.
async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_767_225_600_000_000)));
    let (dice, now): (Dice, Arc<dyn Clock>) = (Dice::seeded(1), clock.clone());
    let flushes = Arc::new(Counting::default());
    let engine = stepped::open(&dir.path().join("t.db"), flushes.clone()).unwrap();
    let db = Db::on(engine, Arc::clone(&now), dice.clone());
    migrate::apply(&db, MIGRATIONS).await.unwrap();
    let ask = Ask::new("t", Keyring::in_memory(dice.clone()), now, dice.clone());
    ask.open_here("left", axum::Router::new().fallback(|| async { http::StatusCode::BAD_GATEWAY }));
    let runner = Runner::start(Arc::new(Carrying(Broken::Nothing)), db.clone(), ask, dice);
    World { clock, flushes, db, runner, _dir: dir }
}

impl World {
    async fn begin(&self, state: &str) -> (SagaId, saga::Held) {
        let mut tx = self.db.begin("t").await.unwrap();
        let id = SagaId::from_bytes(tx.new_id());
        let held = self.runner.begin(&mut tx, id, state.to_owned()).await.unwrap();
        tx.commit().await.unwrap();
        (id, held)
    }
    async fn row(&self, id: SagaId) -> saga::Row {
        saga::find(&mut self.db.read("t").await.unwrap(), id).await.unwrap().unwrap()
    }
    async fn sweep(&self) -> Vec<Rest> {
        let mut rests = Vec::new();
        for run in self.runner.sweep().await.unwrap() {
            rests.push(run.await.unwrap().unwrap());
        }
        rests
    }
}

#[tokio::test]
async fn what_is_not_known_is_asked_again_ever_more_rarely_and_then_put_before_a_person() {
    let world = world().await;
    let (id, held) = world.begin(&text(Carry::Take)).await;
    assert_eq!(world.runner.go(held).await.unwrap().unwrap(), Rest::Waits(text(Carry::Take)));
    let mut waits = Vec::new();
    while let Some(due) = world.runner.next_due().await.unwrap() {
        waits.push((due.micros() - world.clock.now().micros()) / 1_000_000);
        assert!(world.sweep().await.is_empty(), "nothing is due before its time");
        assert!(world.clock.advance_to(due));
        assert_eq!(world.sweep().await.len(), 1);
    }
    assert_eq!(waits.len(), TRIES_MAX as usize - 1);
    assert!((30..34).contains(&waits[0]) && (60..68).contains(&waits[1]), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait < 4_100), "{waits:?}");
    let row = world.row(id).await;
    assert_eq!((row.due_at, row.step.as_str(), row.tries), (None, "take", TRIES_MAX));
    assert!(row.why.contains("left answered 502"), "{}", row.why);
    let mut tx = world.db.begin("t").await.unwrap();
    assert_eq!(saga::waiting_for_a_person(&mut tx, "carry", None, 10).await.unwrap(), [row]);
    assert!(world.runner.retry(&mut tx, id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(world.sweep().await, [Rest::Waits(text(Carry::Take))]);
    assert_eq!(world.row(id).await.tries, 1);
}

#[tokio::test]
async fn a_state_that_cannot_be_read_waits_for_a_person_as_it_is() {
    let world = world().await;
    let (id, held) = world.begin("{\"of\":\"tomorrow\"}").await;
    let rest = world.runner.go(held).await.unwrap().unwrap();
    assert_eq!(rest, Rest::Person("{\"of\":\"tomorrow\"}".into()));
    let row = world.row(id).await;
    assert_eq!((row.due_at, row.state.as_str()), (None, "{\"of\":\"tomorrow\"}"));
    assert!(row.why.starts_with("version 1"), "{}", row.why);
}

#[tokio::test]
async fn what_nobody_carries_on_is_taken_when_its_turn_is_over() {
    let world = world().await;
    let mut left = Vec::new();
    for _ in 0..40 {
        let (id, held) = world.begin(&text(Carry::Take)).await;
        drop(held); // who began it is gone
        left.push(id);
    }
    assert!(world.sweep().await.is_empty(), "its turn is not over");
    let due = world.clock.now().plus_micros(i64::try_from(saga::TURN_MS * 1_000).unwrap());
    world.clock.advance_to(due);
    let flushed = world.flushes.0.load(SeqCst);
    assert_eq!(world.sweep().await.len(), left.len());
    let flushed = world.flushes.0.load(SeqCst) - flushed;
    assert!(flushed <= 4, "the steps of {} sagas took {flushed} commits", left.len());
    for id in left {
        assert_eq!(world.row(id).await.tries, 1);
    }
}
