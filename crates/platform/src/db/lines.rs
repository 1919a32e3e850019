//! Reading without keeping: rows are shown one after the other and none is collected, for those who read everything.

use super::{Fault, Tx, Value};

/// Columns of one such row at most.
pub const COLUMNS_MAX: usize = 32;

/// A row while it is shown. What it does not hold is damage, since whoever reads everything meets damaged rows too.
#[derive(Clone, Copy, Debug)]
pub struct Line<'r>(&'r [Value<'r>]);

/// Takes rows one after the other.
pub type See<'s> = dyn FnMut(&Line<'_>) -> Result<(), Fault> + Send + 's;

impl<'r> Line<'r> {
    /// A line of these columns.
    #[must_use]
    pub fn new(values: &'r [Value<'r>]) -> Self {
        Self(values)
    }
    /// Column `i`, an integer or NULL.
    ///
    /// # Errors
    /// It is something else.
    pub fn opt_int(&self, i: usize) -> Result<Option<i64>, Fault> {
        match self.0.get(i) {
            Some(Value::Int(v)) => Ok(Some(*v)),
            Some(Value::Null) => Ok(None),
            other => Err(unlike(i, other, "an integer")),
        }
    }
    /// Column `i`, an integer.
    ///
    /// # Errors
    /// It is something else.
    pub fn int(&self, i: usize) -> Result<i64, Fault> {
        self.opt_int(i)?.ok_or_else(|| unlike(i, None, "an integer"))
    }
    /// Column `i`, text or NULL.
    ///
    /// # Errors
    /// It is something else.
    pub fn opt_text(&self, i: usize) -> Result<Option<&'r str>, Fault> {
        match self.0.get(i) {
            Some(Value::Text(v)) => Ok(Some(v)),
            Some(Value::Null) => Ok(None),
            other => Err(unlike(i, other, "text")),
        }
    }
    /// Column `i`, text.
    ///
    /// # Errors
    /// It is something else.
    pub fn text(&self, i: usize) -> Result<&'r str, Fault> {
        self.opt_text(i)?.ok_or_else(|| unlike(i, None, "text"))
    }
    /// Column `i`, bytes.
    ///
    /// # Errors
    /// It is something else.
    pub fn bytes(&self, i: usize) -> Result<&'r [u8], Fault> {
        match self.0.get(i) {
            Some(Value::Bytes(v)) => Ok(v),
            other => Err(unlike(i, other.filter(|v| **v != Value::Null), "bytes")),
        }
    }
    /// Column `i`, a 16-byte id.
    ///
    /// # Errors
    /// It is something else.
    pub fn id(&self, i: usize) -> Result<[u8; 16], Fault> {
        let bytes = self.bytes(i)?;
        bytes
            .try_into()
            .map_err(|_| Fault::Damaged(format!("column {i} has {} bytes, not the 16 of an id", bytes.len())))
    }
}

fn unlike(i: usize, found: Option<&Value<'_>>, wanted: &str) -> Fault {
    let found = found.map_or_else(|| "nothing".to_owned(), |v| format!("{v:?}"));
    Fault::Damaged(format!("column {i} is {found}, not {wanted}"))
}

impl Tx {
    /// Runs a query and shows its rows to `see` as they come; how many there were. Where `see` fails, so does this.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub async fn each(&mut self, sql: &str, params: &[Value<'_>], see: &mut See<'_>) -> Result<u64, Fault> {
        self.usable()?;
        let done = self.unit.each(sql, params, see).await;
        self.note(done)
    }
}
