//! What the log promises, whichever engine stands behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_kernel::id::EventId;

use super::Promise;
use crate::consumer::{Consumer, Handler, Reject, letters};
use crate::db::{Db, Event, Fault, Inserted, Tx, Value};
use crate::dice::Dice;
use crate::log::group::Member;
use crate::log::{Log, Record};
use crate::migrate::Migration;
use crate::relay::{self, Outbox};
use crate::service::Stop;

/// The table of the world's database.
pub const TABLE: &[Migration] = &[Migration {
    version: 1,
    name: "taken",
    sql: "CREATE TABLE taken (at BIGINT NOT NULL PRIMARY KEY, event_key VARCHAR(64) NOT NULL, n BIGINT NOT NULL);\n",
}];

/// How long something may take that happens beside the test.
const SOON: Duration = Duration::from_secs(60);
/// How long a member waits for records at a time.
const WAIT: Duration = Duration::from_millis(200);
/// Keys of events.
const KEYS: u64 = 40;

/// An empty topic, as two processes see it, and a database.
pub struct World {
    /// The log.
    pub log: Log,
    /// The same log, opened by another.
    pub other: Log,
    /// A topic that nobody has used.
    pub topic: String,
    /// A database with [`TABLE`].
    pub db: Db,
}

/// All of them.
pub const ALL: &[Promise<World>] = &[
    ("a key keeps its order, and everything comes", |w| order(w).boxed()),
    ("those who append at once keep the order of their keys", |w| append_at_once(w).boxed()),
    ("what was given and not taken comes again", |w| comes_again(w).boxed()),
    ("a group goes on where it was, and groups are apart", |w| goes_on(w).boxed()),
    ("it tells how far a group is behind, and what came last", |w| figures(w).boxed()),
    ("members share without loss, and never work on one key at once", |w| rebalance(w).boxed()),
    ("events take effect once and in order, a bad one parks its key", |w| effects(w).boxed()),
];

fn event(topic: &str, key: &str, n: u64) -> Event {
    let (id, event_type) = (EventId::from_bytes(Dice::from_os().bytes()), "thing.v1".to_owned());
    Event { id, topic: topic.to_owned(), key: key.to_owned(), event_type, payload: n.to_string() }
}

/// `count` events, dealt out to the keys in turn and numbered within each.
fn events(topic: &str, count: u64) -> Vec<Event> {
    (0..count).map(|i| event(topic, &format!("k{}", i % KEYS), i / KEYS)).collect()
}

/// What has come, by key, each event as it was first seen.
#[derive(Default)]
struct Seen {
    ids: BTreeSet<[u8; 16]>,
    by_key: BTreeMap<String, Vec<u64>>,
}

impl Seen {
    fn add(&mut self, records: &[Record]) {
        for Record { event, .. } in records {
            if self.ids.insert(event.id.to_bytes()) {
                let n = event.payload.parse().expect("payloads are numbers");
                self.by_key.entry(event.key.clone()).or_default().push(n);
            }
        }
    }

    fn is(&self, count: u64) -> bool {
        self.ids.len() as u64 == count
    }

    fn assert_in_order(&self) {
        for (key, seen) in &self.by_key {
            assert!(seen.iter().zip(0..).all(|(n, want)| *n == want), "{key}: {seen:?}");
        }
    }
}

async fn soon<T>(what: &str, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    tokio::time::timeout(SOON, work).await.unwrap_or_else(|_| panic!("not within {SOON:?}: {what}"))
}

/// Takes until so many events were seen.
async fn take(member: &mut dyn Member, count: u64) -> Result<Seen, Fault> {
    let mut seen = Seen::default();
    let all = async {
        while !seen.is(count) {
            let records = member.next(100, WAIT).await?;
            assert!(records.len() <= 100, "no more than asked for");
            seen.add(&records);
            member.taken().await?;
        }
        Ok(())
    };
    soon("everything comes", all).await?;
    Ok(seen)
}

async fn order(world: World) -> Result<(), Fault> {
    let World { log, other, topic, .. } = &world;
    let all = events(topic, 2_000);
    for (i, some) in all.chunks(150).enumerate() {
        if i % 2 == 0 { log.append(some).await? } else { other.append(some).await? }
    }
    let mut member = log.join("g", std::slice::from_ref(topic)).await?;
    let seen = take(member.as_mut(), 2_000).await?;
    seen.assert_in_order();
    let want: BTreeSet<_> = all.iter().map(|event| event.id.to_bytes()).collect();
    assert_eq!(seen.ids, want);
    member.leave().await;
    Ok(())
}

