//! Sessions of browsers, begun by a token or by a link that is good once and for a short time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jangbu_kernel::time::Timestamp;

use super::{AuthError, Caller, Keyring, Role, token};
use crate::dice::Dice;

/// Links that may be open at a time.
const OPEN_LINKS_MAX: usize = 256;
/// How long a link waits for its click, in microseconds: a quarter of an hour.
const LINK_LIFE_US: i64 = 15 * 60 * 1_000_000;
/// How long the session behind it lasts.
const SESSION_TTL: Duration = Duration::from_secs(12 * 3_600);

/// Open login links of one process. They don't outlive it.
#[derive(Clone)]
pub struct LoginLinks(Arc<Inner>);

struct Inner {
    keyring: Keyring,
    dice: Dice,
    open: Mutex<HashMap<String, (Caller, Timestamp)>>,
}

impl std::fmt::Debug for LoginLinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoginLinks")
    }
}

impl LoginLinks {
    /// No links yet; sessions will be signed with `keyring`, link codes come from `dice`.
    #[must_use]
    pub fn new(keyring: Keyring, dice: Dice) -> Self {
        Self(Arc::new(Inner { keyring, dice, open: Mutex::default() }))
    }

    /// The secret part of a new link.
    ///
    /// # Errors
    /// [`AuthError::Use`] when too many links wait for their click.
    pub fn offer(&self, role: Role, subject: &str, now: Timestamp) -> Result<String, AuthError> {
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, (_, until)| *until > now);
        if open.len() >= OPEN_LINKS_MAX {
            return Err(AuthError::Use(format!("{OPEN_LINKS_MAX} login links wait for their click already")));
        }
        let code = token::hex(&self.0.dice.bytes::<32>());
        let caller = Caller { role, subject: subject.to_owned() };
        open.insert(code.clone(), (caller, now.plus_micros(LINK_LIFE_US)));
        Ok(code)
    }

    /// Takes a link, which is gone afterwards, for a session token and the seconds that it lasts.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] for a link that was used or never was, [`AuthError::Expired`] for an old one.
    pub fn redeem(&self, code: &str, now: Timestamp) -> Result<(String, u64), AuthError> {
        let found = self.0.open.lock().unwrap_or_else(PoisonError::into_inner).remove(code);
        let (caller, until) = found.ok_or(AuthError::Invalid)?;
        if until <= now {
            return Err(AuthError::Expired(until));
        }
        let session = self.0.keyring.issue(caller.role, &caller.subject, now, SESSION_TTL)?;
        Ok((session, SESSION_TTL.as_secs()))
    }

    /// A session for who shows a token, with the seconds that it lasts: no longer than the token would.
    ///
    /// # Errors
    /// The token is not a good one.
    pub fn exchange(&self, token: &str, now: Timestamp) -> Result<(String, u64), AuthError> {
        let (caller, until) = self.0.keyring.verify_until(token, now)?;
        let left = u64::try_from(until - now.micros().div_euclid(1_000_000)).unwrap_or(0);
        let ttl = SESSION_TTL.min(Duration::from_secs(left));
        Ok((self.0.keyring.issue(caller.role, &caller.subject, now, ttl)?, ttl.as_secs()))
    }
}
