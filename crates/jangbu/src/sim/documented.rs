//! What `docs/reliability.md` lists is what the simulation has.

use jangbu_sim::simulated::faults::Fault;
use jangbu_sim::simulated::rare;

const DOCUMENT: &str = include_str!("../../../../docs/reliability.md");

/// Holds a list of the document, the block of that name, against what it lists.
fn check(name: &str, wanted: &str) {
    let found = DOCUMENT.split_once(&format!("```{name}\n")).and_then(|(_, rest)| rest.split_once("```"));
    let found = found.map_or("", |(block, _)| block);
    assert_eq!(
        found, wanted,
        "docs/reliability.md does not list the {name} as they are; its block should be:\n{wanted}"
    );
}

#[test]
fn all_faults_are_listed_with_their_rates() {
    let lines = Fault::ALL.iter().map(|kind| format!("{:>9}  {}\n", grouped(kind.rate()), kind.name()));
    check("faults", &lines.collect::<String>());
}

#[test]
fn all_rare_places_are_listed() {
    let lines = rare::EVENTS.iter().map(|(name, what)| format!("{name}\n    {what}\n"));
    check("rare", &lines.collect::<String>());
}

fn grouped(n: u64) -> String {
    crate::console::grouped(i64::try_from(n).unwrap_or(i64::MAX))
}
