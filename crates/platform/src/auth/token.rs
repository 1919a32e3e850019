//! The compact form: `base64url(header).base64url(claims).base64url(signature)` (RFC 7515, RFC 8037).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ed25519_dalek::{Signature, Signer as _};
use serde::{Deserialize, Serialize};

use super::keys::SigningKeyFile;
use super::{AuthError, Role};

/// Longest token that is looked at.
pub const TOKEN_BYTES_MAX: usize = 1_024;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// What the bearer may be.
    pub role: Role,
    /// Who the bearer is.
    pub sub: String,
    /// When it was made, seconds since 1970.
    pub iat: i64,
    /// From when on it is worth nothing, seconds since 1970.
    pub exp: i64,
    /// Its own number.
    pub jti: String,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

/// A token taken apart; nothing of it is proved yet.
pub(super) struct Parts<'a> {
    pub(super) kid: String,
    signed: &'a str,
    claims: &'a str,
    signature: Signature,
}

pub(super) fn sign(key: &SigningKeyFile, claims: &Claims) -> String {
    let header = Header { alg: "EdDSA".to_owned(), kid: key.kid().to_owned() };
    let header = serde_json::to_vec(&header).expect("two strings serialize");
    let claims = serde_json::to_vec(claims).expect("strings and integers serialize");
    let mut token = format!("{}.{}", B64.encode(header), B64.encode(claims));
    let signature = key.key().sign(token.as_bytes());
    token.push('.');
    token.push_str(&B64.encode(signature.to_bytes()));
    token
}

pub(super) fn split(token: &str) -> Result<Parts<'_>, AuthError> {
    parts(token).ok_or(AuthError::Invalid)
}

fn parts(token: &str) -> Option<Parts<'_>> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let header: Header = serde_json::from_slice(&B64.decode(header).ok()?).ok()?;
    if header.alg != "EdDSA" {
        return None; // the token never chooses how it is verified
    }
    let signature = Signature::from_slice(&B64.decode(signature).ok()?).ok()?;
    Some(Parts { kid: header.kid, signed, claims, signature })
}

pub(super) fn open(key: &SigningKeyFile, parts: &Parts<'_>) -> Result<Claims, AuthError> {
    let proved = key.key().verifying_key().verify_strict(parts.signed.as_bytes(), &parts.signature);
    proved.map_err(|_| AuthError::Invalid)?;
    let claims = B64.decode(parts.claims).map_err(|_| AuthError::Invalid)?;
    serde_json::from_slice(&claims).map_err(|_| AuthError::Invalid)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// Exactly `N` bytes from hexadecimal digits, else nothing.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|v| u8::try_from(v).ok());
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (value(pair[0])? << 4) | value(pair[1])?;
    }
    Some(out)
}
