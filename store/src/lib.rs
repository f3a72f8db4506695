//! What did we do, what have we got: runs and model versions in one data folder, crash-safe.
//!
//! ```text
//! DATA/tidemill.db             SQLite (WAL): every run, epoch, trial, version, promotion and failure is a row
//! DATA/lock                    held by the one process that writes; holds its id and command
//! DATA/models/<model>/<n>/     one version: the caller's files, manifest.json, manifest.sha256
//! DATA/runs/<id>/              checkpoints of runs that can still be resumed
//! DATA/snapshots/              rows that versions learned from, a file for each content
//! DATA/staging/                versions being written; emptied on open
//! DATA/rejected/<model>-<n>/   folders found under models/ that were no complete version
//! ```
//!
//! Good for: one writer process with many threads, any number of reading processes beside it.
//! Not for: bulk rows (Parquet), two writers, network file systems without locks.

mod champion;
mod checkpoints;
mod database;
mod error;
mod files;
mod lock;
mod manifest;
mod repair;
mod runs;
mod snapshots;
mod staging;
#[cfg(test)]
mod tests;
mod trials;
mod versions;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;

pub use champion::Promotion;
pub use error::{Error, ErrorKind, Result};
pub use files::write_atomic;
pub use manifest::{Manifest, ManifestFile, verify};
pub use repair::Repairs;
pub use runs::{Epoch, Run, RunId, RunOutcome, RunStatus};
pub use snapshots::{Pruned, Snapshot, SnapshotSummary, StagedSnapshot};
pub use staging::{PrimaryMetric, Staging, VersionSummary};
pub use trials::Trial;
pub use versions::{Failure, Leaderboard, Version};

/// One data folder. A cheap handle: clones share the connection and the lock, which the last clone gives back.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    /// Held for single statements and short transactions only; hashing and copying happen outside.
    connection: Mutex<Connection>,
    /// Serialises the last steps of registering versions, so that numbers have no gaps; nothing else waits for it.
    registering: Mutex<()>,
    staged: AtomicU64,
    repairs: Repairs,
    /// None: opened for reading. Last field: given back after the connection is closed.
    lock: Option<lock::Lock>,
}

impl Store {
    /// Opens, or makes, the data folder for this process alone, and repairs what a crash left behind (see [`Repairs`]).
    ///
    /// # Errors
    /// `Conflict` when another process has it open (names its id and the folder), `Unsupported` when a newer Tidemill
    /// wrote it, `Corrupt` when the database is damaged, `Exhausted` when the disk is full.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = files::create_folder(folder.as_ref())?;
        let lock = lock::Lock::take(&folder)?;
        for name in ["models", "runs", "staging"] {
            files::create_folder(&folder.join(name))?;
        }
        let connection = database::open(&folder)?;
        let mut inner = Inner {
            folder,
            connection: Mutex::new(connection),
            registering: Mutex::new(()),
            staged: AtomicU64::new(0),
            repairs: Repairs::default(),
            lock: Some(lock),
        };
        inner.repairs = inner.repair()?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Opens the data folder for reading, beside a writer or without one. Every write is refused with `Conflict`.
    ///
    /// # Errors
    /// `NotFound` when there is no data folder yet, `Unsupported` when another release of Tidemill wrote it.
    pub fn read_only(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = files::absolute(folder.as_ref())?;
        let inner = Inner {
            connection: Mutex::new(database::open_read_only(&folder)?),
            folder,
            registering: Mutex::new(()),
            staged: AtomicU64::new(0),
            repairs: Repairs::default(),
            lock: None,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The data folder, absolute.
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// What opening had to repair; empty after an orderly end, and for readers.
    pub fn repairs(&self) -> &Repairs {
        &self.inner.repairs
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Store")
            .field("folder", &self.inner.folder)
            .field("writes", &self.inner.lock.is_some())
            .finish_non_exhaustive()
    }
}

/// Checks a model's name, so that no name can leave the data folder.
///
/// # Errors
/// `Invalid` unless it is 1 to 64 of `a-z`, `0-9`, `_` and `-`.
pub fn check_model_name(name: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    let more = if shown.len() < name.len() { "..." } else { "" };
    Err(Error::Invalid(format!(
        "model name {shown:?}{more} is not allowed; use 1 to 64 of the characters a-z, 0-9, \"_\" and \"-\""
    )))
}
