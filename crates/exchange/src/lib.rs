//! Foreign exchange around the clock: prices, quotes, limits, and the plan of an exchange.
//!
//! What is decided here is decided without a world around it.

pub mod domain;
