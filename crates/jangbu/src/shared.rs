//! The event log and the key-value store of a process: its own, or on servers that processes share.

use std::path::Path;
use std::sync::Arc;

use jangbu_adapters::kafka::{self, Kafka, RETENTION_DAYS_MAX};
use jangbu_adapters::redis::{self, Redis};
use jangbu_platform::clock::{Clock, RealClock};
use jangbu_platform::db::Fault;
use jangbu_platform::dice::Dice;
use jangbu_platform::kv::{Kv, KvLimits};
use jangbu_platform::log::Log;
use jangbu_platform::service::ServiceSpec;
use serde::Deserialize;

/// Where the password of Redis stands.
const REDIS_PASSWORD: &str = "JANGBU_REDIS_PASSWORD";
/// Most partitions of a topic.
const PARTITIONS_MAX: u32 = 1_000;
/// Longest namespace, bytes.
const NAMESPACE_BYTES_MAX: usize = 32;

/// `[kafka]` of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSection {
    /// Brokers to begin with.
    servers: String,
    #[serde(default = "partitions")]
    partitions: u32,
    replicas: Option<u16>,
    #[serde(default = "retention_days")]
    retention_days: u32,
    #[serde(default)]
    namespace: String,
}

fn partitions() -> u32 {
    12
}

fn retention_days() -> u32 {
    14
}

/// `[redis]` of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSection {
    /// The server.
    url: String,
    #[serde(default = "namespace")]
    namespace: String,
}

fn namespace() -> String {
    "jangbu".to_owned()
}

/// Where the event log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPlace {
    /// In a file of the bank's directory.
    Embedded,
    /// On brokers.
    Kafka(kafka::Settings),
}

/// Where caches, leases and counters are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvPlace {
    /// In this process.
    Embedded,
    /// On a server.
    Redis(redis::Settings),
}

fn section<'a, T>(kind: &str, word: &str, other: &str, section: Option<&'a T>) -> Result<Option<&'a T>, String> {
    match (word, section) {
        ("embedded", None) => Ok(None),
        ("embedded", Some(_)) => Err(format!(
            "there is [{other}], but {kind} = \"embedded\": say {kind} = \"{other}\", or leave [{other}] out"
        )),
        (word, Some(section)) if word == other => Ok(Some(section)),
        (word, None) if word == other => Err(format!(
            "{kind} = \"{other}\" needs to know where: add [{other}]; \
             `jangbu serve --print-config` shows one"
        )),
        (word, _) => Err(format!("{kind} = {word:?} is no engine; use \"embedded\" or \"{other}\"")),
    }
}

fn plain(section: &str, namespace: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if namespace.is_empty() || namespace.len() > NAMESPACE_BYTES_MAX || !namespace.chars().all(plain) {
        let why = "is not 1 to 32 letters, digits and hyphens";
        return Err(format!("{section}: namespace = {namespace:?} {why}"));
    }
    Ok(())
}

impl LogPlace {
    /// What a configuration says of the log.
    ///
    /// # Errors
    /// It can't be; with the way out.
    pub fn of(word: &str, kafka: Option<&KafkaSection>) -> Result<LogPlace, String> {
        let Some(kafka) = section("log", word, "kafka", kafka)? else { return Ok(LogPlace::Embedded) };
        let KafkaSection { servers, partitions, replicas, retention_days, namespace } = kafka.clone();
        let address = |server: &str| {
            server.trim().rsplit_once(':').is_some_and(|(h, p)| !h.is_empty() && p.parse::<u16>().is_ok())
        };
        if !servers.split(',').all(address) {
            return Err(format!("kafka: servers = {servers:?} is no list of brokers like \"host:9092,host:9092\""));
        }
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            return Err(format!("kafka: partitions = {partitions} is not within 1 and {PARTITIONS_MAX}"));
        }
        if replicas == Some(0) {
            return Err("kafka: replicas = 0 keeps nothing; leave it out for the brokers' own number".into());
        }
        if !(1..=RETENTION_DAYS_MAX).contains(&retention_days) {
            return Err(format!("kafka: retention_days = {retention_days} is not within 1 and {RETENTION_DAYS_MAX}"));
        }
        if !namespace.is_empty() {
            plain("kafka", &namespace)?;
        }
        Ok(LogPlace::Kafka(kafka::Settings { servers, partitions, replicas, retention_days, namespace }))
    }

    /// Opens the log for services: topics that they tell or hear are made or looked at.
    ///
    /// # Errors
    /// It can't be opened; with the remedy.
    pub async fn open<'a>(
        &self,
        dir: &Path,
        clock: Arc<dyn Clock>,
        dice: Dice,
        services: impl Iterator<Item = &'a ServiceSpec>,
    ) -> Result<Log, Fault> {
        let LogPlace::Kafka(settings) = self else { return Log::open_embedded(&dir.join("log.db"), clock, dice).await };
        let mut topics: Vec<String> =
            services.flat_map(|spec| spec.tells.iter().chain(spec.listens)).map(|topic| (*topic).to_owned()).collect();
        topics.sort();
        topics.dedup();
        Kafka::open(settings, &topics).await
    }
}

impl LogPlace {
    /// Opens the log to be looked at; none when there is none in the bank's directory.
    ///
    /// # Errors
    /// It can't be read.
    pub fn open_to_read(&self, dir: &Path) -> Result<Option<Log>, Fault> {
        let LogPlace::Kafka(settings) = self else {
            let path = dir.join("log.db");
            let open = || Log::open_to_read(&path, Arc::new(RealClock), Dice::from_os());
            return if path.is_file() { open().map(Some) } else { Ok(None) };
        };
        Kafka::look(settings).map(Some)
    }
}

impl KvPlace {
    /// What a configuration says of the key-value store.
    ///
    /// # Errors
    /// It can't be; with the way out.
    pub fn of(word: &str, redis: Option<&RedisSection>) -> Result<KvPlace, String> {
        let Some(redis) = section("kv", word, "redis", redis)? else { return Ok(KvPlace::Embedded) };
        let RedisSection { url, namespace } = redis.clone();
        if !url.starts_with("redis://") {
            return Err(format!("redis: url = {url:?} is no address like \"redis://host:6379\""));
        }
        if url.split_once('@').is_some_and(|(login, _)| login.trim_start_matches("redis://").contains(':')) {
            return Err(format!(
                "redis: a password stands in url; secrets come from the environment: {REDIS_PASSWORD}"
            ));
        }
        plain("redis", &namespace)?;
        Ok(KvPlace::Redis(redis::Settings { url, password: std::env::var(REDIS_PASSWORD).ok(), namespace }))
    }

    /// Opens the store. A server that is out of reach is no reason not to begin: it costs speed.
    ///
    /// # Errors
    /// The server lacks something; with the remedy.
    pub async fn open(&self, clock: Arc<dyn Clock>) -> Result<Kv, Fault> {
        let KvPlace::Redis(settings) = self else { return Ok(Kv::in_process(clock, KvLimits::default())) };
        let redis = Redis::new(settings, clock, KvLimits::default())?;
        match redis.preflight().await {
            Err(fault @ Fault::Unavailable(_)) => {
                tracing::warn!(error = %fault, "beginning without the key-value store; the bank is slower until it is there");
            }
            looked => looked?,
        }
        Ok(Kv::new(Arc::new(redis)))
    }
}
