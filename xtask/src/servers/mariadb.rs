//! MariaDB, set up so that an answered commit is on the disk.

use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use crate::packages;

/// Programs and the packages that bring them.
pub const WANTED: &[(&str, &str)] = &[("mariadbd", "mariadb-server"), ("mariadb-install-db", "mariadb-server")];
/// The account that tests and a bank on this machine use; the server listens to this machine alone.
const USER: &str = "jangbu";
/// Its password: no secret, since whoever reaches the port has the machine.
const PASSWORD: &str = "jangbu";

/// The account's address.
#[must_use]
pub fn url(port: u16) -> String {
    format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{port}")
}

/// Lays the files of an empty server into `dir`, once, and tells how it is started.
///
/// # Errors
/// They can't be laid.
pub fn prepare(dir: &Path, port: u16) -> Result<Command, String> {
    let data = dir.join("data");
    let program = |name: &str| packages::find(name).ok_or_else(|| format!("{name} is not installed"));
    let mut as_user = vec!["--no-defaults".to_owned(), format!("--datadir={}", data.display())];
    if packages::is_root() {
        as_user.push("--user=root".to_owned()); // without it the server refuses root, and with another it can't come here
    }
    if !data.join("mysql").is_dir() {
        let mut install = Command::new(program("mariadb-install-db")?);
        install.args(&as_user).args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        packages::run_quietly(&mut install, &dir.join("install.log"))?;
    }
    let grants = dir.join("grants.sql");
    let sql = format!(
        "CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO '{USER}'@'%';\n"
    );
    std::fs::write(&grants, sql).map_err(|e| format!("writing {}: {e}", grants.display()))?;
    let mut command = Command::new(program("mariadbd")?);
    command.args(&as_user).args([
        format!("--port={port}"),
        "--socket=socket".to_owned(), // in its data, by a short name: the system limits how long a whole one may be
        format!("--pid-file={}", dir.join("server.pid").display()),
        format!("--init-file={}", grants.display()),
    ]);
    command.args([
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--innodb-flush-log-at-trx-commit=1",
        "--innodb-doublewrite=1",
        "--innodb-buffer-pool-size=512M",
        "--innodb-log-file-size=512M",
        "--max-connections=500",
        "--character-set-server=utf8mb4",
        "--collation-server=utf8mb4_bin",
    ]);
    Ok(command)
}

/// Does it greet? The greeting begins with a length, a number and the version of its protocol.
#[must_use]
pub fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut greeting = [0; 5];
    stream.set_read_timeout(Some(super::ANSWER_MAX)).is_ok()
        && stream.read_exact(&mut greeting).is_ok()
        && greeting[4] == 10
}
