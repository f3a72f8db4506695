//! Scores of numbers.

use std::collections::BTreeMap;

use super::{Evaluation, Residuals, finite};
use crate::Task;

/// Points of the scatter of truth and answer.
const SCATTER_MAX: usize = 500;
/// Bins of the residuals' histogram.
const BINS: usize = 30;

/// Judges values; the baseline always answers `mean`.
pub(super) fn evaluate(answers: &[f32], truth: &[f32], mean: f64) -> Evaluation {
    let pairs = || truth.iter().zip(answers).map(|(&t, &a)| (f64::from(t), f64::from(a)));
    Evaluation {
        task: Task::Regression,
        rows: truth.len(),
        labels: Vec::new(),
        threshold: None,
        metrics: metrics(pairs()),
        baseline: metrics(pairs().map(|(t, _)| (t, mean))),
        baseline_answer: format!("always {}", rounded(mean)),
        per_class: Vec::new(),
        confusion: Vec::new(),
        roc: Vec::new(),
        precision_recall: Vec::new(),
        calibration: Vec::new(),
        residuals: residuals(pairs()),
    }
}

/// Four significant digits.
fn rounded(x: f64) -> String {
    let digits = if x == 0.0 { 0 } else { (3 - x.abs().log10().floor() as i32).clamp(0, 12) };
    format!("{x:.*}", digits as usize)
}

/// Scores of `(truth, answer)`; the coefficient of determination is left out where all true values are the same, the
/// mean absolute percentage error where one is 0.
fn metrics(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> BTreeMap<String, f64> {
    let rows = pairs.clone().count() as f64;
    let mean = |of: &dyn Fn((f64, f64)) -> f64| pairs.clone().map(of).sum::<f64>() / rows;
    let truth_mean = mean(&|(t, _)| t);
    let squared = mean(&|(t, a)| (t - a).powi(2));
    let spread = mean(&|(t, _)| (t - truth_mean).powi(2));
    let r2 = if spread > 0.0 { 1.0 - squared / spread } else { f64::NAN };
    finite([
        ("mae", mean(&|(t, a)| (t - a).abs())),
        ("rmse", squared.sqrt()),
        ("r2", r2),
        ("median_absolute_error", median(pairs.clone().map(|(t, a)| (t - a).abs()).collect())),
        ("mape", mean(&|(t, a)| ((t - a) / t).abs())),
    ])
}

/// The middle value, or the mean of the two in the middle; NaN of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n => f64::midpoint(values[(n - 1) / 2], values[n / 2]),
    }
}

fn residuals(pairs: impl ExactSizeIterator<Item = (f64, f64)> + Clone) -> Option<Residuals> {
    let errors: Vec<f64> = pairs.clone().map(|(t, a)| t - a).filter(|e| e.is_finite()).collect();
    let low = errors.iter().copied().reduce(f64::min)?;
    let high = errors.iter().copied().reduce(f64::max)?;
    let bins = if high > low { BINS } else { 1 };
    let width = (high - low) / bins as f64;
    let mut counts = vec![0; bins];
    for error in &errors {
        let bin = if width > 0.0 { ((error - low) / width) as usize } else { 0 };
        counts[bin.min(bins - 1)] += 1;
    }
    let edges = (0..=bins).map(|i| if i == bins { high } else { low + width * i as f64 }).collect();
    let stride = pairs.len().div_ceil(SCATTER_MAX).max(1);
    let scatter = pairs.step_by(stride).filter(|(t, a)| t.is_finite() && a.is_finite()).map(|(t, a)| [t, a]).collect();
    Some(Residuals { mean: errors.iter().sum::<f64>() / errors.len() as f64, edges, counts, scatter })
}
