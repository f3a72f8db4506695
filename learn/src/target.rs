//! What is to be predicted: classes or numbers?

use serde::{Deserialize, Serialize};

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
