//! Batch normalisation over the last axis (Ioffe and Szegedy 2015), with a ReLU behind it where one follows.
//!
//! Activations are `[count, channels]`; they are worked on in parts of a fixed number of rows that fit the nearest
//! cache. A part's mean and squares are found in two passes over it, and parts are joined in order in f64 (Chan, Golub
//! and LeVeque 1983): no cancellation, one way through memory, and the same bits whatever the number of threads.

use std::ops::Range;

use super::buffer::{Buffer, at_least};
use super::simd::{LANES, Lanes, Vectored, level, vectored};
use super::team::Team;

/// Numbers of a part.
const PART: usize = 8 << 10;
/// Numbers below which a second thread costs more than it gains.
const SPLIT_MIN: usize = 1 << 14;

/// What a layer learned: `gain * (x - mean) / sqrt(variance + epsilon) + bias`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Norm<'a> {
    /// `[channels]`.
    pub(crate) gain: &'a [f32],
    /// `[channels]`.
    pub(crate) bias: &'a [f32],
    /// Added to the variance.
    pub(crate) epsilon: f32,
}

/// The statistics that stand for a batch's at inference. `[channels]` each.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    /// Mean.
    pub(crate) mean: &'a mut [f32],
    /// Variance (of a sample: divided by count - 1).
    pub(crate) variance: &'a mut [f32],
    /// Share of the batch that comes in (PyTorch's `momentum`, 0.1 by default).
    pub(crate) momentum: f32,
}

/// What the backward pass needs of the forward pass, and memory that is kept from step to step.
#[derive(Debug, Clone, Default)]
pub(crate) struct NormScratch {
    /// Per channel `-mean`, filled up to whole vectors; so are the others.
    shift: Buffer,
    /// `gain / sqrt(variance + epsilon)`.
    scale: Buffer,
    bias: Buffer,
    /// `1 / sqrt(variance + epsilon)`.
    inverse: Buffer,
    /// Per part two sums per channel.
    parts: Buffer,
    /// Mean and sum of squared distances from it, per channel.
    totals: Vec<[f64; 2]>,
    /// Two factors per channel of the backward pass.
    factors: [Buffer; 2],
}

/// Rows of each part; with more of them the rounding of a sum in f32 would show.
fn part_rows(channels: usize) -> usize {
    (PART / channels).clamp(1, 512)
}

/// Calls `work(part, rows)` for all parts of `count` rows.
fn each_part(team: &mut Team, count: usize, channels: usize, work: &(dyn Fn(usize, Range<usize>) + Sync)) {
    let threads = if count * channels < SPLIT_MIN { 1 } else { team.threads() };
    let rows = part_rows(channels);
    team.each(threads, count.div_ceil(rows), &|_, part| {
        work(part, part * rows..count.min((part + 1) * rows));
    });
}

/// Normalises by the batch's own statistics, which move the running ones. A batch of one row has a
/// variance of 0.
#[allow(clippy::too_many_arguments, reason = "operands, results, and who works on them where")]
pub(crate) fn batch_norm_forward(
    team: &mut Team,
    x: &[f32],
    norm: Norm,
    running: Running,
    relu: bool,
    out: &mut [f32],
    scratch: &mut NormScratch,
) {
    let channels = check(x, norm, out);
    let (count, wide, level) = (x.len() / channels, channels.next_multiple_of(LANES), level());
    assert!(running.mean.len() == channels && running.variance.len() == channels);
    if count == 0 {
        return;
    }
    let parts = count.div_ceil(part_rows(channels));
    let sums = at_least(&mut scratch.parts, parts * 2 * wide);
    let to = Shared(sums.as_mut_ptr());
    each_part(team, count, channels, &|part, rows| {
        let x = &x[rows.start * channels..rows.end * channels];
        // SAFETY: `level` saw the CPU; each part has its own sums.
        unsafe { vectored(level, Statistics { x, channels, to: to.at(part * 2 * wide) }) };
    });
    let mut totals = std::mem::take(&mut scratch.totals);
    join(count, channels, &scratch.parts, &mut totals);
    let unbiased = 1.0 / (count.max(2) - 1) as f64;
    for (channel, [mean, squares]) in totals.iter().enumerate() {
        let momentum = f64::from(running.momentum);
        let moved = |slot: &mut f32, x: f64| *slot = ((1.0 - momentum) * f64::from(*slot) + momentum * x) as f32;
        moved(&mut running.mean[channel], *mean);
        moved(&mut running.variance[channel], squares * unbiased);
    }
    prepare(norm, |channel| (totals[channel][0], totals[channel][1] / count as f64), scratch);
    scratch.totals = totals;
    apply(team, x, channels, relu, out, scratch);
}

