//! A fully connected layer: forward, backward to its input, and backward to its weights with the optimiser's step.

use std::ops::Range;

use super::activation::activate;
use super::buffer::{Buffer, Matrix, Panels};
use super::optimizer::{Choice, Moments, Places, Step, Update, choose};
use super::product::{Finish, Product, product};
use super::simd::{LANES, Lanes, Level, level, versions};
use super::team::Team;
use crate::spec::Activation;

/// Multiply-adds below which a second thread costs more than it gains: about 2 microseconds of one core.
const SPLIT_MIN: usize = 1 << 17;

/// Weights, biases and what the optimiser remembers of them.
#[derive(Debug, Clone)]
pub(crate) struct DenseState {
    /// `[inputs, outputs]`.
    pub(crate) weight: Panels,
    /// `[outputs]`, filled up with 0.
    pub(crate) bias: Buffer,
    /// Of the weights, in panels too.
    pub(crate) weight_moments: Moments,
    /// Of the biases.
    pub(crate) bias_moments: Moments,
    /// Room for the gradient of the biases, 0 between steps.
    bias_gradient: Buffer,
}

impl DenseState {
    /// From row-major weights and their biases, nothing remembered.
    pub(crate) fn new(inputs: usize, outputs: usize, weight: &[f32], bias: &[f32], update: &Update) -> Self {
        let weight = Panels::from_rows(inputs, outputs, weight);
        let mut room = Buffer::zeros(outputs);
        room[..outputs].copy_from_slice(bias);
        let weight_moments = Moments::zeros(update, weight.data.len());
        let bias_moments = Moments::zeros(update, room.len());
        let bias_gradient = Buffer::zeros(outputs);
        Self { weight, bias: room, weight_moments, bias_moments, bias_gradient }
    }
}

/// The part of the work that thread `thread` of `threads` does: whole panels where there are enough, else rows.
fn share(thread: usize, threads: usize, rows: usize, panels: usize) -> (Range<usize>, Range<usize>) {
    let cut = |n: usize, unit: usize| {
        let units = n.div_ceil(unit);
        (units * thread / threads * unit).min(n)..(units * (thread + 1) / threads * unit).min(n)
    };
    if panels >= 2 * threads { (0..rows, cut(panels, 2)) } else { (cut(rows, 8), 0..panels) }
}

fn threads(team: &Team, multiply_adds: usize) -> usize {
    if multiply_adds < SPLIT_MIN { 1 } else { team.threads() }
}

/// Stores sums plus the bias of their panel.
struct Store {
    out: *mut f32,
    row: usize,
    panel: usize,
    bias: *const f32,
}

// SAFETY: each thread writes to rows and panels of its own; the bias is only read.
unsafe impl Sync for Store {}

impl Finish for Store {
    #[inline(always)]
    unsafe fn finish<V: Lanes>(&self, sums: V, m: usize, panel: usize) {
        // SAFETY: rows and panels lie inside the output (`Finish`).
        unsafe {
            let sums =
                if self.bias.is_null() { sums } else { sums.add(V::load(self.bias.add(panel.wrapping_mul(LANES)))) };
            sums.store(self.out.add(m.wrapping_mul(self.row).wrapping_add(panel.wrapping_mul(self.panel))));
        }
    }
}

/// `out = activation(x W + b)` for the first `rows` rows of `x` `[rows, inputs]`.
pub(crate) fn dense_forward(
    team: &mut Team,
    rows: usize,
    x: &Matrix,
    state: &DenseState,
    activation: Option<Activation>,
    out: &mut Matrix,
) {
    let weight = &state.weight;
    assert!(rows <= x.rows && rows <= out.rows && x.columns == weight.inputs && out.columns == weight.outputs);
    assert!(state.bias.len() >= weight.outputs && out.stride >= weight.count() * LANES);
    let work = Product {
        a: x.data.as_ptr(),
        a_row: x.stride,
        a_step: 1,
        a_chunk: 0,
        chunk: weight.inputs,
        b: weight.data.as_ptr(),
        b_panel: weight.inputs * LANES,
        b_step: LANES,
        k: weight.inputs,
    };
    let stride = out.stride;
    let store = Store { out: out.data.as_mut_ptr(), row: stride, panel: LANES, bias: state.bias.as_ptr() };
    let (level, count) = (level(), weight.count());
    let threads = threads(team, rows * weight.data.len());
    team.run(threads, &|thread| {
        let (rows, panels) = share(thread, threads, rows, count);
        // SAFETY: the sizes were checked above, and `share` gives every thread its own part of the output.
        unsafe { product(level, &work, rows.clone(), panels.clone(), &store) };
        if let Some(activation) = activation {
            for row in rows {
                // SAFETY: as above; these numbers were just written by this thread.
                let part = unsafe {
                    let start = store.out.add(row * stride + panels.start * LANES);
                    std::slice::from_raw_parts_mut(start, panels.len() * LANES)
                };
                activate(activation, part);
            }
        }
    });
}

