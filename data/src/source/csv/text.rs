//! The text of one file, piece by piece; faults name the file.

use std::path::{Path, PathBuf};

use delimited::{Dialect, Fault, FaultKind, Piece, Pieces};

use super::super::packing::unreadable;
use crate::error::{Error, Result};
use crate::source::{Input, Place, open_text};
use crate::spec::Encoding;

/// A file of delimited text.
pub(super) struct Text {
    pub(super) path: PathBuf,
    pub(super) dialect: Dialect,
    pieces: Pieces,
    /// The piece that comes next, where it was looked at before.
    next: Option<Piece>,
    has_begun: bool,
}

impl Text {
    /// Opens a file.
    pub(super) fn open(path: &Input, dialect: Dialect, encoding: Encoding) -> Result<Self> {
        let pieces = Pieces::new(open_text(path, encoding)?, dialect);
        Ok(Self { path: path.to_path_buf(), dialect, pieces, next: None, has_begun: false })
    }

    /// The next piece; none at the end of the file. An empty file is refused.
    pub(super) fn next(&mut self) -> Result<Option<Piece>> {
        if let Some(piece) = self.next.take() {
            return Ok(Some(piece));
        }
        let piece = self.pieces.read().map_err(|fault| broken(&self.path, fault))?;
        match std::mem::replace(&mut self.has_begun, true) || piece.is_some() {
            true => Ok(piece),
            false => Err(Error::invalid(format!("{} is empty", self.path.display()))),
        }
    }

    /// Takes the memory of a piece back that is done with.
    pub(super) fn reuse(&mut self, piece: Piece) {
        self.pieces.reuse(piece);
    }

    /// The fields of the first record, which is taken away; none where there is none.
    pub(super) fn take_first(&mut self) -> Result<Option<Vec<String>>> {
        while let Some(mut piece) = self.next()? {
            let first = piece.take_first(self.dialect).map_err(|fault| broken(&self.path, fault))?;
            if first.is_some() {
                self.next = Some(piece);
                return Ok(first);
            }
        }
        Ok(None)
    }
}

/// What is wrong with a file, and where.
pub(super) fn broken(path: &Path, fault: Fault) -> Error {
    match fault.kind {
        FaultKind::Read(error) => unreadable(path, error),
        kind => Error::invalid(format!("{}: {kind}", Place(path, fault.line))),
    }
}
