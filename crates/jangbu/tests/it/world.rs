//! A bank with a town, and an auditor who hears of every request.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jangbu_kernel::time::Timestamp;
use jangbu_platform::auth::Role;
use jangbu_platform::clock::{Clock as _, ManualClock, RealClock};
use jangbu_platform::dice::Dice;
use jangbu_platform::service::Stop;
use jangbu_sim::auditor::{Auditor, Key};
use jangbu_sim::client::{Client, KRW, Keys};
use jangbu_sim::model::rules::What;
use jangbu_sim::teller::Teller;
use jangbu_sim::workload::town::{Person, Tokens, Town, Ways};
use jangbu_sim::workload::{Habits, Hand};
use serde_json::json;
use tokio::task::JoinSet;

use crate::running::{Running, log_of, manual, up};

/// Concurrent callers.
const HANDS: u64 = 8;
/// People of the town.
const PEOPLE: usize = 24;
/// Decided requests that are sent again after each start.
const SENT_AGAIN: usize = 60;

/// The bank, its town, and who hears of everything.
pub struct World {
    /// Where it lives.
    pub dir: PathBuf,
    /// Its clock, as the test moved it.
    pub clock: Arc<ManualClock>,
    /// The same clock, moved before the bank's own.
    pub ahead: Arc<ManualClock>,
    /// Who hears.
    pub auditor: Arc<Auditor>,
    keys: Arc<Keys>,
    /// Chance.
    pub dice: Dice,
    people: Vec<Person>,
    /// The process.
    pub running: Running,
}

/// A bank on a directory with its clock at `now`.
pub fn open(dir: &Path, now: Timestamp) -> Result<Running, String> {
    let clock = manual(now);
    let args: Vec<&str> = clock.iter().map(String::as_str).collect();
    Running::start(&mut up(dir, &args), dir)
}

impl World {
    /// A new bank with a town.
    pub async fn new(dir: &Path, seed: u64) -> World {
        let dir = dir.to_owned();
        let now: Timestamp = "2026-01-30T23:50:00+09:00".parse().unwrap();
        let clock = Arc::new(ManualClock::new(now));
        let ahead = Arc::new(ManualClock::new(now));
        let auditor = Auditor::new(Arc::clone(&clock) as _).with_ahead(Arc::clone(&ahead) as _);
        let auditor = Arc::new(auditor);
        let running = open(&dir, now).unwrap();
        let (keys, dice) = (Arc::new(Keys::since(RealClock.now())), Dice::seeded(seed));
        let people = Vec::new();
        let mut world = World { dir, clock, ahead, auditor, keys, dice, people, running };
        let operator = world.running.client(Role::Operator, "operator").unwrap();
        let tight = json!({"code": "tight", "name": "tight", "kind": "demand", "currency": "KRW", "from": "2026-01-30",
            "tiers": [{"up_to": 1_000_000, "rate": "0.05"}, {"up_to": null, "rate": "0.01"}],
            "limits": {"transaction": 9_000, "day": 40_000, "month": 90_000}});
        operator.deposit(KRW).put_product("tight", &tight).await.reply().unwrap();
        for terms in operator.deposit(KRW).products().await.reply().unwrap().items {
            world.auditor.product(KRW, &terms).unwrap();
        }
        let mut town = world.town();
        town.grow(PEOPLE, &["toss-demand", "tight"], &world.dice, |_| {}).await.unwrap();
        world.people = town.people;
        world.judge().await;
        world
    }

    /// Its people, with their ways to it as it runs now.
    pub fn town(&self) -> Town {
        let client = self.running.client(Role::Service, "town").unwrap();
        let tokens: Tokens = self.running.tokens();
        let ways = Ways { client, tokens, auditor: Some(Arc::clone(&self.auditor)) };
        Town::of(self.people.clone(), &ways, Arc::clone(&self.keys)).unwrap()
    }

    /// The bank's own program.
    pub fn service(&self) -> Client {
        self.running.client(Role::Service, "town").unwrap()
    }

    /// Callers at work until `stop`, while the clock stands still.
    pub fn load(&self, town: &Arc<Town>, stop: &Stop) -> JoinSet<()> {
        self.load_with(town, stop, Some(self.clock.now()))
    }

