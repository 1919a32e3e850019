//! What every service stands on: the unit of work, the event log with its outbox and inbox, calls between
//! services, limits, credentials, telemetry, and the embedded engines behind them.
//!
//! This crate knows no service. It never decides anything about money; it promises that what a flow wrote is
//! there once or not at all, and that nobody is answered before it is.

pub mod approvals;
pub mod ask;
pub mod audit;
pub mod auth;
pub mod clock;
pub mod consumer;
pub mod context;
pub mod crypto;
pub mod db;
pub mod dice;
pub mod edge;
pub mod files;
pub mod gather;
pub mod http;
pub mod kv;
pub mod log;
pub mod migrate;
pub mod openapi;
pub mod operators;
pub mod paging;
pub mod probe;
pub mod promises;
pub mod relay;
pub mod running;
pub mod saga;
pub mod serve;
pub mod service;
mod sqlite;
pub mod stand;
pub mod task;
pub mod telemetry;

pub use jangbu_kernel::defect;
pub use sqlite::stepped;
