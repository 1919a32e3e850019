//! Groups: members that share a topic's partitions among them, so that each record is taken by one of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, try_join_all};
use tokio::sync::{Notify, OwnedMutexGuard};

use super::{Engine, Record};
use crate::db::Fault;

/// How long a look for records waits at most before it looks again by itself, in milliseconds: other processes append
/// to the embedded log without waking anybody here.
const LOOK_MS_MAX: u64 = 200;

/// Lets members into groups.
pub trait Groups: Send + Sync {
    /// Makes whoever asks a member that reads these topics.
    fn join<'a>(&'a self, group: &'a str, topics: &'a [String]) -> BoxFuture<'a, Result<Box<dyn Member>, Fault>>;
}

/// A member of a group.
///
/// What it is given is its own until it asks again: no other member is given records of the same partitions meanwhile,
/// unless this one is taken for dead.
pub trait Member: Send {
    /// The next records of this member's partitions, in order within each, at most `limit`; none when nothing came
    /// within `wait`. What was given before and not marked as taken comes again. May be dropped while it waits.
    fn next(&mut self, limit: u32, wait: Duration) -> BoxFuture<'_, Result<Vec<Record>, Fault>>;
    /// Marks all that was given as taken. After a fault, or a crash soon after, it comes again.
    fn taken(&mut self) -> BoxFuture<'_, Result<(), Fault>>;
    /// Leaves, so that others take over at once; from one that is only dropped they may take over later.
    fn leave(self: Box<Self>) -> BoxFuture<'static, ()>;
}

type Turn = Arc<tokio::sync::Mutex<()>>;

/// Groups of an engine that knows none: whoever has a partition's turn reads it, and passes it on when the records are
/// taken. Turns are those of this process; an embedded log's group has its members in one.
pub(super) struct Turns {
    engine: Arc<dyn Engine>,
    appended: Arc<Notify>,
    turns: Mutex<HashMap<(String, String, u32), Turn>>,
}

impl Turns {
    pub(super) fn new(engine: Arc<dyn Engine>, appended: Arc<Notify>) -> Arc<Turns> {
        Arc::new(Turns { engine, appended, turns: Mutex::default() })
    }

    fn try_turn(&self, group: &str, topic: &str, part: u32) -> Option<OwnedMutexGuard<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = turns.entry((group.to_owned(), topic.to_owned(), part)).or_default();
        Arc::clone(turn).try_lock_owned().ok()
    }
}

impl Groups for Arc<Turns> {
    fn join<'a>(&'a self, group: &'a str, topics: &'a [String]) -> BoxFuture<'a, Result<Box<dyn Member>, Fault>> {
        Box::pin(async move {
            let mut counted = Vec::new();
            for topic in topics {
                counted.push((topic.clone(), self.engine.ends(topic).await?.len()));
            }
            let (turns, group) = (Arc::clone(self), group.to_owned());
            let member: Box<dyn Member> = Box::new(Polling { turns, group, topics: counted, first: 0, given: vec![] });
            Ok(member)
        })
    }
}

/// A stretch of a partition that was given, with the turn that guards it.
struct Given {
    topic: String,
    part: u32,
    next: i64,
    _turn: OwnedMutexGuard<()>,
}

struct Polling {
    turns: Arc<Turns>,
    group: String,
    /// Topics with the number of their partitions.
    topics: Vec<(String, usize)>,
    /// Which is looked at first: each in its turn, so that none waits for ever behind a busy one.
    first: usize,
    given: Vec<Given>,
}

impl Polling {
    async fn look(&mut self, limit: u32) -> Result<Vec<Record>, Fault> {
        let mut found = Vec::new();
        self.first = self.first.wrapping_add(1);
        for i in 0..self.topics.len() {
            let at = self.first.wrapping_add(i) % self.topics.len();
            self.look_into(at, limit, &mut found).await?;
        }
        Ok(found)
    }

    async fn look_into(&mut self, at: usize, limit: u32, found: &mut Vec<Record>) -> Result<(), Fault> {
        let (topic, parts) = &self.topics[at];
        let engine = &self.turns.engine;
        let order = (0..*parts).map(|i| self.first.wrapping_add(i) % parts);
        let turn = |part| Some((part, self.turns.try_turn(&self.group, topic, part)?));
        let turns: Vec<_> = order.filter_map(|part| u32::try_from(part).ok()).filter_map(turn).collect();
        let committed = engine.committed(&self.group, topic).await?; // under the turns: nobody moves it meanwhile
        for (part, turn) in turns {
            let room = limit - u32::try_from(found.len()).unwrap_or(limit);
            if room == 0 {
                break;
            }
            let from = committed.get(part as usize).copied().unwrap_or(0);
            let records = engine.read(topic, part, from, room).await?;
            let Some(next) = records.last().map(|record| record.offset + 1) else { continue };
            self.given.push(Given { topic: topic.clone(), part, next, _turn: turn });
            found.extend(records);
        }
        Ok(())
    }
}

impl Polling {
    /// Looks until there is something.
    async fn found(&mut self, limit: u32) -> Result<Vec<Record>, Fault> {
        let appended = Arc::clone(&self.turns.appended);
        loop {
            let mut woken = Box::pin(appended.notified());
            woken.as_mut().enable(); // an append between the look and the sleep still wakes
            let found = self.look(limit).await?;
            if !found.is_empty() {
                return Ok(found);
            }
            let _ = tokio::time::timeout(Duration::from_millis(LOOK_MS_MAX), woken).await; // it looks again either way
        }
    }
}

impl Member for Polling {
    fn next(&mut self, limit: u32, wait: Duration) -> BoxFuture<'_, Result<Vec<Record>, Fault>> {
        Box::pin(async move {
            self.given.clear();
            let found = self.look(limit).await?;
            if !found.is_empty() || wait.is_zero() {
                return Ok(found);
            }
            let found = tokio::time::timeout(wait, self.found(limit)).await;
            found.unwrap_or_else(|_| Ok(Vec::new()))
        })
    }

    fn taken(&mut self) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            // At once, so that they share a flush.
            let (engine, group) = (&self.turns.engine, &self.group);
            let noted = self.given.iter().map(|given| engine.commit(group, &given.topic, given.part, given.next));
            try_join_all(noted).await?;
            self.given.clear();
            Ok(())
        })
    }

    fn leave(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(())) // turns end with it
    }
}
