//! The embedded engine: SQLite, one file, one writer at a time, and a flush shared among the flows that meet.
//!
//! A flow takes the writer's turn, opens a group or works in a savepoint of the open one, and releases it on commit. The one
//! who finds nobody waiting hands the group to the flusher thread, which commits it with one flush and wakes
//! all who took part. So a lone flow pays one flush and a crowd shares one; nobody waits to fill a group.

pub(crate) mod reading;
pub mod stepped;

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::time::Duration;

use futures_util::future::BoxFuture;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, ToSql};
use tokio::sync::{OwnedMutexGuard, oneshot};

use crate::db::engine::{Engine, Unit, list};
use crate::db::lines::{COLUMNS_MAX, Line, See};
use crate::db::{Cell, Fault, Inserted, Row, Value};
use crate::sqlite::reading::Readers;

/// Flows that share one flush at most.
const FLOWS_PER_FLUSH_MAX: usize = 512;
/// Flows that may wait for the writer's turn; more are told "busy".
const FLOWS_WAITING_MAX: usize = 16_384;
/// Prepared statements kept per connection.
const STATEMENTS_CACHED_MAX: usize = 256;
/// Bytes of the journal after which it is moved into the file.
const CHECKPOINT_BYTES: u64 = 64 << 20;
/// Pages left in the journal that are few enough to move while the writer waits.
const CHECKPOINT_REST_PAGES: i64 = 512;
/// Times that the journal is moved beside the writer before he has to wait for the rest.
const CHECKPOINT_PASSES_MAX: usize = 2;
/// How long the writer waits, at the end of a checkpoint, for readers of the journal.
const READERS_WAIT: Duration = Duration::from_millis(50);
/// How long a journal that readers keep is left alone.
const CHECKPOINT_PAUSE: Duration = Duration::from_millis(250);
/// Bytes of a page. A large one costs a lone small commit little beside its flush, and a large commit a fifth less.
const PAGE_BYTES: u32 = 8_192;
/// Page cache of the writer, in KiB.
const WRITER_CACHE_KIB: u32 = 65_536;

/// How often it is looked whether another process has let go of the file.
const OTHER_LOOK: Duration = Duration::from_millis(1);
/// How often it is looked before the flow is told "busy": two seconds and more.
const OTHER_LOOKS_MAX: i32 = 2_000;

type Done = oneshot::Sender<Result<(), Fault>>;

struct Writer {
    conn: Connection,
    open: bool,
    waiters: Vec<Done>,
    lost: Arc<AtomicU64>,
}

impl Writer {
    /// Tells all who took part in the group what became of it. A loss is counted before anybody can hear of it.
    fn tell(&mut self, done: &Result<(), Fault>) {
        if done.is_err() && !self.waiters.is_empty() {
            self.lost.fetch_add(1, Ordering::SeqCst);
        }
        for waiter in self.waiters.drain(..) {
            let _ = waiter.send(done.clone()); // a caller who left doesn't hear it
        }
    }
}

/// What a flusher is given: a group to flush, or a look whether one was left behind.
enum Flush {
    Group(OwnedMutexGuard<Writer>),
    Look,
}

/// Who flushes groups.
enum Flusher {
    /// A thread of its own, with another that moves the journal into the file.
    Threads { flusher: mpsc::Sender<Flush>, checkpointer: mpsc::SyncSender<()> },
    /// Somebody who decides when a flush ends, and how.
    Stepped(Arc<dyn stepped::Disk>),
}

struct Shared {
    turn: Arc<tokio::sync::Mutex<Writer>>,
    waiting: AtomicUsize,
    /// Groups that were lost with all who took part.
    lost: Arc<AtomicU64>,
    flusher: Flusher,
    readers: Arc<Readers>,
}

impl Shared {
    fn flush(self: &Arc<Self>, flush: Flush) {
        match &self.flusher {
            Flusher::Threads { flusher, .. } => {
                if let Err(mpsc::SendError(Flush::Group(mut writer))) = flusher.send(flush) {
                    flush_group(&mut writer);
                }
            }
            Flusher::Stepped(disk) => {
                let writer = match flush {
                    Flush::Group(writer) => Some(writer),
                    Flush::Look => Arc::clone(&self.turn).try_lock_owned().ok().filter(|writer| writer.open),
                };
                if let Some(writer) = writer {
                    disk.flush(stepped::Group::new(writer, Arc::clone(&self.readers)));
                }
            }
        }
    }
}

