//! How good are the answers? Scores beside a trivial baseline, curves, calibration, residuals, the columns that matter and
//! the worst errors. Every list is bounded, so that an evaluation of ten million rows is as small as one of a hundred.
//!
//! *Good for*: answers whose truth is known. *Not for*: what is watched during training (`train`).

mod classes;
mod curves;
mod importance;
mod values;
mod worst;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Error, Predictions, Result, Target, Task};

pub use curves::best_f1_threshold;
pub use importance::{Importance, ImportanceMap, permutation_importance};
pub use worst::{Worst, worst};

/// How good the answers were. Figures that are not defined on these rows (the AUC of a single class) are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The kind of answer.
    pub task: Task,
    /// How many rows were judged.
    pub rows: usize,
    /// Class names; empty for values.
    pub labels: Vec<String>,
    /// With two classes: the probability from which the second was answered.
    pub threshold: Option<f32>,
    /// Scores by name. Classes: `accuracy`, `balanced_accuracy`, `precision_macro`, `recall_macro`, `f1_macro`, the same
    /// `_weighted`, `log_loss`, `auc`, `average_precision`, `brier`, `calibration_error`; of two classes also `precision`,
    /// `recall` and `f1` of the second. Values: `mae`, `rmse`, `r2`, `median_absolute_error`, and `mape` where no true
    /// value is 0.
    pub metrics: BTreeMap<String, f64>,
    /// The same scores of the baseline.
    pub baseline: BTreeMap<String, f64>,
    /// What the baseline answers: `always "no"`, `always 12.3`.
    pub baseline_answer: String,
    /// Scores of each class, in the order of `labels`.
    pub per_class: Vec<ClassScore>,
    /// Rows by true class, then by answered class; empty above [`CONFUSION_CLASSES_MAX`] classes.
    pub confusion: Vec<Vec<u64>>,
    /// ROC curves, x the false and y the true positive rate: one of the second class of two, otherwise one per class
    /// against the rest (the [`CURVES_MAX`] most frequent).
    pub roc: Vec<Curve>,
    /// Precision-recall curves, x the recall and y the precision; of the same classes.
    pub precision_recall: Vec<Curve>,
    /// How often answers of a probability were right; only bins that hold rows.
    pub calibration: Vec<CalibrationBin>,
    /// Errors of values; nothing for classes.
    pub residuals: Option<Residuals>,
}

/// Most classes with a confusion matrix.
pub const CONFUSION_CLASSES_MAX: usize = 100;
/// Most curves of a kind.
pub const CURVES_MAX: usize = 20;
/// Most points of a curve.
pub const CURVE_POINTS_MAX: usize = 200;

/// Scores of one class against the rest. A share of nothing (no such row, no such answer) is 0, as in scikit-learn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// The class.
    pub label: String,
    /// Rows that are of this class.
    pub rows: u64,
    /// Share of the answers of this class that were right.
    pub precision: f64,
    /// Share of the rows of this class that were found.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
}

/// A curve of one class against the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The class.
    pub label: String,
    /// `[x, y]`, by rising x, at most [`CURVE_POINTS_MAX`].
    pub points: Vec<[f64; 2]>,
    /// Area under the ROC curve, or the average precision, from all points.
    pub area: f64,
}

/// How often answers of a range of probabilities were right. Two classes: the probability of the second and the share of
/// rows that are of it. Several: the probability of the answer and the share of right ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Lowest probability.
    pub from: f64,
    /// Highest probability.
    pub to: f64,
    /// Rows in this range.
    pub rows: u64,
    /// Their mean probability.
    pub predicted: f64,
    /// What share of them it was.
    pub observed: f64,
}

/// Errors of values: truth minus answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Residuals {
    /// Mean error.
    pub mean: f64,
    /// Edges of the histogram, one more than `counts`.
    pub edges: Vec<f64>,
    /// Rows between two edges; the last bin holds its upper edge.
    pub counts: Vec<u64>,
    /// `[truth, answer]` of some rows at even distances, at most 500.
    pub scatter: Vec<[f64; 2]>,
}

/// The score by which models of a task are compared, and whether more of it is better: the area under the ROC curve for
/// two classes, accuracy for several, the root mean squared error for values.
pub fn main_metric(task: Task) -> (&'static str, bool) {
    match task {
        Task::Binary => ("auc", true),
        Task::Multiclass => ("accuracy", true),
        Task::Regression => ("rmse", false),
    }
}

/// Judges answers by the truth: class numbers or values `[rows]`, as [`Target::encode`] gives them.
///
/// The baseline answers the most frequent class of these rows, with the shares of the classes as probabilities, or the
/// mean of the training rows.
///
/// # Errors
/// Another number of answers than of true values, or a true class that the target does not have.
pub fn evaluate(predictions: &Predictions, target: &Target, truth: &[f32]) -> Result<Evaluation> {
    if predictions.rows() != truth.len() {
        return Err(Error::invalid(format!("{} answers, but {} true values", predictions.rows(), truth.len())));
    }
    match predictions {
        Predictions::Classes { labels, probabilities, classes, threshold } => {
            let answers = classes::Answers { labels, probabilities, classes, truth: &class_numbers(target, truth)? };
            Ok(classes::evaluate(&answers, target.task, *threshold))
        }
        Predictions::Values(values) => Ok(values::evaluate(values, truth, target.mean)),
    }
}

/// The true classes as numbers.
fn class_numbers(target: &Target, truth: &[f32]) -> Result<Vec<u32>> {
    let classes = target.labels.len();
    let known = |&x: &f32| x >= 0.0 && x.fract() == 0.0 && (x as usize) < classes;
    match truth.iter().position(|x| !known(x)) {
        Some(row) => Err(Error::invalid(format!(
            "row {row} of column \"{}\" is none of the {classes} classes the model knows",
            target.column
        ))),
        None => Ok(truth.iter().map(|&x| x as u32).collect()),
    }
}

/// Keeps the figures that are numbers: JSON has no others.
fn finite<const N: usize>(figures: [(&str, f64); N]) -> BTreeMap<String, f64> {
    figures.into_iter().filter(|(_, x)| x.is_finite()).map(|(name, x)| (name.to_owned(), x)).collect()
}
