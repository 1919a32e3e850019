//! A node's database in a simulation: the embedded engine itself, with everything around it that can go wrong.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jangbu_platform::db::engine::{Engine, Unit};
use jangbu_platform::db::lines::See;
use jangbu_platform::db::{Fault as Failed, Inserted, Row, Value};
use jangbu_platform::probe;
use jangbu_platform::stepped::{self, Disk, Group, Untold};

use super::faults::Fault;
use super::node::Site;

/// How long a slow flush takes, milliseconds.
const SLOW_FLUSH_MS_MAX: u64 = 400;
/// How long the writer's turn may be waited for, milliseconds.
const LOCK_WAIT_MS_MAX: u64 = 1_500;

/// A machine's disk. It outlives the node that writes on it.
pub struct Storage {
    site: Arc<Site>,
    file: PathBuf,
    /// Bytes of the journal between which a write may be torn, once nobody has the file open.
    torn: Mutex<Option<Untold>>,
}

impl Storage {
    /// A disk for the file of a node.
    #[must_use]
    pub fn new(site: Arc<Site>, file: &Path) -> Arc<Storage> {
        Arc::new(Storage { site, file: file.to_owned(), torn: Mutex::default() })
    }

    /// Opens the file, made when missing.
    ///
    /// # Errors
    /// It is damaged.
    pub fn open(self: &Arc<Self>) -> Result<Arc<dyn Engine>, Failed> {
        let inner = stepped::open(&self.file, Arc::clone(self) as Arc<dyn Disk>)?;
        Ok(Arc::new(Store { inner, site: Arc::clone(&self.site) }))
    }

    /// Does to the file what the crash did. Nobody has it open.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn settle(&self) -> std::io::Result<()> {
        let Some(untold) = self.torn.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        let mut name = self.file.as_os_str().to_owned();
        name.push("-wal");
        let journal = PathBuf::from(name);
        let written = untold.after.saturating_sub(untold.before);
        let kept = untold.before + self.site.faults.below(Fault::TornFlush, written.max(1));
        self.site.trace.say(|| format!("{}: the last write is torn at byte {kept}", self.site.name));
        let mut bytes = std::fs::read(&journal)?;
        let kept = usize::try_from(kept).unwrap_or(0).min(bytes.len());
        if self.site.faults.below(Fault::TornFlush, 2) == 0 {
            bytes.truncate(kept);
        } else {
            // The sectors were given out, but what should stand in them never came.
            bytes[kept..].fill(0xa5);
        }
        probe::reached("journal-torn-in-its-last-write");
        std::fs::write(journal, bytes)
    }
}

impl Disk for Storage {
    fn flush(&self, group: Group) {
        let (site, faults) = (&self.site, &self.site.faults);
        if group.flows() > 1 {
            probe::reached("flush-shared-by-several-flows");
        }
        if faults.strikes(Fault::CrashBeforeFlush) {
            site.crash("before a flush");
            return drop(group);
        }
        if faults.strikes(Fault::CrashAfterFlush) {
            site.crash("after a flush that nobody heard of");
            return drop(group.flush_untold());
        }
        if faults.strikes(Fault::TornFlush) {
            site.crash("in a flush");
            *self.torn.lock().unwrap_or_else(PoisonError::into_inner) = Some(group.flush_untold());
            return;
        }
        if faults.strikes(Fault::FlushFails) {
            site.trace.say(|| format!("{}: a flush fails, {} flows lose their work", site.name, group.flows()));
            probe::reached("flush-failed-under-flows");
            return group.fail("the disk said no");
        }
        let slow = faults.strikes(Fault::FlushSlow);
        let took = if slow { 1 + faults.below(Fault::FlushSlow, SLOW_FLUSH_MS_MAX) } else { 1 };
        let trace = Arc::clone(&site.trace);
        let name = site.name.clone();
        site.home().spawn(async move {
            tokio::time::sleep(Duration::from_millis(took)).await;
            trace.step(&[b"flush", name.as_bytes()]);
            group.flush();
        });
    }
}

struct Store {
    inner: Arc<dyn Engine>,
    site: Arc<Site>,
}

impl Engine for Store {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Unit>, Failed>> {
        Box::pin(async move {
            let faults = &self.site.faults;
            if faults.strikes(Fault::TurnBusy) {
                return Err(Failed::Busy("the writer's turn was not had in time".to_owned()));
            }
            let inner = self.inner.begin().await?;
            if faults.strikes(Fault::LockWait) {
                // Whoever comes next waits for this one.
                tokio::time::sleep(Duration::from_millis(1 + faults.below(Fault::LockWait, LOCK_WAIT_MS_MAX))).await;
            }
            Ok(Box::new(Piece { inner, site: Arc::clone(&self.site) }) as Box<dyn Unit>)
        })
    }

    fn read(&self) -> BoxFuture<'_, Result<Box<dyn Unit>, Failed>> {
        self.inner.read()
    }

    fn sole_owner(&self) -> bool {
        self.inner.sole_owner()
    }

    fn lost(&self) -> u64 {
        self.inner.lost()
    }

    fn size_bytes(&self) -> Option<u64> {
        self.inner.size_bytes()
    }
}

struct Piece {
    inner: Box<dyn Unit>,
    site: Arc<Site>,
}

/// A statement is about to run.
async fn step(site: &Site, sql: &str, params: &[Value<'_>]) -> Result<(), Failed> {
    let faults = &site.faults;
    if faults.strikes(Fault::CrashAtStatement) {
        site.crash(&format!("before {}", sql.split_once('(').map_or(sql, |(head, _)| head)));
        std::future::pending::<()>().await;
    }
    if faults.strikes(Fault::StatementFails) {
        return Err(Failed::Storage { doing: sql.to_owned(), why: "the disk said no".to_owned() });
    }
    site.trace.step(&[site.name.as_bytes(), sql.as_bytes()]);
    for value in params {
        match value {
            Value::Null => site.trace.step(&[b"null"]),
            Value::Int(n) => site.trace.step(&[&n.to_le_bytes()]),
            Value::Text(text) => site.trace.step(&[text.as_bytes()]),
            Value::Bytes(bytes) => site.trace.step(&[bytes]),
        }
    }
    Ok(())
}

impl Unit for Piece {
    fn execute<'a>(&'a mut self, sql: &'a str, params: &'a [Value<'a>]) -> BoxFuture<'a, Result<u64, Failed>> {
        Box::pin(async move {
            step(&self.site, sql, params).await?;
            self.inner.execute(sql, params).await
        })
    }

    fn insert_rows<'a>(
        &'a mut self,
        sql: &'a str,
        arity: usize,
        values: &'a [Value<'a>],
    ) -> BoxFuture<'a, Result<Inserted, Failed>> {
        Box::pin(async move {
            step(&self.site, sql, values).await?;
            self.inner.insert_rows(sql, arity, values).await
        })
    }

    fn query<'a>(&'a mut self, sql: &'a str, params: &'a [Value<'a>]) -> BoxFuture<'a, Result<Vec<Row>, Failed>> {
        Box::pin(async move {
            step(&self.site, sql, params).await?;
            self.inner.query(sql, params).await
        })
    }

    fn each<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [Value<'a>],
        see: &'a mut See<'_>,
    ) -> BoxFuture<'a, Result<u64, Failed>> {
        Box::pin(async move {
            step(&self.site, sql, params).await?;
            self.inner.each(sql, params, see).await
        })
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<(), Failed>> {
        self.site.trace.step(&[b"commit", self.site.name.as_bytes()]);
        self.inner.commit()
    }
}
