//! Calls to other services: the same request whether the other lives in this process or behind a socket.
//!
//! | outcome | what is known | what to do |
//! |---|---|---|
//! | [`Outcome::Reply`] | it took effect as answered | go on |
//! | [`Outcome::Refusal`] | it took no effect | give the refusal on |
//! | [`Outcome::Unknown`] | it may have taken effect | ask again by the same key, or by one's own reference |
//!
//! Busy answers and connections that could not even be made are tried again here, a bounded number of times and
//! within the deadline: nothing took effect, so the same key is safe. Everything else that fails is unknown.

mod wire;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderValue, Method, Request, header};
use jangbu_contracts::problem::Problem;
use jangbu_kernel::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::auth::{Keyring, Role};
use crate::clock::{Clock, ticks};
use crate::context::{Context, Trace};
use crate::db::Fault;
use crate::dice::Dice;
use crate::edge::{DEADLINE_HEADER, TRACE_HEADER};
use crate::probe;
pub use wire::{Fate, Meddler, REPLY_BYTES_MAX};
use wire::{Sent, Wire};

/// How long a call may take when its caller's own deadline allows it, in milliseconds.
pub const REPLY_MS_MAX: u64 = 10_000;
/// What is left of the caller's deadline for its own answer, in milliseconds.
const MARGIN_MS: u64 = 20;
/// Times that one call is tried while nothing took effect.
const TRIES_MAX: u32 = 4;
/// First wait between tries, in milliseconds; it doubles, and chance adds up to as much again.
const RETRY_MS: u64 = 20;
/// How long a service's own token is good, in seconds. It is renewed at half of it.
const TOKEN_TTL_S: u64 = 3_600;

/// What became of a call.
#[must_use = "whoever calls must handle a refusal and the unknown"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// Done.
    Reply(T),
    /// The other said no; nothing took effect.
    Refusal(Box<Problem>),
    /// Nobody knows whether it took effect.
    Unknown(String),
}

impl<T> Outcome<T> {
    /// For flows that have nothing to undo: the unknown as a fault.
    ///
    /// # Errors
    /// [`Fault::Unavailable`] when the outcome is unknown.
    pub fn known(self) -> Result<Result<T, Box<Problem>>, Fault> {
        match self {
            Outcome::Reply(reply) => Ok(Ok(reply)),
            Outcome::Refusal(problem) => Ok(Err(problem)),
            Outcome::Unknown(why) => Err(Fault::Unavailable(why)),
        }
    }
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status: 200 to 299, or that of a refusal.
    pub status: u16,
    /// Body.
    pub body: Bytes,
    /// Whether its key was answered before.
    pub replay: bool,
}

impl Reply {
    /// The problem, when the other said no.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        if self.status < 400 { None } else { serde_json::from_slice(&self.body).ok() }
    }
}

/// A call as its caller names it.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Name of the service.
    pub service: &'a str,
    /// Method.
    pub method: Method,
    /// Path below `/{service}/v1`, with its leading slash and its query.
    pub path: &'a str,
    /// Idempotency key; every call that changes something has one.
    pub key: Option<&'a str>,
    /// JSON; empty when there is none.
    pub body: Bytes,
}

/// Calls of one service to the others. Cheap to clone.
#[derive(Clone)]
pub struct Ask(Arc<Inner>);

struct Inner {
    /// Who asks; the subject of its tokens.
    name: String,
    shared: Arc<Shared>,
    token: Mutex<Option<Kept>>,
}

/// A service's own credential, until when it is used, and which state of the keys it was signed in.
struct Kept {
    token: HeaderValue,
    until: Timestamp,
    generation: u64,
}

struct Shared {
    keys: Keyring,
    clock: Arc<dyn Clock>,
    dice: Dice,
    services: RwLock<HashMap<String, Wire>>,
    client: wire::Client,
    meddler: RwLock<Option<Arc<dyn Meddler>>>,
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ask({})", self.0.name)
    }
}

