//! What do the fields of delimited text say? Where records and fields begin and end, what type they have, Arrow columns.
//!
//! *Good for*: the loops of `data` that have every byte of a text in their hands. They are a crate of their own because they
//! are optimised fully in every build, which the rest of `data` is too large for.
//! *Not for*: finding and opening files, encodings, headers, telling a user which file is broken (`data`).
//!
//! A text comes in [`Pieces`], each of whole records, so that several can be read at a time. The [`Records`] of a piece come
//! in blocks, and [`Column`]s take their values from them.

mod columns;
mod marks;
mod pieces;
mod records;
pub mod types;

pub use columns::{Column, Misfit, Nulls};
pub use pieces::{Piece, Pieces};
pub use records::{Block, COLUMNS_MAX, Records};
pub use types::{ColumnType, Inference};

/// Which characters mean what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Stands between two fields. Where it is a blank, a run of them is one.
    pub delimiter: u8,
    /// Encloses fields that hold the delimiter or line breaks; doubled inside of one it stands for itself.
    pub quote: Option<u8>,
    /// Lines that begin with it are left out.
    pub comment: Option<u8>,
    /// Whether blanks around a field are no part of it.
    pub trim: bool,
}

impl Dialect {
    /// Whether this character may stand before a field without being a part of it.
    #[inline]
    fn skips(&self, byte: u8) -> bool {
        (byte == b' ' || (byte == b'\t' && self.delimiter != b'\t')) && (self.trim || self.delimiter == b' ')
    }
}

/// Why a text cannot be read on, and the line, counted from 1, on which it is.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct Fault {
    /// The line.
    pub line: u64,
    /// The reason.
    pub kind: FaultKind,
}

/// Why a text cannot be read on, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum FaultKind {
    /// A quote without an end.
    #[error("a quote is opened and never closed; close it, or set quote: null if quotes are ordinary characters")]
    OpenQuote,
    /// Neither delimiter nor line end behind a closing quote.
    #[error(
        "text follows a closing quote; double the quotes inside of values, or set quote: null if they are ordinary \
         characters"
    )]
    AfterQuote,
    /// A byte that is no UTF-8.
    #[error("byte 0x{0:02x} is not UTF-8; set encoding, or save the file as UTF-8")]
    NotUtf8(u8),
    /// Fields of a record, and how many were expected.
    #[error("{}", ragged(*.0, *.1))]
    Fields(usize, usize),
    /// More columns than a table may have.
    #[error("more than {COLUMNS_MAX} columns")]
    Columns,
    /// A record without an end; the most megabytes of one.
    #[error("a record of more than {0} MB begins; a quote may be open, or the line ends missing")]
    Long(usize),
    /// The bytes could not be read.
    #[error(transparent)]
    Read(std::io::Error),
}

fn ragged(found: usize, expected: usize) -> String {
    let remedy = if found < expected { "add what is missing" } else { "quote values that hold the delimiter" };
    let fields = if found == 1 { "field" } else { "fields" };
    format!("{found} {fields} where {expected} were expected; {remedy}")
}

#[cfg(test)]
mod tests;
