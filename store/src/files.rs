//! How do bytes get on the disk so that a crash leaves the old file or the new one? Write beside, sync, rename, sync the
//! folder. Every step that changes the disk goes through this file, so that tests can fail each of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

/// Replaces the file at `path` with `bytes`: readers see the old file or the new one, never a half, also after a crash.
/// The folder must exist. Calls on one path may run at the same time; one of them comes last.
///
/// # Errors
/// `Exhausted` when the disk is full, else `Io`; the old file is untouched then.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let temporary = temporary_beside(path)?;
    let written = write_synced(&temporary, bytes).and_then(|()| rename(&temporary, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary); // the error to tell is the first one
        return Err(error);
    }
    sync_parent(path)
}

/// The absolute path of a folder that exists.
pub(crate) fn absolute(folder: &Path) -> Result<PathBuf> {
    fs::canonicalize(folder).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => {
            Error::NotFound(format!("no data folder at \"{}\"; \"tidemill run\" makes it", folder.display()))
        }
        _ => Error::io(folder, source),
    })
}

/// Makes the folder and its parents, synced, and returns its absolute path.
pub(crate) fn create_folder(folder: &Path) -> Result<PathBuf> {
    if !folder.is_dir() {
        if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            create_folder(parent)?;
        }
        step(folder)?;
        match fs::create_dir(folder) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => return Err(Error::io(folder, source)),
            _ => sync_parent(folder)?,
        }
    }
    let absolute = fs::canonicalize(folder).map_err(|source| Error::io(folder, source))?;
    if !absolute.is_dir() {
        return Err(Error::Invalid(format!("\"{}\" is a file, not a folder; name another place", folder.display())));
    }
    Ok(absolute)
}

/// Moves a file or a folder; the caller syncs the folders.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    step(to)?;
    fs::rename(from, to).map_err(|source| Error::io(to, source))
}

/// Removes a folder and all in it; one that is not there is fine.
pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    step(folder)?;
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::io(folder, source)),
        _ => Ok(()),
    }
}

/// Removes a file; one that is not there is fine.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    step(path)?;
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::io(path, source)),
        _ => Ok(()),
    }
}

/// Makes the names in a folder durable. (Windows has no such call and needs none.)
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    step(folder)?;
    match cfg!(unix) {
        true => File::open(folder).and_then(|file| file.sync_all()).map_err(|source| Error::io(folder, source)),
        false => Ok(()),
    }
}

/// Makes the bytes of an open file durable.
pub(crate) fn sync_file(file: &File, path: &Path) -> Result<()> {
    step(path)?;
    file.sync_all().map_err(|source| Error::io(path, source))
}

/// The entries of a folder, sorted by path; none if it is not there.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = match fs::read_dir(folder) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing.map_err(|source| Error::io(folder, source))?,
    };
    let mut paths = listing
        .map(|entry| entry.map(|entry| entry.path()).map_err(|source| Error::io(folder, source)))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    step(path)?;
    let mut file =
        OpenOptions::new().write(true).create_new(true).open(path).map_err(|source| Error::io(path, source))?;
    step(path)?;
    file.write_all(bytes).map_err(|source| Error::io(path, source))?;
    sync_file(&file, path)
}

fn sync_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
}

/// A name of its own for each call, so that two writers of one path do not share a file.
fn temporary_beside(path: &Path) -> Result<PathBuf> {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let Some(name) = path.file_name() else {
        return Err(Error::Invalid(format!("\"{}\" names no file", path.display())));
    };
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{call}.tmp", std::process::id()));
    Ok(path.with_file_name(temporary))
}

/// Before each change of the disk: nothing. In tests, the place where a fault is injected.
#[cfg(not(test))]
#[inline]
pub(crate) fn step(_path: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) use crate::tests::faults::step;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn writes_and_replaces_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        for bytes in [&b"one"[..], b"", b"three, longer than before"] {
            write_atomic(&path, bytes).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        assert_eq!(entries(folder.path()).unwrap(), [path]);
    }

    #[test]
    fn errors_name_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing").join("report.html");
        let error = write_atomic(&missing, b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("missing"), "{error}");
        assert_eq!(write_atomic("/", b"x").unwrap_err().kind(), ErrorKind::Invalid);
        let file = folder.path().join("file");
        fs::write(&file, b"x").unwrap();
        assert_eq!(create_folder(&file).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn many_writers_of_one_path_never_mix() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.json");
        std::thread::scope(|scope| {
            for writer in 0..4_u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..10 {
                        write_atomic(path, &vec![writer; 4096]).unwrap();
                        let seen = fs::read(path).unwrap();
                        assert_eq!(seen.len(), 4096);
                        assert!(seen.iter().all(|byte| *byte == seen[0]));
                    }
                });
            }
        });
    }
}
