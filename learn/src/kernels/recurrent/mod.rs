//! Recurrent layers over whole sequences: LSTM and GRU, forward and back through time.
//!
//! Every thread takes rows of its own through all steps, so that no step waits for another thread. What a step reads,
//! `[input, 1, hidden state]`, is kept joined for all steps: one product makes the sums of a step, the bias included, and
//! at the end one product over all steps makes the gradients of both weights and of the bias. Units are filled up to
//! whole vectors with zeros, which stay zero.

mod backward;
mod cell;
mod forward;
mod pack;
#[cfg(test)]
mod tests;

use std::ops::Range;

use backward::Backward;
use cell::COLUMNS;
pub(crate) use cell::Cell;
use forward::Forward;

use super::buffer::{Buffer, Panels};
use super::matmul::{Strided, matmul};
use super::shared::Shared;
use super::simd::{LANES, level};
use super::team::Team;

/// Multiply-adds below which a second thread costs more than it gains.
const SPLIT_MIN: usize = 1 << 17;

/// Sizes of a recurrent layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecurrentShape {
    /// Kind of cell.
    pub(crate) cell: Cell,
    /// Numbers per step and row.
    pub(crate) inputs: usize,
    /// Numbers of the hidden state.
    pub(crate) units: usize,
    /// Length of a sequence.
    pub(crate) steps: usize,
    /// Whether the sequence is read from its end.
    pub(crate) reverse: bool,
}

/// Weights of a recurrent layer, row-major; gates in the order of [`Cell`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecurrentWeights<'a> {
    /// `[inputs, gates * units]`.
    pub(crate) input: &'a [f32],
    /// `[units, gates * units]`.
    pub(crate) hidden: &'a [f32],
    /// `[4 * units]`: of an LSTM the sum of PyTorch's two; of a GRU those of r and z (PyTorch's two summed), of n, and
    /// the hidden one of n.
    pub(crate) bias: &'a [f32],
}

/// Their gradients, to which is added.
#[derive(Debug)]
pub(crate) struct RecurrentGradients<'a> {
    /// As the weights.
    pub(crate) input: &'a mut [f32],
    /// As the weights.
    pub(crate) hidden: &'a mut [f32],
    /// As the weights.
    pub(crate) bias: &'a mut [f32],
}

/// Memory of a recurrent layer, kept from step to step of the training. Per step and row, steps outside, in the order
/// of the work.
#[derive(Debug)]
pub(crate) struct Recurrent {
    shape: RecurrentShape,
    /// Units, filled up to whole vectors.
    width: usize,
    rows_max: usize,
    steps_max: usize,
    /// `[steps + 1, rows, inputs + 1 + width]`: what each step reads.
    joined: Buffer,
    /// `[steps, rows, 4 * width]`: sums, then gates, then the gradient of the sums.
    gates: Buffer,
    /// `[steps + 1, rows, width]`, of an LSTM.
    cells: Buffer,
    /// `[steps, rows, width]`, of an LSTM.
    tanhs: Buffer,
    /// `[rows, width]`: the gradient of the hidden state.
    hidden: Buffer,
    /// `[rows, width]`: what goes past the products (`cell.rs`).
    carry: Buffer,
    /// `[rows, inputs]`, filled up to whole vectors: the gradient of a step's input.
    input: Buffer,
    /// `[inputs + 1 + width, 4 * width]`.
    weight: Panels,
    /// Turned: `[columns, width]` and `[columns, inputs]`.
    hidden_back: Panels,
    input_back: Panels,
    /// `[inputs + 1 + width, 4 * width]`.
    gradient: Buffer,
}

impl Recurrent {
    /// Room for `rows_max` sequences.
    pub(crate) fn new(shape: RecurrentShape, rows_max: usize) -> Self {
        let width = shape.units.next_multiple_of(LANES);
        let joined = shape.inputs + 1 + width;
        let states = if shape.cell == Cell::Lstm { rows_max * width } else { 0 };
        let [input_columns, hidden_columns] = shape.cell.backward_columns();
        Self {
            shape,
            width,
            rows_max,
            steps_max: shape.steps,
            joined: Buffer::zeros((shape.steps + 1) * rows_max * joined),
            gates: Buffer::zeros(shape.steps * rows_max * COLUMNS * width),
            cells: Buffer::zeros((shape.steps + 1) * states),
            tanhs: Buffer::zeros(shape.steps * states),
            hidden: Buffer::zeros(rows_max * width),
            carry: Buffer::zeros(rows_max * width),
            input: Buffer::zeros(rows_max * shape.inputs.next_multiple_of(LANES)),
            weight: Panels::zeros(joined, COLUMNS * width),
            hidden_back: Panels::zeros(hidden_columns.len() * width, width),
            input_back: Panels::zeros(input_columns.len() * width, shape.inputs),
            gradient: Buffer::zeros(joined * COLUMNS * width),
        }
    }

