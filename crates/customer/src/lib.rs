//! Customers: who they are, and what restricts them.
//!
//! Owns personal data, sealed at rest. Tells standing (kind and marks, nothing of the person); asks nobody.

mod api;
mod flows;
mod store;

use std::sync::Arc;

use jangbu_contracts::topics;
use jangbu_platform::migrate::Migration;
use jangbu_platform::relay::Outbox;
use jangbu_platform::service::{Service, ServiceSpec, World};

/// What is known of this service before it starts.
pub const SERVICE: ServiceSpec = ServiceSpec {
    name: "customer",
    migrations: &[Migration { version: 1, name: "customers", sql: include_str!("../migrations/0001_customers.sql") }],
    asks: &[],
    tells: &[topics::CUSTOMER_STANDING],
    listens: &[],
};

/// Opens the service on a migrated database.
#[must_use]
pub fn open(world: World) -> Service {
    let db = world.db.clone();
    Service {
        name: SERVICE.name.to_owned(),
        router: api::router(Arc::new(world)),
        consumers: Vec::new(),
        outgoing: vec![Arc::new(Outbox(db.clone()))],
        jobs: Vec::new(),
        db,
    }
}

#[cfg(test)]
mod tests;
