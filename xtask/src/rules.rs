//! Rules about one file. Each says why in its message, so that a refusal teaches.

use crate::reserved;
use crate::scan::Source;

/// Lines of a file at most.
pub const FILE_LINES_MAX: usize = 600;
/// Lines of a function at most.
pub const FUNCTION_LINES_MAX: usize = 70;

/// What decisions must not know.
const IMPURE: [&str; 8] =
    ["async", "SystemTime", "Instant", "rusqlite", "serde_json", "Tx", "tracing", "jangbu_platform"];
/// Words that say that a thing is not done; spelt so that this file doesn't contain them.
const UNDONE: [&str; 5] = ["TO\u{44}O", "FIX\u{4d}E", "to\u{64}o!(", "unimplemente\u{64}!(", "#[ignor\u{65}"];
/// SQL that only one of the engines knows, or that hides work from the reader; `docs/sql.md` has the reasons.
const UNPORTABLE: [&str; 16] = [
    "AUTOINCREMENT",
    "AUTO_INCREMENT",
    "CREATE TRIGGER",
    "CREATE PROCEDURE",
    "CREATE VIEW",
    "CURRENT_TIMESTAMP",
    "DATETIME(",
    "NOW()",
    "JSON_",
    "INSERT OR ",
    "INSERT IGNORE",
    "ON CONFLICT",
    "ON DUPLICATE KEY",
    "RETURNING ",
    "WITHOUT ROWID",
    "PRAGMA ",
];

/// One thing that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Offence {
    /// The rule's short name, as in the list of debts.
    pub rule: &'static str,
    /// The file, from the root of the workspace.
    pub file: String,
    /// The line, from 1; 0 means the whole file.
    pub line: usize,
    /// What is wrong and why that is bad.
    pub why: String,
}

/// Everything that is wrong with one file; `name` is its path from the root, with slashes.
pub fn check_file(name: &str, text: &str) -> Vec<Offence> {
    let mut found = Found { file: name, offences: Vec::new() };
    undone(&mut found, text);
    if name.ends_with(".sql") {
        let code: String = text.lines().map(|l| l.split("--").next().unwrap_or("").to_owned() + "\n").collect();
        for (at, line) in code.lines().enumerate() {
            portable(&mut found, at + 1, line);
            if let Some(word) = reserved::taken(line) {
                let why = format!("`{word}`: a name that a server keeps for itself (docs/sql.md)");
                found.add("sql-portable", at + 1, why);
            }
        }
    }
    if name.ends_with(".rs") {
        let source = Source::read(text);
        size(&mut found, text, &source);
        if name.starts_with("crates/") {
            purity(&mut found, &source);
            statements(&mut found, &source);
            commits(&mut found, &source);
            routes(&mut found, &source);
            time_and_chance(&mut found, &source);
        }
    }
    found.offences
}

struct Found<'a> {
    file: &'a str,
    offences: Vec<Offence>,
}

impl Found<'_> {
    fn add(&mut self, rule: &'static str, line: usize, why: String) {
        self.offences.push(Offence { rule, file: self.file.to_owned(), line, why });
    }
    fn is_test(&self) -> bool {
        self.file.contains("/tests/") || self.file.ends_with("/tests.rs")
    }
    fn is_platform(&self) -> bool {
        self.file.starts_with("crates/platform/") || self.file.starts_with("crates/adapters/")
    }
}

fn undone(found: &mut Found, text: &str) {
    for (at, line) in text.lines().enumerate() {
        for word in UNDONE.iter().filter(|w| line.contains(**w)) {
            found.add("undone", at + 1, format!("`{word}`: what is not done is not in the tree"));
        }
    }
}

fn size(found: &mut Found, text: &str, source: &Source) {
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        let why = format!("{lines} lines, at most {FILE_LINES_MAX}: a file is read in one sitting");
        found.add("file-lines", 0, why);
    }
    for f in source.functions().iter().filter(|f| f.lines > FUNCTION_LINES_MAX) {
        let why = format!("`{}` has {} lines, at most {FUNCTION_LINES_MAX}: a function fits a screen", f.name, f.lines);
        found.add("function-lines", f.line, why);
    }
}

