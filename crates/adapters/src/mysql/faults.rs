//! What the server's errors mean to a flow.

use jangbu_platform::db::Fault;
use mysql_async::Error;

/// A key, or a unique value, is there already.
const DUPLICATE: [u16; 3] = [1022, 1062, 1586];
/// A table, column, key or index is there already, or is gone already.
const SCHEMA_DONE: [u16; 6] = [1050, 1060, 1061, 1091, 1051, 1007];
/// Somebody else was in the way: a deadlock, a row not had in time, TiDB's words for both, and a table that was changed
/// since a snapshot began.
const CONFLICT: [u16; 7] = [1205, 1213, 1412, 3572, 8002, 8022, 9007];
/// More was asked than there is: connections, time.
const BUSY: [u16; 6] = [1040, 1203, 1226, 1969, 3024, 1028];
/// The server takes nothing, or nothing on this connection: it shuts down, is being copied from, killed the session.
const AWAY: [u16; 9] = [1053, 1077, 1079, 1152, 1184, 1290, 1836, 1927, 4031];
/// There is no room on its disk.
const FULL: [u16; 3] = [1021, 1026, 1114];
/// After these the connection is of no use.
const CLOSING: [u16; 6] = [1053, 1152, 1184, 1317, 1927, 4031];

/// What became of an insert that failed.
pub(super) fn is_duplicate(e: &Error) -> bool {
    matches!(e, Error::Server(e) if DUPLICATE.contains(&e.code))
}

/// Whether a change of the schema failed because it was done before.
pub(super) fn is_schema_done(e: &Error) -> bool {
    matches!(e, Error::Server(e) if SCHEMA_DONE.contains(&e.code))
}

/// Whether the connection is of no use after it.
pub(super) fn closes(e: &Error) -> bool {
    match e {
        Error::Server(e) => CLOSING.contains(&e.code),
        _ => true,
    }
}

/// The fault that a flow is told.
pub(super) fn fault(doing: &str, e: &Error) -> Fault {
    match e {
        Error::Server(s) if CONFLICT.contains(&s.code) => Fault::Conflict(format!("{} ({})", s.message, s.code)),
        Error::Server(s) if BUSY.contains(&s.code) => Fault::Busy(format!("{} ({})", s.message, s.code)),
        Error::Server(s) if AWAY.contains(&s.code) || FULL.contains(&s.code) => {
            Fault::Unavailable(format!("the database: {} ({})", s.message, s.code))
        }
        Error::Server(s) => Fault::Storage { doing: doing.to_owned(), why: format!("{} ({})", s.message, s.code) },
        Error::Io(e) => Fault::Unavailable(format!("the connection to the database was lost ({e})")),
        Error::Driver(e) => Fault::Unavailable(format!("the connection to the database was lost ({e})")),
        e => Fault::Storage { doing: doing.to_owned(), why: e.to_string() },
    }
}
