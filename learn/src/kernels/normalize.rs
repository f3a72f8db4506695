//! Layer normalisation over the last axis (Ba, Kiros and Hinton 2016), forward and backward.

use super::buffer::Buffer;
use super::shared::Shared;
use super::simd::versions;
use super::softmax::sum;
use super::team::Team;

/// Numbers below which a second thread costs more than it gains.
const SPLIT_MIN: usize = 1 << 14;
/// Rows whose gradients of gain and bias are added up by one thread, before all such sums are added in order.
const BLOCK: usize = 32;

/// What a layer keeps from its forward pass for its backward pass.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    width: usize,
    epsilon: f32,
    /// Per row: the mean, and 1 over the standard deviation.
    moments: Vec<[f32; 2]>,
    /// Per block of rows: the gradient of the gain and of the bias, `[2, width]`.
    sums: Buffer,
}

impl LayerNorm {
    /// Room for `rows_max` rows of `width` numbers; `epsilon` is added to the variance.
    pub(crate) fn new(rows_max: usize, width: usize, epsilon: f32) -> Self {
        let sums = Buffer::zeros(rows_max.div_ceil(BLOCK) * 2 * width);
        Self { width, epsilon, moments: vec![[0.0; 2]; rows_max], sums }
    }

    fn threads(&self, team: &Team, length: usize) -> usize {
        if length < SPLIT_MIN { 1 } else { team.threads() }
    }

    /// `out = (x - mean) / sqrt(variance + epsilon) * gain + bias`, per row of `x` `[rows, width]`.
    pub(crate) fn forward(&mut self, team: &mut Team, x: &[f32], gain: &[f32], bias: &[f32], out: &mut [f32]) {
        let width = self.width;
        assert!(x.len() == out.len() && gain.len() == width && bias.len() == width);
        let rows = x.len() / width;
        assert!(rows * width == x.len() && rows <= self.moments.len());
        let (threads, epsilon) = (self.threads(team, x.len()), self.epsilon);
        let (moments, out) = (Shared::of(self.moments.as_flattened_mut()), Shared::of(out));
        team.run(threads, &|thread| {
            let (start, end) = (rows * thread / threads, rows * (thread + 1) / threads);
            // SAFETY: every thread has rows of its own.
            let (moments, out) =
                unsafe { (moments.part(2 * start, 2 * (end - start)), out.part(start * width, (end - start) * width)) };
            forward(&x[start * width..end * width], [gain, bias], epsilon, moments, out);
        });
    }

    /// Back through the last `forward`, whose `x` and `gain` these must be: the gradient of the output becomes that of
    /// the input; adds to the gradients of gain and bias.
    pub(crate) fn backward(
        &mut self,
        team: &mut Team,
        x: &[f32],
        gain: &[f32],
        gradient: &mut [f32],
        gain_gradient: &mut [f32],
        bias_gradient: &mut [f32],
    ) {
        let width = self.width;
        assert!(x.len() == gradient.len() && gain.len() == width);
        assert!(gain_gradient.len() == width && bias_gradient.len() == width);
        let rows = x.len() / width;
        assert!(rows * width == x.len() && rows <= self.moments.len());
        let (threads, blocks) = (self.threads(team, x.len()), rows.div_ceil(BLOCK));
        let moments = &*self.moments;
        let (sums, shared) = (Shared::of(&mut self.sums), Shared::of(gradient));
        team.run(threads, &|thread| {
            for block in blocks * thread / threads..blocks * (thread + 1) / threads {
                let (start, end) = (block * BLOCK, rows.min((block + 1) * BLOCK));
                // SAFETY: every thread has blocks of its own.
                let (sums, gradient) = unsafe {
                    (sums.part(block * 2 * width, 2 * width), shared.part(start * width, (end - start) * width))
                };
                backward(&x[start * width..end * width], gain, &moments[start..end], gradient, sums);
            }
        });
        for block in self.sums[..blocks * 2 * width].chunks_exact(2 * width) {
            let (gain, bias) = block.split_at(width);
            gain_gradient.iter_mut().zip(gain).for_each(|(sum, x)| *sum += x);
            bias_gradient.iter_mut().zip(bias).for_each(|(sum, x)| *sum += x);
        }
    }
}

versions! {
    fn forward(x: &[f32], affine: [&[f32]; 2], epsilon: f32, moments: &mut [f32], out: &mut [f32]) {
        let [gain, bias] = affine;
        let width = gain.len();
        let scale = 1.0 / width as f32;
        let rows = x.chunks_exact(width).zip(out.chunks_exact_mut(width)).zip(moments.chunks_exact_mut(2));
        for ((x, out), moments) in rows {
            let mean = sum(x, x, |x, _| x) * scale;
            let variance = sum(x, x, |x, _| (x - mean) * (x - mean)) * scale;
            let inverse = 1.0 / (variance + epsilon).sqrt();
            moments.copy_from_slice(&[mean, inverse]);
            for (((y, x), gain), bias) in out.iter_mut().zip(x).zip(gain).zip(bias) {
                *y = (x - mean) * inverse * gain + bias;
            }
        }
    }
}

