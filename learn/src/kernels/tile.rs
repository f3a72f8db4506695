//! Sums of products in registers: the innermost loop of `matmul` and of the convolutions.

use super::simd::Lanes;

/// Where the rows of the left factor lie.
///
/// # Safety
/// `at` may be called only for rows and steps for which whoever made the value has numbers.
pub(super) trait Rows: Copy {
    unsafe fn at(&self, row: usize, step: usize) -> f32;
}

/// Rows side by side: packed ones, or the columns of a transposed matrix.
#[derive(Clone, Copy)]
pub(super) struct Beside {
    pub(super) start: *const f32,
    /// From one step to the next.
    pub(super) step: usize,
}

impl Rows for Beside {
    #[inline(always)]
    unsafe fn at(&self, row: usize, step: usize) -> f32 {
        // SAFETY: as the trait says.
        unsafe { *self.start.add(step.wrapping_mul(self.step)).add(row) }
    }
}

/// Rows one below the other, each in one piece.
#[derive(Clone, Copy)]
pub(super) struct Below {
    pub(super) start: *const f32,
    /// From one row to the next.
    pub(super) row: usize,
}

impl Rows for Below {
    #[inline(always)]
    unsafe fn at(&self, row: usize, step: usize) -> f32 {
        // SAFETY: as the trait says.
        unsafe { *self.start.add(row.wrapping_mul(self.row)).add(step) }
    }
}

/// The right factor: vectors of 16 numbers, `panel` apart from panel to panel and `step` from step to step.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    pub(super) start: *const f32,
    pub(super) panel: usize,
    pub(super) step: usize,
}

/// Adds `steps` products to the sums, in order.
///
/// # Safety
/// `a` and `b` must be good for these rows, panels and steps, and the CPU must have the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn accumulate<V: Lanes, A: Rows, const ROWS: usize, const PANELS: usize>(
    mut sums: [[V; PANELS]; ROWS],
    a: A,
    b: Columns,
    steps: usize,
) -> [[V; PANELS]; ROWS] {
    // SAFETY: as said above.
    unsafe {
        for step in 0..steps {
            let from = b.start.add(step.wrapping_mul(b.step));
            let mut columns = [V::splat(0.0); PANELS];
            for (n, column) in columns.iter_mut().enumerate() {
                *column = V::load(from.add(n.wrapping_mul(b.panel)));
            }
            for (r, row) in sums.iter_mut().enumerate() {
                let x = V::splat(a.at(r, step));
                for (sum, column) in row.iter_mut().zip(columns) {
                    *sum = x.fma(column, *sum);
                }
            }
        }
        sums
    }
}
