//! What is in the columns of a table? Types, missing values, quantiles, histograms, most frequent values.
//!
//! *Good for*: the loops of `data` that have every value of a table in their hands. They are a crate of their own because
//! they are optimised fully in every build, which the rest of `data` is too large for.
//! *Not for*: reading tables, judging what was found (`data`).

mod counter;
pub mod hash;
mod numbers;
mod profiler;
mod state;

use serde::{Deserialize, Serialize};

pub use counter::Already;
pub use numbers::{Sample, as_numbers};
pub use profiler::{Column, OtherColumns, Profiler, is_bytes, kind, sample_max};
pub use state::ColumnState;

/// Metadata key of a field that holds pictures: `encoded` for picture files, `HxWxC` for raw pixels.
pub const IMAGE_METADATA: &str = "tidemill.image";

/// What a table holds, column by column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TableProfile {
    /// Rows seen.
    pub rows: u64,
    /// One profile for each column, in the table's order.
    pub columns: Vec<ColumnProfile>,
}

impl TableProfile {
    /// The profile of a column.
    pub fn column(&self, name: &str) -> Option<&ColumnProfile> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// What the values of a column mean to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// A quantity.
    Number,
    /// One of a set of texts.
    Category,
    /// True or false.
    Boolean,
    /// A day or a point in time.
    Date,
    /// A picture.
    Image,
    /// Free text.
    Text,
}

/// What a column holds. Figures of numbers leave infinities out; of dates they are seconds since 1970 UTC; of text, none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnProfile {
    /// The column's name.
    pub name: String,
    /// What its values mean.
    pub kind: ColumnKind,
    /// Its Arrow type, such as `Float64`.
    pub data_type: String,
    /// `HxWxC` of raw pixels, `encoded` of picture files.
    pub image: Option<String>,
    /// Rows without a value (null, or NaN).
    pub missing: u64,
    /// Rows with an infinite value.
    pub infinite: u64,
    /// Different values, missing ones not counted.
    pub distinct: u64,
    /// `distinct` is an estimate (HyperLogLog, standard error 1.6 %).
    pub distinct_approximate: bool,
    /// Lowest value.
    pub min: Option<f64>,
    /// Highest value.
    pub max: Option<f64>,
    /// Arithmetic mean.
    pub mean: Option<f64>,
    /// Standard deviation of the sample (divisor n - 1).
    pub std: Option<f64>,
    /// Share and value: 1, 5, 25, 50, 75, 95 and 99 %, interpolated; from a random sample where there are many rows.
    pub quantiles: Vec<(f64, f64)>,
    /// Rows in bins of equal width.
    pub histogram: Option<Histogram>,
    /// Most frequent values and how often, falling; lower bounds where `distinct_approximate`.
    pub top: Vec<(String, u64)>,
}

impl ColumnProfile {
    /// The quantile of this share (0.01, 0.05, 0.25, 0.5, 0.75, 0.95 or 0.99).
    pub fn quantile(&self, share: f64) -> Option<f64> {
        self.quantiles.iter().find(|(q, _)| (q - share).abs() < 1e-9).map(|(_, value)| *value)
    }
}

/// Rows in bins of equal width.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Borders of the bins, one more than bins, rising; a bin holds its lower border, the last one both.
    pub edges: Vec<f64>,
    /// Rows in each bin; scaled up from a random sample where there are many rows.
    pub counts: Vec<u64>,
}
