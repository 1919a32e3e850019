//! Decides which accounts of the general ledger a posting moves. Pure.

pub mod chart;
pub mod journal;
