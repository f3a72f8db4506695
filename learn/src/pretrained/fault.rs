//! What is wrong with a file, before it is said which file.

use std::path::Path;

use crate::Error;

/// Why a file is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is cut off, or its parts contradict one another.
    Broken(String),
    /// It is whole, but holds what we do not read.
    Refused(String),
}

/// Shorthand for results of the parsers.
pub(super) type Parsed<T> = Result<T, Fault>;

impl Fault {
    /// The error of this file.
    pub(super) fn at(self, path: &Path) -> Error {
        match self {
            Self::Broken(reason) => Error::Corrupt { path: path.into(), reason },
            Self::Refused(reason) => Error::Unsupported(format!("{}: refused: {reason}", path.display())),
        }
    }
}

/// A file that contradicts itself or is cut off.
pub(super) fn broken<T>(reason: impl Into<String>) -> Parsed<T> {
    Err(Fault::Broken(reason.into()))
}

/// A file that holds what is not read.
pub(super) fn refused<T>(reason: impl Into<String>) -> Parsed<T> {
    Err(Fault::Refused(reason.into()))
}
