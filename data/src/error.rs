//! What can go wrong while reading and querying, and whose fault it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Shorthand for this crate's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose fault an error is, for exit codes and HTTP statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Something named does not exist.
    NotFound,
    /// The input is wrong.
    Invalid,
    /// The input is right, but we cannot do it.
    Unsupported,
    /// Memory or disk ran out.
    Exhausted,
    /// The name is taken.
    Conflict,
    /// Too much waits already; later there may be room.
    Busy,
    /// A file was changed or cut off.
    Corrupt,
    /// The machine, or another one that we asked, failed us.
    Io,
    /// We failed.
    Internal,
}

/// An error of this crate. Messages name the thing, the place and the remedy.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The user's rows, SQL or settings are wrong; the message says where and what to do.
    #[error("{0}")]
    Invalid(String),
    /// A named thing is missing.
    #[error("{0}")]
    NotFound(String),
    /// Asked for something that is not there yet.
    #[error("{0}")]
    Unsupported(String),
    /// A bound on memory or disk was reached.
    #[error("{0}")]
    Exhausted(String),
    /// A name is taken.
    #[error("{0}")]
    Conflict(String),
    /// Too much waits already.
    #[error("{0}")]
    Busy(String),
    /// A file was changed or cut off.
    #[error("{path}: {reason}", path = path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: Arc<std::io::Error>,
    },
    /// A server cannot be reached, or is not able to answer.
    #[error("{0}")]
    Unreachable(String),
    /// A promise of our own was broken.
    #[error("{0}; this is a bug in tidemill")]
    Internal(String),
}

impl Error {
    /// Whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::Exhausted(_) => ErrorKind::Exhausted,
            Self::Conflict(_) => ErrorKind::Conflict,
            Self::Busy(_) => ErrorKind::Busy,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => ErrorKind::Exhausted,
            Self::Io { .. } | Self::Unreachable(_) => ErrorKind::Io,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source: Arc::new(source) }
    }

    pub(crate) fn corrupt(path: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), reason: reason.into() }
    }

    pub(crate) fn internal(what: &str, why: impl std::fmt::Display) -> Self {
        Self::Internal(format!("{what}: {why}"))
    }
}

impl From<profile::OtherColumns> for Error {
    fn from(error: profile::OtherColumns) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// `; did you mean "x"?` where one of `known` is close to `asked`, nothing otherwise.
pub(crate) fn did_you_mean<'a>(asked: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let asked = asked.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&asked, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= name.chars().count().max(3) / 3)
        .min()
        .map(|(_, name)| format!("; did you mean \"{name}\"?"))
        .unwrap_or_default()
}
