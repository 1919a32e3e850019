//! Statements as the server is given them.

use std::borrow::Cow;
use std::fmt::Write as _;

use jangbu_platform::db::engine::group;
use jangbu_platform::db::{Fault, Value};

/// Parameters of one prepared statement: the protocol counts them in 16 bits.
const PARAMETERS_MAX: usize = u16::MAX as usize;
/// Rows of one insert at most: what a server keeps of a prepared statement should stay in its processor's cache.
const ROWS_MAX: usize = 256;

/// How many rows the next statement of an insert has when `left` are to be written. Powers of two, and one,
/// two or three quarters more: a batch of any size is two or three statements, and there are only forty or so of each to
/// keep prepared.
pub(super) fn rows_at_once(left: usize, arity: usize) -> usize {
    let most = (PARAMETERS_MAX / arity.max(1)).min(ROWS_MAX).min(left).max(1);
    let power = 1 << most.ilog2();
    let step = (power / 4).max(1);
    power + (most - power) / step * step
}

/// An insert of so many rows.
pub(super) fn insert(sql: &str, arity: usize, rows: usize) -> String {
    let row = group(arity);
    let mut values = String::with_capacity((row.len() + 1) * rows);
    for at in 0..rows {
        if at > 0 {
            values.push(',');
        }
        values.push_str(&row);
    }
    sql.replacen("(?*)", &values, 1)
}

/// A statement with its values in it: integers and bytes, which no setting of a server reads otherwise.
///
/// # Errors
/// Texts are not put into statements.
pub(super) fn with_values(sql: &str, params: &[Value<'_>]) -> Result<String, Fault> {
    let mut parts = sql.split('?');
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut params = params.iter();
    for part in parts {
        match params.next() {
            Some(Value::Int(n)) => write!(text, "{n}").expect("a text takes all"),
            Some(Value::Bytes(bytes)) => {
                text.push_str("x'");
                push_hex(&mut text, bytes);
                text.push('\'');
            }
            Some(Value::Null) => text.push_str("NULL"),
            Some(Value::Text(_)) | None => {
                let why = "its values are not integers and bytes".into();
                return Err(Fault::Storage { doing: sql.to_owned(), why });
            }
        }
        text.push_str(part);
    }
    Ok(text)
}

/// Adds bytes in hexadecimal: a piece at a time, since a batch of postings has thousands.
fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    const PIECE: usize = 64;
    text.reserve(2 * bytes.len());
    for piece in bytes.chunks(PIECE) {
        let mut digits = [0; 2 * PIECE];
        for (at, byte) in piece.iter().enumerate() {
            digits[2 * at] = DIGITS[usize::from(byte >> 4)];
            digits[2 * at + 1] = DIGITS[usize::from(byte & 15)];
        }
        text.push_str(std::str::from_utf8(&digits[..2 * piece.len()]).expect("digits are ASCII"));
    }
}

/// A statement of a snapshot: it waits for nobody's locks, since what it reads stands still.
pub(super) fn without_locks(sql: &str) -> Cow<'_, str> {
    if !sql.contains(" FOR UPDATE") {
        return sql.into();
    }
    sql.replace(" FOR UPDATE SKIP LOCKED", "").replace(" FOR UPDATE", "").into()
}

/// A statement that makes tables, with the columns that documents need: 64 KiB, all that `TEXT` has here, are too few
/// for some of them.
pub(super) fn table(sql: &str) -> Cow<'_, str> {
    if sql.lines().any(|line| line.starts_with("CREATE TABLE") || line.starts_with("ALTER TABLE")) {
        return sql.replace(" TEXT", " MEDIUMTEXT").into();
    }
    sql.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_a_few_statements_of_few_sizes() {
        for (left, arity, rows) in [(1, 3, 1), (7, 3, 7), (11, 3, 10), (200, 24, 192), (512, 24, 256), (5_000, 2, 256)]
        {
            assert_eq!(rows_at_once(left, arity), rows, "{left} rows of {arity}");
        }
        assert_eq!(rows_at_once(1_000, 300), 192, "65,535 parameters at most");
        assert_eq!(insert("INSERT INTO t (a, b) VALUES (?*)", 2, 3), "INSERT INTO t (a, b) VALUES (?,?),(?,?),(?,?)");
    }

    #[test]
    fn values_stand_in_statements() {
        let sql = "UPDATE t SET a = ?, b = ? WHERE c = ?";
        let text = with_values(sql, &[(-5).into(), Value::Bytes(&[0, 0x27, 0xff]), Value::Null]).expect("no text");
        assert_eq!(text, "UPDATE t SET a = -5, b = x'0027ff' WHERE c = NULL");
        let many: Vec<u8> = (0..200).collect();
        let text = with_values("?", &[Value::Bytes(&many)]).expect("no text");
        assert_eq!(text, format!("x'{}'", many.iter().map(|byte| format!("{byte:02x}")).collect::<String>()));
        assert!(with_values(sql, &["'; DROP TABLE t".into(), 1.into(), 1.into()]).is_err(), "no text ever");
        assert!(with_values(sql, &[1.into()]).is_err());
    }

    #[test]
    fn a_snapshot_locks_nothing() {
        let sql = "SELECT v FROM t WHERE id = ? FOR UPDATE";
        assert_eq!(without_locks(sql), "SELECT v FROM t WHERE id = ?");
        assert_eq!(without_locks(&format!("{sql} SKIP LOCKED")), "SELECT v FROM t WHERE id = ?");
    }

    #[test]
    fn documents_get_columns_that_hold_them() {
        let table_of = table("CREATE TABLE t (a TEXT NOT NULL, b TEXT)");
        assert_eq!(table_of, "CREATE TABLE t (a MEDIUMTEXT NOT NULL, b MEDIUMTEXT)");
    }
}
