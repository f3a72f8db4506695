//! How does the step size change while training?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the step size changes while training. The optimizer's `learning_rate` is its largest value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// The same all the time.
    Constant(ConstantSchedule),
    /// Times a factor every few epochs.
    Step(StepSchedule),
    /// Down in a straight line to the last step.
    Linear(LinearSchedule),
    /// Down along half a cosine to the last step (Loshchilov and Hutter 2017).
    Cosine(CosineSchedule),
    /// Up along half a cosine, then down along another (Smith and Topin 2018).
    OneCycle(OneCycleSchedule),
    /// Times a factor whenever the watched validation figure has not got better for some epochs.
    OnPlateau(PlateauSchedule),
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Constant(ConstantSchedule::default())
    }
}

impl Schedule {
    /// As it is written in the project file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Constant(_) => "constant",
            Self::Step(_) => "step",
            Self::Linear(_) => "linear",
            Self::Cosine(_) => "cosine",
            Self::OneCycle(_) => "one_cycle",
            Self::OnPlateau(_) => "on_plateau",
        }
    }
}

/// A constant step size.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConstantSchedule {
    /// Epochs, or a part of one, in which the step size rises to `learning_rate` first.
    pub warm_up_epochs: f64,
    /// The same in steps; added to the epochs.
    pub warm_up_steps: usize,
}

/// A step size that falls every few epochs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StepSchedule {
    /// Epochs from one fall to the next, at least 1.
    pub every_epochs: usize,
    /// What the step size is multiplied by, above 0 and at most 1.
    pub factor: f64,
    /// Epochs, or a part of one, in which the step size rises to `learning_rate` first.
    pub warm_up_epochs: f64,
    /// The same in steps; added to the epochs.
    pub warm_up_steps: usize,
}

impl Default for StepSchedule {
    fn default() -> Self {
        Self { every_epochs: 10, factor: 0.1, warm_up_epochs: 0.0, warm_up_steps: 0 }
    }
}

/// A step size that falls in a straight line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LinearSchedule {
    /// Share of the step size that is left after the last step, 0 to 1.
    pub final_fraction: f64,
    /// Epochs, or a part of one, in which the step size rises to `learning_rate` first.
    pub warm_up_epochs: f64,
    /// The same in steps; added to the epochs.
    pub warm_up_steps: usize,
}

/// A step size that falls along half a cosine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CosineSchedule {
    /// Share of the step size that is left after the last step, 0 to 1.
    pub final_fraction: f64,
    /// Epochs, or a part of one, in which the step size rises to `learning_rate` first.
    pub warm_up_epochs: f64,
    /// The same in steps; added to the epochs.
    pub warm_up_steps: usize,
}

/// A step size that rises and falls once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OneCycleSchedule {
    /// Share of all steps in which it rises, above 0 and below 1.
    pub rise: f64,
    /// Share of `learning_rate` it begins with, above 0 and at most 1.
    pub initial_fraction: f64,
    /// Share of `learning_rate` it ends with, 0 to 1.
    pub final_fraction: f64,
}

impl Default for OneCycleSchedule {
    fn default() -> Self {
        Self { rise: 0.3, initial_fraction: 0.04, final_fraction: 0.000_004 }
    }
}

/// A step size that falls when training no longer helps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PlateauSchedule {
    /// Epochs without a gain before the step size falls, at least 1; less than `early_stopping.patience` to matter.
    pub patience: usize,
    /// What it is multiplied by, above 0 and below 1.
    pub factor: f64,
    /// What counts as a gain, at least 0.
    pub min_delta: f64,
    /// Share of `learning_rate` below which it does not fall, 0 to 1.
    pub min_fraction: f64,
    /// Epochs, or a part of one, in which the step size rises to `learning_rate` first.
    pub warm_up_epochs: f64,
    /// The same in steps; added to the epochs.
    pub warm_up_steps: usize,
}

impl Default for PlateauSchedule {
    fn default() -> Self {
        Self { patience: 2, factor: 0.1, min_delta: 0.0, min_fraction: 0.0, warm_up_epochs: 0.0, warm_up_steps: 0 }
    }
}
