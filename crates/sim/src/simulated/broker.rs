//! The event log of a simulation: a broker that outlives every node, repeats, delays, and loses acknowledgements.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jangbu_platform::clock::{Clock as _, ticks};
use jangbu_platform::db::{Event, Fault as Failed};
use jangbu_platform::log::{Engine, PARTITIONS, Record, partition_of};
use jangbu_platform::probe;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use super::faults::{Fault, Faults};
use super::node::Site;
use super::time::Time;
use super::trace::Trace;

/// How late an event may arrive, milliseconds.
const DELAY_MS_MAX: u64 = 3_000;
/// How many records are given again at once.
const REDELIVERED_MAX: u64 = 200;
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// The broker.
pub struct Broker {
    time: Arc<Time>,
    faults: Arc<Faults>,
    trace: Arc<Trace>,
    state: Mutex<State>,
    appended: Notify,
}

/// A partition as a group reads it: group, topic, number.
pub type Reading = (String, String, u32);

#[derive(Default)]
struct State {
    parts: BTreeMap<(String, u32), Part>,
    offsets: BTreeMap<Reading, i64>,
    /// Which member has been given records of a partition.
    holders: BTreeMap<Reading, u64>,
    members: u64,
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
        Broker { time, faults, trace, state: Mutex::default(), appended: Notify::new() }
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

    /// The next append.
    pub fn appended(&self) -> Notified<'_> {
        self.appended.notified()
    }

    /// A number for one more member.
    pub fn next_member(&self) -> u64 {
        let mut state = self.lock();
        state.members += 1;
        state.members
    }

    /// Gives a partition to a member, unless another has it and keeps it; whether it has it now.
    pub fn give(&self, reading: &Reading, member: u64, from: i64) -> bool {
        let mut state = self.lock();
        let there = state.parts.get(&(reading.1.clone(), reading.2)).map_or(0, |part| part.records.len());
        if i64::try_from(there).unwrap_or(i64::MAX) <= from {
            return false; // there is nothing to give
        }
        match state.holders.get(reading) {
            Some(holder) if *holder != member => {
                if !self.faults.strikes(Fault::Rebalanced) {
                    return false;
                }
                probe::reached("partition-taken-from-a-member-at-work");
            }
            _ => {}
        }
        state.holders.insert(reading.clone(), member);
        true
    }

    /// Whether a member still has a partition.
    pub fn holds(&self, reading: &Reading, member: u64) -> bool {
        self.lock().holders.get(reading) == Some(&member)
    }

    /// Takes back whatever a member has.
    pub fn release(&self, member: u64) {
        self.lock().holders.retain(|_, holder| *holder != member);
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
        drop(state);
        self.appended.notify_waiters();
    }

    /// From where a group reads on, after what the broker forgot of it.
    fn offset(&self, state: &mut State, reading: &Reading) -> i64 {
        let next = state.offsets.get(reading).copied().unwrap_or(0);
        let late = next > 0 && self.faults.strikes(Fault::RedeliveredLate);
        if next == 0 || !(late || self.faults.strikes(Fault::Redelivered)) {
            return next;
        }
        let (kind, most) = if late {
            (Fault::RedeliveredLate, next.unsigned_abs())
        } else {
            (Fault::Redelivered, REDELIVERED_MAX.min(next.unsigned_abs()))
        };
        let back = 1 + i64::try_from(self.faults.below(kind, most)).unwrap_or(0);
        let again = (next - back).max(0);
        let part = state.parts.get(&(reading.1.clone(), reading.2));
        let first = part.and_then(|part| part.records.get(usize::try_from(again).unwrap_or(0)));
        if first.is_some_and(|record| self.time.now().micros() - record.appended_at.micros() > DAY_US) {
            probe::reached("events-given-again-after-a-day");
        }
        probe::reached("events-given-again-after-they-were-taken");
        state.offsets.insert(reading.clone(), again);
        again
    }
}

impl Engine for Broker {
    fn append<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), Failed>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if self.faults.strikes(Fault::AppendLost) {
                return Err(lost("the broker is away"));
            }
            if events.len() > 1 && self.faults.strikes(Fault::AppendInPart) {
                probe::reached("events-appended-in-part");
                let kept = self.faults.below(Fault::AppendInPart, events.len() as u64);
                self.store(&events[..usize::try_from(kept).unwrap_or(0)]);
                return Err(lost("the broker went away in the middle"));
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
            let reading = |part| (group.to_owned(), topic.to_owned(), part);
            let all = (0..PARTITIONS).map(|part| self.offset(&mut state, &reading(part))).collect();
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

/// A node's connection to the broker, on which the node may die.
pub struct Line {
    /// The broker.
    pub broker: Arc<Broker>,
    /// The node.
    pub site: Arc<Site>,
}

impl Line {
    /// The connection of a node.
    #[must_use]
    pub fn new(broker: &Arc<Broker>, site: &Arc<Site>) -> Line {
        Line { broker: Arc::clone(broker), site: Arc::clone(site) }
    }

    async fn dies(&self, when: &str) {
        self.site.crash(when);
        std::future::pending::<()>().await;
    }
}

impl Engine for Line {
    fn append<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), Failed>> {
        Box::pin(async move {
            let faults = &self.site.faults;
            if faults.strikes(Fault::CrashBeforeAppend) {
                probe::reached("node-died-between-outbox-and-log");
                self.dies("between its outbox and the log").await;
            }
            self.broker.append(events).await?;
            if faults.strikes(Fault::CrashAfterAppend) {
                probe::reached("node-died-between-log-and-mark");
                self.dies("between the log and the mark in its outbox").await;
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
        self.broker.read(topic, part, offset, limit)
    }

    fn committed<'a>(&'a self, group: &'a str, topic: &'a str) -> BoxFuture<'a, Result<Vec<i64>, Failed>> {
        self.broker.committed(group, topic)
    }

    fn commit<'a>(&'a self, group: &'a str, topic: &'a str, part: u32, next: i64) -> BoxFuture<'a, Result<(), Failed>> {
        Box::pin(async move {
            if self.site.faults.strikes(Fault::CrashBeforeOffset) {
                probe::reached("node-died-between-events-and-their-offset");
                self.dies("between the events that it took and their offset").await;
            }
            self.broker.commit(group, topic, part, next).await
        })
    }

    fn ends<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Vec<i64>, Failed>> {
        self.broker.ends(topic)
    }
}
