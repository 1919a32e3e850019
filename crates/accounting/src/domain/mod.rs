//! Decides which accounts of the general ledger an event moves, and whether an exchange's books agree. Pure.

pub mod chart;
pub mod journal;
pub mod matching;
pub mod position;