async fn append_at_once(world: World) -> Result<(), Fault> {
    let append = |n: u64| {
        let log = if n.is_multiple_of(2) { world.log.clone() } else { world.other.clone() };
        let topic = world.topic.clone();
        tokio::spawn(async move {
            for i in 0..20 {
                log.append(&[event(&topic, &format!("k{n}"), i)]).await?;
            }
            Ok::<_, Fault>(())
        })
    };
    for task in (0..8).map(append).collect::<Vec<_>>() {
        task.await.expect("it does not panic")?;
    }
    let mut member = world.other.join("g", std::slice::from_ref(&world.topic)).await?;
    take(member.as_mut(), 160).await?.assert_in_order();
    member.leave().await;
    Ok(())
}

/// The next records that come.
async fn next(member: &mut dyn Member, limit: u32) -> Result<Vec<Record>, Fault> {
    let some = async {
        loop {
            let records = member.next(limit, WAIT).await?;
            if !records.is_empty() {
                return Ok(records);
            }
        }
    };
    soon("records come", some).await
}

async fn comes_again(world: World) -> Result<(), Fault> {
    let World { log, topic, .. } = &world;
    log.append(&events(topic, 500)).await?;
    let mut member = log.join("g", std::slice::from_ref(topic)).await?;
    let mut given = BTreeSet::new();
    for _ in 0..3 {
        given.extend(next(member.as_mut(), 50).await?.iter().map(|r| r.event.id.to_bytes()));
    }
    let seen = take(member.as_mut(), 500).await?;
    seen.assert_in_order();
    assert!(given.is_subset(&seen.ids), "what was given three times and never taken came again");
    member.leave().await;
    Ok(())
}

async fn goes_on(world: World) -> Result<(), Fault> {
    let World { log, other, topic, .. } = &world;
    let topics = std::slice::from_ref(topic);
    log.append(&events(topic, 400)).await?;
    let mut first = log.join("g", topics).await?;
    take(first.as_mut(), 400).await?;
    first.leave().await;
    soon("the group is there", async {
        while other.lag("g", topic).await? > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    })
    .await?;
    log.append(&[event(topic, "later", 0)]).await?;
    let mut second = other.join("g", topics).await?;
    let come = next(second.as_mut(), 100).await?;
    assert_eq!(come.iter().map(|r| r.event.key.as_str()).collect::<Vec<_>>(), ["later"], "only what is new");
    second.taken().await?;
    let mut stranger = other.join("h", topics).await?;
    take(stranger.as_mut(), 401).await?;
    second.leave().await;
    stranger.leave().await;
    Ok(())
}

async fn figures(world: World) -> Result<(), Fault> {
    let World { log, topic, .. } = &world;
    assert_eq!((log.lag("g", topic).await?, log.latest(topic, 5).await?.len()), (0, 0));
    log.append(&events(topic, 300)).await?;
    assert_eq!((log.lag("g", topic).await?, log.ends(topic).await?.iter().sum::<i64>()), (300, 300));
    let latest = log.latest(topic, 10).await?;
    for (part, end) in (0u32..).zip(log.ends(topic).await?) {
        let offsets = latest.iter().filter(|r| r.part == part).map(|r| r.offset).collect::<Vec<_>>();
        assert_eq!(offsets, ((end - 10).max(0)..end).collect::<Vec<_>>(), "partition {part}");
        let records = log.read(topic, part, end / 2, 3).await?;
        let offsets = records.iter().map(|r| r.offset).collect::<Vec<_>>();
        assert_eq!(offsets, (end / 2..end.min(end / 2 + 3)).collect::<Vec<_>>(), "partition {part}");
    }
    let mut member = log.join("g", std::slice::from_ref(topic)).await?;
    take(member.as_mut(), 300).await?;
    member.leave().await;
    assert_eq!(log.lag("g", topic).await?, 0);
    Ok(())
}

/// What members of one group have done, and which keys they have in hand.
#[derive(Default)]
struct Shared {
    seen: Seen,
    in_hand: BTreeSet<String>,
}

