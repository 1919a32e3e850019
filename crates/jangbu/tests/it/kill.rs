//! The bank is killed under load, again and again: whatever was answered is there exactly once, whatever was not can be
//! asked by its key, and the books balance.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::auth::Role;
use jangbu_platform::clock::{Clock as _, ManualClock, RealClock};
use jangbu_platform::dice::Dice;
use jangbu_platform::service::Stop;
use jangbu_sim::auditor::Auditor;
use jangbu_sim::client::{Client, KRW, Keys};
use jangbu_sim::workload::town::{Person, Tokens, Town, Ways};
use jangbu_sim::workload::{Habits, Hand};
use serde_json::json;
use tokio::task::JoinSet;

use crate::running::{Running, manual, up};

/// Kills.
const ROUNDS: u64 = 50;
/// Concurrent callers.
const HANDS: u64 = 8;
/// People of the town.
const PEOPLE: usize = 24;
/// Milliseconds of load before a kill: at least, and how many more at most.
const LOAD_MS: (u64, u64) = (150, 300);
/// Decided requests that are sent again after each start.
const SENT_AGAIN: usize = 60;

struct World {
    dir: PathBuf,
    clock: Arc<ManualClock>,
    auditor: Arc<Auditor>,
    keys: Arc<Keys>,
    dice: Dice,
    people: Vec<Person>,
    running: Running,
    started: Instant,
}

fn open(dir: &Path, now: Timestamp) -> Running {
    let clock = manual(now);
    let args: Vec<&str> = clock.iter().map(String::as_str).collect();
    Running::start(&mut up(dir, &args), dir).unwrap()
}

impl World {
    async fn new(home: &Path, seed: u64) -> World {
        let dir = home.join("bank");
        let now: Timestamp = "2026-01-30T23:50:00+09:00".parse().unwrap();
        let clock = Arc::new(ManualClock::new(now));
        let auditor = Arc::new(Auditor::new(Arc::clone(&clock) as _));
        let running = open(&dir, now);
        let (keys, dice) = (Arc::new(Keys::since(RealClock.now())), Dice::seeded(seed));
        let people = Vec::new();
        let mut world = World { dir, clock, auditor, keys, dice, people, running, started: Instant::now() };
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

    fn town(&self) -> Town {
        let client = self.running.client(Role::Service, "town").unwrap();
        let tokens: Tokens = self.running.tokens();
        let ways = Ways { client, tokens, auditor: Some(Arc::clone(&self.auditor)) };
        Town::of(self.people.clone(), &ways, Arc::clone(&self.keys)).unwrap()
    }

    fn service(&self) -> Client {
        self.running.client(Role::Service, "town").unwrap()
    }

    /// Callers at work until `stop`.
    fn load(&self, town: &Arc<Town>, stop: &Stop) -> JoinSet<()> {
        let mut hands = JoinSet::new();
        for _ in 0..HANDS {
            let dice = Dice::seeded(self.dice.u64());
            let habits = Habits::wild(&dice);
            let mut hand = Hand::new(Arc::clone(town), dice, habits).with_lapsing(self.clock.now());
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
                    assert!(teller.send(&key.instance, &key.key, &what).await, "no answer at rest");
                }
            }
        }
        (asked, absent)
    }

    /// Sends what was decided once more: each must be answered as before.
    async fn send_again(&self, town: &Town) {
        for (key, what) in self.auditor.decided_some(SENT_AGAIN, |n| self.dice.below(n)) {
            let teller = town.named(&key.caller).unwrap();
            assert!(teller.send(&key.instance, &key.key, &what).await, "no answer at rest");
        }
    }

    async fn judge(&self) {
        if let Err(found) = self.auditor.judge() {
            panic!("the auditor disagrees:\n{}", found.join("\n"));
        }
        if let Err(found) = self.auditor.compare(&self.service()).await {
            panic!("the books differ:\n{}", found.join("\n"));
        }
    }

    /// Time goes on, and some accounts are restricted while nobody is under way.
    async fn between_rounds(&self, round: u64) {
        let operator = self.running.client(Role::Operator, "operator").unwrap();
        let hours = i64::try_from(1 + self.dice.below(20)).unwrap();
        let now = operator.move_clock(self.clock.now().plus_micros(hours * 3_600_000_000)).await.reply().unwrap();
        self.clock.advance_to(now);
        let person = &self.people[usize::try_from(self.dice.below(PEOPLE as u64)).unwrap()];
        let mark = ["deposit_stop", "withdrawal_stop", "limited"][usize::try_from(round % 3).unwrap()];
        let on = self.auditor.look(|m| !m.accounts[&person.account].marks.contains(mark));
        operator.deposit(KRW).mark(person.account, mark, on).await.reply().unwrap();
        self.auditor.account_marked(person.account, mark, on);
    }

    /// What was posted has reached the general ledger once, however often the bank was killed on the way.
    async fn prove_the_ledger(&self) {
        let operator = self.running.client(Role::Operator, "operator").unwrap();
        operator.move_clock(self.clock.now()).await.reply().unwrap(); // answers when all that was told has arrived
        if let Err(found) = self.auditor.general_ledger(&operator).await {
            panic!("the general ledger differs:\n{}", found.join("\n"));
        }
    }

    fn restart(&mut self) {
        self.running = open(&self.dir, self.clock.now());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_answered_is_lost_when_the_bank_is_killed_under_load() {
    let seed =
        std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(RealClock.now().micros().unsigned_abs());
    println!("SEED={seed}");
    let home = tempfile::tempdir().unwrap();
    let mut world = World::new(home.path(), seed).await;
    let (mut asked, mut absent) = (0, 0);
    for round in 0..ROUNDS {
        world.between_rounds(round).await;
        let (town, stop) = (Arc::new(world.town()), Stop::default());
        let mut hands = world.load(&town, &stop);
        tokio::time::sleep(Duration::from_millis(LOAD_MS.0 + world.dice.below(LOAD_MS.1))).await;
        world.running.strike();
        stop.stop();
        world.running.kill();
        while let Some(ended) = hands.join_next().await {
            ended.unwrap();
        }
        world.restart();
        let town = world.town();
        let (a, b) = world.resolve(&town).await;
        (asked, absent) = (asked + a, absent + b);
        world.send_again(&town).await;
        world.judge().await;
    }
    world.prove_the_ledger().await;
    let (requests, entries) =
        world.auditor.look(|m| (m.postings.len(), m.accounts.values().map(|a| a.entries.len()).sum::<usize>()));
    let today = world.clock.now().business_date(UtcOffset::SEOUL);
    println!(
        "{ROUNDS} kills in {:?}: {requests} postings, {entries} entries up to {today}; {asked} keys asked, {absent} absent",
        world.started.elapsed()
    );
    assert!(asked > ROUNDS as usize && absent > 0 && asked > absent, "the kills must meet requests under way");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_is_told_to_end_answers_what_it_has_begun() {
    let home = tempfile::tempdir().unwrap();
    let mut world = World::new(home.path(), 7).await;
    for _ in 0..3 {
        let (town, stop) = (Arc::new(world.town()), Stop::default());
        let mut hands = world.load(&town, &stop);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let told = Instant::now();
        let ended = world.running.terminate().unwrap();
        stop.stop();
        assert_eq!(ended.code(), Some(0), "it ends well");
        assert!(told.elapsed() < Duration::from_secs(10), "it took {:?}", told.elapsed());
        while let Some(ended) = hands.join_next().await {
            ended.unwrap();
        }
        world.restart();
        let town = world.town();
        world.resolve(&town).await;
        world.send_again(&town).await;
        world.judge().await;
    }
}
