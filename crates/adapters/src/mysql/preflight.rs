//! What a server must promise before a bank is opened on it.

use jangbu_platform::db::Fault;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Error, Opts, OptsBuilder};

use super::Limits;
use super::faults::fault;
use super::session::{self, Kin, Use};

/// The server's word for a variable that it does not have.
const NO_SUCH_VARIABLE: u16 = 1193;
/// Bytes that one statement may have.
const PACKET_BYTES_MIN: u64 = 16 << 20;

/// A variable of the server, what it must be, and what to do otherwise.
struct Wanted {
    name: &'static str,
    /// Servers that have it.
    of: &'static [Kin],
    holds: fn(&str, Kin) -> bool,
    remedy: &'static str,
}

const INNODB: &[Kin] = &[Kin::MariaDb, Kin::MySql];
const ALL: &[Kin] = &[Kin::MariaDb, Kin::MySql, Kin::TiDb];

fn on(value: &str) -> bool {
    matches!(value, "1" | "ON" | "YES")
}

const WANTED: [Wanted; 13] = [
    Wanted {
        name: "innodb_flush_log_at_trx_commit",
        of: INNODB,
        holds: |v, _| v == "1",
        remedy: "a commit must be on the disk when it is answered: set innodb_flush_log_at_trx_commit = 1",
    },
    Wanted {
        name: "innodb_flush_method",
        of: INNODB,
        holds: |v, _| !matches!(v, "nosync" | "littlesync"),
        remedy: "files must be flushed: leave innodb_flush_method as it is by itself",
    },
    Wanted {
        name: "innodb_redo_log_enabled",
        of: &[Kin::MySql],
        // Before 8.0.21 it can't be turned off, and is not told of.
        holds: |v, _| v.is_empty() || on(v),
        remedy: "without it nothing is left after a crash: ALTER INSTANCE ENABLE INNODB REDO_LOG",
    },
    Wanted {
        name: "innodb_doublewrite",
        of: INNODB,
        holds: |v, _| on(v) || v == "DETECT_AND_RECOVER",
        remedy: "a page half written must be found whole again: set innodb_doublewrite = ON",
    },
    Wanted {
        name: "sync_binlog",
        of: INNODB,
        holds: |v, _| v == "1",
        remedy: "what replicas are told must be what stands after a crash: set sync_binlog = 1, or skip-log-bin",
    },
    Wanted {
        name: "binlog_format",
        of: INNODB,
        holds: |v, _| v != "STATEMENT",
        remedy: "statements carried out again on a replica may do something else there: set binlog_format = ROW",
    },
    Wanted {
        name: "read_only",
        of: INNODB,
        holds: |v, _| !on(v),
        remedy: "it only reads: name the server that replicas follow, or set read_only = OFF",
    },
    Wanted {
        name: "default_storage_engine",
        of: INNODB,
        holds: |v, _| v == "InnoDB",
        remedy: "tables must take part in units of work: set default_storage_engine = InnoDB",
    },
    Wanted {
        name: "tidb_txn_mode",
        of: &[Kin::TiDb],
        holds: |v, _| v == "pessimistic",
        remedy: "rows must be locked when they are read for it: SET GLOBAL tidb_txn_mode = 'pessimistic'",
    },
    Wanted {
        name: "max_allowed_packet",
        of: ALL,
        holds: |v, _| v.parse::<u64>().is_ok_and(|bytes| bytes >= PACKET_BYTES_MIN),
        remedy: "batches are one statement: set max_allowed_packet = 16M or more",
    },
    Wanted {
        name: "sql_mode",
        of: ALL,
        holds: |v, _| session::SQL_MODE.split(',').all(|mode| v.split(',').any(|set| set == mode)),
        remedy: "values that don't fit must be refused: let sessions set sql_mode (something between resets it)",
    },
    Wanted {
        name: "isolation",
        of: ALL,
        holds: |v, _| v == "READ-COMMITTED",
        remedy: "flows read what is committed, and lock it: let sessions set the isolation level READ COMMITTED \
                 (something between resets it)",
    },
    Wanted {
        name: "database_collation",
        of: ALL,
        holds: |v, kin| v == kin.collation(),
        remedy: "texts are compared byte by byte",
    },
];

/// Oldest servers that know all that is asked of them.
fn oldest(kin: Kin) -> (u32, u32) {
    match kin {
        Kin::MariaDb => (10, 6),
        Kin::MySql => (8, 0),
        Kin::TiDb => (7, 5),
    }
}

