//! Losses with the gradient of the outputs, in one pass. Each is the mean over the rows of a batch (and over the values of
//! a row where it has several), every row counted by its weight.

use super::activation::{exp, sigmoid};
use super::buffer::Matrix;
use super::simd::versions;

/// What the rows of a batch should have given, and what each of them counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Targets<'a> {
    /// The number of the right class, or the standardised values `[rows, outputs]`.
    pub(crate) values: &'a [f32],
    /// One weight per row; empty where every row counts 1. The sum is divided by the number of rows, not of weights.
    pub(crate) weights: &'a [f32],
    /// Second answers of the rows, whose losses are added.
    pub(crate) mixed: Option<Mixed<'a>>,
}

/// What the rows of a batch should have given too: rows that were mixed of two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mixed<'a> {
    /// As in [`Targets`].
    pub(crate) values: &'a [f32],
    /// One weight per row.
    pub(crate) weights: &'a [f32],
}

impl<'a> From<&'a [f32]> for Targets<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self { values, weights: &[], mixed: None }
    }
}

impl<'a> From<Mixed<'a>> for Targets<'a> {
    fn from(Mixed { values, weights }: Mixed<'a>) -> Self {
        Self { values, weights, mixed: None }
    }
}

#[cfg(feature = "burn")]
impl<'a> Targets<'a> {
    /// Those of some of a batch's rows.
    pub(crate) fn part(self, some: std::ops::Range<usize>, rows: usize) -> Self {
        let of = |all: &'a [f32]| {
            let width = all.len() / rows;
            &all[some.start * width..some.end * width]
        };
        let mixed = self.mixed.map(|mixed| Mixed { values: of(mixed.values), weights: of(mixed.weights) });
        Self { values: of(self.values), weights: of(self.weights), mixed }
    }
}

impl Targets<'_> {
    /// What a row counts.
    pub(crate) fn weight(&self, row: usize) -> f32 {
        if self.weights.is_empty() { 1.0 } else { self.weights[row] }
    }
}

versions! {
    /// Turns a row of logits into probabilities; gives ln of the sum of exponentials, and the largest logit.
    fn softmax(row: &mut [f32]) -> (f32, f32) {
        let largest = row.iter().fold(f32::NEG_INFINITY, |a, b| if *b < a { a } else { *b }); // NaN wins
        let mut sum = 0.0;
        for x in row.iter_mut() {
            *x = exp(*x - largest);
            sum += *x;
        }
        let scale = 1.0 / sum;
        row.iter_mut().for_each(|x| *x *= scale);
        (sum.ln(), largest)
    }
}

/// Rows of logits become rows of probabilities.
pub(crate) fn softmax_rows(logits: &mut [f32], classes: usize) {
    logits.chunks_exact_mut(classes).for_each(|row| {
        softmax(row);
    });
}

versions! {
    /// Logits become probabilities.
    pub(crate) fn sigmoid_rows(logits: &mut [f32]) {
        logits.iter_mut().for_each(|x| *x = sigmoid(*x));
    }
}

/// Cross-entropy of softmax; `logits` `[rows, classes]` become the gradient. `smoothing` of the target goes to all classes
/// in equal parts (Szegedy et al. 2016, section 7).
pub(crate) fn softmax_cross_entropy(logits: &mut Matrix, targets: Targets, smoothing: f32) -> f32 {
    let mut loss = 0.0;
    let scale = 1.0 / targets.values.len() as f32;
    let share = smoothing / logits.columns as f32;
    for (number, &target) in targets.values.iter().enumerate() {
        let (right, weight) = (target as usize, targets.weight(number));
        let row = logits.row_mut(number);
        let expected = if smoothing == 0.0 {
            row[right]
        } else {
            (1.0 - smoothing) * row[right] + share * row.iter().sum::<f32>()
        };
        let (ln_sum, largest) = softmax(row);
        loss += weight * (ln_sum + largest - expected);
        let scale = weight * scale;
        row.iter_mut().for_each(|x| *x *= scale);
        if smoothing == 0.0 {
            row[right] -= scale;
        } else {
            row.iter_mut().for_each(|x| *x -= scale * share);
            row[right] -= scale * (1.0 - smoothing);
        }
    }
    loss * scale
}

