//! Connections that flows share: a bounded number, a bounded wait, and none comes back that is not clean.
//!
//! The driver has a pool of its own. It waits without end, forgets prepared statements between users, and cleans up by
//! what it believes of a connection; here a connection that was left in the middle of anything is closed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jangbu_platform::db::Fault;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;
use super::faults::{closes, fault};
use super::session::{self, Kin, Use};

/// How much longer than the server a client waits for an answer, before it takes the connection for dead.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// How long a rollback may take.
const ROLLBACK_WAIT: Duration = Duration::from_secs(5);

/// Runs something on a connection; on another one, where it turns out that this one died while it lay idle.
macro_rules! run {
    ($lent:expr, $doing:expr, $work:expr) => {
        loop {
            match $lent.run($doing, $work).await {
                Err(Failed::Lost(_)) if $lent.rested => $lent.connect().await?,
                done => break done,
            }
        }
    };
}
pub(super) use run;

/// Connections of one use.
pub(super) struct Pool {
    opts: Opts,
    pub(super) kin: Kin,
    pub(super) used: Use,
    limits: Limits,
    idle: Mutex<Vec<Conn>>,
    room: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A connection that somebody uses. Dropped, it goes back if it is clean, and is closed if it is not.
pub(super) struct Lent {
    pub(super) conn: Option<Conn>,
    pub(super) pool: Arc<Pool>,
    /// A statement is under way, or was left so.
    pub(super) midway: bool,
    /// A unit of work is open, or may be: a flow's is from its first statement on.
    pub(super) open: bool,
    /// It lay there before, and may have died meanwhile, perhaps with all that do: nothing was done on it yet.
    pub(super) rested: bool,
    permit: Option<OwnedSemaphorePermit>,
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    pub(super) fn new(opts: &Opts, kin: Kin, used: Use, limits: Limits) -> Arc<Pool> {
        let size = if used == Use::Flow { limits.flows } else { limits.readers };
        Arc::new(Pool {
            opts: opts.clone(),
            kin,
            used,
            limits,
            idle: Mutex::default(),
            room: Arc::new(Semaphore::new(size)),
            waiting: AtomicUsize::new(0),
        })
    }

    /// How long an answer is waited for; none for ever.
    pub(super) fn answer_wait(&self) -> Option<Duration> {
        let locked = Duration::from_secs(self.limits.lock_wait_s);
        self.used.statement(&self.limits).map(|limit| limit.max(locked) + ANSWER_WAIT)
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Fault> {
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            return Ok(permit);
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.limits.waiting {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Fault::Busy("too many flows wait for the database".into()));
        }
        let _waiting = Waiting(&self.waiting);
        let wait = Duration::from_millis(self.limits.wait_ms);
        match tokio::time::timeout(wait, Arc::clone(&self.room).acquire_owned()).await {
            Ok(permit) => Ok(permit.expect("the room is never closed")),
            Err(_) => {
                Err(Fault::Busy(format!("no connection to the database was free within {} ms", wait.as_millis())))
            }
        }
    }

    fn rest(&self, conn: Conn) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn); // no more than there are permits
    }

    /// Takes a connection on which nothing is begun.
    pub(super) async fn lend(pool: &Arc<Pool>) -> Result<Lent, Fault> {
        let permit = Some(pool.permit().await?);
        let mut lent = Lent { conn: None, pool: Arc::clone(pool), midway: false, open: false, rested: false, permit };
        lent.connect().await?;
        Ok(lent)
    }

    /// Takes a connection and a snapshot on it.
    pub(super) async fn snapshot(pool: &Arc<Pool>) -> Result<Lent, Fault> {
        let mut lent = Pool::lend(pool).await?;
        let sql = "START TRANSACTION WITH CONSISTENT SNAPSHOT";
        run!(lent, sql, async |conn: &mut Conn| conn.query_drop(sql).await).map_err(Failed::into_fault)?;
        lent.open = true;
        Ok(lent)
    }
}

/// How a statement failed.
pub(super) enum Failed {
    /// The server said so, and the connection is as it was.
    Said(mysql_async::Error, Fault),
    /// Nothing is known of the connection any more.
    Lost(Fault),
}

impl Failed {
    pub(super) fn into_fault(self) -> Fault {
        match self {
            Failed::Said(_, fault) | Failed::Lost(fault) => fault,
        }
    }
}

impl Lent {
    /// Runs something on the connection. Left before its end, it leaves the connection to be closed.
    pub(super) async fn run<T>(
        &mut self,
        doing: &str,
        work: impl AsyncFnOnce(&mut Conn) -> Result<T, mysql_async::Error>,
    ) -> Result<T, Failed> {
        let wait = self.pool.answer_wait();
        let conn = self.conn.as_mut().expect("the connection is held until the end");
        self.midway = true;
        self.open |= self.pool.used == Use::Flow;
        let done = match wait {
            Some(wait) => tokio::time::timeout(wait, work(conn)).await,
            None => Ok(work(conn).await),
        };
        match done {
            Ok(Ok(done)) => {
                (self.midway, self.rested) = (false, false);
                Ok(done)
            }
            Ok(Err(e)) if closes(&e) => Err(Failed::Lost(fault(doing, &e))),
            Ok(Err(e)) => {
                (self.midway, self.rested) = (false, false);
                let fault = fault(doing, &e);
                Err(Failed::Said(e, fault))
            }
            Err(_) => Err(Failed::Lost(Fault::Unavailable("the database does not answer".into()))),
        }
    }

    /// Takes a connection in place of the one there was, which is closed.
    pub(super) async fn connect(&mut self) -> Result<(), Fault> {
        self.close();
        let pool = &self.pool;
        let idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        self.rested = idle.is_some();
        self.conn = Some(match idle {
            Some(conn) => conn,
            None => session::connect(&pool.opts, pool.kin, pool.used, &pool.limits).await?,
        });
        Ok(())
    }

    fn close(&mut self) {
        self.conn = None; // without a pool of the driver's, dropping it is closing it
        (self.midway, self.open) = (false, false);
    }

    /// The same, to be ended elsewhere.
    pub(super) fn take(&mut self) -> Lent {
        let (conn, permit) = (self.conn.take(), self.permit.take());
        let (midway, open, rested) = (self.midway, self.open, self.rested);
        let lent = Lent { conn, pool: Arc::clone(&self.pool), midway, open, rested, permit };
        (self.midway, self.open) = (false, false);
        lent
    }

    async fn roll_back(mut self) {
        let wait = async { self.run("rolling back", async |conn| conn.query_drop("ROLLBACK").await).await };
        if let Ok(Ok(())) = tokio::time::timeout(ROLLBACK_WAIT, wait).await {
            self.open = false;
        } else {
            self.close();
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        if self.midway {
            return; // closed: the server rolls back
        }
        if !self.open {
            self.pool.rest(conn);
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.conn = Some(conn);
            let mut ended = self.take();
            ended.midway = true; // dropped before it begins, as by a runtime that ends, it is closed and not handed on again
            runtime.spawn(ended.roll_back());
        }
    }
}
