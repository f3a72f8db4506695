//! Scores of classes.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::curves::Curves;
use super::{CONFUSION_CLASSES_MAX, CURVES_MAX, CalibrationBin, ClassScore, Curve, Evaluation, finite};
use crate::Task;

/// Bins of the calibration, of equal width.
const BINS: usize = 10;

/// Answers and their truth.
pub(super) struct Answers<'a> {
    pub(super) labels: &'a [String],
    /// `[rows, classes]`
    pub(super) probabilities: &'a [f32],
    /// `[rows]`
    pub(super) classes: &'a [u32],
    /// `[rows]`, each below the number of classes.
    pub(super) truth: &'a [u32],
}

/// Judges classes; the baseline always answers the most frequent one, with the classes' shares as probabilities.
pub(super) fn evaluate(answers: &Answers<'_>, task: Task, threshold: Option<f32>) -> Evaluation {
    let counts = Counts::new(answers);
    let curves = answers.curves(task);
    let calibration = answers.calibration(task);
    let mut metrics = counts.metrics(task);
    metrics.extend(finite([
        ("log_loss", answers.log_loss()),
        ("brier", answers.brier(task)),
        ("calibration_error", calibration_error(&calibration)),
        ("auc", mean(curves.iter().map(|(_, curves)| curves.roc.area))),
        ("average_precision", mean(curves.iter().map(|(_, curves)| curves.precision_recall.area))),
    ]));
    let (baseline, baseline_answer) = baseline(answers, &counts, task);
    let (roc, precision_recall) = named(answers, &counts, curves);
    Evaluation {
        task,
        rows: answers.truth.len(),
        labels: answers.labels.to_vec(),
        threshold,
        metrics,
        baseline,
        baseline_answer,
        per_class: counts.per_class(answers.labels),
        confusion: answers.confusion(),
        roc,
        precision_recall,
        calibration,
        residuals: None,
    }
}

impl Answers<'_> {
    fn rows(&self) -> impl Iterator<Item = (&[f32], usize)> {
        self.probabilities.chunks_exact(self.labels.len().max(1)).zip(self.truth.iter().map(|&class| class as usize))
    }

    /// Mean of `-ln(probability of the truth)`, which is held above the smallest step of `f32` as scikit-learn does.
    fn log_loss(&self) -> f64 {
        mean(self.rows().map(|(row, truth)| -f64::from(row[truth].clamp(f32::EPSILON, 1.0)).ln()))
    }

    /// Mean squared distance to the truth (Brier 1950): of the second class's probability with two classes, the sum
    /// over the classes with several.
    fn brier(&self, task: Task) -> f64 {
        let squared = |p: f32, hit: bool| (f64::from(p) - f64::from(u8::from(hit))).powi(2);
        mean(self.rows().map(|(row, truth)| match task {
            Task::Binary => squared(row[1], truth == 1),
            _ => row.iter().enumerate().map(|(class, &p)| squared(p, class == truth)).sum(),
        }))
    }

    fn confusion(&self) -> Vec<Vec<u64>> {
        let classes = self.labels.len();
        if classes > CONFUSION_CLASSES_MAX {
            return Vec::new();
        }
        let mut matrix = vec![vec![0; classes]; classes];
        for (&truth, &answer) in self.truth.iter().zip(self.classes) {
            matrix[truth as usize][answer as usize] += 1;
        }
        matrix
    }

    /// The curves of every class that has rows and does not have all; with two classes only those of the second.
    fn curves(&self, task: Task) -> Vec<(usize, Curves)> {
        let classes = self.labels.len();
        let first = usize::from(task == Task::Binary);
        (first..classes)
            .into_par_iter()
            .filter_map(|class| {
                let scores = self.probabilities.iter().skip(class).step_by(classes).copied();
                let curves = Curves::new(scores, self.truth.iter().map(|&truth| truth as usize == class))?;
                Some((class, curves))
            })
            .collect()
    }

    /// `(probability, whether it was so)`: of the second class with two, of the answer with several.
    fn calibration(&self, task: Task) -> Vec<CalibrationBin> {
        let mut sums = [(0_u64, 0.0, 0_u64); BINS];
        for ((row, truth), &answer) in self.rows().zip(self.classes) {
            let class = if task == Task::Binary { 1 } else { answer as usize };
            // The place on `f32`, where 0.9 times ten is nine.
            let bin = &mut sums[((row[class] * BINS as f32) as usize).min(BINS - 1)];
            *bin = (bin.0 + 1, bin.1 + f64::from(row[class]), bin.2 + u64::from(truth == class));
        }
        let edge = |i: usize| i as f64 / BINS as f64;
        (sums.iter().enumerate())
            .filter(|(_, (rows, sum, _))| *rows > 0 && sum.is_finite())
            .map(|(i, &(rows, sum, hits))| CalibrationBin {
                from: edge(i),
                to: edge(i + 1),
                rows,
                predicted: sum / rows as f64,
                observed: hits as f64 / rows as f64,
            })
            .collect()
    }
}

/// Expected calibration error (Guo et al. 2017, equation 3).
fn calibration_error(bins: &[CalibrationBin]) -> f64 {
    let rows: u64 = bins.iter().map(|bin| bin.rows).sum();
    bins.iter().map(|bin| bin.rows as f64 * (bin.observed - bin.predicted).abs()).sum::<f64>() / rows as f64
}

