//! What is done about classes of different size?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is done about classes of different size in the training rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// Nothing.
    #[default]
    None,
    /// Rows of a rare class count more in the loss, so that every class counts the same.
    Weights,
    /// Rows of a rare class are drawn more often, until every class has as many as the largest.
    Oversample,
}
