//! Lists.

use serde::{Deserialize, Serialize};

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// Items in order.
    pub items: Vec<T>,
    /// Cursor of the next page.
    pub next: Option<String>,
}
