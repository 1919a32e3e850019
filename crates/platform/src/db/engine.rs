//! What an engine of the kind "database" has to do. Flows never see it: they work on [`Tx`](super::Tx), which refuses what
//! comes after an error and collects the events, whichever engine stands behind it.

use futures_util::future::BoxFuture;

use super::lines::See;
use super::{Fault, Inserted, Row, Value};

/// A database that is open.
pub trait Engine: Send + Sync {
    /// Opens a unit of work in which everything read under a lock stays as it is until the end.
    ///
    /// # Errors
    /// [`Fault::Busy`] when too many wait already or the turn does not come in time.
    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Unit>, Fault>>;
    /// Opens a snapshot of what is durable, in which nothing can be written.
    ///
    /// # Errors
    /// As [`Engine::begin`].
    fn read(&self) -> BoxFuture<'_, Result<Box<dyn Unit>, Fault>>;
    /// Whether nobody else can write this database.
    fn sole_owner(&self) -> bool;
    /// How many groups of units of work were lost at their flush, see [`Db::lost`](super::Db::lost). Only a sole owner is
    /// asked: with others beside him nobody keeps state in memory.
    fn lost(&self) -> u64 {
        0
    }
    /// Bytes on disk; none where a server keeps them.
    fn size_bytes(&self) -> Option<u64>;
    /// Puts in order what a clean end should leave; what was committed is safe without it.
    ///
    /// # Errors
    /// The engine failed.
    fn close(&self) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// One open unit of work of an engine. Dropping it rolls back, in the middle of a statement too. After a fault nothing
/// more is asked of it than to be dropped.
pub trait Unit: Send {
    /// Runs a statement; the number of rows it changed.
    fn execute<'a>(&'a mut self, sql: &'a str, params: &'a [Value<'a>]) -> BoxFuture<'a, Result<u64, Fault>>;
    /// Inserts rows of `arity` values each by a statement that ends with `VALUES (?*)`. After a duplicate key a single
    /// row has changed nothing; of several, some may stand until the drop.
    fn insert_rows<'a>(
        &'a mut self,
        sql: &'a str,
        arity: usize,
        values: &'a [Value<'a>],
    ) -> BoxFuture<'a, Result<Inserted, Fault>>;
    /// Runs a query.
    fn query<'a>(&'a mut self, sql: &'a str, params: &'a [Value<'a>]) -> BoxFuture<'a, Result<Vec<Row>, Fault>>;
    /// Runs a query and shows its rows one by one.
    fn each<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [Value<'a>],
        see: &'a mut See<'_>,
    ) -> BoxFuture<'a, Result<u64, Fault>>;
    /// Ends the statements; what is returned ends when all of it is durable. A fault there leaves open whether it is.
    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<(), Fault>>;
}
