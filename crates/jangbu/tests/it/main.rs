//! The real binary, driven from outside.

#![allow(clippy::unwrap_used)]

mod apart;
mod browser;
mod chromium;
mod customers;
mod faults;
mod kill;
mod midnight;
mod proved;
mod running;
mod stories;
mod tutorials;
mod world;
