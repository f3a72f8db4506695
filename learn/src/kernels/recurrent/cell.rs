//! What becomes of the sums of a step in a recurrent cell, and of its gradient.
#![allow(clippy::needless_range_loop, reason = "loops over five slices at once read better by index")]

use std::ops::Range;

use crate::kernels::activation::{sigmoid, tanh};
use crate::kernels::simd::versions;

/// Kind of recurrent cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000). Gates in
    /// the order i, f, g, o:
    /// `c = sigmoid(f) c + sigmoid(i) tanh(g); h = sigmoid(o) tanh(c)`.
    Lstm,
    /// Gated recurrent unit (Cho et al. 2014) in the form of cuDNN and PyTorch. Gates in the order r, z, n; the bias has
    /// a fourth part, the hidden one of n:
    /// `n = tanh(W_n x + b_n + sigmoid(r) (U_n h + b_hn)); h = (1 - sigmoid(z)) n + sigmoid(z) h`.
    Gru,
}

/// The sums that are kept per step lie in four columns of `width` numbers. Of which gates of the weights is a column
/// made?
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// Gate of the input weights, if any.
    pub(super) input: Option<usize>,
    /// Gate of the hidden weights, if any.
    pub(super) hidden: Option<usize>,
    /// Part of the bias.
    pub(super) bias: usize,
}

/// Columns of sums per step.
pub(super) const COLUMNS: usize = 4;

/// A product of all steps: these columns are made of these numbers of `[inputs, 1, units]`.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) columns: Range<usize>,
    pub(super) joined: Range<usize>,
}

impl Cell {
    /// Gates of the weights: they are `[inputs, gates * units]` and `[units, gates * units]`.
    pub(crate) fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }

    /// Columns i, f, g, o of an LSTM; of a GRU the two parts of n apart, with r and z between: n, r, z, hidden n. So the
    /// columns that go back to the input are in one piece, and those that go back to the hidden state too.
    pub(super) fn columns(self) -> [Column; COLUMNS] {
        let both = |gate| Column { input: Some(gate), hidden: Some(gate), bias: gate };
        match self {
            Self::Lstm => [both(0), both(1), both(2), both(3)],
            Self::Gru => [
                Column { input: Some(2), hidden: None, bias: 2 },
                both(0),
                both(1),
                Column { input: None, hidden: Some(2), bias: 3 },
            ],
        }
    }

    /// The columns whose gradient goes back to the input, and those whose gradient goes back to the hidden state.
    pub(super) fn backward_columns(self) -> [Range<usize>; 2] {
        match self {
            Self::Lstm => [0..4, 0..4],
            Self::Gru => [0..3, 1..4],
        }
    }

    /// The products that are not zero; `width` is the padded number of units.
    pub(super) fn blocks(self, inputs: usize, width: usize) -> Vec<Block> {
        let all = 0..inputs + 1 + width;
        match self {
            Self::Lstm => vec![Block { columns: 0..4, joined: all }],
            Self::Gru => vec![
                Block { columns: 0..1, joined: 0..inputs + 1 },
                Block { columns: 1..3, joined: all.clone() },
                Block { columns: 3..4, joined: inputs..all.end },
            ],
        }
    }
}

/// What a row of a cell holds after a step, all of the padded width.
pub(super) struct Step<'a> {
    /// Four columns of sums, which become gates.
    pub(super) sums: &'a mut [f32],
    /// Of an LSTM: the cell state before; of a GRU: the hidden state before.
    pub(super) before: &'a [f32],
    /// Of an LSTM: room for the cell state after.
    pub(super) cell: &'a mut [f32],
    /// Of an LSTM: room for the hyperbolic tangent of the cell state after.
    pub(super) tanh: &'a mut [f32],
    /// Room for the hidden state after.
    pub(super) hidden: &'a mut [f32],
}

/// From sums to gates and states.
#[inline(always)]
pub(super) fn forward(cell: Cell, step: Step) {
    match cell {
        Cell::Lstm => lstm_forward(step.sums, step.before, step.cell, step.tanh, step.hidden),
        Cell::Gru => gru_forward(step.sums, step.before, step.hidden),
    }
}