/// An open database file.
pub(crate) struct Embedded(Arc<Shared>);

fn fault(doing: &str, e: &rusqlite::Error) -> Fault {
    match e.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Fault::Busy(format!("another process holds the database ({e})"))
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Fault::Damaged(format!("{doing}: {e}")),
        _ => Fault::Storage { doing: doing.to_owned(), why: e.to_string() },
    }
}

impl Embedded {
    /// Opens the file with a journal that is flushed at every commit.
    pub(crate) fn open(path: &Path) -> Result<Embedded, Fault> {
        let (flusher, inbox) = mpsc::channel();
        let (checkpointer, wakes) = mpsc::sync_channel(1);
        let embedded = Self::with(path, "FULL", Flusher::Threads { flusher, checkpointer })?;
        let failed =
            |e: std::io::Error| Fault::Storage { doing: format!("opening {}", path.display()), why: e.to_string() };
        let weak = Arc::downgrade(&embedded.0);
        let flusher = std::thread::Builder::new().name("flusher".into());
        flusher.spawn(move || run_flusher(&inbox, &weak)).map_err(failed)?;
        let weak = Arc::downgrade(&embedded.0);
        let checkpointer = std::thread::Builder::new().name("checkpointer".into());
        checkpointer.spawn(move || run_checkpointer(&wakes, &weak)).map_err(failed)?;
        Ok(embedded)
    }

    fn with(path: &Path, synchronous: &str, flusher: Flusher) -> Result<Embedded, Fault> {
        let doing = format!("opening {}", path.display());
        let conn = Connection::open(path).map_err(|e| fault(&doing, &e))?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
        conn.execute_batch(&format!(
            "PRAGMA page_size = {PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};
             PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = {CHECKPOINT_BYTES};
             PRAGMA cache_size = -{WRITER_CACHE_KIB}; PRAGMA temp_store = MEMORY;"
        ))
        .map_err(|e| fault(&doing, &e))?;
        conn.busy_handler(Some(wait_for_other)).map_err(|e| fault(&doing, &e))?;
        let lost = Arc::<AtomicU64>::default();
        let writer = Writer { conn, open: false, waiters: Vec::new(), lost: Arc::clone(&lost) };
        Ok(Embedded(Arc::new(Shared {
            turn: Arc::new(tokio::sync::Mutex::new(writer)),
            waiting: AtomicUsize::new(0),
            lost,
            flusher,
            readers: Arc::new(Readers::new(path, false)),
        })))
    }
}

/// Waits for another process, which holds the file for no longer than a flush takes. SQLite's own way of waiting sleeps
/// ever longer, and two who share a file would starve each other.
fn wait_for_other(tries: i32) -> bool {
    std::thread::sleep(OTHER_LOOK);
    tries < OTHER_LOOKS_MAX
}

/// Ends when the database is dropped, since the sender goes with it.
fn run_flusher(inbox: &mpsc::Receiver<Flush>, shared: &Weak<Shared>) {
    while let Ok(flush) = inbox.recv() {
        match flush {
            Flush::Group(mut writer) => {
                flush_group(&mut writer);
                drop(writer);
                let shared = shared.upgrade().filter(|shared| shared.readers.journal_bytes() > CHECKPOINT_BYTES);
                if let Some(Flusher::Threads { checkpointer, .. }) = shared.as_ref().map(|shared| &shared.flusher) {
                    let _ = checkpointer.try_send(()); // one wake that waits is enough
                }
            }
            Flush::Look => {
                let Some(shared) = shared.upgrade() else { return };
                // Whoever holds the turn will end the group himself.
                if let Ok(mut writer) = Arc::clone(&shared.turn).try_lock_owned() {
                    flush_group(&mut writer);
                }
            }
        }
    }
}

/// Moves the journal into the file, most of it beside the writer: a flush that did it would keep everybody waiting.
fn run_checkpointer(wakes: &mpsc::Receiver<()>, shared: &Weak<Shared>) {
    while wakes.recv().is_ok() {
        let Some(shared) = shared.upgrade() else { return };
        match checkpoint(&shared) {
            Ok(true) => continue,
            Ok(false) => {}
            Err(e) => {
                let file = shared.readers.path.display();
                tracing::warn!(error = %e, %file, "the journal could not be moved; trying again");
            }
        }
        drop(shared);
        std::thread::sleep(CHECKPOINT_PAUSE); // or each commit would make the writer wait for the same reader
    }
}

