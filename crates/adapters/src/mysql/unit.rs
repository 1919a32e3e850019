//! A unit of work on a connection.

use std::time::Duration;

use futures_util::future::BoxFuture;
use jangbu_platform::db::engine::{Held, Unit, list};
use jangbu_platform::db::lines::See;
use jangbu_platform::db::{Fault, Inserted, Row, Value};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;

use super::faults::{is_duplicate, is_schema_done};
use super::pool::{Failed, Lent, run};
use super::session::{Kin, Use};
use super::{rows, text};

/// A flow at work, a snapshot, or a connection on which nothing is begun.
pub(super) struct Work {
    lent: Lent,
    /// Statements that go with the commit.
    last: Vec<String>,
}

impl Work {
    pub(super) fn new(lent: Lent) -> Work {
        Work { lent, last: Vec::new() }
    }

    fn only_reads(&self) -> bool {
        self.lent.pool.used == Use::Snapshot
    }

    async fn execute(&mut self, sql: &str, params: &[Value<'_>]) -> Result<u64, Fault> {
        self.writes(sql)?;
        let sql = text::table(sql);
        let (sql, params) = list(&sql, params);
        let run = async |conn: &mut Conn| {
            if params.is_empty() {
                conn.query_drop(sql.as_ref()).await?; // not everything can be prepared
            } else {
                conn.exec_drop(sql.as_ref(), rows::params(&params)).await?;
            }
            Ok(conn.affected_rows())
        };
        run!(self.lent, &sql, run).map_err(Failed::into_fault)
    }

    fn writes(&self, sql: &str) -> Result<(), Fault> {
        if self.only_reads() {
            return Err(Fault::Storage { doing: sql.to_owned(), why: "a snapshot is only read".into() });
        }
        Ok(())
    }

    async fn insert_rows(&mut self, sql: &str, arity: usize, values: &[Value<'_>]) -> Result<Inserted, Fault> {
        self.writes(sql)?;
        if !sql.contains("(?*)") {
            return self.once(sql).await;
        }
        let mut left = values;
        while !left.is_empty() {
            let rows = text::rows_at_once(left.len() / arity, arity);
            let (now, later) = left.split_at(rows * arity);
            let statement = text::insert(sql, arity, rows);
            let run = async |conn: &mut Conn| conn.exec_drop(statement.as_str(), rows::params(now)).await;
            match run!(self.lent, sql, run) {
                Ok(()) => left = later,
                Err(Failed::Said(e, _)) if is_duplicate(&e) => return Ok(Inserted::Duplicate),
                Err(failed) => return Err(failed.into_fault()),
            }
        }
        Ok(Inserted::New)
    }

    /// A change of the schema: what is there already is a duplicate.
    async fn once(&mut self, sql: &str) -> Result<Inserted, Fault> {
        let sql = text::table(sql);
        match run!(self.lent, &sql, async |conn: &mut Conn| conn.query_drop(sql.as_ref()).await) {
            Ok(()) => Ok(Inserted::New),
            Err(Failed::Said(e, _)) if is_schema_done(&e) || is_duplicate(&e) => Ok(Inserted::Duplicate),
            Err(failed) => Err(failed.into_fault()),
        }
    }

    async fn query(&mut self, sql: &str, params: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        let sql = if self.only_reads() { text::without_locks(sql) } else { sql.into() };
        let (sql, params) = list(&sql, params);
        let run = async |conn: &mut Conn| {
            let mut found = conn.exec_iter(sql.as_ref(), rows::params(&params)).await?;
            let holds = rows::holds(found.columns_ref());
            found.collect::<mysql_async::Row>().await.map(|rows| (holds, rows))
        };
        let (holds, found) = run!(self.lent, &sql, run).map_err(Failed::into_fault)?;
        found.into_iter().map(|row| rows::row(&sql, &holds, row)).collect()
    }

    async fn each(&mut self, sql: &str, params: &[Value<'_>], see: &mut See<'_>) -> Result<u64, Fault> {
        let sql = if self.only_reads() { text::without_locks(sql) } else { sql.into() };
        let (sql, params) = list(&sql, params);
        let mut shown = 0;
        let run = run!(self.lent, &sql, async |conn: &mut Conn| {
            if shown > 0 {
                return Ok(Err(Fault::Unavailable("the database went away among rows".into())));
            }
            let mut found = conn.exec_iter(sql.as_ref(), rows::params(&params)).await?;
            let holds = rows::holds(found.columns_ref());
            while let Some(row) = found.next().await? {
                if let Err(fault) = rows::show(&sql, &holds, &row, see) {
                    return Ok(Err(fault));
                }
                shown += 1;
            }
            Ok(Ok(shown))
        });
        let seen = run.map_err(Failed::into_fault)?;
        if seen.is_err() {
            self.lent.midway = true; // rows that nobody wants are not waited for
        }
        seen
    }
}

async fn commit(mut lent: Lent, mut last: Vec<String>) -> Result<(), Fault> {
    if !lent.open && last.is_empty() {
        return Ok(()); // nothing was done
    }
    last.push("COMMIT".to_owned());
    // The first that fails is the last that is run. TiDB by itself takes one at a time.
    let last = if lent.pool.kin == Kin::TiDb { last } else { vec![last.join("; ")] };
    let run = async |conn: &mut Conn| {
        for statements in &last {
            conn.query_drop(statements).await?;
        }
        Ok(())
    };
    match lent.run("committing", run).await {
        Ok(()) => {
            lent.open = false;
            Ok(())
        }
        Err(Failed::Said(_, fault)) => Err(fault), // the drop rolls back
        Err(Failed::Lost(fault)) => {
            let why = format!("{fault}; whether it stands is not known: ask again by the key");
            Err(Fault::Unavailable(why))
        }
    }
}

impl Unit for Work {
    fn execute<'a>(&'a mut self, sql: &'a str, params: &'a [Value<'a>]) -> BoxFuture<'a, Result<u64, Fault>> {
        Box::pin(self.execute(sql, params))
    }
    fn insert_rows<'a>(
        &'a mut self,
        sql: &'a str,
        arity: usize,
        values: &'a [Value<'a>],
    ) -> BoxFuture<'a, Result<Inserted, Fault>> {
        Box::pin(self.insert_rows(sql, arity, values))
    }
    fn query<'a>(&'a mut self, sql: &'a str, params: &'a [Value<'a>]) -> BoxFuture<'a, Result<Vec<Row>, Fault>> {
        Box::pin(self.query(sql, params))
    }
    fn each<'a>(
        &'a mut self,
        sql: &'a str,
        params: &'a [Value<'a>],
        see: &'a mut See<'_>,
    ) -> BoxFuture<'a, Result<u64, Fault>> {
        Box::pin(self.each(sql, params, see))
    }

    fn execute_last<'a>(&'a mut self, sql: &'a str, params: &'a [Value<'a>]) -> BoxFuture<'a, Result<(), Fault>> {
        let last = self.writes(sql).and_then(|()| text::with_values(sql, params));
        Box::pin(std::future::ready(last.map(|text| self.last.push(text))))
    }

    /// The commit is under way when this returns: a caller who leaves does not stop it in the middle.
    fn commit(mut self: Box<Self>) -> BoxFuture<'static, Result<(), Fault>> {
        let lent = self.lent.take();
        if self.only_reads() {
            return Box::pin(async move {
                drop(lent);
                Ok(())
            });
        }
        let committing = tokio::spawn(commit(lent, std::mem::take(&mut self.last)));
        Box::pin(async move {
            committing.await.unwrap_or_else(|e| Err(Fault::Unavailable(format!("a commit was cut off ({e})"))))
        })
    }
}

/// Holds a name against all others on this database, until the connection is closed.
pub(super) async fn hold(mut lent: Lent, name: &str, wait: Duration) -> Result<Held, Fault> {
    // The server's names are for all its databases, and no longer than 64 characters.
    let sql = "SELECT GET_LOCK(LEFT(CONCAT('jangbu.', ?, '.', DATABASE()), 64), 1)";
    let ask = async |conn: &mut Conn| conn.exec_first::<Option<i64>, _, _>(sql, (name,)).await;
    for _ in 0..wait.as_secs().max(1) {
        let had = lent.run(sql, ask).await.map_err(Failed::into_fault)?;
        if had == Some(Some(1)) {
            lent.midway = true; // closed in the end, and with it the name is free
            return Ok(Box::new(lent));
        }
    }
    Err(Fault::Busy(format!("another process holds {name:?} of the database")))
}
