//! Real MariaDB, Kafka and Redis for tests and for a bank on this machine: private instances on free ports, each with a
//! directory of its own, started and ended by hand of this program alone.
//!
//! A server that somebody already runs is used instead when its variable names it.

mod kafka;
mod mariadb;
#[path = "../../crates/adapters/src/stand/ports.rs"]
mod ports;
mod process;
mod redis;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use process::Process;

use crate::packages;

/// How long a server may take to answer one question.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How long a server may take until it answers at all.
const READY_MAX: Duration = Duration::from_secs(90);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// One kind of server.
struct Kind {
    name: &'static str,
    variable: &'static str,
    wanted: &'static [(&'static str, &'static str)],
    prepare: fn(&Path, u16) -> Result<Command, String>,
    answers: fn(u16) -> bool,
    address: fn(u16) -> String,
    /// What a service's configuration says to use it.
    word: &'static str,
    /// The section of the configuration that says where it is.
    section: fn(&str) -> Option<String>,
    /// What a service's environment says to use it.
    environment: fn(&str) -> Option<String>,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "mysql",
        variable: "JANGBU_TEST_MYSQL",
        wanted: mariadb::WANTED,
        prepare: mariadb::prepare,
        answers: mariadb::answers,
        address: mariadb::url,
        word: "store = \"mysql\"",
        section: |_| None,
        environment: |url| Some(format!("JANGBU_MYSQL_URL={url}/jangbu")),
    },
    Kind {
        name: "kafka",
        variable: "JANGBU_TEST_KAFKA",
        wanted: kafka::WANTED,
        prepare: kafka::prepare,
        answers: kafka::answers,
        address: |port| format!("127.0.0.1:{port}"),
        word: "log = \"kafka\"",
        section: |servers| Some(format!("[kafka]\nservers = \"{servers}\"")),
        environment: |_| None,
    },
    Kind {
        name: "redis",
        variable: "JANGBU_TEST_REDIS",
        wanted: redis::WANTED,
        prepare: redis::prepare,
        answers: redis::answers,
        address: redis::url,
        word: "kv = \"redis\"",
        section: |url| Some(format!("[redis]\nurl = \"{url}\"")),
        environment: |_| None,
    },
];

/// A server that can be used.
pub struct Running {
    kind: &'static Kind,
    /// Its address.
    pub address: String,
    /// Whether this call started it.
    started: bool,
    dir: PathBuf,
}

impl Running {
    /// The variable that names it to tests.
    #[must_use]
    pub fn variable(&self) -> &'static str {
        self.kind.variable
    }
}

/// `servers start|stop|status`, in `dir`.
///
/// # Errors
/// A server can't be installed, started or ended.
pub fn run(what: &str, dir: &Path) -> Result<(), String> {
    match what {
        "start" => {
            let begun = start(dir);
            let running: Vec<&Running> = begun.iter().filter_map(|server| server.as_ref().ok()).collect();
            tell(&running);
            begun.iter().find_map(|server| server.as_ref().err()).map_or(Ok(()), |why| Err(why.clone()))
        }
        "stop" => stop(dir),
        _ => {
            status(dir);
            Ok(())
        }
    }
}

/// Starts what does not run yet, all kinds at once; one result for each kind.
#[must_use]
pub fn start(dir: &Path) -> Vec<Result<Running, String>> {
    let named = |kind: &Kind| std::env::var(kind.variable).ok().filter(|address| !address.is_empty());
    std::thread::scope(|scope| {
        let start = |kind: &'static Kind| scope.spawn(move || one(kind, dir, named(kind)));
        let starting: Vec<_> = KINDS.iter().map(start).collect();
        starting.into_iter().map(|server| server.join().unwrap_or_else(|_| Err("a start panicked".into()))).collect()
    })
}

fn one(kind: &'static Kind, dir: &Path, named: Option<String>) -> Result<Running, String> {
    let dir = dir.join(kind.name);
    let running = |address: String, started| Running { kind, address, started, dir: dir.clone() };
    if let Some(address) = named {
        return Ok(running(address, false));
    }
    if let Some(process) = Process::noted(&dir) {
        ready(kind, &process, &dir)?;
        return Ok(running((kind.address)(process.port), false));
    }
    packages::ensure(kind.wanted)?;
    fs::create_dir_all(&dir).map_err(|e| format!("making {}: {e}", dir.display()))?;
    let port = free_port()?;
    let began = Instant::now();
    let process = (kind.prepare)(&dir, port).and_then(|mut command| Process::start(&mut command, &dir, port));
    let process = process.map_err(|why| format!("{}: {why}", kind.name))?;
    ready(kind, &process, &dir)?;
    println!("{} answers on port {port} after {} ms", kind.name, began.elapsed().as_millis());
    Ok(running((kind.address)(port), true))
}

fn ready(kind: &Kind, process: &Process, dir: &Path) -> Result<(), String> {
    let since = Instant::now();
    while !(kind.answers)(process.port) {
        if !process.runs() || since.elapsed() > READY_MAX {
            let why = if process.runs() { "does not answer" } else { "ended" };
            return Err(format!("{} {why}: {}", kind.name, packages::tail(&process::log(dir))));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Ends what was started in `dir`; data stays.
///
/// # Errors
/// A process does not end.
pub fn stop(dir: &Path) -> Result<(), String> {
    for kind in &KINDS {
        let dir = dir.join(kind.name);
        if let Some(process) = Process::noted(&dir) {
            process.end(&dir)?;
            println!("{:<6} ended (process {})", kind.name, process.id());
        }
    }
    Ok(())
}

/// Ends a server that this call's [`start`] started, and removes its data.
pub fn end(server: &Running) {
    let Some(process) = Process::noted(&server.dir).filter(|_| server.started) else { return };
    match process.end(&server.dir) {
        Ok(()) => drop(fs::remove_dir_all(server.dir.join("data"))), // what is left is used again, which is no harm
        Err(why) => eprintln!("{why}"),
    }
}

fn status(dir: &Path) {
    for kind in &KINDS {
        match Process::noted(&dir.join(kind.name)) {
            Some(process) => {
                let says = if (kind.answers)(process.port) { "answers" } else { "does not answer" };
                let address = (kind.address)(process.port);
                println!("{:<6} {says} at {address} (process {})", kind.name, process.id());
            }
            None => println!("{:<6} does not run", kind.name),
        }
    }
}

fn tell(running: &[&Running]) {
    println!("\n# for a service's configuration:");
    running.iter().for_each(|server| println!("{}", server.kind.word));
    running
        .iter()
        .filter_map(|server| (server.kind.section)(&server.address))
        .for_each(|section| println!("{section}"));
    println!("\n# for a service's environment:");
    running.iter().filter_map(|server| (server.kind.environment)(&server.address)).for_each(|e| println!("export {e}"));
    println!("\n# for tests:");
    for server in running {
        println!("export {}={}", server.variable(), server.address);
    }
}

fn free_port() -> Result<u16, String> {
    ports::free_port().map_err(|e| e.to_string())
}