/// Takes as a member that works a while on each batch, until it took so many; then it leaves.
async fn work(log: Log, topic: String, shared: Arc<Mutex<Shared>>, batches: u32, total: u64) -> Result<(), Fault> {
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let mut member = log.join("g", &[topic]).await?;
    let mut taken = 0;
    while taken < batches && !lock().seen.is(total) {
        let records = member.next(40, WAIT).await?;
        if records.is_empty() {
            continue;
        }
        let keys: BTreeSet<String> = records.iter().map(|record| record.event.key.clone()).collect();
        for key in &keys {
            assert!(lock().in_hand.insert(key.clone()), "two members have {key} in hand");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        lock().seen.add(&records);
        lock().in_hand.retain(|key| !keys.contains(key));
        member.taken().await?;
        taken += 1;
    }
    member.leave().await;
    Ok(())
}

async fn rebalance(world: World) -> Result<(), Fault> {
    let total = 8_000;
    let shared = Arc::<Mutex<Shared>>::default();
    let join = |i: u32, batches| {
        let log = if i.is_multiple_of(2) { world.log.clone() } else { world.other.clone() };
        tokio::spawn(work(log, world.topic.clone(), Arc::clone(&shared), batches, total))
    };
    let all = events(&world.topic, total);
    let (before, after) = all.split_at(all.len() / 2);
    world.log.append(before).await?;
    // Members come and go while it runs; one stays.
    let mut members = vec![join(0, u32::MAX)];
    for (i, some) in (1..).zip(after.chunks(500)) {
        members.push(join(i, 10 + i));
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.other.append(some).await?;
    }
    let done = async {
        for member in members {
            member.await.expect("it does not panic")?;
        }
        Ok(())
    };
    soon("all is taken", done).await?;
    let shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    shared.seen.assert_in_order();
    assert!(shared.seen.is(total), "{} of {total} were seen", shared.seen.ids.len());
    Ok(())
}

/// Writes down each event as it comes; one of payload "bad" can't be taken.
struct Writing;

impl Handler for Writing {
    fn apply<'a>(&'a self, tx: &'a mut Tx, events: &'a [Event]) -> BoxFuture<'a, Result<(), Reject>> {
        async move {
            let last = tx.query_one("SELECT MAX(at) FROM taken", &[]).await?;
            let mut at = last.and_then(|row| row.opt_int(0)).unwrap_or(0);
            for event in events {
                let n: i64 = event.payload.parse().map_err(|_| Reject::Poison("not a number".into()))?;
                at += 1;
                let row: [Value<'_>; 3] = [at.into(), (&event.key).into(), n.into()];
                if tx.insert("INSERT INTO taken (at, event_key, n) VALUES (?*)", &row).await? == Inserted::Duplicate {
                    return Err(Reject::Fault(Fault::Busy("another wrote meanwhile".into())));
                }
            }
            Ok(())
        }
        .boxed()
    }
}

async fn written(db: &Db) -> Result<BTreeMap<String, Vec<u64>>, Fault> {
    let mut by_key = BTreeMap::<String, Vec<u64>>::new();
    for row in db.read("taken").await?.query("SELECT event_key, n FROM taken ORDER BY at", &[]).await? {
        by_key.entry(row.text(0).to_owned()).or_default().push(row.int(1).unsigned_abs());
    }
    Ok(by_key)
}

async fn effects(world: World) -> Result<(), Fault> {
    let World { log, other, topic, db } = &world;
    let mut tx = db.begin("emit").await?;
    for n in 0..50 {
        for key in 0..KEYS {
            let payload = if (key, n) == (7, 20) { "bad".to_owned() } else { n.to_string() };
            tx.emit(topic, &format!("k{key}"), "thing.v1", payload);
        }
    }
    tx.commit().await?;
    let outbox = Outbox(db.clone());
    log.append(&relay::Outgoing::unsent(&outbox, 500).await?).await?; // as if a relay had died before its mark
    while relay::round(&outbox, log).await? > 0 {}
    let group = Consumer { group: "g", topics: vec![topic.clone()], db: db.clone(), handler: Arc::new(Writing) };
    let stop = Stop::default();
    let running = [log, other].map(|log| tokio::spawn(group.clone().run(log.clone(), stop.clone())));
    soon("all is taken", async {
        while log.lag("g", topic).await? > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    })
    .await?;
    stop.stop();
    for running in running {
        running.await.expect("it does not panic");
    }
    let mut written = written(db).await?;
    assert_eq!(written.remove("k7"), Some((0..20).collect()), "up to the bad one");
    assert_eq!(written.len() as u64, KEYS - 1);
    assert!(written.values().all(|taken| *taken == (0..50).collect::<Vec<_>>()), "once, and in order: {written:?}");
    let mut tx = db.read("parked").await?;
    assert_eq!(letters::parked_count(&mut tx).await?, 30, "the bad one, and those behind it");
    Ok(())
}
