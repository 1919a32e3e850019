//! A drill that every saga has to pass: it is carried through again and again, and each time something else goes wrong
//! on its way, then two things. The services that it asks are played here, as every service behaves: they keep their
//! answers by key, refuse a key that comes with another body, and tell what a key came to by `GET …?key=`.
//!
//! A service's test says what its saga is ([`Subject`]) and calls [`Drill::run`]; a new saga needs no more.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_contracts::codes::Code;
use jangbu_contracts::problem::Problem;
use jangbu_kernel::id::SagaId;
use jangbu_kernel::time::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::ask::Ask;
use crate::auth::Keyring;
use crate::clock::{Clock, ManualClock};
use crate::db::{Db, Event, Fault, Tx};
use crate::dice::Dice;
use crate::migrate::{self, Migration};
use crate::relay::{Outbox, Outgoing as _};
use crate::saga::{self, Held, Kind, Rest, Runner};
use crate::stepped::{self, Disk, Group};
use crate::task::Home;

/// Looks of the sweep in one run at most: a saga that needs more goes in circles.
const LOOKS_MAX: u32 = 300;
/// How often an operator has a stuck saga tried again.
const RETRIES: u32 = 1;

/// What can go wrong at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// It arrives twice.
    Twice,
    /// The other says no, and keeps that.
    Refused,
    /// Something before the other turns it away, and keeps nothing.
    TurnedAway,
    /// It never arrives.
    Lost,
    /// It takes effect, and the answer is lost.
    AnswerLost,
    /// It seems lost, and arrives once so many more calls have come in, or when all others have given it up.
    Late(usize),
    /// The caller crashes before it arrives.
    CrashBefore,
    /// The caller crashes after it took effect.
    CrashAfter,
    /// The answer comes when the caller's turn is long over and another has carried the saga on to its rest.
    Overtaken,
    /// Not at a call but at a write: the caller's power is lost before it stands.
    WriteLost,
    /// At a write: power is lost once it stands, and nobody hears that it does.
    WriteUntold,
}

/// All that can go wrong at a call.
const AT_CALLS: [Mishap; 11] = [
    Mishap::Twice,
    Mishap::Refused,
    Mishap::TurnedAway,
    Mishap::Lost,
    Mishap::AnswerLost,
    Mishap::Late(0),
    Mishap::Late(1),
    Mishap::Late(usize::MAX),
    Mishap::CrashBefore,
    Mishap::CrashAfter,
    Mishap::Overtaken,
];
/// All that can go wrong at a write.
const AT_WRITES: [Mishap; 2] = [Mishap::WriteLost, Mishap::WriteUntold];

/// What goes wrong at which call, or at which write.
pub type Plan = [(usize, Mishap)];

fn planned(plan: &Plan, n: usize, writes: bool) -> Option<Mishap> {
    let found = plan.iter().find(|(at, mishap)| *at == n && AT_WRITES.contains(mishap) == writes);
    found.map(|(_, mishap)| *mishap)
}

/// Calls and writes of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls, and commands that follow from events.
    pub calls: usize,
    /// Units of work that the saga's runner wrote.
    pub writes: usize,
}

/// A disk that flushes at once, unless the plan says that power is lost at this write.
#[derive(Default)]
struct Power {
    state: Mutex<Supply>,
    lost: Notify,
}

#[derive(Default)]
struct Supply {
    /// Only what the runner writes is counted, not what the drill does around it.
    counts: bool,
    writes: usize,
    plan: Vec<(usize, Mishap)>,
}

impl Power {
    fn state(&self) -> MutexGuard<'_, Supply> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for Power {
    fn flush(&self, group: Group) {
        let mut state = self.state();
        let n = state.writes;
        state.writes += usize::from(state.counts);
        match planned(&state.plan, n, true).filter(|_| state.counts) {
            None => return group.flush(),
            Some(Mishap::WriteUntold) => drop(group.flush_untold()),
            Some(_) => drop(group),
        }
        self.lost.notify_one();
    }
}

/// A call as a service sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Name of the service.
    pub service: String,
    /// Method.
    pub method: Method,
    /// Path below `/{service}/v1`, with its query.
    pub path: String,
    /// Its key; empty when it has none.
    pub key: String,
    /// Its body; null when there is none.
    pub body: Value,
}

