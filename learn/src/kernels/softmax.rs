//! Softmax over the last axis, forward and backward.

use super::activation::exp;
use super::simd::{LANES, versions};
use super::team::Team;

/// Numbers below which a second thread costs more than it gains.
const SPLIT_MIN: usize = 1 << 13;

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

versions! {
    fn forward(values: &mut [f32], width: usize) {
        values.chunks_exact_mut(width).for_each(|row| {
            softmax_row(row);
        });
    }
}

versions! {
    fn backward(probabilities: &[f32], gradient: &mut [f32], width: usize) {
        for (gradient, probabilities) in gradient.chunks_exact_mut(width).zip(probabilities.chunks_exact(width)) {
            softmax_row_backward(probabilities, gradient);
        }
    }
}

versions! {
    fn log_forward(values: &mut [f32], width: usize) {
        for row in values.chunks_exact_mut(width) {
            let most = largest(row);
            let mut total = 0.0;
            // In blocks of a register file's size: exponentials are not kept.
            for block in row.chunks(4 * LANES) {
                let mut room = [0.0; 4 * LANES];
                room.iter_mut().zip(block).for_each(|(e, x)| *e = exp(*x - most));
                total += sum(&room[..block.len()], &room[..block.len()], |e, _| e);
            }
            let log = most + total.ln();
            row.iter_mut().for_each(|x| *x -= log);
        }
    }
}

versions! {
    fn log_backward(logs: &[f32], gradient: &mut [f32], width: usize) {
        for (gradient, logs) in gradient.chunks_exact_mut(width).zip(logs.chunks_exact(width)) {
            let total = sum(gradient, gradient, |g, _| g);
            gradient.iter_mut().zip(logs).for_each(|(g, log)| *g -= exp(*log) * total);
        }
    }
}

fn threads(team: &Team, length: usize) -> usize {
    if length < SPLIT_MIN { 1 } else { team.threads() }
}

/// Rows `[rows, width]` become probabilities.
pub(crate) fn softmax(team: &mut Team, values: &mut [f32], width: usize) {
    team.split(threads(team, values.len()), values, width, &|_, part| forward(part, width));
}

/// The gradient of probabilities `[rows, width]` becomes that of what `softmax` was given.
pub(crate) fn softmax_backward(team: &mut Team, probabilities: &[f32], gradient: &mut [f32], width: usize) {
    assert_eq!(probabilities.len(), gradient.len());
    team.split(threads(team, gradient.len()), gradient, width, &|start, part| {
        backward(&probabilities[start..][..part.len()], part, width);
    });
}

/// Rows `[rows, width]` become logarithms of probabilities.
pub(crate) fn log_softmax(team: &mut Team, values: &mut [f32], width: usize) {
    team.split(threads(team, values.len()), values, width, &|_, part| log_forward(part, width));
}

/// The gradient of logarithms of probabilities `[rows, width]` becomes that of what `log_softmax` was given.
pub(crate) fn log_softmax_backward(team: &mut Team, logs: &[f32], gradient: &mut [f32], width: usize) {
    assert_eq!(logs.len(), gradient.len());
    team.split(threads(team, gradient.len()), gradient, width, &|start, part| {
        log_backward(&logs[start..][..part.len()], part, width);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::at_every_level;
    use crate::kernels::numbers::{check_gradients, close, dot, numbers, wide};

    fn softmax64(values: &[f64], width: usize) -> Vec<f64> {
        let row = |row: &[f64]| {
            let total: f64 = row.iter().map(|x| x.exp()).sum();
            row.iter().map(|x| x.exp() / total).collect::<Vec<_>>()
        };
        values.chunks(width).flat_map(row).collect()
    }

    #[test]
    fn softmax_and_its_logarithm_follow_f64_forward_and_backward() {
        at_every_level(|level| {
            for (rows, width) in [(1, 1), (3, 2), (5, 15), (2, 16), (4, 17), (3, 100), (70, 131)] {
                let place = format!("{level}, {rows} x {width}");
                let values: Vec<f32> = numbers(rows * width, 1).iter().map(|x| 4.0 * x).collect();
                let weights = numbers(rows * width, 2);
                let expected = softmax64(&wide(&values), width);
                let runs = [1, 2, 3].map(|threads| {
                    let mut team = Team::new(threads);
                    let [mut probabilities, mut logs] = [values.clone(), values.clone()];
                    let [mut gradient, mut log_gradient] = [weights.clone(), weights.clone()];
                    softmax(&mut team, &mut probabilities, width);
                    softmax_backward(&mut team, &probabilities, &mut gradient, width);
                    log_softmax(&mut team, &mut logs, width);
                    log_softmax_backward(&mut team, &logs, &mut log_gradient, width);
                    [probabilities, logs, gradient, log_gradient]
                });
                assert!(runs[0] == runs[1] && runs[1] == runs[2], "{place}: threads");
                let [probabilities, logs, gradient, log_gradient] = &runs[0];
                close(probabilities, &expected, 1e-6, &place);
                close(logs, &expected.iter().map(|p| p.ln()).collect::<Vec<_>>(), 2e-6, &place);
                let loss = |values: &[Vec<f64>]| dot(&softmax64(&values[0], width), &weights);
                check_gradients(std::slice::from_ref(&values), &[gradient], 40, &place, loss);
                let log_loss = |values: &[Vec<f64>]| {
                    let logs: Vec<f64> = softmax64(&values[0], width).iter().map(|p| p.ln()).collect();
                    dot(&logs, &weights)
                };
                check_gradients(std::slice::from_ref(&values), &[log_gradient], 40, &place, log_loss);
            }
        });
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
