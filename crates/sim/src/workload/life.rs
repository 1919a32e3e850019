//! A town that lives: payments all day, salaries on their day, interest once a day.
//!
//! What is done once a day or month has a key made of its day and person, so that a town that starts again does nothing
//! twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jangbu_contracts::deposit::Command;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::money::Amount;
use jangbu_kernel::time::UtcOffset;
use jangbu_platform::clock::Clock;
use jangbu_platform::dice::Dice;
use jangbu_platform::files::write_private;
use jangbu_platform::service::Stop;
use tokio::task::JoinSet;

use super::town::{Person, Town};
use super::{Habits, Hand};
use crate::client::{KRW, Said};

/// Hands at work.
const HANDS: u64 = 8;
/// Payments a second at most, however large the town.
const ACTS_PER_S_MAX: u64 = 150;
/// One of so many people pays each second.
const PEOPLE_PER_ACT: u64 = 8;
/// Claims and salaries a second at most: a rush after midnight, but no stampede.
const DAILY_PER_S_MAX: u64 = 50;
/// How often it is looked whether a new day has begun, in milliseconds.
const DAY_LOOK_MS: u64 = 1_000;

fn file(dir: &Path) -> PathBuf {
    dir.join("customers.json")
}

/// The people that were kept in a directory; nobody when there are none.
///
/// # Errors
/// The file can't be read.
pub fn kept(dir: &Path) -> Result<Vec<Person>, String> {
    let file = file(dir);
    let failed =
        |why: String| format!("could not read {}: {why}; remove it to begin with new customers", file.display());
    match std::fs::read(&file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| failed(e.to_string())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(failed(e.to_string())),
    }
}

/// Keeps the people in a directory, so that the next start finds them.
///
/// # Errors
/// The file can't be written.
pub fn keep(dir: &Path, people: &[Person]) -> Result<(), String> {
    let bytes = serde_json::to_vec(people).map_err(|e| e.to_string())?;
    write_private(&file(dir), &bytes).map_err(|e| format!("could not write {}: {e}", file(dir).display()))
}

/// Lives until `stop`.
pub async fn live(town: Arc<Town>, clock: Arc<dyn Clock>, dice: Dice, stop: Stop) {
    if town.people.len() < 2 {
        return stop.wait().await; // nobody to pay
    }
    let mut tasks = JoinSet::new();
    let acts_per_s = (town.people.len() as u64 / PEOPLE_PER_ACT).clamp(1, ACTS_PER_S_MAX);
    for _ in 0..HANDS {
        let hand = Hand::new(Arc::clone(&town), Dice::seeded(dice.u64()), Habits::gentle());
        tasks.spawn(work(hand, Dice::seeded(dice.u64()), 1_000_000 * HANDS / acts_per_s, stop.clone()));
    }
    tasks.spawn(days(town, clock, stop));
    while tasks.join_next().await.is_some() {}
}

/// One hand: an act, a pause of about `pause_us`, and again.
async fn work(mut hand: Hand, dice: Dice, pause_us: u64, stop: Stop) {
    loop {
        let pause = Duration::from_micros(pause_us / 2 + dice.below(pause_us + 1));
        tokio::select! {
            biased;
            () = stop.wait() => return,
            () = tokio::time::sleep(pause) => {}
        }
        if let Err(why) = hand.act().await {
            tracing::warn!(why, "a customer could not act");
        }
    }
}

/// Each day, as soon as it has begun: interest for everybody, salaries for those whose day it is.
async fn days(town: Arc<Town>, clock: Arc<dyn Clock>, stop: Stop) {
    let mut done: Option<BusinessDate> = None;
    loop {
        let today = clock.now().business_date(UtcOffset::SEOUL);
        if done != Some(today) {
            for who in 0..town.people.len() {
                let pause = Duration::from_millis(1_000 / DAILY_PER_S_MAX);
                tokio::select! {
                    biased;
                    () = stop.wait() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                if let Err(why) = daily(&town, who, today).await {
                    tracing::warn!(why, "a customer could not do what is done daily");
                }
            }
            done = Some(today);
        }
        tokio::select! {
            biased;
            () = stop.wait() => return,
            () = tokio::time::sleep(Duration::from_millis(DAY_LOOK_MS)) => {}
        }
    }
}

async fn daily(town: &Town, who: usize, today: BusinessDate) -> Result<(), String> {
    let person = &town.people[who];
    if person.salary_day == today.day() {
        let amount = Amount::new(person.salary).map_err(|e| e.to_string())?;
        let (source, memo) = ("nostro".to_owned(), Some("salary".to_owned()));
        let salary = Command::Credit { account: person.account, amount, source, memo };
        let key = format!("salary-{:04}-{:02}-{}", today.year(), today.month(), person.account);
        town.service.post(KRW, &key, &salary).await;
    }
    if person.since >= today {
        return Ok(()); // no day has ended yet
    }
    let teller = town.teller(who)?;
    let key = format!("claim-{today}");
    let answer = teller.client.claim_by_channel(person.account, &key).await;
    let no_channel = matches!(&answer.said, Said::Problem(problem) if problem.code == "NOT_FOUND");
    if no_channel {
        teller.claim(KRW, &key, person.account).await;
    }
    Ok(())
}
