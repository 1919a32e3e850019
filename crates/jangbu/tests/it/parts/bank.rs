//! The bank's processes on those servers, behind one address.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jangbu_adapters::stand::free_port;
use jangbu_platform::auth::{Keyring, Role};
use jangbu_platform::clock::{Clock as _, RealClock};
use jangbu_platform::db::Db;
use jangbu_platform::dice::Dice;
use jangbu_sim::client::Client;
use jangbu_sim::workload::town::Tokens;

use super::servers::{Servers, USER};
use super::wire::Wire;
use crate::running::wait;

/// Processes: name, service, and what `serve` is told.
pub const PROCESSES: [(&str, &str, &[&str]); 7] = [
    ("customer", "customer", &["customer"]),
    ("deposit-krw", "deposit-krw", &["deposit", "--instance", "krw"]),
    ("deposit-krw-2", "deposit-krw", &["deposit", "--instance", "krw"]),
    ("deposit-fx", "deposit-fx", &["deposit", "--instance", "fx"]),
    ("accounting", "accounting", &["accounting"]),
    ("exchange", "exchange", &["exchange"]),
    ("channel", "channel", &["channel"]),
];
/// How long a process may take to open.
const OPENING: Duration = Duration::from_secs(60);

/// The bank.
pub struct Bank {
    home: PathBuf,
    ports: Vec<u16>,
    /// What runs.
    pub running: Vec<Child>,
    /// The ways of some processes to the database, by process.
    pub wires: Vec<(usize, Wire)>,
    mysql: u16,
    front: Child,
    base: String,
    keys: Keyring,
}

impl Drop for Bank {
    fn drop(&mut self) {
        self.running.iter_mut().for_each(|child| drop(child.kill())); // those that ended are gone already
        // By a signal that it passes on to its workers.
        let _ = Command::new("kill").arg(self.front.id().to_string()).status();
        let _ = self.front.wait();
    }
}

fn config(home: &Path, servers: &Servers, port: u16, peers: &str) -> String {
    let (kafka, redis) = (servers.kafka.port, servers.redis.port);
    format!(
        "data = \"{}\"\nlisten = \"127.0.0.1:{port}\"\nstore = \"mysql\"\nlog = \"kafka\"\nkv = \"redis\"\n\
         [kafka]\nservers = \"127.0.0.1:{kafka}\"\npartitions = 4\n[redis]\nurl = \"redis://127.0.0.1:{redis}\"\n\
         [peers]\n{peers}[telemetry]\nfilter = \"warn,access=off\"\n",
        home.join("bank").display()
    )
}

fn front(home: &Path, ports: &[u16]) -> (Child, String) {
    let port = free_port().unwrap();
    let dir = home.join("nginx");
    fs::create_dir_all(&dir).unwrap();
    let mut upstreams = String::new();
    let mut locations = String::new();
    for (_, service, _) in PROCESSES.iter().filter(|(name, service, _)| name == service) {
        let of = PROCESSES.iter().zip(ports).filter(|((_, of, _), _)| of == service);
        let servers: String =
            of.map(|(_, port)| format!("server 127.0.0.1:{port} max_fails=1 fail_timeout=1s; ")).collect();
        upstreams += &format!("upstream {service} {{ {servers}keepalive 16; }}\n");
        locations += &format!("location /{service}/ {{ proxy_pass http://{service}; }}\n");
    }
    let at = dir.display();
    let text = format!(
        "worker_processes 1; pid {at}/pid; error_log {at}/error.log error;\nevents {{ worker_connections 1024; }}\n\
         http {{ access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f;\n\
         uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n{upstreams}\
         server {{ listen 127.0.0.1:{port}; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         proxy_connect_timeout 2s; proxy_read_timeout 40s; client_max_body_size 8m;\n{locations} }} }}\n"
    );
    let file = home.join("nginx.conf");
    fs::write(&file, text).unwrap();
    let child = Command::new("nginx").arg("-c").arg(file).args(["-g", "daemon off;"]).spawn().unwrap();
    (child, format!("http://127.0.0.1:{port}"))
}

impl Bank {
    /// Makes it and opens all of it.
    pub fn open(home: &Path, servers: &Servers) -> Bank {
        let ports: Vec<u16> = PROCESSES.iter().map(|_| free_port().unwrap()).collect();
        let wires = [1, 5].map(|process| (process, Wire::to(servers.mysql.port))).into_iter().collect();
        let (front, base) = front(home, &ports);
        for (at, (name, service, _)) in PROCESSES.iter().enumerate() {
            // Deposit is asked behind the one address too, so that both processes of it are.
            let others = PROCESSES.iter().filter(|(peer, of, _)| peer == of && of != service);
            let peers: String = others.map(|(peer, ..)| format!("{peer} = \"{base}\"\n")).collect();
            fs::write(home.join(format!("{name}.toml")), config(home, servers, ports[at], &peers)).unwrap();
        }
        let keys = Keyring::load_or_create(&home.join("bank/keys"), RealClock.now()).unwrap();
        let (home, mysql) = (home.to_owned(), servers.mysql.port);
        let mut bank = Bank { home, ports, running: Vec::new(), wires, mysql, front, base, keys };
        let migrated = bank.command(0, &["migrate"]).output().unwrap();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        for at in 0..PROCESSES.len() {
            let child = bank.spawn(at);
            bank.running.push(child);
        }
        (0..PROCESSES.len()).for_each(|at| bank.ready(at));
        bank
    }