fn purity(found: &mut Found, source: &Source) {
    let domain = found.file.contains("/src/domain/") || found.file.ends_with("/src/domain.rs");
    if !domain && !found.file.starts_with("crates/kernel/src/") {
        return;
    }
    for word in IMPURE {
        for line in source.word(word).into_iter().filter(|l| domain || !source.in_test(*l)) {
            let why = format!("`{word}`: decisions are values in, values out, so that they are tested without a world");
            found.add("purity", line, why);
        }
    }
}

/// Does a string hold an SQL statement? Keywords are upper case in this workspace.
fn is_statement(text: &str) -> bool {
    let text = text.trim_start();
    let update = text.strip_prefix("UPDATE ").is_some_and(|rest| rest.contains(" SET "));
    update
        || ["SELECT ", "INSERT INTO ", "REPLACE INTO ", "DELETE FROM ", "CREATE TABLE "]
            .iter()
            .any(|w| text.starts_with(w))
}

fn statements(found: &mut Found, source: &Source) {
    if found.is_test() || found.is_platform() || found.file.starts_with("crates/adapters/") {
        return;
    }
    let store = found.file.ends_with("/store.rs") || found.file.contains("/store/");
    for (line, text) in &source.strings {
        if !is_statement(text) || source.in_test(*line) {
            continue;
        }
        if store {
            portable(found, *line, text);
        } else {
            let why = "an SQL statement outside store: all statements of a service stand together".to_owned();
            found.add("sql-place", *line, why);
        }
    }
}

fn portable(found: &mut Found, line: usize, sql: &str) {
    let sql = sql.to_uppercase();
    for word in UNPORTABLE.iter().filter(|w| sql.contains(**w)) {
        let why = format!("`{}`: not in the portable subset (docs/sql.md)", word.trim());
        found.add("sql-portable", line, why);
    }
}

fn commits(found: &mut Found, source: &Source) {
    let name = found.file;
    let flow = name.contains("/src/flows/") || name.ends_with("/src/flows.rs");
    let consumer = name.ends_with("/src/consumers.rs") || name.contains("/src/consumers/");
    // An engine ends units of work; it begins none.
    let engine = !source.word("impl Unit for").is_empty();
    if flow || consumer || engine || found.is_platform() || found.is_test() {
        return;
    }
    for line in source.word(".commit()").into_iter().filter(|l| !source.in_test(*l)) {
        let why = "a commit outside a flow: one business action, one function, one unit of work".to_owned();
        found.add("commit-place", line, why);
    }
}

/// Crates whose routes are no calls of a service: the console's pages, the manual clock, and what services share.
const WITHOUT_DOCUMENT: [&str; 3] = ["crates/jangbu/", "crates/platform/", "crates/sim/"];

fn routes(found: &mut Found, source: &Source) {
    if found.is_test() || WITHOUT_DOCUMENT.iter().any(|dir| found.file.starts_with(dir)) {
        return;
    }
    for line in source.word(".route(").into_iter().filter(|l| !source.in_test(*l)) {
        let why = "a route by hand: `routes!(handler)` puts it into the API document too, so that they can't drift";
        found.add("route-documented", line, why.to_owned());
    }
}

