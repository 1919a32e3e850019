//! Kafka as the event log.
//!
//! | step | costs |
//! |---|---|
//! | append | one batch per partition and broker, acknowledged by all replicas in sync |
//! | a batch taken | what the client has fetched ahead; offsets are committed without waiting |
//!
//! There is no encryption and no login here: the client's needs OpenSSL, which a build of the bank does without. Brokers
//! stand in a network of the bank's own, or behind a proxy that speaks TLS.

mod member;
mod sending;
mod topics;
mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jangbu_platform::db::{Event, Fault};
use jangbu_platform::log::group::{Groups, Member};
use jangbu_platform::log::{Engine, Log, Record};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use member::Joined;
use sending::Sender;
pub use topics::RETENTION_DAYS_MAX;

/// How long one question about offsets may take.
const ASK_MAX: Duration = Duration::from_secs(5);
/// How long a look waits for records that are said to be there.
const READ_MAX: Duration = Duration::from_secs(5);

/// Where the brokers are, and what is asked of topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Brokers to begin with, like `host:9092,host:9092`.
    pub servers: String,
    /// Partitions of a topic at least: so many processes of a service can take its events beside each other.
    pub partitions: u32,
    /// Replicas of topics that are made; the broker's own number when absent.
    pub replicas: Option<u16>,
    /// Days that events are kept in topics that are made, at most [`RETENTION_DAYS_MAX`].
    pub retention_days: u32,
    /// What names of topics and groups begin with here, with a point after it, so that banks can share brokers; nothing
    /// when empty.
    pub namespace: String,
}

impl Settings {
    fn prefix(&self) -> String {
        if self.namespace.is_empty() { String::new() } else { format!("{}.", self.namespace) }
    }
}

/// The engine.
pub struct Kafka {
    config: ClientConfig,
    /// Begins the brokers' names of topics and groups.
    prefix: String,
    sender: Sender,
    /// Asks about topics.
    looking: Arc<BaseConsumer>,
    /// Ask about groups, in their names and without being members.
    asking: Mutex<HashMap<String, Arc<BaseConsumer>>>,
}

fn fault(doing: &str, e: &KafkaError) -> Fault {
    Fault::Unavailable(format!("Kafka, {doing}: {e}"))
}

/// Runs what waits for the network without giving the thread back.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Fault::Unavailable(format!("Kafka: {e}")))
}

impl Kafka {
    /// Opens the log, after topics were made or looked at.
    ///
    /// # Errors
    /// No broker answers, or a topic doesn't fit; with the remedy.
    pub async fn open(settings: &Settings, topics: &[String]) -> Result<Log, Fault> {
        let topics: Vec<String> = topics.iter().map(|topic| format!("{}{topic}", settings.prefix())).collect();
        topics::ensure(&Self::config(settings), settings, &topics).await?;
        Self::look(settings)
    }

    /// Opens the log as it is: nothing is made, and nobody is asked yet.
    ///
    /// # Errors
    /// The settings can't be.
    pub fn look(settings: &Settings) -> Result<Log, Fault> {
        let (config, prefix) = (Self::config(settings), settings.prefix());
        let (sender, asking) = (Sender::new(&config, &prefix)?, Mutex::default());
        let looking = Arc::new(config.create().map_err(|e| fault("beginning", &e))?);
        let kafka = Arc::new(Kafka { config, prefix, sender, looking, asking });
        Ok(Log::with_groups(Arc::clone(&kafka) as Arc<dyn Engine>, kafka))
    }

    fn config(settings: &Settings) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &settings.servers)
            .set("client.id", "jangbu")
            .set("reconnect.backoff.max.ms", "1000")
            .set("log.connection.close", "false")
            .set_log_level(RDKafkaLogLevel::Error); // while brokers come back it warns a hundred times a second
        config
    }

    /// The brokers' name of a topic or a group.
    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn asker(&self, group: &str) -> Result<Arc<BaseConsumer>, Fault> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = asking.get(group) {
            while known.poll(Duration::ZERO).is_some() {} // what it was told meanwhile interests nobody
            return Ok(Arc::clone(known));
        }
        let mut config = self.config.clone();
        config.set("group.id", self.name(group)).set("enable.auto.commit", "false");
        let asker: Arc<BaseConsumer> = Arc::new(config.create().map_err(|e| fault("asking about a group", &e))?);
        asking.insert(group.to_owned(), Arc::clone(&asker));
        Ok(asker)
    }
}

