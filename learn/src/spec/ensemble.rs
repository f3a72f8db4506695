//! Which networks answer together, and how are their answers combined?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NetSpec, TrainSpec};

/// Several networks that answer together. Each learns from the same training rows; how their answers are combined is learned
/// from the validation rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnsembleSpec {
    /// The networks, 1 to 64.
    pub members: Vec<MemberSpec>,
    /// How their answers become one.
    #[serde(default)]
    pub combine: Combine,
}

/// A network of an ensemble.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberSpec {
    /// The network; any but an ensemble.
    pub network: NetSpec,
    /// How it is trained; where absent, as the model says. The loss is always the model's.
    #[serde(default)]
    pub train: Option<TrainSpec>,
}

impl MemberSpec {
    /// The files and folders it names.
    pub(super) fn paths_mut(&mut self) -> Vec<&mut String> {
        let start = self.train.as_mut().and_then(|train| train.start_from.as_mut());
        self.network.paths_mut().into_iter().chain(start).collect()
    }
}

/// How the answers of several networks (probabilities of classes, or values) become one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// Their mean.
    Mean,
    /// A mean that counts those more whose part in it makes the answers for the validation rows better (greedy selection,
    /// Caruana et al. 2004).
    #[default]
    Weighted,
    /// A regression of the truth on the answers for the validation rows, no answer counting below 0 (Wolpert 1992, Breiman
    /// 1996): logistic for classes, linear for values.
    Stacking,
}
