//! Groups at the broker of a simulation: their members share partitions, and one that is at work may lose its own to
//! another, as when a broker takes it for dead.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jangbu_platform::db::Fault as Failed;
use jangbu_platform::log::group::{Groups, Member};
use jangbu_platform::log::{Engine as _, PARTITIONS, Record};
use jangbu_platform::probe;

use super::broker::{Line, Reading};
use super::faults::Fault;

/// How long a member waits at most before it looks again by itself, milliseconds.
const LOOK_MS_MAX: u64 = 200;
/// How long a consumer may be paused, milliseconds.
const PAUSED_MS_MAX: u64 = 4_000;

/// Lets a node into groups.
pub struct Members(Arc<Line>);

impl Members {
    /// By a node's connection.
    #[must_use]
    pub fn new(line: &Arc<Line>) -> Members {
        Members(Arc::clone(line))
    }
}

impl Groups for Members {
    fn join<'a>(&'a self, group: &'a str, topics: &'a [String]) -> BoxFuture<'a, Result<Box<dyn Member>, Failed>> {
        let line = Arc::clone(&self.0);
        let number = line.broker.next_member();
        let one = One { line, number, group: group.to_owned(), topics: topics.to_vec(), first: 0, given: Vec::new() };
        Box::pin(std::future::ready(Ok(Box::new(one) as Box<dyn Member>)))
    }
}

struct One {
    line: Arc<Line>,
    number: u64,
    group: String,
    topics: Vec<String>,
    /// The partition that is looked at first: each in its turn.
    first: u32,
    /// Partitions of which records were given, and what comes next in them.
    given: Vec<(Reading, i64)>,
}

impl Drop for One {
    fn drop(&mut self) {
        self.line.broker.release(self.number);
    }
}

impl One {
    async fn look(&mut self, limit: u32) -> Result<Vec<Record>, Failed> {
        let broker = Arc::clone(&self.line.broker);
        let mut found = Vec::new();
        self.first = self.first.wrapping_add(1);
        for topic in self.topics.clone() {
            let committed = broker.committed(&self.group, &topic).await?;
            for i in 0..PARTITIONS {
                let part = self.first.wrapping_add(i) % PARTITIONS;
                let from = committed.get(part as usize).copied().unwrap_or(0);
                let room = limit - u32::try_from(found.len()).unwrap_or(limit);
                let reading = (self.group.clone(), topic.clone(), part);
                if room == 0 || !broker.give(&reading, self.number, from) {
                    continue;
                }
                let records = broker.read(&topic, part, from, room).await?;
                if let Some(last) = records.last() {
                    self.given.push((reading, last.offset + 1));
                }
                found.extend(records);
            }
        }
        Ok(found)
    }

    async fn found(&mut self, limit: u32, wait: Duration) -> Result<Vec<Record>, Failed> {
        self.line.broker.release(self.number);
        self.given.clear();
        let faults = Arc::clone(&self.line.site.faults);
        if faults.strikes(Fault::ConsumerPaused) {
            self.line.site.trace.say(|| format!("{}: a consumer is paused", self.line.site.name));
            probe::reached("consumer-paused-and-set-going-again");
            let ms = 1 + faults.below(Fault::ConsumerPaused, PAUSED_MS_MAX);
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        let broker = Arc::clone(&self.line.broker);
        let look = Duration::from_millis(LOOK_MS_MAX).min(wait);
        let woken = broker.appended(); // an append between the look and the sleep still wakes
        let found = self.look(limit).await?;
        if found.is_empty() && !wait.is_zero() {
            let _ = tokio::time::timeout(look, woken).await; // it looks again either way
            return self.look(limit).await;
        }
        Ok(found)
    }
}

impl Member for One {
    fn next(&mut self, limit: u32, wait: Duration) -> BoxFuture<'_, Result<Vec<Record>, Failed>> {
        Box::pin(self.found(limit, wait))
    }

    fn taken(&mut self) -> BoxFuture<'_, Result<(), Failed>> {
        Box::pin(async move {
            for (reading, next) in std::mem::take(&mut self.given) {
                let (group, topic, part) = &reading;
                if !self.line.broker.holds(&reading, self.number) {
                    probe::reached("events-taken-by-a-member-that-had-lost-them");
                    return Err(Failed::Unavailable("another member has this partition now".to_owned()));
                }
                self.line.commit(group, topic, *part, next).await?;
            }
            self.line.broker.release(self.number);
            Ok(())
        })
    }

    fn leave(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(())) // what it had goes with it
    }
}
