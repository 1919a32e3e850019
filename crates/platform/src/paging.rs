//! Pages of lists: `?limit=` and `?cursor=`.

use std::str::FromStr;

use jangbu_contracts::codes::Code;

use crate::http::Refused;

/// Items of a page at most.
pub const ITEMS_PER_PAGE_MAX: u32 = 500;
/// Items of a page for callers who don't say.
pub const ITEMS_PER_PAGE_DEFAULT: u32 = 100;

/// How many items the caller wants.
///
/// # Errors
/// It is none, or too many.
pub fn limit(wanted: Option<u32>) -> Result<u32, Refused> {
    let limit = wanted.unwrap_or(ITEMS_PER_PAGE_DEFAULT);
    if (1..=ITEMS_PER_PAGE_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Refused::field(Code::InvalidField, "limit", format!("must be from 1 to {ITEMS_PER_PAGE_MAX}")))
}

/// Where the caller's list goes on.
///
/// # Errors
/// It is no cursor of this list.
pub fn cursor<T: FromStr>(text: Option<&str>) -> Result<Option<T>, Refused> {
    let wrong = |_| Refused::new(Code::InvalidCursor, "use the cursor of the list's last answer, unchanged");
    text.map(|text| text.parse().map_err(wrong)).transpose()
}

/// Cuts the one item too many that was read to know whether there are more; the cursor of the next page.
pub fn next<T>(items: &mut Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Option<String> {
    let limit = limit as usize;
    if items.len() <= limit {
        return None;
    }
    items.truncate(limit);
    items.last().map(cursor)
}
