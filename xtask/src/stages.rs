//! The whole check, stage by stage: what a person runs before a change and what CI runs after it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::tidy;

/// Tells the one browser test to stand aside.
const SKIP_BROWSER: &str = "JANGBU_SKIP_BROWSER";
/// Set to 1 to install what `cargo deny` needs and to ask the advisory database too.
const DENY: &str = "CI_DENY";
/// The stages that are counted.
const STAGES: usize = 6;

/// Runs all stages; the first failure ends the run.
///
/// # Errors
/// Which stage failed.
pub fn test(root: &Path) -> Result<(), String> {
    let mut run = Run { root, stage: 0, notes: Vec::new() };
    run.stage("format", |run| run.cargo(&["fmt", "--all", "--check"], &[]))?;
    run.stage("tidy", |run| tidy::run(run.root))?;
    run.stage("lints", |run| run.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[]))?;
    run.stage("licences and sources", Run::deny)?;
    let mut skip = false;
    run.stage("browser", |run| {
        skip = !run.browser();
        Ok(())
    })?;
    let env: &[(&str, &str)] = if skip { &[(SKIP_BROWSER, "1")] } else { &[] };
    run.stage("tests", |run| run.cargo(&["test", "--workspace", "--no-fail-fast"], env))?;
    for note in &run.notes {
        println!("note: {note}");
    }
    println!("all {STAGES} stages passed");
    Ok(())
}

struct Run<'a> {
    root: &'a Path,
    stage: usize,
    /// What did not run and how it would; said again at the end, where it is seen.
    notes: Vec<String>,
}

impl Run<'_> {
    fn stage(&mut self, name: &str, work: impl FnOnce(&mut Self) -> Result<(), String>) -> Result<(), String> {
        self.stage += 1;
        println!("[{}/{STAGES}] {name}", self.stage);
        let began = Instant::now();
        work(self).map_err(|why| format!("{why}\n[{}/{STAGES}] {name}: failed", self.stage))?;
        println!("[{}/{STAGES}] {name}: passed in {} s", self.stage, began.elapsed().as_secs());
        Ok(())
    }

    fn cargo(&self, words: &[&str], env: &[(&str, &str)]) -> Result<(), String> {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        self.command(&cargo, words, env)
    }

    fn command(&self, program: &str, words: &[&str], env: &[(&str, &str)]) -> Result<(), String> {
        let shown = format!("{} {}", program.rsplit('/').next().unwrap_or(program), words.join(" "));
        println!("$ {shown}");
        let mut command = Command::new(program);
        let status = command.args(words).envs(env.iter().copied()).current_dir(self.root).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{shown}: {status}")),
            Err(e) => Err(format!("{shown}: could not start: {e}")),
        }
    }

    /// Licences, sources and bans are facts of the tree. Advisories need the network and change without the tree, so
    /// they are asked only where somebody looks after them.
    fn deny(&mut self) -> Result<(), String> {
        let asked = std::env::var(DENY).is_ok_and(|v| v == "1");
        if asked && !exists("cargo-deny") {
            self.cargo(&["install", "--locked", "cargo-deny"], &[])?;
        }
        if !exists("cargo-deny") {
            self.note(format!("cargo-deny is not installed, so licences were not checked; {DENY}=1 installs it"));
            return Ok(());
        }
        let checks: &[&str] = if asked { &[] } else { &["bans", "licenses", "sources"] };
        self.cargo(&[&["deny", "check"], checks].concat(), &[])
    }

    /// Is there a browser for the one test of the bank's page?
    fn browser(&mut self) -> bool {
        if exists("chromium") {
            return true;
        }
        if exists("apt-get") && is_root() {
            let noninteractive = [("DEBIAN_FRONTEND", "noninteractive")];
            let installed = self.command("apt-get", &["update"], &noninteractive).and_then(|()| {
                let words = ["install", "-y", "--no-install-recommends", "chromium"];
                self.command("apt-get", &words, &noninteractive)
            });
            match installed {
                Ok(()) => return true,
                Err(why) => println!("{why}"),
            }
        }
        self.note(
            "no chromium, so the browser test is skipped; install it with \
             `sudo apt-get install --no-install-recommends chromium`"
                .into(),
        );
        false
    }

    fn note(&mut self, note: String) {
        println!("{note}");
        self.notes.push(note);
    }
}

/// Is there such a program on the path?
fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").stderr(Stdio::null()).output();
    id.is_ok_and(|out| out.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(exists("cargo"));
        assert!(!exists("no-such-program-anywhere"));
    }

    #[test]
    fn a_failed_stage_is_named() {
        let mut run = Run { root: Path::new("."), stage: 0, notes: Vec::new() };
        run.stage("one", |_| Ok(())).unwrap();
        let why = run.stage("two", |_| Err("it broke".into())).unwrap_err();
        assert_eq!(why, format!("it broke\n[2/{STAGES}] two: failed"));
    }
}
