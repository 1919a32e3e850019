//! The list of rare events and the probes in the code name the same places.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "tests") {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("rare_tests.rs") {
            found.push(path);
        }
    }
}

/// Names that the code notes: the words in quotes within each call, which may choose between two.
fn noted() -> BTreeSet<String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(crates).unwrap() {
        sources(&entry.unwrap().path().join("src"), &mut files);
    }
    let mut names = BTreeSet::new();
    for text in files.iter().map(|file| std::fs::read_to_string(file).unwrap()) {
        for call in text.split("probe::reached(").skip(1) {
            let given = call.split(");").next().unwrap();
            names.extend(given.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    names
}

#[test]
fn the_list_and_the_code_name_the_same_places() {
    let listed: Vec<&str> = EVENTS.iter().chain(SELDOM).map(|(name, _)| *name).collect();
    let unique: BTreeSet<String> = listed.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(unique.len(), listed.len(), "a name stands twice");
    let noted = noted();
    let unlisted: Vec<_> = noted.difference(&unique).collect();
    let never: Vec<_> = unique.difference(&noted).collect();
    assert!(unlisted.is_empty() && never.is_empty(), "not in the list: {unlisted:?}; in no code: {never:?}");
    assert!(EVENTS.len() >= 40);
    for (name, what) in EVENTS.iter().chain(SELDOM) {
        assert!(name.bytes().all(|b| b == b'-' || b.is_ascii_lowercase()), "{name}");
        assert!(what.ends_with('.'), "{name}: {what:?} is no sentence");
    }
}

#[test]
fn what_was_not_met_is_named() {
    let all: BTreeMap<&str, u64> = EVENTS.iter().map(|(name, _)| (*name, 1)).collect();
    assert!(missing(&all).is_empty());
    let but_one = all.into_iter().filter(|(name, _)| *name != "cache-wiped").collect();
    assert_eq!(missing(&but_one), [("cache-wiped", "The cache lost all it held.")]);
}