impl Ask {
    /// Asks in the name of `name`. It knows nobody yet. Its own credential lives by `clock`, like all credentials.
    #[must_use]
    pub fn new(name: &str, keys: Keyring, clock: Arc<dyn Clock>, dice: Dice) -> Ask {
        let shared = Shared {
            keys,
            clock,
            dice,
            services: RwLock::default(),
            client: wire::client(),
            meddler: RwLock::default(),
        };
        Self::with(name, Arc::new(shared))
    }

    fn with(name: &str, shared: Arc<Shared>) -> Ask {
        Ask(Arc::new(Inner { name: name.to_owned(), shared, token: Mutex::default() }))
    }

    /// The same acquaintances, asked in the name of another service of this process.
    #[must_use]
    pub fn named(&self, name: &str) -> Ask {
        Self::with(name, Arc::clone(&self.0.shared))
    }

    /// Makes a service of this process known. It may open after those who will ask it.
    pub fn open_here(&self, service: &str, router: Router) {
        self.know(service, Wire::Here(router));
    }

    /// Makes a service of another process known by its base address, like `http://deposit:8080`.
    ///
    /// # Errors
    /// The address can't be read; as a sentence for people.
    pub fn open_there(&self, service: &str, base: &str) -> Result<(), String> {
        let wire = Wire::there(base).map_err(|why| format!("the address {base:?} of {service} {why}"))?;
        self.know(service, wire);
        Ok(())
    }

    fn know(&self, service: &str, wire: Wire) {
        self.0.shared.services.write().unwrap_or_else(PoisonError::into_inner).insert(service.to_owned(), wire);
    }

    /// Forgets a service of this process, so that its router can be dropped.
    pub fn close(&self, service: &str) {
        self.0.shared.services.write().unwrap_or_else(PoisonError::into_inner).remove(service);
    }

    /// Lets a simulation decide the fate of each call.
    pub fn meddle(&self, meddler: Option<Arc<dyn Meddler>>) {
        *self.0.shared.meddler.write().unwrap_or_else(PoisonError::into_inner) = meddler;
    }

    /// Makes a call and waits for what became of it, no longer than the request that this task answers may take.
    pub async fn call(&self, call: &Call<'_>) -> Outcome<Reply> {
        match self.answer(call).await {
            Ok(reply) => match reply.problem() {
                Some(problem) => Outcome::Refusal(Box::new(problem)),
                None => Outcome::Reply(reply),
            },
            Err(why) => Outcome::Unknown(why),
        }
    }

    /// The same for those who pass the answer on as it is, a refusal too.
    ///
    /// # Errors
    /// Nobody knows what became of the call; the text says why.
    pub async fn answer(&self, call: &Call<'_>) -> Result<Reply, String> {
        let shared = &self.0.shared;
        let now = ticks();
        let longest = now + Duration::from_millis(REPLY_MS_MAX);
        let (trace, deadline) = match Context::current() {
            Some(context) => (context.trace, longest.min(context.deadline - Duration::from_millis(MARGIN_MS))),
            None => (Trace::root(&shared.dice), longest),
        };
        let mut wait_ms = RETRY_MS;
        let mut tried = 0;
        loop {
            tried += 1;
            let sent = match tokio::time::timeout_at(deadline, self.send(call, trace, deadline)).await {
                Ok(sent) => sent,
                Err(_) => {
                    probe::reached("call-between-services-past-its-deadline");
                    return Err(format!("{} did not answer in time", call.service));
                }
            };
            let pause = Duration::from_millis(wait_ms + shared.dice.below(wait_ms));
            let again = tried < TRIES_MAX && ticks() + pause < deadline;
            match sent {
                Sent::Answer(reply) if reply.status == 429 && again => {}
                Sent::Never(_) if again => {}
                Sent::Answer(reply) => return judge(call.service, reply),
                Sent::Never(why) | Sent::Lost(why) => return Err(why),
            }
            probe::reached("call-between-services-tried-again");
            wait_ms *= 2;
            tokio::time::sleep(pause).await;
        }
    }

