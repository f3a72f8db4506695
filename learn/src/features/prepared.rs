//! What does the host part make of a column, beyond reading it?

use serde::{Deserialize, Serialize};

use super::column::{Column, ColumnKind, Vocabulary};
use super::curve::Curve;
use super::holidays::Holidays;
use super::statistics::Statistics;
use super::target_encoding::TargetTable;

/// What becomes of a column's values before the numeric part. What is fitted is kept as `f32`, which JSON gives back to the
/// last bit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prepared {
    /// Nothing more.
    #[default]
    Plain,
    /// No input of its own: read for what is made of several columns.
    Apart {
        /// Where one bin ends and the next begins, of a number that is crossed.
        edges: Vec<f32>,
    },
    /// A number is bent.
    Curve(Curve),
    /// A number becomes the code of its bin: the first of them from 2 on, 1 where missing. Bin `n` begins at edge `n - 1`.
    Bins {
        /// Where one bin ends and the next begins, rising.
        edges: Vec<f32>,
    },
    /// A category becomes the code of its bucket: 2 and its FNV-1a hash of 64 bits modulo the buckets, 1 where missing.
    Hashed {
        /// Number of buckets.
        buckets: usize,
    },
    /// A category becomes means of the target.
    Target(TargetTable),
    /// After the parts of a date comes a number that is 1 on these days.
    Holidays(Holidays),
    /// After the steps of a series come its figures.
    Statistics(Statistics),
}

impl Prepared {
    pub(crate) fn is_plain(&self) -> bool {
        self == &Self::Plain
    }
}

impl Column {
    /// Columns of `Encoded::numbers` it fills.
    pub(crate) fn numbers(&self) -> usize {
        match &self.prepared {
            Prepared::Apart { .. } | Prepared::Bins { .. } | Prepared::Hashed { .. } => 0,
            Prepared::Target(table) => table.width(),
            Prepared::Holidays(_) => self.kind.numbers() + 1,
            Prepared::Statistics(statistics) => self.steps() + statistics.width(),
            Prepared::Plain | Prepared::Curve(_) => self.kind.numbers(),
        }
    }

    /// Steps of a series that are numbers of their own.
    pub(crate) fn steps(&self) -> usize {
        match &self.prepared {
            Prepared::Statistics(statistics) if statistics.alone => 0,
            _ => self.kind.numbers(),
        }
    }

    /// Number of codes, of a column that fills one of `Encoded::codes`.
    pub(crate) fn cardinality(&self) -> Option<usize> {
        match (&self.prepared, &self.kind) {
            (Prepared::Bins { edges }, _) => Some(edges.len() + 1 + Vocabulary::FIRST as usize),
            (Prepared::Hashed { buckets }, _) => Some(buckets + Vocabulary::FIRST as usize),
            (Prepared::Plain, ColumnKind::Category { values }) => Some(values.cardinality()),
            _ => None,
        }
    }

    /// Whether it is a series that goes to the network step by step.
    pub(crate) fn is_sequence(&self) -> bool {
        let alone = matches!(&self.prepared, Prepared::Statistics(statistics) if statistics.alone);
        matches!(self.kind, ColumnKind::Series { flat: false, .. }) && !alone
    }
}

/// The code of a number's bin.
pub(super) fn bin(edges: &[f32], x: f32) -> i32 {
    match x.is_nan() {
        true => Vocabulary::MISSING,
        false => Vocabulary::FIRST + edges.partition_point(|&edge| edge <= x) as i32,
    }
}
