//! What the key-value store promises, whichever engine stands behind it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use jangbu_kernel::time::Timestamp;
use jangbu_platform::clock::ManualClock;
use jangbu_platform::db::Fault;
use jangbu_platform::kv::{CacheKey, Kv, KvLimits, NAME_BYTES_MAX, SCORE_MAX, VALUE_BYTES_MAX};

const START: Timestamp = Timestamp::from_micros(1_767_193_200_000_000);

struct World {
    kv: Kv,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> World {
        Self::bounded(KvLimits::default())
    }
    fn bounded(limits: KvLimits) -> World {
        let clock = Arc::new(ManualClock::new(START));
        World { kv: Kv::in_process(clock.clone(), limits), clock }
    }
    fn at(&self, micros: i64) {
        assert!(self.clock.advance_to(after(micros)));
    }
}

fn after(micros: i64) -> Timestamp {
    START.plus_micros(micros)
}

fn key(name: &str) -> CacheKey<String> {
    CacheKey::new("test", name)
}

#[tokio::test]
async fn the_cache_keeps_a_value_until_its_instant_exactly() {
    let world = World::new();
    let kv = &world.kv;
    let (a, b) = (key("a"), key("b"));
    assert_eq!(kv.get(&a).await.unwrap(), None);
    kv.put(&a, &"one".to_owned(), after(1_000)).await.unwrap();
    kv.put(&b, &"two".to_owned(), after(2_000)).await.unwrap();
    world.at(999);
    assert_eq!(kv.get(&a).await.unwrap().as_deref(), Some("one"), "reading does not lengthen its life");
    world.at(1_000);
    assert_eq!(kv.get(&a).await.unwrap(), None, "at the instant it is gone");
    assert_eq!(kv.get(&b).await.unwrap().as_deref(), Some("two"));
    kv.put(&b, &"three".to_owned(), after(5_000)).await.unwrap();
    world.at(2_000);
    assert_eq!(kv.get(&b).await.unwrap().as_deref(), Some("three"), "a later value has a later end");
    kv.put(&b, &"late".to_owned(), after(2_000)).await.unwrap();
    assert_eq!(kv.get(&b).await.unwrap(), None, "what is over already is not kept, nor what it replaces");
    kv.put(&a, &"four".to_owned(), after(9_000)).await.unwrap();
    kv.forget(&a).await.unwrap();
    kv.forget(&a).await.unwrap();
    assert_eq!(kv.get(&a).await.unwrap(), None);
}

#[tokio::test]
async fn a_value_of_another_type_is_not_there() {
    let world = World::new();
    world.kv.put(&key("a"), &"text".to_owned(), after(1)).await.unwrap();
    assert_eq!(world.kv.get(&CacheKey::<u64>::new("test", "a")).await.unwrap(), None);
    assert_eq!(world.kv.get(&CacheKey::<String>::new("other", "a")).await.unwrap(), None, "spaces are apart");
}

#[tokio::test]
async fn the_cache_is_bounded_and_what_ends_soonest_makes_room() {
    let world = World::bounded(KvLimits { cache_bytes_max: 100 * 1_024, ..KvLimits::default() });
    let kv = &world.kv;
    let value = "x".repeat(10 * 1_024);
    for i in 0..50 {
        let until = if i == 10 { after(1) } else { after(1_000) };
        kv.put(&key(&i.to_string()), &value, until).await.unwrap();
    }
    let mut kept = Vec::new();
    for i in 0..50 {
        if kv.get(&key(&i.to_string())).await.unwrap().is_some() {
            kept.push(i);
        }
    }
    assert_eq!(kept, (41..50).collect::<Vec<_>>(), "of one instant the oldest leave first");
    kv.put(&key("large"), &"x".repeat(VALUE_BYTES_MAX), after(9)).await.unwrap();
    assert_eq!(kv.get(&key("large")).await.unwrap(), None, "a value too large is not kept");
    assert_eq!(kv.get(&key("49")).await.unwrap(), Some(value), "and costs the others nothing");
}

#[tokio::test]
async fn what_a_day_end_expires_makes_room() {
    let world = World::bounded(KvLimits { cache_bytes_max: 1 << 20, ..KvLimits::default() });
    let kv = &world.kv;
    for i in 0..2_000 {
        kv.put(&key(&format!("old{i}")), &"x".to_owned(), after(10)).await.unwrap();
    }
    world.at(10);
    for i in 0..2_000 {
        kv.put(&key(&format!("new{i}")), &"x".to_owned(), after(20)).await.unwrap();
    }
    for i in 0..2_000 {
        assert_eq!(kv.get(&key(&format!("old{i}"))).await.unwrap(), None);
        assert!(kv.get(&key(&format!("new{i}"))).await.unwrap().is_some(), "{i}");
    }
}

