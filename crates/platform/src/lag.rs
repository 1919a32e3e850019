//! How far a group is behind, read from the log's file by somebody who does not open the log.

use crate::db::{Db, Fault};
use crate::log::PARTITIONS;

/// Records of a topic that a group has not taken yet.
///
/// # Errors
/// The file can't be read, or is no log.
pub async fn lag(log: &Db, group: &str, topic: &str) -> Result<i64, Fault> {
    let mut tx = log.read("log.lag").await?;
    let mut lag = 0;
    for part in 0..PARTITIONS {
        let sql = "SELECT MAX(off) FROM record WHERE topic = ? AND part = ?";
        let end = tx.query_one(sql, &[topic.into(), part.into()]).await?;
        let end = end.and_then(|row| row.opt_int(0)).map_or(0, |last| last + 1);
        let sql = "SELECT next_off FROM group_offset WHERE grp = ? AND topic = ? AND part = ?";
        let taken = tx.query_one(sql, &[group.into(), topic.into(), part.into()]).await?;
        lag += end - taken.map_or(0, |row| row.int(0));
    }
    Ok(lag)
}