/// Squared error of softmax against the one-hot target, the mean over rows and classes.
pub(crate) fn softmax_squared_error(logits: &mut Matrix, targets: Targets) -> f32 {
    let mut loss = 0.0;
    let scale = 1.0 / (targets.values.len() * logits.columns) as f32;
    for (number, &target) in targets.values.iter().enumerate() {
        let weight = targets.weight(number);
        let row = logits.row_mut(number);
        softmax(row);
        let error = |class: usize, p: f32| p - f32::from(class == target as usize);
        let mut mean = 0.0; // sum of p_k * dL/dp_k
        for (class, &p) in row.iter().enumerate() {
            loss += weight * error(class, p) * error(class, p);
            mean += p * 2.0 * error(class, p);
        }
        for (class, p) in row.iter_mut().enumerate() {
            *p = weight * *p * (2.0 * error(class, *p) - mean) * scale;
        }
    }
    loss * scale
}

/// Focal loss of softmax, `-(1 - p)^gamma ln p` of the right class (Lin et al. 2017, equation 4).
pub(crate) fn softmax_focal(logits: &mut Matrix, targets: Targets, gamma: f32) -> f32 {
    let mut loss = 0.0;
    let scale = 1.0 / targets.values.len() as f32;
    for (number, &target) in targets.values.iter().enumerate() {
        let (right, weight) = (target as usize, targets.weight(number));
        let row = logits.row_mut(number);
        let right_logit = row[right];
        let (ln_sum, largest) = softmax(row);
        let p = row[right];
        row[right] = 0.0;
        let (row_loss, slope, rest) = focal(right_logit - largest - ln_sum, p, row.iter().sum(), gamma);
        loss += weight * row_loss;
        let slope = weight * slope * scale;
        row.iter_mut().for_each(|x| *x *= -slope);
        row[right] = slope * rest;
    }
    loss * scale
}

/// The exponential of every output: of logarithms of losses.
pub(crate) fn exponential(logits: &mut Matrix, targets: Targets) -> f32 {
    every_output(logits, targets, |x, _| (x.exp(), x.exp()))
}

/// Focal loss of the sigmoid of every output; targets are 0 and 1.
pub(crate) fn sigmoid_focal(logits: &mut Matrix, targets: Targets, gamma: f32) -> f32 {
    every_output(logits, targets, |x, target| {
        let sign = 2.0 * target - 1.0;
        let z = sign * x;
        let ln_p = z.min(0.0) - (-z.abs()).exp().ln_1p();
        let (loss, slope, rest) = focal(if z.is_nan() { z } else { ln_p }, sigmoid(z), sigmoid(-z), gamma);
        (loss, sign * slope * rest)
    })
}

/// From the right class' probability, its logarithm and the rest to 1: the loss, its derivative by the right logit divided
/// by the rest, and the rest, kept above 0 for powers below 0.
fn focal(ln_p: f32, p: f32, rest: f32, gamma: f32) -> (f32, f32, f32) {
    let rest = rest.max(f32::MIN_POSITIVE);
    let factor = rest.powf(gamma);
    (-factor * ln_p, gamma * p * rest.powf(gamma - 1.0) * ln_p - factor, rest)
}

/// Cross-entropy of the sigmoid of every output; targets are 0 and 1, of which `smoothing` goes to both in equal parts.
pub(crate) fn sigmoid_cross_entropy(logits: &mut Matrix, targets: Targets, smoothing: f32) -> f32 {
    every_output(logits, targets, |x, target| {
        let target = target + smoothing * (0.5 - target);
        let loss = x.max(0.0) - x * target + (-x.abs()).exp().ln_1p();
        (if x.is_nan() { x } else { loss }, sigmoid(x) - target)
    })
}

/// Squared error of the sigmoid of every output; targets are 0 and 1.
pub(crate) fn sigmoid_squared_error(logits: &mut Matrix, targets: Targets) -> f32 {
    every_output(logits, targets, |x, target| {
        let p = sigmoid(x);
        ((p - target) * (p - target), 2.0 * (p - target) * p * (1.0 - p))
    })
}

/// Squared error of values.
pub(crate) fn squared_error(values: &mut Matrix, targets: Targets) -> f32 {
    every_output(values, targets, |x, target| ((x - target) * (x - target), 2.0 * (x - target)))
}

/// Absolute error of values; no gradient where there is no error.
pub(crate) fn absolute_error(values: &mut Matrix, targets: Targets) -> f32 {
    every_output(values, targets, |x, target| ((x - target).abs(), sign(x - target)))
}

