//! Which rows train, which choose, which judge?

use arrow::array::RecordBatch;

use crate::spec::SplitSpec;
use crate::{Error, Result, Task};

/// Row numbers of each part, ascending; they count through all batches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    /// Rows the weights are fitted on.
    pub train: Vec<u32>,
    /// Rows that choose the best epoch.
    pub validation: Vec<u32>,
    /// Rows that judge.
    pub test: Vec<u32>,
}

/// Divides the rows of `batches`. For `tables`, `test` stays empty, and `validation` too where it has its own table.
pub fn split(spec: &SplitSpec, target: &str, task: Task, batches: &[RecordBatch], seed: u64) -> Result<Split> {
    let _ = (spec, target, task, batches, seed);
    Err(Error::Unsupported("splitting rows is not there yet".into()))
}