versions! {
    /// Rows of one block; `sums` is `[2, width]`.
    fn backward(x: &[f32], gain: &[f32], moments: &[[f32; 2]], gradient: &mut [f32], sums: &mut [f32]) {
        let width = gain.len();
        let scale = 1.0 / width as f32;
        let (gain_sums, bias_sums) = sums.split_at_mut(width);
        gain_sums.fill(0.0);
        bias_sums.fill(0.0);
        let rows = x.chunks_exact(width).zip(gradient.chunks_exact_mut(width)).zip(moments);
        for ((x, gradient), [mean, inverse]) in rows {
            for ((sum, g), x) in gain_sums.iter_mut().zip(&*gradient).zip(x) {
                *sum += g * ((x - mean) * inverse);
            }
            for ((sum, g), gain) in bias_sums.iter_mut().zip(&mut *gradient).zip(gain) {
                *sum += *g;
                *g *= gain;
            }
            let average = sum(gradient, gradient, |g, _| g) * scale;
            let slope = sum(gradient, x, |g, x| g * ((x - mean) * inverse)) * scale;
            for (g, x) in gradient.iter_mut().zip(x) {
                *g = inverse * (*g - average - (x - mean) * inverse * slope);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::at_every_level;
    use crate::kernels::numbers::{check_gradients, close, dot, numbers, wide};

    fn reference(x: &[f64], gain: &[f64], bias: &[f64]) -> Vec<f64> {
        let row = |row: &[f64]| {
            let mean = row.iter().sum::<f64>() / row.len() as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
            let scaled = row.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt());
            scaled.zip(gain).zip(bias).map(|((x, gain), bias)| x * gain + bias).collect::<Vec<_>>()
        };
        x.chunks(gain.len()).flat_map(row).collect()
    }

    #[test]
    fn a_layer_follows_f64_forward_and_backward_at_any_number_of_threads() {
        at_every_level(|level| {
            for (rows, width) in [(1, 2), (3, 5), (33, 16), (40, 17), (7, 100), (130, 131)] {
                let place = format!("{level}, {rows} x {width}");
                // Far from zero, as activations can be.
                let x: Vec<f32> = numbers(rows * width, 1).iter().map(|x| 3.0 * x + 5.0).collect();
                let (gain, bias, weights) = (numbers(width, 2), numbers(width, 3), numbers(rows * width, 4));
                let runs = [1, 2, 3].map(|threads| {
                    let mut team = Team::new(threads);
                    let mut layer = LayerNorm::new(rows + 1, width, 1e-5);
                    let mut out = vec![0.0; rows * width];
                    layer.forward(&mut team, &x, &gain, &bias, &mut out);
                    let (mut gradient, [mut to_gain, mut to_bias]) =
                        (weights.clone(), [vec![0.0; width], vec![0.0; width]]);
                    layer.backward(&mut team, &x, &gain, &mut gradient, &mut to_gain, &mut to_bias);
                    [out, gradient, to_gain, to_bias]
                });
                assert!(runs[0] == runs[1] && runs[1] == runs[2], "{place}: threads");
                let [out, gradient, to_gain, to_bias] = &runs[0];
                close(out, &reference(&wide(&x), &wide(&gain), &wide(&bias)), 3e-6, &place);
                let loss = |values: &[Vec<f64>]| dot(&reference(&values[0], &values[1], &values[2]), &weights);
                check_gradients(&[x, gain, bias], &[gradient, to_gain, to_bias], 30, &place, loss);
            }
        });
    }

    /// `torch.nn.functional.layer_norm(x, (4,), gain, bias)` in float64 and its gradients by autograd, PyTorch 2.15;
    /// all numbers are those of `numbers`.
    #[test]
    fn a_layer_is_that_of_pytorch() {
        let (x, gain, bias) = (numbers(12, 1), numbers(4, 2), numbers(4, 3));
        let mut team = Team::new(1);
        let mut layer = LayerNorm::new(3, 4, 1e-5);
        let mut out = vec![0.0; 12];
        layer.forward(&mut team, &x, &gain, &bias, &mut out);
        let (mut gradient, [mut to_gain, mut to_bias]) = (numbers(12, 4), [vec![0.0; 4], vec![0.0; 4]]);
        layer.backward(&mut team, &x, &gain, &mut gradient, &mut to_gain, &mut to_bias);
        close(
            &out,
            &[
                -0.16299221,
                -0.15881205,
                0.16231823,
                0.97861192,
                -1.3631901,
                0.5565175,
                0.41059078,
                0.89500197,
                1.3401982,
                1.0344422,
                0.78219055,
                0.9321215,
            ],
            2e-6,
            "out",
        );
        close(
            &gradient,
            &[
                0.63206219,
                0.24125621,
                -0.55320122,
                -0.32011718,
                0.70864805,
                -0.81549825,
                -0.49490473,
                0.60175493,
                -0.046840201,
                -0.0040563751,
                -0.11844745,
                0.16934403,
            ],
            2e-6,
            "gradient",
        );
        close(&to_gain, &[-0.92850396, -0.68625669, -0.27229624, -0.74768162], 2e-6, "to_gain");
        close(&to_bias, &[0.71428571, -0.23809524, 0.81904762, -0.13333333], 2e-6, "to_bias");
    }
}