#[tokio::test]
async fn a_lease_excludes_is_renewed_and_expires() {
    let world = World::new();
    let kv = &world.kv;
    let first = kv.take_lease("relay", after(1_000)).await.unwrap().unwrap();
    assert_eq!(kv.take_lease("relay", after(1_000)).await.unwrap(), None, "it is held");
    let other = kv.take_lease("sweep", after(1_000)).await.unwrap().unwrap();
    assert!(other.fence() > first.fence());
    let renewed = kv.renew_lease(&first, after(2_000)).await.unwrap().unwrap();
    assert_eq!((renewed.fence(), renewed.until()), (first.fence(), after(2_000)));
    world.at(1_999);
    assert_eq!(kv.take_lease("relay", after(5_000)).await.unwrap(), None, "it was renewed");
    world.at(2_000);
    assert_eq!(kv.renew_lease(&renewed, after(9_000)).await.unwrap(), None, "too late");
    let second = kv.take_lease("relay", after(5_000)).await.unwrap().unwrap();
    assert!(second.fence() > other.fence(), "numbers grow from holder to holder");
    assert_eq!(kv.renew_lease(&first, after(9_000)).await.unwrap(), None, "whoever lost it does not get it back");
    assert!(!kv.release_lease(first).await.unwrap(), "nor ends the turn of another");
    assert_eq!(kv.take_lease("relay", after(5_000)).await.unwrap(), None);
    assert!(kv.release_lease(second.clone()).await.unwrap());
    assert!(!kv.release_lease(second.clone()).await.unwrap());
    let third = kv.take_lease("relay", after(5_000)).await.unwrap().unwrap();
    kv.wipe().await.unwrap();
    assert_eq!(kv.renew_lease(&third, after(9_000)).await.unwrap(), None);
    let fourth = kv.take_lease("relay", after(5_000)).await.unwrap().unwrap();
    assert!(third.fence() > second.fence() && fourth.fence() > third.fence(), "also when all was lost");
    let restarted = Kv::in_process(world.clock.clone(), KvLimits::default());
    world.at(2_010);
    assert!(restarted.take_lease("relay", after(5_000)).await.unwrap().unwrap().fence() > fourth.fence());
    assert_eq!(kv.take_lease("past", after(2_000)).await.unwrap(), None, "a turn that is over is none");
}

#[tokio::test]
async fn a_set_is_in_order_of_score_and_member() {
    let world = World::new();
    let kv = &world.kv;
    for (member, score) in [("d", 5), ("b", 1), ("c", 1), ("a", 9), ("e", -SCORE_MAX), ("f", SCORE_MAX)] {
        assert!(kv.set_add("room", member, score).await.unwrap());
    }
    assert!(!kv.set_add("room", "a", 1).await.unwrap(), "it is there, and moves");
    let members = kv.set_first("room", 100).await.unwrap();
    let order: Vec<&str> = members.iter().map(|(member, _)| member.as_str()).collect();
    assert_eq!(order, ["e", "a", "b", "c", "d", "f"]);
    assert_eq!(members[1], ("a".to_owned(), 1));
    for (rank, member) in (0u64..).zip(&order) {
        assert_eq!(kv.set_rank("room", member).await.unwrap(), Some(rank), "{member}");
    }
    assert_eq!(kv.set_first("room", 2).await.unwrap().len(), 2);
    assert_eq!(kv.set_rank("room", "nobody").await.unwrap(), None);
    assert!(kv.set_remove("room", "e").await.unwrap());
    assert!(!kv.set_remove("room", "e").await.unwrap());
    assert_eq!(kv.set_rank("room", "f").await.unwrap(), Some(4));
    assert_eq!(kv.set_len("room").await.unwrap(), 5);
    assert_eq!(kv.set_len("other").await.unwrap(), 0);
    assert!(kv.set_first("other", 9).await.unwrap().is_empty());
    assert!(matches!(kv.set_add("room", "x", SCORE_MAX + 1).await, Err(Fault::Busy(_))));
}