/// What the drill has to know of a saga.
pub trait Subject: Send + Sync {
    /// Its kind, which asks by `ask`.
    fn kind(&self, ask: &Ask) -> Arc<dyn Kind>;
    /// Writes what its service writes when it begins; its first state.
    fn begin<'a>(&'a self, tx: &'a mut Tx, id: SagaId) -> BoxFuture<'a, Result<String, Fault>>;
    /// The answer of a service that carries out a command, or tells something.
    fn answer(&self, command: &Command) -> Value;
    /// Whether the other refuses it by its own rules, whatever the drill does.
    fn refuses(&self, command: &Command) -> Option<Code>;
    /// What whoever hears an event does for it; the drill tells each event twice.
    fn taken(&self, event: &Event) -> Option<Command>;
    /// What is wrong now that the saga rests: `accepted` are the commands that were carried out, each once, and
    /// `waits` says that it waits for a person.
    fn flaws<'a>(
        &'a self,
        tx: &'a mut Tx,
        id: SagaId,
        accepted: &'a [Command],
        waits: bool,
    ) -> BoxFuture<'a, Result<Vec<String>, Fault>>;
}

struct Kept {
    body: Value,
    status: u16,
    answer: String,
}

#[derive(Default)]
struct Told {
    calls: usize,
    plan: Vec<(usize, Mishap)>,
    kept: BTreeMap<(String, String), Kept>,
    accepted: Vec<Command>,
    /// Calls on their way, and before which later call they arrive.
    late: Vec<(usize, Command)>,
    /// Answers that are held back until the caller was overtaken, the last one first.
    held: Vec<Arc<Notify>>,
}

/// All services that the saga asks.
struct Peers {
    subject: Arc<dyn Subject>,
    told: Mutex<Told>,
    crashed: Notify,
    overtake: Notify,
}

/// The answer of a service: its status and body.
type Said = (u16, String);

fn refusal(code: Code) -> Said {
    let problem = Problem::new(code, "as the drill has it");
    (problem.status, serde_json::to_string(&problem).unwrap_or_default())
}

impl Peers {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call in, lets what was late arrive before it, and says what goes wrong with it.
    fn count(&self) -> (usize, Option<Mishap>) {
        let mut told = self.told();
        let n = told.calls;
        told.calls += 1;
        let mishap = planned(&told.plan, n, false);
        let (arrive, wait) = std::mem::take(&mut told.late).into_iter().partition(|(at, _)| *at <= n);
        told.late = wait;
        drop(told);
        self.arrive(arrive);
        (n, mishap)
    }

    fn arrive(&self, late: Vec<(usize, Command)>) {
        for (_, command) in late {
            self.carry_out(&command, None);
        }
    }

    /// Does what a service does with a call.
    fn carry_out(&self, command: &Command, refused: Option<Code>) -> Said {
        let mut told = self.told();
        if command.key.is_empty() {
            let asked = command.path.split_once("?key=").map(|(_, key)| (command.service.clone(), key.to_owned()));
            return match asked.map(|key| told.kept.get(&key).map(|kept| (kept.status, kept.answer.clone()))) {
                Some(Some(kept)) => kept,
                Some(None) => refusal(Code::NotFound),
                None => (200, self.subject.answer(command).to_string()),
            };
        }
        let key = (command.service.clone(), command.key.clone());
        if let Some(kept) = told.kept.get(&key) {
            let same = kept.body == command.body;
            return if same { (kept.status, kept.answer.clone()) } else { refusal(Code::KeyReused) };
        }
        let (status, answer) = match refused.or_else(|| self.subject.refuses(command)) {
            Some(code) => refusal(code),
            None => {
                told.accepted.push(command.clone());
                (201, self.subject.answer(command).to_string())
            }
        };
        told.kept.insert(key, Kept { body: command.body.clone(), status, answer: answer.clone() });
        (status, answer)
    }

    async fn meet(&self, command: &Command) -> Said {
        let (n, mishap) = self.count();
        let lost = || (500, "the connection broke".to_owned());
        match mishap {
            // What goes wrong at writes is the disk's.
            None | Some(Mishap::WriteLost | Mishap::WriteUntold) => self.carry_out(command, None),
            Some(Mishap::Twice) => {
                self.carry_out(command, None);
                self.carry_out(command, None)
            }
            Some(Mishap::Refused) => self.carry_out(command, Some(Code::AccountClosed)),
            Some(Mishap::TurnedAway) => refusal(Code::Forbidden),
            Some(Mishap::Lost) => lost(),
            Some(Mishap::AnswerLost) => {
                self.carry_out(command, None);
                lost()
            }
            Some(Mishap::Late(by)) => {
                self.told().late.push((n.saturating_add(1).saturating_add(by), command.clone()));
                lost()
            }
            Some(crash @ (Mishap::CrashBefore | Mishap::CrashAfter)) => {
                if crash == Mishap::CrashAfter {
                    self.carry_out(command, None);
                }
                self.crashed.notify_one();
                std::future::pending().await
            }
            Some(Mishap::Overtaken) => {
                let said = self.carry_out(command, None);
                let release = Arc::new(Notify::new());
                self.told().held.push(Arc::clone(&release));
                self.overtake.notify_one();
                release.notified().await;
                said
            }
        }
    }
}

