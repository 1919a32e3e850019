//! What the key-value store promises, whichever engine stands behind it.

use std::sync::Arc;

use futures_util::FutureExt as _;
use jangbu_kernel::time::Timestamp;

use super::Promise;
use crate::clock::ManualClock;
use crate::db::Fault;
use crate::kv::{CacheKey, Kv, KvLimits, Lease, NAME_BYTES_MAX, SCORE_MAX, VALUE_BYTES_MAX};

/// When a world begins.
pub const START: Timestamp = Timestamp::from_micros(1_767_193_200_000_000);
/// Bounds small enough to be reached.
pub const LIMITS: KvLimits = KvLimits { cache_bytes_max: 64 << 20, leases_max: 4, members_max: 600, counters_max: 4 };

/// An empty store, as two processes see it.
pub struct World {
    /// The store, with [`LIMITS`].
    pub kv: Kv,
    /// The same store, opened by another.
    pub other: Kv,
    /// The time of both; it stands at [`START`].
    pub clock: Arc<ManualClock>,
}

impl World {
    fn at(&self, micros: i64) {
        assert!(self.clock.advance_to(after(micros)), "the clock goes forward only");
    }
}

/// All of them.
pub const ALL: &[Promise<World>] = &[
    ("the cache keeps a value until its instant exactly", |w| cache_ends(w).boxed()),
    ("a value of another type is not there", |w| other_type(w).boxed()),
    ("a value too large is not kept", |w| too_large(w).boxed()),
    ("what a day's end expires makes room", |w| day_end(w).boxed()),
    ("a lease excludes, is renewed and expires", |w| lease(w).boxed()),
    ("numbers of leases grow whatever is lost", |w| fences(w).boxed()),
    ("a set is in order of score and member", |w| set_order(w).boxed()),
    ("a counter counts until its instant", |w| counter(w).boxed()),
    ("callers at once lose nothing", |w| at_once(w).boxed()),
    ("beyond a bound it is busy", |w| bounds(w).boxed()),
    ("it can be out of reach and lose everything", |w| lost(w).boxed()),
];

fn after(micros: i64) -> Timestamp {
    START.plus_micros(micros)
}

fn key(name: &str) -> CacheKey<String> {
    CacheKey::new("test", name)
}

fn text(value: &str) -> String {
    value.to_owned()
}

async fn cache_ends(world: World) -> Result<(), Fault> {
    let (kv, other) = (&world.kv, &world.other);
    let (a, b) = (key("a"), key("b"));
    assert_eq!(kv.get(&a).await?, None);
    kv.put(&a, &text("one"), after(1_000)).await?;
    kv.put(&b, &text("two"), after(2_000)).await?;
    world.at(999);
    assert_eq!(kv.get(&a).await?.as_deref(), Some("one"), "reading does not lengthen its life");
    assert_eq!(other.get(&a).await?.as_deref(), Some("one"), "others see it");
    world.at(1_000);
    assert_eq!(kv.get(&a).await?, None, "at the instant it is gone");
    assert_eq!(kv.get(&b).await?.as_deref(), Some("two"));
    other.put(&b, &text("three"), after(5_000)).await?;
    world.at(2_000);
    assert_eq!(kv.get(&b).await?.as_deref(), Some("three"), "a later value has a later end");
    kv.put(&b, &text("late"), after(2_000)).await?;
    assert_eq!(kv.get(&b).await?, None, "what is over already is not kept, nor what it replaces");
    kv.put(&a, &text("four"), after(9_000)).await?;
    kv.forget(&a).await?;
    other.forget(&a).await?;
    assert_eq!(kv.get(&a).await?, None);
    Ok(())
}

async fn other_type(world: World) -> Result<(), Fault> {
    world.kv.put(&key("a"), &text("text"), after(1)).await?;
    assert_eq!(world.kv.get(&CacheKey::<u64>::new("test", "a")).await?, None);
    assert_eq!(world.kv.get(&CacheKey::<String>::new("other", "a")).await?, None, "spaces are apart");
    Ok(())
}

async fn too_large(world: World) -> Result<(), Fault> {
    let kv = &world.kv;
    let largest = "x".repeat(VALUE_BYTES_MAX - 2); // with its quotes
    kv.put(&key("a"), &largest, after(9)).await?;
    assert_eq!(kv.get(&key("a")).await?, Some(largest.clone()));
    kv.put(&key("a"), &(largest + "x"), after(9)).await?;
    assert_eq!(kv.get(&key("a")).await?, None, "nor does what it would have replaced stay");
    Ok(())
}

