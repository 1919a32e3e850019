//! Rules about crates: what each must have, and which way dependencies point.

use std::fs;
use std::path::Path;

use crate::rules::Offence;

/// The shared crates, lowest first. Each may use those before it; every other crate may use all of them.
const BASE: [&str; 3] = ["jangbu-kernel", "jangbu-contracts", "jangbu-platform"];
/// The one crate that names every service.
const BINARY: &str = "jangbu";

/// Checks every folder of `crates/`.
///
/// # Errors
/// If a folder can't be read.
pub fn check(root: &Path) -> Result<Vec<Offence>, String> {
    let dir = root.join("crates");
    let entries = fs::read_dir(&dir).map_err(|e| format!("reading {}: {e}", dir.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| format!("reading {}: {e}", dir.display()))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        if !path.is_dir() {
            continue;
        }
        let read = |file: &str| fs::read_to_string(path.join(file)).ok();
        let head = read("src/lib.rs").or_else(|| read("src/main.rs").filter(|_| name == BINARY));
        found.extend(check_crate(&name, read("Cargo.toml").as_deref(), head.as_deref()));
    }
    Ok(found)
}

fn check_crate(name: &str, manifest: Option<&str>, head: Option<&str>) -> Vec<Offence> {
    let mut found = Vec::new();
    let mut add = |rule, file: &str, why: String| {
        found.push(Offence { rule, file: format!("crates/{name}/{file}"), line: 0, why });
    };
    match head {
        None => add("layout", "src/lib.rs", "is missing: every crate says there what it is".into()),
        Some(text) if !text.starts_with("//!") => {
            add("layout", "src/lib.rs", "begins without `//!`: say what the crate owns and what it never does".into());
        }
        Some(_) => {}
    }
    let Some(manifest) = manifest else {
        add("layout", "Cargo.toml", "is missing".into());
        return found;
    };
    let lints = manifest.contains("[lints]\nworkspace = true") || manifest.contains("lints.workspace = true");
    if !lints {
        add("layout", "Cargo.toml", "lacks `[lints] workspace = true`: lints stand in one place".into());
    }
    for dependency in dependencies(manifest).iter().filter(|d| !may_use(name, d)) {
        add("arrows", "Cargo.toml", format!("uses {dependency}: arrows point down, and services talk by contracts"));
    }
    found
}

/// May the crate in `crates/{name}` use this crate of the workspace?
fn may_use(name: &str, dependency: &str) -> bool {
    if name == BINARY {
        return true;
    }
    let below = BASE.iter().position(|b| b.strip_prefix("jangbu-") == Some(name)).unwrap_or(BASE.len());
    BASE[..below].contains(&dependency)
}

/// Crates of the workspace that a manifest names, for building and for tests alike.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            // `[dev-dependencies.jangbu-x]` names one in the heading itself.
            if let Some((kind, name)) = section.rsplit_once('.')
                && kind.ends_with("dependencies")
                && name.starts_with("jangbu")
            {
                found.push(name.to_owned());
            }
            inside = section.ends_with("dependencies");
            continue;
        }
        let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
        if inside && name.starts_with("jangbu") {
            found.push(name.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINTS: &str = "[lints]\nworkspace = true\n";

    fn rules(name: &str, manifest: &str, head: &str) -> Vec<&'static str> {
        check_crate(name, Some(manifest), Some(head)).iter().map(|o| o.rule).collect()
    }

    #[test]
    fn arrows_point_down() {
        let with = |section: &str, crates: &[&str]| {
            let list: String = crates.iter().map(|c| format!("{c}.workspace = true\n")).collect();
            format!("{LINTS}\n[{section}]\nserde = \"1\"\n{list}")
        };
        let cases = [
            ("kernel", "dependencies", vec!["jangbu-contracts"], 1),
            ("contracts", "dependencies", vec!["jangbu-kernel"], 0),
            ("contracts", "dependencies", vec!["jangbu-platform"], 1),
            ("platform", "dependencies", vec!["jangbu-kernel", "jangbu-contracts"], 0),
            ("deposit", "dependencies", vec!["jangbu-kernel", "jangbu-contracts", "jangbu-platform"], 0),
            ("deposit", "dev-dependencies", vec!["jangbu-customer"], 1),
            ("sim", "dependencies", vec!["jangbu-platform"], 0),
            ("sim", "dependencies", vec!["jangbu-deposit"], 1),
            ("jangbu", "dependencies", vec!["jangbu-deposit", "jangbu-sim"], 0),
        ];
        for (name, section, crates, offences) in cases {
            assert_eq!(rules(name, &with(section, &crates), "//! x\n").len(), offences, "{name} {crates:?}");
        }
        let table = format!("{LINTS}[dependencies.jangbu-customer]\nworkspace = true\n");
        assert_eq!(rules("deposit", &table, "//! x\n"), ["arrows"]);
    }

    #[test]
    fn a_crate_says_what_it_is() {
        assert!(rules("x", LINTS, "//! Says.\n").is_empty());
        assert_eq!(rules("x", "", "use a;\n"), ["layout", "layout"]);
        assert_eq!(check_crate("x", None, None).len(), 2);
    }
}