async fn serve(State((service, peers)): State<(&'static str, Arc<Peers>)>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let root = format!("/{service}/v1");
    let path = parts.uri.path_and_query().map_or("", |p| p.as_str()).strip_prefix(&root).unwrap_or("").to_owned();
    let key = parts.headers.get("idempotency-key").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let command = Command { service: service.to_owned(), method: parts.method, path, key, body };
    let (status, answer) = peers.meet(&command).await;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], answer).into_response()
}

/// A drill of one saga.
pub struct Drill {
    subject: Arc<dyn Subject>,
    services: &'static [&'static str],
    db: Db,
    power: Arc<Power>,
    clock: Arc<ManualClock>,
    dice: Dice,
}

/// One run of a saga, with the life that its runner has at the moment.
struct Play<'a> {
    drill: &'a Drill,
    peers: Arc<Peers>,
    ask: Ask,
    home: Home,
    runner: Runner,
}

impl Drill {
    /// A drill in a directory of its own; `services` are those that the saga asks.
    ///
    /// # Errors
    /// The directory can't be used.
    pub async fn new(
        dir: &Path,
        migrations: &[Migration],
        services: &'static [&'static str],
        subject: Arc<dyn Subject>,
    ) -> Result<Drill, Fault> {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_767_225_600_000_000)));
        let dice = Dice::seeded(7);
        let now: Arc<dyn Clock> = clock.clone();
        let power = Arc::new(Power::default());
        let engine = stepped::open(&dir.join("drill.db"), power.clone())?;
        let db = Db::on(engine, now, dice.clone());
        migrate::apply(&db, migrations).await?;
        Ok(Drill { subject, services, db, power, clock, dice })
    }

    /// Carries the saga through undisturbed, then with each mishap at each call and each write, then with each second
    /// mishap after each first. How many runs that were.
    ///
    /// # Errors
    /// What went wrong by which plan; every plan that fails is told.
    pub async fn run(&self) -> Result<usize, Vec<String>> {
        let (mut runs, mut found) = (0, Vec::new());
        let mut play = async |plan: &Plan| {
            runs += 1;
            let (counts, flaws) = match self.play(plan).await {
                Ok(played) => played,
                Err(e) => (Counts::default(), vec![e.to_string()]),
            };
            found.extend(flaws.into_iter().map(|flaw| format!("{plan:?}: {flaw}")));
            counts
        };
        let counts = play(&[]).await;
        for first in mishaps(counts) {
            let counts = play(&[first]).await;
            let at_write = AT_WRITES.contains(&first.1);
            // Calls and writes are counted apart, so a second of the other kind may come before the first or after it.
            for second in mishaps(counts).filter(|s| AT_WRITES.contains(&s.1) != at_write || s.0 > first.0) {
                play(&[first, second]).await;
            }
        }
        if found.is_empty() { Ok(runs) } else { Err(found) }
    }

    /// Carries the saga through with what goes wrong. How much was called and written, and what is wrong in the end.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn play(&self, plan: &Plan) -> Result<(Counts, Vec<String>), Fault> {
        let peers = Arc::new(Peers {
            subject: Arc::clone(&self.subject),
            told: Mutex::new(Told { plan: plan.to_vec(), ..Told::default() }),
            crashed: Notify::new(),
            overtake: Notify::new(),
        });
        *self.power.state() = Supply { plan: plan.to_vec(), ..Supply::default() };
        let keys = Keyring::in_memory(self.dice.clone());
        let ask = Ask::new("drill", keys, self.clock.clone(), self.dice.clone());
        for service in self.services {
            ask.open_here(service, Router::new().fallback(serve).with_state((*service, Arc::clone(&peers))));
        }
        let home = Home::default();
        let runner = self.runner(&home, &ask).await;
        let mut play = Play { drill: self, peers, ask, home, runner };
        let id = play.through().await?;
        let mut tx = self.db.begin("drill.flaws").await?;
        let waits = saga::find(&mut tx, id).await?;
        let counts = Counts { calls: play.peers.told().calls, writes: self.power.state().writes };
        let accepted = play.peers.told().accepted.clone();
        let mut flaws = self.subject.flaws(&mut tx, id, &accepted, waits.is_some()).await?;
        if let Some(row) = waits {
            // It stays where it is, and out of the way of the runs that follow.
            if row.due_at.is_some() {
                flaws.push(format!("after {LOOKS_MAX} looks it still goes on: {} {}", row.step, row.why));
            }
            saga::forget(&mut tx, id).await?;
        }
        tx.commit().await?;
        play.home.kill();
        Ok((counts, flaws))
    }

    /// A runner that lives in a home.
    async fn runner(&self, home: &Home, ask: &Ask) -> Runner {
        let start = async { Runner::start(self.subject.kind(ask), self.db.clone(), ask.clone(), self.dice.clone()) };
        home.visit(start).await.expect("a home that was just made lives")
    }
}