/// Normalises by given statistics.
#[allow(clippy::too_many_arguments, reason = "operands, results, and who works on them where")]
pub(crate) fn batch_norm_infer(
    team: &mut Team,
    x: &[f32],
    norm: Norm,
    mean: &[f32],
    variance: &[f32],
    relu: bool,
    out: &mut [f32],
    scratch: &mut NormScratch,
) {
    let channels = check(x, norm, out);
    assert!(mean.len() == channels && variance.len() == channels);
    prepare(norm, |channel| (f64::from(mean[channel]), f64::from(variance[channel])), scratch);
    apply(team, x, channels, relu, out, scratch);
}

fn check(x: &[f32], norm: Norm, out: &[f32]) -> usize {
    let channels = norm.gain.len();
    assert!(channels > 0 && norm.bias.len() == channels && x.len().is_multiple_of(channels));
    assert_eq!(out.len(), x.len());
    channels
}

/// Joins the parts' statistics: means and sums of squared distances from them.
fn join(count: usize, channels: usize, parts: &[f32], totals: &mut Vec<[f64; 2]>) {
    totals.clear();
    totals.resize(channels, [0.0; 2]);
    let wide = channels.next_multiple_of(LANES);
    let rows = part_rows(channels);
    for (part, start) in (0..count).step_by(rows).enumerate() {
        let here = rows.min(count - start) as f64;
        let (before, all) = (start as f64, start as f64 + here);
        let (part_mean, part_squares) = parts[part * 2 * wide..][..2 * wide].split_at(wide);
        for ([mean, squares], (part_mean, part_squares)) in totals.iter_mut().zip(part_mean.iter().zip(part_squares)) {
            let distance = f64::from(*part_mean) - *mean;
            *mean += distance * here / all;
            *squares += f64::from(*part_squares) + distance * distance * before * here / all;
        }
    }
}

fn prepare(norm: Norm, statistics: impl Fn(usize) -> (f64, f64), scratch: &mut NormScratch) {
    let wide = norm.gain.len().next_multiple_of(LANES);
    let NormScratch { shift, scale, bias, inverse, .. } = scratch;
    let [shift, scale, bias, inverse] = [shift, scale, bias, inverse].map(|buffer| at_least(buffer, wide));
    for (channel, (gain, from)) in norm.gain.iter().zip(norm.bias).enumerate() {
        let (mean, variance) = statistics(channel);
        let root = 1.0 / (variance + f64::from(norm.epsilon)).sqrt();
        shift[channel] = -mean as f32;
        scale[channel] = (f64::from(*gain) * root) as f32;
        bias[channel] = *from;
        inverse[channel] = root as f32;
    }
}

/// Where threads write, each to a part of its own.
struct Shared(*mut f32);

// SAFETY: as said above.
unsafe impl Sync for Shared {}

impl Shared {
    fn at(&self, place: usize) -> *mut f32 {
        self.0.wrapping_add(place)
    }
}

fn apply(team: &mut Team, x: &[f32], channels: usize, relu: bool, out: &mut [f32], scratch: &NormScratch) {
    let (level, to) = (level(), Shared(out.as_mut_ptr()));
    each_part(team, x.len() / channels, channels, &|_, rows| {
        let places = rows.start * channels..rows.end * channels;
        let to = to.at(places.start);
        // SAFETY: `level` saw the CPU; each part has its own place in the output.
        unsafe { vectored(level, Apply { x: &x[places], channels, relu, scratch, to }) };
    });
}

/// Calls `each(first, count)` for every 16 channels, `count` below 16 for the last ones.
#[inline(always)]
fn panels(channels: usize, mut each: impl FnMut(usize, usize)) {
    for first in (0..channels).step_by(LANES) {
        each(first, LANES.min(channels - first));
    }
}

/// The first `count` of 16 numbers.
#[inline(always)]
unsafe fn load<V: Lanes>(from: *const f32, count: usize) -> V {
    // SAFETY: as `Lanes` says.
    unsafe { if count == LANES { V::load(from) } else { V::load_first(from, count) } }
}

