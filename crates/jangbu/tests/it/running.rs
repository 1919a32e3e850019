//! A bank that runs as a process of its own.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jangbu_kernel::time::Timestamp;
use jangbu_platform::auth::{Keyring, Role};
use jangbu_platform::clock::{Clock as _, RealClock};
use jangbu_sim::client::Client;
use jangbu_sim::workload::town::Tokens;

/// How long a bank may take to open or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `jangbu up`. Dropped, it is killed.
pub struct Running {
    child: Child,
    dir: PathBuf,
    keys: Keyring,
    base: String,
    said: Arc<Mutex<Vec<String>>>,
}

/// `jangbu up` on a directory, with arguments after it, not started yet. What it logs lands beside the directory.
pub fn up(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jangbu"));
    command.args(["up", "--port", "0", "--data"]).arg(dir).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let log = File::options().create(true).append(true).open(dir.with_extension("log"));
    command.stderr(log.expect("a log can be written beside the directory"));
    command
}

impl Running {
    /// Starts a bank and waits until it answers.
    pub fn start(command: &mut Command, dir: &Path) -> Result<Running, String> {
        let mut child = command.spawn().map_err(|e| format!("could not start: {e}"))?;
        let out = BufReader::new(child.stdout.take().ok_or("a bank without output")?);
        let mut lines = out.lines();
        let address = lines.by_ref().find_map(|line| {
            let line = line.ok()?;
            let rest = line.split_once("http://")?.1;
            Some(rest.split('/').next().unwrap_or(rest).to_owned())
        });
        let Some(address) = address else {
            let ended = child.wait().map_err(|e| e.to_string())?;
            return Err(format!("it did not open ({ended}): {}", log_of(dir)));
        };
        // The rest is read at once, so that the bank never waits for its reader.
        let said = Arc::new(Mutex::new(Vec::new()));
        let hearing = Arc::clone(&said);
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| hearing.lock().unwrap().push(line)));
        let base = format!("http://{address}");
        let keys = Keyring::load_or_create(&dir.join("keys"), RealClock.now()).map_err(|e| e.to_string())?;
        let mut running = Running { child, dir: dir.to_owned(), keys, base, said };
        running.wait_until_ready(&address)?;
        Ok(running)
    }

    fn wait_until_ready(&mut self, address: &str) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Ok(Some(ended)) = self.child.try_wait() {
                return Err(format!("it ended ({ended}): {}", log_of(&self.dir)));
            }
            let mut answer = String::new();
            let asked = TcpStream::connect(address).and_then(|mut stream| {
                stream.set_read_timeout(Some(Duration::from_secs(5)))?;
                stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: bank\r\nconnection: close\r\n\r\n")?;
                stream.read_to_string(&mut answer)
            });
            if asked.is_ok() && answer.starts_with("HTTP/1.1 200") {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(format!("it was not ready in time: {}", log_of(&self.dir)))
    }

    /// A way to it for a caller.
    pub fn client(&self, role: Role, subject: &str) -> Result<Client, String> {
        Client::there(&self.base, &token(&self.keys, role, subject)?)
    }

    /// Waits until it has printed a line with these words; the line.
    pub async fn says(&self, words: &str) -> String {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let found = self.said.lock().unwrap().iter().find(|line| line.contains(words)).cloned();
            if let Some(line) = found {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it never said {words:?}: {}", log_of(&self.dir));
    }

    /// Where credentials come from.
    pub fn tokens(&self) -> Tokens {
        let keys = self.keys.clone();
        Arc::new(move |role, subject| token(&keys, role, subject))
    }

    /// Strikes it dead, as a power failure would.
    pub fn strike(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
    }

    /// Strikes it dead and waits until nothing is left of it.
    pub fn kill(&mut self) {
        self.strike();
        let _ = self.child.wait();
    }

    /// Tells it to end and waits until it has.
    pub fn terminate(&mut self) -> Result<ExitStatus, String> {
        let told = Command::new("kill").arg(self.child.id().to_string()).status();
        told.map_err(|e| e.to_string())?;
        wait(&mut self.child)
    }
}

fn token(keys: &Keyring, role: Role, subject: &str) -> Result<String, String> {
    keys.issue(role, subject, RealClock.now(), Duration::from_secs(3_600)).map_err(|e| e.to_string())
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until a process has ended.
pub fn wait(child: &mut Child) -> Result<ExitStatus, String> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(ended) = child.try_wait().map_err(|e| e.to_string())? {
            return Ok(ended);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    Err("it did not end in time".to_owned())
}

/// What a bank logged.
pub fn log_of(dir: &Path) -> String {
    std::fs::read_to_string(dir.with_extension("log")).unwrap_or_default()
}

/// Arguments for a clock that is moved by hand.
pub fn manual(now: Timestamp) -> [String; 4] {
    ["--clock".to_owned(), "manual".to_owned(), "--at".to_owned(), now.to_string()]
}
