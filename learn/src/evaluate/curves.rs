//! What happens between the thresholds? ROC and precision-recall curves of one class against the rest.

use super::{CURVE_POINTS_MAX, Curve};

/// Counts at each distinct score from the highest down: answers from this score on, right ones among them.
struct Steps {
    /// `(false positives, true positives, score)`.
    steps: Vec<(f64, f64, f32)>,
    positives: f64,
    negatives: f64,
}

impl Steps {
    fn new(scores: impl Iterator<Item = f32>, positive: impl Iterator<Item = bool>) -> Self {
        let mut rows: Vec<(f32, bool)> = scores.zip(positive).collect();
        rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let mut steps: Vec<(f64, f64, f32)> = Vec::new();
        let (mut wrong, mut right) = (0.0, 0.0);
        for (score, positive) in rows {
            *(if positive { &mut right } else { &mut wrong }) += 1.0;
            match steps.last_mut() {
                Some(last) if last.2 == score => *last = (wrong, right, score),
                _ => steps.push((wrong, right, score)),
            }
        }
        Self { steps, positives: right, negatives: wrong }
    }
}

/// A curve before it gets a name: its points, thinned, and its area from all of them.
pub(super) struct Area {
    pub(super) points: Vec<[f64; 2]>,
    pub(super) area: f64,
}

impl Area {
    pub(super) fn named(self, label: &str) -> Curve {
        Curve { label: label.to_owned(), points: self.points, area: self.area }
    }
}

/// Both curves of a class against the rest; nothing unless there are rows of both.
pub(super) struct Curves {
    /// `[false positive rate, true positive rate]` and the area under it by trapezoids.
    pub(super) roc: Area,
    /// `[recall, precision]` and the average precision, the sum of `(recall - last recall) * precision`.
    pub(super) precision_recall: Area,
}

impl Curves {
    /// From the scores of the class and whether each row is of it.
    pub(super) fn new(scores: impl Iterator<Item = f32>, positive: impl Iterator<Item = bool>) -> Option<Self> {
        let Steps { steps, positives, negatives } = Steps::new(scores, positive);
        if positives == 0.0 || negatives == 0.0 {
            return None;
        }
        let mut roc = vec![[0.0, 0.0]];
        // The first point repeats the precision of the highest score at recall 0, from where the curve starts.
        let mut precision_recall = vec![[0.0, steps.first().map_or(1.0, |&(wrong, right, _)| right / (right + wrong))]];
        let (mut area, mut average) = (0.0, 0.0);
        for (wrong, right, _) in steps {
            let point = [wrong / negatives, right / positives];
            let last = roc[roc.len() - 1];
            area += (point[0] - last[0]) * (point[1] + last[1]) / 2.0;
            let precision = right / (right + wrong);
            average += (point[1] - last[1]) * precision;
            roc.push(point);
            precision_recall.push([point[1], precision]);
        }
        let (roc, precision_recall) = (thin(roc), thin(precision_recall));
        Some(Self {
            roc: Area { points: roc, area },
            precision_recall: Area { points: precision_recall, area: average },
        })
    }
}

/// At most [`CURVE_POINTS_MAX`] of the points, first and last among them, at even distances along the curve.
fn thin(points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    if points.len() <= CURVE_POINTS_MAX {
        return points;
    }
    let step = |a: [f64; 2], b: [f64; 2]| (b[0] - a[0]).abs() + (b[1] - a[1]).abs();
    let length: f64 = points.windows(2).map(|pair| step(pair[0], pair[1])).sum();
    let spacing = length / (CURVE_POINTS_MAX - 2) as f64;
    let last = points.len() - 1;
    let (mut way, mut due) = (0.0, 0.0);
    let mut kept = Vec::with_capacity(CURVE_POINTS_MAX);
    for (i, &point) in points.iter().enumerate() {
        way += if i == 0 { 0.0 } else { step(points[i - 1], point) };
        if i == last || way >= due {
            kept.push(point);
            due = (way / spacing).floor() * spacing + spacing;
        }
    }
    kept
}

/// The threshold with the best F1: answering the second class from this probability on. Halfway to the next lower
/// probability, so that a last bit does not decide; one half where no row is of the second class.
///
/// `probabilities` of the second class and `truth` (1 where it is) are `[rows]`.
pub fn best_f1_threshold(probabilities: &[f32], truth: &[f32]) -> f32 {
    let found = Steps::new(probabilities.iter().copied(), truth.iter().map(|&x| x == 1.0));
    let mut best = (0.0, 0.5);
    for (i, &(wrong, right, score)) in found.steps.iter().enumerate() {
        let f1 = 2.0 * right / (right + wrong + found.positives);
        if f1 > best.0 {
            let below = found.steps.get(i + 1).map_or(score, |next| next.2);
            let middle = below + (score - below) / 2.0;
            best = (f1, if middle > below { middle } else { score });
        }
    }
    best.1
}
