//! The steps of a thread's rows, first to last.

use std::ops::Range;

use super::cell::{Block, COLUMNS, Step, forward};
use super::{LANES, Panels, RecurrentShape, Shared};
use crate::kernels::dense::Store;
use crate::kernels::product::{Product, product};
use crate::kernels::simd::Level;

/// What the threads read and write; see `Recurrent`.
pub(super) struct Forward<'a> {
    pub(super) shape: RecurrentShape,
    pub(super) width: usize,
    pub(super) rows: usize,
    pub(super) level: Level,
    pub(super) x: &'a [f32],
    pub(super) weight: &'a Panels,
    pub(super) blocks: &'a [Block],
    pub(super) joined: Shared<'a>,
    pub(super) gates: Shared<'a>,
    pub(super) cells: Shared<'a>,
    pub(super) tanhs: Shared<'a>,
    pub(super) out: Shared<'a>,
    pub(super) out_row: usize,
}

impl Forward<'_> {
    /// # Safety
    /// No other thread works on these rows.
    pub(super) unsafe fn run(&self, rows: Range<usize>) {
        for step in 0..self.shape.steps {
            // SAFETY: these rows are this thread's.
            unsafe {
                rows.clone().for_each(|row| self.read(step, row));
                self.sums(step, rows.clone());
                rows.clone().for_each(|row| self.step(step, row));
            }
        }
    }

    fn joined_width(&self) -> usize {
        self.shape.inputs + 1 + self.width
    }

    /// The place in time that is worked on as step `step`.
    fn time(&self, step: usize) -> usize {
        if self.shape.reverse { self.shape.steps - 1 - step } else { step }
    }

    /// Puts the input of a step beside the hidden state; the first one is 0.
    unsafe fn read(&self, step: usize, row: usize) {
        let inputs = self.shape.inputs;
        let x = &self.x[(row * self.shape.steps + self.time(step)) * inputs..][..inputs];
        let count = if step == 0 { self.joined_width() } else { inputs + 1 };
        // SAFETY: the caller vouches for the row.
        unsafe {
            let joined = self.joined.part((step * self.rows + row) * self.joined_width(), count);
            joined[..inputs].copy_from_slice(x);
            joined[inputs] = 1.0;
            joined[inputs + 1..].fill(0.0);
            if step == 0 && self.cells.len() > 0 {
                self.cells.part(row * self.width, self.width).fill(0.0);
            }
        }
    }

    unsafe fn sums(&self, step: usize, rows: Range<usize>) {
        let (joined, sums) = (self.joined_width(), COLUMNS * self.width);
        assert!((step + 1) * self.rows * joined <= self.joined.len() && rows.end <= self.rows);
        assert!((step + 1) * self.rows * sums <= self.gates.len());
        for Block { columns, joined: part } in self.blocks {
            let panels = columns.start * self.width / LANES..columns.end * self.width / LANES;
            // SAFETY: sizes were checked above and by `new`; the rows are this thread's.
            unsafe {
                let work = Product {
                    a: self.joined.start().add(step * self.rows * joined + part.start),
                    a_row: joined,
                    a_step: 1,
                    a_chunk: 0,
                    chunk: part.len(),
                    b: self.weight.data[part.start * LANES..].as_ptr(),
                    b_panel: joined * LANES,
                    b_step: LANES,
                    k: part.len(),
                };
                let out = self.gates.start().add(step * self.rows * sums);
                let store = Store { out, row: sums, panel: LANES, bias: std::ptr::null() };
                product(self.level, &work, rows.clone(), panels, &store);
            }
        }
    }

    unsafe fn step(&self, step: usize, row: usize) {
        let (width, units) = (self.width, self.shape.units);
        let (now, next) = (step * self.rows + row, (step + 1) * self.rows + row);
        let state = self.shape.inputs + 1;
        let out = (row * self.shape.steps + self.time(step)) * self.out_row;
        // SAFETY: the row is this thread's; the parts of one row do not overlap.
        unsafe {
            let hidden = self.joined.part(next * self.joined_width() + state, width);
            let is_lstm = self.cells.len() > 0;
            let [before, cell, tanh]: [&mut [f32]; 3] = if is_lstm {
                let cell = |place| self.cells.part(place * width, width);
                [cell(now), cell(next), self.tanhs.part(now * width, width)]
            } else {
                [self.joined.part(now * self.joined_width() + state, width), &mut [], &mut []]
            };
            let sums = self.gates.part(now * COLUMNS * width, COLUMNS * width);
            forward(self.shape.cell, Step { sums, before, cell, tanh, hidden });
            self.out.part(out, units).copy_from_slice(&hidden[..units]);
        }
    }
}
