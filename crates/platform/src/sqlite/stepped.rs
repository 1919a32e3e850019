//! The embedded engine without threads: whoever hands in a [`Disk`] decides when a flush ends, and how. For
//! simulations, where everything happens in one order on one thread, and a machine may lose its power at any moment.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rusqlite::config::DbConfig;
use tokio::sync::OwnedMutexGuard;

use super::reading::Readers;
use super::{Done, Embedded, Flusher, Writer, fault, flush_group};
use crate::db::Fault;
use crate::db::engine::Engine;

/// Decides what becomes of flushes.
pub trait Disk: Send + Sync {
    /// Flushes a group, now or later, or lets it fail. Nobody else can write meanwhile.
    fn flush(&self, group: Group);
}

/// Flows that share a flush, waiting for it. Dropped without a flush, as when power is lost, none of it stands.
pub struct Group {
    writer: OwnedMutexGuard<Writer>,
    readers: Arc<Readers>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({} flows)", self.flows())
    }
}

impl Group {
    pub(super) fn new(writer: OwnedMutexGuard<Writer>, readers: Arc<Readers>) -> Group {
        Group { writer, readers }
    }

    /// How many flows wait for it.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.writer.waiters.len()
    }

    /// Makes it durable and tells all who wait.
    pub fn flush(mut self) {
        flush_group(&mut self.writer);
    }

    /// Makes it durable, then moves the journal into the file as far as those who read from it allow; whether all of it
    /// was moved, so that the next flow begins the journal anew.
    pub fn flush_and_move(mut self) -> bool {
        flush_group(&mut self.writer);
        let moved = self.writer.conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)) // pages in the journal, pages moved
        });
        moved.is_ok_and(|(pages, moved)| pages > 0 && pages == moved)
    }

    /// Makes it durable, but nobody hears of it: power is lost first.
    #[must_use]
    pub fn flush_untold(mut self) -> Untold {
        let before = self.readers.journal_bytes();
        let waiters = std::mem::take(&mut self.writer.waiters);
        flush_group(&mut self.writer);
        Untold { before, after: self.readers.journal_bytes(), _waiters: waiters }
    }

    /// Lets the flush fail: none of it stands, and all who wait are told so.
    pub fn fail(mut self, why: &str) {
        let _ = self.writer.conn.execute_batch("ROLLBACK"); // it is about to fail anyway
        self.writer.open = false;
        self.writer.tell(&Err(Fault::Storage { doing: "flushing".into(), why: why.to_owned() }));
    }
}

/// A flush of which nobody heard. Those who wait hear that the flusher is gone when it is dropped.
#[derive(Debug)]
pub struct Untold {
    /// Bytes of the journal before the flush.
    pub before: u64,
    /// Bytes of the journal after it. What lies between may be torn, once the file is let go of.
    pub after: u64,
    _waiters: Vec<Done>,
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.writer.open {
            let _ = self.writer.conn.execute_batch("ROLLBACK"); // power is lost; there is nobody to tell
            self.writer.open = false;
            self.writer.waiters.clear();
        }
    }
}

/// Opens a file on which nothing moves but by `disk`. What `commit` gives is as durable as this simulation needs it:
/// the operating system is not asked to flush, and nothing moves the journal into the file when it is closed. A journal
/// that begins anew is cut to its length, so that its length tells where the last write lies.
///
/// # Errors
/// The file can't be opened or is damaged.
pub fn open(path: &Path, disk: Arc<dyn Disk>) -> Result<Arc<dyn Engine>, Fault> {
    let embedded = Embedded::with(path, "OFF", Flusher::Stepped(disk))?;
    let writer = embedded.0.turn.try_lock().map_err(|e| Fault::Busy(e.to_string()))?;
    writer.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(|e| fault("opening", &e))?;
    writer.conn.execute_batch("PRAGMA journal_size_limit = 0").map_err(|e| fault("opening", &e))?;
    drop(writer);
    Ok(Arc::new(embedded))
}
