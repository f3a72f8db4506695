//! Is the network getting better, and when is it enough?

use crate::net::{Head, HeadActivation, HeadLoss, row_loss};
use crate::spec::{EarlyStopping, WatchedMetric};
use crate::{Error, Result, Target, Task};

/// The validation figure that decides which epoch is best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metric {
    Accuracy,
    Loss,
    Auc,
    Rmse,
}

impl Metric {
    /// The figure to watch for this target and loss; refuses one that the target does not have.
    pub(super) fn of(watched: WatchedMetric, target: &Target, loss: HeadLoss) -> Result<Self> {
        let refuse = |name: &str, why: &str| {
            let column = &target.column;
            Err(Error::invalid(format!(
                "train.early_stopping.metric is {name}, but target \"{column}\" {why}; take auto or loss"
            )))
        };
        if loss == HeadLoss::Reconstruction {
            let why = "is not looked at while an autoencoder learns";
            return match watched {
                WatchedMetric::Auto | WatchedMetric::Loss => Ok(Self::Loss),
                WatchedMetric::Accuracy => refuse("accuracy", why),
                WatchedMetric::Auc => refuse("auc", why),
                WatchedMetric::Rmse => refuse("rmse", why),
            };
        }
        match (watched, target.task) {
            // What makes these losses small is no mean: their best epoch is another than that of squares.
            (WatchedMetric::Auto, Task::Regression)
                if matches!(loss, HeadLoss::AbsoluteError | HeadLoss::Quantile { .. }) =>
            {
                Ok(Self::Loss)
            }
            (WatchedMetric::Auto, Task::Regression) => Ok(Self::Rmse),
            (WatchedMetric::Auto, _) => Ok(Self::Accuracy),
            (WatchedMetric::Loss, _) => Ok(Self::Loss),
            (WatchedMetric::Accuracy, Task::Regression) => refuse("accuracy", "is a number"),
            (WatchedMetric::Accuracy, _) => Ok(Self::Accuracy),
            (WatchedMetric::Auc, Task::Binary) => Ok(Self::Auc),
            (WatchedMetric::Auc, Task::Regression) => refuse("auc", "is a number"),
            (WatchedMetric::Auc, Task::Multiclass) => refuse("auc", "has more than two classes"),
            (WatchedMetric::Rmse, Task::Regression) => Ok(Self::Rmse),
            (WatchedMetric::Rmse, _) => refuse("rmse", "has classes"),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Loss => "loss",
            Self::Auc => "auc",
            Self::Rmse => "rmse",
        }
    }

    /// How much better `new` is than `old`; below 0 where it is worse.
    pub(super) fn gain(self, old: f64, new: f64) -> f64 {
        match self {
            Self::Accuracy | Self::Auc => new - old,
            Self::Loss | Self::Rmse => old - new,
        }
    }

    /// When training stops and what is kept, in words.
    pub(super) fn policy(self, stopping: &EarlyStopping, epochs: usize) -> String {
        let name = self.name();
        if !stopping.enabled {
            return format!("after {epochs} epochs; the epoch with the best validation {name} is kept");
        }
        let EarlyStopping { patience, min_delta, .. } = stopping;
        let gain = if *min_delta > 0.0 { format!("by more than {min_delta} ") } else { String::new() };
        let count = if *patience == 1 { "1 epoch".to_owned() } else { format!("{patience} epochs") };
        format!(
            "when validation {name} has not got better {gain}for {count}, after {epochs} at the latest; the best epoch is kept"
        )
    }
}

/// What validation found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Validation {
    pub(super) loss: f64,
    pub(super) metric: f64,
}

/// Judges the last layer's outputs `[rows, outputs]`; `targets` are class numbers or standardised values. The loss counts
/// a row by its class, as training does; no weights count every row 1.
pub(super) fn validate(
    head: Head,
    metric: Metric,
    target: &Target,
    class_weights: &[f32],
    logits: &[f32],
    targets: &[f32],
) -> Validation {
    let rows = || logits.chunks_exact(head.outputs).zip(targets);
    let mean = |of: &dyn Fn(&[f32], f32) -> f64| rows().map(|(row, t)| of(row, *t)).sum::<f64>() / targets.len() as f64;
    let weight = |target: f32| class_weights.get(target as usize).map_or(1.0, |weight| f64::from(*weight));
    let loss = mean(&|row, target| weight(target) * row_loss(head, row, &[target]));
    let metric = match metric {
        Metric::Loss => loss,
        Metric::Accuracy => mean(&|row, target| f64::from(answer(head, row) == target as usize)),
        Metric::Rmse => target.scale * mean(&|row, target| (f64::from(row[0]) - f64::from(target)).powi(2)).sqrt(),
        Metric::Auc => {
            let score = |row: &[f32]| if head.outputs == 1 { row[0] } else { row[1] - row[0] };
            auc(rows().map(|(row, target)| (score(row), *target > 0.5)).collect())
        }
    };
    Validation { loss, metric }
}

