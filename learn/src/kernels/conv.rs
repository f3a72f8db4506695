//! A convolution of pictures: forward, backward to its input, and backward to its weights.
//!
//! Activations are `[rows, height, width, channels]`, weights `[kernel height, kernel width, channels / groups,
//! outputs]`. With one group the three are products of matrices whose left factor, the windows, is never written out
//! (`correlate`, `conv_weight`); with as many groups as channels each channel has a kernel of its own.

use super::buffer::{Buffer, at_least};
use super::conv_weight::{Partials, gradient};
use super::correlate::{Correlation, Frames, correlate};
use super::simd::LANES;
use super::team::Team;
use crate::spec::Activation;

/// Sizes of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConvShape {
    /// Of the input.
    pub(crate) height: usize,
    /// Of the input.
    pub(crate) width: usize,
    /// Of the input.
    pub(crate) channels: usize,
    /// Height and width of the window.
    pub(crate) kernel: [usize; 2],
    /// From one window to the next: down, right.
    pub(crate) stride: [usize; 2],
    /// Zeros around the input: top, left, bottom, right.
    pub(crate) padding: [usize; 4],
    /// Channels of the output.
    pub(crate) outputs: usize,
    /// 1, or as many as channels and outputs (depthwise).
    pub(crate) groups: usize,
}

impl ConvShape {
    /// Height of the output.
    pub(crate) fn out_height(&self) -> usize {
        self.windows(0, self.height)
    }

    /// Width of the output.
    pub(crate) fn out_width(&self) -> usize {
        self.windows(1, self.width)
    }

    fn windows(&self, axis: usize, length: usize) -> usize {
        let padded = length + self.padding[axis] + self.padding[axis + 2];
        padded.checked_sub(self.kernel[axis]).map_or(0, |rest| rest / self.stride[axis] + 1)
    }

    /// Numbers of one input.
    #[cfg(test)]
    pub(crate) fn input_size(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Numbers of one output.
    #[cfg(test)]
    pub(crate) fn output_size(&self) -> usize {
        self.out_height() * self.out_width() * self.outputs
    }

    /// Numbers of the kernel.
    pub(crate) fn weight_size(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.channels / self.groups * self.outputs
    }

    fn check(&self) {
        let depthwise = self.groups == self.channels && self.groups == self.outputs;
        assert!(self.groups == 1 || depthwise, "{} groups of {} channels", self.groups, self.channels);
        assert!(self.stride.iter().chain(&self.kernel).all(|n| *n > 0), "a kernel or stride of 0");
    }

    /// The layer as sums over windows of its input.
    pub(super) fn forward(&self) -> Correlation {
        let count = [self.out_height(), self.out_width()];
        Correlation {
            source: [self.height, self.width],
            channels: self.channels,
            taps: self.kernel,
            first: [-self.padding[0].cast_signed(), -self.padding[1].cast_signed()],
            step: self.stride,
            count,
            target: 0,
            target_step: [count[1], 1],
            target_pixels: count[0] * count[1],
            outputs: self.outputs,
            depthwise: self.groups > 1,
        }
    }

    /// The inputs at `rest` modulo the stride (in the padded picture) as sums over windows of the output's gradient,
    /// and the kernel's first tap that reaches them. A stride then costs no products with zeros.
    fn backward(&self, rest: [usize; 2]) -> Correlation {
        let sizes = [self.height, self.width];
        let axis = |axis: usize| {
            let (stride, padding) = (self.stride[axis], self.padding[axis]);
            let taps = self.kernel[axis].saturating_sub(rest[axis]).div_ceil(stride);
            // Padded places rest + u * stride with u from `begin` on, which is where the picture itself begins.
            let begin = padding.saturating_sub(rest[axis]).div_ceil(stride);
            let start = (rest[axis] + begin * stride).saturating_sub(padding);
            let count = sizes[axis].saturating_sub(start).div_ceil(stride);
            (taps, begin.cast_signed() - taps.cast_signed() + 1, count, start)
        };
        let ((taps_y, first_y, count_y, start_y), (taps_x, first_x, count_x, start_x)) = (axis(0), axis(1));
        Correlation {
            source: [self.out_height(), self.out_width()],
            channels: self.outputs,
            taps: [taps_y, taps_x],
            first: [first_y, first_x],
            step: [1, 1],
            count: [count_y, count_x],
            target: start_y * self.width + start_x,
            target_step: [self.stride[0] * self.width, self.stride[1]],
            target_pixels: self.height * self.width,
            outputs: self.channels,
            depthwise: self.groups > 1,
        }
    }
}

/// Memory of a layer's convolution that is kept from step to step.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConvScratch {
    pub(super) weights: Buffer,
    pub(super) bias: Buffer,
    pub(super) frames: Frames,
    pub(super) partials: Partials,
}

