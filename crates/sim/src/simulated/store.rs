//! A node's database in a simulation: the embedded engine itself, with everything around it that can go wrong.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jangbu_platform::clock::ticks;
use jangbu_platform::db::engine::{Engine, Unit};
use jangbu_platform::db::lines::See;
use jangbu_platform::db::{Fault as Failed, Inserted, Row, Value};
use jangbu_platform::probe;
use jangbu_platform::stepped::{self, Disk, Group, Untold};
use tokio::time::Instant;

use super::faults::Fault;
use super::node::Site;

/// How long a slow flush takes, milliseconds.
const SLOW_FLUSH_MS_MAX: u64 = 400;
/// How long the writer's turn may be waited for, milliseconds.
const LOCK_WAIT_MS_MAX: u64 = 1_500;
/// How long a disk may be away, or a table out of reach, milliseconds: longer than a consumer tries an event.
const AWAY_MS_MAX: u64 = 4_000;
/// Bytes of the file that reach the disk together, or not at all.
const SECTOR_BYTES: usize = 4_096;

/// What a crash does to a disk, once nobody has its file open.
enum Torn {
    /// Of these bytes of the journal only some came.
    Journal(Untold),
    /// Of what was moved into the file, which was this before, only some sectors came.
    File(Vec<u8>),
}

/// A machine's disk. It outlives the node that writes on it.
pub struct Storage {
    site: Arc<Site>,
    file: PathBuf,
    torn: Mutex<Option<Torn>>,
    away_until: Mutex<Option<Instant>>,
    /// A table that can't be written, and until when.
    barred: Mutex<Option<(String, Instant)>>,
}

impl Storage {
    /// A disk for the file of a node.
    #[must_use]
    pub fn new(site: Arc<Site>, file: &Path) -> Arc<Storage> {
        let (torn, away_until, barred) = (Mutex::default(), Mutex::default(), Mutex::default());
        Arc::new(Storage { site, file: file.to_owned(), torn, away_until, barred })
    }

    /// Opens the file, made when missing.
    ///
    /// # Errors
    /// It is damaged.
    pub fn open(self: &Arc<Self>) -> Result<Arc<dyn Engine>, Failed> {
        let inner = stepped::open(&self.file, Arc::new(Drive(Arc::clone(self))))?;
        Ok(Arc::new(Store { inner, disk: Arc::clone(self) }))
    }

    /// Does to the file what the crash did. Nobody has it open.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn settle(&self) -> std::io::Result<()> {
        let torn = self.torn.lock().unwrap_or_else(PoisonError::into_inner).take();
        match torn {
            None => Ok(()),
            Some(Torn::Journal(untold)) => self.tear_journal(&untold),
            Some(Torn::File(before)) => self.tear_file(before),
        }
    }

    fn tear_journal(&self, untold: &Untold) -> std::io::Result<()> {
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

    fn tear_file(&self, mut before: Vec<u8>) -> std::io::Result<()> {
        let mut bytes = std::fs::read(&self.file)?;
        before.resize(bytes.len(), 0);
        let mut torn = 0;
        for (sector, old) in bytes.chunks_mut(SECTOR_BYTES).zip(before.chunks(SECTOR_BYTES)) {
            if *sector != *old && self.site.faults.below(Fault::CrashInCheckpoint, 2) == 0 {
                sector.copy_from_slice(old);
                torn += 1;
            }
        }
        self.site.trace.say(|| format!("{}: {torn} sectors of the file did not come", self.site.name));
        if torn > 0 {
            probe::reached("file-torn-while-the-journal-was-moved");
        }
        std::fs::write(&self.file, bytes)
    }

    /// Whether the disk can't be used now; it may go away at this moment.
    fn is_away(&self) -> bool {
        let faults = &self.site.faults;
        let mut until = self.away_until.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.strikes(Fault::DiskAway) {
            let ms = 1 + faults.below(Fault::DiskAway, AWAY_MS_MAX);
            self.site.trace.say(|| format!("{}: the disk is away for {ms} ms", self.site.name));
            *until = Some(ticks() + Duration::from_millis(ms));
        }
        faults.are_on() && until.is_some_and(|until| ticks() < until)
    }

    /// Whether a statement writes a table that can't be written now. Events that want it are parked one after the
    /// other, since what parking writes is always within reach.
    fn is_barred(&self, sql: &str) -> bool {
        let Some(table) = written(sql).filter(|table| !SPARED.contains(table)) else { return false };
        let faults = &self.site.faults;
        let mut barred = self.barred.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.strikes(Fault::TableBarred) {
            let ms = 1 + faults.below(Fault::TableBarred, AWAY_MS_MAX);
            self.site.trace.say(|| format!("{}: {table} can't be written for {ms} ms", self.site.name));
            *barred = Some((table.to_owned(), ticks() + Duration::from_millis(ms)));
        }
        faults.are_on() && barred.as_ref().is_some_and(|(name, until)| name == table && ticks() < *until)
    }

    fn move_journal(&self, group: Group) {
        if self.site.faults.strikes(Fault::CrashInCheckpoint) {
            let before = std::fs::read(&self.file).unwrap_or_default();
            group.flush_and_move();
            *self.torn.lock().unwrap_or_else(PoisonError::into_inner) = Some(Torn::File(before));
            self.site.crash("while its journal is moved into the file");
        } else if group.flush_and_move() {
            probe::reached("journal-moved-into-the-file-whole");
        } else {
            probe::reached("journal-kept-for-those-who-read-it");
        }
    }
}

/// The disk as the engine has it in hand.
struct Drive(Arc<Storage>);

