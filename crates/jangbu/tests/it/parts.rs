//! Faults on real parts: the bank's processes on MariaDB, Kafka and Redis, each of which is killed, cut off, frozen or filled
//! up under load, again and again. A town and customers who exchange are at work all the time; afterwards nothing that was
//! answered is lost or doubled, and every won and every cent is where it should be.
//!
//! `JANGBU_ROUNDS` says how often each fault strikes, one time unless told; `JANGBU_FAULTS` names some of them, like
//! `mysql_killed,wire_cut`.

mod bank;
mod exchanges;
mod servers;
mod wire;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::ready;
use futures_util::stream;
use jangbu_platform::auth::Role;
use jangbu_platform::clock::{Clock as _, RealClock};
use jangbu_platform::dice::Dice;
use jangbu_platform::service::Stop;
use jangbu_sim::auditor::Auditor;
use jangbu_sim::client::{FX, KRW, Keys};
use jangbu_sim::workload::town::{Town, Ways};
use jangbu_sim::workload::{Habits, Hand};
use tokio::task::JoinSet;

use bank::{Bank, PROCESSES};
use exchanges::Exchangers;
use servers::Servers;
use wire::Way;

/// People of the town, and those at work for them.
const PEOPLE: usize = 12;
const HANDS: usize = 4;
/// Load before a fault and after it, milliseconds: at least, and how many more at most.
const LOAD_MS: (u64, u64) = (300, 500);
/// How long each rests between two things that he does.
const BETWEEN: Duration = Duration::from_millis(20);
/// Keys that are asked for at a time in the end.
const ASKED_AT_ONCE: usize = 16;
/// How long the bank may take to do its work again after a fault.
const HEALED: Duration = Duration::from_secs(30);
/// How long a server is frozen, or a wire silent, milliseconds; where `JANGBU_ROUNDS` says more than one, Kafka is away for
/// half a minute.
const AWAY_MS: u64 = 1_500;
const KAFKA_AWAY_MS: u64 = 30_000;
/// How long what was told may take to be taken.
const SETTLED: Duration = Duration::from_secs(90);
/// Decided requests that are sent again in the end.
const SENT_AGAIN: usize = 100;
/// Room of the disk on which the database is: more than thirty rounds write.
const DISK: &str = "size=1g";

const FAULTS: [&str; 10] = [
    "service_killed",
    "mysql_killed",
    "kafka_killed",
    "redis_killed",
    "redis_flushed",
    "kafka_away",
    "mysql_reads_only",
    "mysql_full",
    "wire_cut",
    "wire_silent",
];

/// A disk of the database's own, where one may be mounted.
struct Disk(PathBuf);

impl Disk {
    fn mounted(at: &Path) -> Option<Disk> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(at).output();
        mount.is_ok_and(|mount| mount.status.success()).then(|| Disk(at.to_owned()))
    }

    /// Takes all the room that is left; a file that gives it back when it is removed.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[0; 65_536]).is_ok() {}
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status(); // the server goes before it
    }
}

struct World {
    // In the order in which they go.
    bank: Bank,
    servers: Servers,
    disk: Option<Disk>,
    _home: tempfile::TempDir,
    auditor: Arc<Auditor>,
    town: Arc<Town>,
    exchangers: Arc<Exchangers>,
    dice: Dice,
    /// Which process is killed next.
    next: usize,
    kafka_away: Duration,
}

impl World {
    async fn new(seed: u64, many: bool) -> World {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("mysql");
        fs::create_dir_all(&data).unwrap();
        let disk = Disk::mounted(&data);
        let servers = Servers::start(home.path(), &data);
        let bank = Bank::open(home.path(), &servers);
        let (dice, keys) = (Dice::seeded(seed), Arc::new(Keys::since(RealClock.now())));
        let auditor = Arc::new(Auditor::new(Arc::new(RealClock)));
        let operator = bank.client(Role::Operator, "operator");
        for instance in [KRW, FX] {
            for terms in operator.deposit(instance).products().await.reply().unwrap().items {
                auditor.product(instance, &terms).unwrap();
            }
        }
        exchanges::publish(&operator).await;
        let client = bank.client(Role::Service, "town");
        let ways = Ways { client: client.clone(), tokens: bank.tokens(), auditor: Some(Arc::clone(&auditor)) };
        let mut town = Town::of(Vec::new(), &ways, Arc::clone(&keys)).unwrap();
        // Nobody of it has money abroad: exchanges are those of people who remember them themselves.
        town.grow(PEOPLE, &["toss-demand"], &dice, |_| {}).await.unwrap();
        let exchangers = Arc::new(Exchangers::new(client, keys).await);
        let kafka_away = Duration::from_millis(if many { KAFKA_AWAY_MS } else { AWAY_MS });
        let (town, next, _home) = (Arc::new(town), usize::try_from(dice.below(PROCESSES.len() as u64)).unwrap(), home);
        World { bank, servers, disk, _home, auditor, town, exchangers, dice, next, kafka_away }
    }

