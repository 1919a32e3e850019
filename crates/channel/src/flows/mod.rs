//! One file per thing that a customer does.

pub mod accounts;
pub mod claim;