async fn day_end(world: World) -> Result<(), Fault> {
    let kv = &world.kv;
    for i in 0..500 {
        kv.put(&key(&format!("old{i}")), &text("x"), after(10)).await?;
    }
    world.at(10);
    for i in 0..500 {
        kv.put(&key(&format!("new{i}")), &text("x"), after(20)).await?;
    }
    for i in 0..500 {
        assert_eq!(kv.get(&key(&format!("old{i}"))).await?, None);
        assert!(kv.get(&key(&format!("new{i}"))).await?.is_some(), "{i}");
    }
    Ok(())
}

async fn take(kv: &Kv, name: &str, micros: i64) -> Result<Lease, Fault> {
    Ok(kv.take_lease(name, after(micros)).await?.expect("nobody has it"))
}

async fn lease(world: World) -> Result<(), Fault> {
    let (kv, other) = (&world.kv, &world.other);
    let first = take(kv, "relay", 1_000).await?;
    assert_eq!(other.take_lease("relay", after(1_000)).await?, None, "it is held");
    let sweep = take(other, "sweep", 1_000).await?;
    assert!(sweep.fence() > first.fence());
    let renewed = kv.renew_lease(&first, after(2_000)).await?.expect("it is held");
    assert_eq!((renewed.fence(), renewed.until()), (first.fence(), after(2_000)));
    world.at(1_999);
    assert_eq!(other.take_lease("relay", after(5_000)).await?, None, "it was renewed");
    world.at(2_000);
    assert_eq!(kv.renew_lease(&renewed, after(9_000)).await?, None, "too late");
    assert!(!kv.release_lease(renewed.clone()).await?, "it was over");
    let second = take(other, "relay", 5_000).await?;
    assert!(second.fence() > sweep.fence(), "numbers grow from holder to holder");
    assert_eq!(kv.renew_lease(&first, after(9_000)).await?, None, "whoever lost it does not get it back");
    assert!(!kv.release_lease(first).await?, "nor ends the turn of another");
    assert_eq!(kv.take_lease("relay", after(5_000)).await?, None);
    assert!(other.release_lease(second.clone()).await?);
    assert!(!other.release_lease(second).await?);
    let _ = take(kv, "relay", 5_000).await?;
    assert_eq!(kv.take_lease("past", after(2_000)).await?, None, "a turn that is over is none");
    Ok(())
}

async fn fences(world: World) -> Result<(), Fault> {
    let (kv, other) = (&world.kv, &world.other);
    let mut last = 0;
    for i in 0..50 {
        let lease = take(if i % 2 == 0 { kv } else { other }, "turn", 1_000).await?;
        assert!(lease.fence() > last, "{} after {last}", lease.fence());
        last = lease.fence();
        if i % 3 == 0 {
            kv.wipe().await?;
            assert_eq!(kv.renew_lease(&lease, after(2_000)).await?, None, "it was lost");
        } else {
            assert!(kv.release_lease(lease).await?);
        }
    }
    Ok(())
}

async fn set_order(world: World) -> Result<(), Fault> {
    let kv = &world.kv;
    for (member, score) in [("d", 5), ("b", 1), ("c", 1), ("a", 9), ("e", -SCORE_MAX), ("f", SCORE_MAX)] {
        assert!(kv.set_add("room", member, score).await?);
    }
    assert!(!world.other.set_add("room", "a", 1).await?, "it is there, and moves");
    let members = kv.set_first("room", 100).await?;
    let order: Vec<&str> = members.iter().map(|(member, _)| member.as_str()).collect();
    assert_eq!(order, ["e", "a", "b", "c", "d", "f"]);
    assert_eq!(members[1], (text("a"), 1));
    assert_eq!((members[0].1, members[5].1), (-SCORE_MAX, SCORE_MAX));
    for (rank, member) in (0u64..).zip(&order) {
        assert_eq!(kv.set_rank("room", member).await?, Some(rank), "{member}");
    }
    assert_eq!(kv.set_first("room", 2).await?.len(), 2);
    assert!(kv.set_first("room", 0).await?.is_empty());
    assert_eq!(kv.set_rank("room", "nobody").await?, None);
    assert!(kv.set_remove("room", "e").await?);
    assert!(!kv.set_remove("room", "e").await?);
    assert_eq!(kv.set_rank("room", "f").await?, Some(4));
    assert_eq!((kv.set_len("room").await?, kv.set_len("other").await?), (5, 0));
    assert!(kv.set_first("other", 9).await?.is_empty());
    assert!(matches!(kv.set_add("room", "x", SCORE_MAX + 1).await, Err(Fault::Busy(_))));
    Ok(())
}

