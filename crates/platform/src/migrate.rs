//! Schema changes: versioned files per service, applied by command or at first start, checked at every start.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::db::{Db, Fault, Inserted, Tx};

/// One versioned change of a service's schema. Never edited once released: its text is checked by hash.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// 1, 2, 3 … without gaps.
    pub version: u32,
    /// What it does.
    pub name: &'static str,
    /// Statements, each ended by a semicolon at a line's end.
    pub sql: &'static str,
}

/// How long a process waits for another that changes the same schema.
const HOLD_WAIT_MAX: Duration = Duration::from_secs(600);

/// Tables every service has: keys with their answers, events on their way out, events taken in, dead letters.
const BASE: &str = include_str!("../migrations/base.sql");

/// What a comparison of schema and code found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schema {
    /// They match.
    Current,
    /// These versions are still to be applied.
    Behind(Vec<u32>),
    /// The database was made by newer or other code; the text says what to do.
    Foreign(String),
}

fn with_base(migrations: &[Migration]) -> Vec<Migration> {
    let base = Migration { version: 0, name: "base", sql: BASE };
    std::iter::once(base).chain(migrations.iter().copied()).collect()
}

fn hash(migration: &Migration) -> i64 {
    xxh3_64(migration.sql.as_bytes()).cast_signed()
}

/// Compares the schema with the code's migrations; changes nothing.
///
/// # Errors
/// The engine failed.
pub async fn check(db: &Db, migrations: &[Migration]) -> Result<Schema, Fault> {
    let mut tx = db.begin("migrate.check").await?;
    tx.execute(
        "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY, name VARCHAR(100) NOT NULL, \
         hash BIGINT NOT NULL, applied_at BIGINT NOT NULL)",
        &[],
    )
    .await?;
    let found = compare(&mut tx, migrations).await?;
    tx.commit().await?;
    Ok(found)
}

/// The same in a unit of work that only reads, for a database that was opened before.
///
/// # Errors
/// The engine failed, or no program of ours ever opened this database.
pub async fn compare(tx: &mut Tx, migrations: &[Migration]) -> Result<Schema, Fault> {
    let wanted = with_base(migrations);
    let rows = tx.query("SELECT version, hash, name FROM schema_version ORDER BY version", &[]).await?;
    for row in &rows {
        let known = wanted.iter().find(|m| i64::from(m.version) == row.int(0));
        match known {
            None => {
                return Ok(Schema::Foreign(format!(
                    "the data has schema version {} ({}), which this program doesn't know: run a newer jangbu on it",
                    row.int(0),
                    row.text(2)
                )));
            }
            Some(m) if hash(m) != row.int(1) => {
                return Ok(Schema::Foreign(format!(
                    "schema version {} ({}) was applied with another text: run the jangbu that made this data",
                    m.version, m.name
                )));
            }
            Some(_) => {}
        }
    }
    let behind: Vec<u32> = wanted.iter().skip(rows.len()).map(|m| m.version).collect();
    Ok(if behind.is_empty() { Schema::Current } else { Schema::Behind(behind) })
}

/// Applies what is missing, version by version; the versions applied. Of several processes one does it, the others wait.
///
/// # Errors
/// The engine failed, or the schema is foreign to this code.
pub async fn apply(db: &Db, migrations: &[Migration]) -> Result<Vec<u32>, Fault> {
    let _alone = db.hold("migrate", HOLD_WAIT_MAX).await?;
    let behind = match check(db, migrations).await? {
        Schema::Current => return Ok(Vec::new()),
        Schema::Foreign(why) => return Err(Fault::Damaged(why)),
        Schema::Behind(versions) => versions,
    };
    let mut applied = Vec::new();
    for migration in with_base(migrations).iter().filter(|m| behind.contains(&m.version)) {
        if db.rolls_schema_back() {
            let mut tx = db.begin("migrate.apply").await?;
            // Somebody else may have had the writer's turn meanwhile.
            let sql = "SELECT version FROM schema_version WHERE version = ?";
            if tx.query_one(sql, &[migration.version.into()]).await?.is_some() {
                continue;
            }
            for statement in statements(migration) {
                tx.execute(statement, &[]).await?;
            }
            note(tx, migration).await?;
        } else {
            step_by_step(db, migration).await?;
        }
        applied.push(migration.version);
    }
    Ok(applied)
}

fn statements(migration: &Migration) -> impl Iterator<Item = &'static str> {
    let trimmed = migration.sql.split(";\n").map(|s| s.trim().trim_end_matches(';'));
    trimmed.filter(|s| s.lines().any(|line| !line.is_empty() && !line.starts_with("--")))
}

async fn note(mut tx: Tx, migration: &Migration) -> Result<(), Fault> {
    let at = tx.now().micros();
    let row = [i64::from(migration.version).into(), migration.name.into(), hash(migration).into(), at.into()];
    let sql = "INSERT INTO schema_version (version, name, hash, applied_at) VALUES (?*)";
    let _ = tx.insert(sql, &row).await?;
    tx.commit().await
}

/// Where the engine keeps each change of the schema at once, the place reached is noted before every statement. A crash
/// leaves one statement of which it is not known whether it was carried out: that one may find its work done.
async fn step_by_step(db: &Db, migration: &Migration) -> Result<(), Fault> {
    let mut tx = db.begin("migrate.begun").await?;
    let table = "CREATE TABLE IF NOT EXISTS schema_step (id BIGINT PRIMARY KEY, version BIGINT NOT NULL, \
                 step BIGINT NOT NULL)";
    tx.execute(table, &[]).await?;
    tx.commit().await?;
    let mut tx = db.read("migrate.begun").await?;
    let begun = tx.query_one("SELECT step FROM schema_step WHERE version = ?", &[migration.version.into()]).await?;
    drop(tx);
    let begun = begun.map(|row| row.int(0));
    for (step, statement) in (0i64..).zip(statements(migration)).filter(|(step, _)| Some(*step) >= begun) {
        let mut tx = db.begin("migrate.step").await?;
        let row = [1i64.into(), migration.version.into(), step.into()];
        let _ = tx.insert("REPLACE INTO schema_step (id, version, step) VALUES (?*)", &row).await?;
        tx.commit().await?;
        let mut tx = db.begin("migrate.apply").await?;
        if tx.insert(statement, &[]).await? == Inserted::Duplicate && begun != Some(step) {
            let first = statement.lines().find(|line| !line.starts_with("--")).unwrap_or_default();
            return Err(Fault::Damaged(format!(
                "schema version {} finds its work done by somebody else: {first}; use an empty database",
                migration.version
            )));
        }
        tx.commit().await?;
    }
    note(db.begin("migrate.note").await?, migration).await
}
