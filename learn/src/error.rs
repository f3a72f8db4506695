//! What can go wrong while learning, and whose fault it is.

use std::path::PathBuf;

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
    /// The user's rows or settings are wrong; the message says where and what to do.
    #[error("{0}")]
    Invalid(String),
    /// A named thing is missing.
    #[error("{0}")]
    NotFound(String),
    /// Asked for something that is not there yet.
    #[error("{0}")]
    Unsupported(String),
    /// A file of a model was changed or cut off.
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
        source: std::io::Error,
    },
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
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => ErrorKind::Exhausted,
            Self::Io { .. } => ErrorKind::Io,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// The same with the place in front; only where the input is wrong.
    pub(crate) fn at(self, place: &str) -> Self {
        match self {
            Self::Invalid(message) => Self::Invalid(format!("{place}: {message}")),
            Self::Unsupported(message) => Self::Unsupported(format!("{place}: {message}")),
            other => other,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }
}

/// `; did you mean "x"?` where one of `known` is close to `asked`, nothing otherwise.
pub(crate) fn did_you_mean<'a>(asked: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&asked.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= name.chars().count().max(3) / 3)
        .min()
        .map(|(_, name)| format!("; did you mean \"{name}\"?"))
        .unwrap_or_default()
}
