//! How long may the choice of a network take?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TimeBudget;

/// Networks that suit the columns are tried one after the other; the best of them, or several together, become the model. All
/// is decided by the validation rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AutoSpec {
    /// Time for all of it. What is tried depends on it, so that another machine may come to another network.
    pub time: TimeBudget,
}

impl Default for AutoSpec {
    fn default() -> Self {
        Self { time: TimeBudget(600.0) }
    }
}
