//! One service on one machine: it can die at any moment and comes back by itself, with what was flushed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::ask::Ask;
use jangbu_platform::auth::Keyring;
use jangbu_platform::clock::Clock;
use jangbu_platform::crypto::DataKey;
use jangbu_platform::db::{Db, Fault as Failed};
use jangbu_platform::dice::Dice;
use jangbu_platform::edge::Edge;
use jangbu_platform::http::{Gate, with_fallbacks};
use jangbu_platform::kv::Kv;
use jangbu_platform::log::Log;
use jangbu_platform::running::{Opener, Part};
use jangbu_platform::service::{Stop, World};
use jangbu_platform::task::Home;
use jangbu_platform::telemetry::Metrics;
use jangbu_platform::{migrate, probe};

use super::broker::{Broker, Line};
use super::calls::{give, way_to};
use super::faults::Faults;
use super::members::Members;
use super::mortal::{Doing, Mortal};
use super::seed_of;
use super::store::Storage;
use super::time::{NodeClock, Time};
use super::trace::{Happening, Trace};

/// How long a machine is down at least and at most, milliseconds.
const DOWN_MS: (u64, u64) = (20, 3_000);

/// Tries of a start once nothing goes wrong any more.
const TRIES_MAX: u32 = 20;

/// What a node and its disk know of where they stand.
pub struct Site {
    /// The service's name.
    pub name: String,
    /// What can go wrong.
    pub faults: Arc<Faults>,
    /// What has happened.
    pub trace: Arc<Trace>,
    home: Mutex<Home>,
    starting: AtomicBool,
}

impl Site {
    /// Whether it is on its way up.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        self.starting.load(SeqCst)
    }

    /// The home of its tasks in its present life.
    #[must_use]
    pub fn home(&self) -> Home {
        self.home.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It dies here and now.
    pub fn crash(&self, when: &str) {
        let home = self.home();
        if !home.is_dead() {
            self.trace.note(Happening::Died(self.name.clone(), when.to_owned()));
            home.kill();
        }
    }
}

/// What all nodes share.
#[derive(Clone)]
pub struct Around {
    /// The seed of the run.
    pub seed: u64,
    /// True time.
    pub time: Arc<Time>,
    /// The broker.
    pub broker: Arc<Broker>,
    /// Members of each group that every service has.
    pub members: usize,
    /// Calls that a service has under way at most while things go wrong.
    pub calls_max: usize,
    /// The key-value store.
    pub kv: Kv,
    /// Who signs credentials.
    pub keys: Keyring,
    /// The way from service to service.
    pub ask: Ask,
    /// What is counted.
    pub metrics: Metrics,
    /// The key of personal data.
    pub data_key: Arc<DataKey>,
}

/// A node.
pub struct Node {
    /// Where it stands.
    pub site: Arc<Site>,
    /// Its clock.
    pub clock: Arc<NodeClock>,
    opener: &'static Opener,
    around: Around,
    storage: Arc<Storage>,
    life: Mutex<Option<Life>>,
    lives: AtomicU64,
}

/// A node's present life.
struct Life {
    router: Router,
    /// The same with room for few.
    narrow: Router,
    part: Arc<Part>,
}

impl Node {
    /// A node that was never started, with its file in `dir`.
    #[must_use]
    pub fn new(opener: &'static Opener, around: &Around, faults: &Arc<Faults>, trace: &Arc<Trace>, dir: &Path) -> Node {
        let name = opener.spec.name.to_owned();
        let file = dir.join(format!("{name}.db"));
        let (faults, trace) = (Arc::clone(faults), Arc::clone(trace));
        let site = Arc::new(Site { name, faults, trace, home: Mutex::default(), starting: AtomicBool::new(false) });
        let storage = Storage::new(Arc::clone(&site), &file);
        let clock = NodeClock::new(Arc::clone(&around.time));
        let (life, lives) = (Mutex::default(), AtomicU64::new(0));
        Node { site, clock, opener, around: around.clone(), storage, life, lives }
    }

    /// Answers a request; nothing when it is down, or dies meanwhile.
    pub async fn answer(&self, request: Request<Body>) -> Option<Response<Body>> {
        let router = {
            let life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
            let life = life.as_ref()?;
            if self.site.faults.are_on() { life.narrow.clone() } else { life.router.clone() }
        };
        let answering = Mortal::new(&self.site, Doing::Request, give(router, request));
        let answered = self.site.home().visit(answering).await;
        if answered.is_none() {
            probe::reached("node-died-under-a-request");
        }
        answered
    }

    /// The time by which all of the simulation lives.
    #[must_use]
    pub fn true_time(&self) -> Timestamp {
        self.around.time.now()
    }

    /// What runs of it, while it lives.
    #[must_use]
    pub fn part(&self) -> Option<Arc<Part>> {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        life.as_ref().map(|life| Arc::clone(&life.part))
    }

