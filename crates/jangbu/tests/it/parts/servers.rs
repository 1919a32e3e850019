//! MariaDB, Kafka and Redis of a test's own, which it may kill.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jangbu_adapters::stand::free_port;

use crate::deploy::found;

/// How long a server may take until it answers.
const READY: Duration = Duration::from_secs(120);
/// How long one look waits for an answer.
const ANSWER: Duration = Duration::from_secs(2);
/// Who the bank is at the database. He has no right to write to a server that only reads.
pub const USER: &str = "bank";

/// A server's process, started again as it was.
pub struct Server {
    name: &'static str,
    words: Vec<String>,
    dir: PathBuf,
    /// Where it answers.
    pub port: u16,
    answers: fn(u16) -> bool,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may be dead already
        let _ = self.child.wait();
    }
}

fn spawn(name: &str, words: &[String], dir: &Path) -> Child {
    let log = File::options().create(true).append(true).open(dir.join(format!("{name}.log"))).unwrap();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).current_dir(dir).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

impl Server {
    fn start(name: &'static str, words: Vec<String>, dir: &Path, port: u16, answers: fn(u16) -> bool) -> Server {
        let child = spawn(name, &words, dir);
        let mut server = Server { name, words, dir: dir.to_owned(), port, answers, child };
        server.ready();
        server
    }

    /// Waits until it answers.
    fn ready(&mut self) {
        let until = Instant::now() + READY;
        while !(self.answers)(self.port) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "{} ({ended:?}): {}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The last that it logged.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.dir.join(format!("{}.log", self.name))).unwrap_or_default();
        log.chars().rev().take(2_000).collect::<Vec<_>>().into_iter().rev().collect()
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again and waits until it answers.
    pub fn restart(&mut self) {
        self.child = spawn(self.name, &self.words, &self.dir);
        self.ready();
    }

    /// Starts it again if it has ended by itself, as whoever runs one has it started.
    pub fn revive(&mut self) {
        if self.child.try_wait().unwrap().is_some() {
            self.restart();
        }
    }

    /// Stops its process where it stands, or lets it go on: to others it is there and says nothing.
    pub fn freeze(&self, on: bool) {
        let signal = if on { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }
}

fn asked(port: u16, question: &[u8], answer: &mut [u8]) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    stream.set_read_timeout(Some(ANSWER)).is_ok()
        && stream.write_all(question).is_ok()
        && stream.read_exact(answer).is_ok()
}

/// The servers of a bank.
pub struct Servers {
    /// The databases.
    pub mysql: Server,
    /// The log.
    pub kafka: Server,
    /// The key-value store.
    pub redis: Server,
    root: String,
}

/// Where Kafka's jars lie: `cargo xtask servers start` fetches them.
fn jars() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/servers/kafka/libs")
}

/// What these tests need and the machine lacks.
pub fn missing() -> Option<String> {
    let programs = ["mariadbd", "mariadb-install-db", "mariadb", "redis-server", "java", "nginx"];
    let program = programs.into_iter().find(|program| !found(program));
    let program = program.map(|program| format!("{program} is not installed"));
    program.or_else(|| (!jars().join("done").is_file()).then(|| "`cargo xtask servers start` fetches Kafka".to_owned()))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn run(command: &mut Command) {
    let done = command.stdin(Stdio::null()).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
}

fn mysql(dir: &Path, data: &Path) -> (Server, String) {
    let (port, socket) = (free_port().unwrap(), dir.join("sock"));
    let data = format!("--datadir={}", data.display());
    let install = ["--no-defaults", "--user=root", "--auth-root-authentication-method=normal", "--skip-test-db"];
    run(Command::new("mariadb-install-db").args(install).arg(&data));
    let line = [
        "mariadbd",
        "--no-defaults",
        "--user=root",
        &data,
        &format!("--socket={}", socket.display()),
        &format!("--port={port}"),
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--innodb-flush-log-at-trx-commit=1",
        "--innodb-buffer-pool-size=128M",
        "--innodb-log-file-size=32M",
        "--max-connections=400",
    ];
    let greets = |port| {
        let mut greeting = [0; 5];
        asked(port, &[], &mut greeting) && greeting[4] == 10
    };
    let server = Server::start("mysql", words(&line), dir, port, greets);
    let root = format!("--socket={}", socket.display());
    let sql = format!(
        "CREATE USER '{USER}'@'%'; GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON *.* TO '{USER}'@'%';"
    );
    run(Command::new("mariadb").args(["-uroot", &root, "-e", &sql]));
    (server, root)
}

fn kafka(dir: &Path) -> Server {
    let (port, controller) = (free_port().unwrap(), free_port().unwrap());
    let properties = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\nlisteners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}\n\
         auto.create.topics.enable=false\ngroup.initial.rebalance.delay.ms=0\noffsets.topic.num.partitions=4\n\
         offsets.topic.replication.factor=1\ntransaction.state.log.num.partitions=1\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n",
        dir.join("kafka-data").display()
    );
    let file = dir.join("kafka.properties");
    fs::write(&file, properties).unwrap();
    let (class_path, file) = (format!("{}/*", jars().display()), file.display().to_string());
    let java = |class: &str| words(&["java", "-Xmx384m", "-cp", &class_path, class]);
    let format = java("kafka.tools.StorageTool");
    let cluster = ["format", "-t", "jangbu-parts-000000000", "-c", &file];
    run(Command::new(&format[0]).args(&format[1..]).args(cluster).current_dir(dir));
    let answers = |port| {
        let mut answer = [0; 10];
        asked(port, &[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0, 0], &mut answer) && answer[4..] == [0, 0, 0, 1, 0, 0]
    };
    Server::start("kafka", [java("kafka.Kafka"), vec![file]].concat(), dir, port, answers)
}

fn redis(dir: &Path) -> Server {
    let port = free_port().unwrap();
    let line = ["redis-server", "--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    Server::start("redis", words(&line), dir, port, |port| {
        let mut answer = [0; 5];
        asked(port, b"PING\r\n", &mut answer) && answer == *b"+PONG"
    })
}

impl Servers {
    /// Starts them in a directory; the database's files are in `data`.
    pub fn start(dir: &Path, data: &Path) -> Servers {
        std::thread::scope(|scope| {
            let kafka = scope.spawn(|| kafka(dir));
            let (mysql, root) = mysql(dir, data);
            Servers { mysql, redis: redis(dir), kafka: kafka.join().unwrap(), root }
        })
    }

    /// Has the database's own administrator say something to it.
    pub fn administer(&self, sql: &str) {
        run(Command::new("mariadb").args(["-uroot", &self.root, "-e", sql]));
    }

    /// Everything in the key-value store goes.
    pub fn flush_redis(&self) {
        let mut answer = [0; 3];
        assert!(asked(self.redis.port, b"FLUSHALL\r\n", &mut answer) && answer == *b"+OK");
    }
}
