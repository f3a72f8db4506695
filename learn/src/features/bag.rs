//! Weighted terms: thousands of inputs of which a row has few, so only those are kept.

use serde::{Deserialize, Serialize};

/// The weighted terms of one text column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BagBlock {
    /// Number of terms there are.
    pub width: usize,
    /// Where the terms of each row end; those of the first begin at 0.
    ends: Vec<usize>,
    /// The terms of all rows, ascending within a row.
    terms: Vec<u32>,
    /// Their weights.
    weights: Vec<f32>,
}

/// The terms of one text, each an input with its weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BagInput {
    /// The column.
    pub name: String,
    /// Number of terms.
    pub width: usize,
}

impl BagBlock {
    /// No rows yet.
    pub(crate) fn new(width: usize) -> Self {
        Self { width, ..Self::default() }
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Terms of all rows together.
    pub(crate) fn entries(&self) -> usize {
        self.terms.len()
    }

    /// The terms of a row, ascending, and their weights.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        (&self.terms[start..self.ends[row]], &self.weights[start..self.ends[row]])
    }

    /// Adds a row of terms below `width`, ascending.
    pub(crate) fn push(&mut self, row: impl IntoIterator<Item = (u32, f32)>) {
        for (term, weight) in row {
            self.terms.push(term);
            self.weights.push(weight);
        }
        self.ends.push(self.terms.len());
    }

    /// Adds the rows of another block of the same column.
    pub(crate) fn append(&mut self, other: &Self) {
        let before = self.terms.len();
        self.ends.extend(other.ends.iter().map(|end| before + end));
        self.terms.extend_from_slice(&other.terms);
        self.weights.extend_from_slice(&other.weights);
    }

    /// A copy of these rows.
    pub(crate) fn take(&self, rows: impl IntoIterator<Item = usize>) -> Self {
        let mut taken = Self::new(self.width);
        for row in rows {
            let (terms, weights) = self.row(row);
            taken.push(terms.iter().copied().zip(weights.iter().copied()));
        }
        taken
    }

    /// Writes a row: `[width]`, 0 for the terms it has not.
    pub(crate) fn write(&self, row: usize, out: &mut [f32]) {
        out.fill(0.0);
        let (terms, weights) = self.row(row);
        for (&term, &weight) in terms.iter().zip(weights) {
            out[term as usize] = weight;
        }
    }

    /// Bytes held.
    pub(crate) fn memory_bytes(&self) -> usize {
        8 * (self.ends.len() + self.terms.len())
    }
}
