//! The event log of a simulation: a broker that outlives every node, repeats, delays, and loses acknowledgements.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jangbu_platform::clock::{Clock as _, ticks};
use jangbu_platform::db::{Event, Fault as Failed};
use jangbu_platform::log::{Engine, PARTITIONS, Record, partition_of};
use jangbu_platform::probe;
use tokio::time::Instant;

use super::faults::{Fault, Faults};
use super::time::Time;
use super::trace::Trace;

/// How late an event may arrive, milliseconds.
const DELAY_MS_MAX: u64 = 3_000;
/// How many records are given again at once.
const REDELIVERED_MAX: u64 = 200;

/// The broker.
pub struct Broker {
    time: Arc<Time>,
    faults: Arc<Faults>,
    trace: Arc<Trace>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    parts: BTreeMap<(String, u32), Part>,
    offsets: BTreeMap<(String, String, u32), i64>,
}

#[derive(Default)]
struct Part {
    records: Vec<Record>,
    /// From when on all of it is seen.
    seen_from: Option<Instant>,
    /// How much of it is seen before.
    seen: usize,
}

fn lost(why: &str) -> Failed {
    Failed::Unavailable(why.to_owned())
}

impl Broker {
    /// An empty broker.
    #[must_use]
    pub fn new(time: Arc<Time>, faults: Arc<Faults>, trace: Arc<Trace>) -> Broker {
        Broker { time, faults, trace, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that was ever told on a topic, partition by partition, repeats included.
    #[must_use]
    pub fn told(&self, topic: &str) -> Vec<Event> {
        let state = self.lock();
        let parts = (0..PARTITIONS).filter_map(|part| state.parts.get(&(topic.to_owned(), part)));
        parts.flat_map(|part| part.records.iter().map(|record| record.event.clone())).collect()
    }

    fn store(&self, events: &[Event]) {
        let late = self.faults.strikes(Fault::EventDelayed);
        let until = ticks() + Duration::from_millis(1 + self.faults.below(Fault::EventDelayed, DELAY_MS_MAX));
        let appended_at = self.time.now();
        let mut state = self.lock();
        for event in events {
            let at = partition_of(&event.key);
            let part = state.parts.entry((event.topic.clone(), at)).or_default();
            if late && part.seen_from.is_none() {
                (part.seen_from, part.seen) = (Some(until), part.records.len());
            }
            let offset = i64::try_from(part.records.len()).unwrap_or(i64::MAX);
            self.trace.step(&[b"append", event.topic.as_bytes(), event.key.as_bytes(), event.payload.as_bytes()]);
            part.records.push(Record { part: at, offset, event: event.clone(), appended_at });
        }
    }
}

impl Engine for Broker {
    fn append<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), Failed>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if self.faults.strikes(Fault::AppendLost) {
                return Err(lost("the broker is away"));
            }
            self.store(events);
            if self.faults.strikes(Fault::AppendRepeated) {
                probe::reached("events-appended-twice-by-the-broker");
                self.store(events);
            }
            if self.faults.strikes(Fault::AppendUnacknowledged) {
                probe::reached("events-appended-but-not-acknowledged");
                return Err(lost("the acknowledgement was lost"));
            }
            Ok(())
        })
    }

    fn read<'a>(
        &'a self,
        topic: &'a str,
        part: u32,
        offset: i64,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Record>, Failed>> {
        Box::pin(async move {
            if self.faults.strikes(Fault::ReadFails) {
                return Err(lost("the broker is away"));
            }
            let mut state = self.lock();
            let Some(part) = state.parts.get_mut(&(topic.to_owned(), part)) else { return Ok(Vec::new()) };
            if part.seen_from.is_some_and(|from| from <= ticks() || !self.faults.are_on()) {
                part.seen_from = None;
            }
            let upto = if part.seen_from.is_some() { part.seen } else { part.records.len() };
            let from = usize::try_from(offset).unwrap_or(0).min(upto);
            let upto = upto.min(from + limit as usize);
            Ok(part.records[from..upto].to_vec())
        })
    }

    fn committed<'a>(&'a self, group: &'a str, topic: &'a str) -> BoxFuture<'a, Result<Vec<i64>, Failed>> {
        Box::pin(async move {
            let mut state = self.lock();
            let mut all = Vec::new();
            for part in 0..PARTITIONS {
                let next = state.offsets.entry((group.to_owned(), topic.to_owned(), part)).or_default();
                if *next > 0 && self.faults.strikes(Fault::Redelivered) {
                    let back = 1 + self.faults.below(Fault::Redelivered, REDELIVERED_MAX);
                    *next = (*next - i64::try_from(back).unwrap_or(0)).max(0);
                    probe::reached("events-given-again-after-they-were-taken");
                }
                all.push(*next);
            }
            Ok(all)
        })
    }

    fn commit<'a>(&'a self, group: &'a str, topic: &'a str, part: u32, next: i64) -> BoxFuture<'a, Result<(), Failed>> {
        Box::pin(async move {
            self.trace.step(&[b"offset", group.as_bytes(), topic.as_bytes(), &part.to_le_bytes(), &next.to_le_bytes()]);
            if self.faults.strikes(Fault::CommitLost) {
                probe::reached("offset-not-kept-after-events-were-taken");
                return Err(lost("the offset was not kept"));
            }
            self.lock().offsets.insert((group.to_owned(), topic.to_owned(), part), next);
            Ok(())
        })
    }

    fn ends<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Vec<i64>, Failed>> {
        let state = self.lock();
        let end = |part| state.parts.get(&(topic.to_owned(), part)).map_or(0, |part| part.records.len());
        let ends = (0..PARTITIONS).map(|part| i64::try_from(end(part)).unwrap_or(i64::MAX)).collect();
        Box::pin(std::future::ready(Ok(ends)))
    }
}
