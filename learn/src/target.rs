//! What is to be predicted: classes or numbers?

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, RecordBatch, StringArray};
use serde::{Deserialize, Serialize};

use crate::spec::TaskSpec;
use crate::{Error, Result};

/// The kind of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A real number.
    Regression,
    /// One of two classes.
    Binary,
    /// One of three classes or more.
    Multiclass,
}

/// The fitted target. Classes are numbered by `labels`; numbers are trained on as `(value - mean) / scale`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The column.
    pub column: String,
    /// The kind of answer.
    pub task: Task,
    /// Class names in order (sorted: numbers by value, then text); empty for numbers.
    pub labels: Vec<String>,
    /// Mean of the training rows' values; 0 for classes.
    pub mean: f64,
    /// Standard deviation of the training rows' values; 1 for classes.
    pub scale: f64,
}

impl Target {
    /// Looks at the target column of the rows: picks the task where it is `auto`, lists the classes.
    pub fn fit(task: TaskSpec, column: &str, train: &[RecordBatch]) -> Result<Self> {
        let _ = (task, column, train);
        Err(Error::Unsupported("fitting a target is not there yet".into()))
    }

    /// The class numbers or the values of the rows, in the target's units: `[rows]`.
    pub fn encode(&self, batches: &[RecordBatch]) -> Result<Vec<f32>> {
        let _ = batches;
        Err(Error::Unsupported("encoding a target is not there yet".into()))
    }

    /// Class numbers or values as a column of the target's own words: labels as text, values as `Float32`.
    pub fn decode(&self, values: &[f32]) -> ArrayRef {
        if self.labels.is_empty() {
            return Arc::new(Float32Array::from(values.to_vec()));
        }
        Arc::new(values.iter().map(|&class| self.label(class as u32)).collect::<StringArray>())
    }

    /// The name of a class; nothing for numbers and for classes that are not there.
    pub fn label(&self, class: u32) -> Option<&str> {
        self.labels.get(class as usize).map(String::as_str)
    }
}
