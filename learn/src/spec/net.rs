//! Which network?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetSpec {
    /// Fully connected layers.
    Dense(DenseSpec),
}

impl Default for NetSpec {
    fn default() -> Self {
        Self::Dense(DenseSpec::default())
    }
}

/// Fully connected layers; the last one (classes or one value) is added by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DenseSpec {
    /// Units of each hidden layer, first to last; none for a linear model.
    pub hidden: Vec<usize>,
    /// Activation of the hidden layers.
    pub activation: Activation,
    /// Share of the hidden units left out at random while training, 0 to below 1.
    pub dropout: f64,
}

impl Default for DenseSpec {
    fn default() -> Self {
        Self { hidden: vec![128, 64], activation: Activation::Relu, dropout: 0.0 }
    }
}

/// An activation function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// max(0, x).
    #[default]
    Relu,
    /// x above 0, 0.01 x below.
    LeakyRelu,
    /// Hyperbolic tangent.
    Tanh,
    /// x times the share of a standard normal distribution below x.
    Gelu,
    /// x times its sigmoid.
    Silu,
}
