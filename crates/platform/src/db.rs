//! The unit of work. A service's database is a [`Db`]; one business action is one [`Tx`].
//!
//! | step | statements |
//! |---|---|
//! | `begin` | none of its own on the embedded engine when a group is open (a savepoint) |
//! | `recall` / `remember` | one each |
//! | `commit` | one insert of all emitted events, then the share of a flush |

pub mod engine;
pub mod lines;

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use jangbu_kernel::id::EventId;
use jangbu_kernel::time::Timestamp;

use crate::clock::Clock;
use crate::db::engine::{Engine, Unit};
use crate::db::lines::See;
use crate::dice::Dice;

/// A value bound to a statement. Money and instants are integers, ids are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// An integer (minor units, microseconds, booleans as 0 and 1).
    Int(i64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl From<i64> for Value<'_> {
    fn from(v: i64) -> Self {
        Value::Int(v)
    }
}
impl From<i32> for Value<'_> {
    fn from(v: i32) -> Self {
        Value::Int(i64::from(v))
    }
}
impl From<u32> for Value<'_> {
    fn from(v: u32) -> Self {
        Value::Int(i64::from(v))
    }
}
impl From<bool> for Value<'_> {
    fn from(v: bool) -> Self {
        Value::Int(i64::from(v))
    }
}
impl<'a> From<&'a str> for Value<'a> {
    fn from(v: &'a str) -> Self {
        Value::Text(v)
    }
}
impl<'a> From<&'a String> for Value<'a> {
    fn from(v: &'a String) -> Self {
        Value::Text(v)
    }
}
impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(v: &'a [u8]) -> Self {
        Value::Bytes(v)
    }
}
impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(v: &'a [u8; N]) -> Self {
        Value::Bytes(v)
    }
}
impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(v: &'a Vec<u8>) -> Self {
        Value::Bytes(v)
    }
}
impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(v: Option<T>) -> Self {
        v.map_or(Value::Null, Into::into)
    }
}

/// A value read from a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// SQL NULL.
    Null,
    /// An integer.
    Int(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// A row of an answer. Reading a column as what it is not is a bug of the store function, and panics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(Vec<Cell>);

impl Row {
    /// A row of these columns.
    #[must_use]
    pub fn new(cells: Vec<Cell>) -> Row {
        Row(cells)
    }
    /// Column `i`, which is an integer.
    #[must_use]
    pub fn int(&self, i: usize) -> i64 {
        self.opt_int(i).expect("a column declared NOT NULL holds an integer")
    }
    /// Column `i`, an integer or NULL.
    #[must_use]
    pub fn opt_int(&self, i: usize) -> Option<i64> {
        match &self.0[i] {
            Cell::Int(v) => Some(*v),
            Cell::Null => None,
            other => panic!("column {i} is {other:?}, not an integer"),
        }
    }
    /// Column `i`, which is text.
    #[must_use]
    pub fn text(&self, i: usize) -> &str {
        self.opt_text(i).expect("a column declared NOT NULL holds text")
    }
    /// Column `i`, text or NULL.
    #[must_use]
    pub fn opt_text(&self, i: usize) -> Option<&str> {
        match &self.0[i] {
            Cell::Text(v) => Some(v),
            Cell::Null => None,
            other => panic!("column {i} is {other:?}, not text"),
        }
    }
    /// Column `i`, which is bytes.
    #[must_use]
    pub fn bytes(&self, i: usize) -> &[u8] {
        self.opt_bytes(i).expect("a column declared NOT NULL holds bytes")
    }
    /// Column `i`, bytes or NULL.
    #[must_use]
    pub fn opt_bytes(&self, i: usize) -> Option<&[u8]> {
        match &self.0[i] {
            Cell::Bytes(v) => Some(v),
            Cell::Null => None,
            other => panic!("column {i} is {other:?}, not bytes"),
        }
    }
    /// Column `i`, which is a 16-byte id.
    #[must_use]
    pub fn id(&self, i: usize) -> [u8; 16] {
        self.bytes(i).try_into().expect("an id column holds 16 bytes")
    }
}

/// The world failed: nothing of the unit of work stands, and the same may succeed later.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// Too many wait already, or a lock was not had in time. Try again.
    #[error("busy: {0}")]
    Busy(String),
    /// Another unit of work was in the way: a deadlock, or a row that it held too long. Nothing of this one stands, and
    /// the edge tries it again by itself.
    #[error("busy: {0}")]
    Conflict(String),
    /// The engine failed (disk, damaged file, lost connection).
    #[error("storage failed while {doing}: {why}")]
    Storage {
        /// What was being done.
        doing: String,
        /// What the engine said.
        why: String,
    },
    /// A part that is needed does not answer.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// Stored data is not what the code expects.
    #[error("damaged: {0}")]
    Damaged(String),
}