/// Rows, answers and hits per class.
struct Counts {
    rows: Vec<u64>,
    answered: Vec<u64>,
    hits: Vec<u64>,
}

impl Counts {
    fn new(answers: &Answers<'_>) -> Self {
        let zeros = vec![0; answers.labels.len()];
        let mut counts = Self { rows: zeros.clone(), answered: zeros.clone(), hits: zeros };
        for (&truth, &answer) in answers.truth.iter().zip(answers.classes) {
            counts.rows[truth as usize] += 1;
            counts.answered[answer as usize] += 1;
            counts.hits[truth as usize] += u64::from(truth == answer);
        }
        counts
    }

    /// Precision, recall and F1 of a class; 0 for a share of nothing.
    fn score(&self, class: usize) -> [f64; 3] {
        let share = |of: u64, all: u64| if all == 0 { 0.0 } else { of as f64 / all as f64 };
        let (rows, answered, hits) = (self.rows[class], self.answered[class], self.hits[class]);
        [share(hits, answered), share(hits, rows), share(2 * hits, rows + answered)]
    }

    fn per_class(&self, labels: &[String]) -> Vec<ClassScore> {
        let score = |(class, label): (usize, &String)| {
            let [precision, recall, f1] = self.score(class);
            ClassScore { label: label.clone(), rows: self.rows[class], precision, recall, f1 }
        };
        labels.iter().enumerate().map(score).collect()
    }

    /// Means over the classes that occur among rows or answers, as scikit-learn takes them; `balanced_accuracy` is the
    /// mean recall of those that have rows.
    fn metrics(&self, task: Task) -> BTreeMap<String, f64> {
        let all: u64 = self.rows.iter().sum();
        let scores: Vec<[f64; 3]> = (0..self.rows.len()).map(|class| self.score(class)).collect();
        let occurring: Vec<usize> = (0..scores.len()).filter(|&c| self.rows[c] + self.answered[c] > 0).collect();
        let present = occurring.iter().filter(|&&class| self.rows[class] > 0);
        let macro_mean = |i: usize| mean(occurring.iter().map(|&class| scores[class][i]));
        let weighted = |i: usize| {
            occurring.iter().map(|&class| scores[class][i] * self.rows[class] as f64).sum::<f64>() / all as f64
        };
        let mut metrics = finite([
            ("accuracy", self.hits.iter().sum::<u64>() as f64 / all as f64),
            ("balanced_accuracy", mean(present.map(|&class| scores[class][1]))),
            ("precision_macro", macro_mean(0)),
            ("recall_macro", macro_mean(1)),
            ("f1_macro", macro_mean(2)),
            ("precision_weighted", weighted(0)),
            ("recall_weighted", weighted(1)),
            ("f1_weighted", weighted(2)),
        ]);
        if let (Task::Binary, [_, second]) = (task, scores.as_slice()) {
            metrics.extend(finite([("precision", second[0]), ("recall", second[1]), ("f1", second[2])]));
        }
        metrics
    }
}

fn baseline(answers: &Answers<'_>, counts: &Counts, task: Task) -> (BTreeMap<String, f64>, String) {
    let rows = answers.truth.len();
    let Some((majority, _)) = counts.rows.iter().enumerate().max_by_key(|&(class, rows)| (rows, usize::MAX - class))
    else {
        return (BTreeMap::new(), String::new());
    };
    let shares: Vec<f64> = counts.rows.iter().map(|&n| n as f64 / rows as f64).collect();
    let hits = |class: usize| if class == majority { counts.rows[class] } else { 0 };
    let same = Counts {
        rows: counts.rows.clone(),
        answered: (0..shares.len()).map(|class| if class == majority { rows as u64 } else { 0 }).collect(),
        hits: (0..shares.len()).map(hits).collect(),
    };
    let mut metrics = same.metrics(task);
    let squares: f64 = shares.iter().map(|p| p * p).sum();
    let brier = if task == Task::Binary { shares[0] * shares[1] } else { 1.0 - squares };
    let entropy = shares.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum();
    // A class against the rest by one and the same score: half of the area, the class's share as precision.
    let judged = |class: &usize| shares[*class] > 0.0 && shares[*class] < 1.0;
    let first = usize::from(task == Task::Binary);
    let classes: Vec<usize> = (first..shares.len()).filter(judged).collect();
    metrics.extend(finite([
        ("log_loss", if rows == 0 { f64::NAN } else { entropy }),
        ("brier", brier),
        ("calibration_error", if rows == 0 { f64::NAN } else { 0.0 }),
        ("auc", if classes.is_empty() { f64::NAN } else { 0.5 }),
        ("average_precision", mean(classes.iter().map(|&class| shares[class]))),
    ]));
    (metrics, format!("always \"{}\"", answers.labels[majority]))
}

/// The curves of the most frequent classes, with names.
fn named(answers: &Answers<'_>, counts: &Counts, mut curves: Vec<(usize, Curves)>) -> (Vec<Curve>, Vec<Curve>) {
    curves.sort_by_key(|(class, _)| std::cmp::Reverse(counts.rows[*class]));
    curves.truncate(CURVES_MAX);
    curves.sort_by_key(|(class, _)| *class);
    curves
        .into_iter()
        .map(|(class, Curves { roc, precision_recall })| {
            let label = &answers.labels[class];
            (roc.named(label), precision_recall.named(label))
        })
        .unzip()
}

/// The mean; NaN of nothing.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), x| (sum + x, count + 1.0));
    sum / count
}
