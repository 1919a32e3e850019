//! Credentials: compact tokens signed with the bank's Ed25519 keys (JWS compact form, `alg` `EdDSA`, RFC 8037).
//!
//! | step | cost |
//! |---|---|
//! | first sight of a token | one signature check, about 40 microseconds |
//! | every later sight | one hash and one comparison of the text; a signature is never believed by its hash alone |
//!
//! A token is a bearer's: whoever has it is the subject until it expires. So files that hold keys are for their
//! owner only (mode 0600), and tokens never reach a log.

mod cache;
mod keys;
mod links;
mod token;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jangbu_contracts::codes::Code;
use jangbu_kernel::time::Timestamp;

use crate::db::Key;
use crate::dice::Dice;
use cache::Verified;
use keys::SigningKeyFile;
pub use links::LoginLinks;
pub use token::{Claims, TOKEN_BYTES_MAX};

/// Longest subject: with its role it fits the 64 characters that an idempotency key's caller has.
pub const SUBJECT_CHARS_MAX: usize = 48;
/// Longest life of a token, in seconds: a year.
pub const TTL_SECONDS_MAX: u64 = 366 * 86_400;
/// Keys that one ring holds at most; more means that retired keys were never removed.
pub const KEYS_MAX: usize = 16;
/// How often a ring looks for keys that another process added, at most, in microseconds.
const RELOAD_INTERVAL_US: i64 = 5_000_000;

/// What a caller may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Staff of the bank.
    Operator,
    /// A service of the bank, or a system that the bank trusts.
    Service,
    /// A customer; the subject is the customer's id.
    Customer,
}

impl Role {
    /// The stable text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Operator => "operator",
            Role::Service => "service",
            Role::Customer => "customer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = AuthError;
    fn from_str(text: &str) -> Result<Self, AuthError> {
        [Role::Operator, Role::Service, Role::Customer]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| AuthError::Use(format!("{text:?} is no role; roles are operator, service, customer")))
    }
}

/// Who is asking, proved by a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// What they may be.
    pub role: Role,
    /// Who they are.
    pub subject: String,
}

impl Caller {
    /// An idempotency key of this caller: callers never see each other's keys.
    #[must_use]
    pub fn key(&self, key: &str) -> Key {
        Key { caller: self.to_string(), key: key.to_owned() }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.role, self.subject)
    }
}

/// Why a credential is not taken, or keys can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Not a token that this bank signed, or changed since.
    #[error("the token is not one that this bank signed")]
    Invalid,
    /// It was good once.
    #[error("the token expired at {0}")]
    Expired(Timestamp),
    /// The request for a token makes no sense.
    #[error("{0}")]
    Use(String),
    /// Key files can't be read or written.
    #[error("could not {doing}: {why}")]
    Files {
        /// What was being done.
        doing: String,
        /// What the operating system said.
        why: String,
    },
}

impl AuthError {
    /// The code that a caller sees.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            AuthError::Invalid | AuthError::Use(_) => Code::CredentialInvalid,
            AuthError::Expired(_) => Code::CredentialExpired,
            AuthError::Files { .. } => Code::Internal,
        }
    }
}

/// The bank's signing keys: the newest signs, all verify.
#[derive(Clone)]
pub struct Keyring(Arc<Inner>);

struct Inner {
    dir: Option<PathBuf>,
    keys: RwLock<Vec<SigningKeyFile>>,
    verified: Verified,
    dice: Dice,
    looked_at: std::sync::atomic::AtomicI64,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring")
    }
}

impl Keyring {
    /// Loads the keys of `dir`; makes the directory and a first key when there are none.
    ///
    /// # Errors
    /// [`AuthError::Files`] when files can't be read or written, hold no key, or others may read them.
    pub fn load_or_create(dir: &Path, now: Timestamp) -> Result<Keyring, AuthError> {
        let dice = Dice::from_os();
        let mut keys = keys::load(dir)?;
        if keys.is_empty() {
            keys.push(keys::create(dir, now, &dice)?);
        }
        Ok(Self::with(Some(dir.to_owned()), keys, dice))
    }

    /// A ring with one key that is nowhere on disk and follows from `dice` alone: for simulations and tests.
    #[must_use]
    pub fn in_memory(dice: Dice) -> Keyring {
        let key = SigningKeyFile::from_seed("memory".to_owned(), dice.bytes());
        Self::with(None, vec![key], dice)
    }

    fn with(dir: Option<PathBuf>, keys: Vec<SigningKeyFile>, dice: Dice) -> Keyring {
        Keyring(Arc::new(Inner {
            dir,
            keys: RwLock::new(keys),
            verified: Verified::default(),
            dice,
            looked_at: std::sync::atomic::AtomicI64::new(i64::MIN),
        }))
    }

