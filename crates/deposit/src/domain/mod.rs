//! Decisions: values in, values out.

pub mod accounts;
pub mod book;
pub mod chain;
pub mod command;
pub mod decide;
pub mod eligibility;
pub mod interest;
pub mod keys;
pub mod proof;
pub mod savings;
pub mod tax;
pub mod terms;
pub mod totals;
