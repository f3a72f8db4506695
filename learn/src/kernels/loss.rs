//! Losses with the gradient of the logits, in one pass. Each is the mean over the rows of a batch.

use super::activation::{exp, sigmoid};
use super::buffer::Matrix;
use super::simd::versions;

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

/// Cross-entropy of softmax; `logits` `[rows, classes]` become the gradient. `targets` are class numbers.
pub(crate) fn softmax_cross_entropy(logits: &mut Matrix, targets: &[f32]) -> f32 {
    let mut loss = 0.0;
    let scale = 1.0 / targets.len() as f32;
    for (number, &target) in targets.iter().enumerate() {
        let row = logits.row_mut(number);
        let right = row[target as usize];
        let (ln_sum, largest) = softmax(row);
        loss += ln_sum + largest - right;
        row.iter_mut().for_each(|x| *x *= scale);
        row[target as usize] -= scale;
    }
    loss * scale
}

/// Squared error of softmax against the one-hot target, the mean over rows and classes.
pub(crate) fn softmax_squared_error(logits: &mut Matrix, targets: &[f32]) -> f32 {
    let mut loss = 0.0;
    let scale = 1.0 / (targets.len() * logits.columns) as f32;
    for (number, &target) in targets.iter().enumerate() {
        let row = logits.row_mut(number);
        softmax(row);
        let error = |class: usize, p: f32| p - f32::from(class == target as usize);
        let mut mean = 0.0; // sum of p_k * dL/dp_k
        for (class, &p) in row.iter().enumerate() {
            loss += error(class, p) * error(class, p);
            mean += p * 2.0 * error(class, p);
        }
        for (class, p) in row.iter_mut().enumerate() {
            *p = *p * (2.0 * error(class, *p) - mean) * scale;
        }
    }
    loss * scale
}

/// Cross-entropy of the sigmoid of one logit; `targets` are 0 and 1.
pub(crate) fn sigmoid_cross_entropy(logits: &mut Matrix, targets: &[f32]) -> f32 {
    one_output(logits, targets, |x, target| {
        let loss = x.max(0.0) - x * target + (-x.abs()).exp().ln_1p();
        (if x.is_nan() { x } else { loss }, sigmoid(x) - target)
    })
}

/// Squared error of the sigmoid of one logit; `targets` are 0 and 1.
pub(crate) fn sigmoid_squared_error(logits: &mut Matrix, targets: &[f32]) -> f32 {
    one_output(logits, targets, |x, target| {
        let p = sigmoid(x);
        ((p - target) * (p - target), 2.0 * (p - target) * p * (1.0 - p))
    })
}

/// Squared error of one value.
pub(crate) fn squared_error(values: &mut Matrix, targets: &[f32]) -> f32 {
    one_output(values, targets, |x, target| ((x - target) * (x - target), 2.0 * (x - target)))
}

fn one_output(outputs: &mut Matrix, targets: &[f32], of: impl Fn(f32, f32) -> (f32, f32)) -> f32 {
    let mut loss = 0.0;
    let scale = 1.0 / targets.len() as f32;
    for (row, &target) in targets.iter().enumerate() {
        let output = &mut outputs.row_mut(row)[0];
        let (row_loss, gradient) = of(*output, target);
        loss += row_loss;
        *output = gradient * scale;
    }
    loss * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    type Kernel = fn(&mut Matrix, &[f32]) -> f32;

    /// Loss and gradient against f64 formulas and their central differences.
    fn check(name: &str, kernel: Kernel, columns: usize, reference: impl Fn(&[f64], f64) -> f64) {
        let rows = 5;
        let mut matrix = Matrix::zeros(rows, columns);
        let mut wide = vec![];
        let targets: Vec<f32> = (0..rows).map(|row| (row % columns.max(2)) as f32).collect();
        for row in 0..rows {
            let values: Vec<f32> = (0..columns).map(|c| ((row * 7 + c * 3) % 11) as f32 * 0.5 - 2.0).collect();
            matrix.row_mut(row).copy_from_slice(&values);
            wide.push(values.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
        }
        let loss = f64::from(kernel(&mut matrix, &targets));
        let mean = |wide: &[Vec<f64>]| {
            wide.iter().zip(&targets).map(|(row, t)| reference(row, f64::from(*t))).sum::<f64>() / rows as f64
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

    fn softmax64(row: &[f64]) -> Vec<f64> {
        let sum: f64 = row.iter().map(|x| x.exp()).sum();
        row.iter().map(|x| x.exp() / sum).collect()
    }

    #[test]
    fn losses_and_gradients_follow_central_differences_in_f64() {
        let sigmoid64 = |x: f64| 1.0 / (1.0 + (-x).exp());
        for classes in [2, 3, 10, 17] {
            check("softmax ce", softmax_cross_entropy, classes, |row, t| -softmax64(row)[t as usize].ln());
            check("softmax se", softmax_squared_error, classes, |row, t| {
                let errors = softmax64(row).into_iter().enumerate().map(|(c, p)| p - f64::from(c == t as usize));
                errors.map(|e| e * e).sum::<f64>() / row.len() as f64
            });
        }
        check("sigmoid ce", sigmoid_cross_entropy, 1, |row, t| {
            let p = sigmoid64(row[0]);
            -(t * p.ln() + (1.0 - t) * (1.0 - p).ln())
        });
        check("sigmoid se", sigmoid_squared_error, 1, |row, t| (sigmoid64(row[0]) - t).powi(2));
        check("squared error", squared_error, 1, |row, t| (row[0] - t).powi(2));
    }

    #[test]
    fn huge_logits_give_finite_losses_and_nan_is_seen() {
        let one = |kernel: Kernel, columns: usize, value: f32| {
            let mut matrix = Matrix::zeros(1, columns);
            matrix.row_mut(0)[0] = value;
            kernel(&mut matrix, &[1.0])
        };
        assert_eq!(one(softmax_cross_entropy, 3, 1000.0), 1000.0);
        assert_eq!(one(sigmoid_cross_entropy, 1, -1000.0), 1000.0);
        for (kernel, columns) in [
            (softmax_cross_entropy as Kernel, 3),
            (softmax_squared_error, 3),
            (sigmoid_cross_entropy, 1),
            (sigmoid_squared_error, 1),
            (squared_error, 1),
        ] {
            assert!(one(kernel, columns, f32::NAN).is_nan());
        }
    }
}
