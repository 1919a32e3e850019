//! Redis. It keeps nothing on the disk: what a bank puts there may be lost at any moment, and tests that lose it should.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use crate::packages;

/// Programs and the packages that bring them.
pub const WANTED: &[(&str, &str)] = &[("redis-server", "redis-server")];

/// The server's address.
#[must_use]
pub fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

/// Tells how a server in `dir` is started.
///
/// # Errors
/// It is not installed.
pub fn prepare(dir: &Path, port: u16) -> Result<Command, String> {
    let mut command = Command::new(packages::find("redis-server").ok_or("redis-server is not installed")?);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(dir);
    command.args(["--save", "", "--appendonly", "no", "--maxmemory", "256mb", "--maxmemory-policy", "volatile-ttl"]);
    Ok(command)
}

/// Does it answer a ping?
#[must_use]
pub fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut answer = [0; 5];
    stream.set_read_timeout(Some(super::ANSWER_MAX)).is_ok()
        && stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer == *b"+PONG"
}
