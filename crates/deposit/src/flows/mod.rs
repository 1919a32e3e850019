//! One business action, one function, one unit of work.

pub mod accounts;
pub mod bulk;
pub mod given_up;
pub mod post;
pub mod products;
pub mod standing;
pub mod totals;
