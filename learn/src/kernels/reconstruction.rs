//! How far is what a network gave back from what it was given? The score of an autoencoder, forward and backward.

use super::simd::versions;

/// Added to the mean squared difference, so that its logarithm exists.
pub(crate) const FLOOR: f32 = 1e-9;

versions! {
    fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
        let mut sums = [0.0f32; 16];
        let (left, right) = (a.chunks_exact(16), b.chunks_exact(16));
        let rest: f32 = left.remainder().iter().zip(right.remainder()).map(|(a, b)| (a - b) * (a - b)).sum();
        for (a, b) in left.zip(right) {
            for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
                *sum += (a - b) * (a - b);
            }
        }
        sums.iter().sum::<f32>() + rest
    }
}

/// `scale * ln(mean((given - back)^2)) + offset` per row, into `out` `[rows]`; `given` and `back` are `[rows, width]`.
pub(crate) fn reconstruction_score(given: &[f32], back: &[f32], [scale, offset]: [f32; 2], out: &mut [f32]) {
    let width = given.len() / out.len().max(1);
    assert!(given.len() == back.len() && given.len() == width * out.len());
    for (row, out) in out.iter_mut().enumerate() {
        let part = row * width..(row + 1) * width;
        let mean = squared_distance(&given[part.clone()], &back[part]) / width as f32;
        *out = scale * (mean + FLOOR).ln() + offset;
    }
}

/// From the gradient of the scores, `[rows]`, to that of `back`, which is written; that of `given` is its negative.
pub(crate) fn reconstruction_backward(given: &[f32], back: &[f32], scale: f32, gradient: &[f32], to: &mut [f32]) {
    let width = given.len() / gradient.len().max(1);
    assert!(given.len() == back.len() && given.len() == to.len() && given.len() == width * gradient.len());
    for (row, gradient) in gradient.iter().enumerate() {
        let part = row * width..(row + 1) * width;
        let (given, back) = (&given[part.clone()], &back[part.clone()]);
        let mean = squared_distance(given, back) / width as f32;
        let slope = gradient * scale * 2.0 / (width as f32 * (mean + FLOOR));
        for (to, (given, back)) in to[part].iter_mut().zip(given.iter().zip(back)) {
            *to = slope * (back - given);
        }
    }
}
