//! The simulation at length: all cores for some minutes, and a summary that CI keeps.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the summary lies.
const SUMMARY: &str = "target/sim-summary.json";
/// Minutes unless told.
const MINUTES: u64 = 5;
/// Seeds whose hashes are compared, and the first of them: the same each time.
const COMPARED: (&str, &str) = ("1000", "3");

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    minutes: u64,
    seed: Option<u64>,
    binary: Option<PathBuf>,
    compare: bool,
    require_rare: bool,
}

impl Asked {
    /// Reads the words after `sim`.
    ///
    /// # Errors
    /// They make no sense.
    pub fn read(words: &[&str]) -> Result<Asked, String> {
        let mut asked = Asked { minutes: MINUTES, seed: None, binary: None, compare: false, require_rare: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--compare" => asked.compare = true,
                "--require-rare" => asked.require_rare = true,
                _ => asked.value(word, words.next())?,
            }
        }
        Ok(asked)
    }

    /// Takes a word with its value.
    fn value(&mut self, word: &str, value: Option<&&str>) -> Result<(), String> {
        let value = value.ok_or_else(|| format!("{word} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{word} needs a number, not {value:?}"));
        match word {
            "--minutes" => self.minutes = number()?,
            "--seed" => self.seed = Some(number()?),
            "--binary" => self.binary = Some(PathBuf::from(value)),
            other => return Err(format!("{other:?} is no option of sim")),
        }
        Ok(())
    }
}

/// Runs the simulation; the release build is made first unless a binary is given.
///
/// # Errors
/// It can't be built or run, a seed failed, or hashes differ.
pub fn run(root: &Path, asked: &Asked) -> Result<(), String> {
    let binary = match &asked.binary {
        Some(binary) => binary.clone(),
        None => build(root, true)?,
    };
    if asked.compare {
        let release = hash(root, &binary)?;
        let again = hash(root, &binary)?;
        let debug = hash(root, &build(root, false)?)?;
        if release != again || release != debug {
            return Err(format!("the same seeds gave {release}, then {again}, and {debug} in the debug build"));
        }
        println!("the same seeds gave {release} twice, and in the debug build");
    }
    let summary = root.join(SUMMARY);
    // With CARGO_TARGET_DIR elsewhere, nobody else has made the folder.
    summary.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(|e| format!("{}: {e}", summary.display()))?;
    let mut command = Command::new(&binary);
    command.arg("sim").args(["--seconds", &(asked.minutes * 60).to_string(), "--summary"]).arg(&summary);
    if let Some(seed) = asked.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    if asked.require_rare {
        command.arg("--require-rare");
    }
    let status = command.current_dir(root).status().map_err(|e| format!("{}: {e}", binary.display()))?;
    println!("summary: {}", summary.display());
    if status.success() { Ok(()) } else { Err(format!("the simulation found something: {status}")) }
}

/// Builds the bank, and says where it lies.
fn build(root: &Path, release: bool) -> Result<PathBuf, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let (profile, folder): (&[&str], _) = if release { (&["--release"], "release") } else { (&[], "debug") };
    let mut command = Command::new(cargo);
    command.args(["build", "-p", "jangbu"]).args(profile).current_dir(root);
    let status = command.status().map_err(|e| format!("cargo build: {e}"))?;
    if !status.success() {
        return Err(format!("cargo build -p jangbu {}: {status}", profile.concat()));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(root.join(target).join(folder).join("jangbu"))
}

/// The hash over a few seeds.
fn hash(root: &Path, binary: &Path) -> Result<String, String> {
    let mut command = Command::new(binary);
    command.args(["sim", "--json", "--seed", COMPARED.0, "--seeds", COMPARED.1]);
    let output = command.current_dir(root).stderr(Stdio::inherit()).output();
    let output = output.map_err(|e| format!("{}: {e}", binary.display()))?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let hash = told.split_once("\"hash\":\"").and_then(|(_, rest)| rest.split('"').next());
    hash.map(str::to_owned).ok_or_else(|| format!("{} sim: {}: {told}", binary.display(), output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_read() {
        let asked = Asked::read(&["--minutes", "2", "--seed", "9", "--compare", "--require-rare"]).unwrap();
        let all = Asked { minutes: 2, seed: Some(9), binary: None, compare: true, require_rare: true };
        assert_eq!(asked, all);
        assert_eq!(Asked::read(&[]).unwrap().minutes, MINUTES);
        for wrong in [&["--minutes"][..], &["--minutes", "many"], &["--sead", "1"]] {
            assert!(Asked::read(wrong).is_err(), "{wrong:?}");
        }
    }
}
