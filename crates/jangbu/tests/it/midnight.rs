//! The bank doesn't stop at midnight: days change under load, and every request belongs to one of the two.

use std::sync::Arc;
use std::time::Duration;

use jangbu_kernel::time::UtcOffset;
use jangbu_platform::clock::Clock as _;
use jangbu_platform::service::Stop;

use crate::world::{World, rest};

/// Midnights.
const NIGHTS: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn days_change_under_load() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(&home.path().join("bank"), 23).await;
    for night in 0..NIGHTS {
        let (town, stop) = (Arc::new(world.town()), Stop::default());
        let hands = world.load_with(&town, &stop, None);
        // From the last microsecond of a day into the next, and now and then some days further.
        let midnight = world.clock.now().next_midnight(UtcOffset::SEOUL);
        let days = i64::from(night % 2 == 1) * 3;
        for to in [midnight.plus_micros(-1), midnight.plus_micros(days * 86_400_000_000)] {
            tokio::time::sleep(Duration::from_millis(20 + world.dice.below(40))).await;
            world.move_clock(to).await;
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
        stop.stop();
        rest(hands).await;
        world.account_for_all().await;
    }
    world.prove_the_ledger().await;
    let claims = world.auditor.look(|m| m.postings.values().filter(|p| p.kind == "interest").count());
    assert!(claims > 10, "interest was taken {claims} times");
}
