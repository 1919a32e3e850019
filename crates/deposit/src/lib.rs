//! Deposits: accounts, postings, holds, daily balances, and interest on demand.
//!
//! Owns accounts and their ledger. Listens to customers' standing; tells every posting. Asks nobody while a
//! balance is decided, and never waits for a date to change.

pub mod api;
pub mod combiner;
pub mod domain;
pub mod flows;
pub mod ledger;
pub mod service;
pub mod store;
pub mod terms_text;
