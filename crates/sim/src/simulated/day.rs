//! Days of a bank: what its customers do, what goes wrong meanwhile, and how all of it is judged at rest.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::clock::{Clock as _, ticks};
use jangbu_platform::dice::Dice;
use jangbu_platform::probe;
use jangbu_platform::running::Opener;

use super::bank::Bank;
use super::faults::{Fault, Level};
use super::seed_of;
use crate::client::KRW;
use crate::teller::through_channel;
use crate::workload::town::Town;
use crate::workload::{Habits, Hand};

/// Hands at work at a time.
const HANDS: u64 = 12;
/// How long a hand rests between two acts at most, milliseconds.
const PAUSE_MS_MAX: u64 = 60;
/// How long before midnight the night begins, milliseconds, and how long the rush for interest lasts.
const NIGHT_MS: i64 = 400;
const RUSH_MS: u64 = 1_000;
/// How long what has become due may take, milliseconds.
const DUE_MS: u64 = 1_200;
/// How long work may be under way after its caller has left, milliseconds.
const UNDER_WAY_MS: u64 = 4_000;
/// Requests sent once more at rest, to be answered as before.
const SENT_AGAIN: usize = 12;
/// How long a run may take to come to rest once nothing goes wrong any more, in virtual seconds.
pub const REST_S_MAX: u64 = 120;
/// Hours of a day at which customers are at work, beside midnight.
const HOURS: [i64; 3] = [8, 12, 18];

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where all chance begins.
    pub seed: u64,
    /// Customers.
    pub customers: usize,
    /// Days.
    pub days: u32,
    /// How hard the world is.
    pub level: Level,
    /// Things done by customers on a day, besides taking interest.
    pub acts_per_day: u64,
    /// Kinds of fault that are left out.
    pub without: Vec<Fault>,
    /// Whether the trace is written to stderr as it grows.
    pub aloud: bool,
}

impl Plan {
    /// The standard run of a seed: one day of 200 customers.
    #[must_use]
    pub fn of(seed: u64, level: Level) -> Plan {
        Plan { seed, customers: 200, days: 1, level, acts_per_day: 400, without: Vec::new(), aloud: false }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Hash over everything that happened.
    pub hash: u64,
    /// How much that was.
    pub steps: u64,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Rare places reached.
    pub rare: BTreeMap<&'static str, u64>,
    /// Postings of the model.
    pub postings: usize,
    /// What was wrong, when something was.
    pub failure: Option<Failure>,
}

/// What was wrong with a run.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The bank's time.
    pub at: Timestamp,
    /// What was being done.
    pub doing: String,
    /// All that was found.
    pub findings: Vec<String>,
    /// What happened before, the last lines.
    pub lines: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} while {}:", self.at, self.doing)?;
        for finding in &self.findings {
            writeln!(f, "  {finding}")?;
        }
        Ok(())
    }
}

thread_local! {
    static PANICS: Mutex<Vec<String>> = const { Mutex::new(Vec::new()) };
}

/// Notes panics of this process by their thread instead of printing them: a task that panics is a finding.
pub fn note_panics() {
    std::panic::set_hook(Box::new(|info| {
        PANICS.with(|noted| noted.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string()));
    }));
}