    /// A command in the place of a process.
    fn command(&self, at: usize, words: &[&str]) -> Command {
        let wire = self.wires.iter().find(|(process, _)| *process == at);
        let port = wire.map_or(self.mysql, |(_, wire)| wire.port);
        let mut command = Command::new(env!("CARGO_BIN_EXE_jangbu"));
        command.args(words).arg("--config").arg(self.home.join(format!("{}.toml", PROCESSES[at].0)));
        command.env("JANGBU_MYSQL_URL", format!("mysql://{USER}@127.0.0.1:{port}/bank"));
        command.env("JANGBU_DATA_KEY", "5a".repeat(32)).stdin(Stdio::null());
        command
    }

    fn log(&self, at: usize) -> PathBuf {
        self.home.join(format!("{}.log", PROCESSES[at].0))
    }

    fn spawn(&self, at: usize) -> Child {
        let log = File::options().create(true).append(true).open(self.log(at)).unwrap();
        let words = [&["serve"], PROCESSES[at].2].concat();
        self.command(at, &words).stdout(Stdio::piped()).stderr(log).spawn().unwrap()
    }

    /// Waits until a process has said where it is; one that met a server still away is started again.
    fn ready(&mut self, at: usize) {
        let until = Instant::now() + OPENING;
        loop {
            let mut line = String::new();
            BufReader::new(self.running[at].stdout.take().unwrap()).read_line(&mut line).unwrap();
            if line.contains("http://") {
                return;
            }
            let said = fs::read_to_string(self.log(at)).unwrap_or_default();
            assert!(Instant::now() < until, "{} does not open: {said}", PROCESSES[at].0);
            std::thread::sleep(Duration::from_millis(200));
            self.running[at] = self.spawn(at);
        }
    }

    /// Kills a process.
    pub fn kill(&mut self, at: usize) {
        self.running[at].kill().unwrap();
        self.running[at].wait().unwrap();
    }

    /// Starts a process again.
    pub fn restart(&mut self, at: usize) {
        self.running[at] = self.spawn(at);
        self.ready(at);
    }

    /// Which processes have ended by themselves.
    pub fn ended(&mut self) -> Vec<&'static str> {
        let ended = |(child, (name, ..)): (&mut Child, &(&'static str, _, _))| {
            child.try_wait().unwrap().is_some().then_some(*name)
        };
        self.running.iter_mut().zip(&PROCESSES).filter_map(ended).collect()
    }

    /// Whether the front leads to every service.
    pub fn answers(&self) -> bool {
        self.ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
    }

    /// A way to it.
    pub fn client(&self, role: Role, subject: &str) -> Client {
        Client::there(&self.base, &self.token(role, subject)).unwrap()
    }

    fn token(&self, role: Role, subject: &str) -> String {
        self.keys.issue(role, subject, RealClock.now(), Duration::from_secs(86_400)).unwrap()
    }

    /// Where credentials come from.
    pub fn tokens(&self) -> Tokens {
        let keys = self.keys.clone();
        let ttl = Duration::from_secs(86_400);
        Arc::new(move |role, subject| keys.issue(role, subject, RealClock.now(), ttl).map_err(|e| e.to_string()))
    }

    /// Ends all of it as it should.
    pub fn close(&mut self) {
        for child in &mut self.running {
            let told = Command::new("kill").arg(child.id().to_string()).status().unwrap();
            assert!(told.success() && wait(child).unwrap().success(), "it ends when it is told to");
        }
    }

    /// What `jangbu check` says, as JSON.
    pub fn check(&self) -> (bool, String) {
        let Output { status, stdout, stderr } = self.command(0, &["check", "--json"]).output().unwrap();
        let said = [stdout, stderr].concat();
        (status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// A number out of a service's database.
    pub async fn count(&self, service: &str, sql: &str) -> i64 {
        let name = service.replace('-', "_");
        let url = format!("mysql://{USER}@127.0.0.1:{}/bank_{name}", self.mysql);
        let limits = jangbu_adapters::mysql::Limits::patient();
        let db: Db = jangbu_adapters::mysql::open(&url, limits, Arc::new(RealClock), Dice::from_os()).await.unwrap();
        let rows = db.read("parts").await.unwrap().query(sql, &[]).await.unwrap();
        rows[0].int(0)
    }

    /// The last of what the processes logged, for whoever looks into a failure.
    pub fn logged(&self) -> String {
        let last = |at: usize| {
            let text = fs::read_to_string(self.log(at)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("== {}\n{}\n", PROCESSES[at].0, lines[lines.len().saturating_sub(12)..].join("\n"))
        };
        (0..PROCESSES.len()).map(last).collect()
    }
}
