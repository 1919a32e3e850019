//! What the embedded log forgets, and what it keeps.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;

use jangbu_kernel::id::EventId;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::clock::{Clock as _, ManualClock};
use jangbu_platform::db::Event;
use jangbu_platform::dice::Dice;
use jangbu_platform::log::retention::Retention;
use jangbu_platform::log::{Log, PARTITIONS};

const DAY_US: i64 = 86_400_000_000;

struct World {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    log: Log,
    dice: Dice,
}

async fn open(dir: &Path, clock: &Arc<ManualClock>) -> Log {
    Log::open_embedded(&dir.join("log.db"), clock.clone(), Dice::seeded(1)).await.unwrap()
}

impl World {
    async fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
        let log = open(dir.path(), &clock).await;
        World { dir, clock, log, dice: Dice::seeded(2) }
    }

    /// Appends so many records of about a kilobyte to a topic.
    async fn append(&self, topic: &str, records: usize) {
        let event = |n: usize| Event {
            id: EventId::from_bytes(self.dice.bytes()),
            topic: topic.to_owned(),
            key: format!("k{n}"),
            event_type: "x.v1".to_owned(),
            payload: "x".repeat(1_000),
        };
        self.log.append(&(0..records).map(event).collect::<Vec<_>>()).await.unwrap();
    }

    /// A group takes all there is of a topic.
    async fn take(&self, group: &str, topic: &str) {
        for (part, end) in (0..).zip(self.log.ends(topic).await.unwrap()) {
            self.log.commit(group, topic, part, end).await.unwrap();
        }
    }

    fn days_pass(&self, days: i64) {
        assert!(self.clock.advance_to(Timestamp::from_micros(self.clock.now().micros() + days * DAY_US)));
    }

    /// Forgets all that the rule lets go; how many records, and the most that one step took.
    async fn forget(&self, rule: &Retention) -> (u64, u64) {
        let (mut all, mut most) = (0, 0);
        loop {
            match self.log.forget(rule).await.unwrap() {
                0 => return (all, most),
                step => (all, most) = (all + step, most.max(step)),
            }
        }
    }

    async fn held(&self, topic: &str) -> usize {
        let mut held = 0;
        for part in 0..PARTITIONS {
            held += self.log.read(topic, part, 0, u32::MAX).await.unwrap().len();
        }
        held
    }
}

fn rule(readers: &[(&str, &str)]) -> Retention {
    Retention::of_days(7, readers.iter().map(|(topic, group)| ((*topic).to_owned(), (*group).to_owned())).collect())
}

#[tokio::test]
async fn what_everybody_has_passed_goes_when_it_is_old() {
    let world = World::new().await;
    world.append("t", 3_000).await;
    world.take("a", "t").await;
    let readers = rule(&[("t", "a")]);
    world.days_pass(7);
    assert_eq!(world.forget(&readers).await, (0, 0), "it is a week old, and no older");
    world.append("t", 100).await;
    world.take("a", "t").await;
    world.days_pass(1);
    let ends = async || world.log.ends("t").await.unwrap();
    let before = ends().await;
    let (all, most) = world.forget(&readers).await;
    assert_eq!((all, most, world.held("t").await), (3_000, 500, 100), "in small steps, and no young record");
    world.days_pass(30);
    world.forget(&readers).await;
    assert_eq!(world.held("t").await, PARTITIONS as usize, "the last of each partition stays");
    assert_eq!(ends().await, before, "and the next offset follows from it");
    world.append("t", 10).await;
    assert_eq!(world.log.lag("a", "t").await.unwrap(), 10);
}

#[tokio::test]
async fn a_group_that_is_behind_keeps_what_it_needs() {
    let world = World::new().await;
    for topic in ["slow", "unheard", "waited"] {
        world.append(topic, 400).await;
        world.take("a", topic).await;
    }
    let at = world.log.ends("slow").await.unwrap()[0] / 2;
    world.take("b", "slow").await;
    world.log.commit("b", "slow", 0, at).await.unwrap();
    world.days_pass(30);
    // One that the log has not met yet holds a topic too.
    world.forget(&rule(&[("slow", "a"), ("unheard", "a"), ("waited", "a"), ("waited", "to come")])).await;
    assert_eq!(world.held("waited").await, 400);
    assert_eq!(world.held("unheard").await, PARTITIONS as usize);
    let left = world.log.read("slow", 0, 0, u32::MAX).await.unwrap();
    assert_eq!(left.first().unwrap().offset, at, "what the slow group takes next is there");
    assert_eq!(world.log.read("slow", 1, 0, u32::MAX).await.unwrap().len(), 1, "other partitions don't wait for it");
    assert_eq!(world.log.lag("b", "slow").await.unwrap(), i64::try_from(left.len()).unwrap());
}

#[tokio::test]
async fn the_room_of_what_went_is_used_again() {
    let world = World::new().await;
    let readers = rule(&[("t", "a")]);
    let mut sizes = Vec::new();
    for _ in 0..4 {
        world.append("t", 2_000).await;
        world.take("a", "t").await;
        world.days_pass(8);
        world.forget(&readers).await;
        world.log.close().await.unwrap();
        sizes.push(world.dir.path().join("log.db").metadata().unwrap().len());
    }
    assert!(sizes[3] <= sizes[0] + sizes[0] / 10, "the file grows: {sizes:?}");
    let again = open(world.dir.path(), &world.clock).await;
    assert_eq!(again.ends("t").await.unwrap()[0], world.log.ends("t").await.unwrap()[0]);
}
