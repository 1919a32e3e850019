//! The bank is killed under load, again and again: whatever was answered is there exactly once, whatever was not can be
//! asked by its key, and the books balance.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jangbu_kernel::time::UtcOffset;
use jangbu_platform::clock::{Clock as _, RealClock};
use jangbu_platform::service::Stop;

use crate::world::{World, rest};

/// Kills.
const ROUNDS: u64 = 50;
/// Milliseconds of load before a kill: at least, and how many more at most.
const LOAD_MS: (u64, u64) = (150, 300);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_answered_is_lost_when_the_bank_is_killed_under_load() {
    let seed =
        std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(RealClock.now().micros().unsigned_abs());
    println!("SEED={seed}");
    let home = tempfile::tempdir().unwrap();
    let mut world = World::new(&home.path().join("bank"), seed).await;
    let started = Instant::now();
    let (mut asked, mut absent) = (0, 0);
    for round in 0..ROUNDS {
        world.between_rounds(round).await;
        let (town, stop) = (Arc::new(world.town()), Stop::default());
        let hands = world.load(&town, &stop);
        tokio::time::sleep(Duration::from_millis(LOAD_MS.0 + world.dice.below(LOAD_MS.1))).await;
        world.running.strike();
        stop.stop();
        world.running.kill();
        rest(hands).await;
        world.restart();
        let (a, b) = world.account_for_all().await;
        (asked, absent) = (asked + a, absent + b);
    }
    world.prove_the_ledger().await;
    let (requests, entries) =
        world.auditor.look(|m| (m.postings.len(), m.accounts.values().map(|a| a.entries.len()).sum::<usize>()));
    let today = world.clock.now().business_date(UtcOffset::SEOUL);
    println!(
        "{ROUNDS} kills in {:?}: {requests} postings, {entries} entries up to {today}; {asked} keys asked, {absent} absent",
        started.elapsed()
    );
    assert!(asked > ROUNDS as usize && absent > 0 && asked > absent, "the kills must meet requests under way");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_is_told_to_end_answers_what_it_has_begun() {
    let home = tempfile::tempdir().unwrap();
    let mut world = World::new(&home.path().join("bank"), 7).await;
    for _ in 0..3 {
        let (town, stop) = (Arc::new(world.town()), Stop::default());
        let hands = world.load(&town, &stop);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let told = Instant::now();
        let ended = world.running.terminate().unwrap();
        stop.stop();
        assert_eq!(ended.code(), Some(0), "it ends well");
        assert!(told.elapsed() < Duration::from_secs(10), "it took {:?}", told.elapsed());
        rest(hands).await;
        world.restart();
        world.account_for_all().await;
    }
}
