//! What is done, a unit of work each.

pub mod boards;
pub mod exchanges;
pub mod quotes;
pub mod saga;
