//! The way to the server: one connection that all callers share, made anew when it breaks, with a bound on every wait.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jangbu_platform::db::Fault;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError, RedisResult};

/// How long one operation may take, a connection that has to be made first included, in milliseconds.
const OPERATION_MS_MAX: u64 = 250;
/// How long making a connection may take, in milliseconds.
const CONNECT_MS_MAX: u64 = 1_000;
/// How long nobody tries a server that did not answer, in milliseconds: callers are told at once.
const REST_MS: u64 = 200;

/// Cheap to clone; all clones share the connection.
#[derive(Clone)]
pub(super) struct Link {
    client: Client,
    manager: Arc<Mutex<ConnectionManager>>,
    resting: Arc<AtomicBool>,
}

fn connection(client: &Client) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(0) // the next caller after a rest is the next try
        .set_connection_timeout(Some(Duration::from_millis(CONNECT_MS_MAX)))
        .set_response_timeout(Some(Duration::from_millis(OPERATION_MS_MAX)));
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

fn unavailable(why: impl std::fmt::Display) -> Fault {
    Fault::Unavailable(format!("Redis: {why}"))
}

impl Link {
    pub(super) fn new(client: Client) -> Result<Link, Fault> {
        let manager = Arc::new(Mutex::new(connection(&client).map_err(unavailable)?));
        Ok(Link { client, manager, resting: Arc::default() })
    }

    /// Does something on the connection.
    pub(super) async fn run<T, F>(&self, work: impl FnOnce(ConnectionManager) -> F) -> Result<T, Fault>
    where
        F: Future<Output = RedisResult<T>>,
    {
        if self.resting.load(SeqCst) {
            return Err(unavailable("it did not answer a moment ago"));
        }
        let manager = self.manager.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match tokio::time::timeout(Duration::from_millis(OPERATION_MS_MAX), work(manager)).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(e)) => Err(self.fault(&e)),
            Err(_) => {
                self.rest();
                Err(unavailable(format!("no answer within {OPERATION_MS_MAX} ms")))
            }
        }
    }

    fn fault(&self, e: &RedisError) -> Fault {
        match e.code() {
            Some("FULL") => Fault::Busy(e.detail().unwrap_or("a bound is reached").to_owned()),
            Some("OOM") => {
                Fault::Busy("Redis has no memory left; give it more, or maxmemory-policy volatile-ttl".into())
            }
            Some("NOPERM" | "NOAUTH" | "WRONGPASS" | "ERR" | "WRONGTYPE") => {
                Fault::Storage { doing: "asking Redis".into(), why: e.to_string() }
            }
            _ => {
                self.rest();
                unavailable(e)
            }
        }
    }

    /// Leaves the server alone for a while, and begins anew after it: a connection that hangs tells nobody.
    fn rest(&self) {
        if self.resting.swap(true, SeqCst) {
            return;
        }
        let link = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(REST_MS)).await;
            if let Ok(fresh) = connection(&link.client) {
                *link.manager.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
            }
            link.resting.store(false, SeqCst);
        });
    }
}
