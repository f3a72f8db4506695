//! The steps of a thread's rows, last to first.

use std::ops::Range;

use super::cell::{COLUMNS, StepBack, backward};
use super::{LANES, Panels, RecurrentShape, Shared};
use crate::kernels::dense::Store;
use crate::kernels::product::{Product, product};
use crate::kernels::simd::{Level, versions};

/// What the threads read and write; see `Recurrent`.
pub(super) struct Backward<'a> {
    pub(super) shape: RecurrentShape,
    pub(super) width: usize,
    pub(super) rows: usize,
    pub(super) level: Level,
    pub(super) joined: &'a [f32],
    pub(super) cells: &'a [f32],
    pub(super) tanhs: &'a [f32],
    pub(super) hidden_back: &'a Panels,
    pub(super) input_back: &'a Panels,
    pub(super) gates: Shared<'a>,
    pub(super) hidden: Shared<'a>,
    pub(super) carry: Shared<'a>,
    pub(super) input: Shared<'a>,
    pub(super) out_gradient: &'a [f32],
    pub(super) out_row: usize,
    pub(super) x_gradient: Option<Shared<'a>>,
}

impl Backward<'_> {
    /// # Safety
    /// No other thread works on these rows.
    pub(super) unsafe fn run(&self, rows: Range<usize>) {
        let width = self.width;
        // SAFETY: these rows are this thread's.
        unsafe {
            self.hidden.part(rows.start * width, rows.len() * width).fill(0.0);
            self.carry.part(rows.start * width, rows.len() * width).fill(0.0);
            for step in (0..self.shape.steps).rev() {
                rows.clone().for_each(|row| self.step(step, row));
                let [input_columns, hidden_columns] = self.shape.cell.backward_columns();
                if step > 0 {
                    self.back(step, rows.clone(), hidden_columns.start, self.hidden_back, self.hidden);
                }
                if let Some(x_gradient) = self.x_gradient {
                    self.back(step, rows.clone(), input_columns.start, self.input_back, self.input);
                    rows.clone().for_each(|row| self.add_input(step, row, x_gradient));
                }
            }
        }
    }

    /// The place in time that was worked on as step `step`.
    fn time(&self, step: usize) -> usize {
        if self.shape.reverse { self.shape.steps - 1 - step } else { step }
    }

    unsafe fn step(&self, step: usize, row: usize) {
        let (width, units) = (self.width, self.shape.units);
        let now = step * self.rows + row;
        let out = (row * self.shape.steps + self.time(step)) * self.out_row;
        // SAFETY: the row is this thread's.
        unsafe {
            let hidden = self.hidden.part(row * width, width);
            add(&mut hidden[..units], &self.out_gradient[out..][..units]);
            let (before, tanh): (&[f32], &[f32]) = if self.cells.is_empty() {
                let joined = self.shape.inputs + 1 + width;
                (&self.joined[(now + 1) * joined - width..][..width], &[])
            } else {
                (&self.cells[now * width..][..width], &self.tanhs[now * width..][..width])
            };
            let gates = self.gates.part(now * COLUMNS * width, COLUMNS * width);
            let carry = self.carry.part(row * width, width);
            backward(self.shape.cell, StepBack { gates, before, tanh, hidden, carry });
        }
    }

    /// `out[rows] = ` gradient of the sums, from column `first` on, times turned weights.
    unsafe fn back(&self, step: usize, rows: Range<usize>, first: usize, turned: &Panels, out: Shared) {
        let (sums, row) = (COLUMNS * self.width, turned.count() * LANES);
        assert!((step + 1) * self.rows * sums <= self.gates.len() && rows.end * row <= out.len());
        // SAFETY: sizes were checked above and by `new`; the rows are this thread's.
        unsafe {
            let work = Product {
                a: self.gates.start().add(step * self.rows * sums + first * self.width),
                a_row: sums,
                a_step: 1,
                a_chunk: 0,
                chunk: turned.inputs,
                b: turned.data.as_ptr(),
                b_panel: turned.inputs * LANES,
                b_step: LANES,
                k: turned.inputs,
            };
            let store = Store { out: out.start(), row, panel: LANES, bias: std::ptr::null() };
            product(self.level, &work, rows, 0..turned.count(), &store);
        }
    }

    unsafe fn add_input(&self, step: usize, row: usize, x_gradient: Shared) {
        let inputs = self.shape.inputs;
        let place = (row * self.shape.steps + self.time(step)) * inputs;
        // SAFETY: the row is this thread's.
        unsafe {
            let from = self.input.part(row * inputs.next_multiple_of(LANES), inputs);
            add(x_gradient.part(place, inputs), from);
        }
    }
}

versions! {
    fn add(sums: &mut [f32], more: &[f32]) {
        sums.iter_mut().zip(more).for_each(|(sum, x)| *sum += x);
    }
}
