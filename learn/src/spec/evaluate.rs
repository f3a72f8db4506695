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
}

impl Default for EvaluateSpec {
    fn default() -> Self {
        Self { threshold: Threshold::Auto, importance_rows_max: 1_000, worst_max: 24 }
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
