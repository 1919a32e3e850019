//! What an engine of the kind "database" has to do. Flows never see it: they work on [`Tx`](super::Tx), which refuses what
//! comes after an error and collects the events, whichever engine stands behind it.

use std::any::Any;
use std::borrow::Cow;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::lines::See;
use super::{Fault, Inserted, Row, Value};

/// A name held against all other processes until it is dropped.
pub type Held = Box<dyn Any + Send>;

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
    /// Opens something to read in, each of whose statements sees what is durable when it begins: cheaper than a snapshot
    /// where that costs statements of its own.
    ///
    /// # Errors
    /// As [`Engine::begin`].
    fn glance(&self) -> BoxFuture<'_, Result<Box<dyn Unit>, Fault>> {
        self.read()
    }
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
    /// Whether a change of the schema is taken back with the unit of work that made it.
    fn rolls_schema_back(&self) -> bool {
        true
    }
    /// Holds a name of this database against all other processes; waits for those who have it, to the second. Nothing
    /// is to be held where whoever begins a unit of work is alone anyway.
    ///
    /// # Errors
    /// [`Fault::Busy`] when it is not had in time.
    fn hold<'a>(&'a self, _name: &'a str, _wait: Duration) -> BoxFuture<'a, Result<Held, Fault>> {
        Box::pin(std::future::ready(Ok(Box::new(()) as Held)))
    }
}

/// One open unit of work of an engine. Dropping it rolls back, in the middle of a statement too. After a fault nothing
/// more is asked of it than to be dropped.
pub trait Unit: Send {
    /// Runs a statement; the number of rows it changed.
    fn execute<'a>(&'a mut self, sql: &'a str, params: &'a [Value<'a>]) -> BoxFuture<'a, Result<u64, Fault>>;
    /// Inserts rows of `arity` values each by a statement that ends with `VALUES (?*)`. After a duplicate key a single
    /// row has changed nothing; of several, some may stand until the drop. A statement without values changes the
    /// schema, and engines that can't take that back tell by a duplicate that it was done before.
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
    /// Runs a statement of integers and bytes at the commit, if not before: no statement of this unit of work rests on it, and
    /// when it fails the commit does. It saves a round trip where the engine is far away.
    fn execute_last<'a>(&'a mut self, sql: &'a str, params: &'a [Value<'a>]) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move { self.execute(sql, params).await.map(|_| ()) })
    }
    /// Ends the statements; what is returned ends when all of it is durable. A fault there leaves open whether it is.
    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<(), Fault>>;
}

/// As many parameters, in brackets.
#[must_use]
pub fn group(values: usize) -> String {
    let mut text = String::with_capacity(2 * values + 1);
    text.push('(');
    for at in 0..values {
        text.push_str(if at > 0 { ",?" } else { "?" });
    }
    text.push(')');
    text
}

/// A statement whose `(?*)`, as in `IN (?*)`, stands for the parameters that no other `?` takes. The list is filled up
/// to a power of two with its last value, so that few statements are kept prepared for lists of any length.
///
/// # Panics
/// The list is empty: what is in no list needs no query.
#[must_use]
pub fn list<'a, 'v>(sql: &'a str, params: &'a [Value<'v>]) -> (Cow<'a, str>, Cow<'a, [Value<'v>]>) {
    let Some((before, after)) = sql.split_once("(?*)") else { return (sql.into(), params.into()) };
    let marks = |text: &str| text.bytes().filter(|b| *b == b'?').count();
    let (first, last) = (marks(before), params.len().saturating_sub(marks(after)));
    assert!(first < last, "{sql}: a list of nothing");
    let size = (last - first).next_power_of_two();
    let mut padded = params[..last].to_vec();
    padded.resize(first + size, params[last - 1]);
    padded.extend_from_slice(&params[last..]);
    (sql.replacen("(?*)", &group(size), 1).into(), padded.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_filled_up_with_its_last_value() {
        let params = [1, 10, 20, 30, 9].map(Value::Int);
        let sql = "SELECT v FROM t WHERE k = ? AND id IN (?*) AND v < ? FOR UPDATE";
        let (text, values) = list(sql, &params);
        assert_eq!(text, "SELECT v FROM t WHERE k = ? AND id IN (?,?,?,?) AND v < ? FOR UPDATE");
        assert_eq!(*values, [1, 10, 20, 30, 30, 9].map(Value::Int));
        assert_eq!(list("SELECT 1", &[]).0, "SELECT 1");
    }
}
