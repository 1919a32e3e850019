//! Customers with habits: who they are, and hands that act for them.
//!
//! What a hand does next follows from its dice and from what it was answered, so a seed gives the same life again as far
//! as the bank answers the same.

mod hand;
pub mod life;
pub mod town;

pub use hand::{Habits, Hand, race};

#[cfg(test)]
mod tests;
