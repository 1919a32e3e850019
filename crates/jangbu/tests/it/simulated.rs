//! The same seeds give the same run: however often, and on however many threads.

use std::process::{Command, Stdio};

use serde_json::Value;

/// Seeds of a test, and how large each is: a small bank, on a world that is as bad as it gets.
const RUN: [&str; 11] =
    ["sim", "--seed", "7", "--seeds", "3", "--customers", "30", "--acts", "120", "--json", "--faults=hostile"];

fn simulate(args: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jangbu"));
    let out = command.args(RUN).args(args).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let told = || format!("{}{text}", String::from_utf8_lossy(&out.stderr));
    let line: Value = serde_json::from_str(text.trim()).unwrap_or_else(|e| panic!("{e}: {}", told()));
    assert!(out.status.success() && line["failures"] == Value::Array(Vec::new()), "{}", told());
    line
}

#[test]
fn the_same_seeds_give_the_same_trace() {
    let (one, other) = (simulate(&["--threads", "1"]), simulate(&["--threads", "3"]));
    for what in ["hash", "faults", "rare", "postings"] {
        assert_eq!(one[what], other[what], "{what}");
    }
    let kinds = one["faults"].as_object().unwrap().len();
    assert!(kinds >= 15, "only {kinds} kinds of fault in three hostile runs: {}", one["faults"]);
}

#[test]
fn days_follow_each_other() {
    let line = simulate(&["--days", "3", "--threads", "1"]);
    assert_eq!(line["days"], 9);
}