/// Half the squared error up to `delta`, and linear beyond it (Huber 1964), as PyTorch's `HuberLoss`.
pub(crate) fn huber(values: &mut Matrix, targets: Targets, delta: f32) -> f32 {
    every_output(values, targets, |x, target| {
        let error = x - target;
        let loss = if error.abs() > delta { delta * (error.abs() - 0.5 * delta) } else { 0.5 * error * error };
        (loss, if error.is_nan() { error } else { error.clamp(-delta, delta) })
    })
}

/// The error of a quantile (Koenker and Bassett 1978): a value too low costs `quantile` times its error, one too high the
/// rest to 1.
pub(crate) fn quantile(values: &mut Matrix, targets: Targets, quantile: f32) -> f32 {
    every_output(values, targets, |x, target| {
        let error = x - target;
        let slope = if error > 0.0 { 1.0 - quantile } else { -quantile };
        (slope * error, slope * sign(error).abs())
    })
}

/// -1, 0 or 1; NaN of NaN.
fn sign(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

/// `of` gives loss and gradient of an output and its target.
fn every_output(outputs: &mut Matrix, targets: Targets, of: impl Fn(f32, f32) -> (f32, f32)) -> f32 {
    let mut loss = 0.0;
    let scale = 1.0 / targets.values.len() as f32;
    for (row, values) in targets.values.chunks_exact(outputs.columns).enumerate() {
        let weight = targets.weight(row);
        for (output, &target) in outputs.row_mut(row).iter_mut().zip(values) {
            let (output_loss, gradient) = of(*output, target);
            loss += weight * output_loss;
            *output = weight * gradient * scale;
        }
    }
    loss * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    type Kernel<'a> = &'a dyn Fn(&mut Matrix, Targets) -> f32;

    /// Loss and gradient against f64 formulas and their central differences, without and with weights of the rows.
    fn check(name: &str, kernel: Kernel, columns: usize, reference: impl Fn(&[f64], f64) -> f64) {
        for weights in [&[][..], &[0.5, 2.0, 0.0, 1.0, 3.0]] {
            let rows = 5;
            let mut matrix = Matrix::zeros(rows, columns);
            let mut wide = vec![];
            let values: Vec<f32> = (0..rows).map(|row| (row % columns.max(2)) as f32).collect();
            for row in 0..rows {
                let values: Vec<f32> = (0..columns).map(|c| ((row * 7 + c * 3) % 11) as f32 * 0.45 - 2.0).collect();
                matrix.row_mut(row).copy_from_slice(&values);
                wide.push(values.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
            }
            let loss = f64::from(kernel(&mut matrix, Targets { values: &values, weights, mixed: None }));
            let mean = |wide: &[Vec<f64>]| {
                let weight = |row: usize| weights.get(row).map_or(1.0, |weight| f64::from(*weight));
                let loss = |row: usize| weight(row) * reference(&wide[row], f64::from(values[row]));
                (0..rows).map(loss).sum::<f64>() / rows as f64
            };
            assert!((loss / mean(&wide) - 1.0).abs() < 1e-6, "{name}: {loss} for {}", mean(&wide));
            for row in 0..rows {
                for column in 0..columns {
                    let at = |h: f64| {
                        let mut moved = wide.clone();
                        moved[row][column] += h;
                        mean(&moved)
                    };
                    let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
                    let found = f64::from(matrix.row(row)[column]);
                    assert!((found - expected).abs() < 1e-6, "{name} [{row}, {column}]: {found} for {expected}");
                }
            }
        }
    }

    fn softmax64(row: &[f64]) -> Vec<f64> {
        let sum: f64 = row.iter().map(|x| x.exp()).sum();
        row.iter().map(|x| x.exp() / sum).collect()
    }

    #[test]
    fn losses_and_gradients_follow_central_differences_in_f64() {
        let sigmoid64 = |x: f64| 1.0 / (1.0 + (-x).exp());
        for classes in [2, 3, 10, 17] {
            for smoothing in [0.0, 0.1] {
                check("softmax ce", &|x, t| softmax_cross_entropy(x, t, smoothing), classes, |row, t| {
                    let smoothing = f64::from(smoothing);
                    let share =
                        |c: usize| (1.0 - smoothing) * f64::from(c == t as usize) + smoothing / row.len() as f64;
                    softmax64(row).iter().enumerate().map(|(c, p)| -share(c) * p.ln()).sum()
                });
            }
            for gamma in [0.0, 0.5, 2.0] {
                check("softmax focal", &|x, t| softmax_focal(x, t, gamma), classes, |row, t| {
                    let p = softmax64(row)[t as usize];
                    -(1.0 - p).powf(f64::from(gamma)) * p.ln()
                });
            }
            check("softmax se", &softmax_squared_error, classes, |row, t| {
                let errors = softmax64(row).into_iter().enumerate().map(|(c, p)| p - f64::from(c == t as usize));
                errors.map(|e| e * e).sum::<f64>() / row.len() as f64
            });
        }
        for smoothing in [0.0, 0.2] {
            check("sigmoid ce", &|x, t| sigmoid_cross_entropy(x, t, smoothing), 1, |row, t| {
                let (p, t) = (sigmoid64(row[0]), t + f64::from(smoothing) * (0.5 - t));
                -(t * p.ln() + (1.0 - t) * (1.0 - p).ln())
            });
        }
        for gamma in [0.0, 0.5, 2.0] {
            check("sigmoid focal", &|x, t| sigmoid_focal(x, t, gamma), 1, |row, t| {
                let p = sigmoid64(if t == 1.0 { row[0] } else { -row[0] });
                -(1.0 - p).powf(f64::from(gamma)) * p.ln()
            });
        }
        check("sigmoid se", &sigmoid_squared_error, 1, |row, t| (sigmoid64(row[0]) - t).powi(2));
        check("squared error", &squared_error, 1, |row, t| (row[0] - t).powi(2));
        check("absolute error", &absolute_error, 1, |row, t| (row[0] - t).abs());
        check("huber", &|x, t| huber(x, t, 1.5), 1, |row, t| {
            let error = (row[0] - t).abs();
            if error > 1.5 { 1.5 * (error - 0.75) } else { 0.5 * error * error }
        });
        for q in [0.1, 0.5, 0.9] {
            check("quantile", &|x, t| quantile(x, t, q), 1, |row, t| {
                let (error, q) = (t - row[0], f64::from(q));
                (q * error).max((q - 1.0) * error)
            });
        }
    }

    #[test]
    fn the_mean_is_over_the_values_of_a_row_too() {
        let mut matrix = Matrix::zeros(2, 2);
        matrix.row_mut(0).copy_from_slice(&[1.0, 2.0]);
        let targets = Targets { values: &[0.0, 2.0, 5.0, 0.0], weights: &[1.0, 2.0], mixed: None };
        assert_eq!(squared_error(&mut matrix, targets), (1.0 + 2.0 * 25.0) / 4.0);
        assert_eq!((matrix.row(0), matrix.row(1)), (&[0.5, 0.0][..], &[-5.0, 0.0][..]));
    }

    #[test]
    fn huge_logits_give_finite_losses_and_nan_is_seen() {
        let one = |kernel: Kernel, columns: usize, value: f32| {
            let mut matrix = Matrix::zeros(1, columns);
            matrix.row_mut(0)[0] = value;
            let loss = kernel(&mut matrix, Targets::from(&[1.0][..]));
            (loss, matrix.row(0).iter().all(|x| x.is_finite()))
        };
        let all: [(Kernel, usize); 11] = [
            (&|x, t| softmax_cross_entropy(x, t, 0.0), 3),
            (&|x, t| softmax_cross_entropy(x, t, 0.1), 3),
            (&|x, t| softmax_focal(x, t, 0.5), 3),
            (&softmax_squared_error, 3),
            (&|x, t| sigmoid_cross_entropy(x, t, 0.0), 1),
            (&|x, t| sigmoid_focal(x, t, 0.5), 1),
            (&sigmoid_squared_error, 1),
            (&squared_error, 1),
            (&absolute_error, 1),
            (&|x, t| huber(x, t, 1.0), 1),
            (&|x, t| quantile(x, t, 0.3), 1),
        ];
        assert_eq!(one(all[0].0, 3, 1000.0), (1000.0, true));
        assert_eq!(one(all[2].0, 3, 1000.0), (1000.0, true));
        assert_eq!(one(all[4].0, 1, -1000.0), (1000.0, true));
        assert_eq!(one(all[5].0, 1, -1000.0), (1000.0, true));
        for (kernel, columns) in all {
            assert!(one(kernel, columns, f32::NAN).0.is_nan());
            for value in [1000.0, -1000.0] {
                let (loss, is_finite) = one(kernel, columns, value);
                assert!(loss.is_finite() && is_finite, "{value}: {loss}");
            }
        }
    }
}
