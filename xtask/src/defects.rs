//! Defects planted on purpose: that the list names those of the code, and that the simulation finds each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::rules::Offence;

/// Where they are listed: name, within how many seeds it is found, what it breaks.
const LIST: &str = "crates/sim/src/simulated/defects.txt";
/// How the code asks for one.
const GUARD: &str = "planted(\"";
/// What each seed runs: small banks, in a world as hostile as it gets.
const RUN: [&str; 9] = ["sim", "--seed", "1", "--threads", "1", "--customers", "40", "--acts", "300"];

/// A line of the list.
#[derive(Debug, PartialEq, Eq)]
struct Defect {
    name: String,
    seeds_max: u64,
    breaks: String,
}

/// What came of one.
struct Found {
    /// How many seeds it took; none when it was not found.
    seeds: Option<u64>,
    finding: String,
    ms: u128,
}

fn read(list: &str) -> Result<Vec<Defect>, String> {
    let line = |line: &str| {
        let [name, seeds, breaks] = line.split(" | ").collect::<Vec<_>>()[..] else { return None };
        Some(Defect { name: name.to_owned(), seeds_max: seeds.parse().ok()?, breaks: breaks.to_owned() })
    };
    let lines = list.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines.map(|l| line(l).ok_or_else(|| format!("{LIST}: `{l}` is not `name | seeds | what it breaks`"))).collect()
}

fn listed(root: &Path) -> Result<Vec<Defect>, String> {
    read(&fs::read_to_string(root.join(LIST)).map_err(|e| format!("reading {LIST}: {e}"))?)
}

/// Names that a text asks for.
fn guards(text: &str) -> impl Iterator<Item = &str> {
    text.split(GUARD).skip(1).filter_map(|rest| rest.split('"').next())
}

/// Compares the list with the guards in the code; `files` are names from the root, with their texts.
///
/// # Errors
/// The list can't be read.
pub fn check(root: &Path, files: &BTreeMap<String, String>) -> Result<Vec<Offence>, String> {
    let code = files.iter().filter(|(name, _)| name.starts_with("crates/") && name.ends_with(".rs"));
    Ok(compare(&listed(root)?, code))
}

fn compare<'a>(list: &[Defect], code: impl Iterator<Item = (&'a String, &'a String)>) -> Vec<Offence> {
    let mut found = Vec::new();
    let mut add = |file: &str, why: String| {
        found.push(Offence { rule: "defects", file: file.to_owned(), line: 0, why });
    };
    let names: BTreeSet<&str> = list.iter().map(|defect| defect.name.as_str()).collect();
    if !list.is_sorted_by(|a, b| a.name < b.name) {
        add(LIST, "is not sorted, or names a defect twice".into());
    }
    let mut planted = BTreeSet::new();
    for (file, text) in code {
        for name in guards(text) {
            if !names.contains(name) {
                add(file, format!("plants {name:?}, which is not in {LIST}: nobody would look for it"));
            }
            planted.insert(name);
        }
    }
    for name in names.difference(&planted) {
        add(LIST, format!("{name:?} is planted nowhere"));
    }
    found
}

/// Builds once, runs each defect until it is found, and prints a table; `seeds_max` in place of what the list says.
///
/// # Errors
/// The build failed, or one was not found.
pub fn run(root: &Path, seeds_max: Option<u64>) -> Result<(), String> {
    let list = listed(root)?;
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "-p", "jangbu", "--features", "defects"]).current_dir(root);
    match build.status() {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("building with defects: {status}")),
        Err(e) => return Err(format!("building with defects: {e}")),
    }
    let target = std::env::var("CARGO_TARGET_DIR").map_or_else(|_| root.join("target"), Into::into);
    let binary = target.join("debug/jangbu");
    let (began, next) = (Instant::now(), AtomicUsize::new(0));
    let results: Mutex<BTreeMap<usize, Result<Found, String>>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((at, defect)) =
                    Some(next.fetch_add(1, Ordering::SeqCst)).and_then(|at| Some((at, list.get(at)?)))
                {
                    let found = seek(&binary, &defect.name, seeds_max.unwrap_or(defect.seeds_max));
                    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(at, found);
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut missed = Vec::new();
    println!("| defect | what it breaks | seeds | ms | first finding |\n|---|---|---|---|---|");
    for (at, found) in results {
        let Defect { name, breaks, .. } = &list[at];
        let Found { seeds, finding, ms } = found?;
        let seeds = seeds.map_or_else(|| "not found".to_owned(), |seeds| seeds.to_string());
        if seeds == "not found" {
            missed.push(name.as_str());
        }
        println!("| {name} | {breaks} | {seeds} | {ms} | {finding} |");
    }
    println!("{} defects in {} s", list.len(), began.elapsed().as_secs());
    if missed.is_empty() { Ok(()) } else { Err(format!("not found: {}", missed.join(", "))) }
}

/// Runs seeds until one finds the defect.
fn seek(binary: &Path, name: &str, seeds_max: u64) -> Result<Found, String> {
    let began = Instant::now();
    let mut command = Command::new(binary);
    command.args(RUN).args(["--seeds", &seeds_max.to_string(), "--defect", name]);
    let output = command.output().map_err(|e| format!("{name}: could not start: {e}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    let ms = began.elapsed().as_millis();
    if output.status.success() {
        return Ok(Found { seeds: None, finding: String::new(), ms });
    }
    first(&told)
        .map(|(seeds, finding)| Found { seeds: Some(seeds), finding, ms })
        .ok_or_else(|| format!("{name}: {told}"))
}

/// The first failure that was told: its seed, and the first finding as a cell of a table.
fn first(told: &str) -> Option<(u64, String)> {
    const CHARS_MAX: usize = 160;
    let mut lines = told.lines();
    let seed = lines.find_map(|line| line.strip_prefix("seed ")?.split_once(" failed")?.0.parse().ok())?;
    let finding = lines.next().unwrap_or_default().trim().replace('|', "/");
    Some((seed, finding.chars().take(CHARS_MAX).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_and_the_code_name_the_same() {
        let list = read("# why\na-b | 3 | breaks\nc | 4 | breaks more\n").unwrap();
        assert_eq!(list[0], Defect { name: "a-b".into(), seeds_max: 3, breaks: "breaks".into() });
        let code = |text: &str| {
            let files = BTreeMap::from([("crates/a.rs".to_owned(), text.to_owned())]);
            compare(&list, files.iter()).into_iter().map(|o| o.why).collect::<Vec<_>>()
        };
        assert!(code(r#"if planted("a-b") {} || !planted("c")"#).is_empty());
        assert_eq!(code(r#"planted("a-b")"#), ["\"c\" is planted nowhere"]);
        assert_eq!(code(r#"planted("a-b") planted("c") planted("d")"#).len(), 1, "one that is not listed");
        assert!(read("a | x | y").is_err() && read("a | 1").is_err());
    }

    #[test]
    fn the_first_failure_is_read() {
        let told = "seed 7 failed at 2026-01-30T00:00:00Z while being judged:\n  acc_1: a | b\n  more\n\n  again: x\n";
        assert_eq!(first(told), Some((7, "acc_1: a / b".to_owned())));
        assert_eq!(first("nothing"), None);
    }
}
