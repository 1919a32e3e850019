//! Who is calling: signed tokens with a role, a subject and an end.
//!
//! Compact JWS (RFC 7515) with Ed25519. Several keys may stand at once: the newest signs, all verify, so that a
//! key is rotated without anybody being locked out.

use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ed25519_dalek::{Signature, Signer, SigningKey, Verifier};
use jangbu_kernel::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::db::Fault;
use crate::dice::Dice;

/// Verified tokens remembered, so that a token is verified once and not at every call.
const TOKENS_REMEMBERED_MAX: usize = 10_000;
/// Longest token looked at, bytes.
const TOKEN_BYTES_MAX: usize = 1_024;

/// What a caller may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Works at the bank.
    Operator,
    /// A program of the bank.
    Service,
    /// A customer; the subject is his id.
    Customer,
}

impl Role {
    /// The role of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Role> {
        match name {
            "operator" => Some(Role::Operator),
            "service" => Some(Role::Service),
            "customer" => Some(Role::Customer),
            _ => None,
        }
    }
}

/// Whose credential it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Caller {
    /// Role.
    pub role: Role,
    /// Person, program, or customer id.
    pub subject: String,
}

impl Caller {
    /// Short text that keys are kept under.
    #[must_use]
    pub fn tag(&self) -> String {
        let letter = match self.role {
            Role::Operator => 'o',
            Role::Service => 's',
            Role::Customer => 'c',
        };
        format!("{letter}:{}", self.subject)
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    #[serde(flatten)]
    caller: Caller,
    iat: i64,
    exp: i64,
    jti: String,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// Why a token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadToken {
    /// Not signed by this bank, or not a token.
    Invalid,
    /// Its time has passed.
    Expired,
}

/// The bank's signing keys.
pub struct Keyring {
    keys: Vec<(String, SigningKey)>,
    known: Mutex<HashMap<String, (Caller, i64)>>,
    dice: Dice,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({} keys)", self.keys.len())
    }
}

/// Writes a file that only its owner reads.
///
/// # Errors
/// It can't be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

impl Keyring {
    /// Reads the keys of a directory (files `signing-*.key`, by name; the last signs); makes one when there is none.
    ///
    /// # Errors
    /// The directory can't be read or written, or a key is damaged.
    pub fn open(dir: &Path, dice: &Dice) -> Result<Keyring, Fault> {
        let broken =
            |e: std::io::Error| Fault::Storage { doing: "reading the signing keys".into(), why: e.to_string() };
        let mut names: Vec<_> = std::fs::read_dir(dir)
            .map_err(broken)?
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .filter(|n| n.starts_with("signing-") && n.ends_with(".key"))
            .collect();
        names.sort();
        if names.is_empty() {
            write_private(&dir.join("signing-0001.key"), &dice.bytes::<32>()).map_err(broken)?;
            names.push("signing-0001.key".into());
        }
        let mut keys = Vec::new();
        for name in names {
            let bytes = std::fs::read(dir.join(&name)).map_err(broken)?;
            let bytes: [u8; 32] =
                bytes.try_into().map_err(|_| Fault::Damaged(format!("{name} is not a key of 32 bytes")))?;
            let kid = name.trim_start_matches("signing-").trim_end_matches(".key").to_owned();
            keys.push((kid, SigningKey::from_bytes(&bytes)));
        }
        Ok(Keyring { keys, known: Mutex::default(), dice: dice.clone() })
    }

    /// A token that is good until `now` plus `ttl_s` seconds.
    #[must_use]
    pub fn issue(&self, role: Role, subject: &str, now: Timestamp, ttl_s: i64) -> String {
        let (kid, key) = self.keys.last().expect("a keyring holds at least one key");
        let iat = now.micros() / 1_000_000;
        let caller = Caller { role, subject: subject.to_owned() };
        let jti = B64.encode(self.dice.bytes::<12>());
        let header = Header { alg: "EdDSA".into(), typ: "JWT".into(), kid: kid.clone() };
        let claims = Claims { caller, iat, exp: iat + ttl_s, jti };
        let part = |json: serde_json::Result<Vec<u8>>| B64.encode(json.unwrap_or_default());
        let signed = format!("{}.{}", part(serde_json::to_vec(&header)), part(serde_json::to_vec(&claims)));
        let signature = B64.encode(key.sign(signed.as_bytes()).to_bytes());
        format!("{signed}.{signature}")
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// It is not one of this bank's, or its time has passed.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Caller, BadToken> {
        let now_s = now.micros() / 1_000_000;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned();
        let (caller, exp) = match known {
            Some(known) => known,
            None => {
                let known = self.check(token).ok_or(BadToken::Invalid)?;
                let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                if all.len() >= TOKENS_REMEMBERED_MAX {
                    all.clear();
                }
                all.insert(token.to_owned(), known.clone());
                known
            }
        };
        if exp <= now_s { Err(BadToken::Expired) } else { Ok(caller) }
    }

    fn check(&self, token: &str) -> Option<(Caller, i64)> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&B64.decode(header).ok()?).ok()?;
        let (_, key) = self.keys.iter().find(|(kid, _)| *kid == header.kid && header.alg == "EdDSA")?;
        let signature = Signature::from_slice(&B64.decode(signature).ok()?).ok()?;
        key.verifying_key().verify(signed.as_bytes(), &signature).ok()?;
        let claims: Claims = serde_json::from_slice(&B64.decode(claims).ok()?).ok()?;
        Some((claims.caller, claims.exp))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_own_tokens_within_their_time_are_good() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (now, dice) = (Timestamp::from_micros(1_700_000_000_000_000), Dice::seeded(1));
        let ring = Keyring::open(dir.path(), &dice).unwrap();
        let token = ring.issue(Role::Operator, "kim", now, 60);
        assert_eq!(ring.verify(&token, now).unwrap().subject, "kim");
        assert_eq!(ring.verify(&token, now.plus_micros(60_000_000)), Err(BadToken::Expired));
        let again = Keyring::open(dir.path(), &dice).unwrap();
        assert!(again.verify(&token, now).is_ok(), "keys outlive the process");
        let stranger = Keyring::open(other.path(), &Dice::seeded(2)).unwrap();
        assert_eq!(stranger.verify(&token, now), Err(BadToken::Invalid));
        let forged = token.replacen(&token[40..44], "AAAA", 1);
        assert_eq!(ring.verify(&forged, now), Err(BadToken::Invalid));
        write_private(&dir.path().join("signing-0002.key"), &dice.bytes::<32>()).unwrap();
        let rotated = Keyring::open(dir.path(), &dice).unwrap();
        assert!(rotated.verify(&token, now).is_ok(), "old tokens stay good");
        assert_eq!(ring.verify(&rotated.issue(Role::Service, "x", now, 60), now), Err(BadToken::Invalid));
    }
}
