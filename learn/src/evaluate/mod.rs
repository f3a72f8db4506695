//! How good are the answers? Scores beside a trivial baseline, curves, calibration, residuals, the columns that matter
//! and the worst errors. Every list is bounded, so that an evaluation of ten million rows is as small as one of a
//! hundred.
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
    /// Scores by name. Classes: `accuracy`, `balanced_accuracy`, `precision_macro`, `recall_macro`, `f1_macro`, the
    /// same `_weighted`, `log_loss`, `auc`, `average_precision`, `brier`, `calibration_error`; of two classes also
    /// `precision`, `recall` and `f1` of the second. Values: `mae`, `rmse`, `r2`, `median_absolute_error`, and `mape`
    /// where no true value is 0.
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

/// How often answers of a range of probabilities were right. Two classes: the probability of the second and the share
/// of rows that are of it. Several: the probability of the answer and the share of right ones.
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
            let known = classes.iter().all(|&class| (class as usize) < labels.len());
            if labels[..] != target.labels[..] || probabilities.len() != classes.len() * labels.len() || !known {
                return Err(Error::invalid(format!("these are no answers for target \"{}\"", target.column)));
            }
            let answers = classes::Answers { labels, probabilities, classes, truth: &class_numbers(target, truth)? };
            let task = if labels.len() == 2 { Task::Binary } else { Task::Multiclass };
            Ok(classes::evaluate(&answers, task, *threshold))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn target(labels: &[&str], mean: f64) -> Target {
        let task = match labels.len() {
            0 => Task::Regression,
            2 => Task::Binary,
            _ => Task::Multiclass,
        };
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        Target { column: "y".into(), task, labels, mean, scale: 1.0 }
    }

    fn judged(target: &Target, answers: &[f32], truth: &[f32]) -> Evaluation {
        evaluate(&Predictions::new(target, answers.to_vec(), None), target, truth).unwrap()
    }

    fn assert_scores(found: &BTreeMap<String, f64>, expected: &[(&str, f64)]) {
        for (name, value) in expected {
            let score = found.get(*name).copied().unwrap_or(f64::NAN);
            assert!((score - value).abs() < 1e-6, "{name}: {score}, expected {value}");
        }
    }

    // The reference figures come from scikit-learn 1.9.1 on the same rows; the calibration error from its definition.

    const BINARY: [(f32, f32); 12] = [
        (0.1, 0.0),
        (0.4, 0.0),
        (0.35, 1.0),
        (0.8, 1.0),
        (0.35, 0.0),
        (0.9, 1.0),
        (0.05, 0.0),
        (0.55, 1.0),
        (0.6, 1.0),
        (0.65, 0.0),
        (0.2, 0.0),
        (0.3, 1.0),
    ];

    #[test]
    fn two_classes_score_as_in_scikit_learn() {
        let answers: Vec<f32> = BINARY.iter().flat_map(|(p, _)| [1.0 - p, *p]).collect();
        let truth: Vec<f32> = BINARY.iter().map(|(_, t)| *t).collect();
        let found = judged(&target(&["no", "yes"], 0.0), &answers, &truth);
        assert_scores(
            &found.metrics,
            &[
                ("accuracy", 0.75),
                ("balanced_accuracy", 0.75),
                ("precision", 0.8),
                ("recall", 0.666666666667),
                ("f1", 0.727272727273),
                ("precision_macro", 0.757142857143),
                ("recall_macro", 0.75),
                ("f1_macro", 0.748251748252),
                ("precision_weighted", 0.757142857143),
                ("recall_weighted", 0.75),
                ("f1_weighted", 0.748251748252),
                ("log_loss", 0.505182470503),
                ("auc", 0.791666666667),
                ("average_precision", 0.806944444444),
                ("brier", 0.173541666667),
                ("calibration_error", 0.229166666667),
            ],
        );
        assert_eq!(found.confusion, [[5, 1], [2, 4]]);
        // DummyClassifier(strategy="prior").
        assert_scores(
            &found.baseline,
            &[
                ("accuracy", 0.5),
                ("f1_macro", 1.0 / 3.0),
                ("log_loss", std::f64::consts::LN_2),
                ("brier", 0.25),
                ("auc", 0.5),
                ("average_precision", 0.5),
                ("calibration_error", 0.0),
            ],
        );
        assert_eq!(found.baseline_answer, "always \"no\"");
        assert_eq!((found.roc.len(), found.roc[0].label.as_str(), found.threshold), (1, "yes", Some(0.5)));
        assert_eq!(found.calibration.len(), 9);
    }

    #[test]
    fn several_classes_score_as_in_scikit_learn() {
        // Class "d" is answered once, but no row is of it.
        let answers = [
            0.7, 0.1, 0.1, 0.1, 0.2, 0.5, 0.2, 0.1, 0.1, 0.2, 0.6, 0.1, 0.3, 0.4, 0.2, 0.1, 0.1, 0.6, 0.2, 0.1, 0.4,
            0.3, 0.2, 0.1, 0.5, 0.2, 0.2, 0.1, 0.25, 0.25, 0.4, 0.1, 0.1, 0.1, 0.2, 0.6, 0.1, 0.2, 0.65, 0.05,
        ];
        let truth = [0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 0.0, 1.0, 2.0];
        let found = judged(&target(&["a", "b", "c", "d"], 0.0), &answers, &truth);
        assert_scores(
            &found.metrics,
            &[
                ("accuracy", 0.6),
                ("balanced_accuracy", 0.611111111111),
                ("precision_macro", 0.5),
                ("recall_macro", 0.458333333333),
                ("f1_macro", 0.47619047619),
                ("precision_weighted", 0.666666666667),
                ("recall_weighted", 0.6),
                ("f1_weighted", 0.628571428571),
                ("log_loss", 0.969769363956),
                ("auc", 0.813492063492),
                ("average_precision", 0.810648148148),
                ("brier", 0.503),
                ("calibration_error", 0.305),
            ],
        );
        assert_eq!(found.confusion, [[2, 1, 1, 0], [0, 2, 0, 1], [1, 0, 2, 0], [0, 0, 0, 0]]);
        assert_scores(
            &found.baseline,
            &[
                ("accuracy", 0.4),
                ("balanced_accuracy", 1.0 / 3.0),
                ("f1_macro", 0.190476190476),
                ("log_loss", 1.088899975345),
                ("brier", 0.66),
                ("average_precision", 1.0 / 3.0),
                ("auc", 0.5),
            ],
        );
        assert_eq!(found.roc.iter().map(|curve| curve.label.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!((found.per_class[3].rows, found.per_class[3].f1), (0, 0.0));
        assert!(!found.metrics.contains_key("f1"));
    }

    #[test]
    fn values_score_as_in_scikit_learn() {
        let (truth, answers) = ([3.0, -0.5, 2.0, 7.0, 4.25, 10.0], [2.5, 0.0, 2.0, 8.0, 4.0, 13.5]);
        let found = judged(&target(&[], 5.0), &answers, &truth);
        assert_scores(
            &found.metrics,
            &[
                ("mae", 0.958333333333),
                ("rmse", 1.517261788003),
                ("r2", 0.802119086703),
                ("median_absolute_error", 0.5),
                ("mape", 0.286391223156),
            ],
        );
        assert_scores(
            &found.baseline,
            &[
                ("mae", 3.041666666667),
                ("rmse", 3.483592494346),
                ("r2", -0.043127891359),
                ("median_absolute_error", 2.5),
                ("mape", 2.354808590103),
            ],
        );
        assert_eq!(found.baseline_answer, "always 5.000");
        let residuals = found.residuals.unwrap();
        assert_eq!((residuals.edges[0], residuals.edges[30], residuals.counts.iter().sum::<u64>()), (-3.5, 0.5, 6));
        assert_eq!((residuals.counts[0], residuals.counts[29], residuals.scatter[5]), (1, 1, [10.0, 13.5]));
    }

    #[test]
    fn undefined_scores_are_left_out_and_all_survives_json() {
        let check = |found: &Evaluation, absent: &[&str]| {
            for name in absent {
                assert!(!found.metrics.contains_key(*name), "{name} of {found:?}");
            }
            let text = serde_json::to_string(found).unwrap();
            let read: Evaluation = serde_json::from_str(&text).unwrap();
            assert_eq!((read.metrics.len(), read.calibration.len()), (found.metrics.len(), found.calibration.len()));
        };
        let binary = target(&["no", "yes"], 0.0);
        check(&judged(&binary, &[], &[]), &["accuracy", "log_loss", "auc", "calibration_error"]);
        check(&judged(&binary, &[0.4, 0.6, 0.7, 0.3], &[1.0, 1.0]), &["auc", "average_precision"]);
        check(&judged(&binary, &[f32::NAN, f32::NAN], &[1.0]), &["log_loss", "brier"]);
        let values = target(&[], 0.0);
        check(&judged(&values, &[], &[]), &["mae", "r2"]);
        check(&judged(&values, &[1.0, 2.0], &[0.0, 0.0]), &["mape", "r2"]);
        check(&judged(&values, &[f32::INFINITY, 2.0], &[0.0, 1.0]), &["mae"]);
        assert_eq!(judged(&values, &[2.0; 3], &[1.0; 3]).residuals.unwrap().counts, [3]);
    }

    #[test]
    fn lists_are_bounded() {
        let labels: Vec<String> = (0..150).map(|i| format!("c{i}")).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let truth: Vec<f32> = (0..3_000).map(|i| (i % 150) as f32).collect();
        let answers: Vec<f32> = (0..3_000_u64 * 150).map(|i| ((i * 7919) % 1000) as f32 / 75_000.0).collect();
        let found = judged(&target(&labels, 0.0), &answers, &truth);
        assert_eq!((found.confusion.len(), found.roc.len(), found.per_class.len()), (0, CURVES_MAX, 150));
        assert!(found.roc.iter().chain(&found.precision_recall).all(|c| c.points.len() <= CURVE_POINTS_MAX));
        let values: Vec<f32> = (0..10_001).map(|i| i as f32).collect();
        assert!(judged(&target(&[], 0.0), &values, &values).residuals.unwrap().scatter.len() <= 500);
    }

    #[test]
    fn answers_that_do_not_fit_are_refused() {
        let target = target(&["no", "yes"], 0.0);
        let predictions = Predictions::new(&target, vec![0.5; 4], None);
        let check = |predictions: &Predictions, truth: &[f32], expected: &str| {
            let message = evaluate(predictions, &target, truth).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        check(&predictions, &[0.0], "2 answers, but 1 true values");
        check(&predictions, &[0.0, 2.0], "row 1 of column \"y\" is none of the 2 classes");
        check(&predictions, &[f32::NAN, 0.0], "row 0");
        check(&predictions, &[-1.0, 0.0], "row 0");
        check(&predictions, &[0.5, 0.0], "row 0");
        let other = Predictions::classes(std::sync::Arc::from(["a".to_owned()]), vec![1.0, 1.0], None);
        check(&other, &[0.0, 0.0], "no answers for target");
    }
}
