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

/// The area under the ROC curve; nothing unless there are rows of both kinds.
pub(super) fn auc(scores: impl Iterator<Item = f32>, positive: impl Iterator<Item = bool>) -> Option<f64> {
    Curves::new(scores, positive).map(|curves| curves.roc.area)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of `evaluate::tests::BINARY`.
    const SCORES: [f32; 12] = [0.1, 0.4, 0.35, 0.8, 0.35, 0.9, 0.05, 0.55, 0.6, 0.65, 0.2, 0.3];
    const TRUTH: [f32; 12] = [0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0];

    fn curves(scores: &[f32], truth: &[f32]) -> Option<Curves> {
        Curves::new(scores.iter().copied(), truth.iter().map(|&x| x == 1.0))
    }

    fn assert_near(found: &[[f64; 2]], expected: &[[f64; 2]]) {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        let same = found.iter().zip(expected).all(|(a, b)| near(a[0], b[0]) && near(a[1], b[1]));
        assert!(found.len() == expected.len() && same, "{found:?}\nexpected {expected:?}");
    }

    #[test]
    fn points_are_those_of_scikit_learn() {
        // scikit-learn 1.9.1: roc_curve(TRUTH, SCORES, drop_intermediate=False) and precision_recall_curve(TRUTH,
        // SCORES) turned round; its last point, precision 1 at recall 0 by convention, is here the precision of the
        // first score.
        let found = curves(&SCORES, &TRUTH).unwrap();
        let (s, t) = (1.0 / 6.0, 1.0 / 3.0);
        let roc = [
            [0.0, 0.0],
            [0.0, s],
            [0.0, t],
            [s, t],
            [s, 0.5],
            [s, 2.0 * t],
            [t, 2.0 * t],
            [0.5, 5.0 * s],
            [0.5, 1.0],
            [2.0 * t, 1.0],
            [5.0 * s, 1.0],
            [1.0, 1.0],
        ];
        assert_near(&found.roc.points, &roc);
        let precision_recall = [
            [0.0, 1.0],
            [s, 1.0],
            [t, 1.0],
            [t, 2.0 * t],
            [0.5, 0.75],
            [2.0 * t, 0.8],
            [2.0 * t, 2.0 * t],
            [5.0 * s, 0.625],
            [1.0, 2.0 * t],
            [1.0, 0.6],
            [1.0, 6.0 / 11.0],
            [1.0, 0.5],
        ];
        assert_near(&found.precision_recall.points, &precision_recall);
    }

    #[test]
    fn there_is_no_curve_of_one_kind_of_rows() {
        assert!(curves(&[0.1, 0.2], &[1.0, 1.0]).is_none());
        assert!(curves(&[0.1, 0.2], &[0.0, 0.0]).is_none());
        assert!(curves(&[], &[]).is_none());
        let same = curves(&[0.5; 4], &[0.0, 1.0, 0.0, 0.0]).unwrap();
        assert_eq!((same.roc.area, same.precision_recall.area), (0.5, 0.25));
    }

    #[test]
    fn long_curves_are_thinned_and_keep_their_shape() {
        // The positive rows' scores are the root of a uniform number: the curve is y = 1 - (1 - x)^2, its area 2/3.
        let n = 20_000;
        let scores: Vec<f32> = (0..n).map(|i| (i / 2) as f32 / (n / 2) as f32).collect();
        let truth: Vec<f32> = (0..n).map(|i| (i % 2) as f32).collect();
        let scores: Vec<f32> = scores.iter().zip(&truth).map(|(u, t)| if *t == 1.0 { u.sqrt() } else { *u }).collect();
        let found = curves(&scores, &truth).unwrap().roc;
        assert!((found.area - 2.0 / 3.0).abs() < 1e-3, "{}", found.area);
        assert!(found.points.len() <= CURVE_POINTS_MAX && found.points.len() > CURVE_POINTS_MAX / 2);
        assert_eq!((found.points[0], found.points[found.points.len() - 1]), ([0.0, 0.0], [1.0, 1.0]));
        for [x, y] in found.points {
            assert!((y - (1.0 - (1.0 - x).powi(2))).abs() < 0.01, "{x} {y}");
        }
    }

    #[test]
    fn the_best_threshold_lies_between_two_scores() {
        // The best F1 of these rows is 0.8, by scikit-learn's f1_score over all thresholds, from 0.3 on; the next lower
        // score is 0.2.
        assert!((best_f1_threshold(&SCORES, &TRUTH) - 0.25).abs() < 1e-6);
        assert_eq!(best_f1_threshold(&[0.2, 0.7], &[0.0, 0.0]), 0.5);
        assert_eq!(best_f1_threshold(&[0.2, 0.7], &[1.0, 1.0]), 0.2);
        assert_eq!(best_f1_threshold(&[], &[]), 0.5);
        let next = 0.7_f32.next_down();
        assert_eq!(best_f1_threshold(&[next, 0.7], &[0.0, 1.0]), 0.7);
    }
}
