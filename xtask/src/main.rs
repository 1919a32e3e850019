//! Chores of the workspace: `cargo xtask test` is the whole check, `cargo xtask tidy` its quick part.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod codes;
mod crates;
mod defects;
mod packages;
mod reserved;
mod rules;
mod scan;
mod servers;
mod sim;
mod stages;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND
  test         format, tidy, lints, licences and all tests; what CI runs (also: ci)
  tidy         the house rules alone, in a second
  sim [--minutes M] [--seed S] [--compare] [--require-rare] [--binary FILE]
               the deterministic simulation on all cores of a release build, for 5 minutes unless told; the summary goes
               to target/sim-summary.json; --compare first holds the hashes of two runs and of the debug build together
  servers start|stop|status [--dir DIR]
               MariaDB, Kafka and Redis of this checkout's own, in target/servers unless told; start prints what a
               service's configuration and tests say to use them
  defects [--seeds N]
               plants each defect of the list in the bank and lets the simulation look for it
  code-pages   begins the missing pages of docs/codes";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let root = root();
    let done = match words.as_slice() {
        ["tidy"] => tidy::run(&root),
        ["test" | "ci"] => stages::test(&root),
        ["sim", words @ ..] => sim::Asked::read(words).and_then(|asked| sim::run(&root, &asked)),
        ["code-pages"] => codes::write_pages(&root),
        ["defects"] => defects::run(&root, None),
        ["defects", "--seeds", seeds] => match seeds.parse() {
            Ok(seeds) => defects::run(&root, Some(seeds)),
            Err(e) => Err(format!("--seeds {seeds}: {e}")),
        },
        ["servers", what @ ("start" | "stop" | "status")] => servers::run(what, &root.join("target/servers")),
        ["servers", what @ ("start" | "stop" | "status"), "--dir", dir] => {
            std::path::absolute(dir).map_err(|e| format!("{dir}: {e}")).and_then(|dir| servers::run(what, &dir))
        }
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's folder. Cargo says where this package stands when it runs it; that is asked first, since a binary
/// may have been built from another checkout that shares its target folder.
fn root() -> PathBuf {
    let package = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(package).join("..").canonicalize().unwrap_or_else(|_| PathBuf::from("."))
}
