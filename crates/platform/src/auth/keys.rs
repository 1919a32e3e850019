//! Key files: one Ed25519 seed each, in hexadecimal, named by the instant of its making so that names sort by age.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use ed25519_dalek::SigningKey;
use jangbu_kernel::time::Timestamp;

use super::{AuthError, KEYS_MAX, token};
use crate::dice::Dice;

/// How key files end.
const ENDING: &str = ".ed25519";

/// A key and its name.
pub(super) struct SigningKeyFile {
    kid: String,
    key: SigningKey,
}

impl SigningKeyFile {
    pub(super) fn from_seed(kid: String, seed: [u8; 32]) -> Self {
        Self { kid, key: SigningKey::from_bytes(&seed) }
    }
    pub(super) fn kid(&self) -> &str {
        &self.kid
    }
    /// When it was made, by its name.
    pub(super) fn made_at(&self) -> Option<Timestamp> {
        let (micros, _) = self.kid.split_once('-').filter(|(micros, _)| micros.len() == 16)?;
        i64::from_str_radix(micros, 16).ok().map(Timestamp::from_micros)
    }
    pub(super) fn key(&self) -> &SigningKey {
        &self.key
    }
}

fn failed(doing: &str, path: &Path, why: impl ToString) -> AuthError {
    AuthError::Files { doing: format!("{doing} {}", path.display()), why: why.to_string() }
}

/// The names of a directory's keys, oldest first; none when the directory is missing.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, AuthError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed("list", dir, e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(|e| failed("list", dir, e))?.file_name();
        names.extend(name.to_str().and_then(|name| name.strip_suffix(ENDING)).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// All keys of a directory, oldest first; none when the directory is missing.
pub(super) fn load(dir: &Path) -> Result<Vec<SigningKeyFile>, AuthError> {
    let names = names(dir)?;
    if names.len() > KEYS_MAX {
        return Err(failed("use", dir, format!("it holds more than {KEYS_MAX} keys; remove old ones")));
    }
    names.into_iter().map(|kid| read(&dir.join(format!("{kid}{ENDING}")), &kid)).collect()
}

fn read(path: &Path, kid: &str) -> Result<SigningKeyFile, AuthError> {
    let mode = fs::metadata(path).map_err(|e| failed("read", path, e))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(failed("use", path, "others may read it; chmod 600 it, and rotate if anybody could have"));
    }
    let text = fs::read_to_string(path).map_err(|e| failed("read", path, e))?;
    let seed = token::unhex::<32>(text.trim()).ok_or_else(|| failed("use", path, "it is not 64 hexadecimal digits"))?;
    Ok(SigningKeyFile::from_seed(kid.to_owned(), seed))
}

/// Makes a key and its file.
pub(super) fn create(dir: &Path, now: Timestamp, dice: &Dice) -> Result<SigningKeyFile, AuthError> {
    fs::create_dir_all(dir).map_err(|e| failed("make", dir, e))?;
    let seed = dice.bytes::<32>();
    let kid = format!("{:016x}-{}", now.micros().max(0), token::hex(&dice.bytes::<4>()));
    let path = dir.join(format!("{kid}{ENDING}"));
    crate::files::write_private(&path, token::hex(&seed).as_bytes()).map_err(|e| failed("write", &path, e))?;
    Ok(SigningKeyFile::from_seed(kid, seed))
}

/// Removes the file of a key.
pub(super) fn remove(dir: &Path, kid: &str) -> Result<(), AuthError> {
    let path = dir.join(format!("{kid}{ENDING}"));
    fs::remove_file(&path).map_err(|e| failed("remove", &path, e))
}
