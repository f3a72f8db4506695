//! How do weights follow their gradients?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How weights follow their gradients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd(SgdSpec),
    /// Adam (Kingma and Ba 2015).
    Adam(AdamSpec),
    /// Adam whose weight decay does not go through the gradient (Loshchilov and Hutter 2019).
    Adamw(AdamwSpec),
    /// AdaGrad (Duchi, Hazan and Singer 2011).
    Adagrad(AdagradSpec),
    /// AdaDelta (Zeiler 2012).
    Adadelta(AdadeltaSpec),
    /// RMSprop (Tieleman and Hinton 2012).
    Rmsprop(RmspropSpec),
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
            Self::Adamw(_) => "adamw",
            Self::Adagrad(_) => "adagrad",
            Self::Adadelta(_) => "adadelta",
            Self::Rmsprop(_) => "rmsprop",
        }
    }

    /// The step size; the largest one where a schedule changes it.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::Sgd(of) => of.learning_rate,
            Self::Adam(of) => of.learning_rate,
            Self::Adamw(of) => of.learning_rate,
            Self::Adagrad(of) => of.learning_rate,
            Self::Adadelta(of) => of.learning_rate,
            Self::Rmsprop(of) => of.learning_rate,
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
    /// Looks ahead along the kept step (Nesterov 1983); needs momentum.
    pub nesterov: bool,
}

impl Default for SgdSpec {
    fn default() -> Self {
        Self { learning_rate: 0.01, momentum: 0.0, nesterov: false }
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

/// AdamW.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdamwSpec {
    /// Step size, above 0; the largest one where a schedule changes it.
    pub learning_rate: f64,
    /// Decay of the mean of gradients, 0 to below 1.
    pub beta1: f64,
    /// Decay of the mean of squared gradients, 0 to below 1.
    pub beta2: f64,
    /// Added to the root of the squared gradients, above 0.
    pub epsilon: f64,
    /// Share of the weights (not of the biases) that a step of size 1 would take away, at least 0.
    pub weight_decay: f64,
}

impl Default for AdamwSpec {
    fn default() -> Self {
        Self { learning_rate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

/// AdaGrad.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdagradSpec {
    /// Step size, above 0; the largest one where a schedule changes it.
    pub learning_rate: f64,
    /// Added to the root of the squared gradients, above 0.
    pub epsilon: f64,
}

impl Default for AdagradSpec {
    fn default() -> Self {
        Self { learning_rate: 0.01, epsilon: 1e-10 }
    }
}

/// AdaDelta.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdadeltaSpec {
    /// What its own step is multiplied by, above 0; the largest one where a schedule changes it.
    pub learning_rate: f64,
    /// Decay of the means of squared gradients and steps, 0 to below 1.
    pub rho: f64,
    /// Added to both means before their roots are taken, above 0.
    pub epsilon: f64,
}

impl Default for AdadeltaSpec {
    fn default() -> Self {
        Self { learning_rate: 1.0, rho: 0.9, epsilon: 1e-6 }
    }
}

/// RMSprop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RmspropSpec {
    /// Step size, above 0; the largest one where a schedule changes it.
    pub learning_rate: f64,
    /// Decay of the mean of squared gradients, 0 to below 1.
    pub alpha: f64,
    /// Share of the last step kept, 0 to below 1.
    pub momentum: f64,
    /// Divides by the deviation of the gradients from their mean, not by their size.
    pub centered: bool,
    /// Added to the root of the squared gradients, above 0.
    pub epsilon: f64,
}

impl Default for RmspropSpec {
    fn default() -> Self {
        Self { learning_rate: 0.01, alpha: 0.99, momentum: 0.0, centered: false, epsilon: 1e-8 }
    }
}
