//! Who may add rows to a stream? The one that holds its lock; the system gives it back however its holder ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// The right to add rows, until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Takes the lock of a stream's folder.
    pub(crate) fn take(folder: &Path) -> Result<Self> {
        let path = folder.join("lock");
        // Not truncated on opening: until the lock is ours the text belongs to its holder.
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(|e| Error::io(&path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.take(32).read_to_string(&mut holder); // without it the message is only less exact
                let holder = match holder.trim().parse::<u32>() {
                    Ok(id) if id == std::process::id() => "this process already".to_owned(),
                    Ok(id) => format!("process {id}"),
                    Err(_) => "another process".to_owned(),
                };
                return Err(Error::Conflict(format!(
                    "{holder} adds rows to {}; wait for it or stop it first",
                    folder.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(Error::io(&path, error)),
        }
        let text = format!("{}\n", std::process::id());
        // A full disk must not forbid opening: the lock itself holds.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        Ok(Self { file })
    }
}
