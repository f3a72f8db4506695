//! Which way should the output of every row move, and how far is it bent there?

use rayon::prelude::*;

use crate::net::{Head, HeadActivation, HeadLoss, row_loss};

/// Rows that are summed up before their sums are: the same on any number of threads.
const CHUNK_ROWS: usize = 1 << 14;
/// Rows whose losses share a logarithm.
const LOGARITHM_ROWS: usize = 64;
/// A probability at least, where a class begins.
const RARE: f64 = 1e-15;

/// The rows that are learned from.
#[derive(Debug)]
pub(crate) struct Objective {
    pub(crate) head: Head,
    /// Class numbers or standardised values `[rows]`.
    pub(crate) targets: Vec<f32>,
    /// What each row counts; empty where all count 1.
    pub(crate) weights: Vec<f32>,
}

/// What the gradients of all rows come to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Totals {
    /// Sum of the losses of all rows.
    pub(crate) loss: f64,
    /// Sum of the absolute gradients and sum of the second derivatives of every output.
    pub(crate) outputs: Vec<[f64; 2]>,
}

impl Objective {
    pub(super) fn weight(&self, row: usize) -> f32 {
        if self.weights.is_empty() { 1.0 } else { self.weights[row] }
    }

    /// The outputs that make the loss of all rows smallest where every row gets the same.
    pub(crate) fn base(head: Head, targets: &[f32], weights: &[f32]) -> Vec<f32> {
        let weight = |row: usize| weights.get(row).copied().unwrap_or(1.0);
        let sum = |of: &dyn Fn(f32) -> f64| -> f64 {
            targets.iter().enumerate().map(|(row, target)| f64::from(weight(row)) * of(*target)).sum()
        };
        let total = sum(&|_| 1.0).max(f64::MIN_POSITIVE);
        match (head.activation, head.loss) {
            (HeadActivation::Linear, HeadLoss::AbsoluteError | HeadLoss::Quantile { .. }) => {
                let values = targets.iter().enumerate().map(|(row, target)| (*target, weight(row)));
                vec![quantile(&mut values.collect::<Vec<_>>(), share(head.loss))]
            }
            (HeadActivation::Linear, _) => vec![(sum(&f64::from) / total) as f32],
            (HeadActivation::Sigmoid, _) => {
                let share = (sum(&f64::from) / total).clamp(RARE, 1.0 - RARE);
                vec![(share / (1.0 - share)).ln() as f32]
            }
            (HeadActivation::Softmax, _) => {
                let share = |class: usize| sum(&|target| f64::from(u8::from(target as usize == class))) / total;
                (0..head.outputs).map(|class| share(class).max(RARE).ln() as f32).collect()
            }
        }
    }

    /// The value of a leaf with these rows, where the loss has no second derivative to find it by.
    pub(crate) fn leaf_value(&self, rows: &[u32], scores: &[f32]) -> Option<f32> {
        matches!(self.head.loss, HeadLoss::AbsoluteError | HeadLoss::Quantile { .. }).then(|| {
            let residual = |&row: &u32| {
                let row = row as usize;
                (self.targets[row] - scores[row], self.weight(row))
            };
            quantile(&mut rows.iter().map(residual).collect::<Vec<_>>(), share(self.head.loss))
        })
    }

    /// Writes gradient and second derivative of every output at these scores, both `[rows, outputs]`.
    pub(crate) fn gradients(&self, scores: &[f32], out: &mut [[f32; 2]]) -> Totals {
        let outputs = self.head.outputs;
        let chunks = out.par_chunks_mut(CHUNK_ROWS * outputs).zip(scores.par_chunks(CHUNK_ROWS * outputs)).enumerate();
        let parts: Vec<Totals> =
            chunks.map(|(number, (out, scores))| self.chunk(number * CHUNK_ROWS, scores, out)).collect();
        let mut all = Totals { loss: 0.0, outputs: vec![[0.0; 2]; outputs] };
        for part in parts {
            all.loss += part.loss;
            for (all, part) in all.outputs.iter_mut().zip(part.outputs) {
                all[0] += part[0];
                all[1] += part[1];
            }
        }
        all
    }

