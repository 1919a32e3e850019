//! Which postings and decisions are on their way to the general ledger: in the log and not taken yet, or parked there.
//!
//! Beside a running bank each book is read at an instant of its own, so the order matters. What the ledger's group had
//! taken is asked before the ledger is read: all of it has to be there. The log is read up to its end after the postings
//! were: what had left by then is in it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jangbu_kernel::id::ExchangeId;
use jangbu_platform::consumer::letters::{self, LetterState};
use jangbu_platform::db::{Event, Fault, Tx};
use jangbu_platform::log::Log;
use serde::Deserialize;

use super::LEDGER;
use super::beside::place;

/// Records, or letters, read at once.
const READ_AT_ONCE: u32 = 1_000;

/// Places of postings by their topic, and exchanges of which something is on its way; with what is needed to look further.
pub struct Way {
    log: Option<Log>,
    next: BTreeMap<String, Vec<i64>>,
    found: BTreeMap<String, HashSet<u64>>,
    exchanges: BTreeSet<ExchangeId>,
}

/// The exchange that an event is about, whatever else it tells.
#[derive(Deserialize)]
struct About {
    exchange: Option<ExchangeId>,
}

fn exchange_of(event: &Event) -> Option<ExchangeId> {
    serde_json::from_str::<About>(&event.payload).ok()?.exchange
}

impl Way {
    /// Asks what the ledger's group has taken of these topics, and reads what has come since. A bank whose log is gone has
    /// nothing under way there.
    ///
    /// # Errors
    /// The log can't be read.
    pub async fn begin(log: Option<Log>, topics: &[&str]) -> Result<Way, Fault> {
        let (next, found) = (BTreeMap::new(), BTreeMap::new());
        let mut way = Way { log, next, found, exchanges: BTreeSet::new() };
        for topic in topics {
            if let Some(log) = &way.log {
                way.next.insert((*topic).to_owned(), log.committed(LEDGER, topic).await?);
            }
            way.read_log(topic).await?;
        }
        Ok(way)
    }

    /// Reads what the log has of a topic, up to its present end.
    async fn read_log(&mut self, topic: &str) -> Result<(), Fault> {
        let (Some(log), Some(next)) = (&self.log, self.next.get_mut(topic)) else { return Ok(()) };
        let found = self.found.entry(topic.to_owned()).or_default();
        for ((part, end), next) in (0..).zip(log.ends(topic).await?).zip(next) {
            while *next < end {
                let records = log.read(topic, part, *next, READ_AT_ONCE).await?;
                found.extend(records.iter().map(|record| place(record.event.id.rest())));
                self.exchanges.extend(records.iter().filter_map(|record| exchange_of(&record.event)));
                *next = records.last().map_or(end, |last| last.offset + 1);
            }
        }
        Ok(())
    }

    /// Adds what is parked, by the snapshot in which the ledger is read.
    ///
    /// # Errors
    /// The ledger can't be read.
    pub async fn read_parked(&mut self, ledger: &mut Tx) -> Result<(), Fault> {
        let mut after = None;
        loop {
            let parked = letters::list(ledger, Some(LetterState::Parked), after, READ_AT_ONCE).await?;
            let Some(last) = parked.last() else { return Ok(()) };
            after = Some(last.id);
            for letter in parked {
                self.exchanges.extend(exchange_of(&letter.event));
                self.found.entry(letter.event.topic).or_default().insert(place(letter.event.id.rest()));
            }
        }
    }

    /// Adds exchanges of which something has not even left; to be asked after they were read.
    pub fn add_unsent(&mut self, exchanges: impl IntoIterator<Item = ExchangeId>) {
        self.exchanges.extend(exchanges);
    }

    /// Adds what an outbox holds.
    pub fn add_events(&mut self, events: &[Event]) {
        self.exchanges.extend(events.iter().filter_map(exchange_of));
    }

    /// The exchanges of which something is on its way; to be asked after all of them were read.
    ///
    /// # Errors
    /// The log can't be read.
    pub async fn exchanges(&mut self, topics: &[&str]) -> Result<&BTreeSet<ExchangeId>, Fault> {
        for topic in topics {
            self.read_log(topic).await?;
        }
        Ok(&self.exchanges)
    }

    /// The places of all postings of these topics that are on their way; to be asked after the postings were read, with the
    /// ranges of those that had not left by then.
    ///
    /// # Errors
    /// The log can't be read.
    pub async fn of(&mut self, topics: &[&str], unsent: &[(u64, u64)]) -> Result<HashSet<u64>, Fault> {
        let mut all: HashSet<u64> = unsent.iter().flat_map(|(first, last)| *first..=*last).collect();
        for topic in topics {
            self.read_log(topic).await?;
            all.extend(self.found.remove(*topic).unwrap_or_default());
        }
        Ok(all)
    }
}
