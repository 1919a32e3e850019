//! Servers for tests and benches: one that somebody runs already, named by the environment, or a private one.

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;

pub use ports::free_port;

mod ports;

/// Names a server of the MySQL kind: `mysql://user:password@host:port`, where the user may make databases.
pub const MYSQL_VARIABLE: &str = "JANGBU_TEST_MYSQL";

/// How often a server is asked whether it is there, and how many times: two minutes, since a machine may be busy with
/// other tests.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS_MAX: u32 = 2_400;
/// How long the removal of a database waits for whoever uses it, seconds.
const LOCK_WAIT_S: u32 = 10;

/// A server. Dropped, a private one ends, and on one that somebody else runs the databases are removed that it was asked for,
/// with those of a service, which have its name after theirs. A private one also ends when this process is killed.
#[derive(Debug)]
pub struct Server {
    url: String,
    names: Mutex<Vec<String>>,
    keeper: Option<Keeper>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let names = std::mem::take(self.names.get_mut().unwrap_or_else(PoisonError::into_inner));
        if self.keeper.is_some() || names.is_empty() {
            return;
        }
        let url = self.url.clone();
        // A runtime that drops it is not to be waited in.
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(remove(&url, &names)).map_err(Error::other)
        });
        if let Ok(Err(e)) = removed.join() {
            eprintln!("databases for tests stay on the server: {e}");
        }
    }
}

async fn remove(url: &str, names: &[String]) -> mysql_async::Result<()> {
    let mut conn = Conn::from_url(url).await?;
    conn.query_drop(format!("SET lock_wait_timeout = {LOCK_WAIT_S}")).await?; // somebody may be at work there
    for name in names {
        let like = format!("{}\\_%", name.replace('_', "\\_"));
        let sql = "SELECT schema_name FROM information_schema.schemata WHERE schema_name = ? OR schema_name LIKE ?";
        let there: Vec<String> = conn.exec(sql, (name, like)).await?;
        for database in there {
            conn.query_drop(format!("DROP DATABASE `{}`", database.replace('`', "``"))).await?;
        }
    }
    conn.disconnect().await
}

/// A shell that ends the server, and removes its folder, when it hears nothing of us any more.
#[derive(Debug)]
struct Keeper(Child);

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait(); // whoever asks for the folder afterwards finds it gone
    }
}

impl Server {
    /// The server that [`MYSQL_VARIABLE`] names, or a MariaDB of our own with everything as durable as a bank
    /// needs it, in a folder of its own under `under`.
    ///
    /// # Errors
    /// None is named, and MariaDB's programs are not installed or don't start.
    pub fn mysql(under: &Path) -> Result<Server> {
        if let Ok(url) = std::env::var(MYSQL_VARIABLE) {
            return Ok(Server { url: url.trim_end_matches('/').to_owned(), names: Mutex::default(), keeper: None });
        }
        let under = under.canonicalize()?;
        let port = free_port()?;
        let dir = under.join(format!("jangbu-mariadb-{}-{port}", std::process::id()));
        install(&dir)?;
        let keeper = Keeper(start(&dir, port)?);
        wait(port, &dir)?;
        let url = format!("mysql://root@127.0.0.1:{port}");
        Ok(Server { url, names: Mutex::default(), keeper: Some(keeper) })
    }

    /// Lets its databases be, where somebody else runs it.
    pub fn keep(&self) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The URL of one of its databases, which nobody else uses.
    #[must_use]
    pub fn database(&self, name: &str) -> String {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
        format!("{}/{name}", self.url)
    }
}

fn said(what: &str, output: &[u8]) -> Error {
    Error::other(format!("{what}: {}", String::from_utf8_lossy(output).trim()))
}

fn install(dir: &Path) -> Result<()> {
    let made = Command::new("mariadb-install-db")
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
        .arg(format!("--datadir={}", dir.display()))
        .env("TMPDIR", dir.parent().unwrap_or(dir)) // installations side by side would take each other's tables for theirs
        .output()
        .map_err(|e| {
            let how = format!("install mariadb-server, or name a server in {MYSQL_VARIABLE}");
            if e.kind() == ErrorKind::NotFound { Error::new(ErrorKind::NotFound, how) } else { e }
        })?;
    if !made.status.success() {
        return Err(said("mariadb-install-db", &[made.stdout, made.stderr].concat()));
    }
    Ok(())
}

fn start(dir: &Path, port: u16) -> Result<Child> {
    let user = if std::env::var("USER").is_ok_and(|user| user != "root") { "" } else { "--user=root" };
    // The shell's input ends when this process does, however it ends.
    let script =
        "mariadbd \"$@\" & server=$!; read -r _; kill \"$server\" 2>/dev/null; wait \"$server\"; rm -rf \"$0\"";
    Command::new("sh")
        .args(["-c", script])
        .arg(dir)
        .arg("--no-defaults")
        .args((!user.is_empty()).then_some(user))
        .arg(format!("--datadir={}", dir.display()))
        .arg(format!("--socket={}", dir.join("socket").display()))
        .arg(format!("--pid-file={}", dir.join("pid").display()))
        .arg(format!("--log-error={}", dir.join("error.log").display()))
        .arg(format!("--port={port}"))
        .args(["--bind-address=127.0.0.1", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=1"])
        .args(["--innodb-doublewrite=ON", "--innodb-log-file-size=256M", "--innodb-buffer-pool-size=512M"])
        .args(["--max-connections=400", "--max-allowed-packet=64M", "--skip-name-resolve"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

fn wait(port: u16, dir: &Path) -> Result<()> {
    for _ in 0..LOOKS_MAX {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
    Err(said("mariadbd does not answer", &std::fs::read(dir.join("error.log")).unwrap_or_default()))
}
