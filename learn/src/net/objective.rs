//! How wrong are the outputs of a batch, and in which direction should they move?

use super::{Head, HeadActivation, HeadLoss};
use crate::kernels::{self, Matrix, Targets};

/// The mean loss of a batch, whose outputs `[rows, outputs]` become its gradient.
pub(crate) fn loss_and_gradient(head: Head, outputs: &mut Matrix, targets: Targets) -> f32 {
    let Some(mixed) = targets.mixed else { return of_one_answer(head, outputs, targets) };
    let mut second = outputs.clone();
    let loss = of_one_answer(head, outputs, targets) + of_one_answer(head, &mut second, Targets::from(mixed));
    outputs.data.iter_mut().zip(second.data.iter()).for_each(|(x, y)| *x += y);
    loss
}

fn of_one_answer(head: Head, outputs: &mut Matrix, targets: Targets) -> f32 {
    use {HeadActivation as A, HeadLoss as L};
    match (head.activation, head.loss) {
        (A::Linear, L::AbsoluteError) => kernels::absolute_error(outputs, targets),
        (A::Linear, L::Huber { delta }) => kernels::huber(outputs, targets, delta),
        (A::Linear, L::Quantile { quantile }) => kernels::quantile(outputs, targets, quantile),
        (A::Linear, _) => kernels::squared_error(outputs, targets),
        (A::Sigmoid, L::Focal { gamma }) => kernels::sigmoid_focal(outputs, targets, gamma),
        (A::Sigmoid, L::Reconstruction) => kernels::exponential(outputs, targets),
        (A::Sigmoid, L::SquaredError) => kernels::sigmoid_squared_error(outputs, targets),
        (A::Sigmoid, _) => kernels::sigmoid_cross_entropy(outputs, targets, head.smoothing),
        (A::Softmax, L::Focal { gamma }) => kernels::softmax_focal(outputs, targets, gamma),
        (A::Softmax, L::SquaredError) => kernels::softmax_squared_error(outputs, targets),
        (A::Softmax, _) => kernels::softmax_cross_entropy(outputs, targets, head.smoothing),
    }
}

/// The loss of one row's outputs in f64, as in `kernels::loss`, not weighted: for validation, and to find the rows whose
/// loss is no number. `targets` holds the number of the class, or as many values as there are outputs.
pub(crate) fn row_loss(head: Head, row: &[f32], targets: &[f32]) -> f64 {
    if head.activation == HeadActivation::Softmax {
        return softmax_loss(head, row, targets[0] as usize);
    }
    let losses = row.iter().zip(targets).map(|(x, t)| match head.activation {
        HeadActivation::Sigmoid => sigmoid_loss(head, f64::from(*x), f64::from(*t)),
        _ => value_loss(head.loss, f64::from(*x) - f64::from(*t)),
    });
    losses.sum::<f64>() / targets.len() as f64
}

fn value_loss(loss: HeadLoss, error: f64) -> f64 {
    match loss {
        HeadLoss::AbsoluteError => error.abs(),
        HeadLoss::Huber { delta } if error.abs() > f64::from(delta) => {
            f64::from(delta) * (error.abs() - 0.5 * f64::from(delta))
        }
        HeadLoss::Huber { .. } => 0.5 * error * error,
        HeadLoss::Quantile { quantile } if error > 0.0 => (1.0 - f64::from(quantile)) * error,
        HeadLoss::Quantile { quantile } => -f64::from(quantile) * error,
        HeadLoss::SquaredError | HeadLoss::CrossEntropy | HeadLoss::Focal { .. } | HeadLoss::Reconstruction => {
            error * error
        }
    }
}

fn sigmoid_loss(head: Head, x: f64, target: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    match head.loss {
        HeadLoss::SquaredError => (1.0 / (1.0 + (-x).exp()) - target).powi(2),
        HeadLoss::Reconstruction => x.exp(),
        HeadLoss::Focal { gamma } => {
            let z = (2.0 * target - 1.0) * x;
            let ln_p = z.min(0.0) - (-z.abs()).exp().ln_1p();
            -(1.0 / (1.0 + z.exp())).powf(f64::from(gamma)) * ln_p
        }
        _ => {
            let target = target + f64::from(head.smoothing) * (0.5 - target);
            x.max(0.0) - x * target + (-x.abs()).exp().ln_1p()
        }
    }
}

