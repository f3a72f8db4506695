//! Softmax of a row, forward and backward.

use super::activation::exp;
use super::simd::LANES;

/// The sum of `of` over pairs, in 16 partial sums: a vector's worth, the same at every level.
#[inline(always)]
pub(super) fn sum(xs: &[f32], ys: &[f32], of: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (x_chunks, y_chunks) = (xs.chunks_exact(LANES), ys.chunks_exact(LANES));
    let rest = x_chunks.remainder().iter().zip(y_chunks.remainder());
    for (xs, ys) in x_chunks.zip(y_chunks) {
        for ((sum, x), y) in sums.iter_mut().zip(xs).zip(ys) {
            *sum += of(*x, *y);
        }
    }
    for (sum, (x, y)) in sums.iter_mut().zip(rest) {
        *sum += of(*x, *y);
    }
    for half in [8, 4, 2, 1] {
        for n in 0..half {
            sums[n] += sums[n + half];
        }
    }
    sums[0]
}

/// The largest number; NaN is passed over.
#[inline(always)]
fn largest(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (most, x) in lanes.iter_mut().zip(chunk) {
            *most = if *x > *most { *x } else { *most };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |most, x| if *x > most { *x } else { most })
}

/// Turns a row into probabilities; gives the logarithm of the sum of exponentials. NaN makes the whole row NaN.
#[inline(always)]
pub(super) fn softmax_row(row: &mut [f32]) -> f32 {
    let most = largest(row);
    row.iter_mut().for_each(|x| *x = exp(*x - most));
    let total = sum(row, row, |x, _| x);
    let scale = 1.0 / total;
    row.iter_mut().for_each(|x| *x *= scale);
    most + total.ln()
}

/// Turns the gradient of a row of probabilities into that of the row they were made of.
#[inline(always)]
pub(super) fn softmax_row_backward(probabilities: &[f32], gradient: &mut [f32]) {
    let mean = sum(probabilities, gradient, |p, g| p * g);
    gradient.iter_mut().zip(probabilities).for_each(|(g, p)| *g = p * (*g - mean));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::numbers::{check_gradients, close, dot, numbers, wide};

    fn softmax64(values: &[f64], width: usize) -> Vec<f64> {
        let row = |row: &[f64]| {
            let total: f64 = row.iter().map(|x| x.exp()).sum();
            row.iter().map(|x| x.exp() / total).collect::<Vec<_>>()
        };
        values.chunks(width).flat_map(row).collect()
    }

    #[test]
    fn probabilities_and_their_gradient_follow_f64() {
        for width in [1, 2, 15, 16, 17, 100, 131] {
            let place = format!("{width} wide");
            let values: Vec<f32> = numbers(width, 1).iter().map(|x| 4.0 * x).collect();
            let (mut probabilities, weights) = (values.clone(), numbers(width, 2));
            let mut gradient = weights.clone();
            let log = softmax_row(&mut probabilities);
            softmax_row_backward(&probabilities, &mut gradient);
            close(&probabilities, &softmax64(&wide(&values), width), 1e-6, &place);
            let total: f64 = wide(&values).iter().map(|x| x.exp()).sum();
            assert!((f64::from(log) - total.ln()).abs() < 2e-6, "{place}: {log}");
            let loss = |values: &[Vec<f64>]| dot(&softmax64(&values[0], width), &weights);
            check_gradients(std::slice::from_ref(&values), &[&gradient], 40, &place, loss);
        }
    }

    #[test]
    fn huge_numbers_stay_finite_and_nan_is_seen() {
        let mut row = vec![1e30, -1e30, 1e30];
        assert!((softmax_row(&mut row) - 1e30).abs() < 1e24);
        close(&row, &[0.5, 0.0, 0.5], 1e-6, "huge");
        for place in [0, 18] {
            let mut row = vec![1.0; 20];
            row[place] = f32::NAN;
            let log = softmax_row(&mut row);
            assert!(log.is_nan() && row.iter().all(|x| x.is_nan()));
        }
    }
}