/// `out = activation(convolution of x + bias)`; an empty `bias` is 0.
#[allow(clippy::too_many_arguments, reason = "operands, result, and who works on them where")]
pub(crate) fn conv_forward(
    team: &mut Team,
    rows: usize,
    shape: &ConvShape,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    activation: Option<Activation>,
    out: &mut [f32],
    scratch: &mut ConvScratch,
) {
    shape.check();
    assert!(weight.len() >= shape.weight_size() && (bias.is_empty() || bias.len() >= shape.outputs));
    let ConvScratch { weights, bias: room, frames, .. } = scratch;
    if !bias.is_empty() {
        let room = at_least(room, shape.outputs.next_multiple_of(LANES));
        room[..shape.outputs].copy_from_slice(&bias[..shape.outputs]);
    }
    let bias = if bias.is_empty() { &[][..] } else { &room[..] };
    let plan = shape.forward();
    pack(weight, plan.depth(), shape.outputs, weights);
    correlate(team, rows, &plan, x, weights, bias, activation, out, frames);
}

/// The gradient of the input, from `delta`, the gradient of the layer's sums `[rows, out height, out width, outputs]`.
pub(crate) fn conv_backward(
    team: &mut Team,
    rows: usize,
    shape: &ConvShape,
    delta: &[f32],
    weight: &[f32],
    out: &mut [f32],
    scratch: &mut ConvScratch,
) {
    shape.check();
    assert!(weight.len() >= shape.weight_size());
    let ConvScratch { weights, frames, .. } = scratch;
    for rest in (0..shape.stride[0]).flat_map(|y| (0..shape.stride[1]).map(move |x| [y, x])) {
        let plan = shape.backward(rest);
        pack_turned(weight, shape, turned(shape, rest, plan.taps), weights);
        correlate(team, rows, &plan, delta, weights, &[], None, out, frames);
    }
}

/// The gradients of weights and biases. An empty `bias_gradient` is not filled.
#[allow(clippy::too_many_arguments, reason = "operands, results, and who works on them where")]
pub(crate) fn conv_gradient(
    team: &mut Team,
    rows: usize,
    shape: &ConvShape,
    x: &[f32],
    delta: &[f32],
    weight_gradient: &mut [f32],
    bias_gradient: &mut [f32],
    scratch: &mut ConvScratch,
) {
    shape.check();
    assert!(weight_gradient.len() >= shape.weight_size());
    assert!(bias_gradient.is_empty() || bias_gradient.len() >= shape.outputs);
    let (plan, ConvScratch { frames, partials, .. }) = (shape.forward(), scratch);
    gradient(team, rows, &plan, x, delta, weight_gradient, bias_gradient, (frames, partials));
}

/// Weights become panels of 16 outputs, each `[taps, channels, 16]`.
fn pack(weight: &[f32], depth: usize, outputs: usize, room: &mut Buffer) {
    let room = at_least(room, depth * outputs.next_multiple_of(LANES));
    for (panel, to) in room.chunks_exact_mut(depth * LANES).take(outputs.div_ceil(LANES)).enumerate() {
        let first = panel * LANES;
        let used = LANES.min(outputs - first);
        for (to, from) in to.chunks_exact_mut(LANES).zip(weight.chunks_exact(outputs)) {
            to[..used].copy_from_slice(&from[first..][..used]);
        }
    }
}

