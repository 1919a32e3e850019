//! The configuration file of a service that runs alone: strict, and with the way out in every complaint.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jangbu_kernel::time::UtcOffset;
use jangbu_platform::edge::CALLS_UNDER_WAY_MAX;
use jangbu_platform::log::retention::KEPT_DAYS_DEFAULT;
use jangbu_platform::serve::ServeLimits;
use jangbu_platform::service::ServiceSpec;
use jangbu_platform::telemetry::logging::LogFormat;
use serde::Deserialize;

use crate::Failure;
use crate::services::ALL;
use crate::shared::{KafkaSection, KvPlace, LogPlace, RedisSection};
use crate::store::Store;

/// What a file says when it says nothing; `jangbu serve --print-config` prints it.
pub const DEFAULT: &str = r#"# The bank's directory: one database file per service, the event log, the keys.
# Processes on one machine share it; each service is opened by one of them.
data = "jangbu-data"

# Where this service answers. Leave it to this machine, or put what speaks TLS before it.
listen = "127.0.0.1:8081"

# Engines. "embedded" is a file per service, a log in a file, a store in memory. store = "mysql" is a server of that
# kind (MariaDB, MySQL, TiDB), which several processes of a service share; JANGBU_MYSQL_URL says where it is. log = "kafka"
# and kv = "redis" are servers too; their sections stand below.
store = "embedded"
log = "embedded"
kv = "embedded"

# Where the bank's days begin: "Asia/Seoul", or a distance from UTC like "+09:00" (no summer time: a day of 23 hours
# would pay no less interest). All services of a bank say the same, for ever: days that ended stay as they are.
time_zone = "Asia/Seoul"

# Where the services are that this one asks: name = "http://host:port". Its own address may stand here too, so that
# one list serves all.
[peers]
# customer = "http://127.0.0.1:8082"

[limits]
# Connections open at a time; one more is told 503 at once.
connections = 4096
# Calls under way at a time; one more is told 429 at once.
calls = 4096
# Milliseconds that calls under way get to finish when the service is told to end.
drain_ms = 10000
# Days for which the embedded log keeps a message that everybody has taken; one that somebody has not taken stays.
log_days = 7

# What is logged, on stderr: format "human" or "json", and a filter like "info,access=warn".
# JANGBU_LOG and --log-format go before these.
[telemetry]
format = "human"
filter = "info"

# Where the brokers are, when log = "kafka". Topics that are missing are made; those with fewer partitions are refused.
# [kafka]
# servers = "host:9092,host:9092"
# partitions = 12       # so many processes of a service can take its events beside each other
# replicas = 3          # the brokers' own number unless told
# retention_days = 14   # how long events are kept; at most 21
# namespace = "jangbu"  # what names of topics and groups begin with, so that banks can share brokers; nothing unless told

# Where Redis is, when kv = "redis". JANGBU_REDIS_PASSWORD is its password, if it has one.
# [redis]
# url = "redis://host:6379"
# namespace = "jangbu"  # what its keys begin with, so that banks can share a server

# Secrets don't stand here. JANGBU_MYSQL_URL is the server, like mysql://jangbu:secret@host:3306/jangbu: every service
# has a database there whose name begins with the last word. JANGBU_DATA_KEY (64 hexadecimal digits) is the key for personal data; without it the
# directory's own data.key is used.
"#;

/// Connections and calls that may be allowed at most.
const AT_ONCE_MAX: usize = 65_536;
/// Longest time to drain, milliseconds.
const DRAIN_MS_MAX: u64 = 600_000;
/// Longest time that the log keeps what everybody has taken, days.
const LOG_DAYS_MAX: u32 = 3_650;
/// Farthest place from UTC, minutes.
const OFFSET_MINUTES_MAX: i32 = 14 * 60;

/// A configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The bank's directory.
    pub data: PathBuf,
    /// Where this service answers.
    pub listen: SocketAddr,
    /// Engine of the database.
    pub store: String,
    /// Engine of the event log.
    pub log: String,
    /// Engine of caches, leases and counters.
    pub kv: String,
    /// Where the bank's days begin.
    pub time_zone: String,
    /// Base addresses of services, by name.
    pub peers: BTreeMap<String, String>,
    /// The log's brokers.
    pub kafka: Option<KafkaSection>,
    /// The key-value store's server.
    pub redis: Option<RedisSection>,
    /// What is allowed at a time.
    pub limits: Limits,
    /// What is logged.
    pub telemetry: Telemetry,
}

