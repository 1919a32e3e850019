//! The same seeds give the same run, however often and on however many threads; and a page shows it.

use std::process::{Command, Stdio};

use axum::http::Method;
use jangbu_platform::auth::Role;
use serde_json::Value;

use crate::chromium::Chromium;
use crate::running::Running;

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

#[test]
fn a_short_run_is_the_beginning_of_a_long_one() {
    let (long, short) = (simulate(&[]), simulate(&["--acts-max", "5"]));
    assert_eq!(short["acts"], 15);
    assert!(short["postings"].as_u64() < long["postings"].as_u64(), "{short} {long}");
}

/// The page of a run: it goes on, it stops where one says, and nobody gets in without the link.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_watched_on_a_page() {
    if std::env::var_os("JANGBU_SKIP_BROWSER").is_some() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_jangbu"));
    command.args(["sim", "--watch", "--port", "0", "--seed", "502", "--customers", "20"]).stdout(Stdio::piped());
    let mut run = Running::start(&mut command, home.path()).unwrap();
    let line = run.says("/login?code=").await;
    let link = line[line.find("http://").unwrap()..].to_owned();
    let page = link.split("login").next().unwrap().to_owned();
    let stranger = run.client(Role::Operator, "stranger").unwrap();
    let refused = stranger.call::<Value>(Method::POST, "/sim/v1/step", None, Some(b"{}".to_vec())).await;
    assert_eq!(refused.status, 401);

    let mut browser = Chromium::start(home.path());
    browser.go(&page);
    assert_eq!(browser.value("document.querySelectorAll('[data-part]').length"), 0, "nobody gets in without a session");
    browser.errors(); // that it was told 401 is one
    browser.go(&link);
    browser.until("location.pathname === '/' && document.querySelector('#state')?.innerText === 'live'");
    browser.until("document.querySelector('[data-part=nodes]').innerText.includes('deposit-krw')");
    browser.until("document.querySelector('[data-part=happenings]').innerText.includes('POST /')");
    assert!(browser.text("[data-part=clock]").contains("2026-01-30"));

    let press = |name: &str| {
        format!(
            "[...document.querySelectorAll('[data-part=speed] button')].find(b => b.innerText === '{name}').click()"
        )
    };
    browser.value(&press("Pause"));
    browser.until("document.querySelector('[aria-pressed=true]').innerText === 'Pause'");
    let steps = "document.querySelector('[data-part=counts]').innerText";
    let before = browser.value(steps);
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert_eq!(browser.value(steps), before, "it stands still");
    browser.value(&press("One step"));
    browser.until(&format!("{steps} !== {before}"));
    crate::browser::looks_well(&mut browser, "simulation");
    browser.value(&press("As fast as it can"));
    browser.until("/Faults\\s+[1-9]/.test(document.querySelector('[data-part=counts]').innerText)");
    assert_eq!(browser.errors(), Vec::<String>::new());
    assert!(run.terminate().unwrap().success(), "a run that goes on does not keep the page from ending");
}
