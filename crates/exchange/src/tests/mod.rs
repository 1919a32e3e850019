//! What the service promises, on a stand and under the drill.
#![allow(clippy::unwrap_used)]

mod calls;
mod desk;
mod document;
mod drilled;
mod world;
