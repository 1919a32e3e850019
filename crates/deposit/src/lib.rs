//! Deposits: accounts, postings, holds, daily balances, and interest on demand.
//!
//! Owns accounts and their ledger. Listens to customers' standing; tells every posting. Asks for the
//! standing of an owner of whom it was not told yet, before a unit of work begins; asks nobody while a balance is
//! decided, and never waits for a date to change.

pub mod api;
pub mod combiner;
pub mod domain;
pub mod flows;
pub mod ledger;
mod pipeline;
pub mod proof;
pub mod service;
pub mod store;
pub mod terms_text;

#[cfg(test)]
mod tests;