impl Fault {
    /// Whether trying again soon is worth it.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Fault::Busy(_) | Fault::Conflict(_))
    }
}

/// What became of an insert: a duplicate key is a value, not an error.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The row is new.
    New,
    /// A row with this key stands already. After a multi-row insert the unit of work must be dropped.
    Duplicate,
}

/// An idempotency key, which belongs to its caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Who sent it (role and subject).
    pub caller: String,
    /// 1-64 printable ASCII characters.
    pub key: String,
}

/// An answer kept under its key and given again unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON body.
    pub body: String,
}

/// What a key says about a request.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recall {
    /// Never seen.
    New,
    /// Seen with the same body: this was the answer.
    Same(Answer),
    /// Seen with another body.
    KeyReused,
}

/// An event on its way out, or read from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its identity, by which repeats are known.
    pub id: EventId,
    /// Topic.
    pub topic: String,
    /// What its order belongs to (account or case).
    pub key: String,
    /// Type and version, like `posting_recorded.v1`.
    pub event_type: String,
    /// JSON.
    pub payload: String,
}

/// A service's own database.
#[derive(Clone)]
pub struct Db {
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    dice: Dice,
    emitted: Arc<tokio::sync::Notify>,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Db")
    }
}

impl Db {
    /// Opens the embedded engine on `path`, made when missing.
    ///
    /// # Errors
    /// The file can't be opened, is damaged, or another process has it.
    pub fn open_embedded(path: &std::path::Path, clock: Arc<dyn Clock>, dice: Dice) -> Result<Db, Fault> {
        Ok(Db::on(Arc::new(crate::sqlite::Embedded::open(path)?), clock, dice))
    }

    /// Opens an embedded file to be read alone, whether a bank runs on it or not. Nothing is written beside it.
    ///
    /// # Errors
    /// There is no such file, or it can't be read.
    pub fn open_to_read(path: &std::path::Path, clock: Arc<dyn Clock>, dice: Dice) -> Result<Db, Fault> {
        Ok(Db::on(Arc::new(crate::sqlite::reading::Reading::open(path)?), clock, dice))
    }

    /// The database of an engine that is open.
    #[must_use]
    pub fn on(engine: Arc<dyn Engine>, clock: Arc<dyn Clock>, dice: Dice) -> Db {
        Db { engine, clock, dice, emitted: Arc::default() }
    }

    /// Opens a read-write unit of work; `flow` names it in logs and errors.
    ///
    /// # Errors
    /// [`Fault::Busy`] when too many wait already.
    pub async fn begin(&self, flow: &'static str) -> Result<Tx, Fault> {
        let unit = self.engine.begin().await?;
        Ok(self.tx(unit, flow))
    }

    /// Opens a snapshot of what has been flushed. Writing in it is an error.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn read(&self, flow: &'static str) -> Result<Tx, Fault> {
        let unit = self.engine.read().await?;
        Ok(self.tx(unit, flow))
    }

    /// Opens what one statement is read in. Of several, each would see what is durable when it begins.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn glance(&self, flow: &'static str) -> Result<Tx, Fault> {
        let unit = self.engine.glance().await?;
        Ok(self.tx(unit, flow))
    }

    /// The present instant, by the clock that dates units of work.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether nobody else can write this database, so that state may be kept in memory between commits.
    #[must_use]
    pub fn sole_owner(&self) -> bool {
        self.engine.sole_owner()
    }

    /// How many times units of work whose statements had ended were lost at their flush. It has grown before one of them
    /// is told, and before the next unit of work begins: within one, the same number as before means that all before it
    /// stands or is still to be flushed with it.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.engine.lost()
    }

    /// Bytes on disk, journal included; none where a server keeps them.
    #[must_use]
    pub fn size_bytes(&self) -> Option<u64> {
        self.engine.size_bytes()
    }

    /// Leaves the data as a clean end should: the embedded engine's journal is moved into the file and emptied, unless
    /// another process still reads it. Whoever begins afterwards finds the database as before.
    ///
    /// # Errors
    /// The engine failed. What was committed is safe all the same.
    pub async fn close(&self) -> Result<(), Fault> {
        self.engine.close().await
    }

    /// Whether a change of the schema is taken back with the unit of work that made it.
    pub(crate) fn rolls_schema_back(&self) -> bool {
        self.engine.rolls_schema_back()
    }

    /// Holds a name of this database against all other processes, until it is dropped.
    pub(crate) async fn hold(&self, name: &str, wait: std::time::Duration) -> Result<engine::Held, Fault> {
        self.engine.hold(name, wait).await
    }

    /// Woken after each commit that emitted events.
    #[must_use]
    pub fn emitted(&self) -> Arc<tokio::sync::Notify> {
        Arc::clone(&self.emitted)
    }

    fn tx(&self, unit: Box<dyn Unit>, flow: &'static str) -> Tx {
        Tx {
            unit,
            flow,
            now: self.clock.now(),
            dice: self.dice.clone(),
            events: Vec::new(),
            broken: false,
            emitted: Arc::clone(&self.emitted),
        }
    }
}