#[inline(always)]
unsafe fn store<V: Lanes>(x: V, to: *mut f32, count: usize) {
    // SAFETY: as `Lanes` says.
    unsafe { if count == LANES { x.store(to) } else { x.store_first(to, count) } }
}

/// Sums `of(row)` over `rows`; four sums, or each addition would wait for the one before.
#[inline(always)]
unsafe fn sum<V: Lanes>(rows: usize, of: impl Fn(usize) -> V) -> V {
    // SAFETY: as `Lanes` says.
    unsafe {
        let mut sums = [V::splat(0.0); 4];
        for row in 0..rows / 4 {
            for (n, sum) in sums.iter_mut().enumerate() {
                *sum = sum.add(of(row.wrapping_mul(4).wrapping_add(n)));
            }
        }
        for row in rows / 4 * 4..rows {
            sums[0] = sums[0].add(of(row));
        }
        let [a, b, c, d] = sums;
        a.add(b).add(c.add(d))
    }
}

/// Means of a part and sums of squared distances from them.
struct Statistics<'a> {
    x: &'a [f32],
    channels: usize,
    to: *mut f32,
}

impl Vectored for Statistics<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { x, channels, to } = self;
        let (rows, wide) = (x.len() / channels, channels.next_multiple_of(LANES));
        // SAFETY: as `Lanes` says; `to` has room for two sums per channel.
        unsafe {
            panels(channels, |first, used| {
                let at = |row: usize| load::<V>(x.as_ptr().add(row.wrapping_mul(channels)).add(first), used);
                let [inverse, minus] = [1.0 / rows as f32, -1.0].map(|x| V::splat(x));
                let mean = sum::<V>(rows, at).mul(inverse);
                let shift = mean.mul(minus);
                let rest = sum::<V>(rows, |row| at(row).add(shift));
                let squares = sum::<V>(rows, |row| {
                    let distance = at(row).add(shift);
                    distance.mul(distance)
                });
                // What the mean's own rounding left over.
                let left = rest.mul(inverse);
                let squares = squares.add(rest.mul(left).mul(minus));
                mean.add(left).store(to.add(first));
                squares.store(to.add(wide).add(first));
            });
        }
    }
}

struct Apply<'a> {
    x: &'a [f32],
    channels: usize,
    relu: bool,
    scratch: &'a NormScratch,
    to: *mut f32,
}

impl Vectored for Apply<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { x, channels, relu, scratch, to } = self;
        // SAFETY: as `Lanes` says; all slices have the same length, and the factors are filled up to whole vectors.
        unsafe {
            panels(channels, |first, used| {
                let shift = V::load(scratch.shift.as_ptr().add(first));
                let scale = V::load(scratch.scale.as_ptr().add(first));
                let bias = V::load(scratch.bias.as_ptr().add(first));
                for row in 0..x.len() / channels {
                    let at = row.wrapping_mul(channels).wrapping_add(first);
                    let y = load::<V>(x.as_ptr().add(at), used).add(shift).fma(scale, bias);
                    store(if relu { y.relu() } else { y }, to.add(at), used);
                }
            });
        }
    }
}

