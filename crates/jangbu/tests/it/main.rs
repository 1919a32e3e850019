//! The real binary, driven from outside.

#![allow(clippy::unwrap_used)]

mod running;
mod stories;
