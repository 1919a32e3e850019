//! Files that only their owner reads.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Writes a file that only its owner reads (mode 0600), whole or not at all: a key that a power failure cut in
/// half would lock the bank's own people out.
///
/// # Errors
/// It can't be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = unfinished(path);
    write_whole(&unfinished, bytes)?;
    fs::rename(&unfinished, path)?;
    sync_dir(path)
}

/// The same, unless the file is there already: of several processes that make it at once, one does, and the others are
/// told `false` and find its file whole.
///
/// # Errors
/// It can't be written.
pub fn create_private(path: &Path, bytes: &[u8]) -> std::io::Result<bool> {
    let unfinished = unfinished(path);
    write_whole(&unfinished, bytes)?;
    let linked = fs::hard_link(&unfinished, path); // refused where the name is taken
    fs::remove_file(&unfinished)?;
    match linked {
        Ok(()) => sync_dir(path).map(|()| true),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e),
    }
}

/// Where a file is written before it gets its name: each process has a place of its own.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    PathBuf::from(name)
}

fn write_whole(unfinished: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(unfinished)?;
    // An unfinished file of an earlier try keeps its mode.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_dir(path: &Path) -> std::io::Result<()> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::File::open(dir)?.sync_all()?; // the name itself must outlive a power failure
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_is_made_once_and_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        assert!(create_private(&path, b"first").unwrap());
        assert!(!create_private(&path, b"second").unwrap(), "it is there already");
        assert_eq!(fs::read(&path).unwrap(), b"first");
        write_private(&path, b"third").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"third");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing unfinished is left");
    }
}