impl Disk for Drive {
    fn flush(&self, group: Group) {
        let disk = Arc::clone(&self.0);
        let (site, faults) = (&self.0.site, &self.0.site.faults);
        let several = group.flows() > 1;
        if several {
            probe::reached("flush-shared-by-several-flows");
        }
        if faults.strikes(Fault::CrashBeforeFlush) {
            if several {
                probe::reached("several-flows-lost-with-one-flush");
            }
            site.crash("before a flush");
            return drop(group);
        }
        if faults.strikes(Fault::CrashAfterFlush) {
            probe::reached("flush-durable-and-nobody-told");
            site.crash("after a flush that nobody heard of");
            return drop(group.flush_untold());
        }
        if faults.strikes(Fault::TornFlush) {
            site.crash("in a flush");
            *disk.torn.lock().unwrap_or_else(PoisonError::into_inner) = Some(Torn::Journal(group.flush_untold()));
            return;
        }
        if faults.strikes(Fault::FlushFails) || disk.is_away() {
            site.trace.say(|| format!("{}: a flush fails, {} flows lose their work", site.name, group.flows()));
            probe::reached(if several { "flush-failed-under-several-flows" } else { "flush-failed-under-one-flow" });
            // A disk takes its time before it says no; those who look meanwhile must not see what is lost then.
            let took = 1 + faults.below(Fault::FlushFails, SLOW_FLUSH_MS_MAX);
            site.home().spawn(async move {
                tokio::time::sleep(Duration::from_millis(took)).await;
                group.fail("the disk said no");
            });
            return;
        }
        let slow = faults.strikes(Fault::FlushSlow);
        let took = if slow { 1 + faults.below(Fault::FlushSlow, SLOW_FLUSH_MS_MAX) } else { 1 };
        let moves = faults.strikes(Fault::Checkpoint);
        site.home().spawn(async move {
            tokio::time::sleep(Duration::from_millis(took)).await;
            disk.site.trace.step(&[b"flush", disk.site.name.as_bytes()]);
            if moves { disk.move_journal(group) } else { group.flush() }
        });
    }
}

struct Store {
    inner: Arc<dyn Engine>,
    disk: Arc<Storage>,
}

impl Engine for Store {
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Unit>, Failed>> {
        Box::pin(async move {
            let faults = &self.disk.site.faults;
            if faults.strikes(Fault::TurnBusy) {
                return Err(Failed::Busy("the writer's turn was not had in time".to_owned()));
            }
            let inner = self.inner.begin().await?;
            if faults.strikes(Fault::LockWait) {
                // Whoever comes next waits for this one.
                tokio::time::sleep(Duration::from_millis(1 + faults.below(Fault::LockWait, LOCK_WAIT_MS_MAX))).await;
            }
            self.disk.step("BEGIN", &[]).await?;
            Ok(Box::new(Piece { inner, disk: Arc::clone(&self.disk) }) as Box<dyn Unit>)
        })
    }

    fn read(&self) -> BoxFuture<'_, Result<Box<dyn Unit>, Failed>> {
        Box::pin(async move {
            self.disk.step("BEGIN to read", &[]).await?;
            let inner = self.inner.read().await?;
            Ok(Box::new(Piece { inner, disk: Arc::clone(&self.disk) }) as Box<dyn Unit>)
        })
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
    disk: Arc<Storage>,
}

/// Tables that can always be written while the disk is there.
const SPARED: [&str; 4] = ["inbox", "dead_letter", "audit", "schema_version"];

/// The table that a statement writes.
fn written(sql: &str) -> Option<&str> {
    let rest = ["INSERT INTO ", "UPDATE ", "DELETE FROM "].iter().find_map(|verb| sql.strip_prefix(verb))?;
    rest.split([' ', '(']).next()
}

/// A statement as a reader of the trace knows it.
fn head(sql: &str) -> &str {
    sql.split_once('(').map_or(sql, |(head, _)| head)
}

impl Storage {
    /// A statement is about to run.
    async fn step(&self, sql: &str, params: &[Value<'_>]) -> Result<(), Failed> {
        let (site, faults) = (&self.site, &self.site.faults);
        if site.is_starting() && faults.strikes(Fault::CrashStarting) {
            if sql.starts_with("CREATE") {
                probe::reached("node-died-while-its-tables-were-made");
            }
            site.crash(&format!("while it starts, before {}", head(sql)));
            std::future::pending::<()>().await;
        }
        if faults.strikes(Fault::CrashAtStatement) {
            site.crash(&format!("before {}", head(sql)));
            std::future::pending::<()>().await;
        }
        if faults.strikes(Fault::StatementFails) || self.is_away() || self.is_barred(sql) {
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
}

impl Unit for Piece {
    fn execute<'a>(&'a mut self, sql: &'a str, params: &'a [Value<'a>]) -> BoxFuture<'a, Result<u64, Failed>> {
        Box::pin(async move {
            self.disk.step(sql, params).await?;
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
            self.disk.step(sql, values).await?;
            self.inner.insert_rows(sql, arity, values).await
        })
    }

    fn query<'a>(&'a mut self, sql: &'a str, params: &'a [Value<'a>]) -> BoxFuture<'a, Result<Vec<Row>, Failed>> {
        Box::pin(async move {
            self.disk.step(sql, params).await?;
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
            self.disk.step(sql, params).await?;
            self.inner.each(sql, params, see).await
        })
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<(), Failed>> {
        let site = Arc::clone(&self.disk.site);
        site.trace.step(&[b"commit", site.name.as_bytes()]);
        let committed = self.inner.commit();
        Box::pin(async move {
            let done = committed.await;
            if done.is_ok() && site.faults.strikes(Fault::CrashAfterCommit) {
                probe::reached("node-died-between-flush-and-answer");
                site.crash("between flush and answer");
                std::future::pending::<()>().await;
            }
            done
        })
    }
}
