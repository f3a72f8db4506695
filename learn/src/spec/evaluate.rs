//! How are answers judged?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How answers are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateSpec {
    /// Of two classes, the probability from which the second one (in label order) is answered.
    pub threshold: Threshold,
    /// Rows whose columns are shuffled to see which ones matter; 0 leaves it out.
    pub importance_rows_max: usize,
    /// Wrong answers kept for the report, largest errors first.
    pub worst_max: usize,
    /// Training rows kept with a version, which its answers are explained against; of 0 it is a usual value of each column.
    pub background_rows_max: usize,
    /// Trains and judges on folds of all rows but the test rows too, to see how far the figures spread.
    pub cross_validation: Option<CrossValidationSpec>,
}

impl Default for EvaluateSpec {
    fn default() -> Self {
        Self {
            threshold: Threshold::Auto,
            importance_rows_max: 1_000,
            worst_max: 24,
            background_rows_max: 100,
            cross_validation: None,
        }
    }
}

/// The probability from which the positive class is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Threshold {
    /// One half.
    #[default]
    Auto,
    /// The one with the best F1 on the validation rows.
    BestF1,
    /// This probability, 0 to 1.
    At(f64),
}

/// Folds of the rows that are not kept for test. Each is judged by a model of other folds, a tenth of which chooses the epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CrossValidationSpec {
    /// How many folds.
    pub folds: usize,
    /// How rows come into folds.
    pub by: FoldsBy,
}

impl Default for CrossValidationSpec {
    fn default() -> Self {
        Self { folds: 5, by: FoldsBy::Stratified }
    }
}

/// How rows come into folds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FoldsBy {
    /// At random by the seed.
    Random,
    /// At random, with the share of each class the same in all folds; numbers are not stratified.
    Stratified,
    /// All rows of one group in the same fold.
    Group(FoldColumn),
    /// In the order of time: each fold is judged by a model of the rows before it.
    Time(FoldColumn),
}

/// A column that says to which fold a row belongs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FoldColumn {
    /// The group, which is not read as a feature; or a date, time stamp or number to order by.
    pub column: String,
}
