//! What is done, a unit of work each.

pub mod alarm;
pub mod begin;
pub mod boards;
pub mod desk;
pub mod exchanges;
pub mod force;
pub mod legs;
pub mod looks;
pub mod quotes;
pub mod saga;