/// One unit of work: the first parameter of every store function. It carries the time and collects the events.
pub struct Tx {
    unit: Box<dyn Unit>,
    flow: &'static str,
    now: Timestamp,
    dice: Dice,
    events: Vec<Event>,
    broken: bool,
    emitted: Arc<tokio::sync::Notify>,
}

impl Tx {
    /// The instant at which this unit of work began.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Sixteen bytes for a new id, greater than all given before.
    #[must_use]
    pub fn new_id(&self) -> [u8; 16] {
        self.dice.id(self.now)
    }

    /// Runs a statement; the number of rows it changed.
    ///
    /// # Errors
    /// The engine failed; the unit of work takes nothing more.
    pub async fn execute(&mut self, sql: &str, params: &[Value<'_>]) -> Result<u64, Fault> {
        self.usable()?;
        let done = self.unit.execute(sql, params).await;
        self.note(done)
    }

    /// Runs a statement of integers and bytes at the commit, if not before, without a round trip: no later statement of this
    /// unit of work may rest on it, and when it fails the commit does.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub async fn execute_last(&mut self, sql: &str, params: &[Value<'_>]) -> Result<(), Fault> {
        self.usable()?;
        self.unit.execute_last(sql, params).await.or_else(|fault| self.note(Err(fault)))
    }