    /// Makes a call with a JSON body and reads the JSON reply.
    pub async fn call_json<B: Serialize, T: DeserializeOwned>(
        &self,
        service: &str,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&B>,
    ) -> Outcome<T> {
        let body = match body.map(serde_json::to_vec).transpose() {
            Ok(bytes) => Bytes::from(bytes.unwrap_or_default()),
            Err(e) => unreachable!("wire types are written as JSON: {e}"),
        };
        match self.call(&Call { service, method, path, key, body }).await {
            Outcome::Reply(reply) => match serde_json::from_slice(&reply.body) {
                Ok(value) => Outcome::Reply(value),
                Err(e) => Outcome::Unknown(format!("the answer of {service} can't be read: {e}")),
            },
            Outcome::Refusal(problem) => Outcome::Refusal(problem),
            Outcome::Unknown(why) => Outcome::Unknown(why),
        }
    }

    /// Reads something by `GET`.
    pub async fn get<T: DeserializeOwned>(&self, service: &str, path: &str) -> Outcome<T> {
        self.call_json::<(), T>(service, Method::GET, path, None, None).await
    }

    /// Changes something by `POST` under a key.
    pub async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        service: &str,
        path: &str,
        key: &str,
        body: &B,
    ) -> Outcome<T> {
        self.call_json(service, Method::POST, path, Some(key), Some(body)).await
    }

    async fn send(&self, call: &Call<'_>, trace: Trace, deadline: Instant) -> Sent {
        let shared = &self.0.shared;
        let wire = shared.services.read().unwrap_or_else(PoisonError::into_inner).get(call.service).cloned();
        let Some(wire) = wire else { return Sent::Never(format!("{} is not open", call.service)) };
        let request = match self.request(call, trace.child(&shared.dice), deadline) {
            Ok(request) => request,
            Err(why) => return Sent::Never(why),
        };
        let meddler = shared.meddler.read().unwrap_or_else(PoisonError::into_inner).clone();
        let fate = meddler.map_or(Fate::Arrives, |meddler| meddler.fate(&self.0.name, call));
        wire.send(&shared.client, request, fate).await
    }

    fn request(&self, call: &Call<'_>, trace: Trace, deadline: Instant) -> Result<Request<Bytes>, String> {
        let left = deadline.saturating_duration_since(ticks()).as_millis().max(1);
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("/{}/v1{}", call.service, call.path))
            .header(header::AUTHORIZATION, self.token()?)
            .header(TRACE_HEADER, trace.to_string())
            .header(DEADLINE_HEADER, left.to_string());
        if let Some(key) = call.key {
            request = request.header("idempotency-key", key);
        }
        if !call.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request.body(call.body.clone()).map_err(|e| format!("the call can't be written: {e}"))
    }

    /// This service's own credential, kept for half of its life, or until the keys change: the one that signed it may be
    /// retired.
    fn token(&self) -> Result<HeaderValue, String> {
        let now = self.0.shared.clock.now();
        let generation = self.0.shared.keys.generation(now);
        let mut kept = self.0.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_ref().filter(|kept| now < kept.until && kept.generation == generation) {
            return Ok(kept.token.clone());
        }
        let ttl = Duration::from_secs(TOKEN_TTL_S);
        let token = self.0.shared.keys.issue(Role::Service, &self.0.name, now, ttl).map_err(|e| e.to_string())?;
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|e| e.to_string())?;
        value.set_sensitive(true);
        let half = i64::try_from(TOKEN_TTL_S * 500_000).unwrap_or(0);
        *kept = Some(Kept { token: value.clone(), until: now.plus_micros(half), generation });
        Ok(value)
    }
}

/// What an answer means. A refusal is one only with its code: a 404 of some gateway in between is none of ours.
fn judge(service: &str, reply: Reply) -> Result<Reply, String> {
    let status = reply.status;
    if (200..300).contains(&status) {
        return Ok(reply);
    }
    match reply.problem() {
        // In use: an earlier try still runs, and nobody knows how it ends.
        Some(problem) if (400..500).contains(&status) && problem.code != "KEY_IN_USE" => Ok(reply),
        Some(problem) => Err(format!("{service}: {} {}", problem.code, problem.detail)),
        None => Err(format!("{service} answered {status} without saying why")),
    }
}

#[cfg(test)]
mod tests;
