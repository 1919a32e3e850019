//! Personal data at rest: sealed with a key that lives apart from the data.

use std::path::Path;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};

use crate::db::Fault;
use crate::dice::Dice;

const NONCE_BYTES: usize = 12;

/// The key for personal data. It never appears in text.
pub struct DataKey {
    cipher: ChaCha20Poly1305,
    dice: Dice,
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(***)")
    }
}

impl DataKey {
    /// A key of 32 bytes. `dice` gives a nonce per sealing: dice that repeat themselves, like seeded ones in a
    /// process that starts again on the same key, would give the sealed texts away.
    #[must_use]
    pub fn new(key: &[u8; 32], dice: Dice) -> Self {
        Self { cipher: ChaCha20Poly1305::new(key.into()), dice }
    }

    /// The key in `JANGBU_DATA_KEY` (64 hexadecimal digits), else in the file `data.key` of `dir`, made when missing.
    ///
    /// # Errors
    /// The key is not 32 bytes, or the file can't be read or written.
    pub fn open(dir: &Path, dice: Dice) -> Result<Self, Fault> {
        if let Ok(hex) = std::env::var("JANGBU_DATA_KEY") {
            let digit = |i: usize| hex.get(2 * i..2 * i + 2).and_then(|d| u8::from_str_radix(d, 16).ok());
            let bytes: Option<Vec<u8>> = (0..32).map(digit).collect();
            let key = bytes.filter(|_| hex.len() == 64).and_then(|b| <[u8; 32]>::try_from(b).ok());
            let key = key.ok_or_else(|| Fault::Damaged("JANGBU_DATA_KEY must be 64 hexadecimal digits".into()))?;
            return Ok(Self::new(&key, dice));
        }
        let path = dir.join("data.key");
        let broken = |e: std::io::Error| Fault::Storage { doing: "reading data.key".into(), why: e.to_string() };
        if !path.exists() {
            // Of several processes that open a new bank at once, all must go on with the one key that was kept.
            crate::files::create_private(&path, &dice.bytes::<32>()).map_err(broken)?;
        }
        let bytes = std::fs::read(&path).map_err(broken)?;
        let key: [u8; 32] = bytes.try_into().map_err(|_| Fault::Damaged("data.key is not 32 bytes".into()))?;
        Ok(Self::new(&key, dice))
    }

    /// Seals `plain` to the owner `of`: opened for another owner it fails.
    ///
    /// # Errors
    /// The text is too long to seal.
    pub fn seal(&self, of: &[u8], plain: &[u8]) -> Result<Vec<u8>, Fault> {
        let nonce = self.dice.bytes::<NONCE_BYTES>();
        let payload = Payload { msg: plain, aad: of };
        let sealed = self.cipher.encrypt(Nonce::from_slice(&nonce), payload);
        let sealed = sealed.map_err(|_| Fault::Damaged("personal data could not be sealed".into()))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed to `of`.
    ///
    /// # Errors
    /// It was sealed with another key or to another owner, or it is damaged.
    pub fn open_sealed(&self, of: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Fault> {
        let damaged = || Fault::Damaged("personal data can't be opened with this data key".into());
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES).ok_or_else(damaged)?;
        let payload = Payload { msg: sealed, aad: of };
        self.cipher.decrypt(Nonce::from_slice(nonce), payload).map_err(|_| damaged())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sealed_data_opens_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let key = DataKey::open(dir.path(), Dice::seeded(1)).unwrap();
        let sealed = key.seal(b"a", b"Kim").unwrap();
        assert!(!sealed.windows(3).any(|w| w == b"Kim"));
        assert_eq!(DataKey::open(dir.path(), Dice::seeded(2)).unwrap().open_sealed(b"a", &sealed).unwrap(), b"Kim");
        assert!(key.open_sealed(b"b", &sealed).is_err());
    }
}
