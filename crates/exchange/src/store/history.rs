//! Boards that were.

use jangbu_kernel::money::Currency;
use jangbu_kernel::time::Timestamp;
use jangbu_platform::db::{Fault, Tx, Value};

use super::price;
use crate::domain::board::Line;

/// Numbers of the first and the last board that were published from `from` to `to`.
pub async fn ends(tx: &mut Tx, (from, to): (Timestamp, Timestamp)) -> Result<Option<(i64, i64)>, Fault> {
    let range = [from.micros().into(), to.micros().into()];
    let first = "SELECT number FROM board WHERE as_of >= ? AND as_of <= ? ORDER BY as_of, number LIMIT 1";
    let last = "SELECT number FROM board WHERE as_of >= ? AND as_of <= ? ORDER BY as_of DESC, number DESC LIMIT 1";
    let (first, last) = (tx.query_one(first, &range).await?, tx.query_one(last, &range).await?);
    Ok(first.zip(last).map(|(first, last)| (first.int(0), last.int(0))))
}

/// A currency's lines on those boards that have one, oldest first.
pub async fn lines(tx: &mut Tx, currency: Currency, boards: &[i64]) -> Result<Vec<(Timestamp, Line)>, Fault> {
    if boards.is_empty() {
        return Ok(Vec::new());
    }
    let code = currency.code().to_owned();
    let mut params: Vec<Value<'_>> = vec![Value::Text(&code)];
    params.extend(boards.iter().map(|number| Value::Int(*number)));
    let sql = "SELECT b.as_of, l.unit, l.mid, l.tts, l.ttb FROM board b JOIN board_line l ON l.board = b.number \
               WHERE l.currency = ? AND b.number IN (?*) ORDER BY b.number";
    let rows = tx.query(sql, &params).await?;
    let line = |r: &jangbu_platform::db::Row| {
        let (mid, tts, ttb) = (price(r.int(2))?, price(r.int(3))?, price(r.int(4))?);
        Ok((Timestamp::from_micros(r.int(0)), Line { currency, unit: r.int(1), mid, tts, ttb }))
    };
    rows.iter().map(line).collect()
}
