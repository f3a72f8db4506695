//! What does training make small?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What training makes small.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Cross-entropy for classes, mean squared error for numbers.
    #[default]
    Auto,
    /// Mean squared error; for classes against the one-hot target.
    #[serde(alias = "mse")]
    MeanSquaredError,
    /// Mean absolute error, which a few far values move little; numbers only.
    #[serde(alias = "mae")]
    MeanAbsoluteError,
    /// Squared for small errors, absolute for large ones (Huber 1964); numbers only.
    Huber(HuberSpec),
    /// The error of a quantile: the answer is the value that this share of the rows stays below; numbers only.
    Quantile(QuantileSpec),
    /// Binary cross-entropy on a sigmoid head; two classes.
    BinaryCrossEntropy,
    /// Cross-entropy on a softmax head.
    #[serde(alias = "cross_entropy")]
    CategoricalCrossEntropy,
    /// Cross-entropy in which rows that are answered well count little (Lin et al. 2017); for rare classes.
    Focal(FocalSpec),
}

impl Loss {
    /// As it is written in the project file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::MeanSquaredError => "mean_squared_error",
            Self::MeanAbsoluteError => "mean_absolute_error",
            Self::Huber(_) => "huber",
            Self::Quantile(_) => "quantile",
            Self::BinaryCrossEntropy => "binary_cross_entropy",
            Self::CategoricalCrossEntropy => "categorical_cross_entropy",
            Self::Focal(_) => "focal",
        }
    }
}

/// The Huber loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HuberSpec {
    /// Errors up to here count squared, above 0; in standard deviations of the target.
    pub delta: f64,
}

impl Default for HuberSpec {
    fn default() -> Self {
        Self { delta: 1.0 }
    }
}

/// The loss of a quantile.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QuantileSpec {
    /// The share of the rows whose values stay below the answer, above 0 and below 1; 0.5 is the median.
    pub quantile: f64,
}

impl Default for QuantileSpec {
    fn default() -> Self {
        Self { quantile: 0.5 }
    }
}

/// The focal loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FocalSpec {
    /// How much less a well answered row counts, at least 0; 0 is cross-entropy.
    pub gamma: f64,
}

impl Default for FocalSpec {
    fn default() -> Self {
        Self { gamma: 2.0 }
    }
}
