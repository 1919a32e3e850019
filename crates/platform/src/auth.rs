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
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
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
/// How often a ring looks whether another process added keys or took some away, in microseconds.
const LOOK_EVERY_US: u64 = 5_000_000;
/// How long a process may go on signing with a key after a newer one was made, in microseconds: an hour is plenty.
const OVERLAP_US: i64 = 3_600 * 1_000_000;

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
    /// When the directory was looked at, for all that may have changed and for a key that nobody here knows.
    looked_at: AtomicI64,
    sought_at: AtomicI64,
    /// Grows with each change of the keys.
    generation: AtomicU64,
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
            looked_at: AtomicI64::new(i64::MIN),
            sought_at: AtomicI64::new(i64::MIN),
            generation: AtomicU64::new(0),
        }))
    }

    /// Adds a key, which signs from now on. Tokens of the older keys stay good until they expire. Other processes of the
    /// bank sign with it some seconds later, and take its tokens at once.
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
        self.0.generation.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Takes a key away: its tokens are worth nothing from now on, and some seconds later in other processes of the bank.
    /// The last key stays.
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
        self.0.generation.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// The names of the keys, oldest first; the last one signs.
    #[must_use]
    pub fn kids(&self) -> Vec<String> {
        self.keys().into_iter().map(|known| known.kid).collect()
    }

    /// What is known of the keys, oldest first; the last one signs.
    #[must_use]
    pub fn keys(&self) -> Vec<KnownKey> {
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        let made: Vec<Option<Timestamp>> = keys.iter().map(SigningKeyFile::made_at).collect();
        let longest = i64::try_from(TTL_SECONDS_MAX).unwrap_or(i64::MAX).saturating_mul(1_000_000) + OVERLAP_US;
        let known = |(at, key): (usize, &SigningKeyFile)| KnownKey {
            kid: key.kid().to_owned(),
            made_at: made[at],
            // It signed until the next one was made, and for a moment after.
            needed_until: made.get(at + 1).copied().flatten().map(|next| next.plus_micros(longest)),
        };
        keys.iter().enumerate().map(known).collect()
    }

    /// Takes away the keys of which no token can be good any more; their names.
    ///
    /// # Errors
    /// [`AuthError::Files`].
    pub fn retire_outlived(&self, now: Timestamp) -> Result<Vec<String>, AuthError> {
        let outlived = self.keys().into_iter().filter(|known| known.needed_until.is_some_and(|until| until < now));
        let kids: Vec<String> = outlived.map(|known| known.kid).collect();
        kids.iter().try_for_each(|kid| self.retire(kid))?;
        Ok(kids)
    }

    /// A number that grows when the keys change, by whichever process: whoever keeps a token of his own signs a new one.
    #[must_use]
    pub fn generation(&self, now: Timestamp) -> u64 {
        self.look(now);
        self.0.generation.load(Ordering::SeqCst)
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
        self.look(now);
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
        self.look(now);
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

    /// A key that another process has just made. Seldom, so that forged key names can't keep the disk busy.
    fn reload_if_unknown(&self, kid: &str, now: Timestamp) {
        let known = self.0.keys.read().unwrap_or_else(PoisonError::into_inner).iter().any(|key| key.kid() == kid);
        if !known && is_due(&self.0.sought_at, now) {
            self.reload();
        }
    }

    /// Now and then: another process of the bank may have rotated, or retired a key.
    fn look(&self, now: Timestamp) {
        if self.0.dir.is_some() && is_due(&self.0.looked_at, now) {
            self.reload();
        }
    }

    fn reload(&self) {
        let Some(dir) = &self.0.dir else { return };
        // Under the lock: what another thread found later must not be overwritten by what this one found before.
        let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        match keys::names(dir) {
            Ok(kids) if kids.iter().map(String::as_str).eq(keys.iter().map(SigningKeyFile::kid)) => return,
            Ok(_) => {}
            Err(e) => return tracing::warn!(error = %e, "could not look for new keys; the keys in memory stay"),
        }
        match keys::load(dir) {
            Ok(found) if !found.is_empty() => {
                *keys = found;
                self.0.verified.clear();
                self.0.generation.fetch_add(1, Ordering::SeqCst);
            }
            Ok(_) => tracing::warn!("the key directory is empty; the keys in memory stay"),
            Err(e) => tracing::warn!(error = %e, "could not read new keys; the keys in memory stay"),
        }
    }
}

/// What is known of a signing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// Its name.
    pub kid: String,
    /// When it was made; unknown of one that got its name by hand.
    pub made_at: Option<Timestamp>,
    /// Until when a token that it signed may be good; unknown of the one that signs.
    pub needed_until: Option<Timestamp>,
}

/// Whether it is time to look again; of several callers one is told so.
fn is_due(last: &AtomicI64, now: Timestamp) -> bool {
    let (before, now) = (last.load(Ordering::SeqCst), now.micros());
    before.abs_diff(now) >= LOOK_EVERY_US
        && last.compare_exchange(before, now, Ordering::SeqCst, Ordering::SeqCst).is_ok()
}

#[cfg(test)]
mod tests;
