//! Services as processes of their own, on one directory.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::http::Method;
use jangbu_adapters::stand::free_port;
use jangbu_contracts::customer::{Kind, Register};
use jangbu_contracts::deposit::{Command as Order, OpenAccount};
use jangbu_kernel::id::AccountId;
use jangbu_kernel::money::Amount;
use jangbu_platform::auth::{Keyring, Role};
use jangbu_platform::clock::{Clock as _, RealClock};
use jangbu_sim::client::{Client, KRW};
use serde_json::Value;

use crate::running::wait;

const SERVICES: [&str; 4] = ["customer", "deposit-krw", "accounting", "channel"];
const PATIENCE: Duration = Duration::from_secs(20);

struct Apart {
    dir: PathBuf,
    running: Vec<Child>,
    bases: Vec<String>,
    keys: Keyring,
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.running.iter_mut().for_each(|child| drop(child.kill())); // those that ended are gone already
    }
}

fn jangbu(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jangbu"));
    command.args(words).stdin(Stdio::null());
    command.env_remove("JANGBU_MYSQL_URL"); // whoever has one set up does not say so to these
    command
}

fn serve(home: &Path, service: &str, port: u16, peers: &[(String, String)]) -> Child {
    let peers: String = peers.iter().map(|(name, base)| format!("{name} = \"{base}\"\n")).collect();
    let data = home.join("bank");
    let text = format!("data = \"{}\"\nlisten = \"127.0.0.1:{port}\"\n[peers]\n{peers}", data.display());
    let config = home.join(format!("{service}.toml"));
    std::fs::write(&config, text).unwrap();
    let log = std::fs::File::create(home.join(format!("{service}.log"))).unwrap();
    let config = config.display().to_string();
    let mut child =
        jangbu(&["serve", service, "--config", &config]).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with(service), "{service} did not open: {line}");
    child
}

impl Apart {
    fn open(home: &Path) -> Apart {
        let dir = home.join("bank");
        let data = dir.display().to_string();
        assert_eq!(jangbu(&["migrate", "--check", "--data", &data]).status().unwrap().code(), Some(1));
        assert!(jangbu(&["migrate", "--data", &data]).status().unwrap().success());
        assert!(jangbu(&["migrate", "--check", "--data", &data]).status().unwrap().success());
        let ports = SERVICES.map(|_| free_port().unwrap());
        let bases: Vec<String> = ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
        let peers: Vec<_> = SERVICES.iter().map(|s| (*s).to_owned()).zip(bases.iter().cloned()).collect();
        let open = |(service, port): (&&str, &u16)| {
            let others: Vec<_> = peers.iter().filter(|(name, _)| name != service).cloned().collect();
            serve(home, service, *port, &others)
        };
        let running = SERVICES.iter().zip(&ports).map(open).collect();
        let keys = Keyring::load_or_create(&dir.join("keys"), RealClock.now()).unwrap();
        Apart { dir, running, bases, keys }
    }

    fn client(&self, service: usize, role: Role) -> Client {
        let ttl = Duration::from_secs(600);
        let token = self.keys.issue(role, "test", RealClock.now(), ttl).unwrap();
        Client::there(&self.bases[service], &token).unwrap()
    }

