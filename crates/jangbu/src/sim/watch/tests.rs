#![allow(clippy::unwrap_used)]

use jangbu_kernel::time::Timestamp;
use jangbu_sim::simulated::day::{Plan, Report};
use jangbu_sim::simulated::faults::Level;
use jangbu_sim::simulated::trace::{Happening, Seen, Watcher as _};

use super::*;

fn small(watcher: Option<Arc<Screen>>) -> Report {
    let plan = Plan { customers: 8, acts_per_day: 48, ..Plan::of(3, Level::Hostile) };
    let watcher = watcher.map(|screen| screen as _);
    day::run(&Plan { watcher, ..plan }, services::ALL)
}

#[test]
fn a_watched_run_is_the_same_run() {
    let alone = small(None);
    let screen = Arc::new(Screen::at(Speed::Fast));
    screen.begins(3, std::iter::empty());
    let watched = small(Some(Arc::clone(&screen)));
    assert_eq!((alone.hash, alone.steps), (watched.hash, watched.steps));
    let seen = screen.picture();
    assert_eq!(seen.steps, alone.steps);
    assert_eq!(seen.faults, alone.faults);
    assert!(seen.nodes.len() == services::ALL.len() && seen.topics.values().sum::<u64>() > 0, "{seen:?}");
}

#[test]
fn a_paused_run_goes_on_step_by_step() {
    let screen = Arc::new(Screen::at(Speed::Paused));
    let at = Timestamp::from_micros;
    let line = |n: i64| Happening::Line(n.to_string());
    let run = {
        let screen = Arc::clone(&screen);
        std::thread::spawn(move || {
            for n in 1..=5 {
                screen.see(at(n), Seen::Step(&[b"select"]));
                screen.see(at(n), Seen::Happening(&line(n)));
            }
        })
    };
    let until = |steps: u64| {
        while screen.picture().steps < steps {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(20)); // it does not go further by itself
        assert_eq!(screen.picture().steps, steps);
    };
    until(1);
    screen.step();
    until(2);
    screen.step();
    until(4);
    screen.set_speed(Speed::Fast);
    run.join().unwrap();
    assert_eq!(screen.picture().steps, 10);
}

#[test]
fn a_slow_run_takes_its_time_and_jumps_take_none() {
    let screen = Screen::at(Speed::Slow);
    let at = Timestamp::from_micros;
    let began = jangbu_platform::clock::ticks();
    screen.see(at(0), Seen::Step(&[]));
    screen.see(at(5_000), Seen::Step(&[])); // ten times as long
    screen.see(at(7_200_000_000), Seen::Step(&[]));
    let took = began.elapsed();
    assert!((50..5_000).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn what_is_wrong_shows_escaped_with_its_command() {
    let screen = Screen::at(Speed::Real);
    screen.begins(9, ["customer".to_owned()].into_iter());
    screen.see(Timestamp::from_micros(1_769_724_000_000_000), Seen::Happening(&Happening::Fault("slow flush")));
    let died = Happening::Died("customer".to_owned(), "by <chance>".to_owned());
    screen.see(Timestamp::from_micros(1_769_724_000_000_000), Seen::Happening(&died));
    let failure = jangbu_sim::simulated::day::Failure {
        at: Timestamp::from_micros(0),
        doing: "being judged".to_owned(),
        findings: vec!["<b>".to_owned()],
        story: Vec::new(),
        lines: Vec::new(),
    };
    let quiet = small(None);
    screen.ended(&Report { failure: Some(failure), ..quiet }, "jangbu sim --seed 9");
    let page = view::page(&view::parts(&screen.picture()));
    for there in ["&lt;b&gt;", "again: jangbu sim --seed 9", "is down", "slow flush", "by &lt;chance&gt;", "2026-01-30"]
    {
        assert!(page.contains(there), "{there}: {page}");
    }
    assert!(
        page.contains("aria-pressed=\"true\" data-post=\"/sim/v1/speed\" data-body=\"{&quot;speed&quot;:&quot;real")
    );
}
