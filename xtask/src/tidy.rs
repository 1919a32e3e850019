//! Rules of the workspace that a compiler doesn't know.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file at most.
const FILE_LINES_MAX: usize = 600;
/// Lines of a function at most.
const FUNCTION_LINES_MAX: usize = 70;
/// What decisions must not know.
const IMPURE: [&str; 6] = ["async fn", "SystemTime", "rusqlite", "serde_json", "tracing", "jangbu_platform"];
/// Words that say a thing is not done.
const UNDONE: [&str; 5] = ["TO\u{44}O", "FIX\u{4d}E", "to\u{64}o!(", "unimplemente\u{64}!(", "#[ignor\u{65}"];

/// Checks all rules.
///
/// # Errors
/// Every offence, a line each.
pub fn run() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace")?;
    let mut offences = Vec::new();
    let mut files = Vec::new();
    collect(&root.join("crates"), &mut files)?;
    collect(&root.join("xtask"), &mut files)?;
    for file in &files {
        let text = fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(file).display().to_string();
        offences.extend(check_file(&name, &text));
    }
    offences.extend(check_arrows(root)?);
    offences.extend(check_codes(root)?);
    if offences.is_empty() { Ok(()) } else { Err(offences.join("\n")) }
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>) -> Result<(), String> {
    for entry in fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))? {
        let path = entry.map_err(|e| e.to_string())?.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
    into.sort();
    Ok(())
}

/// What is wrong with one file.
fn check_file(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        found.push(format!("{name}: {lines} lines; at most {FILE_LINES_MAX}, so that a file is read in one go"));
    }
    for (line, length) in long_functions(text) {
        found.push(format!("{name}:{line}: a function of {length} lines; at most {FUNCTION_LINES_MAX}"));
    }
    let in_domain = name.contains("/domain/") && name.starts_with("crates/");
    for word in IMPURE.iter().filter(|w| in_domain && text.contains(**w)) {
        found.push(format!("{name}: `{word}`; decisions are pure, so that they are tested as values"));
    }
    for word in UNDONE.iter().filter(|w| text.contains(**w)) {
        found.push(format!("{name}: `{word}`; what is not done is not on main"));
    }
    let sql = ["\"SELECT ", "\"INSERT INTO ", "\"UPDATE ", "\"DELETE FROM "].iter().any(|w| text.contains(w));
    let sql_here = name.contains("/store") || name.contains("/tests") || name.contains("crates/platform/");
    if sql && !sql_here && name.starts_with("crates/") {
        found.push(format!("{name}: SQL outside a store; all statements of a service stand together"));
    }
    found
}

/// Functions longer than allowed: first line and length. Code is formatted, so a function ends at the first line
/// that is its closing brace at its own indent.
fn long_functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let head = line.trim_start();
        let is_fn = ["fn ", "pub fn ", "async fn ", "pub async fn ", "pub(crate) fn ", "pub(crate) async fn "]
            .iter()
            .any(|p| head.starts_with(p));
        if !is_fn {
            continue;
        }
        let end = format!("{}}}", " ".repeat(indent));
        let length = lines[i..].iter().position(|l| *l == end).map_or(1, |n| n + 1);
        if length > FUNCTION_LINES_MAX {
            found.push((i + 1, length));
        }
    }
    found
}

/// `kernel <- contracts <- platform <- services, sim <- jangbu`; a service never depends on a service.
fn check_arrows(root: &Path) -> Result<Vec<String>, String> {
    let base = ["jangbu-kernel", "jangbu-contracts", "jangbu-platform"];
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join("crates")).map_err(|e| e.to_string())? {
        let dir = entry.map_err(|e| e.to_string())?.path();
        let name = dir.file_name().and_then(|n| n.to_str()).unwrap_or("").to_owned();
        let allowed = match name.as_str() {
            "kernel" => 0,
            "contracts" => 1,
            "platform" => 2,
            "jangbu" => continue,
            _ => 3,
        };
        let text = fs::read_to_string(dir.join("Cargo.toml")).map_err(|e| format!("{name}: {e}"))?;
        let depends = text.lines().filter_map(|l| l.split(['.', ' ', '=']).next()).filter(|d| d.starts_with("jangbu-"));
        for dep in depends.filter(|d| !base[..allowed].contains(d)) {
            found.push(format!("crates/{name}: depends on {dep}; arrows go down only"));
        }
        if !text.contains("[lints]\nworkspace = true") {
            found.push(format!("crates/{name}: lints stand in one place; say `[lints] workspace = true`"));
        }
    }
    Ok(found)
}

/// Every error code has its page, and every page its code.
fn check_codes(root: &Path) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(root.join("crates/contracts/src/codes.rs")).map_err(|e| e.to_string())?;
    let code = |line: &str| {
        let row = line.trim().strip_prefix("(Code::")?;
        Some(row.split('"').nth(1)?.to_owned())
    };
    let codes: BTreeSet<String> = text.lines().filter_map(code).collect();
    let pages = fs::read_dir(root.join("docs/codes")).map_err(|e| e.to_string())?;
    let page = |e: std::io::Result<fs::DirEntry>| Some(e.ok()?.file_name().to_str()?.strip_suffix(".md")?.to_owned());
    let pages: BTreeSet<String> = pages.filter_map(page).collect();
    let missing = codes.difference(&pages).map(|c| format!("docs/codes/{c}.md is missing"));
    let stale = pages.difference(&codes).map(|c| format!("docs/codes/{c}.md is of no code"));
    Ok(missing.chain(stale).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offences_are_seen() {
        let long = format!("fn a() {{\n{}}}\n", "    x();\n".repeat(FUNCTION_LINES_MAX));
        assert_eq!(long_functions(&long), [(1, FUNCTION_LINES_MAX + 2)]);
        assert_eq!(check_file("crates/x/src/domain/a.rs", "use serde_json;\n").len(), 1);
        assert_eq!(check_file("crates/x/src/api.rs", "q(\"SELECT 1\")\n").len(), 1);
        assert!(check_file("crates/x/src/store.rs", "q(\"SELECT 1\")\n").is_empty());
        assert_eq!(check_file("crates/x/src/a.rs", &"\n".repeat(FILE_LINES_MAX + 1)).len(), 1);
    }
}
