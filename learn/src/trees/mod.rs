//! Decision trees: which questions about the inputs of a row lead to its answer?
//!
//! *Good for*: tables. Trees read raw values: they need no scaling, know missing values, and put categories in the order of
//! their mean target. *Not for*: the order of events, checkpoints (`train`), the ONNX file (`onnx`).
//!
//! Inputs are put into at most 255 bins (`bins`), a tree grows from sums per bin (`histogram`, `split`, `grow`), boosting
//! adds tree after tree (`boost`, `objective`), and what is kept are flat arrays of nodes (`ensemble`).

mod bins;
mod boost;
mod design;
mod ensemble;
mod grow;
mod histogram;
mod inputs;
mod objective;
mod split;
#[cfg(test)]
mod tests;

pub(crate) use boost::{BoostRows, Booster};
pub(crate) use design::TreeDesign;
pub(crate) use ensemble::Ensemble;
