//! Where the services' databases are: files of the bank's directory, or a server that processes share.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jangbu_adapters::mysql::{self, Limits};
use jangbu_platform::clock::Clock;
use jangbu_platform::db::{Db, Fault};
use jangbu_platform::dice::Dice;

use crate::Failure;

/// Where the server is, and who this process is there. It holds a password, so it comes from the environment.
pub const MYSQL_VARIABLE: &str = "JANGBU_MYSQL_URL";

/// The engine of the databases.
#[derive(Clone)]
pub enum Store {
    /// A file per service, in this directory.
    Embedded(PathBuf),
    /// A server of the MySQL kind: its URL without a database, and what its databases' names begin with.
    MySql {
        /// `mysql://user:password@host:port`.
        server: String,
        /// Like `jangbu`.
        prefix: String,
        /// What follows the database's name: `?` and the driver's own settings.
        settings: String,
    },
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Store::Embedded(dir) => write!(f, "{}", dir.display()),
            // The URL holds a password.
            Store::MySql { prefix, .. } => write!(f, "the databases {prefix}_… of {MYSQL_VARIABLE}"),
        }
    }
}

impl Store {
    /// The engine of that name; `dir` is the bank's directory.
    ///
    /// # Errors
    /// The environment doesn't say where the server is.
    pub fn of(engine: &str, dir: &Path) -> Result<Store, Failure> {
        if engine != "mysql" {
            return Ok(Store::Embedded(dir.to_owned()));
        }
        let url = std::env::var(MYSQL_VARIABLE).map_err(|_| {
            Failure::Use(format!(
                "store = \"mysql\" needs {MYSQL_VARIABLE} in the environment, like mysql://jangbu:secret@host:3306/jangbu"
            ))
        })?;
        Ok(Store::server(&url))
    }

    /// Databases of a server; the URL's own database is what their names begin with.
    #[must_use]
    pub fn server(url: &str) -> Store {
        let (url, settings) = url.split_once('?').map_or((url, String::new()), |(url, rest)| (url, format!("?{rest}")));
        let host = url.find("://").map_or(0, |at| at + 3);
        let (server, prefix) =
            url[host..].split_once('/').map_or((url, ""), |(to, name)| (&url[..host + to.len()], name));
        let prefix = if prefix.is_empty() { "jangbu" } else { prefix };
        Store::MySql { server: server.to_owned(), prefix: prefix.to_owned(), settings }
    }

    /// Whether one process alone may open a service's database.
    #[must_use]
    pub fn is_one_owners(&self) -> bool {
        matches!(self, Store::Embedded(_))
    }

    /// The URL of a service's database on a server: `-` is not for names there.
    fn url(server: &str, prefix: &str, settings: &str, name: &str) -> String {
        format!("{server}/{prefix}_{}{settings}", name.replace('-', "_"))
    }

    /// Opens a service's database.
    ///
    /// # Errors
    /// It can't be opened, or what it promises is not enough.
    pub async fn open(&self, name: &str, clock: Arc<dyn Clock>, dice: Dice) -> Result<Db, Fault> {
        match self {
            Store::Embedded(dir) => Db::open_embedded(&dir.join(format!("{name}.db")), clock, dice),
            Store::MySql { server, prefix, settings } => {
                mysql::open(&Self::url(server, prefix, settings, name), Limits::default(), clock, dice).await
            }
        }
    }

    /// Makes a service's database unless it is there, and opens it to change its tables.
    ///
    /// # Errors
    /// It can't be made or opened.
    pub async fn make(&self, name: &str, clock: Arc<dyn Clock>, dice: Dice) -> Result<Db, Fault> {
        match self {
            Store::Embedded(_) => self.open(name, clock, dice).await,
            Store::MySql { server, prefix, settings } => {
                let url = Self::url(server, prefix, settings, name);
                mysql::make(&url).await?;
                mysql::open(&url, Limits::patient(), clock, dice).await
            }
        }
    }

    /// Opens a service's database to be read alone; none when it was never made.
    ///
    /// # Errors
    /// It can't be opened.
    pub async fn open_to_read(&self, name: &str, clock: Arc<dyn Clock>, dice: Dice) -> Result<Option<Db>, Fault> {
        match self {
            Store::Embedded(dir) => {
                let path = dir.join(format!("{name}.db"));
                if path.is_file() { Db::open_to_read(&path, clock, dice).map(Some) } else { Ok(None) }
            }
            Store::MySql { server, prefix, settings } => {
                let url = Self::url(server, prefix, settings, name);
                if !mysql::is_there(&url).await? {
                    return Ok(None);
                }
                mysql::open(&url, Limits::patient(), clock, dice).await.map(Some)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_named_after_services() {
        for (url, service, database) in [
            ("mysql://u:p@h:1/bank", "deposit-krw", "mysql://u:p@h:1/bank_deposit_krw"),
            ("mysql://u@h", "customer", "mysql://u@h/jangbu_customer"),
            ("mysql://u@h:1/b?socket=/x/y", "channel", "mysql://u@h:1/b_channel?socket=/x/y"),
        ] {
            let Store::MySql { server, prefix, settings } = Store::server(url) else { panic!("{url}") };
            assert_eq!(Store::url(&server, &prefix, &settings, service), database);
        }
    }
}
