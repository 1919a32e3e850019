//! Rounding.

use serde::{Deserialize, Serialize};

/// How a fraction becomes a whole number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Rounding {
    /// Toward zero: the fraction is dropped.
    #[default]
    #[serde(alias = "truncate", alias = "floor")]
    Down,
    /// To the nearest, halves away from zero.
    HalfUp,
    /// Away from zero.
    Up,
}

/// `value` without what is below a multiple of `unit` (10 for a tax in won): toward zero.
#[must_use]
pub fn truncate_to(value: i64, unit: i64) -> i64 {
    if unit <= 1 { value } else { value - value % unit }
}