fn parts_of(client: &BaseConsumer, topic: &str) -> Result<i32, KafkaError> {
    let found = client.fetch_metadata(Some(topic), ASK_MAX)?;
    let parts = found.topics().iter().find(|t| t.name() == topic).map_or(0, |t| t.partitions().len());
    Ok(i32::try_from(parts).unwrap_or(i32::MAX))
}

fn ends_of(client: &BaseConsumer, topic: &str) -> Result<Vec<i64>, KafkaError> {
    (0..parts_of(client, topic)?).map(|part| Ok(client.fetch_watermarks(topic, part, ASK_MAX)?.1)).collect()
}

fn committed_of(client: &BaseConsumer, topic: &str) -> Result<Vec<i64>, KafkaError> {
    let (mut places, parts) = (TopicPartitionList::new(), parts_of(client, topic)?);
    if parts == 0 {
        return Ok(Vec::new()); // nobody has told anything yet
    }
    places.add_partition_range(topic, 0, parts - 1);
    let committed = client.committed_offsets(places, ASK_MAX)?;
    let from = |part: i32| match committed.find_partition(topic, part).map(|place| place.offset()) {
        Some(Offset::Offset(next)) => Ok(next),
        _ => Ok(client.fetch_watermarks(topic, part, ASK_MAX)?.0), // it never took any: it begins where the log does
    };
    (0..i32::try_from(committed.count()).unwrap_or(0)).map(from).collect()
}

fn read_from(config: &ClientConfig, topic: &str, part: i32, from: i64, limit: u32) -> Result<Vec<Record>, KafkaError> {
    let mut config = config.clone();
    config.set("group.id", "jangbu-looking").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    let client: BaseConsumer = config.create()?;
    let (low, end) = client.fetch_watermarks(topic, part, ASK_MAX)?;
    let (mut records, last) = (Vec::new(), end - 1);
    if from > last || limit == 0 {
        return Ok(records);
    }
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(topic, part, Offset::Offset(from.max(low)))?;
    client.assign(&place)?;
    while records.len() < limit as usize {
        match client.poll(READ_MAX) {
            Some(Ok(message)) => records.push(wire::record(&message)),
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            Some(Err(e)) => return Err(e),
            None => break,
        }
    }
    Ok(records)
}

impl Engine for Kafka {
    fn append<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), Fault>> {
        self.sender.send(events).boxed()
    }

    fn read<'a>(
        &'a self,
        topic: &'a str,
        part: u32,
        offset: i64,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Record>, Fault>> {
        let (config, name) = (self.config.clone(), self.name(topic));
        let part = i32::try_from(part).unwrap_or(i32::MAX);
        async move {
            let records = blocking(move || read_from(&config, &name, part, offset, limit)).await?;
            let mut records = records.map_err(|e| fault("reading", &e))?;
            wire::without(&mut records, &self.prefix);
            Ok(records)
        }
        .boxed()
    }

    fn committed<'a>(&'a self, group: &'a str, topic: &'a str) -> BoxFuture<'a, Result<Vec<i64>, Fault>> {
        async move {
            let (asker, topic) = (self.asker(group)?, self.name(topic));
            let committed = blocking(move || committed_of(&asker, &topic)).await?;
            committed.map_err(|e| fault("asking about a group", &e))
        }
        .boxed()
    }

    fn commit<'a>(&'a self, group: &'a str, topic: &'a str, part: u32, next: i64) -> BoxFuture<'a, Result<(), Fault>> {
        async move {
            let (asker, mut place) = (self.asker(group)?, TopicPartitionList::new());
            let part = i32::try_from(part).unwrap_or(i32::MAX);
            let added = place.add_partition_offset(&self.name(topic), part, Offset::Offset(next));
            added.map_err(|e| fault("noting an offset", &e))?;
            let noted = blocking(move || asker.commit(&place, CommitMode::Sync)).await?;
            noted.map_err(|e| fault("noting an offset", &e))
        }
        .boxed()
    }

    fn ends<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Vec<i64>, Fault>> {
        async move {
            let (looking, topic) = (Arc::clone(&self.looking), self.name(topic));
            blocking(move || ends_of(&looking, &topic)).await?.map_err(|e| fault("asking for ends", &e))
        }
        .boxed()
    }
}

impl Groups for Kafka {
    fn join<'a>(&'a self, group: &'a str, topics: &'a [String]) -> BoxFuture<'a, Result<Box<dyn Member>, Fault>> {
        async move {
            let topics: Vec<String> = topics.iter().map(|topic| self.name(topic)).collect();
            let member = Joined::new(&self.config, &self.name(group), &topics, &self.prefix)?;
            let member: Box<dyn Member> = Box::new(member);
            Ok(member)
        }
        .boxed()
    }
}