#[tokio::test]
async fn a_counter_counts_until_its_instant() {
    let world = World::new();
    let kv = &world.kv;
    assert_eq!(kv.counted("calls").await.unwrap(), 0);
    assert_eq!(kv.count("calls", 2, after(1_000)).await.unwrap(), 2);
    assert_eq!(kv.count("calls", -5, after(9_000)).await.unwrap(), -3);
    world.at(999);
    assert_eq!(kv.counted("calls").await.unwrap(), -3);
    world.at(1_000);
    assert_eq!(kv.counted("calls").await.unwrap(), 0, "its end is that of its beginning");
    assert_eq!(kv.count("calls", 7, after(2_000)).await.unwrap(), 7);
    assert_eq!(kv.count("calls", i64::MAX, after(2_000)).await.unwrap(), i64::MAX, "it stops there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_at_once_lose_nothing() {
    let world = World::new();
    let task = |i: i64| {
        let kv = world.kv.clone();
        tokio::spawn(async move {
            kv.count("calls", 1, after(9)).await.unwrap();
            assert!(kv.set_add("room", &format!("m{i:04}"), i).await.unwrap());
            kv.take_lease("turn", after(9)).await.unwrap().is_some()
        })
    };
    let mut turns = 0;
    for task in (0..500).map(task).collect::<Vec<_>>() {
        turns += i64::from(task.await.unwrap());
    }
    assert_eq!(turns, 1);
    assert_eq!(world.kv.counted("calls").await.unwrap(), 500);
    assert_eq!(world.kv.set_rank("room", "m0499").await.unwrap(), Some(499));
}

#[tokio::test]
async fn beyond_a_bound_it_is_busy() {
    let limits = KvLimits { leases_max: 2, members_max: 2, counters_max: 2, ..KvLimits::default() };
    let world = World::bounded(limits);
    let kv = &world.kv;
    for name in ["a", "b"] {
        assert!(kv.take_lease(name, after(10)).await.unwrap().is_some());
        kv.count(name, 1, after(10)).await.unwrap();
        kv.set_add(name, "m", 1).await.unwrap();
    }
    assert!(matches!(kv.take_lease("c", after(20)).await, Err(Fault::Busy(_))));
    assert!(matches!(kv.count("c", 1, after(20)).await, Err(Fault::Busy(_))));
    assert!(matches!(kv.set_add("c", "m", 1).await, Err(Fault::Busy(_))));
    assert_eq!(kv.count("a", 1, after(20)).await.unwrap(), 2, "those that are there go on");
    assert!(!kv.set_add("a", "m", 2).await.unwrap());
    world.at(10);
    assert!(kv.take_lease("c", after(20)).await.unwrap().is_some(), "what expired makes room");
    kv.count("c", 1, after(20)).await.unwrap();
    assert!(kv.set_remove("a", "m").await.unwrap());
    assert!(kv.set_add("c", "m", 1).await.unwrap());
    let long = "n".repeat(NAME_BYTES_MAX + 1);
    assert!(matches!(kv.take_lease(&long, after(20)).await, Err(Fault::Busy(_))));
    assert!(matches!(kv.put(&key(&long), &String::new(), after(20)).await, Err(Fault::Busy(_))));
}

#[tokio::test]
async fn it_can_be_out_of_reach_and_lose_everything() {
    let world = World::new();
    let kv = world.kv.clone();
    kv.put(&key("a"), &"kept".to_owned(), after(10)).await.unwrap();
    let lease = kv.take_lease("turn", after(10)).await.unwrap().unwrap();
    kv.set_add("room", "m", 1).await.unwrap();
    kv.count("calls", 1, after(10)).await.unwrap();
    world.kv.cut_off(true);
    let gone = |fault: Fault| matches!(fault, Fault::Unavailable(_));
    assert!(kv.get(&key("a")).await.is_err_and(gone));
    assert!(kv.put(&key("a"), &"lost".to_owned(), after(10)).await.is_err_and(gone));
    assert!(kv.forget(&key("a")).await.is_err_and(gone));
    assert!(kv.take_lease("turn", after(10)).await.is_err_and(gone));
    assert!(kv.renew_lease(&lease, after(10)).await.is_err_and(gone));
    assert!(kv.release_lease(lease).await.is_err_and(gone));
    assert!(kv.set_rank("room", "m").await.is_err_and(gone));
    assert!(kv.count("calls", 1, after(10)).await.is_err_and(gone));
    assert!(kv.wipe().await.is_err_and(gone));
    world.kv.cut_off(false);
    assert_eq!(kv.get(&key("a")).await.unwrap().as_deref(), Some("kept"));
    assert_eq!(kv.counted("calls").await.unwrap(), 1);
    kv.wipe().await.unwrap();
    assert_eq!(kv.get(&key("a")).await.unwrap(), None);
    assert_eq!((kv.set_len("room").await.unwrap(), kv.counted("calls").await.unwrap()), (0, 0));
    assert!(kv.take_lease("turn", after(10)).await.unwrap().is_some());
}
