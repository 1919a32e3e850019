//! The instance behind the edge, called as callers call it.
#![allow(clippy::unwrap_used)]

mod claims;
mod deeds;
mod document;
mod edge;
mod eligible;
mod given_up;
mod keys;
mod lists;
pub(crate) mod lost;
mod noise;
mod opening;
mod simulated;
mod storm;
mod world;
