//! The database engine on servers of the MySQL kind: MariaDB, MySQL, TiDB.
//!
//! | step | round trips |
//! |---|---|
//! | `begin` | none: a flow begins with its first statement, which also finds out that a connection died while it lay idle |
//! | `read` | one |
//! | a statement | one, and one more when the connection prepares it for the first time |
//! | an insert of many rows | one per power of two in their number, or fewer |
//! | a last statement | none: it goes with the commit |
//! | `commit` | one, carried to its end even if nobody waits for it any more |
//! | drop | one, after the caller has gone on, and none where nothing was done |
//!
//! Flows work under READ COMMITTED: what they decide by, they read `FOR UPDATE`, and so they see it as it is, whoever
//! committed it. Snapshots are taken under REPEATABLE READ on connections of their own; flows that hold all others can't
//! keep a reader out, nor readers a flow.

mod faults;
mod pool;
mod preflight;
mod rows;
mod session;
mod text;
mod unit;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jangbu_platform::clock::Clock;
use jangbu_platform::db::engine::{Engine, Held, Unit};
use jangbu_platform::db::{Db, Fault};
use jangbu_platform::dice::Dice;

use crate::mysql::pool::Pool;
use crate::mysql::session::Use;
use crate::mysql::unit::Work;

/// What one process asks of the server at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections for flows.
    pub flows: usize,
    /// Connections for snapshots.
    pub readers: usize,
    /// Flows, and snapshots, that may wait for a connection; one more is told "busy" at once.
    pub waiting: usize,
    /// How long they wait, milliseconds.
    pub wait_ms: u64,
    /// How long a flow waits for a row that another holds, in seconds: the server knows no finer unit.
    pub lock_wait_s: u64,
    /// How long a statement of a flow may take, milliseconds; none for 0.
    pub statement_ms: u64,
    /// How long a query of a snapshot may take, milliseconds; none for 0.
    pub read_ms: u64,
    /// How long the server keeps a connection that says nothing, in seconds: what a process holds that is cut off is
    /// free again then.
    pub silence_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows: 16,
            readers: 8,
            waiting: 4_096,
            wait_ms: 2_000,
            lock_wait_s: 2,
            statement_ms: 10_000,
            read_ms: 60_000,
            silence_s: 60,
        }
    }
}

impl Limits {
    /// For commands that read everything or change tables: nobody is kept waiting by them but who called them.
    #[must_use]
    pub fn patient() -> Self {
        Self {
            flows: 2,
            readers: 2,
            lock_wait_s: 30,
            statement_ms: 0,
            read_ms: 0,
            silence_s: 86_400,
            ..Self::default()
        }
    }
}

/// Opens a database: its URL is `mysql://user:password@host:port/database`.
///
/// # Errors
/// The server does not answer, or what it promises is not what a bank needs; then with every remedy.
pub async fn open(url: &str, limits: Limits, clock: Arc<dyn Clock>, dice: Dice) -> Result<Db, Fault> {
    let opts = session::options(url)?;
    let kin = preflight::check(&opts, &limits).await?;
    let engine = MySql {
        flows: Pool::new(&opts, kin, Use::Flow, limits),
        readers: Pool::new(&opts, kin, Use::Snapshot, limits),
    };
    Ok(Db::on(Arc::new(engine), clock, dice))
}

/// Makes the database that a URL names, unless it is there.
///
/// # Errors
/// The server does not answer, or the user may not.
pub async fn make(url: &str) -> Result<(), Fault> {
    preflight::make(&session::options(url)?).await
}

/// Whether the database that a URL names is there.
///
/// # Errors
/// The server does not answer.
pub async fn is_there(url: &str) -> Result<bool, Fault> {
    preflight::is_there(&session::options(url)?).await
}

/// An open database.
struct MySql {
    flows: Arc<Pool>,
    readers: Arc<Pool>,
}

impl Engine for MySql {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Unit>, Fault>> {
        Box::pin(async {
            let lent = Pool::lend(&self.flows).await?;
            Ok(Box::new(Work::new(lent)) as Box<dyn Unit>)
        })
    }

    fn read(&self) -> BoxFuture<'_, Result<Box<dyn Unit>, Fault>> {
        Box::pin(async {
            let lent = Pool::snapshot(&self.readers).await?;
            Ok(Box::new(Work::new(lent)) as Box<dyn Unit>)
        })
    }

    fn glance(&self) -> BoxFuture<'_, Result<Box<dyn Unit>, Fault>> {
        Box::pin(async {
            let lent = Pool::lend(&self.readers).await?;
            Ok(Box::new(Work::new(lent)) as Box<dyn Unit>)
        })
    }

    fn sole_owner(&self) -> bool {
        false
    }

    fn size_bytes(&self) -> Option<u64> {
        None
    }

    fn rolls_schema_back(&self) -> bool {
        false
    }

    fn hold<'a>(&'a self, name: &'a str, wait: Duration) -> BoxFuture<'a, Result<Held, Fault>> {
        Box::pin(async move { unit::hold(Pool::lend(&self.flows).await?, name, wait).await })
    }
}