fn version_of(kin: Kin, version: &str) -> Option<(u32, u32)> {
    let text = match kin {
        Kin::TiDb => version.split_once("TiDB-v")?.1,
        // Old clients are told 5.5.5 first.
        Kin::MariaDb => version.strip_prefix("5.5.5-").unwrap_or(version),
        Kin::MySql => version,
    };
    let mut numbers = text.split(['.', '-']).map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// What is wrong with a server, each with its remedy.
fn flaws(kin: Kin, version: &str, database: &str, facts: &[(&'static str, String)]) -> Vec<String> {
    let mut flaws = Vec::new();
    let oldest = oldest(kin);
    if version_of(kin, version).is_none_or(|found| found < oldest) {
        flaws.push(format!("version {version} is too old: {}.{} is the oldest that will do", oldest.0, oldest.1));
    }
    let logs = facts.iter().any(|(name, value)| *name == "log_bin" && on(value));
    for wanted in WANTED.iter().filter(|w| w.of.contains(&kin)) {
        if !logs && matches!(wanted.name, "sync_binlog" | "binlog_format") {
            continue;
        }
        let value = facts.iter().find(|(name, _)| *name == wanted.name).map_or("", |(_, value)| value.as_str());
        if !(wanted.holds)(value, kin) {
            let mut flaw = format!("{} is {value:?}: {}", wanted.name, wanted.remedy);
            if wanted.name == "database_collation" {
                let collation = kin.collation();
                flaw += &format!(": ALTER DATABASE `{database}` CHARACTER SET utf8mb4 COLLATE {collation}");
            }
            flaws.push(flaw);
        }
    }
    flaws
}

/// A value; none too for a variable that the server doesn't have, or has no more.
async fn text(conn: &mut Conn, sql: &str) -> Result<Option<String>, Fault> {
    match conn.query_first::<Option<String>, _>(sql).await {
        Err(Error::Server(e)) if e.code == NO_SUCH_VARIABLE => Ok(None),
        found => found.map(Option::flatten).map_err(|e| fault(sql, &e)),
    }
}

/// The variables of a session of a flow.
async fn facts(conn: &mut Conn, kin: Kin) -> Result<Vec<(&'static str, String)>, Fault> {
    let mut facts = Vec::new();
    let names = WANTED.iter().filter(|w| w.of.contains(&kin)).map(|w| w.name);
    // TiDB has no such log.
    for name in names.chain(INNODB.contains(&kin).then_some("log_bin")) {
        let variable = match (name, kin) {
            ("isolation", Kin::MariaDb) => "tx_isolation",
            ("isolation", _) => "transaction_isolation",
            ("database_collation", _) => "collation_database",
            (name, _) => name,
        };
        let sql = match name {
            "innodb_redo_log_enabled" => format!(
                "SELECT variable_value FROM performance_schema.global_status WHERE variable_name = '{name}'" // no setting
            ),
            _ => format!("SELECT CAST(@@{variable} AS CHAR)"),
        };
        let value = text(conn, &sql).await?;
        facts.push((name, value.unwrap_or_default()));
    }
    Ok(facts)
}

/// Looks at the server; what it is.
///
/// # Errors
/// It does not answer, or does not promise what a bank needs; then with every remedy.
pub(super) async fn check(opts: &Opts, limits: &Limits) -> Result<Kin, Fault> {
    let mut conn = session::connect_bare(opts).await?;
    let version = text(&mut conn, "SELECT VERSION()").await?.unwrap_or_default();
    let kin = Kin::of(&version);
    drop(conn);
    let mut conn = session::connect(opts, kin, Use::Flow, limits).await?;
    let facts = facts(&mut conn, kin).await?;
    let database = opts.db_name().unwrap_or_default();
    let flaws = flaws(kin, &version, database, &facts);
    if flaws.is_empty() {
        return Ok(kin);
    }
    let where_ = format!("{}:{}", opts.ip_or_hostname(), opts.tcp_port());
    Err(Fault::Unavailable(format!("the database at {where_} is not fit for a bank:\n  {}", flaws.join("\n  "))))
}

/// Whether a database is there, for this user.
pub(super) async fn is_there(opts: &Opts) -> Result<bool, Fault> {
    let server = OptsBuilder::from_opts(opts.clone()).db_name(None::<String>);
    let mut conn = session::connect_bare(&server.into()).await?;
    let sql = "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?";
    let found: Option<i64> = conn.exec_first(sql, (opts.db_name(),)).await.map_err(|e| fault(sql, &e))?;
    Ok(found == Some(1))
}

/// Makes a database.
pub(super) async fn make(opts: &Opts) -> Result<(), Fault> {
    let name = opts.db_name().unwrap_or_default().to_owned();
    let server = OptsBuilder::from_opts(opts.clone()).db_name(None::<String>);
    let mut conn = session::connect_bare(&server.into()).await?;
    let version = text(&mut conn, "SELECT VERSION()").await?.unwrap_or_default();
    let collation = Kin::of(&version).collation();
    let quoted = name.replace('`', "``");
    let sql = format!("CREATE DATABASE IF NOT EXISTS `{quoted}` CHARACTER SET utf8mb4 COLLATE {collation}");
    conn.query_drop(&sql).await.map_err(|e| fault(&sql, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(kin: Kin) -> Vec<(&'static str, String)> {
        let of = |name: &&'static str| match *name {
            "innodb_flush_log_at_trx_commit" | "innodb_doublewrite" | "sync_binlog" | "log_bin" => "1",
            "innodb_flush_method" => "O_DIRECT",
            "innodb_redo_log_enabled" => "ON",
            "binlog_format" => "ROW",
            "read_only" => "0",
            "default_storage_engine" => "InnoDB",
            "tidb_txn_mode" => "pessimistic",
            "max_allowed_packet" => "16777216",
            "sql_mode" => session::SQL_MODE,
            "isolation" => "READ-COMMITTED",
            _ => kin.collation(),
        };
        WANTED.iter().map(|w| w.name).chain(["log_bin"]).map(|name| (name, of(&name).to_owned())).collect()
    }

    #[test]
    fn servers_that_will_do() {
        for version in [
            "10.11.14-MariaDB-0+deb12u2",
            "5.5.5-10.6.0-MariaDB",
            "11.4.2-MariaDB",
            "8.0.40",
            "8.4.3",
            "9.7.4-2",
            "8.0.11-TiDB-v8.5.0",
        ] {
            let kin = Kin::of(version);
            assert_eq!(flaws(kin, version, "b", &good(kin)), [""; 0], "{version}");
        }
        for version in ["10.5.9-MariaDB", "5.7.44", "8.0.11-TiDB-v6.1.0", "strange"] {
            let kin = Kin::of(version);
            let found = flaws(kin, version, "b", &good(kin));
            assert!(found.len() == 1 && found[0].contains("too old"), "{version}: {found:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_remedy() {
        for (name, value, remedy) in [
            ("innodb_flush_log_at_trx_commit", "2", "set innodb_flush_log_at_trx_commit = 1"),
            ("sync_binlog", "0", "set sync_binlog = 1"),
            ("read_only", "1", "name the server that replicas follow"),
            ("isolation", "REPEATABLE-READ", "READ COMMITTED"),
            ("sql_mode", "NO_ENGINE_SUBSTITUTION", "let sessions set sql_mode"),
            (
                "database_collation",
                "utf8mb4_general_ci",
                "ALTER DATABASE `b` CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
            ),
            ("max_allowed_packet", "1048576", "max_allowed_packet = 16M"),
        ] {
            let mut facts = good(Kin::MariaDb);
            facts.iter_mut().find(|(n, _)| *n == name).expect("it is looked at").1 = value.to_owned();
            let found = flaws(Kin::MariaDb, "10.11.14-MariaDB", "b", &facts);
            assert!(found.len() == 1 && found[0].contains(remedy), "{name}: {found:?}");
        }
        for (name, value, wrong) in [
            ("innodb_redo_log_enabled", "OFF", true),
            ("innodb_redo_log_enabled", "", false),
            ("innodb_flush_method", "nosync", true),
            ("binlog_format", "", false),
        ] {
            let mut facts = good(Kin::MySql);
            facts.iter_mut().find(|(n, _)| *n == name).expect("it is looked at").1 = value.to_owned();
            assert_eq!(flaws(Kin::MySql, "9.7.4", "b", &facts).len(), usize::from(wrong), "{name} {value:?}");
        }
        let mut facts = good(Kin::MySql);
        for (name, value) in &mut facts {
            match *name {
                "log_bin" => "0".clone_into(value),
                "sync_binlog" => "0".clone_into(value),
                _ => {}
            }
        }
        assert_eq!(flaws(Kin::MySql, "8.4.3", "b", &facts), [""; 0], "without a log it need not be flushed");
    }
}