/// Whether the journal begins anew; readers with an old snapshot keep it.
fn checkpoint(shared: &Shared) -> rusqlite::Result<bool> {
    let conn = move_most(shared)?;
    let mut writer = shared.turn.blocking_lock();
    flush_group(&mut writer);
    move_rest(&conn, "PRAGMA wal_checkpoint(RESTART)")
}

/// Moves the journal as far as it goes beside the writer; a connection that can move the rest.
fn move_most(shared: &Shared) -> rusqlite::Result<Connection> {
    let conn = Connection::open(&shared.readers.path)?;
    conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA busy_timeout = 0")?;
    // Pages in the journal when the pass began.
    let pass = || conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(1));
    let mut before = 0;
    for _ in 0..CHECKPOINT_PASSES_MAX {
        let pages = pass()?;
        if pages - before < CHECKPOINT_REST_PAGES {
            break; // what came during this pass is fewer still
        }
        before = pages;
    }
    Ok(conn)
}

/// With nobody writing the rest is moved too; once those who read from the journal are done, it begins anew.
fn move_rest(conn: &Connection, sql: &str) -> rusqlite::Result<bool> {
    conn.busy_timeout(READERS_WAIT)?;
    conn.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
}

fn flush_group(writer: &mut Writer) {
    if !writer.open {
        return;
    }
    writer.open = false;
    let done = writer.conn.execute_batch("COMMIT").map_err(|e| fault("flushing", &e));
    if done.is_err() && !writer.conn.is_autocommit() {
        let _ = writer.conn.execute_batch("ROLLBACK"); // the fault is told; there is nothing to add
    }
    writer.tell(&done);
}

/// Counts one who waits for the turn, and sees to the open group should he give up.
struct Waiting<'a>(&'a Arc<Shared>, bool);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
        if !self.1 {
            self.0.flush(Flush::Look);
        }
    }
}

impl Engine for Embedded {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Unit>, Fault>> {
        Box::pin(async move {
            let shared = &self.0;
            if shared.waiting.fetch_add(1, Ordering::SeqCst) >= FLOWS_WAITING_MAX {
                shared.waiting.fetch_sub(1, Ordering::SeqCst);
                return Err(Fault::Busy("too many flows wait for the database".into()));
            }
            let mut waiting = Waiting(shared, false);
            let mut writer = Arc::clone(&shared.turn).lock_owned().await;
            waiting.1 = true;
            drop(waiting);
            let joins = writer.open;
            if let Err(e) = writer.conn.execute_batch(if joins { "SAVEPOINT flow" } else { "BEGIN IMMEDIATE" }) {
                end_in_vain(shared, writer);
                return Err(fault("beginning", &e));
            }
            writer.open = true;
            Ok(Box::new(Work { shared: Arc::clone(shared), writer: Some(writer), joins }) as Box<dyn Unit>)
        })
    }

    fn read(&self) -> BoxFuture<'_, Result<Box<dyn Unit>, Fault>> {
        Box::pin(std::future::ready(Readers::look(&self.0.readers)))
    }

    fn sole_owner(&self) -> bool {
        true
    }

    fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::SeqCst)
    }

    fn size_bytes(&self) -> Option<u64> {
        Some(self.0.readers.size_bytes())
    }
    fn close(&self) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            let failed = |e: rusqlite::Error| fault(&format!("closing {}", self.0.readers.path.display()), &e);
            let conn = move_most(&self.0).map_err(failed)?;
            let mut writer = self.0.turn.lock().await;
            flush_group(&mut writer);
            // Another process that reads the file keeps the journal; the last one empties it.
            move_rest(&conn, "PRAGMA wal_checkpoint(TRUNCATE)").map_err(failed)?;
            Ok(())
        })
    }
}

struct Bound<'a>(&'a Value<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self.0 {
            Value::Null => ValueRef::Null,
            Value::Int(v) => ValueRef::Integer(v),
            Value::Text(v) => ValueRef::Text(v.as_bytes()),
            Value::Bytes(v) => ValueRef::Blob(v),
        }))
    }
}

