//! Where do the numbers of a step lie?

use std::ops::{Deref, DerefMut};

use super::simd::LANES;

/// One cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LANES]);

/// Numbers that begin at a cache line, a whole number of lines of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffer {
    lines: Vec<Line>,
}

impl Buffer {
    /// Room for `length` numbers, all 0.
    pub(crate) fn zeros(length: usize) -> Self {
        Self { lines: vec![Line([0.0; LANES]); length.div_ceil(LANES)] }
    }
}

/// The buffer, made anew where it has less room than this.
pub(super) fn at_least(buffer: &mut Buffer, length: usize) -> &mut Buffer {
    if buffer.len() < length {
        *buffer = Buffer::zeros(length);
    }
    buffer
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: a line is exactly 16 `f32` (repr C, no padding), so the lines are that many numbers in a row.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * LANES) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`; `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * LANES) }
    }
}

/// Rows of numbers, each beginning at a cache line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matrix {
    /// Row count.
    pub(crate) rows: usize,
    /// Numbers in use per row.
    pub(crate) columns: usize,
    /// Numbers from one row to the next, a multiple of 16.
    pub(crate) stride: usize,
    /// `[rows, stride]`.
    pub(crate) data: Buffer,
}

impl Matrix {
    /// All 0.
    pub(crate) fn zeros(rows: usize, columns: usize) -> Self {
        let stride = columns.next_multiple_of(LANES);
        Self { rows, columns, stride, data: Buffer::zeros(rows * stride) }
    }

    /// The numbers in use of a row.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.stride..][..self.columns]
    }

    /// The numbers in use of a row.
    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.data[row * self.stride..][..self.columns]
    }

    /// Writes the upper left `rows` by `columns` of `self` into `out` with rows as columns.
    pub(crate) fn transpose_into(&self, rows: usize, columns: usize, out: &mut Matrix) {
        assert!(rows <= self.rows && columns <= self.columns && columns <= out.rows && rows <= out.columns);
        let (from, to) = (self.stride, out.stride);
        // Blocks of a cache line each way: every line is read and written once.
        for row in (0..rows).step_by(LANES) {
            let height = LANES.min(rows - row);
            for column in (0..columns).step_by(LANES) {
                let width = LANES.min(columns - column);
                for r in 0..height {
                    let line = &self.data[(row + r) * from + column..][..width];
                    for (c, &x) in line.iter().enumerate() {
                        out.data[(column + c) * to + row + r] = x;
                    }
                }
            }
        }
    }
}

/// A matrix `[inputs, outputs]` as panels of 16 outputs: `[outputs / 16, inputs, 16]`, filled up with 0.
#[derive(Debug, Clone, Default)]
pub(crate) struct Panels {
    /// Rows of the matrix.
    pub(crate) inputs: usize,
    /// Columns of the matrix.
    pub(crate) outputs: usize,
    /// The panels.
    pub(crate) data: Buffer,
}

impl Panels {
    /// All 0.
    pub(crate) fn zeros(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs, data: Buffer::zeros(inputs * outputs.next_multiple_of(LANES)) }
    }

    /// From row-major `[inputs, outputs]`.
    pub(crate) fn from_rows(inputs: usize, outputs: usize, rows: &[f32]) -> Self {
        assert_eq!(rows.len(), inputs * outputs);
        let mut panels = Self::zeros(inputs, outputs);
        for (input, row) in rows.chunks_exact(outputs).enumerate() {
            for (panel, columns) in row.chunks(LANES).enumerate() {
                panels.data[(panel * inputs + input) * LANES..][..columns.len()].copy_from_slice(columns);
            }
        }
        panels
    }

    /// As row-major `[inputs, outputs]`.
    pub(crate) fn to_rows(&self) -> Vec<f32> {
        let mut rows = vec![0.0; self.inputs * self.outputs];
        for (input, row) in rows.chunks_exact_mut(self.outputs).enumerate() {
            for (panel, columns) in row.chunks_mut(LANES).enumerate() {
                columns.copy_from_slice(&self.data[(panel * self.inputs + input) * LANES..][..columns.len()]);
            }
        }
        rows
    }

    /// How many panels.
    pub(crate) fn count(&self) -> usize {
        self.outputs.div_ceil(LANES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_and_transposes_give_back_what_went_in() {
        for (inputs, outputs) in [(1, 1), (3, 16), (5, 17), (17, 40), (33, 10)] {
            let rows: Vec<f32> = (0..inputs * outputs).map(|n| n as f32).collect();
            let panels = Panels::from_rows(inputs, outputs, &rows);
            assert_eq!(panels.to_rows(), rows);
            let mut matrix = Matrix::zeros(inputs, outputs);
            for (row, values) in rows.chunks(outputs).enumerate() {
                matrix.row_mut(row).copy_from_slice(values);
            }
            let mut turned = Matrix::zeros(outputs, inputs);
            matrix.transpose_into(inputs, outputs, &mut turned);
            for row in 0..inputs {
                for column in 0..outputs {
                    assert_eq!(turned.row(column)[row], matrix.row(row)[column]);
                }
            }
            assert_eq!(matrix.data.as_ptr() as usize % 64, 0);
        }
    }
}
