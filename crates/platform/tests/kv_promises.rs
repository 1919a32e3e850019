//! The promises of the key-value store, on the engine in this process, and what is that engine's own.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use jangbu_kernel::time::Timestamp;
use jangbu_platform::clock::ManualClock;
use jangbu_platform::kv::{CacheKey, Kv, KvLimits};
use jangbu_platform::promises::hold;
use jangbu_platform::promises::kv::{ALL, LIMITS, START, World};

fn after(micros: i64) -> Timestamp {
    START.plus_micros(micros)
}

fn key(name: &str) -> CacheKey<String> {
    CacheKey::new("test", name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_in_this_process_keeps_the_promises() {
    let open = async || {
        let clock = Arc::new(ManualClock::new(START));
        let kv = Kv::in_process(clock.clone(), LIMITS);
        Ok(World { other: kv.clone(), kv, clock })
    };
    hold(ALL, open).await.unwrap();
}

#[tokio::test]
async fn the_cache_is_bounded_and_what_ends_soonest_makes_room() {
    let limits = KvLimits { cache_bytes_max: 100 * 1_024, ..KvLimits::default() };
    let kv = Kv::in_process(Arc::new(ManualClock::new(START)), limits);
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
}

#[tokio::test]
async fn numbers_of_leases_grow_from_process_to_process() {
    let clock = Arc::new(ManualClock::new(START));
    let before = Kv::in_process(clock.clone(), LIMITS).take_lease("relay", after(9)).await.unwrap().unwrap();
    assert!(clock.advance_to(after(10)));
    let restarted = Kv::in_process(clock, LIMITS);
    assert!(restarted.take_lease("relay", after(20)).await.unwrap().unwrap().fence() > before.fence());
}
