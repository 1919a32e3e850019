//! A bank on servers that processes share: MariaDB, Kafka and Redis, deposit-krw twice behind one address, configured by the
//! files of `deploy/`.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::http::Method;
use jangbu_adapters::stand::free_port;
use jangbu_contracts::customer::{Kind, Register};
use jangbu_contracts::deposit::{Command as Order, OpenAccount};
use jangbu_kernel::money::Amount;
use jangbu_platform::auth::{Keyring, Role};
use jangbu_platform::clock::{Clock as _, RealClock};
use jangbu_sim::client::{Client, KRW};
use serde_json::Value;

use crate::deploy::{found, read};
use crate::running::wait;

const PATIENCE: Duration = Duration::from_secs(60);
/// Process, configuration, and what `serve` is told.
const PROCESSES: [(&str, &str, &[&str]); 4] = [
    ("customer", "customer", &["customer"]),
    ("accounting", "accounting", &["accounting"]),
    ("deposit-krw-1", "deposit-krw", &["deposit", "--instance", "krw"]),
    ("deposit-krw-2", "deposit-krw", &["deposit", "--instance", "krw"]),
];
/// Orders, half of them before a replica is killed.
const ORDERS: u64 = 20;

/// The servers of these tests; without all three they say so and are left out.
struct Servers {
    mysql: String,
    kafka: String,
    redis: String,
}

impl Servers {
    fn named() -> Option<Servers> {
        let named =
            |kind: &str| std::env::var(format!("JANGBU_TEST_{kind}")).ok().filter(|address| !address.is_empty());
        let servers = named("MYSQL").zip(named("KAFKA")).zip(named("REDIS"));
        if servers.is_none() {
            eprintln!(
                "left out: JANGBU_TEST_MYSQL, _KAFKA and _REDIS name no servers; `cargo xtask servers start` does"
            );
        }
        servers.map(|((mysql, kafka), redis)| Servers { mysql, kafka, redis })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jangbu"));
        let database = format!("{}/it_shared_{}", self.mysql, std::process::id());
        command.args(words).stdin(Stdio::null());
        command.env("JANGBU_MYSQL_URL", database).env("JANGBU_DATA_KEY", "5a".repeat(32));
        command
    }
}

struct Bank {
    running: Vec<Child>,
    front: Option<Child>,
    /// Where each process answers.
    bases: Vec<String>,
    keys: Keyring,
}

impl Drop for Bank {
    fn drop(&mut self) {
        self.running.iter_mut().for_each(|child| drop(child.kill())); // those that ended are gone already
        if let Some(front) = &mut self.front {
            end(front); // by a signal that it passes on to its workers
        }
    }
}

fn end(child: &mut Child) {
    let told = Command::new("kill").arg(child.id().to_string()).status();
    assert!(told.is_ok_and(|told| told.success()) && wait(child).unwrap().success(), "it ends when it is told to");
}

/// A file of `deploy/` with addresses of this machine; `ports` has those of the processes.
fn here(text: &str, home: &Path, servers: &Servers, ports: &[u16]) -> String {
    let port = |process: &str| ports[PROCESSES.iter().position(|(name, ..)| *name == process).unwrap()];
    let names = [
        ("customer:8081", "customer"),
        ("accounting:8084", "accounting"),
        ("deposit-krw-1:8082", "deposit-krw-1"),
        ("deposit-krw-2:8082", "deposit-krw-2"),
        ("deposit-krw:8082", "deposit-krw-2"),
    ];
    let text = names
        .iter()
        .fold(text.to_owned(), |text, (there, process)| text.replace(there, &format!("127.0.0.1:{}", port(process))));
    // Nobody asks these in this test.
    let text = ["deposit-fx:8083", "channel:8085", "exchange:8086"]
        .iter()
        .fold(text, |text, unasked| text.replace(unasked, "127.0.0.1:1"));
    let text = text.replace("/var/lib/jangbu", &home.join("bank").display().to_string());
    let text = text.replace("/tmp/nginx", &home.join("nginx").display().to_string());
    let redis = format!("url = \"{}\"\nnamespace = \"it-{}\"", servers.redis, std::process::id());
    let kafka = format!("servers = \"{}\"\nnamespace = \"it-{}\"", servers.kafka, std::process::id());
    text.replace("servers = \"kafka:9092\"", &kafka).replace("url = \"redis://redis:6379\"", &redis)
}

