//! Schema changes: versioned files per service, applied by command or at first start, checked at every start.

use xxhash_rust::xxh3::xxh3_64;

use crate::db::{Db, Fault, Tx};

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

/// Applies what is missing, each version in a unit of work of its own; the versions applied.
///
/// # Errors
/// The engine failed, or the schema is foreign to this code.
pub async fn apply(db: &Db, migrations: &[Migration]) -> Result<Vec<u32>, Fault> {
    let behind = match check(db, migrations).await? {
        Schema::Current => return Ok(Vec::new()),
        Schema::Foreign(why) => return Err(Fault::Damaged(why)),
        Schema::Behind(versions) => versions,
    };
    for migration in with_base(migrations).iter().filter(|m| behind.contains(&m.version)) {
        let mut tx = db.begin("migrate.apply").await?;
        for statement in migration.sql.split(";\n").map(str::trim).filter(|s| !s.is_empty()) {
            tx.execute(statement.trim_end_matches(';'), &[]).await?;
        }
        let at = tx.now().micros();
        let row = [i64::from(migration.version).into(), migration.name.into(), hash(migration).into(), at.into()];
        let sql = "INSERT INTO schema_version (version, name, hash, applied_at) VALUES (?*)";
        let _ = tx.insert(sql, &row).await?;
        tx.commit().await?;
    }
    Ok(behind)
}