versions! {
    fn lstm_forward(sums: &mut [f32], before: &[f32], cell: &mut [f32], tanhs: &mut [f32], hidden: &mut [f32]) {
        let width = hidden.len();
        sums[..2 * width].iter_mut().for_each(|x| *x = sigmoid(*x));
        sums[2 * width..3 * width].iter_mut().for_each(|x| *x = tanh(*x));
        sums[3 * width..].iter_mut().for_each(|x| *x = sigmoid(*x));
        let (i, f) = (&sums[..width], &sums[width..2 * width]);
        let (g, o) = (&sums[2 * width..3 * width], &sums[3 * width..4 * width]);
        let (before, cell, tanhs) = (&before[..width], &mut cell[..width], &mut tanhs[..width]);
        for n in 0..width {
            cell[n] = f[n] * before[n] + i[n] * g[n];
        }
        for n in 0..width {
            tanhs[n] = tanh(cell[n]);
            hidden[n] = o[n] * tanhs[n];
        }
    }
}

versions! {
    /// n, r, z become gates; hidden n stays a sum.
    fn gru_forward(sums: &mut [f32], before: &[f32], hidden: &mut [f32]) {
        let width = hidden.len();
        sums[width..3 * width].iter_mut().for_each(|x| *x = sigmoid(*x));
        let (n, rest) = sums.split_at_mut(width);
        let (r, z, hidden_n) = (&rest[..width], &rest[width..2 * width], &rest[2 * width..3 * width]);
        for k in 0..width {
            n[k] = tanh(n[k] + r[k] * hidden_n[k]);
        }
        let before = &before[..width];
        for k in 0..width {
            hidden[k] = n[k] + z[k] * (before[k] - n[k]);
        }
    }
}

/// What a row of a cell needs to go back through a step, all of the padded width.
pub(super) struct StepBack<'a> {
    /// Four columns of gates, which become the gradient of the sums.
    pub(super) gates: &'a mut [f32],
    /// As in [`Step`].
    pub(super) before: &'a [f32],
    /// Of an LSTM: the hyperbolic tangent of the cell state after.
    pub(super) tanh: &'a [f32],
    /// The gradient of the hidden state after.
    pub(super) hidden: &'a [f32],
    /// What goes past the products: of an LSTM the gradient of the cell state, of a GRU the part of the gradient of the
    /// hidden state that the gate z lets through. Of the state after on the way in, of that before on the way out.
    pub(super) carry: &'a mut [f32],
}

/// From the gradient of states to that of sums.
#[inline(always)]
pub(super) fn backward(cell: Cell, step: StepBack) {
    match cell {
        Cell::Lstm => lstm_backward(step.gates, step.before, step.tanh, step.hidden, step.carry),
        Cell::Gru => gru_backward(step.gates, step.before, step.hidden, step.carry),
    }
}

versions! {
    fn lstm_backward(gates: &mut [f32], before: &[f32], tanhs: &[f32], hidden: &[f32], carry: &mut [f32]) {
        let width = carry.len();
        let (i, rest) = gates.split_at_mut(width);
        let (f, rest) = rest.split_at_mut(width);
        let (g, o) = rest.split_at_mut(width);
        let (before, tanhs, hidden, o) = (&before[..width], &tanhs[..width], &hidden[..width], &mut o[..width]);
        for n in 0..width {
            let state = hidden[n] * o[n] * (1.0 - tanhs[n] * tanhs[n]) + carry[n];
            o[n] = hidden[n] * tanhs[n] * (o[n] * (1.0 - o[n]));
            let (input, forget, candidate) = (i[n], f[n], g[n]);
            i[n] = state * candidate * (input * (1.0 - input));
            f[n] = state * before[n] * (forget * (1.0 - forget));
            g[n] = state * input * (1.0 - candidate * candidate);
            carry[n] = state * forget;
        }
    }
}

versions! {
    fn gru_backward(gates: &mut [f32], before: &[f32], hidden: &[f32], carry: &mut [f32]) {
        let width = carry.len();
        let (n, rest) = gates.split_at_mut(width);
        let (r, rest) = rest.split_at_mut(width);
        let (z, hidden_n) = rest.split_at_mut(width);
        let (before, hidden, hidden_n) = (&before[..width], &hidden[..width], &mut hidden_n[..width]);
        for k in 0..width {
            let after = hidden[k] + carry[k];
            let (candidate, reset, update) = (n[k], r[k], z[k]);
            let sum = after * (1.0 - update) * (1.0 - candidate * candidate);
            n[k] = sum;
            r[k] = sum * hidden_n[k] * (reset * (1.0 - reset));
            z[k] = after * (before[k] - candidate) * (update * (1.0 - update));
            hidden_n[k] = sum * reset;
            carry[k] = after * update;
        }
    }
}