    /// Starts it. It may die before it stands.
    ///
    /// # Errors
    /// It can't open what it has written: never right.
    pub async fn start(self: &Arc<Self>) -> Result<(), Failed> {
        let home = Home::default();
        *self.site.home.lock().unwrap_or_else(PoisonError::into_inner) = home.clone();
        self.site.starting.store(true, SeqCst);
        let opened = home.visit(self.open()).await;
        self.site.starting.store(false, SeqCst);
        let Some(opened) = opened else {
            probe::reached("node-died-while-it-started");
            return Ok(());
        };
        let (service, stop) = (opened?, Stop::default());
        let around = &self.around;
        let edge = Edge::new(self.gate(), self.dice("edge"), around.metrics.clone());
        let router = with_fallbacks(edge.open(&service.name, service.router.clone()));
        let edge = edge.with_calls_max(around.calls_max);
        let narrow = with_fallbacks(edge.open(&service.name, service.router.clone()));
        let part = Arc::new(Part::of(service));
        self.run(&part, &home, &stop);
        *self.life.lock().unwrap_or_else(PoisonError::into_inner) = Some(Life { router, narrow, part });
        around.ask.open_here(&self.site.name, way_to(self));
        Ok(())
    }

    /// Starts all that runs by itself, with more than one member of each group where the seed says so.
    fn run(&self, part: &Part, home: &Home, stop: &Stop) {
        let (log, clock) = (self.log(), Arc::clone(&self.clock) as Arc<dyn Clock>);
        let relays = std::iter::repeat_n(Doing::Relay, part.outgoing.len());
        let consumers = std::iter::repeat_n(Doing::Consumer, part.consumers.len());
        let mut doing = relays.chain(consumers);
        part.run(&log, &clock, stop, |work| {
            let doing = doing.next().unwrap_or(Doing::Job);
            drop(home.spawn(Mortal::new(&self.site, doing, work)));
        });
        for consumer in &part.consumers {
            for _ in 1..self.around.members {
                let work = consumer.clone().run(log.clone(), stop.clone());
                drop(home.spawn(Mortal::new(&self.site, Doing::Consumer, work)));
            }
        }
    }

    /// Its way to the broker.
    fn log(&self) -> Log {
        let line = Arc::new(Line::new(&self.around.broker, &self.site));
        Log::with_groups(Arc::clone(&line) as _, Arc::new(Members::new(&line)))
    }

    fn gate(&self) -> Gate {
        Gate::new(self.around.keys.clone(), Arc::clone(&self.clock) as _)
            .with_wall_clock(Arc::clone(&self.around.time) as _)
    }

    fn dice(&self, of: &str) -> Dice {
        let life = self.lives.load(SeqCst);
        Dice::seeded(seed_of(self.around.seed, &format!("{} {of} {life}", self.site.name)))
    }

    async fn open(&self) -> Result<jangbu_platform::service::Service, Failed> {
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        let dice = self.dice("service");
        let db = Db::on(self.storage.open()?, Arc::clone(&clock), dice.clone());
        self.retried(|| Box::pin(migrate::apply(&db, self.opener.spec.migrations))).await?;
        let around = &self.around;
        let world = World {
            db,
            clock,
            dice,
            offset: UtcOffset::SEOUL,
            log: self.log(),
            data_key: Arc::clone(&around.data_key),
            ask: around.ask.named(&self.site.name),
            metrics: around.metrics.clone(),
            kv: around.kv.clone(),
        };
        self.retried(|| (self.opener.open)(world.clone())).await
    }

    /// Sees to it that it lives on after each death. Runs until it is dropped.
    ///
    /// # Errors
    /// It could not come back.
    pub async fn watch_over(self: Arc<Self>) -> Result<(), Failed> {
        loop {
            self.site.home().died().await;
            self.bury().await?;
            let down = DOWN_MS.0 + self.dice("down").below(DOWN_MS.1);
            tokio::time::sleep(Duration::from_millis(down)).await;
            self.lives.fetch_add(1, SeqCst);
            self.start().await?;
            self.site.trace.note(Happening::Back(self.site.name.clone()));
        }
    }

    /// Ends it for good.
    pub async fn end(&self) {
        self.site.home().kill();
        let _ = self.bury().await; // its file goes with its directory
    }

    /// Lets go of everything that the dead life held.
    async fn bury(&self) -> Result<(), Failed> {
        self.around.ask.close(&self.site.name);
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(life);
        self.site.home().buried().await;
        let doing = || format!("settling the disk of {}", self.site.name);
        self.storage.settle().map_err(|e| Failed::Storage { doing: doing(), why: e.to_string() })
    }

    /// Tries again what failed because the world did: an operator starts a service again too.
    async fn retried<'a, T>(&self, mut work: impl FnMut() -> BoxFuture<'a, Result<T, Failed>>) -> Result<T, Failed> {
        let mut tries = 0;
        loop {
            match work().await {
                Err(Failed::Busy(_) | Failed::Storage { .. } | Failed::Unavailable(_)) if tries < TRIES_MAX => {}
                done => return done,
            }
            tries += u32::from(!self.site.faults.are_on());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
