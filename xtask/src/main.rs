//! Chores of the workspace: `cargo xtask test` is the whole check, `cargo xtask tidy` its quick part.

mod tidy;

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.first().map(String::as_str) {
        Some("tidy") => tidy::run(),
        Some("test") => test(),
        _ => Err("usage: cargo xtask tidy | test".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn stage(name: &str, words: &[&str]) -> Result<(), String> {
    println!("== {name}: cargo {}", words.join(" "));
    let status = Command::new(env!("CARGO")).args(words).status().map_err(|e| format!("{name}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name} failed")) }
}

/// Everything that must hold before a change lands.
fn test() -> Result<(), String> {
    stage("format", &["fmt", "--all", "--check"])?;
    println!("== tidy");
    tidy::run()?;
    stage("lints", &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])?;
    stage("tests", &["test", "--workspace"])
}
