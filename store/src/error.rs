//! What can go wrong in the data folder, and whose fault it is.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Shorthand for this crate's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose fault an error is, for exit codes and HTTP statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Something named does not exist.
    NotFound,
    /// The input is wrong.
    Invalid,
    /// Another release of Tidemill wrote this folder.
    Unsupported,
    /// The disk is full.
    Exhausted,
    /// Another process has the folder, or it was opened for reading, or the state does not allow it.
    Conflict,
    /// A file was changed or cut off.
    Corrupt,
    /// The machine failed us.
    Io,
    /// We failed.
    Internal,
}

/// An error of this crate. Messages name the thing, the place and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A named thing is missing.
    #[error("{0}")]
    NotFound(String),
    /// A name or a value is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The folder is of another release.
    #[error("{0}")]
    Unsupported(String),
    /// The state of the folder does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// A file is missing, cut off or changed.
    #[error("{path}: {reason}", path = path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What differs, and what to do.
        reason: String,
    },
    /// The disk, or the user's share of it, is full.
    #[error("{path}: no space left ({reason}); free some space on this disk and try again", path = path.display())]
    Exhausted {
        /// The file or folder that could not be written.
        path: PathBuf,
        /// The system's word.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The database failed.
    #[error("{path}: {reason}", path = path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// SQLite's word.
        reason: String,
    },
    /// A promise of our own was broken.
    #[error("{0}; this is a bug in tidemill")]
    Internal(String),
}

impl Error {
    /// Whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::Conflict(_) => ErrorKind::Conflict,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Exhausted { .. } => ErrorKind::Exhausted,
            Self::Io { .. } | Self::Database { .. } => ErrorKind::Io,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// An error of the file system at `path`; a full disk is told apart.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        match is_full(&source) {
            true => Self::Exhausted { path: path.into(), reason: source.to_string() },
            false => Self::Io { path: path.into(), source },
        }
    }

    pub(crate) fn corrupt(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.into(), reason: reason.into() }
    }

    /// An error of SQLite on the database file `path`.
    pub(crate) fn database(path: &Path, source: &rusqlite::Error) -> Self {
        let reason = source.to_string();
        if is_conversion(source) {
            return Self::corrupt(path, format!("holds a value of the wrong kind ({reason}); restore it from a copy"));
        }
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Exhausted { path: path.into(), reason },
            // SQLite hides a full disk behind other codes when it is the WAL or its index that cannot grow.
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if disk_is_full(path) => {
                Self::Exhausted { path: path.into(), reason }
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::corrupt(
                path,
                format!(
                    "{reason}; restore it from a copy, or move it away: the versions under models/ are registered \
                     again on the next start"
                ),
            ),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Conflict(format!(
                "{}: another program holds the database ({reason}); close it and try again",
                path.display()
            )),
            _ => Self::Database { path: path.into(), reason },
        }
    }
}

/// Inside a transaction: our own errors and SQLite's, the latter without their place yet.
pub(crate) enum Fault {
    Ours(Error),
    Sql(rusqlite::Error),
}

impl Fault {
    /// The error, with SQLite's placed at the database file `path`.
    pub(crate) fn at(self, path: &Path) -> Error {
        match self {
            Self::Ours(error) => error,
            Self::Sql(error) => Error::database(path, &error),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// A value that our own writes never leave there: the file was changed.
fn is_conversion(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    matches!(error, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..))
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Tries to write one page beside the database; asked only after it failed.
fn disk_is_full(database: &Path) -> bool {
    let probe = database.with_extension("probe");
    let written = std::fs::write(&probe, [1; 8192]);
    let _ = std::fs::remove_file(&probe); // nothing depends on it, and the first error is the one to tell
    written.is_err_and(|error| is_full(&error))
}
