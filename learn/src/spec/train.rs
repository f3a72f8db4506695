//! How is it trained?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Loss, Schedule};

/// Training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSpec {
    /// Passes over the training rows, at least 1.
    pub epochs: usize,
    /// Rows per step, at least 1.
    pub batch_size: usize,
    /// How weights follow their gradients.
    #[serde(alias = "optimiser")]
    pub optimizer: Optimizer,
    /// How the step size changes while training.
    pub schedule: Schedule,
    /// What is made small.
    pub loss: Loss,
    /// L2 decay of the weights (not of the biases), added to the gradient as PyTorch's `weight_decay`.
    pub weight_decay: f64,
    /// Ends training when validation no longer gains.
    pub early_stopping: EarlyStopping,
    /// Seed of the split, the first weights, the order of rows and dropout.
    pub seed: u64,
    /// Where the network is trained: `auto` or `cpu`.
    pub device: String,
}

impl Default for TrainSpec {
    fn default() -> Self {
        Self {
            epochs: 30,
            batch_size: 128,
            optimizer: Optimizer::default(),
            schedule: Schedule::default(),
            loss: Loss::Auto,
            weight_decay: 0.0,
            early_stopping: EarlyStopping::default(),
            seed: 42,
            device: "auto".into(),
        }
    }
}

/// How weights follow their gradients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd(SgdSpec),
    /// Adam (Kingma and Ba 2015).
    Adam(AdamSpec),
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::Adam(AdamSpec::default())
    }
}

impl Optimizer {
    /// As it is written in the project file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sgd(_) => "sgd",
            Self::Adam(_) => "adam",
        }
    }

    /// The step size; the largest one where a schedule changes it.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::Sgd(of) => of.learning_rate,
            Self::Adam(of) => of.learning_rate,
        }
    }
}

/// Stochastic gradient descent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SgdSpec {
    /// Step size, above 0; the largest one where a schedule changes it.
    pub learning_rate: f64,
    /// Share of the last step kept, 0 to below 1.
    pub momentum: f64,
}

impl Default for SgdSpec {
    fn default() -> Self {
        Self { learning_rate: 0.01, momentum: 0.0 }
    }
}

/// Adam.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdamSpec {
    /// Step size, above 0; the largest one where a schedule changes it.
    pub learning_rate: f64,
    /// Decay of the mean of gradients, 0 to below 1.
    pub beta1: f64,
    /// Decay of the mean of squared gradients, 0 to below 1.
    pub beta2: f64,
    /// Added to the root of the squared gradients, above 0.
    pub epsilon: f64,
}

impl Default for AdamSpec {
    fn default() -> Self {
        Self { learning_rate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

/// Ends training when validation no longer gains; the best epoch's weights are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EarlyStopping {
    /// Whether training may end before its last epoch.
    pub enabled: bool,
    /// The validation figure that is watched.
    pub metric: WatchedMetric,
    /// Epochs without a gain before training ends, at least 1.
    pub patience: usize,
    /// What counts as a gain, at least 0.
    pub min_delta: f64,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { enabled: true, metric: WatchedMetric::Auto, patience: 5, min_delta: 0.0 }
    }
}

/// A validation figure that training watches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WatchedMetric {
    /// Accuracy for classes; root mean squared error for numbers, or the loss where it is an absolute or a quantile's.
    #[default]
    Auto,
    /// The loss itself.
    Loss,
    /// Share of right answers.
    Accuracy,
    /// Area under the ROC curve; two classes.
    Auc,
    /// Root mean squared error, in the target's units.
    Rmse,
}
