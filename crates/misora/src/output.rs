//! Files that are whole or not there, and errors that tell what to do.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A request that is wrong as it stands: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub String);

/// Shorthand for an error that ends in exit code 2.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// Checks early that a file can be written where it is wanted, before any work is done.
///
/// # Errors
/// If the folder is missing or cannot be written to.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(usage(format!("{} is a folder: name a file to write", path.display())));
    }
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(usage(format!("the folder {} does not exist: make it first", folder.display())));
    }
    tempfile::NamedTempFile::new_in(&folder)
        .map(drop)
        .with_context(|| format!("nothing can be written in {}", folder.display()))
}

/// Writes a file so that it is whole or not there: beside its place first, then moved onto it.
///
/// # Errors
/// If the disk is full or the folder cannot be written; nothing is left behind.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = || format!("{} could not be written; nothing was left behind", path.display());
    let mut file = tempfile::Builder::new().prefix(".misora-").tempfile_in(folder_of(path)).with_context(failed)?;
    file.write_all(bytes).with_context(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).with_context(failed)?;
    }
    file.as_file().sync_all().with_context(failed)?;
    file.persist(path).with_context(failed)?;
    Ok(())
}

/// Reads a file that someone named, refusing one over `limit` bytes before reading it.
///
/// # Errors
/// If it is missing, is a folder, or too large.
pub(crate) fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let metadata = std::fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?;
    if metadata.is_dir() {
        return Err(usage(format!("{} is a folder: name a file", path.display())));
    }
    if metadata.len() > limit {
        let megabytes = |bytes: u64| bytes.div_ceil(1 << 20);
        return Err(usage(format!(
            "{} has {} MB, at most {} are read: make it smaller",
            path.display(),
            megabytes(metadata.len()),
            megabytes(limit)
        )));
    }
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// `boat.mp4` → `boat-2.mp4`; the only one of a kind keeps its name.
pub(crate) fn numbered(path: &Path, index: usize, count: usize) -> PathBuf {
    if count == 1 {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut name = format!("{stem}-{}", index + 1);
    if let Some(extension) = path.extension() {
        name += &format!(".{}", extension.to_string_lossy());
    }
    path.with_file_name(name)
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variations_are_numbered_and_a_single_clip_is_not() {
        assert_eq!(numbered(Path::new("a/boat.mp4"), 1, 3), Path::new("a/boat-2.mp4"));
        assert_eq!(numbered(Path::new("boat"), 0, 2), Path::new("boat-1"));
        assert_eq!(numbered(Path::new("boat.mp4"), 0, 1), Path::new("boat.mp4"));
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_when_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.mp4");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        // A folder stands where the file should go.
        std::fs::create_dir(folder.path().join("taken")).unwrap();
        write_whole(&folder.path().join("taken"), b"three").unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
