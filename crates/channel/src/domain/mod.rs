//! Decisions: values in, values out.

pub mod core_key;
pub mod todays;