fn mishaps(counts: Counts) -> impl Iterator<Item = (usize, Mishap)> {
    let each = |upto: usize, what: &'static [Mishap]| (0..upto).flat_map(move |at| what.iter().map(move |m| (at, *m)));
    each(counts.calls, &AT_CALLS).chain(each(counts.writes, &AT_WRITES))
}

type Runs = Vec<JoinHandle<Result<Rest, Fault>>>;

impl Play<'_> {
    /// From its beginning until nothing more comes of it.
    async fn through(&mut self) -> Result<SagaId, Fault> {
        let (id, held) = self.begin().await?;
        let runner = self.runner.clone();
        self.drill.power.state().counts = true;
        let run = self.home.visit(std::future::ready(held).map(|held| runner.go(held))).await;
        self.wait(run.into_iter().collect()).await?;
        self.drill.power.state().counts = false;
        self.settle().await?;
        for _ in 0..RETRIES {
            let mut tx = self.drill.db.begin("drill.retry").await?;
            let stuck = self.runner.retry(&mut tx, id).await?;
            tx.commit().await?;
            if !stuck {
                break;
            }
            self.settle().await?;
        }
        Ok(id)
    }

    async fn begin(&self) -> Result<(SagaId, Held), Fault> {
        let mut tx = self.drill.db.begin("drill.begin").await?;
        let id = SagaId::from_bytes(tx.new_id());
        let state = self.drill.subject.begin(&mut tx, id).await?;
        let held = self.runner.begin(&mut tx, id, state).await?;
        tx.commit().await?;
        Ok((id, held))
    }

    /// Waits for runs, with what the mishaps do to them.
    async fn wait(&mut self, runs: Runs) -> Result<(), Fault> {
        for mut run in runs {
            loop {
                tokio::select! {
                    biased;
                    () = self.drill.power.lost.notified() => self.reborn().await,
                    () = self.peers.crashed.notified() => self.reborn().await,
                    () = self.peers.overtake.notified() => Box::pin(self.overtake()).await?,
                    // It rests, it died, or its step could not be kept: the rest is the sweep's.
                    _ = &mut run => break,
                }
            }
        }
        Ok(())
    }

    /// The process dies and another begins.
    async fn reborn(&mut self) {
        self.home.kill();
        self.home.buried().await;
        self.home = Home::default();
        self.runner = self.drill.runner(&self.home, &self.ask).await;
    }

    /// Another process carries everything on to its rest; then the one who waited hears his answer.
    async fn overtake(&mut self) -> Result<(), Fault> {
        let home = Home::default();
        let runner = self.drill.runner(&home, &self.ask).await;
        let waiting = (std::mem::replace(&mut self.home, home), std::mem::replace(&mut self.runner, runner));
        let held = self.peers.told().held.pop();
        let done = self.settle().await;
        self.home.kill();
        (self.home, self.runner) = waiting;
        if let Some(release) = held {
            release.notify_one();
        }
        done
    }

    /// Tells what was told, and moves time on, until nothing is left to do.
    async fn settle(&mut self) -> Result<(), Fault> {
        for _ in 0..LOOKS_MAX {
            self.deliver().await?;
            let Some(due) = self.runner.next_due().await? else {
                let late = std::mem::take(&mut self.peers.told().late);
                if late.is_empty() {
                    return Ok(());
                }
                self.peers.arrive(late);
                continue;
            };
            self.drill.clock.advance_to(due);
            let runner = self.runner.clone();
            self.drill.power.state().counts = true;
            let runs = self.home.visit(async move { runner.sweep().await }).await;
            // A sweep that can't write took nothing.
            self.wait(runs.and_then(Result::ok).unwrap_or_default()).await?;
            self.drill.power.state().counts = false;
        }
        Ok(())
    }

    /// Gives events to whoever hears them, each twice.
    async fn deliver(&self) -> Result<(), Fault> {
        let outbox = Outbox(self.drill.db.clone());
        let events = outbox.unsent(100).await?;
        for command in events.iter().filter_map(|event| self.drill.subject.taken(event)) {
            let (_, mishap) = self.peers.count();
            let refused = (mishap == Some(Mishap::Refused)).then_some(Code::AccountClosed);
            self.peers.carry_out(&command, refused);
            self.peers.carry_out(&command, None);
        }
        if events.is_empty() { Ok(()) } else { outbox.sent(&events).await }
    }
}
