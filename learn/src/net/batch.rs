//! Which rows does a step work on?

use crate::features::{Encoded, NumericPart};

/// Rows of encoded features.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch<'a> {
    /// How they become the network's input.
    pub(crate) numeric: &'a NumericPart,
    /// The features.
    pub(crate) encoded: &'a Encoded,
    /// The rows.
    pub(crate) rows: &'a [u32],
}