    fn load(&self, stop: &Stop, stopping: &Arc<AtomicBool>) -> JoinSet<()> {
        let mut hands = self.exchangers.load(&self.dice, stopping);
        for _ in 0..HANDS {
            let dice = Dice::seeded(self.dice.u64());
            let habits = Habits::wild(&dice);
            let mut hand = Hand::new(Arc::clone(&self.town), dice, habits);
            let stop = stop.clone();
            hands.spawn(async move {
                while !stop.is_stopping() {
                    hand.act().await.unwrap();
                    tokio::time::sleep(BETWEEN).await; // or a bank that is away is asked thousands of times
                }
            });
        }
        hands
    }

    async fn a_while(&self) {
        tokio::time::sleep(Duration::from_millis(LOAD_MS.0 + self.dice.below(LOAD_MS.1))).await;
    }

    async fn away(&self) {
        tokio::time::sleep(Duration::from_millis(AWAY_MS)).await;
    }

    /// Strikes, and puts right again what a fault broke.
    async fn strike(&mut self, fault: &str) {
        match fault {
            "service_killed" => {
                let at = self.next % PROCESSES.len();
                self.next += 1;
                self.bank.kill(at);
                self.a_while().await;
                self.bank.restart(at);
            }
            "mysql_killed" => {
                self.servers.mysql.kill();
                self.a_while().await;
                self.servers.mysql.restart();
            }
            "kafka_killed" => {
                self.servers.kafka.kill();
                self.a_while().await;
                self.servers.kafka.restart();
            }
            "redis_killed" => {
                self.servers.redis.kill();
                self.a_while().await;
                self.servers.redis.restart();
            }
            "redis_flushed" => self.servers.flush_redis(),
            "kafka_away" => {
                self.servers.kafka.freeze(true);
                tokio::time::sleep(self.kafka_away).await;
                self.servers.kafka.freeze(false);
            }
            "mysql_reads_only" => {
                self.servers.administer("SET GLOBAL read_only = 1");
                self.away().await;
                self.servers.administer("SET GLOBAL read_only = 0");
            }
            "mysql_full" => {
                let Some(disk) = &self.disk else { return println!("no disk of its own can be had here") };
                let filler = disk.fill();
                self.away().await;
                fs::remove_file(filler).unwrap();
            }
            "wire_cut" | "wire_silent" => {
                let way = if fault == "wire_cut" { Way::Cut } else { Way::Silent };
                let at = usize::try_from(self.dice.below(self.bank.wires.len() as u64)).unwrap();
                self.bank.wires[at].1.set(way);
                self.away().await;
                self.bank.wires[at].1.set(Way::Whole);
            }
            other => panic!("there is no fault {other:?}; faults are {FAULTS:?}"),
        }
    }

