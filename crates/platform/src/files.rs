//! Files that only their owner reads.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Writes a file that only its owner reads (mode 0600), whole or not at all: a key that a power failure cut in
/// half would lock the bank's own people out.
///
/// # Errors
/// It can't be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = Path::new(&unfinished);
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(unfinished)?;
    // An unfinished file of an earlier try keeps its mode.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(unfinished, path)?;
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::File::open(dir)?.sync_all()?; // the name itself must outlive a power failure
    }
    Ok(())
}
