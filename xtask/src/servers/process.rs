//! A server's process: known by its id and by when it began, so that an id given out anew is never taken for it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server gets to end by itself.
const END_MS_MAX: u64 = 20_000;
/// Pause between two looks.
const LOOK_MS: u64 = 20;

/// A process that was started from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    id: u32,
    /// Ticks since the machine's start at which it began, as the system tells.
    began: String,
    /// Where it answers.
    pub port: u16,
}

/// When the process with this id began; none when there is none, or when it is over and only its parent doesn't know.
fn began(id: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The second field is a name that may hold blanks; state is the first one after it, the start the twentieth.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    (*fields.first()? != "Z").then(|| fields.get(19).map(|f| (*f).to_owned()))?
}

fn file(dir: &Path) -> PathBuf {
    dir.join("process")
}

impl Process {
    /// Starts a server and notes it in its directory. It outlives this program and hears no Ctrl-C of its terminal.
    ///
    /// # Errors
    /// It could not start, or the note can't be written.
    pub fn start(command: &mut Command, dir: &Path, port: u16) -> Result<Process, String> {
        let log = log(dir);
        let writing = |e: std::io::Error| format!("writing {}: {e}", log.display());
        let out = File::options().create(true).append(true).open(&log).map_err(writing)?;
        let both = out.try_clone().map_err(writing)?;
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(out).stderr(both).process_group(0).spawn();
        let id = child.map_err(|e| format!("{name}: could not start: {e}"))?.id();
        let began = began(id).ok_or_else(|| format!("{name} ended at once: {}", crate::packages::tail(&log)))?;
        let process = Process { id, began, port };
        let note = format!("{} {} {}\n", process.id, process.began, process.port);
        fs::write(file(dir), note).map_err(|e| format!("writing {}: {e}", file(dir).display()))?;
        Ok(process)
    }

    /// The process that is noted in a directory, while it runs.
    #[must_use]
    pub fn noted(dir: &Path) -> Option<Process> {
        let note = fs::read_to_string(file(dir)).ok()?;
        let mut words = note.split_ascii_whitespace();
        let id = words.next()?.parse().ok()?;
        let process = Process { id, began: words.next()?.to_owned(), port: words.next()?.parse().ok()? };
        process.runs().then_some(process)
    }

    /// Does it still run?
    #[must_use]
    pub fn runs(&self) -> bool {
        began(self.id).as_deref() == Some(self.began.as_str())
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Asks it to end, and waits; one that does not is ended.
    ///
    /// # Errors
    /// It can't be ended.
    pub fn end(&self, dir: &Path) -> Result<(), String> {
        for signal in ["-TERM", "-KILL"] {
            if self.runs() {
                let _ = Command::new("kill").args([signal, &self.id.to_string()]).status(); // looked at below
            }
            let since = Instant::now();
            while since.elapsed() < Duration::from_millis(END_MS_MAX) {
                if !self.runs() {
                    let _ = fs::remove_file(file(dir)); // a note about nobody does no harm
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(LOOK_MS));
            }
        }
        Err(format!("process {} does not end", self.id))
    }
}

/// Where a server's output goes.
#[must_use]
pub fn log(dir: &Path) -> PathBuf {
    dir.join("output.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ended_and_another_with_its_id_is_not() {
        let dir = std::env::temp_dir().join(format!("xtask-process-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let process = Process::start(Command::new("sleep").arg("600"), &dir, 7).unwrap();
        assert_eq!(Process::noted(&dir), Some(process.clone()));
        let other = Process { began: "1".into(), ..process.clone() };
        other.end(&dir).unwrap();
        assert!(process.runs(), "it was meant for another");
        process.end(&dir).unwrap();
        assert!(!process.runs() && Process::noted(&dir).is_none());
        fs::remove_dir_all(&dir).unwrap();
    }
}
