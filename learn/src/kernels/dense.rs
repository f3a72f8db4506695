//! A fully connected layer: forward, backward to its input, and backward to its weights with the optimiser's step.

use std::ops::Range;

use super::activation::activate;
use super::buffer::{Buffer, Matrix, Panels};
use super::optimizer::{Choice, Moments, Places, Update, choose};
use super::product::{Finish, Product, product};
use super::simd::{LANES, Lanes, Level, level, versions};
use super::step::Step;
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
pub(super) struct Store {
    pub(super) out: *mut f32,
    pub(super) row: usize,
    pub(super) panel: usize,
    /// Null for none.
    pub(super) bias: *const f32,
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

    #[inline(always)]
    fn expect(&self, m: usize, panel: usize) {
        self.places.fetch(panel.wrapping_mul(self.inputs).wrapping_add(m).wrapping_mul(LANES));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::at_every_level;
    use crate::kernels::optimizer::Decay;
    use crate::kernels::optimizer::tests::{KINDS, example, published};

    /// Numbers that are not round and differ from one another.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|n| ((n * 37 + seed * 101) % 211) as f32 / 105.0 - 1.0).collect()
    }

    fn matrix(rows: usize, columns: usize, seed: usize) -> Matrix {
        let mut matrix = Matrix::zeros(rows, columns);
        for (row, values) in numbers(rows * columns, seed).chunks(columns).enumerate() {
            matrix.row_mut(row).copy_from_slice(values);
        }
        matrix
    }

    fn close(found: f32, expected: f64, terms: usize, place: &str) {
        // Rounding of a sum of `terms` products of numbers up to 1.
        let tolerance = 2e-7 * terms as f64 + 1e-6;
        assert!((f64::from(found) - expected).abs() < tolerance, "{place}: {found} for {expected}");
    }

    fn state(inputs: usize, outputs: usize, update: &Update) -> DenseState {
        DenseState::new(inputs, outputs, &numbers(inputs * outputs, 2), &numbers(outputs, 3), update)
    }

    const SIZES: [[usize; 3]; 9] = [
        [1, 1, 1],
        [3, 5, 7],
        [32, 33, 10],
        [8, 16, 16],
        [7, 100, 17],
        [33, 64, 48],
        [32, 200, 130],
        [100, 40, 200],
        [5, 784, 128],
    ];

    #[test]
    fn a_layer_forward_and_backward_is_the_product_in_f64() {
        at_every_level(|level| {
            for ([rows, inputs, outputs], threads) in
                SIZES.into_iter().flat_map(|size| [(size, 1), (size, 2), (size, 3)])
            {
                let place = format!("{level}, {rows} x {inputs} x {outputs}, {threads} threads");
                let mut team = Team::new(threads);
                let state = state(inputs, outputs, &Update::NONE);
                let (weight, bias) = (state.weight.to_rows(), &state.bias);
                let x = matrix(rows, inputs, 1);
                let mut out = Matrix::zeros(rows, outputs);
                dense_forward(&mut team, rows, &x, &state, None, &mut out);
                for row in 0..rows {
                    for output in 0..outputs {
                        let products =
                            (0..inputs).map(|i| f64::from(x.row(row)[i]) * f64::from(weight[i * outputs + output]));
                        close(out.row(row)[output], products.sum::<f64>() + f64::from(bias[output]), inputs, &place);
                    }
                }
                let delta = matrix(outputs, rows, 4);
                let first = inputs / 3;
                let mut back = Matrix::zeros(inputs - first, rows);
                dense_backward(&mut team, rows, first..inputs, &state, &delta, &mut back);
                for input in first..inputs {
                    for row in 0..rows {
                        let products =
                            (0..outputs).map(|o| f64::from(weight[input * outputs + o]) * f64::from(delta.row(o)[row]));
                        close(back.row(input - first)[row], products.sum(), outputs, &place);
                    }
                }
            }
        });
    }

    /// Three steps of each optimiser against its formulas in f64. Most divide a gradient by its own size: where the sum
    /// cancels to nearly 0 its sign is a matter of rounding, and such weights are left out.
    #[test]
    fn weights_move_as_the_published_formulas_say() {
        at_every_level(|level| {
            for ([rows, inputs, outputs], kind) in SIZES.into_iter().flat_map(|size| (0..KINDS).map(move |k| (size, k)))
            {
                let place = format!("{level}, {:?}, {rows} x {inputs} x {outputs}", example(kind, 1));
                let mut team = Team::new(2);
                let mut state = state(inputs, outputs, &example(kind, 1));
                let count = inputs * outputs + outputs;
                let weights = state.weight.to_rows();
                let mut expected: Vec<f64> =
                    weights.iter().chain(&state.bias[..outputs]).map(|x| f64::from(*x)).collect();
                let mut kept = vec![[0.0; 3]; count];
                let mut smallest = vec![f64::INFINITY; count];
                for step in 1..=3 {
                    let (x, delta) = (matrix(rows, inputs, step as usize), matrix(rows, outputs, 7 + step as usize));
                    dense_update(&mut team, rows, &x, &delta, &mut state, &example(kind, step));
                    for at in 0..count {
                        let (input, output) = (at / outputs, at % outputs);
                        let is_bias = input == inputs;
                        let by = |row: usize| if is_bias { 1.0 } else { f64::from(x.row(row)[input]) };
                        let gradient: f64 = (0..rows).map(|row| by(row) * f64::from(delta.row(row)[output])).sum();
                        let update = example(kind, step);
                        let update = if is_bias { update.without_decay() } else { update };
                        let moved = published(&update, expected[at], gradient, &mut kept[at]);
                        smallest[at] = smallest[at].min(moved.1.abs());
                        expected[at] = moved.0;
                    }
                }
                let found = state.weight.to_rows();
                for ((found, expected), smallest) in found.iter().chain(state.bias.iter()).zip(&expected).zip(&smallest)
                {
                    if kind < 3 || *smallest > 1e-2 {
                        close(*found, *expected, 3 * rows, &place);
                    }
                }
                assert!(state.bias[outputs..].iter().all(|x| *x == 0.0), "{place}: the filling moved");
            }
        });
    }

    #[test]
    fn the_bits_do_not_depend_on_the_number_of_threads() {
        let [one, two, three] = [1, 2, 3].map(|threads| {
            let decay = Decay { l2: 0.1, l1: 0.01 };
            let update = Update::Sgd { learning_rate: 0.1, momentum: 0.9, nesterov: true, decay };
            let (mut team, mut state) = (Team::new(threads), state(300, 200, &update));
            let (x, delta) = (matrix(64, 300, 1), matrix(64, 200, 2));
            let mut out = Matrix::zeros(64, 200);
            dense_update(&mut team, 64, &x, &delta, &mut state, &update);
            dense_forward(&mut team, 64, &x, &state, Some(Activation::Tanh), &mut out);
            (state.weight.to_rows(), out.data.to_vec())
        });
        assert!(one == two && two == three);
    }
}