    /// Inserts one row; a duplicate key is a value and leaves the unit of work usable.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub async fn insert(&mut self, sql: &str, params: &[Value<'_>]) -> Result<Inserted, Fault> {
        self.usable()?;
        let done = self.unit.insert_rows(sql, params.len(), params).await;
        self.note(done)
    }

    /// Inserts rows of `arity` values each by a statement that ends with `VALUES (?*)`.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub async fn insert_rows(&mut self, sql: &str, arity: usize, values: &[Value<'_>]) -> Result<Inserted, Fault> {
        self.usable()?;
        let done = self.unit.insert_rows(sql, arity, values).await;
        if matches!(done, Ok(Inserted::Duplicate)) && values.len() > arity {
            self.broken = true; // some rows may stand: only dropping is right
        }
        self.note(done)
    }

    /// Runs a query.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub async fn query(&mut self, sql: &str, params: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        self.usable()?;
        let done = self.unit.query(sql, params).await;
        self.note(done)
    }

    /// Runs a query that gives at most one row.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub async fn query_one(&mut self, sql: &str, params: &[Value<'_>]) -> Result<Option<Row>, Fault> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// What is known under `key`; `hash` is the request's.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub async fn recall(&mut self, key: &Key, hash: u64) -> Result<Recall, Fault> {
        let sql = "SELECT hash, status, body FROM idempotency WHERE caller = ? AND idem_key = ?";
        let Some(row) = self.query_one(sql, &[(&key.caller).into(), (&key.key).into()]).await? else {
            return Ok(Recall::New);
        };
        if row.int(0) != hash.cast_signed() {
            return Ok(Recall::KeyReused);
        }
        let status = u16::try_from(row.int(1)).map_err(|_| Fault::Damaged("a kept status".into()))?;
        Ok(Recall::Same(Answer { status, body: row.text(2).to_owned() }))
    }

    /// Keeps the answer under its key, in this unit of work.
    ///
    /// # Errors
    /// [`Fault::Conflict`] when the key was taken meanwhile; the retry recalls it.
    pub async fn remember(&mut self, key: &Key, hash: u64, answer: &Answer) -> Result<(), Fault> {
        self.remember_all(&[(key, hash, answer)]).await
    }

    /// Keeps several answers, each under its key.
    ///
    /// # Errors
    /// As [`Tx::remember`].
    pub async fn remember_all(&mut self, answers: &[(&Key, u64, &Answer)]) -> Result<(), Fault> {
        let sql = "INSERT INTO idempotency (caller, idem_key, hash, status, body, kept_at) VALUES (?*)";
        let at = Value::Int(self.now.micros());
        let mut rows = Vec::with_capacity(answers.len() * 6);
        for (key, hash, answer) in answers {
            let (hash, status) = (Value::Int(hash.cast_signed()), i64::from(answer.status).into());
            rows.extend([(&key.caller).into(), (&key.key).into(), hash, status, (&answer.body).into(), at]);
        }
        match self.insert_rows(sql, 6, &rows).await? {
            Inserted::New => Ok(()),
            Inserted::Duplicate => Err(Fault::Conflict("the key was taken meanwhile".into())),
        }
    }

    /// Adds an event; it leaves if, and only if, this unit of work commits.
    pub fn emit(&mut self, topic: &str, key: &str, event_type: &str, payload: String) -> EventId {
        let id = EventId::from_bytes(self.new_id());
        self.events.push(Event { id, topic: topic.into(), key: key.into(), event_type: event_type.into(), payload });
        id
    }

    /// Makes all of it durable. When this returns, the flush that holds it is done.
    ///
    /// # Errors
    /// Nothing of it stands, but for a fault while the engine was flushing, where only asking again by key tells.
    pub async fn commit(mut self) -> Result<(), Fault> {
        self.finish().await?.await
    }

    /// Ends the statements and lets the next flow in; the returned future ends when the flush is done.
    ///
    /// # Errors
    /// As [`Tx::commit`].
    pub async fn finish(&mut self) -> Result<BoxFuture<'static, Result<(), Fault>>, Fault> {
        self.usable()?;
        let events = std::mem::take(&mut self.events);
        let at = self.now.micros();
        let ids: Vec<[u8; 16]> = events.iter().map(|event| event.id.to_bytes()).collect();
        let mut rows = Vec::with_capacity(events.len() * 6);
        for (event, id) in events.iter().zip(&ids) {
            rows.extend([
                Value::Bytes(id),
                (&event.topic).into(),
                (&event.key).into(),
                (&event.event_type).into(),
                (&event.payload).into(),
                at.into(),
            ]);
        }
        let sql = "INSERT INTO outbox (id, topic, event_key, event_type, payload, emitted_at) VALUES (?*)";
        if !rows.is_empty() && self.unit.insert_rows(sql, 6, &rows).await? == Inserted::Duplicate {
            return Err(Fault::Damaged("an event id came twice".into()));
        }
        self.broken = true;
        let unit = std::mem::replace(&mut self.unit, Box::new(Spent));
        let (flushed, emitted) = (unit.commit(), Arc::clone(&self.emitted));
        Ok(Box::pin(async move {
            flushed.await?;
            if !events.is_empty() {
                emitted.notify_waiters();
                emitted.notify_one();
            }
            Ok(())
        }))
    }

    fn usable(&self) -> Result<(), Fault> {
        if self.broken {
            return Err(Fault::Storage {
                doing: self.flow.to_owned(),
                why: "this unit of work failed before and takes nothing more".into(),
            });
        }
        Ok(())
    }

    fn note<T>(&mut self, done: Result<T, Fault>) -> Result<T, Fault> {
        if let Err(Fault::Storage { doing, .. }) = &done {
            tracing::debug!(flow = self.flow, doing, "statement failed");
        }
        self.broken |= done.is_err();
        done
    }
}

/// Stands where the unit was, once it has been committed.
struct Spent;

impl Unit for Spent {
    fn execute<'a>(&'a mut self, _: &'a str, _: &'a [Value<'a>]) -> BoxFuture<'a, Result<u64, Fault>> {
        Box::pin(async { Err(Fault::Damaged("the unit of work is over".into())) })
    }
    fn insert_rows<'a>(
        &'a mut self,
        _: &'a str,
        _: usize,
        _: &'a [Value<'a>],
    ) -> BoxFuture<'a, Result<Inserted, Fault>> {
        Box::pin(async { Err(Fault::Damaged("the unit of work is over".into())) })
    }
    fn query<'a>(&'a mut self, _: &'a str, _: &'a [Value<'a>]) -> BoxFuture<'a, Result<Vec<Row>, Fault>> {
        Box::pin(async { Err(Fault::Damaged("the unit of work is over".into())) })
    }
    fn each<'a>(&'a mut self, _: &'a str, _: &'a [Value<'a>], _: &'a mut See<'_>) -> BoxFuture<'a, Result<u64, Fault>> {
        Box::pin(async { Err(Fault::Damaged("the unit of work is over".into())) })
    }
    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<(), Fault>> {
        Box::pin(async { Err(Fault::Damaged("the unit of work is over".into())) })
    }
}