    /// Sequences have this many steps from now on, at most as many as there is room for.
    pub(crate) fn set_steps(&mut self, steps: usize) {
        assert!(steps <= self.steps_max, "{steps} steps, there is room for {}", self.steps_max);
        self.shape.steps = steps;
    }

    /// Numbers that a step reads per row.
    fn joined_width(&self) -> usize {
        self.shape.inputs + 1 + self.width
    }

    /// The hidden states of all steps from `x` `[rows, steps, inputs]`, beginning with zero. The state at step t of row r
    /// goes to `out[(r * steps + t) * out_row..][..units]`: two directions may share rows of twice the units.
    pub(crate) fn forward(
        &mut self,
        team: &mut Team,
        rows: usize,
        x: &[f32],
        weights: RecurrentWeights,
        out: &mut [f32],
        out_row: usize,
    ) {
        let RecurrentShape { inputs, units, steps, .. } = self.shape;
        assert!(rows <= self.rows_max, "{rows} rows, there is room for {}", self.rows_max);
        assert_eq!(x.len(), rows * steps * inputs);
        assert!(out_row >= units && (rows * steps == 0 || out.len() >= (rows * steps - 1) * out_row + units));
        if rows * steps == 0 {
            return;
        }
        self.pack(weights);
        let threads = threads(team, rows * steps * self.joined_width() * COLUMNS * self.width);
        let work = Forward {
            shape: self.shape,
            width: self.width,
            rows,
            level: level(),
            x,
            weight: &self.weight,
            blocks: &self.shape.cell.blocks(inputs, self.width),
            joined: Shared::of(&mut self.joined),
            gates: Shared::of(&mut self.gates),
            cells: Shared::of(&mut self.cells),
            tanhs: Shared::of(&mut self.tanhs),
            out: Shared::of(out),
            out_row,
        };
        // SAFETY: every thread has rows of its own, in all memory.
        team.run(threads, &|thread| unsafe { work.run(part(rows, thread, threads)) });
    }

    /// Back through all steps of the last `forward`, whose rows and weights these must be: `out_gradient` lies as `out`
    /// did there. Adds to the gradients of the weights and, where it is asked for, to `x_gradient`
    /// `[rows, steps, inputs]`.
    pub(crate) fn backward(
        &mut self,
        team: &mut Team,
        rows: usize,
        (out_gradient, out_row): (&[f32], usize),
        x_gradient: Option<&mut [f32]>,
        gradients: RecurrentGradients,
    ) {
        let RecurrentShape { cell, inputs, units, steps, .. } = self.shape;
        assert!(rows <= self.rows_max, "{rows} rows, there is room for {}", self.rows_max);
        assert!(rows * steps == 0 || out_gradient.len() >= (rows * steps - 1) * out_row + units);
        assert!(x_gradient.as_ref().is_none_or(|x| x.len() == rows * steps * inputs));
        if rows * steps == 0 {
            return;
        }
        let (joined, sums) = (self.joined_width(), COLUMNS * self.width);
        let threads = threads(team, rows * steps * joined * sums);
        let work = Backward {
            shape: self.shape,
            width: self.width,
            rows,
            level: level(),
            joined: &self.joined,
            cells: &self.cells,
            tanhs: &self.tanhs,
            hidden_back: &self.hidden_back,
            input_back: &self.input_back,
            gates: Shared::of(&mut self.gates),
            hidden: Shared::of(&mut self.hidden),
            carry: Shared::of(&mut self.carry),
            input: Shared::of(&mut self.input),
            out_gradient,
            out_row,
            x_gradient: x_gradient.map(Shared::of),
        };
        // SAFETY: every thread has rows of its own, in all memory.
        team.run(threads, &|thread| unsafe { work.run(part(rows, thread, threads)) });
        for block in cell.blocks(inputs, self.width) {
            let first = block.columns.start * self.width;
            let a = Strided { data: &self.joined[block.joined.start..], row: 1, column: joined };
            let b = Strided { data: &self.gates[first..], row: sums, column: 1 };
            let size = [block.joined.len(), block.columns.len() * self.width, rows * steps];
            let to = &mut self.gradient[block.joined.start * sums + first..];
            matmul(team, size, a, b, to, sums, false);
        }
        self.unpack(gradients);
    }
}

fn threads(team: &Team, multiply_adds: usize) -> usize {
    if multiply_adds < SPLIT_MIN { 1 } else { team.threads() }
}

/// The rows of a thread: whole tiles of the product where there are enough.
fn part(rows: usize, thread: usize, threads: usize) -> Range<usize> {
    let unit = if rows >= 16 * threads { 8 } else { (rows / threads).clamp(1, 4) };
    let units = rows.div_ceil(unit);
    let end = |thread: usize| (units * thread / threads * unit).min(rows);
    end(thread)..end(thread + 1)
}