    /// A customer's new account.
    async fn account(&self) -> AccountId {
        let [customers, deposit] = [0, 1].map(|at| self.client(at, Role::Service));
        let who = Register { name: "Kim".into(), birth_date: "1990-01-02".parse().unwrap(), kind: Kind::Person };
        let customer = customers.register("c1", &who).await.reply().unwrap().id;
        let opening = OpenAccount { customer, product: "toss-demand".into(), currency: None };
        deposit.deposit(KRW).open("a1", &opening).await.reply().unwrap().id
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_processes_are_one_bank() {
    let home = tempfile::tempdir().unwrap();
    let mut bank = Apart::open(home.path());
    let [deposit, accounting, channel] = [1, 2, 3].map(|at| bank.client(at, Role::Service));
    let account = bank.account().await;
    let amount = Amount::new(2_000_000).unwrap();
    let credit = Order::Credit { account, amount, source: "cash".into(), memo: None };
    deposit.deposit(KRW).post("p1", &credit).await.reply().unwrap();

    let screen: Value =
        channel.call(Method::GET, &format!("/channel/v1/accounts/{account}"), None, None).await.reply().unwrap();
    assert_eq!(screen["ledger_balance"], 2_000_000, "{screen}");
    let until = Instant::now() + PATIENCE;
    loop {
        let journals: Value =
            accounting.call(Method::GET, "/accounting/v1/journals", None, None).await.reply().unwrap();
        if journals["items"].as_array().unwrap().len() == 1 {
            break;
        }
        assert!(Instant::now() < until, "no journal came: {journals}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // An address that is taken is named, with the setting that names another.
    let config = home.path().join("customer.toml").display().to_string();
    let taken = jangbu(&["serve", "customer", "--config", &config]).output().unwrap();
    let said = String::from_utf8_lossy(&taken.stderr);
    assert!(taken.status.code() == Some(3) && said.contains("`listen`"), "{said}");
    // A second process on a service that is open is told so.
    let again = home.path().join("deposit-krw.toml");
    let text = std::fs::read_to_string(&again).unwrap().replace("listen = \"127.0.0.1:", "listen = \"127.0.0.2:");
    std::fs::write(&again, text).unwrap();
    let refused = jangbu(&["serve", "deposit", "--instance", "krw", "--config", &again.display().to_string()]);
    let refused = { refused }.output().unwrap();
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));

    for child in &mut bank.running {
        let told = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(told.success() && wait(child).unwrap().success(), "it ends when it is told to");
    }
    let data = bank.dir.display().to_string();
    assert!(jangbu(&["check", "--data", &data]).status().unwrap().success());
}

/// What a command says; it must succeed.
fn said(words: &[&str]) -> String {
    let output = jangbu(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Keys change under running services: nobody restarts, and nothing that is still good is refused.
#[tokio::test(flavor = "multi_thread")]
async fn signing_keys_are_replaced_under_running_services() {
    let home = tempfile::tempdir().unwrap();
    let bank = Apart::open(home.path());
    let data = bank.dir.display().to_string();
    let token = || said(&["token", "--role", "service", "--data", &data]).trim().to_owned();
    // The channel asks a deposit instance each time, by a credential of its own.
    let path = format!("/channel/v1/accounts/{}", bank.account().await);
    let screen = async |token: &str| {
        let client = Client::there(&bank.bases[3], token).unwrap();
        client.call::<Value>(Method::GET, &path, None, None).await.reply()
    };
    let old = token();
    screen(&old).await.unwrap();
    let kid = |line: &str| line.split_whitespace().next().unwrap().to_owned();
    let first = kid(&said(&["keys", "list", "--data", &data]));
    let rotated = said(&["keys", "rotate", "--data", &data]);
    let lines: Vec<&str> = rotated.lines().collect();
    assert_eq!(lines.len(), 2, "{rotated}");
    assert!(lines[0].starts_with(&first) && lines[0].contains("verifies, until"), "{rotated}");
    assert!(lines[1].contains("  signs"), "{rotated}");
    let new = token();
    assert_ne!(old, new);
    for token in [&old, &new] {
        screen(token).await.unwrap();
    }
    let retired = said(&["keys", "retire", &first, "--data", &data]);
    assert_eq!(kid(&retired), kid(lines[1]), "one is left");
    let until = Instant::now() + PATIENCE;
    // Every process finds out within seconds, by itself; calls between them have the new key then.
    while !screen(&old).await.is_err_and(|why| why.starts_with("401")) || screen(&new).await.is_err() {
        assert!(Instant::now() < until, "{:?} and {:?}", screen(&old).await, screen(&new).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let last = jangbu(&["keys", "retire", &kid(lines[1]), "--data", &data]).output().unwrap();
    assert_eq!(last.status.code(), Some(2), "the last one stays: {}", String::from_utf8_lossy(&last.stderr));
}

/// Runs a service that can't open; its exit code and what it said.
fn refused(home: &Path, service: &str, more: &str) -> (Option<i32>, String) {
    let text = format!("data = \"{}\"\n{more}", home.join("bank").display());
    let config = home.join("refused.toml");
    std::fs::write(&config, text).unwrap();
    let ended = jangbu(&["serve", service, "--config", &config.display().to_string()]).output().unwrap();
    (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
}

#[test]
fn a_service_alone_says_what_it_lacks() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("listen = \"{}\"", taken.local_addr().unwrap());
    let free = "listen = \"127.0.0.1:0\"";
    let check = |service: &str, more: &str, code: i32, words: &[&str]| {
        let (ended, said) = refused(home.path(), service, more);
        assert_eq!(ended, Some(code), "{service} {more}: {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{service} {more}: {said}");
    };
    check("channel", free, 2, &["channel asks deposit-krw", "[peers]"]);
    check("deposit", free, 2, &["there is no service \"deposit\"", "deposit-krw"]);
    check("customer", "store = \"mysql\"", 2, &["JANGBU_MYSQL_URL", "mysql://"]);
    check("customer", "log = \"kafka\"", 2, &["add [kafka]", "refused.toml"]);
    check("customer", &taken, 3, &["can't be used", "`listen`"]);
    check("customer", free, 3, &["behind", "jangbu migrate --data"]);
    assert!(!home.path().join("bank").exists(), "nothing was made");

    let data = home.path().join("bank").display().to_string();
    assert!(jangbu(&["migrate", "--data", &data]).status().unwrap().success());
    std::fs::remove_file(home.path().join("bank/log.db")).unwrap();
    check("customer", free, 3, &["log is behind"]);
    let printed = jangbu(&["serve", "--print-config"]).output().unwrap();
    assert!(printed.status.success());
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(["[peers]", "[limits]", "[telemetry]", "time_zone"].iter().all(|part| printed.contains(part)), "{printed}");
}
