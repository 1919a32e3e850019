//! The whole bank in one deterministic simulation: all services in one process, on one thread, in virtual time, with
//! one seed for every choice.
//!
//! The services are those that run in production: their routers, flows, SQLite files, relays, consumers and jobs. Only
//! what lies outside of them is the simulator's: clock, dice, disk, log, key-value store and network. Each service is a
//! node that can die between any two statements, at any flush, at any await; it comes back with what was flushed.
//!
//! | part | what it does |
//! |---|---|
//! | [`faults`] | what can go wrong, and how often it did |
//! | [`rare`] | what a standard set of runs must have met |
//! | [`bank`], [`node`], [`mortal`], [`store`] | the services, which die and come back, and their disks |
//! | [`broker`], [`members`], [`cache`], [`calls`] | the log and its groups, the key-value store and the network |
//! | [`time`], [`trace`], [`story`] | virtual time, everything that happened as one hash, and a failure told from it |
//! | [`office`], [`feed`], [`counter`] | what the bank's own people do, the feed of rates, exchanges at rest |
//! | [`day`] | what customers do on a day, and how all of it is judged at rest |

pub mod bank;
pub mod broker;
pub mod cache;
pub mod calls;
pub mod counter;
pub mod day;
pub mod defects;
pub mod faults;
pub mod feed;
pub mod members;
pub mod mortal;
pub mod node;
pub mod office;
pub mod rare;
pub mod store;
pub mod story;
pub mod time;
pub mod trace;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The seed of one purpose: what one part of a run throws does not change what another throws.
#[must_use]
pub fn seed_of(seed: u64, purpose: &str) -> u64 {
    xxh3_64_with_seed(purpose.as_bytes(), seed)
}