fn panics() -> Vec<String> {
    PANICS.with(|noted| std::mem::take(&mut *noted.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Runs a plan from its first opening to its last judgement.
///
/// # Panics
/// The machine has no room for another directory or runtime.
#[must_use]
pub fn run(plan: &Plan, openers: &'static [Opener]) -> Report {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime can be made");
    probe::watch();
    let _ = (probe::take(), panics()); // of an earlier run
    runtime.block_on(async {
        let bank = Bank::found(plan, openers, dir.path());
        let mut run = Run::of(plan, bank);
        let lived = run.live().await;
        let failure = lived.err().map(|(doing, findings)| run.failure(doing, findings));
        let (hash, steps) = run.bank.trace.sum();
        let postings = run.bank.auditor.look(|model| model.postings.len());
        let faults = run.bank.faults.happened();
        run.bank.end().await;
        Report { seed: plan.seed, hash, steps, faults, rare: probe::take(), postings, failure }
    })
}

/// What was being done, and what was wrong.
type Wrong = (String, Vec<String>);

fn wrong(doing: &str, why: impl Into<String>) -> Wrong {
    (doing.to_owned(), vec![why.into()])
}

struct Run<'p> {
    plan: &'p Plan,
    bank: Bank,
    dice: Dice,
}

impl<'p> Run<'p> {
    fn of(plan: &'p Plan, bank: Bank) -> Run<'p> {
        Run { plan, bank, dice: Dice::seeded(seed_of(plan.seed, "days")) }
    }

    fn failure(&self, doing: String, findings: Vec<String>) -> Failure {
        Failure { at: self.bank.time.now(), doing, findings, lines: self.bank.trace.lines() }
    }

    async fn live(&mut self) -> Result<(), Wrong> {
        self.bank.open().await.map_err(|why| wrong("opening the bank", why))?;
        let town = self.bank.town(self.plan.customers).await.map_err(|why| wrong("founding the town", why))?;
        let town = Arc::new(town);
        self.rest(&town).await?;
        let first = self.bank.time.now().business_date(UtcOffset::SEOUL);
        for day in 0..self.plan.days {
            let today = first.add_days(i32::try_from(day).unwrap_or(0));
            for hour in HOURS {
                self.watch(&town, at(today, hour * 3_600_000), false).await?;
            }
            self.watch(&town, at(today, 24 * 3_600_000 - NIGHT_MS - DUE_MS.cast_signed()), true).await?;
        }
        self.bank.restart_all().await;
        self.bank.auditor.touch_everything();
        self.rest(&town).await
    }

    /// A few seconds of work, at an instant of the day.
    async fn watch(&mut self, town: &Arc<Town>, from: Timestamp, night: bool) -> Result<(), Wrong> {
        self.bank.time.jump_to(from.max(self.bank.time.now()));
        self.bank.trace.say(|| format!("{from}: {}", if night { "the night" } else { "a watch of the day" }));
        // What became due while time stood still is done before anybody acts: a hold lapses by a job, not at its instant.
        tokio::time::sleep(Duration::from_millis(DUE_MS)).await;
        self.bank.mark_somebody(town, &self.dice).await.map_err(|why| wrong("marking an account", why))?;
        self.bank.faults.set_on(true);
        let mut tasks = tokio::task::JoinSet::new();
        let acts = self.plan.acts_per_day / (HOURS.len() as u64 + 1) / HANDS;
        for _ in 0..HANDS {
            let dice = Dice::seeded(self.dice.u64());
            let habits = Habits::wild(&dice);
            let pauses = Dice::seeded(self.dice.u64());
            // Long enough from now that nothing lapses before all is at rest.
            let lapsing = from.plus_micros(i64::try_from(2 * REST_S_MAX).unwrap_or(0) * 1_000_000);
            let mut hand = Hand::new(Arc::clone(town), dice, habits).with_lapsing(lapsing);
            tasks.spawn(async move {
                for _ in 0..acts.max(1) {
                    tokio::time::sleep(Duration::from_millis(pauses.below(PAUSE_MS_MAX))).await;
                    hand.act().await?;
                }
                Ok::<(), String>(())
            });
        }
        if night {
            let tomorrow = from.business_date(UtcOffset::SEOUL).add_days(1);
            for who in 0..town.people.len() {
                let (town, dice) = (Arc::clone(town), Dice::seeded(self.dice.u64()));
                tasks.spawn(async move { claim(&town, who, tomorrow, &dice).await });
            }
        }
        tasks.spawn(self.bank.chaos(Dice::seeded(self.dice.u64()), ticks()));
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok(Ok(())) => {}
                Ok(Err(why)) => return Err(wrong("customers were at work", why)),
                Err(e) => return Err(wrong("customers were at work", e.to_string())),
            }
        }
        self.bank.faults.set_on(false);
        self.rest(town).await
    }

    /// Lets everything come to rest, and judges it.
    async fn rest(&mut self, town: &Town) -> Result<(), Wrong> {
        let limit = Duration::from_secs(REST_S_MAX);
        let settled = tokio::time::timeout(limit, self.settle(town)).await;
        let mut findings = panics();
        match settled {
            Ok(Ok(())) => {}
            Ok(Err(why)) => findings.push(why),
            Err(_) => {
                findings.push(format!("not at rest after {REST_S_MAX} s without faults: {}", self.bank.unsettled()))
            }
        }
        findings.extend(self.bank.auditor.findings());
        if !findings.is_empty() {
            return Err(("coming to rest".to_owned(), findings));
        }
        let judged = self.bank.judge().await;
        judged.map_err(|findings| ("being judged".to_owned(), findings))?;
        self.bank.trace.say(|| "at rest, and right".to_owned());
        Ok(())
    }

    async fn settle(&mut self, town: &Town) -> Result<(), String> {
        self.bank.all_up().await;
        // Whoever left before his answer came may still have work under way; only then does "never seen" mean never.
        tokio::time::sleep(Duration::from_millis(UNDER_WAY_MS)).await;
        for (key, what) in self.bank.auditor.open() {
            let teller = town.named(&key.caller)?;
            if through_channel(&key.key).is_some() {
                // The instance knows it by a key of the channel's own: only the channel can tell.
                probe::reached("claim-through-the-channel-asked-again");
                if !teller.send(&key.instance, &key.key, &what).await {
                    return Err(format!("no answer at rest to {key:?} {what:?}"));
                }
                continue;
            }
            let known = teller.ask(&key.instance, &key.key).await.map_err(|why| format!("asking {key:?}: {why}"))?;
            if known.is_none() {
                probe::reached("request-that-never-arrived");
                if self.dice.below(2) == 0 && !teller.send(&key.instance, &key.key, &what).await {
                    return Err(format!("no answer at rest to {key:?} {what:?}"));
                }
            } else {
                probe::reached("answer-lost-and-asked-for-by-its-key");
            }
        }
        for (key, what) in self.bank.auditor.decided_some(SENT_AGAIN, |n| self.dice.below(n)) {
            if !town.named(&key.caller)?.send(&key.instance, &key.key, &what).await {
                return Err(format!("no answer at rest to {key:?} {what:?}, which was decided"));
            }
        }
        self.bank.drive_letters().await?;
        self.bank.settle().await
    }
}

fn at(day: BusinessDate, ms: i64) -> Timestamp {
    Timestamp::start_of(day, UtcOffset::SEOUL).plus_micros(ms * 1_000)
}

/// Takes interest once a day, as soon as the day has begun, or a moment before.
async fn claim(town: &Town, who: usize, day: BusinessDate, dice: &Dice) -> Result<(), String> {
    tokio::time::sleep(Duration::from_millis(dice.below(RUSH_MS))).await;
    let teller = town.teller(who)?;
    let account = town.people[who].account;
    let key = format!("claim-{day}");
    if dice.below(2) == 0 {
        teller.claim(KRW, &key, account).await;
    } else {
        teller.claim_by_channel(KRW, &key, account).await;
    }
    Ok(())
}
