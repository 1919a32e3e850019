//! The real binary, driven from outside.

#![allow(clippy::unwrap_used)]

mod apart;
mod browser;
mod chromium;
mod customers;
mod deploy;
mod exchanging;
mod faults;
mod feeding;
mod kill;
mod midnight;
mod parts;
mod positions;
mod proved;
mod races;
mod races_exchange;
mod races_written_back;
mod running;
mod server;
mod shared;
mod simulated;
mod statements;
mod stories;
mod tutorials;
mod world;
