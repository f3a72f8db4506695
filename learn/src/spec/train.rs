//! How is it trained?

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Augment, Balance, BatchSize, Loss, Optimizer, Precision, Schedule};

/// Training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSpec {
    /// Passes over the training rows, at least 1.
    pub epochs: usize,
    /// Rows per step.
    pub batch_size: BatchSize,
    /// How weights follow their gradients.
    #[serde(alias = "optimiser")]
    pub optimizer: Optimizer,
    /// How the step size changes while training.
    pub schedule: Schedule,
    /// What is made small.
    pub loss: Loss,
    /// Share of a class' target that goes to all classes in equal parts, 0 to below 1; for cross-entropy.
    pub label_smoothing: f64,
    /// What a row counts in the loss by its class, at least 0; classes left out count 1.
    pub class_weights: BTreeMap<String, f64>,
    /// What is done about classes of different size.
    pub balance: Balance,
    /// Random changes to the training rows of every batch, such as turned pictures.
    pub augment: Augment,
    /// L2 decay of the weights (not of the biases), added to the gradient as PyTorch's `weight_decay`. `adamw` has its own.
    pub weight_decay: f64,
    /// L1 decay of the weights (not of the biases): this times the sign of a weight is added to its gradient.
    pub l1: f64,
    /// Largest norm of all gradients of a step together; larger ones are shortened to it.
    pub clip_norm: Option<f64>,
    /// Largest size of each number of a gradient; larger ones are cut to it, before `clip_norm`.
    pub clip_value: Option<f64>,
    /// Batches whose gradients make one step, at least 1; as batches so many times as large.
    pub accumulate: usize,
    /// A file of weights to begin with instead of random numbers: safetensors or PyTorch's, with the network's names, as
    /// the `weights.safetensors` of a version. The last layer begins anew where it is missing or has another shape.
    pub start_from: Option<String>,
    /// Tensors that are not learned, by name; `*` stands for any characters: `words.weight`, `layer.0.*`. The weights of a
    /// version have the names.
    pub freeze: Vec<String>,
    /// Ends training when validation no longer gains.
    pub early_stopping: EarlyStopping,
    /// Seed of the split, the first weights, the order of rows and dropout.
    pub seed: u64,
    /// Where the network is trained: `cpu`; in a build with the feature of that name `cuda:0`, `rocm:0`, `metal:0`,
    /// `vulkan:0` or `wgpu:0`, each with the number of the GPU, or `cuda:all` and so on for all GPUs of the machine, each with its share
    /// of every batch; `auto` for the first GPU through CUDA, ROCm or Metal, else the CPU.
    pub device: String,
    /// The numbers of matrix products and convolutions on a GPU; weights, sums, norms and losses stay in f32.
    pub precision: Precision,
}

impl Default for TrainSpec {
    fn default() -> Self {
        Self {
            epochs: 30,
            batch_size: BatchSize::Rows(128),
            optimizer: Optimizer::default(),
            schedule: Schedule::default(),
            loss: Loss::Auto,
            label_smoothing: 0.0,
            class_weights: BTreeMap::new(),
            balance: Balance::None,
            augment: Augment::default(),
            weight_decay: 0.0,
            l1: 0.0,
            clip_norm: None,
            clip_value: None,
            accumulate: 1,
            start_from: None,
            freeze: vec![],
            early_stopping: EarlyStopping::default(),
            seed: 42,
            device: "auto".into(),
            precision: Precision::F32,
        }
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