fn serve(servers: &Servers, config: &Path, words: &[&str]) -> Child {
    let config = config.display().to_string();
    let log = std::fs::File::create(format!("{config}.log")).unwrap();
    let words = [&["serve"], words, &["--config", &config]].concat();
    let mut child = servers.command(&words).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(
        line.contains("http://"),
        "{words:?} did not open: {}",
        std::fs::read_to_string(format!("{config}.log")).unwrap()
    );
    child
}

fn open(home: &Path, servers: &Servers) -> Bank {
    let ports = [(); 5].map(|()| free_port().unwrap());
    let write = |name: &str, text: String| -> PathBuf {
        let path = home.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let config = |(at, (process, file, _)): (usize, &(&str, &str, &[&str]))| {
        let text = here(&read(&format!("config/{file}.toml")), home, servers, &ports);
        let listen = text.lines().find(|line| line.starts_with("listen = ")).unwrap();
        write(&format!("{process}.toml"), text.replace(listen, &format!("listen = \"127.0.0.1:{}\"", ports[at])))
    };
    let configs: Vec<PathBuf> = PROCESSES.iter().enumerate().map(config).collect();
    let first = configs[0].display().to_string();
    assert!(servers.command(&["migrate", "--config", &first]).status().unwrap().success());
    assert!(servers.command(&["migrate", "--check", "--config", &first]).status().unwrap().success());
    let running = configs.iter().zip(PROCESSES).map(|(config, (.., words))| serve(servers, config, words)).collect();
    let keys = Keyring::load_or_create(&home.join("bank/keys"), RealClock.now()).unwrap();
    let mut bases: Vec<String> = ports[..4].iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
    let front = found("nginx").then(|| {
        let text = here(&read("nginx.conf"), home, servers, &ports)
            .replace("listen 8080", &format!("listen 127.0.0.1:{}", ports[4]));
        let config = write("nginx.conf", text);
        bases.push(format!("http://127.0.0.1:{}", ports[4]));
        let front = Command::new("nginx").arg("-c").arg(config).args(["-g", "daemon off;"]).spawn().unwrap();
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", ports[4])).is_err() {
            assert!(Instant::now() < until, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        front
    });
    Bank { running, front, bases, keys }
}

impl Bank {
    fn client(&self, at: usize) -> Client {
        let token = self.keys.issue(Role::Service, "test", RealClock.now(), Duration::from_secs(600)).unwrap();
        Client::there(&self.bases[at], &token).unwrap()
    }
}

async fn journals(accounting: &Client) -> usize {
    let journals: Value = accounting.call(Method::GET, "/accounting/v1/journals", None, None).await.reply().unwrap();
    journals["items"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_behind_one_address_are_one_bank_though_one_is_killed() {
    let Some(servers) = Servers::named() else { return };
    let home = tempfile::tempdir().unwrap();
    let mut bank = open(home.path(), &servers);
    // All through the front, or where there is no nginx through the replica that lives on.
    let (customers, accounting, deposit) = (bank.client(0), bank.client(1), bank.client(bank.bases.len() - 1));
    let who = Register { name: "Kim".into(), birth_date: "1990-01-02".parse().unwrap(), kind: Kind::Person };
    let customer = customers.register("c1", &who).await.reply().unwrap().id;
    let opening = OpenAccount { customer, product: "toss-demand".into(), currency: None };
    let account = deposit.deposit(KRW).open("a1", &opening).await.reply().unwrap().id;
    let credit = Order::Credit { account, amount: Amount::new(1_000).unwrap(), source: "cash".into(), memo: None };
    for n in 0..ORDERS {
        if n == ORDERS / 2 {
            bank.running[2].kill().unwrap();
        }
        let posted = deposit.deposit(KRW).post(&format!("p{n}"), &credit).await.reply();
        assert!(posted.is_ok(), "order {n}: {posted:?}");
    }
    let path = format!("/deposit-krw/v1/accounts/{account}");
    let found: Value = deposit.call(Method::GET, &path, None, None).await.reply().unwrap();
    assert_eq!(found["ledger_balance"], ORDERS * 1_000, "{found}");
    let until = Instant::now() + PATIENCE;
    while journals(&accounting).await < usize::try_from(ORDERS).unwrap() {
        assert!(Instant::now() < until, "events did not come: {} journals", journals(&accounting).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(journals(&accounting).await as u64, ORDERS, "each once");
    bank.running.remove(2).wait().unwrap();
    let config = home.path().join("accounting.toml").display().to_string();
    let check = |when: &str| {
        let checked = servers.command(&["check", "--config", &config]).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
        assert!(checked.status.success() && out.contains("the books balance"), "{when}: {out}{err}");
    };
    check("beside the running bank");
    bank.running.iter_mut().for_each(end);
    check("at rest");
}
