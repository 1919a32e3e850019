//! Rules of the workspace that a compiler doesn't know, and the list of known offenders, which only shrinks.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::rules::{Offence, check_file};
use crate::{codes, crates, defects};

/// The list of known offenders: rule, file and how many offences, a line each.
const DEBTS: &str = "xtask/tidy-debts.txt";
/// Folders that hold our texts.
const FOLDERS: [&str; 5] = ["crates", "xtask", "docs", ".ci", "deploy"];
/// Kinds of files that are read.
const KINDS: [&str; 9] = ["rs", "sql", "toml", "md", "html", "js", "css", "yml", "yaml"];

/// Checks all rules.
///
/// # Errors
/// Every offence that is not a known debt, and every debt that is not one any more, a line each.
pub fn run(root: &Path) -> Result<(), String> {
    let mut files = Vec::new();
    for folder in FOLDERS.iter().map(|f| root.join(f)).filter(|f| f.is_dir()) {
        collect(&folder, &mut files)?;
    }
    files.sort();
    let mut offences = crates::check(root)?;
    offences.extend(codes::check(root)?);
    let mut texts = BTreeMap::new();
    for file in &files {
        let text = fs::read_to_string(file).map_err(|e| format!("reading {}: {e}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(file).to_string_lossy().replace('\\', "/");
        offences.extend(check_file(&name, &text));
        texts.insert(name, text);
    }
    offences.extend(defects::check(root, &texts)?);
    let debts = fs::read_to_string(root.join(DEBTS)).map_err(|e| format!("reading {DEBTS}: {e}"))?;
    let complaints = settle(&offences, &debts)?;
    if complaints.is_empty() {
        println!("tidy: {} files, no new offence", files.len());
        return Ok(());
    }
    Err(format!("{}\ntidy: {} complaints", complaints.join("\n"), complaints.len()))
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>) -> Result<(), String> {
    for entry in fs::read_dir(dir).map_err(|e| format!("reading {}: {e}", dir.display()))? {
        let path = entry.map_err(|e| format!("reading {}: {e}", dir.display()))?.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| KINDS.contains(&e)) {
            into.push(path);
        }
    }
    Ok(())
}

/// Offences less known debts. A debt counts the offences of one rule in one file, so that a listed file can't get
/// worse, and a debt that was paid must leave the list.
fn settle(offences: &[Offence], debts: &str) -> Result<Vec<String>, String> {
    let mut owed = BTreeMap::new();
    for line in debts.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (&[rule, file, count], Some(n)) = (words.as_slice(), words.last().and_then(|n| n.parse::<usize>().ok()))
        else {
            return Err(format!("{DEBTS}: `{line}` is not `rule file count`"));
        };
        if n == 0 || owed.insert((rule, file), n).is_some() {
            return Err(format!("{DEBTS}: `{rule} {file} {count}` is void or stands twice"));
        }
    }
    let mut met: BTreeMap<(&str, &str), Vec<&Offence>> = BTreeMap::new();
    for offence in offences {
        met.entry((offence.rule, &offence.file)).or_default().push(offence);
    }
    let mut complaints = Vec::new();
    for (key, offences) in &met {
        let known = owed.get(key).copied().unwrap_or(0);
        if offences.len() > known {
            complaints.extend(offences.iter().map(|o| tell(o)));
        }
    }
    for ((rule, file), n) in owed {
        let left = met.get(&(rule, file)).map_or(0, Vec::len);
        if left < n {
            complaints.push(format!("{DEBTS}: `{rule} {file}` says {n}, {left} are left: the list shrinks"));
        }
    }
    Ok(complaints)
}

fn tell(offence: &Offence) -> String {
    let Offence { rule, file, line, why } = offence;
    if *line == 0 { format!("{file}: {why} [{rule}]") } else { format!("{file}:{line}: {why} [{rule}]") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offence(line: usize) -> Offence {
        Offence { rule: "clock", file: "a.rs".into(), line, why: "why".into() }
    }

    #[test]
    fn debts_are_settled_to_the_count() {
        let two = [offence(1), offence(2)];
        assert_eq!(settle(&two, "").unwrap(), ["a.rs:1: why [clock]", "a.rs:2: why [clock]"]);
        assert!(settle(&two, "# why\nclock a.rs 2\n").unwrap().is_empty());
        assert_eq!(settle(&two, "clock a.rs 1\n").unwrap().len(), 2, "a listed file got worse");
        assert_eq!(settle(&two[..1], "clock a.rs 2\n").unwrap().len(), 1, "the list must shrink");
        assert_eq!(settle(&[], "clock a.rs 1\n").unwrap().len(), 1, "paid debts leave the list");
    }

    #[test]
    fn a_crooked_list_is_refused() {
        for list in ["clock a.rs", "clock a.rs x", "clock a.rs 0", "clock a.rs 1\nclock a.rs 1"] {
            assert!(settle(&[], list).is_err(), "{list}");
        }
    }
}