async fn counter(world: World) -> Result<(), Fault> {
    let kv = &world.kv;
    assert_eq!(kv.counted("calls").await?, 0);
    assert_eq!(kv.count("calls", 2, after(1_000)).await?, 2);
    assert_eq!(world.other.count("calls", -5, after(9_000)).await?, -3);
    world.at(999);
    assert_eq!(kv.counted("calls").await?, -3);
    world.at(1_000);
    assert_eq!(kv.counted("calls").await?, 0, "its end is that of its beginning");
    assert_eq!(kv.count("calls", 7, after(2_000)).await?, 7);
    assert_eq!(kv.count("calls", i64::MAX, after(2_000)).await?, i64::MAX, "it stops there");
    assert_eq!(kv.count("calls", -1, after(2_000)).await?, i64::MAX - 1, "and is exact");
    kv.count("low", -1, after(2_000)).await?;
    assert_eq!(kv.count("low", i64::MIN, after(2_000)).await?, i64::MIN);
    Ok(())
}

async fn at_once(world: World) -> Result<(), Fault> {
    let task = |i: i64| {
        let kv = if i % 2 == 0 { world.kv.clone() } else { world.other.clone() };
        tokio::spawn(async move {
            kv.count("calls", 1, after(9)).await?;
            assert!(kv.set_add("room", &format!("m{i:04}"), i).await?);
            Ok::<_, Fault>(kv.take_lease("turn", after(9)).await?.is_some())
        })
    };
    let mut turns = 0;
    for task in (0..500).map(task).collect::<Vec<_>>() {
        turns += i64::from(task.await.expect("it does not panic")?);
    }
    assert_eq!(turns, 1);
    assert_eq!(world.kv.counted("calls").await?, 500);
    assert_eq!(world.kv.set_rank("room", "m0499").await?, Some(499));
    Ok(())
}

async fn bounds(world: World) -> Result<(), Fault> {
    let kv = &world.kv;
    for name in ["a", "b", "c", "d"] {
        let _ = take(kv, name, 10).await?;
        kv.count(name, 1, after(10)).await?;
    }
    for i in 0..LIMITS.members_max {
        kv.set_add(if i % 2 == 0 { "even" } else { "odd" }, &i.to_string(), 1).await?;
    }
    let other = &world.other;
    assert!(matches!(other.take_lease("e", after(20)).await, Err(Fault::Busy(_))));
    assert!(matches!(other.count("e", 1, after(20)).await, Err(Fault::Busy(_))));
    assert!(matches!(other.set_add("new", "m", 1).await, Err(Fault::Busy(_))));
    assert_eq!(kv.count("a", 1, after(20)).await?, 2, "those that are there go on");
    assert!(!kv.set_add("even", "0", 2).await?);
    world.at(10);
    let _ = take(kv, "e", 20).await?; // what expired makes room
    kv.count("e", 1, after(20)).await?;
    assert!(kv.set_remove("even", "0").await?);
    assert!(kv.set_add("new", "m", 1).await?);
    let long = "n".repeat(NAME_BYTES_MAX + 1);
    assert!(matches!(kv.take_lease(&long, after(20)).await, Err(Fault::Busy(_))));
    assert!(matches!(kv.put(&key(&long), &String::new(), after(20)).await, Err(Fault::Busy(_))));
    Ok(())
}

async fn lost(world: World) -> Result<(), Fault> {
    let kv = &world.kv;
    kv.put(&key("a"), &text("kept"), after(10)).await?;
    let lease = take(kv, "turn", 10).await?;
    kv.set_add("room", "m", 1).await?;
    kv.count("calls", 1, after(10)).await?;
    kv.cut_off(true);
    let gone = |fault: Fault| matches!(fault, Fault::Unavailable(_));
    assert!(kv.get(&key("a")).await.is_err_and(gone));
    assert!(kv.put(&key("a"), &text("lost"), after(10)).await.is_err_and(gone));
    assert!(kv.forget(&key("a")).await.is_err_and(gone));
    assert!(kv.take_lease("turn", after(10)).await.is_err_and(gone));
    assert!(kv.renew_lease(&lease, after(10)).await.is_err_and(gone));
    assert!(kv.release_lease(lease).await.is_err_and(gone));
    assert!(kv.set_rank("room", "m").await.is_err_and(gone));
    assert!(kv.count("calls", 1, after(10)).await.is_err_and(gone));
    assert!(kv.wipe().await.is_err_and(gone));
    kv.cut_off(false);
    assert_eq!(kv.get(&key("a")).await?.as_deref(), Some("kept"));
    assert_eq!(kv.counted("calls").await?, 1);
    world.other.wipe().await?;
    assert_eq!(kv.get(&key("a")).await?, None);
    assert_eq!((kv.set_len("room").await?, kv.counted("calls").await?), (0, 0));
    let _ = take(kv, "turn", 10).await?;
    Ok(())
}