/// The kernel's taps that reach inputs at `rest` modulo the stride, the last one first.
fn turned(shape: &ConvShape, rest: [usize; 2], taps: [usize; 2]) -> impl Iterator<Item = usize> + Clone {
    let (stride, width) = (shape.stride, shape.kernel[1]);
    (0..taps[0]).rev().flat_map(move |y| {
        let row = (rest[0] + y * stride[0]) * width;
        (0..taps[1]).rev().map(move |x| row + rest[1] + x * stride[1])
    })
}

/// Taps as panels of 16 channels, each `[taps, outputs / groups, 16]`: the kernel from outputs to channels.
fn pack_turned(weight: &[f32], shape: &ConvShape, taps: impl Iterator<Item = usize> + Clone, room: &mut Buffer) {
    let (channels, outputs) = (shape.channels, shape.outputs / shape.groups);
    let depth = taps.clone().count() * outputs;
    let room = at_least(room, depth * channels.next_multiple_of(LANES));
    if depth == 0 {
        return;
    }
    for (panel, to) in room.chunks_exact_mut(depth * LANES).take(channels.div_ceil(LANES)).enumerate() {
        let first = panel * LANES;
        let used = LANES.min(channels - first);
        for (tap, to) in taps.clone().zip(to.chunks_exact_mut(outputs * LANES)) {
            let from = &weight[(tap * channels + first) * outputs..][..used * outputs];
            for (output, to) in to.chunks_exact_mut(LANES).enumerate() {
                for (slot, x) in to.iter_mut().zip(from[output..].iter().step_by(outputs)) {
                    *slot = *x;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::activation::activate;
    use crate::kernels::at_every_level;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|n| ((n * 37 + seed * 101) % 211) as f32 / 105.0 - 1.0).collect()
    }

    /// Calls `each(x place, weight place, output place)` for every product of the layer, by the definition alone.
    fn products(rows: usize, s: &ConvShape, mut each: impl FnMut(usize, usize, usize)) {
        let (inputs, outputs) = (s.channels / s.groups, s.outputs / s.groups);
        for (row, y, x, output) in (0..rows).flat_map(|row| {
            (0..s.out_height()).flat_map(move |y| {
                (0..s.out_width()).flat_map(move |x| (0..s.outputs).map(move |output| (row, y, x, output)))
            })
        }) {
            for (ky, kx) in (0..s.kernel[0]).flat_map(|ky| (0..s.kernel[1]).map(move |kx| (ky, kx))) {
                let from = (y * s.stride[0] + ky).checked_sub(s.padding[0]).filter(|y| *y < s.height);
                let from = from.zip((x * s.stride[1] + kx).checked_sub(s.padding[1]).filter(|x| *x < s.width));
                let Some((from_y, from_x)) = from else { continue };
                for input in 0..inputs {
                    let channel = output / outputs * inputs + input;
                    each(
                        ((row * s.height + from_y) * s.width + from_x) * s.channels + channel,
                        ((ky * s.kernel[1] + kx) * inputs + input) * s.outputs + output,
                        ((row * s.out_height() + y) * s.out_width() + x) * s.outputs + output,
                    );
                }
            }
        }
    }

    fn close(found: &[f32], expected: &[f64], place: &str) {
        let size = expected.iter().map(|x| x * x).sum::<f64>() / expected.len().max(1) as f64;
        assert_eq!(found.len(), expected.len(), "{place}");
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(*found) - expected).abs();
            assert!(error <= 3e-6 * (expected.abs() + size.sqrt()) + 1e-6, "{place} [{at}]: {found} for {expected}");
        }
    }

    /// Rows, height, width, channels, kernel, stride, padding, outputs, groups.
    type Case = (usize, [usize; 3], [usize; 2], [usize; 2], [usize; 4], usize, usize);

    const CASES: [Case; 20] = [
        (1, [1, 1, 1], [1, 1], [1, 1], [0; 4], 1, 1),
        (3, [5, 4, 2], [3, 3], [1, 1], [1; 4], 3, 1),
        (2, [7, 9, 3], [3, 3], [2, 2], [1; 4], 33, 1),
        (2, [8, 8, 16], [3, 3], [1, 1], [1; 4], 16, 1),
        (2, [8, 8, 16], [3, 3], [2, 2], [1; 4], 32, 1),
        (2, [8, 8, 17], [3, 3], [2, 2], [0, 0, 1, 1], 48, 1),
        (3, [6, 6, 16], [1, 1], [1, 1], [0; 4], 20, 1),
        (3, [7, 6, 8], [1, 1], [2, 2], [0; 4], 16, 1),
        (2, [12, 12, 1], [5, 5], [1, 1], [0; 4], 6, 1),
        (2, [11, 10, 3], [7, 7], [2, 2], [3; 4], 8, 1),
        (2, [5, 9, 4], [2, 4], [3, 2], [0, 2, 3, 1], 5, 1),
        (1, [3, 3, 2], [1, 3], [1, 4], [2, 5, 2, 0], 4, 1),
        (1, [20, 21, 4], [3, 3], [1, 1], [1; 4], 18, 1),
        (9, [4, 4, 33], [3, 3], [1, 1], [1; 4], 40, 1),
        (2, [2, 2, 3], [3, 3], [1, 1], [0; 4], 4, 1),
        (2, [7, 7, 16], [3, 3], [1, 1], [1; 4], 16, 16),
        (3, [9, 8, 35], [3, 3], [2, 2], [1; 4], 35, 35),
        (2, [9, 8, 5], [5, 5], [1, 1], [2; 4], 5, 5),
        (2, [6, 9, 48], [2, 3], [3, 1], [0, 1, 1, 0], 48, 48),
        (2, [9, 9, 64], [3, 3], [1, 1], [0; 4], 64, 64),
    ];

    #[test]
    fn a_convolution_forward_and_backward_is_its_definition_in_f64() {
        let teams = std::cell::RefCell::new([1, 2, 3].map(Team::new));
        at_every_level(|level| {
            for (rows, [height, width, channels], kernel, stride, padding, outputs, groups) in CASES {
                let s = ConvShape { height, width, channels, kernel, stride, padding, outputs, groups };
                let (x, weight) = (numbers(rows * s.input_size(), 1), numbers(s.weight_size(), 2));
                let (bias, delta) = (numbers(outputs, 3), numbers(rows * s.output_size(), 4));
                let mut wide_out: Vec<f64> = (0..delta.len()).map(|at| f64::from(bias[at % outputs])).collect();
                let (mut wide_x, mut wide_weight) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
                products(rows, &s, |from, w, to| {
                    let [a, b, d] = [x[from], weight[w], delta[to]].map(f64::from);
                    wide_out[to] += a * b;
                    wide_x[from] += b * d;
                    wide_weight[w] += a * d;
                });
                let sum = |output: usize| delta.iter().skip(output).step_by(outputs).map(|x| f64::from(*x)).sum();
                let wide_bias: Vec<f64> = (0..outputs).map(sum).collect();
                let mut first = None;
                for team in teams.borrow_mut().iter_mut() {
                    let place = format!("{level}, {rows} rows of {s:?}, {} threads", team.threads());
                    let mut scratch = ConvScratch::default();
                    let mut out = vec![f32::NAN; delta.len()];
                    conv_forward(team, rows, &s, &x, &weight, &bias, None, &mut out, &mut scratch);
                    close(&out, &wide_out, &place);
                    for activation in [Activation::Relu, Activation::Tanh] {
                        let mut active = vec![f32::NAN; delta.len()];
                        conv_forward(team, rows, &s, &x, &weight, &bias, Some(activation), &mut active, &mut scratch);
                        let mut expected = out.clone();
                        activate(activation, &mut expected);
                        assert!(active == expected, "{place}, {activation:?}");
                    }
                    let mut back = vec![f32::NAN; x.len()];
                    conv_backward(team, rows, &s, &delta, &weight, &mut back, &mut scratch);
                    close(&back, &wide_x, &place);
                    let (mut w, mut b) = (vec![f32::NAN; weight.len()], vec![f32::NAN; outputs]);
                    conv_gradient(team, rows, &s, &x, &delta, &mut w, &mut b, &mut scratch);
                    close(&w, &wide_weight, &place);
                    close(&b, &wide_bias, &place);
                    let found = (out, back, w, b);
                    assert!(first.get_or_insert_with(|| found.clone()) == &found, "{place}: other bits");
                }
            }
        });
    }
}
