//! Decision trees: which questions about the inputs of a row lead to its answer?
//!
//! *Good for*: tables. Trees read raw values: they need no scaling, know missing values, and put categories in the order of
//! their mean target. *Not for*: the order of events, checkpoints (`train`), the ONNX file (`onnx`).
//!
//! Inputs are put into at most 255 bins (`bins`), a tree grows from sums per bin (`histogram`, `split`, `grow`), boosting
//! adds tree after tree (`boost`, `objective`), a forest takes the mean of many (`forest`), and what is kept are flat arrays
//! of nodes (`binned`, `ensemble`).

mod binned;
mod bins;
mod boost;
mod design;
mod ensemble;
mod forest;
mod grow;
mod histogram;
mod inputs;
mod objective;
mod split;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::Result;

pub(crate) use binned::TreeRows;
pub(crate) use boost::Booster;
pub(crate) use design::{TreeDesign, TreeKind};
pub(crate) use ensemble::Ensemble;
pub(crate) use forest::{Forest, LEAST};

/// Streams of random numbers from here on draw the rows of trees, one per tree (of every output).
const ROWS_STREAM: u64 = 0x626f_6f73_7400;

/// Trees that are grown one after the other.
pub(crate) trait Growing {
    /// Goes on from these trees.
    fn restore(&mut self, ensemble: Ensemble) -> Result<()>;
    /// Grows a tree for every output. Gives a mean loss of the training rows: before these trees where they follow its
    /// gradient, after them in a forest.
    fn step(&mut self) -> Result<f64>;
    /// The trees so far.
    fn ensemble(&self) -> &Ensemble;
    /// What goes to the head for the validation rows: `[rows, outputs]`.
    fn held_out_outputs(&self) -> Cow<'_, [f32]>;
}