fn softmax_loss(head: Head, row: &[f32], right: usize) -> f64 {
    let wide = || row.iter().map(|x| f64::from(*x));
    let largest = wide().fold(f64::NEG_INFINITY, |a, b| if b < a { a } else { b }); // NaN wins
    let sum: f64 = wide().map(|x| (x - largest).exp()).sum();
    let (ln_sum, count) = (sum.ln() + largest, row.len() as f64);
    match head.loss {
        HeadLoss::SquaredError => {
            let p = wide().map(|x| (x - largest).exp() / sum);
            let errors = p.enumerate().map(|(class, p)| p - f64::from(u8::from(class == right)));
            errors.map(|error| error * error).sum::<f64>() / count
        }
        HeadLoss::Focal { gamma } => {
            let ln_p = f64::from(row[right]) - ln_sum;
            -(1.0 - ln_p.exp()).powf(f64::from(gamma)) * ln_p
        }
        _ => {
            let smoothing = f64::from(head.smoothing);
            let mean = if smoothing == 0.0 { 0.0 } else { wide().sum::<f64>() / count };
            ln_sum - (1.0 - smoothing) * f64::from(row[right]) - smoothing * mean
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every loss in f32 beside the one in f64, on the same outputs.
    #[test]
    fn rows_are_judged_as_batches_are() {
        use {HeadActivation as A, HeadLoss as L};
        let values = [L::SquaredError, L::AbsoluteError, L::Huber { delta: 0.7 }, L::Quantile { quantile: 0.2 }];
        let classes = [L::SquaredError, L::CrossEntropy, L::Focal { gamma: 1.5 }];
        let linear = values.map(|loss| (A::Linear, 2, loss));
        let sigmoid = classes.map(|loss| (A::Sigmoid, 1, loss));
        let softmax = classes.map(|loss| (A::Softmax, 4, loss));
        let reconstruction = [(A::Sigmoid, 1, L::Reconstruction)];
        for (activation, outputs, loss) in linear.into_iter().chain(sigmoid).chain(softmax).chain(reconstruction) {
            for smoothing in [0.0, 0.1] {
                let head = Head { outputs, activation, loss, smoothing };
                let mut matrix = Matrix::zeros(6, outputs);
                let per_row = if activation == A::Linear { outputs } else { 1 };
                let targets: Vec<f32> = (0..6 * per_row).map(|n| (n % outputs.max(2)) as f32).collect();
                let mut expected = 0.0;
                for row in 0..6 {
                    let values: Vec<f32> = (0..outputs).map(|n| ((row * 5 + n * 3) % 7) as f32 * 0.6 - 1.7).collect();
                    expected += row_loss(head, &values, &targets[row * per_row..][..per_row]) / 6.0;
                    matrix.row_mut(row).copy_from_slice(&values);
                }
                let found = f64::from(loss_and_gradient(head, &mut matrix, Targets::from(&targets[..])));
                assert!((found / expected - 1.0).abs() < 1e-5, "{head:?}: {found} for {expected}");
            }
        }
    }

    #[test]
    fn two_answers_of_a_row_count_by_their_weights() {
        let head =
            Head { outputs: 3, activation: HeadActivation::Softmax, loss: HeadLoss::CrossEntropy, smoothing: 0.1 };
        let logits = |matrix: &mut Matrix| {
            (0..2).for_each(|row| matrix.row_mut(row).copy_from_slice(&[0.3 - row as f32, 1.2, -0.7]));
        };
        let alone = |values: [f32; 2], weights: [f32; 2]| {
            let mut matrix = Matrix::zeros(2, 3);
            logits(&mut matrix);
            let targets = Targets { values: &values, weights: &weights, mixed: None };
            (loss_and_gradient(head, &mut matrix, targets), matrix.row(0).to_vec())
        };
        let (own, other) = (alone([0.0, 2.0], [0.7, 0.4]), alone([1.0, 2.0], [0.3, 0.6]));
        let mut matrix = Matrix::zeros(2, 3);
        logits(&mut matrix);
        let mixed = Some(kernels::Mixed { values: &[1.0, 2.0], weights: &[0.3, 0.6] });
        let targets = Targets { values: &[0.0, 2.0], weights: &[0.7, 0.4], mixed };
        let loss = loss_and_gradient(head, &mut matrix, targets);
        assert!((loss - own.0 - other.0).abs() < 1e-6);
        for (found, parts) in matrix.row(0).iter().zip(own.1.iter().zip(&other.1)) {
            assert!((found - parts.0 - parts.1).abs() < 1e-6);
        }
        // By hand for the first row: probabilities less 0.9 times the shares of the answers and 0.1 / 3 everywhere, halved.
        let sum: f32 = [0.3f32, 1.2, -0.7].iter().map(|x| x.exp()).sum();
        let by_hand = [0.3f32, 1.2, -0.7].map(|x| x.exp() / sum);
        for ((found, p), share) in matrix.row(0).iter().zip(by_hand).zip([0.7, 0.3, 0.0]) {
            assert!((found - 0.5 * (p - 0.9 * share - 0.1 / 3.0)).abs() < 1e-6, "{found}");
        }
    }

    #[test]
    fn a_row_without_a_number_has_no_finite_loss() {
        for (activation, outputs) in
            [(HeadActivation::Linear, 1), (HeadActivation::Sigmoid, 1), (HeadActivation::Softmax, 3)]
        {
            for loss in [HeadLoss::SquaredError, HeadLoss::CrossEntropy, HeadLoss::Focal { gamma: 2.0 }] {
                let head = Head { outputs, activation, loss, smoothing: 0.0 };
                assert!(row_loss(head, &vec![f32::NAN; outputs], &[0.0]).is_nan(), "{head:?}");
            }
        }
    }
}
