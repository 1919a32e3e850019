//! Relays of several processes on one outbox.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use jangbu_platform::clock::RealClock;
use jangbu_platform::db::Db;
use jangbu_platform::dice::Dice;
use jangbu_platform::kv::{Kv, KvLimits};
use jangbu_platform::log::Log;
use jangbu_platform::migrate;
use jangbu_platform::relay::{self, Outbox, Outgoing as _, Turn};
use jangbu_platform::service::Stop;
use tokio::task::JoinHandle;

struct World {
    _dir: tempfile::TempDir,
    db: Db,
    log: Log,
    kv: Kv,
}

impl World {
    async fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open_embedded(&dir.path().join("t.db"), Arc::new(RealClock), Dice::from_os()).unwrap();
        migrate::apply(&db, &[]).await.unwrap();
        let log = Log::open_embedded(&dir.path().join("log.db"), Arc::new(RealClock), Dice::from_os()).await.unwrap();
        World { _dir: dir, db, log, kv: Kv::in_process(Arc::new(RealClock), KvLimits::default()) }
    }

    fn relay(&self, stop: &Stop) -> JoinHandle<()> {
        let turn = Turn::new(self.kv.clone(), self.db.clone(), "relay:t:0".into());
        let (outbox, wake) = (Arc::new(Outbox(self.db.clone())), self.db.emitted());
        tokio::spawn(relay::run("t".into(), outbox, wake, self.log.clone(), stop.clone(), Some(turn)))
    }

    /// Emits, and waits until the outbox is empty; how many events the log has then.
    async fn told(&self, count: usize) -> i64 {
        let events = (0..count).map(|n| (format!("k{n}"), "x.v1", String::new()));
        relay::emit_alone(&self.db, "t", events).await.unwrap();
        let outbox = Outbox(self.db.clone());
        let empty = async {
            while outbox.waiting().await.unwrap() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), empty).await.expect("somebody relays");
        self.log.ends("t").await.unwrap().iter().sum()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_several_relays_sends_and_another_goes_on() {
    let world = World::new().await;
    let stops = [Stop::default(), Stop::default(), Stop::default()];
    let relays = stops.each_ref().map(|stop| world.relay(stop));
    let mut told = 0;
    for _ in 0..20 {
        told += 100;
        assert_eq!(world.told(100).await, told, "each event once");
    }
    for (stop, relay) in stops.iter().zip(relays) {
        told += 100;
        assert_eq!(world.told(100).await, told, "whoever is left goes on");
        stop.stop();
        relay.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_store_all_send_and_nothing_waits() {
    let world = World::new().await;
    world.kv.cut_off(true);
    let stop = Stop::default();
    let relays = [world.relay(&stop), world.relay(&stop)];
    assert!(world.told(500).await >= 500);
    stop.stop();
    for relay in relays {
        relay.await.unwrap();
    }
}
