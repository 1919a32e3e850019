//! All SQL of the service; every function takes the unit of work first.

pub mod accounts;
pub mod batches;
pub mod days;
pub mod given_up;
pub mod locked;
pub mod movements;
pub mod outbox;
mod packed;
pub mod postings;
pub mod products;
pub mod proof;
pub mod totals;
