//! Who may write? The one process that holds `DATA/lock`; the system gives the lock back when that process ends,
//! however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::{Error, Result};

/// The right to write, until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Closing would do, but for a child process that is just being started and still has a copy of the file.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Takes the lock of a data folder and writes who has it: process id and command, one line each.
    pub(crate) fn take(folder: &Path) -> Result<Self> {
        let path = folder.join("lock");
        // Not truncated on opening: until the lock is ours the text belongs to its holder.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| Error::io(&path, source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(folder, &mut file)),
            Err(TryLockError::Error(source)) => return Err(Error::io(&path, source)),
        }
        let text = format!("{}\n{}\n", std::process::id(), command());
        // A full disk must not forbid opening: who wants to free space may have to open first. The lock itself holds.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        Ok(Self { file })
    }
}

/// Program and command word only: further arguments can hold secrets.
fn command() -> String {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    let program = Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    match arguments.next() {
        Some(word) if !word.to_string_lossy().starts_with('-') => format!("{program} {}", word.to_string_lossy()),
        _ => program,
    }
}

fn in_use(folder: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    let _ = file.take(1024).read_to_string(&mut text); // without it the message is only less exact
    let mut lines = text.lines();
    let holder = match (lines.next().and_then(|line| line.parse::<u32>().ok()), lines.next()) {
        (Some(id), _) if id == std::process::id() => "this process already".to_owned(),
        (Some(id), Some(command)) => format!("process {id} ({command})"),
        (Some(id), None) => format!("process {id}"),
        (None, _) => "another process".to_owned(),
    };
    Error::Conflict(format!(
        "data folder \"{}\" is in use: {holder} has it open for writing; wait for that process or stop it first",
        folder.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn second_taker_is_refused_until_the_first_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::take(folder.path()).unwrap();
        let error = Lock::take(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("this process already"), "{error}");
        assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
        drop(lock);
        Lock::take(folder.path()).unwrap();
    }

    #[test]
    fn holder_is_told_from_the_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let cases = [
            ("1\ntidemill serve\n", "process 1 (tidemill serve)"),
            ("1\n", "process 1 has"),
            ("", "another process"),
            ("nonsense", "another process"),
        ];
        for (text, expected) in cases {
            std::fs::write(&path, text).unwrap();
            let error = in_use(folder.path(), &mut File::open(&path).unwrap());
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
