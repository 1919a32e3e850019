//! What services say to each other and to the world: wire types only. Rules live in the services.

pub mod accounting;
pub mod breaks;
pub mod channel;
pub mod codes;
pub mod customer;
pub mod deposit;
pub mod exchange;
pub mod marks;
pub mod operators;
pub mod page;
pub mod problem;
pub mod products;
pub mod topics;
