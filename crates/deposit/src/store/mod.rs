//! All SQL of the service; every function takes the unit of work first.

pub mod accounts;
pub mod days;
pub mod given_up;
pub mod locked;
pub mod outbox;
pub mod postings;
pub mod products;
pub mod proof;
pub mod totals;
