//! The channel: what a customer's screen asks for, put together from what the core knows.
//!
//! Owns nothing that it could not lose. Asks the deposit instances for accounts, interest and claims; keeps previews of
//! interest in the cache. It moves no money and decides nothing about it: a claim is the core's, under a key that
//! follows from the caller's own.

mod api;
mod domain;
mod flights;
mod flows;
mod instances;
mod previews;

use std::sync::Arc;

use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::time::UtcOffset;
use jangbu_platform::ask::Ask;
use jangbu_platform::clock::Clock;
use jangbu_platform::kv::Kv;
use jangbu_platform::operators::Desk;
use jangbu_platform::service::{Service, ServiceSpec, World};

/// What is known of this service before it starts.
pub const SERVICE: ServiceSpec =
    ServiceSpec { name: "channel", migrations: &[], asks: &instances::INSTANCES, tells: &[], listens: &[] };

/// What the flows share.
struct Channel {
    clock: Arc<dyn Clock>,
    offset: UtcOffset,
    ask: Ask,
    kv: Kv,
    homes: instances::Homes,
    previews: previews::Previews,
}

impl Channel {
    fn new(world: &World) -> Self {
        Self {
            clock: Arc::clone(&world.clock),
            offset: world.offset,
            ask: world.ask.clone(),
            kv: world.kv.clone(),
            homes: instances::Homes::new(&world.metrics),
            previews: previews::Previews::new(&world.metrics),
        }
    }

    fn today(&self) -> BusinessDate {
        self.clock.now().business_date(self.offset)
    }
}

/// Opens the service.
#[must_use]
pub fn open(world: World) -> Service {
    let channel = Arc::new(Channel::new(&world));
    let desk = Desk::new(&world.db, &[], Vec::new()).calls();
    Service {
        name: SERVICE.name.to_owned(),
        db: world.db,
        router: api::router(channel, desk),
        consumers: Vec::new(),
        outgoing: Vec::new(),
        jobs: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
