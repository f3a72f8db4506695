//! What can a user ask of a model? Plain structs of the project file: features, network, training, split, evaluation.
//!
//! Every struct refuses unknown fields and has a default for all that can be left out, so that printing a spec prints
//! the run as it will happen.

mod augment;
mod auto;
mod balance;
mod batch;
mod ensemble;
mod evaluate;
mod features;
mod loss;
mod net;
mod optimizer;
mod precision;
mod schedule;
mod sequences;
mod split;
mod train;
mod trees;
mod tune;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use augment::*;
pub use auto::*;
pub use balance::*;
pub use batch::*;
pub use ensemble::*;
pub use evaluate::*;
pub use features::*;
pub use loss::*;
pub use net::*;
pub use optimizer::*;
pub use precision::*;
pub use schedule::*;
pub use sequences::*;
pub use split::*;
pub use train::*;
pub use trees::*;
pub use tune::*;

/// What kind of answer a model gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskSpec {
    /// Classification for text, boolean and few-valued integer targets, regression otherwise.
    #[default]
    Auto,
    /// One of a fixed set of classes.
    Classification,
    /// A real number.
    Regression,
}
