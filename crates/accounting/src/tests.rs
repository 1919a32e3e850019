//! Postings as the deposit service tells them, and what the general ledger makes of them.
#![allow(clippy::unwrap_used)]

mod exchanges;
mod laws;
mod ledger;
mod valuing;
mod world;