fn time_and_chance(found: &mut Found, source: &Source) {
    let name = found.file;
    let measures = name.starts_with("crates/sim/src/load") || name.starts_with("crates/jangbu/src/bench");
    if name != "crates/platform/src/clock.rs" {
        for word in ["SystemTime::now", "Instant::now"] {
            // A test may wait for a server until a deadline; the date it works with still comes from a Clock.
            let waits = word == "Instant::now" && found.is_test();
            if measures || waits {
                continue;
            }
            for line in source.word(word).into_iter().filter(|l| word != "Instant::now" || !source.in_test(*l)) {
                let why = format!("`{word}`: time comes from platform's Clock, so that a simulation can set it");
                found.add("clock", line, why);
            }
        }
    }
    if name != "crates/platform/src/dice.rs" {
        for line in source.word("rand::") {
            let why = "`rand::`: chance comes from platform's Dice, so that a run can be repeated".to_owned();
            found.add("dice", line, why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(name: &str, text: &str) -> Vec<&'static str> {
        check_file(name, text).iter().map(|o| o.rule).collect()
    }

    #[test]
    fn size_is_bounded() {
        let long = format!("fn a() {{\n{}}}\n", "    x();\n".repeat(FUNCTION_LINES_MAX - 1));
        assert_eq!(rules("crates/x/src/a.rs", &long), ["function-lines"]);
        let fits = format!("fn a() {{\n{}}}\n", "    x();\n".repeat(FUNCTION_LINES_MAX - 2));
        assert!(rules("crates/x/src/a.rs", &fits).is_empty());
        assert_eq!(rules("xtask/src/a.rs", &"\n".repeat(FILE_LINES_MAX + 1)), ["file-lines"]);
    }

    #[test]
    fn decisions_are_pure() {
        let text = "use serde_json::Value;\nasync fn a(tx: &mut Tx) {}\n// async, tracing\n";
        assert_eq!(rules("crates/x/src/domain/a.rs", text), ["purity"; 3]);
        assert!(rules("crates/x/src/flows/a.rs", text).is_empty());
        assert_eq!(
            rules("crates/kernel/src/a.rs", "async fn a() {}\n#[cfg(test)]\nmod t { use serde_json; }\n").len(),
            1
        );
    }

    #[test]
    fn statements_stand_in_stores() {
        for sql in ["SELECT a FROM b", "INSERT INTO a (b) VALUES (?)", "UPDATE a SET b = 1", "DELETE FROM a"] {
            let text = format!("fn q() {{ run(\"{sql}\"); }}\n");
            assert_eq!(rules("crates/x/src/api.rs", &text), ["sql-place"], "{sql}");
            for fine in [
                "crates/x/src/store.rs",
                "crates/x/src/store/a.rs",
                "crates/platform/src/log.rs",
                "crates/x/tests/a.rs",
            ] {
                assert!(rules(fine, &text).is_empty(), "{fine}");
            }
            let test = format!("#[cfg(test)]\nmod tests {{ {text} }}\n");
            assert!(rules("crates/x/src/api.rs", &test).is_empty());
        }
        assert!(rules("crates/x/src/api.rs", "const A: &str = \"UPDATE your details\";\n").is_empty());
    }

    #[test]
    fn sql_is_portable() {
        let text = "fn q() { run(\"INSERT INTO a (b) VALUES (?) ON CONFLICT DO NOTHING\"); }\n";
        assert_eq!(rules("crates/x/src/store.rs", text), ["sql-portable"]);
        let table = "CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT);\n";
        assert_eq!(rules("crates/x/migrations/1.sql", table), ["sql-portable"]);
        assert!(rules("crates/x/migrations/1.sql", "-- no AUTOINCREMENT: it locks\n").is_empty());
    }

    #[test]
    fn commits_stand_in_flows() {
        let text = "fn a() { tx.commit(); }\n";
        assert_eq!(rules("crates/x/src/api.rs", text), ["commit-place"]);
        assert!(rules("crates/x/src/flows/a.rs", text).is_empty());
        assert!(rules("crates/x/src/consumers.rs", text).is_empty());
        assert!(rules("crates/x/src/tests.rs", text).is_empty());
    }

    #[test]
    fn routes_of_services_are_documented() {
        let text = "fn a() { router.route(\"/b\", get(b)); }\n";
        assert_eq!(rules("crates/x/src/api.rs", text), ["route-documented"]);
        assert!(rules("crates/jangbu/src/a.rs", text).is_empty());
        assert!(rules("crates/x/src/tests/a.rs", text).is_empty());
        assert!(rules("crates/x/src/api.rs", "fn a() { router.routes(routes!(b)); }\n").is_empty());
    }

    #[test]
    fn time_and_chance_have_one_place() {
        let text = "fn a() { std::time::Instant::now(); }\n";
        assert_eq!(rules("crates/x/src/a.rs", text), ["clock"]);
        assert!(rules("crates/sim/src/load.rs", text).is_empty());
        assert!(rules("crates/jangbu/src/bench/posting.rs", text).is_empty());
        assert!(rules("crates/x/tests/it.rs", text).is_empty());
        assert_eq!(rules("crates/x/tests/it.rs", "fn a() { SystemTime::now(); }\n"), ["clock"]);
        assert!(rules("crates/platform/src/clock.rs", "fn a() { SystemTime::now(); }\n").is_empty());
        assert_eq!(rules("crates/x/src/a.rs", "use rand::random;\n"), ["dice"]);
        assert!(rules("crates/platform/src/dice.rs", "use rand::random;\n").is_empty());
    }

    #[test]
    fn what_is_not_done_is_seen() {
        for word in UNDONE {
            assert_eq!(rules("crates/x/src/a.rs", &format!("// {word}\n")), ["undone"], "{word}");
        }
    }
}