/// What is allowed at a time, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections.
    pub connections: usize,
    /// Calls under way.
    pub calls: usize,
    /// How long calls under way may take when the service ends, milliseconds.
    pub drain_ms: u64,
    /// How long the embedded log keeps what everybody has taken, days.
    pub log_days: u32,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// How lines look.
    pub format: LogFormat,
    /// Which lines.
    pub filter: String,
}

impl Default for Config {
    fn default() -> Self {
        let embedded = || "embedded".to_owned();
        Self {
            data: crate::default_data(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            store: embedded(),
            log: embedded(),
            kv: embedded(),
            time_zone: "Asia/Seoul".to_owned(),
            peers: BTreeMap::new(),
            kafka: None,
            redis: None,
            limits: Limits::default(),
            telemetry: Telemetry::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let ServeLimits { connections_max, drain_ms_max, .. } = ServeLimits::default();
        let (calls, log_days) = (CALLS_UNDER_WAY_MAX, KEPT_DAYS_DEFAULT);
        Self { connections: connections_max, calls, drain_ms: drain_ms_max, log_days }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { format: LogFormat::Human, filter: "info".to_owned() }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// It can't be read, or says what this program can't do; with the way out.
    pub fn read(path: &Path) -> Result<Config, Failure> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|e| {
            Failure::Use(format!("could not read {shown} ({e}); `jangbu serve --print-config` shows one"))
        })?;
        parse(&text).map_err(|why| Failure::Use(format!("{shown}: {why}")))
    }

    /// The bank's distance from UTC.
    #[must_use]
    pub fn offset(&self) -> UtcOffset {
        offset(&self.time_zone).unwrap_or(UtcOffset::SEOUL) // it was read before
    }

    /// Where the event log is.
    ///
    /// # Errors
    /// It was read before.
    pub fn log_place(&self) -> Result<LogPlace, Failure> {
        LogPlace::of(&self.log, self.kafka.as_ref()).map_err(Failure::Use)
    }

    /// Where caches, leases and counters are.
    ///
    /// # Errors
    /// It was read before.
    pub fn kv_place(&self) -> Result<KvPlace, Failure> {
        KvPlace::of(&self.kv, self.redis.as_ref()).map_err(Failure::Use)
    }

    /// What the server allows its clients.
    #[must_use]
    pub fn serve_limits(&self) -> ServeLimits {
        let Limits { connections, drain_ms, .. } = self.limits;
        ServeLimits { connections_max: connections, drain_ms_max: drain_ms, ..ServeLimits::default() }
    }

    /// The addresses of the services that `spec` asks. A bank may do without some of them, but not without all.
    ///
    /// # Errors
    /// It asks somebody, and of nobody it is told where he is.
    pub fn peers_of(&self, spec: &ServiceSpec) -> Result<Vec<(String, String)>, Failure> {
        let (told, untold): (Vec<&str>, Vec<&str>) = spec.asks.iter().partition(|name| self.peers.contains_key(**name));
        if let (Some(name), []) = (untold.first(), told.as_slice()) {
            let why = format!("{} asks {name}: say where it is, under [peers]: {name} = \"http://…\"", spec.name);
            return Err(Failure::Use(why));
        }
        for name in untold {
            tracing::warn!(service = spec.name, asks = name, "it is not under [peers]: what needs it will fail");
        }
        Ok(told.into_iter().map(|name| (name.to_owned(), self.peers[name].clone())).collect())
    }
}

/// A time zone without summer time.
fn offset(zone: &str) -> Option<UtcOffset> {
    if zone == "Asia/Seoul" {
        return Some(UtcOffset::SEOUL);
    }
    let (sign, rest) =
        zone.strip_prefix('+').map(|rest| (1, rest)).or(zone.strip_prefix('-').map(|rest| (-1, rest)))?;
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str| Some(text).filter(|t| t.len() == 2)?.parse::<i32>().ok().filter(|n| (0..60).contains(n));
    let minutes = number(hours)? * 60 + number(minutes)?;
    (minutes <= OFFSET_MINUTES_MAX).then(|| UtcOffset::from_minutes(sign * minutes))
}

/// The bank's directory, as below, and where its databases and its log are.
///
/// # Errors
/// The configuration can't be read, or needs what the environment lacks.
pub fn place(data: Option<PathBuf>, config: Option<PathBuf>) -> Result<(PathBuf, Store, LogPlace), Failure> {
    if let (None, Some(path)) = (&data, &config) {
        let config = Config::read(path)?;
        let (store, log) = (Store::of(&config.store, &config.data)?, config.log_place()?);
        return Ok((config.data, store, log));
    }
    let dir = directory(data, config)?;
    let store = Store::Embedded(dir.clone());
    Ok((dir, store, LogPlace::Embedded))
}

/// The bank's directory: as told, as a configuration tells, or the usual one.
///
/// # Errors
/// The configuration can't be read.
pub fn directory(data: Option<PathBuf>, config: Option<PathBuf>) -> Result<PathBuf, Failure> {
    match (data, config) {
        (Some(dir), _) => Ok(dir),
        (None, Some(config)) => Ok(Config::read(&config)?.data),
        (None, None) => Ok(crate::default_data()),
    }
}

fn parse(text: &str) -> Result<Config, String> {
    let config: Config = toml::from_str(text).map_err(|e| {
        let said = e.to_string();
        let secret = ["key", "secret", "token", "password"].iter().any(|word| e.message().contains(word));
        if secret { format!("{said}secrets come from the environment: JANGBU_DATA_KEY") } else { said }
    })?;
    if !matches!(config.store.as_str(), "embedded" | "mysql") {
        return Err(format!("store = {:?} is no engine; use \"embedded\" or \"mysql\"", config.store));
    }
    let log = LogPlace::of(&config.log, config.kafka.as_ref())?;
    KvPlace::of(&config.kv, config.redis.as_ref())?;
    if let Some(stranger) = config.peers.keys().find(|name| ALL.iter().all(|entry| entry.spec.name != name.as_str())) {
        let known: Vec<&str> = ALL.iter().map(|entry| entry.spec.name).collect();
        return Err(format!("peers: {stranger:?} is no service; services are {}", known.join(", ")));
    }
    if offset(&config.time_zone).is_none() {
        let zone = &config.time_zone;
        return Err(format!("time_zone = {zone:?} is not known; use \"Asia/Seoul\" or a distance like \"+09:00\""));
    }
    let Limits { connections, calls, drain_ms, log_days } = config.limits;
    for (name, value) in [("connections", connections), ("calls", calls)] {
        if !(1..=AT_ONCE_MAX).contains(&value) {
            return Err(format!("limits: {name} = {value} is not within 1 and {AT_ONCE_MAX}"));
        }
    }
    if drain_ms > DRAIN_MS_MAX {
        return Err(format!("limits: drain_ms = {drain_ms} is more than {DRAIN_MS_MAX}"));
    }
    if log != LogPlace::Embedded && log_days != KEPT_DAYS_DEFAULT {
        return Err("limits: log_days is for the embedded log; with Kafka say retention_days under [kafka]".into());
    }
    if !(1..=LOG_DAYS_MAX).contains(&log_days) {
        return Err(format!("limits: log_days = {log_days} is not within 1 and {LOG_DAYS_MAX}"));
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_printed_file_says_the_defaults() {
        assert_eq!(parse(DEFAULT).unwrap(), Config::default());
        assert_eq!(parse("").unwrap(), Config::default());
    }

    #[test]
    fn what_can_not_be_is_refused_with_the_way_out() {
        for (text, why) in [
            ("datta = \"x\"", "unknown field `datta`"),
            ("listen = \"8081\"", "invalid socket address"),
            ("store = \"oracle\"", "use \"embedded\" or \"mysql\""),
            ("log = \"kafka\"", "needs to know where: add [kafka]"),
            ("[kafka]\nservers = \"h:1\"", "say log = \"kafka\", or leave [kafka] out"),
            ("log = \"kafka\"\n[kafka]\nservers = \"host\"", "is no list of brokers"),
            ("log = \"kafka\"\n[kafka]\nservers = \"h:1\"\npartitions = 0", "within 1 and 1000"),
            ("log = \"kafka\"\n[kafka]\nservers = \"h:1\"\nreplicas = 0", "the brokers' own number"),
            ("log = \"kafka\"\n[kafka]\nservers = \"h:1\"\nretention_days = 30", "within 1 and 21"),
            ("log = \"kafka\"\n[kafka]\nservers = \"h:1\"\nnamespace = \"a.b\"", "letters, digits and hyphens"),
            ("log = \"kafka\"\n[kafka]\nservers = \"h:1\"\n[limits]\nlog_days = 3", "retention_days under [kafka]"),
            ("log = \"kafka\"\n[kafka]\nserver = \"h:1\"", "unknown field `server`"),
            ("kv = \"files\"", "is no engine; use \"embedded\" or \"redis\""),
            ("kv = \"redis\"", "add [redis]"),
            ("[redis]\nurl = \"redis://h\"", "leave [redis] out"),
            ("kv = \"redis\"\n[redis]\nurl = \"h:6379\"", "no address like"),
            ("kv = \"redis\"\n[redis]\nurl = \"redis://:pw@h\"", "JANGBU_REDIS_PASSWORD"),
            ("kv = \"redis\"\n[redis]\nurl = \"redis://h\"\nnamespace = \"a b\"", "letters, digits and hyphens"),
            ("[peers]\nbank = \"http://x\"", "services are customer, deposit-krw"),
            ("data_key = \"00\"", "secrets come from the environment"),
            ("time_zone = \"Europe/Berlin\"", "use \"Asia/Seoul\""),
            ("time_zone = \"+9:00\"", "a distance like"),
            ("time_zone = \"+23:00\"", "a distance like"),
            ("[limits]\ncalls = 0", "within 1 and"),
            ("[limits]\nconnections = 1000000", "within 1 and"),
            ("[limits]\ndrain_ms = 10000000", "is more than"),
            ("[limits]\nlog_days = 0", "within 1 and"),
            ("[limits]\nrequests = 1", "unknown field `requests`"),
            ("[telemetry]\nformat = \"xml\"", "unknown variant `xml`"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn the_sections_that_are_printed_can_be_used() {
        let inside = ["[kafka]", "servers", "partitions", "replicas", "retention_days", "[redis]", "url", "namespace"];
        let line = |line: &str| match line.strip_prefix("# ") {
            Some(said) if inside.iter().any(|word| said.starts_with(&format!("{word} ")) || said == *word) => {
                said.to_owned()
            }
            _ => line.replace("log = \"embedded\"", "log = \"kafka\"").replace("kv = \"embedded\"", "kv = \"redis\""),
        };
        let text: Vec<String> = DEFAULT.lines().map(line).collect();
        let config = parse(&text.join("\n")).unwrap();
        let LogPlace::Kafka(kafka) = config.log_place().unwrap() else { panic!("{text:?}") };
        assert_eq!((kafka.servers.as_str(), kafka.partitions, kafka.replicas), ("host:9092,host:9092", 12, Some(3)));
        let KvPlace::Redis(redis) = config.kv_place().unwrap() else { panic!("{text:?}") };
        assert_eq!((redis.url.as_str(), redis.namespace.as_str()), ("redis://host:6379", "jangbu"));
        // What is left out is what is printed.
        let short = "log = \"kafka\"\nkv = \"redis\"\n[kafka]\nservers = \"h:1\"\n[redis]\nurl = \"redis://h\"";
        let short = parse(short).unwrap();
        let LogPlace::Kafka(least) = short.log_place().unwrap() else { panic!("it says so") };
        assert_eq!((least.partitions, least.replicas, least.retention_days), (12, None, kafka.retention_days));
    }

    #[test]
    fn zones_are_distances() {
        for (zone, minutes) in [("Asia/Seoul", 540), ("+09:00", 540), ("-03:30", -210), ("+00:00", 0)] {
            assert_eq!(offset(zone), Some(UtcOffset::from_minutes(minutes)), "{zone}");
        }
    }

    #[test]
    fn a_service_is_told_where_those_are_whom_it_asks() {
        let channel = ALL.iter().find(|entry| entry.spec.name == "channel").unwrap().spec;
        let Err(Failure::Use(why)) = Config::default().peers_of(channel) else { panic!("it asks somebody") };
        assert!(why.contains("channel asks deposit-krw"), "{why}");
        let all = "[peers]\nchannel = \"http://c\"\ndeposit-krw = \"http://k\"\ndeposit-fx = \"http://f\"";
        let peers = parse(all).unwrap().peers_of(channel).unwrap();
        assert_eq!(peers, [("deposit-krw", "http://k"), ("deposit-fx", "http://f")].map(|(n, b)| (n.into(), b.into())));
    }
}
