//! The whole check, stage by stage: what a person runs before a change and what CI runs after it.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::packages::{self, exists};
use crate::servers::{self, Running};
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
    let dir = root.join("target/servers");
    // They come up while the compiler works, so that they cost hardly any time.
    let starting = std::thread::spawn(move || servers::start(&dir));
    let checked = run.before_tests();
    let (running, missing): (Vec<_>, Vec<_>) =
        starting.join().map_err(|_| "starting the servers panicked")?.into_iter().partition(Result::is_ok);
    let running: Vec<Running> = running.into_iter().flatten().collect();
    for why in missing.into_iter().filter_map(Result::err) {
        run.note(format!("tests on this engine are left out: {why}"));
    }
    let tested = checked.and_then(|browser| run.tests(browser, &running));
    running.iter().for_each(servers::end);
    tested?;
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
    /// All stages before the tests; whether there is a browser.
    fn before_tests(&mut self) -> Result<bool, String> {
        self.stage("format", |run| run.cargo(&["fmt", "--all", "--check"], &[]))?;
        self.stage("tidy", |run| tidy::run(run.root))?;
        self.stage("lints", |run| run.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[]))?;
        self.stage("licences and sources", Run::deny)?;
        let mut browser = false;
        self.stage("browser and proxy", |run| {
            browser = run.browser();
            run.proxy();
            Ok(())
        })?;
        Ok(browser)
    }

    fn tests(&mut self, browser: bool, servers: &[Running]) -> Result<(), String> {
        let mut env: Vec<(&str, &str)> = servers.iter().map(|s| (s.variable(), s.address.as_str())).collect();
        if !browser {
            env.push((SKIP_BROWSER, "1"));
        }
        self.stage("tests", |run| run.cargo(&["test", "--workspace", "--no-fail-fast"], &env))
    }

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
        // Tests leave out what they don't find, and only root's path shows servers.
        let status =
            command.args(words).env("PATH", packages::path()).envs(env.iter().copied()).current_dir(self.root).status();
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

    /// The proxy in front of two replicas, in the tests of processes that run apart and are killed.
    fn proxy(&mut self) {
        if let Err(why) = packages::ensure(&[("nginx", "nginx")]) {
            self.note(format!("no nginx, so real processes are not put to the test: {why}"));
        }
    }

    /// Is there a browser for the one test of the bank's page?
    fn browser(&mut self) -> bool {
        let found = packages::ensure(&[("chromium", "chromium")]);
        if let Err(why) = &found {
            self.note(format!("no browser, so the test of the page is skipped: {why}"));
        }
        found.is_ok()
    }

    fn note(&mut self, note: String) {
        println!("{note}");
        self.notes.push(note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_stage_is_named() {
        let mut run = Run { root: Path::new("."), stage: 0, notes: Vec::new() };
        run.stage("one", |_| Ok(())).unwrap();
        let why = run.stage("two", |_| Err("it broke".into())).unwrap_err();
        assert_eq!(why, format!("it broke\n[2/{STAGES}] two: failed"));
    }
}
