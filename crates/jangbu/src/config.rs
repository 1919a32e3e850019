//! The configuration file of a service that runs alone: strict, and with the way out in every complaint.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Failure;
use crate::services::ALL;

/// What a file says when it says nothing; `jangbu serve --print-config` prints it.
pub const DEFAULT: &str = r#"# The bank's directory: one database file per service, the event log, the keys.
# Processes on one machine share it; each service is opened by one of them.
data = "jangbu-data"

# Where this service answers.
listen = "127.0.0.1:8081"

# Engines. "embedded" is a file per service, a log in a file, a store in memory.
store = "embedded"
log = "embedded"
kv = "embedded"

# Where the services are that this one asks, and that run elsewhere: name = "http://host:port".
[peers]
# customer = "http://127.0.0.1:8082"
"#;

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
    /// Base addresses of services that run elsewhere, by name.
    pub peers: BTreeMap<String, String>,
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
            peers: BTreeMap::new(),
        }
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
    let config: Config = toml::from_str(text).map_err(|e| e.to_string())?;
    for (kind, engine, other) in
        [("store", &config.store, "mysql"), ("log", &config.log, "kafka"), ("kv", &config.kv, "redis")]
    {
        match engine.as_str() {
            "embedded" => {}
            name if name == other => {
                return Err(format!("{kind} = {other:?} is not built into this program yet; use \"embedded\""));
            }
            name => return Err(format!("{kind} = {name:?} is no engine; use \"embedded\"")),
        }
    }
    if let Some(stranger) = config.peers.keys().find(|name| ALL.iter().all(|entry| entry.spec.name != name.as_str())) {
        let known: Vec<&str> = ALL.iter().map(|entry| entry.spec.name).collect();
        return Err(format!("peers: {stranger:?} is no service; services are {}", known.join(", ")));
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
            ("store = \"mysql\"", "not built into this program yet"),
            ("log = \"kafka\"", "not built into this program yet"),
            ("kv = \"files\"", "is no engine"),
            ("[peers]\nbank = \"http://x\"", "services are customer, deposit-krw"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
