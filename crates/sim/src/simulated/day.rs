//! Days of a bank: what its customers do, what goes wrong meanwhile, and how all of it is judged at rest.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jangbu_contracts::deposit::Command;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::money::Amount;
use jangbu_kernel::time::{Timestamp, UtcOffset};
use jangbu_platform::clock::{Clock as _, ticks};
use jangbu_platform::dice::Dice;
use jangbu_platform::probe;
use jangbu_platform::running::Opener;

use super::bank::Bank;
use super::faults::{Fault, Level};
use super::feed::Feed;
use super::time::Time;
use super::trace::{Watcher, clock_of};
use super::{office, seed_of, story};
use crate::client::KRW;
use crate::teller::through_channel;
use crate::workload::town::{Person, Pocket, Town};
use crate::workload::{Habits, Hand, race};

/// Hands at work at a time.
const HANDS: u64 = 12;
/// How long a hand rests between two acts at most, milliseconds.
const PAUSE_MS_MAX: u64 = 60;
/// How long before midnight the night begins, milliseconds, and how long the rush for interest lasts.
const NIGHT_MS: i64 = 400;
const RUSH_MS: u64 = 1_000;
/// How long what has become due may take, milliseconds.
const DUE_MS: u64 = 1_200;
/// How long before a watch what has become due is begun, microseconds: time enough for nodes that die to come back.
const DUE_BEFORE_US: i64 = 20_000_000;
/// How long work may be under way after its caller has left, milliseconds.
const UNDER_WAY_MS: u64 = 4_000;
/// Requests sent once more at rest, to be answered as before.
const SENT_AGAIN: usize = 12;
/// How long a run may take to come to rest once nothing goes wrong any more, in virtual seconds.
pub const REST_S_MAX: u64 = 120;
/// Microseconds by which half of the nights begin earlier: then a claim may come in the last one of a day.
const EARLIER_US: i64 = 1;
/// Newcomers of a watch at most.
const NEWCOMERS_MAX: u64 = 3;
/// Days that pass before one that is lived through: mostly none, sometimes more than anybody remembers events.
const LATER: [i32; 10] = [0, 0, 0, 0, 0, 0, 0, 1, 4, 32];
/// In one of so many watches no rates come.
const FEED_RESTS_EVERY: u64 = 5;
/// In one of so many seeds every day is everybody's salary day.
const PAYDAY_EVERY: u64 = 6;
/// Findings of a failure that are told; further ones are counted.
const FINDINGS_SHOWN: usize = 12;
/// The last lines that are told where no account has a story.
const LAST_LINES_SHOWN: usize = 40;
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
    /// After so many acts, taking interest included, nobody does anything any more.
    pub acts_max: Option<u64>,
    /// Whether the trace is written to stderr as it grows.
    pub aloud: bool,
    /// A defect that is planted, in builds that can.
    pub defect: Option<&'static str>,
    /// Who watches.
    pub watcher: Option<Arc<dyn Watcher>>,
}

impl Plan {
    /// The standard run of a seed: one day of 200 customers.
    #[must_use]
    pub fn of(seed: u64, level: Level) -> Plan {
        Plan {
            seed,
            customers: 200,
            days: 1,
            level,
            acts_per_day: 400,
            without: Vec::new(),
            acts_max: None,
            aloud: false,
            defect: None,
            watcher: None,
        }
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
    /// Acts of customers, taking interest included.
    pub acts: u64,
    /// Postings of the model.
    pub postings: usize,
    /// Exchanges that began, and how many of them succeeded.
    pub exchanges: (usize, usize),
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
    /// What happened to the accounts that this is about.
    pub story: Vec<String>,
    /// What happened before, the last lines.
    pub lines: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} while {}:", clock_of(self.at), self.doing)?;
        let more = self.findings.len().saturating_sub(FINDINGS_SHOWN);
        for finding in self.findings.iter().take(FINDINGS_SHOWN) {
            writeln!(f, "  wrong: {finding}")?;
        }
        if more > 0 {
            writeln!(f, "  and {more} more findings")?;
        }
        for line in &self.story {
            writeln!(f, "{line}")?;
        }
        if self.story.is_empty() {
            writeln!(f, "what happened last:")?;
            for line in self.lines.iter().skip(self.lines.len().saturating_sub(LAST_LINES_SHOWN)) {
                writeln!(f, "  {line}")?;
            }
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
    run_in(plan, openers, dir.path())
}

/// The same with the bank's files in `dir`, which is made when missing and must have none yet.
///
/// # Panics
/// The directory can't be used, or there is no room for another runtime.
#[must_use]
pub fn run_in(plan: &Plan, openers: &'static [Opener], dir: &Path) -> Report {
    std::fs::create_dir_all(dir).expect("the directory can be made");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime can be made");
    probe::watch();
    #[cfg(feature = "defects")]
    jangbu_platform::defect::plant(plan.defect);
    let _ = (probe::take(), panics()); // of an earlier run
    runtime.block_on(async {
        let bank = Bank::found(plan, openers, dir);
        let mut run = Run::of(plan, bank);
        let lived = run.live().await;
        let failure = lived.err().map(|(doing, findings)| run.failure(doing, findings));
        let (hash, steps) = run.bank.trace.sum();
        let postings = run.bank.auditor.look(|model| model.postings.len());
        let exchanges = run.bank.auditor.exchanges();
        let (faults, acts) = (run.bank.faults.happened(), plan.acts_max.unwrap_or(u64::MAX) - run.left.count());
        run.bank.end().await;
        let rare = probe::take();
        Report { seed: plan.seed, hash, steps, faults, rare, acts, postings, exchanges, failure }
    })
}

/// What goes on at once in a watch.
pub(super) type Tasks = tokio::task::JoinSet<Result<(), String>>;

/// What was being done, and what was wrong.
type Wrong = (String, Vec<String>);

fn wrong(doing: &str, why: impl Into<String>) -> Wrong {
    (doing.to_owned(), vec![why.into()])
}

/// Acts that are left in a run that ends early.
#[derive(Clone)]
struct Left(Arc<AtomicU64>);

impl Left {
    fn of(most: Option<u64>) -> Left {
        Left(Arc::new(AtomicU64::new(most.unwrap_or(u64::MAX))))
    }

