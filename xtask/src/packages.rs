//! Programs that chores need: whether they are here, and how they get here on Debian and Ubuntu.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The package manager takes one caller at a time, and chores run beside each other.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Where a program is: on the path, or where servers are kept that only root's path shows.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    dirs().into_iter().find_map(|dir| Some(dir.join(program)).filter(|file| file.is_file()))
}

/// A path on which everything is that [`find`] finds.
///
/// # Panics
/// Never: what was split can be joined.
#[must_use]
pub fn path() -> OsString {
    std::env::join_paths(dirs()).expect("none of them has a separator in its name")
}

fn dirs() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beside = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(beside).collect()
}

/// Is there such a program?
#[must_use]
pub fn exists(program: &str) -> bool {
    find(program).is_some()
}

/// Sees to it that all programs are here; `wanted` names each with its Debian package.
///
/// # Errors
/// Some are missing and can't be installed, with the command that would do it.
pub fn ensure(wanted: &[(&str, &str)]) -> Result<(), String> {
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let missing: Vec<&str> =
        wanted.iter().filter(|(program, _)| !exists(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let how = format!("sudo apt-get install --no-install-recommends {}", missing.join(" "));
    if !exists("apt-get") || !(is_root() || exists("sudo")) {
        return Err(format!("not installed: {}; on Debian or Ubuntu: `{how}`", missing.join(", ")));
    }
    let install = [&["install", "-y", "--no-install-recommends"], missing.as_slice()].concat();
    // A list that is old may name files that are gone; a fresh one costs seconds, so it is fetched only then.
    apt(&install)
        .or_else(|_| apt(&["update"]).and_then(|()| apt(&install)))
        .map_err(|why| format!("{why}; try it by hand: `{how}`"))
}

fn apt(words: &[&str]) -> Result<(), String> {
    let shown = format!("apt-get {}", words.join(" "));
    println!("$ {shown}");
    let mut command = if is_root() { Command::new("apt-get") } else { Command::new("sudo") };
    if !is_root() {
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    }
    let status = command.args(words).env("DEBIAN_FRONTEND", "noninteractive").status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown}: {status}")),
        Err(e) => Err(format!("{shown}: could not start: {e}")),
    }
}

/// Does this process run as root?
#[must_use]
pub fn is_root() -> bool {
    let id = Command::new("id").arg("-u").stderr(Stdio::null()).output();
    id.is_ok_and(|out| out.stdout.trim_ascii() == b"0")
}

/// Runs a program to its end, its output in a file.
///
/// # Errors
/// It could not start or failed; the end of what it said is told.
pub fn run_quietly(command: &mut Command, log: &Path) -> Result<(), String> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let file = std::fs::File::create(log).map_err(|e| format!("writing {}: {e}", log.display()))?;
    let both = file.try_clone().map_err(|e| format!("writing {}: {e}", log.display()))?;
    let status = command.stdin(Stdio::null()).stdout(file).stderr(both).status();
    let status = status.map_err(|e| format!("{shown}: could not start: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{shown}: {status}: {}", tail(log))) }
}

/// The last lines of a file.
#[must_use]
pub fn tail(file: &Path) -> String {
    let text = std::fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    format!("{} says: {}", file.display(), lines.into_iter().rev().collect::<Vec<_>>().join(" / "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(exists("cargo"));
        assert!(!exists("no-such-program-anywhere"));
        assert!(ensure(&[("cargo", "cargo")]).is_ok(), "what is here is not installed");
    }
}