/// The gradient of the layer's input, as columns: `out = W[inputs, :] delta`, where `delta` `[outputs, rows]` is the
/// gradient of the layer's sums, of which the first `rows` columns count. `out` is `[inputs.len(), rows]`.
pub(crate) fn dense_backward(
    team: &mut Team,
    rows: usize,
    inputs: Range<usize>,
    state: &DenseState,
    delta: &Matrix,
    out: &mut Matrix,
) {
    let weight = &state.weight;
    assert!(inputs.end <= weight.inputs && delta.rows == weight.outputs);
    assert!(out.rows >= inputs.len() && out.stride >= delta.stride && rows <= delta.columns);
    let work = Product {
        a: weight.data[inputs.start * LANES..].as_ptr(),
        a_row: LANES,
        a_step: 1,
        a_chunk: weight.inputs * LANES,
        chunk: LANES,
        b: delta.data.as_ptr(),
        b_panel: LANES,
        b_step: delta.stride,
        k: weight.outputs,
    };
    let store = Store { out: out.data.as_mut_ptr(), row: out.stride, panel: LANES, bias: std::ptr::null() };
    let (level, count, inputs) = (level(), rows.div_ceil(LANES), inputs.len());
    let threads = threads(team, inputs * weight.outputs * count * LANES);
    team.run(threads, &|thread| {
        let (inputs, panels) = share(thread, threads, inputs, count);
        // SAFETY: the sizes were checked above, and `share` gives every thread its own part of the output.
        unsafe { product(level, &work, inputs, panels, &store) };
    });
}

/// Moves weights by the sums as soon as they are finished: the gradient never goes to memory.
struct Move<'a, S> {
    step: &'a S,
    places: Places,
    inputs: usize,
}

impl<S: Step> Finish for Move<'_, S> {
    #[inline(always)]
    unsafe fn finish<V: Lanes>(&self, sums: V, m: usize, panel: usize) {
        // SAFETY: rows and panels lie inside the weights (`Finish`).
        unsafe {
            self.step.step(&self.places, panel.wrapping_mul(self.inputs).wrapping_add(m).wrapping_mul(LANES), sums)
        }
    }
}

/// Moves weights and biases by their gradients `x^T delta` and the column sums of `delta`, for `rows` rows of `x`
/// `[rows, inputs]` and of `delta` `[rows, outputs]`, the gradient of the layer's sums. Biases do not decay.
pub(crate) fn dense_update(
    team: &mut Team,
    rows: usize,
    x: &Matrix,
    delta: &Matrix,
    state: &mut DenseState,
    update: &Update,
) {
    let (inputs, outputs) = (state.weight.inputs, state.weight.outputs);
    assert!(rows <= x.rows && rows <= delta.rows && x.columns == inputs && delta.columns == outputs);
    assert!(delta.stride >= state.weight.count() * LANES);
    state.weight_moments.check(update, state.weight.data.len());
    state.bias_moments.check(update, state.bias.len());
    let work = Product {
        a: x.data.as_ptr(),
        a_row: 1,
        a_step: x.stride,
        a_chunk: 0,
        chunk: rows,
        b: delta.data.as_ptr(),
        b_panel: LANES,
        b_step: delta.stride,
        k: rows,
    };
    bias_update(rows, delta, state, update);
    let (count, length) = (state.weight.count(), state.weight.data.len());
    let places = Places::of(&mut state.weight.data, &mut state.weight_moments);
    struct Split<'a>(&'a mut Team, Product, Places, usize, usize, usize);
    impl Choice for Split<'_> {
        fn with<S: Step>(self, step: &S) {
            let Split(team, work, places, inputs, count, threads) = self;
            let level: Level = level();
            let finish = Move { step, places, inputs };
            team.run(threads, &|thread| {
                let (rows, panels) = share(thread, threads, inputs, count);
                // SAFETY: the sizes were checked by `dense_update`, and `share` gives every thread its own weights.
                unsafe { product(level, &work, rows, panels, &finish) };
            });
        }
    }
    let threads = threads(team, rows * length);
    choose(update, Split(team, work, places, inputs, count, threads));
}

fn bias_update(rows: usize, delta: &Matrix, state: &mut DenseState, update: &Update) {
    let DenseState { bias, bias_moments, bias_gradient, .. } = state;
    for row in 0..rows {
        add(bias_gradient, &delta.data[row * delta.stride..][..bias.len()]);
    }
    super::optimizer::update(&update.without_decay(), bias, bias_gradient, bias_moments);
}

versions! {
    fn add(sums: &mut [f32], row: &[f32]) {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += x;
        }
    }
}
