//! Which settings are to be tried, and how are they looked for?

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A search for better settings: `tidemill tune`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TuneSpec {
    /// What may change: the path of a key below the model, such as `train.batch_size`, and the values to try.
    pub space: BTreeMap<String, RangeSpec>,
    /// How settings are chosen.
    pub strategy: StrategySpec,
    /// Settings to try at most.
    pub trials: usize,
    /// Time for the whole search in seconds, above 0; a trial that has begun is finished.
    pub budget_seconds: Option<f64>,
    /// The validation figure that decides, by its name in the evaluation; the one versions are compared by where absent.
    pub metric: Option<String>,
    /// Judges each trial by `evaluate.cross_validation` over training and validation rows instead of the validation part.
    pub cross_validation: bool,
    /// Trials at the same time; as many as cores and memory allow where absent. It does not change what is found.
    pub parallel: Option<usize>,
    /// Seed of the search; with the same one the same settings are tried.
    pub seed: u64,
}

impl Default for TuneSpec {
    fn default() -> Self {
        Self {
            space: BTreeMap::new(),
            strategy: StrategySpec::default(),
            trials: 32,
            budget_seconds: None,
            metric: None,
            cross_validation: false,
            parallel: None,
            seed: 42,
        }
    }
}

/// The values to try for one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RangeSpec {
    /// Real numbers from the first to the second, all as likely.
    Uniform([f64; 2]),
    /// Real numbers above 0 from the first to the second, every order of magnitude as likely: learning rates.
    LogUniform([f64; 2]),
    /// Whole numbers from the first to the second, both included.
    Int([i64; 2]),
    /// Whole numbers of at least 1 from the first to the second, every order of magnitude as likely: sizes.
    LogInt([i64; 2]),
    /// One of these values, whatever the key takes.
    Choice(Vec<Value>),
}

/// How settings are chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StrategySpec {
    /// Every combination; ranges of numbers give some points at equal distances.
    Grid(GridSpec),
    /// At random (Bergstra and Bengio 2012).
    Random(RandomSpec),
    /// Where good trials were more often than others: a tree-structured Parzen estimator (Bergstra et al. 2011).
    Tpe(TpeSpec),
    /// At random, many for a few epochs, and only the better ones for more: successive halving (Li et al. 2020).
    Halving(HalvingSpec),
}

impl Default for StrategySpec {
    fn default() -> Self {
        Self::Tpe(TpeSpec::default())
    }
}

/// Every combination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GridSpec {
    /// Points of a range of numbers, both ends included.
    pub points: usize,
}

impl Default for GridSpec {
    fn default() -> Self {
        Self { points: 4 }
    }
}

/// At random.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RandomSpec {}

/// Tree-structured Parzen estimator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TpeSpec {
    /// Trials at random before the estimator chooses.
    pub random_trials: usize,
    /// Values drawn for each choice, of which the most promising is tried.
    pub candidates: usize,
}

impl Default for TpeSpec {
    fn default() -> Self {
        Self { random_trials: 10, candidates: 24 }
    }
}

/// Successive halving.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HalvingSpec {
    /// Epochs of the first rung.
    pub epochs_min: usize,
    /// One of so many goes on to the next rung, which has so many times the epochs.
    pub factor: usize,
}

impl Default for HalvingSpec {
    fn default() -> Self {
        Self { epochs_min: 1, factor: 3 }
    }
}
