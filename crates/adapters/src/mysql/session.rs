//! How a connection is set up, and how it is to be used.

use std::time::Duration;

use jangbu_platform::db::Fault;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder};

use super::Limits;
use super::faults::fault;

/// How long a server may take to answer a new connection.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// After how long a connection is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Statements kept prepared per connection. A server keeps some 16,000 for all connections together.
const STATEMENTS_CACHED_MAX: usize = 160;
/// What is wrong is refused, and not stored as something else.
pub(super) const SQL_MODE: &str = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION";

/// Which of the kind a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kin {
    MariaDb,
    MySql,
    TiDb,
}

impl Kin {
    /// By the version that a server tells.
    pub(super) fn of(version: &str) -> Kin {
        if version.contains("MariaDB") {
            Kin::MariaDb
        } else if version.contains("TiDB") {
            Kin::TiDb
        } else {
            Kin::MySql
        }
    }

    /// Texts compared byte by byte, blanks at their ends too.
    pub(super) fn collation(self) -> &'static str {
        match self {
            Kin::MariaDb => "utf8mb4_nopad_bin",
            Kin::MySql | Kin::TiDb => "utf8mb4_0900_bin",
        }
    }
}

/// What connections of a pool are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Flow,
    Snapshot,
}

impl Use {
    /// Whether each statement stands for itself unless a unit of work was begun. Flows begin with their first statement,
    /// and need no round trip for it.
    fn autocommit(self) -> u8 {
        match self {
            Use::Flow => 0,
            Use::Snapshot => 1,
        }
    }

    fn isolation(self) -> &'static str {
        match self {
            Use::Flow => "READ COMMITTED",
            Use::Snapshot => "REPEATABLE READ",
        }
    }

    /// How long a statement may take; none for ever.
    pub(super) fn statement(self, limits: &Limits) -> Option<Duration> {
        let ms = if self == Use::Flow { limits.statement_ms } else { limits.read_ms };
        (ms > 0).then(|| Duration::from_millis(ms))
    }
}

/// Reads a URL. A query of it (`?…`) is the driver's: `socket`, `compression` and the like.
///
/// # Errors
/// It is none, or names no database.
pub(super) fn options(url: &str) -> Result<Opts, Fault> {
    // The URL holds a password: it is not told.
    let unlike =
        |why: String| Fault::Unavailable(format!("the database's URL: {why}; like mysql://user@host:3306/name"));
    let opts = Opts::from_url(url).map_err(|e| unlike(e.to_string()))?;
    if opts.db_name().is_none_or(str::is_empty) {
        return Err(unlike("it names no database".into()));
    }
    let opts = OptsBuilder::from_opts(opts)
        .stmt_cache_size(STATEMENTS_CACHED_MAX)
        .client_found_rows(true) // an update counts the rows it found, as on the embedded engine
        .tcp_keepalive(Some(KEEPALIVE))
        .tcp_nodelay(true);
    Ok(opts.into())
}

/// The statements that set a connection up.
pub(super) fn setup(kin: Kin, used: Use, limits: &Limits) -> Vec<String> {
    let statement_ms = used.statement(limits).map_or(0, |limit| limit.as_millis());
    let statement = match kin {
        Kin::MariaDb => format!("max_statement_time = {}.{:03}", statement_ms / 1_000, statement_ms % 1_000),
        Kin::MySql | Kin::TiDb => format!("max_execution_time = {statement_ms}"),
    };
    // Those limits leave out writes (MySQL) or preparing (MariaDB), which would wait for a change of the schema for a year, or
    // a day; TiDB has no such wait.
    let statement = match kin {
        Kin::MariaDb | Kin::MySql if statement_ms > 0 => {
            format!("{statement}, lock_wait_timeout = {}", statement_ms.div_ceil(1_000))
        }
        _ => statement,
    };
    vec![
        format!("SET NAMES utf8mb4 COLLATE {}", kin.collation()),
        format!("SET SESSION TRANSACTION ISOLATION LEVEL {}", used.isolation()),
        format!(
            "SET SESSION autocommit = {}, sql_mode = '{SQL_MODE}', time_zone = '+00:00', {statement}, \
             innodb_lock_wait_timeout = {}, wait_timeout = {}",
            used.autocommit(),
            limits.lock_wait_s.max(1),
            limits.silence_s.max(1)
        ),
    ]
}

/// Opens a connection as it is.
pub(super) async fn connect_bare(opts: &Opts) -> Result<Conn, Fault> {
    let where_ = format!("{}:{}", opts.ip_or_hostname(), opts.tcp_port());
    match tokio::time::timeout(CONNECT_WAIT, Conn::new(opts.clone())).await {
        Ok(Ok(conn)) => Ok(conn),
        Ok(Err(e)) => match fault("connecting", &e) {
            Fault::Busy(why) => Err(Fault::Busy(why)),
            _ => Err(Fault::Unavailable(format!("the database at {where_} takes no connection ({e})"))),
        },
        Err(_) => Err(Fault::Unavailable(format!("the database at {where_} does not answer"))),
    }
}

/// Opens a connection and sets it up.
pub(super) async fn connect(opts: &Opts, kin: Kin, used: Use, limits: &Limits) -> Result<Conn, Fault> {
    let mut conn = connect_bare(opts).await?;
    for statement in setup(kin, used, limits) {
        conn.query_drop(&statement).await.map_err(|e| fault(&statement, &e))?;
    }
    Ok(conn)
}
