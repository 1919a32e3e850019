//! The instance behind the edge, called as callers call it.
#![allow(clippy::unwrap_used)]

mod deeds;
mod document;
mod opening;
mod world;