    /// The same; holds may lapse after `lapsing_from`.
    pub fn load_with(&self, town: &Arc<Town>, stop: &Stop, lapsing_from: Option<Timestamp>) -> JoinSet<()> {
        let mut hands = JoinSet::new();
        for _ in 0..HANDS {
            let dice = Dice::seeded(self.dice.u64());
            let habits = Habits::wild(&dice);
            let mut hand = Hand::new(Arc::clone(town), dice, habits);
            if let Some(now) = lapsing_from {
                hand = hand.with_lapsing(now);
            }
            let stop = stop.clone();
            hands.spawn(async move {
                while !stop.is_stopping() {
                    hand.act().await.unwrap();
                }
            });
        }
        hands
    }

    /// Asks for everything that was not answered; what never arrived is sent again, now and then.
    async fn resolve(&self, town: &Town) -> (usize, usize) {
        let (mut asked, mut absent) = (0, 0);
        for (key, what) in self.auditor.open() {
            asked += 1;
            let teller = town.named(&key.caller).unwrap();
            if teller.ask(&key.instance, &key.key).await.unwrap().is_none() {
                absent += 1;
                if self.dice.below(2) == 0 {
                    self.must(&teller, &key, &what).await;
                }
            }
        }
        (asked, absent)
    }

    /// Sends a request to a bank at rest: it must answer.
    async fn must(&self, teller: &Teller, key: &Key, what: &What) {
        let answered = teller.send(&key.instance, &key.key, what).await;
        assert!(answered, "no answer at rest to {key:?} {what:?}: {}", log_of(&self.dir));
    }

    /// Sends what was decided once more: each must be answered as before.
    async fn send_again(&self, town: &Town) {
        for (key, what) in self.auditor.decided_some(SENT_AGAIN, |n| self.dice.below(n)) {
            let teller = town.named(&key.caller).unwrap();
            self.must(&teller, &key, &what).await;
        }
    }

    /// Everything that was answered is right, and the bank shows it so.
    pub async fn judge(&self) {
        if let Err(found) = self.auditor.judge() {
            panic!("the auditor disagrees:\n{}", found.join("\n"));
        }
        if let Err(found) = self.auditor.compare(&self.service()).await {
            panic!("the books differ:\n{}", found.join("\n"));
        }
    }

    /// Moves the bank's clock.
    pub async fn move_clock(&self, to: Timestamp) {
        self.ahead.advance_to(to);
        let operator = self.running.client(Role::Operator, "operator").unwrap();
        let now = operator.move_clock(to).await.reply().unwrap();
        self.clock.advance_to(now);
    }

    /// Time goes on, and some accounts are restricted while nobody is under way.
    pub async fn between_rounds(&self, round: u64) {
        let operator = self.running.client(Role::Operator, "operator").unwrap();
        let hours = i64::try_from(1 + self.dice.below(20)).unwrap();
        self.move_clock(self.clock.now().plus_micros(hours * 3_600_000_000)).await;
        let person = &self.people[usize::try_from(self.dice.below(PEOPLE as u64)).unwrap()];
        let mark = ["deposit_stop", "withdrawal_stop", "limited"][usize::try_from(round % 3).unwrap()];
        let on = self.auditor.look(|m| !m.accounts[&person.account].marks.contains(mark));
        operator.deposit(KRW).mark(person.account, mark, on).await.reply().unwrap();
        self.auditor.account_marked(person.account, mark, on);
    }

    /// What was posted has reached the general ledger once, however often the bank was killed on the way.
    pub async fn prove_the_ledger(&self) {
        let operator = self.running.client(Role::Operator, "operator").unwrap();
        operator.move_clock(self.clock.now()).await.reply().unwrap(); // answers when all that was told has arrived
        if let Err(found) = self.auditor.general_ledger(&operator).await {
            panic!("the general ledger differs:\n{}", found.join("\n"));
        }
    }

    /// Opens it again.
    pub fn restart(&mut self) {
        self.running = open(&self.dir, self.clock.now()).unwrap();
    }

    /// After a start: what was not answered is asked, what was is sent again, and all of it is judged. How many were
    /// asked, and how many of them had never arrived.
    pub async fn account_for_all(&self) -> (usize, usize) {
        let town = self.town();
        let asked = self.resolve(&town).await;
        self.send_again(&town).await;
        self.judge().await;
        asked
    }
}

/// Waits until all hands rest.
pub async fn rest(mut hands: JoinSet<()>) {
    while let Some(ended) = hands.join_next().await {
        ended.unwrap();
    }
}