    /// Waits until somebody's exchange goes through whom the fault did not catch midway; all processes still run. How long that
    /// took.
    async fn healed(&mut self, fault: &str) -> Duration {
        let (dice, since) = (Dice::seeded(self.dice.u64()), Instant::now());
        while !self.exchangers.succeeds(&dice).await || !self.bank.answers() {
            let logged = || self.bank.logged() + &self.servers.mysql.log();
            assert!(since.elapsed() < HEALED, "after {fault} the bank does nothing any more: {}", logged());
            if fault == "mysql_full" {
                self.servers.mysql.revive(); // without room to roll back it ends itself
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(self.bank.ended().is_empty(), "{fault} ended {:?}: {}", self.bank.ended(), self.bank.logged());
        since.elapsed()
    }

    /// With nobody at work: everything is answered for.
    async fn account_for_all(&self) {
        let began = Instant::now();
        let exchanged = self.exchangers.account_for_all().await;
        let open = self.auditor.open();
        let asked = open.len();
        let absent = stream::iter(open).map(|(key, what)| async move {
            let teller = self.town.named(&key.caller).unwrap();
            let absent = teller.ask(&key.instance, &key.key).await.unwrap().is_none();
            if absent && self.dice.below(2) == 0 {
                assert!(teller.send(&key.instance, &key.key, &what).await, "no answer at rest to {key:?}");
            }
            absent
        });
        let absent = absent.buffer_unordered(ASKED_AT_ONCE).filter(|absent| ready(*absent)).count().await;
        for (key, what) in self.auditor.decided_some(SENT_AGAIN, |n| self.dice.below(n)) {
            let teller = self.town.named(&key.caller).unwrap();
            assert!(teller.send(&key.instance, &key.key, &what).await, "no answer at rest to {key:?}");
        }
        if let Err(found) = self.auditor.judge() {
            panic!("the auditor disagrees:\n{}", found.join("\n"));
        }
        if let Err(found) = self.auditor.compare(&self.bank.client(Role::Service, "town")).await {
            panic!("the books differ:\n{}", found.join("\n"));
        }
        self.settled().await;
        let (succeeded, failed, never) = exchanged;
        println!(
            "{succeeded} exchanges succeeded, {failed} failed, {never} were never begun; {asked} keys asked, {absent} absent; \
             accounted for in {:?}",
            began.elapsed()
        );
        assert!(succeeded > 0);
    }

    /// What was told has been taken, nothing waits or is parked, and the books balance.
    async fn settled(&self) {
        let since = Instant::now();
        loop {
            let (ok, said) = self.bank.check();
            let mut left = 0;
            for (_, service, _) in PROCESSES.iter().filter(|(name, service, _)| name == service) {
                left += self.bank.count(service, "SELECT COUNT(*) FROM outbox").await;
                left += self.bank.count(service, "SELECT COUNT(*) FROM dead_letter").await;
            }
            for instance in [KRW, FX] {
                left += self.bank.count(instance, "SELECT COUNT(*) FROM posting_outbox").await;
                left += self.bank.count(instance, "SELECT COUNT(*) FROM given_up").await;
            }
            left += self.bank.count("exchange", "SELECT COUNT(*) FROM saga").await;
            if ok && left == 0 && said.contains("\"counts\":[]") {
                return;
            }
            assert!(since.elapsed() < SETTLED, "{left} are left; {said}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Tells what the processes logged last, when the test fails while it is held.
struct Logged<'a>(&'a World);

impl Drop for Logged<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.0.bank.logged());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_parts_fail_under_load_and_nothing_answered_is_lost() {
    if let Some(why) = servers::missing() {
        return eprintln!("left out: {why}");
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (seed, rounds) = (number("SEED").unwrap_or(RealClock.now().micros().unsigned_abs()), number("JANGBU_ROUNDS"));
    println!("SEED={seed}");
    let named = std::env::var("JANGBU_FAULTS").unwrap_or_else(|_| FAULTS.join(","));
    let faults: Vec<&str> = named.split(',').collect();
    let mut world = World::new(seed, rounds.is_some_and(|rounds| rounds > 1)).await;
    for fault in faults {
        let began = Instant::now();
        let rounds = rounds.unwrap_or(if fault == "service_killed" { 2 } else { 1 });
        let (stop, stopping) = (Stop::default(), Arc::<AtomicBool>::default());
        let mut hands = world.load(&stop, &stopping);
        let mut healed = Duration::ZERO;
        for _ in 0..rounds {
            world.a_while().await;
            world.strike(fault).await;
            healed = healed.max(world.healed(fault).await);
        }
        stop.stop();
        stopping.store(true, SeqCst);
        while let Some(ended) = hands.join_next().await {
            ended.unwrap();
        }
        println!("{rounds} x {fault} in {:?}, healed in {healed:?} at most", began.elapsed());
    }
    let logged = Logged(&world);
    world.account_for_all().await;
    drop(logged);
    world.bank.close();
    let (ok, said) = world.bank.check();
    assert!(ok, "{said}");
    drop(world);
}