/// The class answered: the most probable one, the first of equals.
fn answer(head: Head, row: &[f32]) -> usize {
    match head.activation {
        HeadActivation::Sigmoid => usize::from(row[0] >= 0.0),
        _ => (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best }),
    }
}

/// Area under the ROC curve: the share of pairs of a positive and a negative row that are in the right order, ties
/// counting half (Mann and Whitney). One half where a class is missing.
fn auc(mut scores: Vec<(f32, bool)>) -> f64 {
    scores.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positives = scores.iter().filter(|(_, positive)| *positive).count();
    let negatives = scores.len() - positives;
    if positives == 0 || negatives == 0 {
        return 0.5;
    }
    let mut rank_sum = 0.0;
    let mut before = 0;
    for ties in scores.chunk_by(|a, b| a.0 == b.0) {
        let rank = before as f64 + (ties.len() + 1) as f64 / 2.0;
        rank_sum += rank * ties.iter().filter(|(_, positive)| *positive).count() as f64;
        before += ties.len();
    }
    let positives = positives as f64;
    (rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tests::target;
    use crate::spec::Loss;

    #[test]
    fn the_area_counts_pairs_in_the_right_order() {
        let check = |scores: &[(f32, bool)], expected: f64| assert_eq!(auc(scores.to_vec()), expected);
        check(&[(0.1, false), (0.9, true)], 1.0);
        check(&[(0.9, false), (0.1, true)], 0.0);
        check(&[(0.5, false), (0.5, true)], 0.5);
        // scikit-learn 1.x, roc_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) from its documentation: 0.75.
        check(&[(0.1, false), (0.4, false), (0.35, true), (0.8, true)], 0.75);
        check(&[(0.3, true), (0.4, true)], 0.5);
    }

    #[test]
    fn figures_are_in_the_units_people_read() {
        let judge = |classes: usize, loss: Loss, metric: Metric, logits: &[f32], targets: &[f32]| {
            let target = target(classes);
            validate(Head::of(&target, loss).unwrap(), metric, &target, &[], logits, targets)
        };
        let ln2 = std::f64::consts::LN_2;
        let found = judge(2, Loss::Auto, Metric::Accuracy, &[0.0, -3.0, 4.0], &[1.0, 0.0, 0.0]);
        assert_eq!(found.metric, 2.0 / 3.0);
        let expected = (ln2 + (-3f64).exp().ln_1p() + 4.0 + (-4f64).exp().ln_1p()) / 3.0;
        assert!((found.loss - expected).abs() < 1e-12);
        let found = judge(3, Loss::Auto, Metric::Accuracy, &[0.0, 0.0, 0.0, 1.0, 2.0, 3.0], &[0.0, 1.0]);
        assert_eq!(found.metric, 0.5);
        // The target has mean 3 and scale 2: an error of 0.5 standardised is 1 in its units.
        let found = judge(0, Loss::Auto, Metric::Rmse, &[0.5, -0.5], &[0.0, 0.0]);
        assert_eq!((found.loss, found.metric), (0.25, 1.0));
        let found = judge(2, Loss::CategoricalCrossEntropy, Metric::Auc, &[0.0, 1.0, 0.0, -1.0], &[1.0, 0.0]);
        assert_eq!(found.metric, 1.0);
        let target = target(2);
        let head = Head::of(&target, Loss::Auto).unwrap();
        let found = validate(head, Metric::Loss, &target, &[0.5, 3.0], &[0.0, 0.0], &[0.0, 1.0]);
        assert!((found.metric - ln2 * 3.5 / 2.0).abs() < 1e-12, "{}", found.metric);
        let found = judge(3, Loss::MeanSquaredError, Metric::Loss, &[0.0; 3], &[0.0]);
        assert!((found.metric - (4.0 / 9.0 + 1.0 / 9.0 + 1.0 / 9.0) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn figures_that_a_target_does_not_have_are_refused() {
        let of = |watched, classes, loss| Metric::of(watched, &target(classes), loss).ok();
        let check = |watched, classes, expected: Option<Metric>| {
            let found = of(watched, classes, HeadLoss::SquaredError);
            assert_eq!(found, expected, "{watched:?} of {classes} classes");
        };
        assert_eq!(of(WatchedMetric::Auto, 0, HeadLoss::AbsoluteError), Some(Metric::Loss));
        assert_eq!(of(WatchedMetric::Auto, 0, HeadLoss::Quantile { quantile: 0.9 }), Some(Metric::Loss));
        assert_eq!(of(WatchedMetric::Auto, 0, HeadLoss::Huber { delta: 1.0 }), Some(Metric::Rmse));
        check(WatchedMetric::Auto, 0, Some(Metric::Rmse));
        check(WatchedMetric::Auto, 2, Some(Metric::Accuracy));
        check(WatchedMetric::Auc, 2, Some(Metric::Auc));
        check(WatchedMetric::Auc, 3, None);
        check(WatchedMetric::Accuracy, 0, None);
        check(WatchedMetric::Rmse, 2, None);
    }
}
