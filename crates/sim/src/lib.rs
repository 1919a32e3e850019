//! Customers, callers and auditors: drives the whole bank through its contracts alone, and knows nothing of how
//! the services do their work.

pub mod auditor;
pub mod client;
pub mod histogram;
pub mod load;
pub mod model;
pub mod simulated;
pub mod story;
pub mod teller;
pub mod workload;
