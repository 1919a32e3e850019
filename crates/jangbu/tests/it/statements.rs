//! Every statement that stands in the code, carried out on a server of the MySQL kind with the schema that the program makes
//! there: it knows the words, the tables, the columns and the functions, also those of flows that no other test drives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use jangbu_adapters::mysql::{self, Limits};
use jangbu_adapters::stand::Server;
use jangbu_platform::clock::RealClock;
use jangbu_platform::db::{Db, Value};
use jangbu_platform::dice::Dice;

/// Whose sources, and in which database they are at home. The platform's tables are in each, those of sagas where there are some.
const HOMES: [(&str, &str); 5] = [
    ("customer", "customer"),
    ("deposit", "deposit_krw"),
    ("accounting", "accounting"),
    ("exchange", "exchange"),
    ("platform", "exchange"),
];
/// The embedded engines, and what is for tests: none of it ever meets a server.
const ELSEWHERE: [&str; 5] = ["/sqlite", "/log/", "/stand", "/tests", "/promises"];

/// The string literals of a source, down to where its tests begin.
fn literals(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let (mut found, mut rest) = (Vec::new(), source.chars().peekable());
    while let Some(c) = rest.next() {
        match c {
            '/' if rest.peek() == Some(&'/') => drop(rest.by_ref().find(|c| *c == '\n')),
            '\'' if rest.peek() == Some(&'"') => drop(rest.next()),
            '"' => {
                let mut text = String::new();
                while let Some(c) = rest.next().filter(|c| *c != '"') {
                    match (c, rest.peek()) {
                        ('\\', Some('\n')) => while rest.next_if(|c| c.is_whitespace()).is_some() {},
                        ('\\', _) => text.extend(rest.next()),
                        _ => text.push(c),
                    }
                }
                found.push(text);
            }
            _ => (),
        }
    }
    found
}

fn is_statement(text: &str) -> bool {
    let update = text.starts_with("UPDATE ") && text.contains(" SET ");
    update || ["SELECT ", "INSERT INTO ", "REPLACE INTO ", "DELETE FROM "].iter().any(|word| text.starts_with(word))
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { sources(&path, found) } else { found.push(path) }
    }
}

/// The statements of a crate. Those put together while the program runs have a brace in them, and are tried by what runs them.
fn statements(krate: &str) -> Vec<String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(krate).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let place = |file: &PathBuf| file.strip_prefix(&src).unwrap().display().to_string();
    files.retain(|file| ELSEWHERE.iter().all(|at| !format!("/{}", place(file)).contains(at)));
    let literals = files.iter().flat_map(|file| literals(&fs::read_to_string(file).unwrap()));
    literals.filter(|text| is_statement(text) && !text.contains('{')).collect()
}

/// As many values as it takes: a row of `VALUES (?*)` has one for each column, a list here one for all.
fn values(sql: &str) -> usize {
    let singles = sql.matches('?').count() - sql.matches("?*").count();
    let columns =
        || sql.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or(1, |(c, _)| c.split(',').count());
    let row = sql.contains("VALUES (?*)").then(columns);
    singles + row.unwrap_or_else(|| usize::from(sql.contains("?*")))
}

async fn carry_out(db: &Db, sql: &str) -> Result<(), String> {
    let values = vec![Value::Int(1); values(sql)];
    let mut tx = db.begin("statements").await.unwrap();
    let done = match sql.split(' ').next() {
        Some("SELECT") => tx.query(sql, &values).await.map(drop),
        Some("INSERT" | "REPLACE") if sql.contains("VALUES (?*)") => tx.insert(sql, &values).await.map(drop),
        _ => tx.execute(sql, &values).await.map(drop),
    };
    done.map_err(|why| format!("{sql}\n  {why}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_takes_every_statement() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::mysql(home.path()).unwrap();
    let url = server.database(&format!("statements_{}_{}", std::process::id(), Dice::from_os().u64() % 1_000_000));
    let config = home.path().join("bank.toml");
    fs::write(&config, format!("data = \"{}\"\nstore = \"mysql\"\n", home.path().display())).unwrap();
    let mut migrate = Command::new(env!("CARGO_BIN_EXE_jangbu"));
    migrate.arg("migrate").arg("--config").arg(config).env("JANGBU_MYSQL_URL", &url);
    assert!(migrate.status().unwrap().success());
    let (mut tried, mut refused) = (0, Vec::new());
    for (krate, database) in HOMES {
        let url = format!("{url}_{database}");
        let db = mysql::open(&url, Limits::default(), Arc::new(RealClock), Dice::seeded(1)).await.unwrap();
        for sql in statements(krate) {
            tried += 1;
            refused.extend(carry_out(&db, &sql).await.err());
        }
    }
    let db =
        mysql::open(&format!("{url}_customer"), Limits::default(), Arc::new(RealClock), Dice::seeded(1)).await.unwrap();
    for wrong in
        ["SELECT nothing FROM outbox", "SELECT strftime('%s', ?)", "INSERT OR IGNORE INTO outbox (id) VALUES (?*)"]
    {
        assert!(carry_out(&db, wrong).await.is_err(), "{wrong}");
    }
    assert!(tried > 100, "{tried} statements were found");
    assert!(refused.is_empty(), "{} of {tried} statements:\n{}", refused.len(), refused.join("\n"));
}