    fn chunk(&self, first: usize, scores: &[f32], out: &mut [[f32; 2]]) -> Totals {
        let outputs = self.head.outputs;
        if self.head.activation == HeadActivation::Sigmoid && self.weights.is_empty() && self.head.smoothing == 0.0 {
            let mut totals = Totals { loss: 0.0, outputs: vec![[0.0; 2]] };
            let targets = self.targets[first..first + out.len()].chunks(LOGARITHM_ROWS);
            for ((scores, targets), out) in
                scores.chunks(LOGARITHM_ROWS).zip(targets).zip(out.chunks_mut(LOGARITHM_ROWS))
            {
                let (loss, sums) = cross_entropy(scores, targets, out);
                totals.loss += loss;
                totals.outputs[0][0] += sums[0];
                totals.outputs[0][1] += sums[1];
            }
            return totals;
        }
        let mut totals = Totals { loss: 0.0, outputs: vec![[0.0; 2]; outputs] };
        for (n, (scores, out)) in scores.chunks_exact(outputs).zip(out.chunks_exact_mut(outputs)).enumerate() {
            let (target, weight) = (self.targets[first + n], self.weight(first + n));
            totals.loss += f64::from(weight) * row_loss(self.head, scores, &[target]);
            match self.head.activation {
                HeadActivation::Linear => out[0] = [self.slope(scores[0] - target), 1.0],
                HeadActivation::Sigmoid => {
                    let p = 1.0 / (1.0 + (-scores[0]).exp());
                    out[0] = [p - self.smooth(target, 0.5), p * (1.0 - p)];
                }
                HeadActivation::Softmax => self.softmax(scores, target as usize, out),
            }
            for (out, totals) in out.iter_mut().zip(&mut totals.outputs) {
                *out = out.map(|x| x * weight);
                totals[0] += f64::from(out[0].abs());
                totals[1] += f64::from(out[1]);
            }
        }
        totals
    }

    /// The gradient of a value that is off by `error`.
    fn slope(&self, error: f32) -> f32 {
        match self.head.loss {
            HeadLoss::AbsoluteError => sign(error),
            HeadLoss::Huber { delta } => error.clamp(-delta, delta),
            HeadLoss::Quantile { quantile } if error > 0.0 => 1.0 - quantile,
            HeadLoss::Quantile { quantile } if error < 0.0 => -quantile,
            HeadLoss::Quantile { .. } => 0.0,
            _ => error,
        }
    }

    fn smooth(&self, target: f32, mean: f32) -> f32 {
        target + self.head.smoothing * (mean - target)
    }

    /// Cross-entropy of softmax. The second derivative is made larger by classes / (classes - 1), since the outputs are not
    /// independent (Friedman 2001, algorithm 6).
    fn softmax(&self, scores: &[f32], right: usize, out: &mut [[f32; 2]]) {
        let classes = scores.len() as f32;
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = scores.iter().map(|x| (x - largest).exp()).sum();
        for (class, (score, out)) in scores.iter().zip(out).enumerate() {
            let p = (score - largest).exp() / sum;
            let target = self.smooth(f32::from(u8::from(class == right)), 1.0 / classes);
            *out = [p - target, classes / (classes - 1.0) * p * (1.0 - p)];
        }
    }
}

/// Cross-entropy of the sigmoid of rows that count the same: its sum, and those of gradients and second derivatives. One
/// logarithm of a product serves all rows; each factor is at most 2, so that the product stays far below its limit.
fn cross_entropy(scores: &[f32], targets: &[f32], out: &mut [[f32; 2]]) -> (f64, [f64; 2]) {
    let (mut loss, mut product, mut sums) = (0.0_f32, 1.0_f64, [0.0_f32; 2]);
    for ((&score, &target), out) in scores.iter().zip(targets).zip(out) {
        let small = (-score.abs()).exp();
        product *= f64::from(1.0 + small);
        loss += score.max(0.0) - score * target;
        let rest = 1.0 / (1.0 + small);
        let p = if score >= 0.0 { rest } else { small * rest };
        // p (1 - p), without the cancellation near 1.
        *out = [p - target, small * rest * rest];
        sums[0] += out[0].abs();
        sums[1] += out[1];
    }
    (f64::from(loss) + product.ln(), sums.map(f64::from))
}

/// The share of the rows that should stay below the answer, for losses whose leaves hold a quantile.
fn share(loss: HeadLoss) -> f64 {
    match loss {
        HeadLoss::Quantile { quantile } => f64::from(quantile),
        _ => 0.5,
    }
}

fn sign(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

/// The smallest value that so large a share of the weight does not exceed; 0 without rows.
fn quantile(values: &mut [(f32, f32)], share: f64) -> f32 {
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let total: f64 = values.iter().map(|(_, weight)| f64::from(*weight)).sum();
    let mut below = 0.0;
    for (value, weight) in values.iter() {
        below += f64::from(*weight);
        if below >= share * total {
            return *value;
        }
    }
    values.last().map_or(0.0, |(value, _)| *value)
}
