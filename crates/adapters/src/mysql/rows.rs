//! Values on their way to the server and back.

use jangbu_platform::db::lines::{COLUMNS_MAX, Line};
use jangbu_platform::db::{Cell, Fault, Row, Value};
use mysql_async::consts::ColumnType;
use mysql_async::{Column, Params, Value as Wire};

/// The number of the character set of bytes.
const BINARY: u16 = 63;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Int,
    /// A sum: the server adds integers up as decimals.
    Sum,
    Text,
    Bytes,
    Other,
}

pub(super) fn params(values: &[Value<'_>]) -> Params {
    if values.is_empty() {
        return Params::Empty;
    }
    let wire = |value: &Value<'_>| match *value {
        Value::Null => Wire::NULL,
        Value::Int(v) => Wire::Int(v),
        Value::Text(v) => Wire::Bytes(v.as_bytes().to_vec()),
        Value::Bytes(v) => Wire::Bytes(v.to_vec()),
    };
    Params::Positional(values.iter().map(wire).collect())
}

pub(super) fn holds(columns: &[Column]) -> Vec<Holds> {
    columns.iter().map(|column| of(column.column_type(), column.character_set())).collect()
}

fn of(kind: ColumnType, character_set: u16) -> Holds {
    use ColumnType as C;
    match kind {
        C::MYSQL_TYPE_TINY | C::MYSQL_TYPE_SHORT | C::MYSQL_TYPE_INT24 | C::MYSQL_TYPE_LONG => Holds::Int,
        C::MYSQL_TYPE_LONGLONG | C::MYSQL_TYPE_NULL => Holds::Int,
        C::MYSQL_TYPE_NEWDECIMAL => Holds::Sum,
        C::MYSQL_TYPE_VARCHAR
        | C::MYSQL_TYPE_VAR_STRING
        | C::MYSQL_TYPE_STRING
        | C::MYSQL_TYPE_BLOB
        | C::MYSQL_TYPE_TINY_BLOB
        | C::MYSQL_TYPE_MEDIUM_BLOB
        | C::MYSQL_TYPE_LONG_BLOB => {
            if character_set == BINARY {
                Holds::Bytes
            } else {
                Holds::Text
            }
        }
        _ => Holds::Other,
    }
}

fn value<'w>(sql: &str, at: usize, holds: Holds, wire: &'w Wire) -> Result<Value<'w>, Fault> {
    let damaged = |why: &str| Err(Fault::Damaged(format!("{sql}: column {at} is {why}")));
    match (wire, holds) {
        (Wire::NULL, _) => Ok(Value::Null),
        (Wire::Int(v), _) => Ok(Value::Int(*v)),
        (Wire::UInt(v), _) => match i64::try_from(*v) {
            Ok(v) => Ok(Value::Int(v)),
            Err(_) => damaged("a number beyond 63 bits"),
        },
        (Wire::Bytes(v), Holds::Sum) => match std::str::from_utf8(v).ok().and_then(|text| text.parse().ok()) {
            Some(v) => Ok(Value::Int(v)),
            None => damaged("a sum that is no integer of 64 bits"),
        },
        (Wire::Bytes(v), Holds::Text) => match std::str::from_utf8(v) {
            Ok(v) => Ok(Value::Text(v)),
            Err(_) => damaged("text that is not UTF-8"),
        },
        (Wire::Bytes(v), Holds::Bytes) => Ok(Value::Bytes(v)),
        _ => damaged("of a type that is for nothing here"),
    }
}

/// A row of an answer.
pub(super) fn row(sql: &str, holds: &[Holds], row: mysql_async::Row) -> Result<Row, Fault> {
    let cell = |(at, wire): (usize, Wire)| {
        let holds = holds.get(at).copied().unwrap_or(Holds::Other);
        // What the server sent is kept where it can be, and not copied.
        Ok(match (wire, holds) {
            (Wire::Bytes(v), Holds::Bytes) => Cell::Bytes(v),
            (Wire::Bytes(v), Holds::Text) => Cell::Text(
                String::from_utf8(v).map_err(|_| Fault::Damaged(format!("{sql}: column {at} is not UTF-8")))?,
            ),
            (wire, holds) => match value(sql, at, holds, &wire)? {
                Value::Null => Cell::Null,
                Value::Int(v) => Cell::Int(v),
                Value::Text(v) => Cell::Text(v.to_owned()),
                Value::Bytes(v) => Cell::Bytes(v.to_vec()),
            },
        })
    };
    row.unwrap().into_iter().enumerate().map(cell).collect::<Result<Vec<_>, Fault>>().map(Row::new)
}

/// Shows a row without keeping it.
pub(super) fn show(
    sql: &str,
    holds: &[Holds],
    row: &mysql_async::Row,
    see: &mut (dyn FnMut(&Line<'_>) -> Result<(), Fault> + Send),
) -> Result<(), Fault> {
    assert!(holds.len() <= COLUMNS_MAX, "{sql}: more columns than a line holds");
    let mut values = [Value::Null; COLUMNS_MAX];
    for (at, holds) in holds.iter().enumerate() {
        values[at] = value(sql, at, *holds, row.as_ref(at).unwrap_or(&Wire::NULL))?;
    }
    see(&Line::new(&values[..holds.len()]))
}
