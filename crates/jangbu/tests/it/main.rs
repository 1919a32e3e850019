//! The real binary, driven from outside.

#![allow(clippy::unwrap_used)]

mod customers;
mod kill;
mod running;
mod stories;
