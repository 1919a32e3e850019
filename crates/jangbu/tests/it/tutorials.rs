//! The tutorials, followed to the letter: every command block is run, and what it prints must be what is shown.
//!
//! In a tutorial a block `sh` holds commands and a block `text` after it what they print. White space doesn't count, so
//! that long answers can be broken into lines; `…` stands for what differs each time. The block that opens the bank is
//! the one command that goes on running.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::running::{Running, log_of};

/// What stands between what two blocks printed.
const BETWEEN: char = '\u{1e}';
/// How the command that opens the bank begins.
const OPENS: &str = "cargo run --release -p jangbu -- up";
/// Where it is then, in the tutorials.
const BASE: &str = "http://127.0.0.1:8080";

/// Commands and what they print.
struct Step {
    commands: String,
    prints: String,
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = None;
    for line in text.lines() {
        match (inside, line.strip_prefix("```")) {
            (Some(_), Some(_)) => inside = None,
            (None, Some("sh")) => {
                steps.push(Step { commands: String::new(), prints: String::new() });
                inside = Some("sh");
            }
            (None, Some(kind)) => inside = Some(if kind == "text" { "text" } else { "other" }),
            (Some(kind @ ("sh" | "text")), None) => {
                let step = steps.last_mut().expect("a tutorial begins with a command");
                let block = if kind == "sh" { &mut step.commands } else { &mut step.prints };
                block.push_str(line);
                block.push('\n');
            }
            (_, None) => {}
        }
    }
    steps
}

/// Whether a text is what is shown, where `…` may stand for anything.
fn is_shown(printed: &str, shown: &str) -> bool {
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    let (printed, shown) = (squeezed(printed), squeezed(shown));
    let Some((first, others)) = shown.split_once('…') else { return printed == shown };
    let (middle, last) = others.rsplit_once('…').unwrap_or(("", others));
    let Some(mut rest) = printed.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else { return false };
    for piece in middle.split('…') {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    true
}

/// Opens the bank as its command says, in a folder; the address it took stands for the one it was told.
async fn open(step: &Step, home: &Path) -> (Running, String) {
    let args: Vec<&str> = step.commands.trim().strip_prefix(OPENS).unwrap().split_whitespace().collect();
    let data = args.iter().position(|arg| *arg == "--data").map_or("jangbu-data", |at| args[at + 1]);
    let log = std::fs::File::create(home.join(data).with_extension("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_jangbu"));
    command.arg("up").args(&args).args(["--port", "0"]).current_dir(home);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    let bank = Running::start(&mut command, &home.join(data)).unwrap();
    let link = bank.says("/login?code=").await;
    let base = link[link.find("http").unwrap()..].split("/login").next().unwrap().to_owned();
    // The first line was read to know that it runs.
    for line in step.prints.lines().skip(1) {
        let line = line.replace(BASE, &base);
        bank.says(line.split('…').next().unwrap()).await;
    }
    (bank, base)
}

async fn follow(name: &str) {
    let home = tempfile::tempdir().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tutorials").join(name);
    let steps = steps(&std::fs::read_to_string(path).unwrap());
    let (first, rest) = steps.split_first().unwrap();
    let (mut bank, base) = open(first, home.path()).await;
    let script: String = rest.iter().map(|s| format!("{}printf '\\036'\n", s.commands.replace(BASE, &base))).collect();
    let ran = Command::new("sh").arg("-c").arg(script).current_dir(home.path()).output().unwrap();
    let printed = String::from_utf8(ran.stdout).unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(printed.matches(BETWEEN).count(), rest.len(), "{name}: {said}");
    for (step, printed) in rest.iter().zip(printed.split(BETWEEN)) {
        let Step { commands, prints } = step;
        assert!(is_shown(printed, prints), "{name}\n\n{commands}\nprints\n\n{printed}\nnot\n\n{prints}\n{said}");
    }
    assert!(bank.terminate().unwrap().success(), "{}", log_of(home.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_in_five_minutes() {
    follow("first-bank.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_of_ones_own() {
    follow("own-product.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interest_by_curl() {
    follow("interest-by-curl.md").await;
}

#[test]
fn what_is_shown_may_leave_out_what_differs() {
    for (printed, shown, is) in [
        ("a b", "ab", true),
        ("a b c", "a…c", true),
        ("a b c", "a…", true),
        ("a b c", "a…b", false),
        ("a b", "b", false),
        ("", "…", true),
        ("x1y2z", "x…y…z", true),
        ("{1}", "{…}…}", false),
        ("{1}{2}", "{…}", true),
    ] {
        assert_eq!(is_shown(printed, shown), is, "{printed} {shown}");
    }
}
