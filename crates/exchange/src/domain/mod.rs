//! What is decided, as values.

pub mod board;
pub mod feed;
pub mod limits;
pub mod plan;
pub mod price;
pub mod stuck;