/// Locking words have no meaning here: the writer's turn is the lock.
fn prepare<'c>(conn: &'c Connection, sql: &str) -> Result<CachedStatement<'c>, Fault> {
    let bare;
    let sql = if sql.contains("FOR UPDATE") {
        bare = sql.replace(" FOR UPDATE SKIP LOCKED", "").replace(" FOR UPDATE", "");
        &bare
    } else {
        sql
    };
    conn.prepare_cached(sql).map_err(|e| fault(sql, &e))
}

fn bind(statement: &mut CachedStatement<'_>, sql: &str, params: &[Value<'_>]) -> Result<(), Fault> {
    for (i, value) in params.iter().enumerate() {
        statement.raw_bind_parameter(i + 1, Bound(value)).map_err(|e| fault(sql, &e))?;
    }
    Ok(())
}

/// The order of a table's rows is that of its key, as in InnoDB: a whole number is the number of the row itself, and any
/// other key the place where it stands. Else SQLite keeps a second tree from the keys to numbers of its own.
fn by_key(table: &str) -> String {
    let numbered = table.replace("BIGINT NOT NULL PRIMARY KEY", "INTEGER NOT NULL PRIMARY KEY");
    if numbered == table && table.contains("PRIMARY KEY") { format!("{table} WITHOUT ROWID") } else { numbered }
}

fn run(conn: &Connection, sql: &str, params: &[Value<'_>]) -> Result<u64, Fault> {
    if sql.starts_with("CREATE TABLE") || sql.starts_with("--") {
        return conn.execute_batch(&by_key(sql)).map(|()| 0).map_err(|e| fault(sql, &e));
    }
    let (sql, params) = list(sql, params);
    let mut statement = prepare(conn, &sql)?;
    bind(&mut statement, &sql, &params)?;
    let changed = statement.raw_execute().map_err(|e| fault(&sql, &e))?;
    Ok(changed as u64)
}

fn run_insert(conn: &Connection, sql: &str, arity: usize, values: &[Value<'_>]) -> Result<Inserted, Fault> {
    let row = format!("({})", vec!["?"; arity].join(", "));
    let mut statement = prepare(conn, &sql.replacen("(?*)", &row, 1))?;
    for params in values.chunks(arity.max(1)) {
        bind(&mut statement, sql, params)?;
        match statement.raw_execute() {
            Ok(_) => {}
            Err(rusqlite::Error::SqliteFailure(e, _)) if matches!(e.extended_code, 1555 | 2067 | 2579) =>
            // PRIMARY KEY, UNIQUE, ROWID
            {
                return Ok(Inserted::Duplicate);
            }
            Err(e) => return Err(fault(sql, &e)),
        }
    }
    Ok(Inserted::New)
}

fn run_query(conn: &Connection, sql: &str, params: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
    let (sql, params) = list(sql, params);
    let mut statement = prepare(conn, &sql)?;
    bind(&mut statement, &sql, &params)?;
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    let mut out = Vec::new();
    while let Some(row) = rows.next().map_err(|e| fault(&sql, &e))? {
        let cell = |i| {
            Ok(match row.get_ref(i).map_err(|e| fault(&sql, &e))? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(v) => Cell::Int(v),
                ValueRef::Text(v) => Cell::Text(String::from_utf8_lossy(v).into_owned()),
                ValueRef::Blob(v) => Cell::Bytes(v.to_vec()),
                ValueRef::Real(_) => return Err(Fault::Damaged(format!("{sql}: a floating-point number"))),
            })
        };
        out.push(Row::new((0..columns).map(cell).collect::<Result<_, Fault>>()?));
    }
    Ok(out)
}

fn run_each(conn: &Connection, sql: &str, params: &[Value<'_>], see: &mut See<'_>) -> Result<u64, Fault> {
    let mut statement = prepare(conn, sql)?;
    bind(&mut statement, sql, params)?;
    let columns = statement.column_count();
    assert!(columns <= COLUMNS_MAX, "{sql}: more columns than a line holds");
    let mut rows = statement.raw_query();
    let mut seen = 0;
    while let Some(row) = rows.next().map_err(|e| fault(sql, &e))? {
        let mut values = [Value::Null; COLUMNS_MAX];
        for (i, value) in values[..columns].iter_mut().enumerate() {
            *value = match row.get_ref(i).map_err(|e| fault(sql, &e))? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(v) => Value::Int(v),
                ValueRef::Text(v) => {
                    Value::Text(std::str::from_utf8(v).map_err(|e| Fault::Damaged(format!("{sql}: {e}")))?)
                }
                ValueRef::Blob(v) => Value::Bytes(v),
                ValueRef::Real(_) => return Err(Fault::Damaged(format!("{sql}: a floating-point number"))),
            };
        }
        see(&Line::new(&values[..columns]))?;
        seen += 1;
    }
    Ok(seen)
}

/// A flow at work: it holds the writer's turn.
struct Work {
    shared: Arc<Shared>,
    writer: Option<OwnedMutexGuard<Writer>>,
    /// Whether the group was open: then only a savepoint's work is its own. Each page of it is copied before it is changed,
    /// so the first one of a group works without.
    joins: bool,
}

impl Work {
    fn conn(&self) -> &Connection {
        &self.writer.as_ref().expect("the turn is held until commit or drop").conn
    }
}

impl Unit for Work {
    fn execute<'a>(&'a mut self, sql: &'a str, params: &'a [Value<'a>]) -> BoxFuture<'a, Result<u64, Fault>> {
        let done = run(self.conn(), sql, params);
        Box::pin(std::future::ready(done))
    }

    fn insert_rows<'a>(
        &'a mut self,
        sql: &'a str,
        arity: usize,
        values: &'a [Value<'a>],
    ) -> BoxFuture<'a, Result<Inserted, Fault>> {
        let done = run_insert(self.conn(), sql, arity, values);
        Box::pin(std::future::ready(done))
    }

    fn query<'a>(&'a mut self, sql: &'a str, params: &'a [Value<'a>]) -> BoxFuture<'a, Result<Vec<Row>, Fault>> {
        let done = run_query(self.conn(), sql, params);
        Box::pin(std::future::ready(done))
    }
    fn each<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [Value<'a>],
        see: &'a mut See<'_>,
    ) -> BoxFuture<'a, Result<u64, Fault>> {
        let done = run_each(self.conn(), sql, params, see);
        Box::pin(std::future::ready(done))
    }

    fn commit(mut self: Box<Self>) -> BoxFuture<'static, Result<(), Fault>> {
        if self.joins
            && let Err(e) = run(self.conn(), "RELEASE flow", &[])
        {
            return Box::pin(std::future::ready(Err(e))); // the drop rolls back
        }
        let mut writer = self.writer.take().expect("the turn is held until commit or drop");
        let (done, flushed) = oneshot::channel();
        writer.waiters.push(done);
        pass_on(&self.shared, writer);
        Box::pin(async move {
            flushed
                .await
                .unwrap_or_else(|_| Err(Fault::Storage { doing: "flushing".into(), why: "the flusher is gone".into() }))
        })
    }
}