    /// Takes one; whether there was one.
    fn take(&self) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_ok()
    }

    fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

struct Run<'p> {
    plan: &'p Plan,
    bank: Bank,
    dice: Dice,
    habits: Habits,
    payday: bool,
    /// Those who came lately and are not among the people yet.
    newcomers: Arc<Mutex<Vec<Person>>>,
    feed: Arc<Mutex<Feed>>,
    /// Foreign accounts that were opened lately.
    pockets: Arc<Mutex<Vec<Pocket>>>,
    left: Left,
}

impl<'p> Run<'p> {
    fn of(plan: &'p Plan, bank: Bank) -> Run<'p> {
        let dice = Dice::seeded(seed_of(plan.seed, "days"));
        let (habits, payday) = (Habits::swarm(&dice), dice.below(PAYDAY_EVERY) == 0);
        let feed = Arc::new(Mutex::new(Feed::new(Dice::seeded(seed_of(plan.seed, "feed")))));
        Run {
            plan,
            bank,
            dice,
            habits,
            payday,
            newcomers: Arc::default(),
            feed,
            pockets: Arc::default(),
            left: Left::of(plan.acts_max),
        }
    }

    fn failure(&self, doing: String, findings: Vec<String>) -> Failure {
        let (at, lines, happened) = (self.bank.time.now(), self.bank.trace.lines(), self.bank.trace.kept());
        let story = self.bank.auditor.look(|model| story::tell(&happened, model, &findings));
        Failure { at, doing, findings, story, lines }
    }

    async fn live(&mut self) -> Result<(), Wrong> {
        self.bank.open().await.map_err(|why| wrong("opening the bank", why))?;
        let town = self.bank.town(self.plan.customers).await.map_err(|why| wrong("founding the town", why))?;
        let mut town = Arc::new(town);
        self.rest(&town).await?;
        for _ in 0..self.plan.days {
            let later = LATER[usize::try_from(self.dice.below(LATER.len() as u64)).unwrap_or(0)];
            let today = self.today().add_days(later);
            for hour in HOURS {
                self.watch(&mut town, self.hour(today, hour), false).await?;
            }
            let early = EARLIER_US * i64::try_from(self.dice.below(2)).unwrap_or(0);
            let night = at(today, 24 * 3_600_000 - NIGHT_MS - DUE_MS.cast_signed()).plus_micros(-early);
            self.watch(&mut town, night, true).await?;
        }
        self.bank.restart_all().await;
        self.bank.auditor.touch_everything();
        self.rest(&town).await
    }

    /// When a watch of the day begins. Half of the mornings are a moment before nine, when limits begin anew.
    fn hour(&self, today: BusinessDate, hour: i64) -> Timestamp {
        if hour == HOURS[0] && self.dice.below(2) == 0 {
            return at(today, 9 * 3_600_000 - NIGHT_MS - DUE_MS.cast_signed());
        }
        at(today, hour * 3_600_000)
    }

    fn today(&self) -> BusinessDate {
        self.bank.time.now().business_date(UtcOffset::SEOUL)
    }

    /// A few seconds of work, at an instant of the day.
    async fn watch(&mut self, town: &mut Arc<Town>, from: Timestamp, night: bool) -> Result<(), Wrong> {
        if self.left.count() == 0 {
            return Ok(());
        }
        self.prepare(town, night).await?;
        let mut tasks = Tasks::new();
        let early = self.bank.early_quotes(town, from, &self.dice, &mut tasks).await;
        self.let_become_due(from).await;
        let from = from.max(self.bank.time.now());
        self.bank.time.jump_to(from);
        self.bank.trace.say(|| format!("{from}: {}", if night { "the night" } else { "a watch of the day" }));
        // What became due while time stood still is done before anybody acts: a hold lapses by a job, not at its instant.
        tokio::time::sleep(Duration::from_millis(DUE_MS)).await;
        self.bank.faults.set_on(true);
        self.send_hands(&mut tasks, town, from);
        if night {
            let tomorrow = from.business_date(UtcOffset::SEOUL).add_days(1);
            for who in 0..town.people.len() {
                let (town, time, left) = (Arc::clone(town), Arc::clone(&self.bank.time), self.left.clone());
                let dice = Dice::seeded(self.dice.u64());
                tasks.spawn(async move { claim(&town, who, tomorrow, &dice, (&time, &left)).await });
            }
        } else {
            self.pay_salaries(&mut tasks, town, from);
        }
        for _ in 0..self.dice.below(NEWCOMERS_MAX + 1) {
            let newcomer = town.newcomer(&self.dice, town.people.len(), "toss-demand");
            let (service, key, newcomers) = (town.service.clone(), town.keys.next(), Arc::clone(&self.newcomers));
            tasks.spawn(async move {
                let person = office::welcome(newcomer, service, key).await?;
                newcomers.lock().unwrap_or_else(PoisonError::into_inner).push(person);
                Ok(())
            });
        }
        for quote in early {
            tasks.spawn(self.bank.last_moment(town, quote, &self.dice));
        }
        self.send_to_the_counter(&mut tasks, town).map_err(|why| wrong("customers were at work", why))?;
        if self.dice.below(FEED_RESTS_EVERY) > 0 {
            let rounds = self.bank.rounds(&self.feed, ticks());
            tasks.spawn(rounds.map_err(|why| wrong("customers were at work", why))?);
        }
        tasks.spawn(self.bank.chaos(Dice::seeded(self.dice.u64()), ticks()));
        tasks.spawn(self.bank.impatient_operator(Dice::seeded(self.dice.u64()), ticks()));
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

    /// What becomes due while time stands still is begun while things go wrong, a moment before `from`.
    async fn let_become_due(&self, from: Timestamp) {
        let before = from.plus_micros(-DUE_BEFORE_US);
        if before < self.bank.time.now() {
            return;
        }
        self.bank.time.jump_to(before);
        self.bank.faults.set_on(true);
        tokio::time::sleep(Duration::from_millis(DUE_MS)).await;
        self.bank.faults.set_on(false);
        self.bank.all_up().await;
    }

    fn send_hands(&self, tasks: &mut Tasks, town: &Arc<Town>, from: Timestamp) {
        let acts = self.plan.acts_per_day / (HOURS.len() as u64 + 1) / HANDS;
        // Long enough from now that nothing lapses before all is at rest.
        let lapsing = from.plus_micros(i64::try_from(2 * REST_S_MAX).unwrap_or(0) * 1_000_000);
        for _ in 0..HANDS {
            let (dice, pauses) = (Dice::seeded(self.dice.u64()), Dice::seeded(self.dice.u64()));
            let mut hand = Hand::new(Arc::clone(town), dice, self.habits.clone()).with_lapsing(lapsing);
            let left = self.left.clone();
            tasks.spawn(async move {
                for _ in 0..acts.max(1) {
                    tokio::time::sleep(Duration::from_millis(pauses.below(PAUSE_MS_MAX))).await;
                    if !left.take() {
                        break;
                    }
                    hand.act().await?;
                }
                Ok::<(), String>(())
            });
        }
    }

    /// Some of what happens to foreign accounts happens but once or twice a watch.
    fn send_to_the_counter(&self, tasks: &mut Tasks, town: &Arc<Town>) -> Result<(), String> {
        tasks.spawn(self.bank.check_again(Dice::seeded(self.dice.u64()))?);
        if self.dice.below(2) == 0 {
            tasks.spawn(self.bank.open_pocket(town, &self.dice, &self.pockets));
        }
        if !town.abroad.is_empty() {
            tasks.spawn(self.bank.stop_in_flight(town, &self.dice)?);
        }
        Ok(())
    }

    /// Salaries come once a month, under a key that says so.
    fn pay_salaries(&self, tasks: &mut Tasks, town: &Arc<Town>, from: Timestamp) {
        let today = from.business_date(UtcOffset::SEOUL);
        for person in town.people.iter().filter(|person| self.payday || person.salary_day == today.day()) {
            let (service, pause) = (town.service.clone(), self.dice.below(RUSH_MS));
            let key = format!("salary-{:04}-{:02}-{}", today.year(), today.month(), person.account);
            let Ok(amount) = Amount::new(person.salary) else { continue };
            let (account, source, memo) = (person.account, "nostro".to_owned(), Some("salary".to_owned()));
            let salary = Command::Credit { account, amount, source, memo };
            tasks.spawn(async move {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                service.post(KRW, &key, &salary).await;
                Ok(())
            });
        }
    }

    /// What the bank's people do while no customer is at work; newcomers join the town. The world goes wrong, and is
    /// right again when this ends.
    async fn prepare(&mut self, town: &mut Arc<Town>, night: bool) -> Result<(), Wrong> {
        let off = |why| wrong("the office was at work", why);
        let fresh = std::mem::take(&mut *self.newcomers.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(town) = Arc::get_mut(town) {
            town.people.extend(fresh);
            town.abroad.append(&mut self.pockets.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let leaving = (!night && self.dice.below(2) == 0).then(|| {
            let at = self.dice.below(town.people.len() as u64);
            town.people[usize::try_from(at).unwrap_or(0)].clone()
        });
        if let Some(person) = &leaving {
            self.bank.empty(town, person).await;
            self.rest(town).await?;
        }
        self.bank.faults.set_on(true);
        if let Some(person) = &leaving {
            self.bank.close(town, person).await.map_err(off)?;
        }
        self.bank.mark_somebody(town, &self.dice).await.map_err(off)?;
        self.bank.set_discount(town, &self.dice).await.map_err(off)?;
        if self.dice.below(2) == 0 {
            self.bank.mark_pocket(town, &self.dice).await.map_err(off)?;
        }
        if !night && self.dice.below(3) == 0 {
            self.bank.change_terms(&self.dice).await.map_err(off)?;
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
            Ok(Ok(())) => findings.extend(self.bank.decide_exchanges(town, &self.dice).await.err()),
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
        self.bank.answer_exchanges(town, &self.dice).await?;
        self.bank.drive_letters().await?;
        self.bank.settle().await
    }
}

fn at(day: BusinessDate, ms: i64) -> Timestamp {
    Timestamp::start_of(day, UtcOffset::SEOUL).plus_micros(ms * 1_000)
}

/// Takes interest once a day, as soon as the day has begun, or a moment before.
async fn claim(town: &Town, who: usize, day: BusinessDate, dice: &Dice, by: (&Time, &Left)) -> Result<(), String> {
    let (time, left) = by;
    // Many come in the last and the first moment.
    let pause = if dice.below(5) == 0 { NIGHT_MS.unsigned_abs() - dice.below(2) } else { dice.below(RUSH_MS) };
    tokio::time::sleep(Duration::from_millis(pause)).await;
    if !left.take() {
        return Ok(());
    }
    let teller = town.teller(who)?;
    let account = town.people[who].account;
    let key = format!("claim-{day}");
    let midnight = Timestamp::start_of(day, UtcOffset::SEOUL);
    let sent = time.now();
    if sent.plus_micros(1) == midnight {
        probe::reached("claim-in-the-last-microsecond-of-a-day");
    }
    if sent == midnight {
        probe::reached("claim-in-the-first-microsecond-of-a-day");
    }
    match dice.below(10) {
        0..=2 => drop(teller.claim(KRW, &key, account).await),
        3..=5 => drop(teller.claim_by_channel(KRW, &key, account).await),
        6 => {
            tokio::join!(teller.screen(account), teller.screen(account));
            teller.claim_by_channel(KRW, &key, account).await;
        }
        7 => drop(race(&teller, [key, format!("again-{day}")], account).await),
        // The first payment of the day and the claim meet: the batch that ends the day also pays for it.
        _ => {
            let (amount, memo) = (Amount::new(1).map_err(|e| e.to_string())?, None);
            let payment = Command::Credit { account, amount, source: "cash".to_owned(), memo };
            let paid = town.keys.next();
            tokio::join!(town.service.post(KRW, &paid, &payment), teller.claim(KRW, &key, account));
        }
    }
    if sent < midnight && time.now() > midnight {
        probe::reached("claim-sent-before-midnight-and-answered-after");
    }
    Ok(())
}