/// The gradients of the input and of the layer's weights, after `batch_norm_forward` with the same scratch. `delta`, the
/// gradient of the output, becomes 0 where the ReLU (found again from the input) is closed.
#[allow(clippy::too_many_arguments, reason = "operands, results, and who works on them where")]
pub(crate) fn batch_norm_backward(
    team: &mut Team,
    x: &[f32],
    delta: &mut [f32],
    relu: bool,
    out: &mut [f32],
    gain_gradient: &mut [f32],
    bias_gradient: &mut [f32],
    scratch: &mut NormScratch,
) {
    let channels = gain_gradient.len();
    assert!(channels > 0 && bias_gradient.len() == channels && scratch.shift.len() >= channels);
    assert!(x.len().is_multiple_of(channels) && delta.len() == x.len() && out.len() == x.len());
    let (count, wide, level) = (x.len() / channels, channels.next_multiple_of(LANES), level());
    let mut parts = std::mem::take(&mut scratch.parts);
    let count_parts = count.div_ceil(part_rows(channels));
    let sums = Shared(at_least(&mut parts, count_parts * 2 * wide).as_mut_ptr());
    let delta = Shared(delta.as_mut_ptr());
    let part = |rows: &Range<usize>| Backward {
        x: &x[rows.start * channels..rows.end * channels],
        channels,
        scratch,
        delta: delta.at(rows.start * channels),
    };
    each_part(team, count, channels, &|number, rows| {
        // SAFETY: `level` saw the CPU; each part has its own sums and its own part of `delta`.
        unsafe { vectored(level, Sums { part: part(&rows), relu, to: sums.at(number * 2 * wide) }) };
    });
    add_parts(&parts[..count_parts * 2 * wide], gain_gradient, bias_gradient, &scratch.inverse);
    scratch.parts = parts;
    let (count_inverse, mut factors) = (1.0 / count.max(1) as f32, std::mem::take(&mut scratch.factors));
    let [of_x, of_one] = &mut factors;
    let (of_x, of_one) = (at_least(of_x, wide), at_least(of_one, wide));
    for channel in 0..channels {
        of_x[channel] = -gain_gradient[channel] * count_inverse * scratch.inverse[channel];
        of_one[channel] = -bias_gradient[channel] * count_inverse;
    }
    let part = |rows: &Range<usize>| Backward {
        x: &x[rows.start * channels..rows.end * channels],
        channels,
        scratch,
        delta: delta.at(rows.start * channels),
    };
    let to = Shared(out.as_mut_ptr());
    each_part(team, count, channels, &|_, rows| {
        let to = to.at(rows.start * channels);
        // SAFETY: `level` saw the CPU; each part has its own place in the output.
        unsafe { vectored(level, InputGradient { part: part(&rows), factors: [of_x, of_one], to }) };
    });
    scratch.factors = factors;
}

/// Adds up the parts in order: sums of `delta * (x - mean)`, which become the gain's gradient, and of `delta`.
fn add_parts(parts: &[f32], gain_gradient: &mut [f32], bias_gradient: &mut [f32], inverse: &[f32]) {
    let wide = gain_gradient.len().next_multiple_of(LANES);
    for channel in 0..gain_gradient.len() {
        let sum = |offset: usize| parts.iter().skip(offset + channel).step_by(2 * wide).map(|x| f64::from(*x)).sum();
        let (products, all): (f64, f64) = (sum(0), sum(wide));
        gain_gradient[channel] = (products * f64::from(inverse[channel])) as f32;
        bias_gradient[channel] = all as f32;
    }
}

/// A part of the backward pass.
struct Backward<'a> {
    x: &'a [f32],
    channels: usize,
    scratch: &'a NormScratch,
    delta: *mut f32,
}

struct Sums<'a> {
    part: Backward<'a>,
    relu: bool,
    to: *mut f32,
}

impl Vectored for Sums<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { part: Backward { x, channels, scratch, delta }, relu, to } = self;
        let (rows, wide) = (x.len() / channels, channels.next_multiple_of(LANES));
        // SAFETY: as `Lanes` says; all slices have the same length, and the factors are filled up to whole vectors.
        unsafe {
            panels(channels, |first, used| {
                let shift = V::load(scratch.shift.as_ptr().add(first));
                let scale = V::load(scratch.scale.as_ptr().add(first));
                let bias = V::load(scratch.bias.as_ptr().add(first));
                // Two sums each, or each addition would wait for the one before.
                let mut sums = [[V::splat(0.0); 2]; 2];
                for row in 0..rows {
                    let at = row.wrapping_mul(channels).wrapping_add(first);
                    let distance = load::<V>(x.as_ptr().add(at), used).add(shift);
                    let mut d = load::<V>(delta.add(at), used);
                    if relu {
                        d = d.where_positive(distance.fma(scale, bias));
                        store(d, delta.add(at), used);
                    }
                    let [products, all] = sums.get_unchecked_mut(row % 2);
                    *products = d.fma(distance, *products);
                    *all = all.add(d);
                }
                let [[products, all], [more_products, more]] = sums;
                products.add(more_products).store(to.add(first));
                all.add(more).store(to.add(wide).add(first));
            });
        }
    }
}

struct InputGradient<'a> {
    part: Backward<'a>,
    /// Per channel what is multiplied with `x - mean` and what is added to `delta`.
    factors: [&'a Buffer; 2],
    to: *mut f32,
}

