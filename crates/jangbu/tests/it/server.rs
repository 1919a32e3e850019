//! Services as processes of their own on one MariaDB, two of them of the same deposit instance.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use axum::http::Method;
use jangbu_adapters::stand::{Server, free_port};
use jangbu_contracts::customer::{Kind, Register};
use jangbu_contracts::deposit::{Command as Order, OpenAccount};
use jangbu_kernel::money::Amount;
use jangbu_platform::auth::{Keyring, Role};
use jangbu_platform::clock::{Clock as _, RealClock};
use jangbu_platform::dice::Dice;
use jangbu_sim::client::{Client, KRW};
use serde_json::Value;

use crate::running::wait;

/// What runs: the second process of deposit-krw is the same service at another address.
const PROCESSES: [&str; 5] = ["customer", "deposit-krw", "deposit-krw", "accounting", "channel"];
const PATIENCE: Duration = Duration::from_secs(60);

struct Bank {
    home: tempfile::TempDir,
    url: String,
    running: Vec<Child>,
    bases: Vec<String>,
    keys: Keyring,
    _server: Server,
}

impl Drop for Bank {
    fn drop(&mut self) {
        self.running.iter_mut().for_each(|child| drop(child.kill())); // those that ended are gone already
    }
}

impl Bank {
    fn open() -> Bank {
        let home = tempfile::tempdir().unwrap();
        let server = Server::mysql(home.path()).unwrap();
        let url = server.database(&format!("apart_{}_{}", std::process::id(), Dice::from_os().u64() % 1_000_000));
        let keys = home.path().join("bank/keys");
        let ports = PROCESSES.map(|_| free_port().unwrap());
        let bases: Vec<String> = ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
        let mut bank =
            Bank { home, url, running: Vec::new(), bases, keys: Keyring::in_memory(Dice::from_os()), _server: server };
        for (at, (service, port)) in PROCESSES.iter().zip(ports).enumerate() {
            bank.configure(at, service, port);
        }
        let first = bank.config(0);
        assert_eq!(bank.jangbu(&["migrate", "--check", "--config", &first]).status.code(), Some(1));
        let early = bank.jangbu(&["serve", "customer", "--config", &first]);
        let said = String::from_utf8_lossy(&early.stderr);
        assert!(early.status.code() == Some(3) && said.contains("is behind: run `jangbu migrate --config"), "{said}");
        // Two at once: one makes the tables, the other waits for it.
        let migrate = || bank.command(&["migrate", "--config", &first]).spawn().unwrap();
        let both = [migrate(), migrate()];
        for mut one in both {
            assert!(one.wait().unwrap().success());
        }
        assert_eq!(bank.jangbu(&["migrate", "--check", "--config", &first]).status.code(), Some(0));
        for at in 0..PROCESSES.len() {
            let child = bank.serve(at);
            bank.running.push(child);
        }
        bank.keys = Keyring::load_or_create(&keys, RealClock.now()).unwrap();
        bank
    }

    fn config(&self, at: usize) -> String {
        self.home.path().join(format!("{at}.toml")).display().to_string()
    }

    fn configure(&self, at: usize, service: &str, port: u16) {
        let data: PathBuf = self.home.path().join("bank");
        let peers = PROCESSES.iter().zip(&self.bases).enumerate().filter(|(i, (name, _))| **name != service && *i != 2);
        let peers: String = peers.map(|(_, (name, base))| format!("{name} = \"{base}\"\n")).collect();
        let data = data.display();
        let text = format!("data = \"{data}\"\nlisten = \"127.0.0.1:{port}\"\nstore = \"mysql\"\n[peers]\n{peers}");
        std::fs::write(self.config(at), text).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jangbu"));
        command.args(words).stdin(Stdio::null()).env("JANGBU_MYSQL_URL", &self.url);
        command
    }

    fn jangbu(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn serve(&self, at: usize) -> Child {
        let config = self.config(at);
        let log: &Path = self.home.path();
        let log = std::fs::File::create(log.join(format!("{at}.log"))).unwrap();
        let mut command = self.command(&["serve", PROCESSES[at], "--config", &config]);
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = std::fs::read_to_string(self.home.path().join(format!("{at}.log"))).unwrap();
        assert!(line.starts_with(PROCESSES[at]), "{} did not open: {line}{said}", PROCESSES[at]);
        child
    }

    fn client(&self, at: usize) -> Client {
        let token = self.keys.issue(Role::Service, "test", RealClock.now(), Duration::from_secs(600)).unwrap();
        Client::there(&self.bases[at], &token).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_of_an_instance_are_one_bank_and_one_may_be_killed() {
    let mut bank = Bank::open();
    let [customers, one, other, accounting, channel] = [0, 1, 2, 3, 4].map(|at| bank.client(at));
    let who = Register { name: "Kim".into(), birth_date: "1990-01-02".parse().unwrap(), kind: Kind::Person };
    let customer = customers.register("c1", &who).await.reply().unwrap().id;
    let opening = OpenAccount { customer, product: "toss-demand".into(), currency: None };
    let account = one.deposit(KRW).open("a1", &opening).await.reply().unwrap().id;
    let again = other.deposit(KRW).open("a1", &opening).await.reply().unwrap().id;
    assert_eq!(account, again, "the other process knows the key");

    let amount = Amount::new(2_000_000).unwrap();
    let credit = Order::Credit { account, amount, source: "cash".into(), memo: None };
    let posted = one.deposit(KRW).post("p1", &credit).await.reply().unwrap();
    let recalled = other.deposit(KRW).post("p1", &credit).await.reply().unwrap();
    assert_eq!(posted.id, recalled.id, "and the posting");
    let debit = Order::Debit { account, amount: Amount::new(500_000).unwrap(), target: "cash".into(), memo: None };
    other.deposit(KRW).post("p2", &debit).await.reply().unwrap();
    let said = channel.claim_by_channel(account, "i1").await.reply().unwrap_err();
    assert!(said.contains("NOTHING_TO_PAY"), "on the day of its opening: {said}");

    let screen: Value =
        channel.call(Method::GET, &format!("/channel/v1/accounts/{account}"), None, None).await.reply().unwrap();
    assert_eq!(screen["ledger_balance"], 1_500_000, "{screen}");

    // One is killed in the middle of its work; the other goes on.
    let killed = bank.running[1].id();
    bank.running[1].kill().unwrap();
    bank.running[1].wait().unwrap();
    let credit = Order::Credit { account, amount: Amount::new(1).unwrap(), source: "cash".into(), memo: None };
    for n in 0..20 {
        other.deposit(KRW).post(&format!("after-{n}"), &credit).await.reply().unwrap();
    }
    bank.running[1] = bank.serve(1);
    assert_ne!(bank.running[1].id(), killed);
    one.deposit(KRW).post("after-0", &credit).await.reply().unwrap();

    let until = Instant::now() + PATIENCE;
    loop {
        let journals: Value =
            accounting.call(Method::GET, "/accounting/v1/journals", None, None).await.reply().unwrap();
        if journals["items"].as_array().unwrap().len() == 22 {
            break;
        }
        assert!(Instant::now() < until, "journals did not come: {journals}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for child in &mut bank.running {
        let told = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(told.success() && wait(child).unwrap().success(), "it ends when it is told to");
    }
    let checked = bank.jangbu(&["check", "--config", &bank.config(0)]);
    let (out, err) = (String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(checked.status.success() && out.contains("the books balance"), "{out}{err}");
}
