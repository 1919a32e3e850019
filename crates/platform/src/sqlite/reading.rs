//! Reading a database file: snapshots beside the one who writes it, or of a file on which nobody works.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use rusqlite::{Connection, OpenFlags};

use super::{STATEMENTS_CACHED_MAX, fault, run, run_each, run_insert, run_query};
use crate::db::engine::{Engine, Unit};
use crate::db::lines::See;
use crate::db::{Fault, Inserted, Row, Value};

/// Read connections kept open for the next reader.
const READERS_IDLE_MAX: usize = 8;

/// Connections that read one file.
pub(super) struct Readers {
    pub(super) path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Nobody had the file open: it is read as it lies there, without the files that SQLite would make beside it.
    still: bool,
}

impl Readers {
    pub(super) fn new(path: &Path, still: bool) -> Readers {
        Readers { path: path.to_owned(), idle: Mutex::default(), still }
    }

    fn journal(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push("-wal");
        PathBuf::from(name)
    }

    pub(super) fn journal_bytes(&self) -> u64 {
        self.journal().metadata().map_or(0, |m| m.len())
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.path.metadata().map_or(0, |m| m.len()) + self.journal_bytes()
    }

    /// Begins a snapshot.
    pub(super) fn look(readers: &Arc<Readers>) -> Result<Box<dyn Unit>, Fault> {
        let idle = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match idle {
            Some(conn) => conn,
            None => readers.connect()?,
        };
        conn.execute_batch("BEGIN").map_err(|e| fault("beginning to read", &e))?;
        Ok(Box::new(Look { readers: Arc::clone(readers), conn: Some(conn) }))
    }

    fn connect(&self) -> Result<Connection, Fault> {
        let doing = format!("opening {}", self.path.display());
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = if self.still {
            let uri = format!("file:{}?immutable=1", escaped(&self.path));
            Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)
        } else {
            Connection::open_with_flags(&self.path, flags)
        };
        let conn = opened.map_err(|e| fault(&doing, &e))?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
        conn.execute_batch("PRAGMA busy_timeout = 2000").map_err(|e| fault(&doing, &e))?;
        Ok(conn)
    }

    /// A file that was still must have been so to the end: what was read while somebody wrote it is worth nothing.
    fn undisturbed(&self) -> Result<(), Fault> {
        if self.still && self.journal().exists() {
            let why = format!("a program began to work on {} while it was read; try again", self.path.display());
            return Err(Fault::Busy(why));
        }
        Ok(())
    }
}

/// A path within a URI.
fn escaped(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}

/// A file opened to be read alone.
pub(crate) struct Reading(Arc<Readers>);

impl Reading {
    /// Opens a file, which is there already.
    pub(crate) fn open(path: &Path) -> Result<Reading, Fault> {
        if let Err(e) = path.metadata() {
            return Err(Fault::Storage { doing: format!("opening {}", path.display()), why: e.to_string() });
        }
        // The journal is there as long as anybody has the file open, and where somebody who had it was killed.
        let still = !Readers::new(path, false).journal().exists();
        Ok(Reading(Arc::new(Readers::new(path, still))))
    }
}

impl Engine for Reading {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Unit>, Fault>> {
        let why = format!("{} was opened to be read alone", self.0.path.display());
        Box::pin(std::future::ready(Err(Fault::Unavailable(why))))
    }
    fn read(&self) -> BoxFuture<'_, Result<Box<dyn Unit>, Fault>> {
        Box::pin(std::future::ready(Readers::look(&self.0)))
    }
    fn sole_owner(&self) -> bool {
        false
    }
    fn size_bytes(&self) -> Option<u64> {
        Some(self.0.size_bytes())
    }
}

/// A snapshot of flushed data.
struct Look {
    readers: Arc<Readers>,
    conn: Option<Connection>,
}

impl Look {
    fn conn(&self) -> &Connection {
        self.conn.as_ref().expect("the connection is held until drop")
    }

    fn done<T>(&self, done: Result<T, Fault>) -> BoxFuture<'static, Result<T, Fault>>
    where
        T: Send + 'static,
    {
        Box::pin(std::future::ready(self.readers.undisturbed().and(done)))
    }
}

impl Unit for Look {
    fn execute<'a>(&'a mut self, sql: &'a str, params: &'a [Value<'a>]) -> BoxFuture<'a, Result<u64, Fault>> {
        self.done(run(self.conn(), sql, params))
    }
    fn insert_rows<'a>(
        &'a mut self,
        sql: &'a str,
        arity: usize,
        values: &'a [Value<'a>],
    ) -> BoxFuture<'a, Result<Inserted, Fault>> {
        self.done(run_insert(self.conn(), sql, arity, values))
    }
    fn query<'a>(&'a mut self, sql: &'a str, params: &'a [Value<'a>]) -> BoxFuture<'a, Result<Vec<Row>, Fault>> {
        self.done(run_query(self.conn(), sql, params))
    }
    fn each<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [Value<'a>],
        see: &'a mut See<'_>,
    ) -> BoxFuture<'a, Result<u64, Fault>> {
        self.done(run_each(self.conn(), sql, params, see))
    }
    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        if conn.execute_batch("ROLLBACK").is_err() {
            return; // a connection that can't end its snapshot is not used again
        }
        let mut idle = self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < READERS_IDLE_MAX {
            idle.push(conn);
        }
    }
}