impl Vectored for InputGradient<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { part: Backward { x, channels, scratch, delta }, factors: [of_x, of_one], to } = self;
        // SAFETY: as `Lanes` says; all slices have the same length, and the factors are filled up to whole vectors.
        unsafe {
            panels(channels, |first, used| {
                let shift = V::load(scratch.shift.as_ptr().add(first));
                let scale = V::load(scratch.scale.as_ptr().add(first));
                let (of_x, of_one) = (V::load(of_x.as_ptr().add(first)), V::load(of_one.as_ptr().add(first)));
                for row in 0..x.len() / channels {
                    let at = row.wrapping_mul(channels).wrapping_add(first);
                    let distance = load::<V>(x.as_ptr().add(at), used).add(shift);
                    let d = load::<V>(delta.add(at), used).add(of_one);
                    store(distance.fma(of_x, d).mul(scale), to.add(at), used);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::at_every_level;

    const EPSILON: f64 = 1e-5;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|n| ((n * n % 1009 * 37 + n * 11 + seed * 101) % 211) as f32 / 105.0 - 1.0).collect()
    }

    fn wide(values: &[f32]) -> Vec<f64> {
        values.iter().map(|x| f64::from(*x)).collect()
    }

    /// Mean and biased variance of a channel.
    fn statistics(x: &[f64], channels: usize, channel: usize) -> (f64, f64) {
        let column: Vec<f64> = x.iter().skip(channel).step_by(channels).copied().collect();
        let mean = column.iter().sum::<f64>() / column.len() as f64;
        (mean, column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / column.len() as f64)
    }

    /// The layer's output, by the definition alone.
    fn reference(x: &[f64], gain: &[f64], bias: &[f64], relu: bool) -> Vec<f64> {
        let channels = gain.len();
        let of: Vec<(f64, f64)> = (0..channels).map(|channel| statistics(x, channels, channel)).collect();
        let each = |(at, x): (usize, &f64)| {
            let (mean, variance) = of[at % channels];
            let y = (x - mean) / (variance + EPSILON).sqrt() * gain[at % channels] + bias[at % channels];
            if relu { y.max(0.0) } else { y }
        };
        x.iter().enumerate().map(each).collect()
    }

    fn close(found: f32, expected: f64, tolerance: f64, place: &str) {
        let error = (f64::from(found) - expected).abs();
        assert!(error < tolerance * (1.0 + expected.abs()), "{place}: {found} for {expected}");
    }

    type Gradients = (Vec<f32>, Vec<f32>, Vec<f32>, Vec<f32>);

    /// Against central differences of the sum of `weights * output`, at some places.
    fn check_gradients(case: (&[f64], &[f64], &[f64]), relu: bool, weights: &[f32], found: &Gradients, place: &str) {
        let (x, gain, bias) = case;
        let loss = |x: &[f64], gain: &[f64], bias: &[f64]| {
            let y = reference(x, gain, bias, relu);
            y.iter().zip(weights).map(|(y, w)| y * f64::from(*w)).sum::<f64>()
        };
        let difference = |of: &dyn Fn(f64) -> f64| (of(1e-6) - of(-1e-6)) / 2e-6;
        let moved = |values: &[f64], at: usize, h: f64| {
            let mut values = values.to_vec();
            values[at] += h;
            values
        };
        let scale = (weights.len() as f64).sqrt();
        for at in (0..x.len()).step_by(x.len().div_ceil(7)) {
            let expected = difference(&|h| loss(&moved(x, at, h), gain, bias));
            close(found.0[at], expected, 1e-4, &format!("{place}, input {at}"));
        }
        for channel in (0..gain.len()).step_by(gain.len().div_ceil(5)) {
            let expected = difference(&|h| loss(x, &moved(gain, channel, h), bias));
            close(found.1[channel], expected, 1e-5 * scale, &format!("{place}, gain {channel}"));
            let expected = difference(&|h| loss(x, gain, &moved(bias, channel, h)));
            close(found.2[channel], expected, 1e-5 * scale, &format!("{place}, bias {channel}"));
        }
    }

    #[test]
    fn normalisation_and_its_gradients_follow_f64_and_central_differences() {
        let teams = std::cell::RefCell::new([1, 2, 3].map(Team::new));
        at_every_level(|level| {
            for (count, channels) in [(1, 1), (2, 3), (9, 16), (50, 17), (700, 40), (1100, 16), (9000, 1)] {
                let (x, gain, bias) = (numbers(count * channels, 1), numbers(channels, 2), numbers(channels, 3));
                let weights = numbers(count * channels, 4);
                let norm = Norm { gain: &gain, bias: &bias, epsilon: EPSILON as f32 };
                for relu in [false, true] {
                    let mut first = None;
                    for team in teams.borrow_mut().iter_mut() {
                        let place = format!("{level}, {count} x {channels}, relu {relu}, {} threads", team.threads());
                        let mut scratch = NormScratch::default();
                        let (mut mean, mut variance) = (numbers(channels, 6), vec![0.5; channels]);
                        let running = Running { mean: &mut mean, variance: &mut variance, momentum: 0.1 };
                        let mut out = vec![f32::NAN; x.len()];
                        batch_norm_forward(team, &x, norm, running, relu, &mut out, &mut scratch);
                        let expected = reference(&wide(&x), &wide(&gain), &wide(&bias), relu);
                        for (found, expected) in out.iter().zip(&expected) {
                            close(*found, *expected, 2e-6, &place);
                        }
                        for channel in 0..channels {
                            let (of, squares) = statistics(&wide(&x), channels, channel);
                            let before = f64::from(numbers(channels, 6)[channel]);
                            close(mean[channel], 0.9 * before + 0.1 * of, 1e-6, &place);
                            let unbiased = squares * count as f64 / (count.max(2) - 1) as f64;
                            close(variance[channel], 0.45 + 0.1 * unbiased, 1e-6, &place);
                        }
                        let (mut delta, mut back) = (weights.clone(), vec![f32::NAN; x.len()]);
                        let (mut of_gain, mut of_bias) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
                        batch_norm_backward(
                            team,
                            &x,
                            &mut delta,
                            relu,
                            &mut back,
                            &mut of_gain,
                            &mut of_bias,
                            &mut scratch,
                        );
                        for (at, found) in delta.iter().enumerate() {
                            let open = !relu || out[at] > 0.0;
                            assert_eq!(*found, if open { weights[at] } else { 0.0 }, "{place}");
                        }
                        let found = (back, of_gain, of_bias, delta);
                        if first.is_none() && count > 1 {
                            let case = (&wide(&x)[..], &wide(&gain)[..], &wide(&bias)[..]);
                            check_gradients(case, relu, &weights, &found, &place);
                        }
                        let found = (found, out, mean, variance);
                        assert!(first.get_or_insert_with(|| found.clone()) == &found, "{place}: other bits");
                    }
                }
            }
        });
    }

    #[test]
    fn a_mean_far_from_0_costs_no_accuracy() {
        let x: Vec<f32> = (0..20_000).map(|n| 4096.0 + ((n * 37) % 101) as f32 / 64.0).collect();
        let (variance, expected) = (&mut [0.0], statistics(&wide(&x), 1, 0).1);
        let running = Running { mean: &mut [0.0], variance, momentum: 1.0 };
        let norm = Norm { gain: &[1.0], bias: &[0.0], epsilon: 0.0 };
        let mut out = vec![0.0; x.len()];
        batch_norm_forward(&mut Team::new(2), &x, norm, running, false, &mut out, &mut NormScratch::default());
        close(variance[0], expected * 20_000.0 / 19_999.0, 1e-6, "variance");
    }

    #[test]
    fn inference_takes_the_given_statistics() {
        let (x, mean, variance) = (numbers(5 * 19, 1), numbers(19, 2), vec![0.25; 19]);
        let norm = Norm { gain: &numbers(19, 3), bias: &numbers(19, 4), epsilon: 1e-3 };
        let mut out = vec![f32::NAN; x.len()];
        let scratch = &mut NormScratch::default();
        batch_norm_infer(&mut Team::new(2), &x, norm, &mean, &variance, true, &mut out, scratch);
        for (at, found) in out.iter().enumerate() {
            let channel = at % 19;
            let y = f64::from(x[at] - mean[channel]) / 0.251f64.sqrt() * f64::from(norm.gain[channel]);
            let y = y + f64::from(norm.bias[channel]);
            close(*found, y.max(0.0), 2e-6, "inference");
        }
    }
}