/// Lets the next flow in, or has the group flushed when nobody waits or it is large enough.
fn pass_on(shared: &Arc<Shared>, writer: OwnedMutexGuard<Writer>) {
    if shared.waiting.load(Ordering::SeqCst) > 0 && writer.waiters.len() < FLOWS_PER_FLUSH_MAX {
        drop(writer);
    } else {
        shared.flush(Flush::Group(writer));
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        if self.joins && writer.conn.execute_batch("ROLLBACK TO flow; RELEASE flow").is_err() {
            lose(writer);
        } else {
            end_in_vain(&self.shared, writer);
        }
    }
}

/// Ends the turn of a flow that leaves nothing: the group that it met open is seen to, and one of its own is closed.
fn end_in_vain(shared: &Arc<Shared>, mut writer: OwnedMutexGuard<Writer>) {
    if !writer.waiters.is_empty() && !writer.conn.is_autocommit() {
        pass_on(shared, writer);
    } else if !writer.waiters.is_empty() {
        lose(writer);
    } else {
        writer.open = false;
        if !writer.conn.is_autocommit() {
            let _ = writer.conn.execute_batch("ROLLBACK"); // an empty group needs no flush
        }
    }
}

/// The engine threw the whole group away (disk full, damage): all who took part are told so.
fn lose(mut writer: OwnedMutexGuard<Writer>) {
    if !writer.conn.is_autocommit() {
        let _ = writer.conn.execute_batch("ROLLBACK");
    }
    writer.open = false;
    writer.tell(&Err(Fault::Storage { doing: "rolling back".into(), why: "the group was lost".into() }));
}

#[cfg(test)]
mod tests;