    /// Adds a key, which signs from now on. Tokens of the older keys stay good until they expire.
    ///
    /// # Errors
    /// [`AuthError::Files`]; [`AuthError::Use`] when the ring is full.
    pub fn rotate(&self, now: Timestamp) -> Result<(), AuthError> {
        let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEYS_MAX {
            return Err(AuthError::Use(format!("the ring has {KEYS_MAX} keys; retire one first")));
        }
        let key = match &self.0.dir {
            Some(dir) => keys::create(dir, now, &self.0.dice)?,
            None => SigningKeyFile::from_seed(format!("memory-{}", keys.len()), self.0.dice.bytes()),
        };
        keys.push(key);
        Ok(())
    }

    /// Takes a key away: its tokens are worth nothing from now on. The last key stays.
    ///
    /// # Errors
    /// [`AuthError::Files`]; [`AuthError::Use`] for an unknown or the only key.
    pub fn retire(&self, kid: &str) -> Result<(), AuthError> {
        let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() < 2 || !keys.iter().any(|key| key.kid() == kid) {
            return Err(AuthError::Use(format!("{kid:?} is not one of several keys")));
        }
        if let Some(dir) = &self.0.dir {
            keys::remove(dir, kid)?;
        }
        keys.retain(|key| key.kid() != kid);
        self.0.verified.clear();
        Ok(())
    }

    /// The names of the keys, oldest first; the last one signs.
    #[must_use]
    pub fn kids(&self) -> Vec<String> {
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter().map(|key| key.kid().to_owned()).collect()
    }

    /// A token for `subject`, good for `ttl` from `now`.
    ///
    /// # Errors
    /// [`AuthError::Use`] when the subject is empty, too long or not plain text, or `ttl` is none or too long.
    pub fn issue(&self, role: Role, subject: &str, now: Timestamp, ttl: Duration) -> Result<String, AuthError> {
        if subject.is_empty() || subject.len() > SUBJECT_CHARS_MAX || !subject.bytes().all(|b| b.is_ascii_graphic()) {
            let why = format!("a subject is 1 to {SUBJECT_CHARS_MAX} printable ASCII characters without spaces");
            return Err(AuthError::Use(why));
        }
        let seconds = ttl.as_secs();
        if seconds == 0 || seconds > TTL_SECONDS_MAX {
            return Err(AuthError::Use(format!("a token lives 1 second to {TTL_SECONDS_MAX} seconds")));
        }
        let iat = now.micros().div_euclid(1_000_000);
        let claims = Claims {
            role,
            sub: subject.to_owned(),
            iat,
            exp: iat + i64::try_from(seconds).unwrap_or(0),
            jti: token::hex(&self.0.dice.bytes::<16>()),
        };
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.last().expect("a ring is never empty");
        Ok(token::sign(key, &claims))
    }

    /// Who the bearer of `token` is.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] and [`AuthError::Expired`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Caller, AuthError> {
        self.verify_until(token, now).map(|(caller, _)| caller)
    }

    /// Who the bearer of `token` is, and until which second since 1970.
    fn verify_until(&self, token: &str, now: Timestamp) -> Result<(Caller, i64), AuthError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(AuthError::Invalid);
        }
        let seconds = now.micros().div_euclid(1_000_000);
        let (caller, exp) = match self.0.verified.get(token) {
            Some(known) => known,
            None => self.verify_signature(token, now)?,
        };
        if exp <= seconds {
            return Err(AuthError::Expired(Timestamp::from_micros(exp.saturating_mul(1_000_000))));
        }
        Ok((caller, exp))
    }

    fn verify_signature(&self, token: &str, now: Timestamp) -> Result<(Caller, i64), AuthError> {
        let parts = token::split(token)?;
        self.reload_if_unknown(&parts.kid, now);
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.iter().find(|key| key.kid() == parts.kid).ok_or(AuthError::Invalid)?;
        let claims = token::open(key, &parts)?;
        let caller = Caller { role: claims.role, subject: claims.sub };
        // Still under the lock of the keys: a key that is retired meanwhile must not leave its tokens behind here.
        self.0.verified.put(token, &caller, claims.exp);
        Ok((caller, claims.exp))
    }

    /// Another process of the bank may have rotated. Seldom, so that forged key names can't keep the disk busy.
    fn reload_if_unknown(&self, kid: &str, now: Timestamp) {
        use std::sync::atomic::Ordering::SeqCst;
        let Some(dir) = &self.0.dir else { return };
        if self.0.keys.read().unwrap_or_else(PoisonError::into_inner).iter().any(|key| key.kid() == kid) {
            return;
        }
        let last = self.0.looked_at.load(SeqCst);
        if now.micros().saturating_sub(last) < RELOAD_INTERVAL_US
            || self.0.looked_at.compare_exchange(last, now.micros(), SeqCst, SeqCst).is_err()
        {
            return;
        }
        match keys::load(dir) {
            Ok(found) if !found.is_empty() => {
                *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = found;
                self.0.verified.clear();
            }
            Ok(_) => tracing::warn!("the key directory is empty; the keys in memory stay"),
            Err(e) => tracing::warn!(error = %e, "could not look for new keys; the keys in memory stay"),
        }
    }
}

#[cfg(test)]
mod tests;
