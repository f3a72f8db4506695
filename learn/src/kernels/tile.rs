//! Sums of products in registers: the innermost loop of `matmul` and of the convolutions.

use super::simd::{LANES, Lanes};

/// Where the rows of the left factor lie.
///
/// # Safety
/// Rows and steps must be ones for which whoever made the value has numbers.
pub(super) trait Rows: Copy {
    unsafe fn at(&self, row: usize, step: usize) -> f32;
}

/// Rows of which one says where the next one lies.
///
/// # Safety
/// As `Rows`.
pub(super) trait Regular: Rows {
    /// From this row on.
    unsafe fn from(self, row: usize) -> Self;
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

impl Regular for Beside {
    #[inline(always)]
    unsafe fn from(self, row: usize) -> Self {
        // SAFETY: as the trait says.
        unsafe { Self { start: self.start.add(row), ..self } }
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

impl Regular for Below {
    #[inline(always)]
    unsafe fn from(self, row: usize) -> Self {
        // SAFETY: as the trait says.
        unsafe { Self { start: self.start.add(row.wrapping_mul(self.row)), ..self } }
    }
}

/// Rows that begin anywhere.
#[derive(Clone, Copy)]
pub(super) struct Anywhere<const ROWS: usize> {
    pub(super) starts: [*const f32; ROWS],
    /// From one step to the next, in all rows.
    pub(super) step: usize,
}

impl<const ROWS: usize> Rows for Anywhere<ROWS> {
    #[inline(always)]
    unsafe fn at(&self, row: usize, step: usize) -> f32 {
        // SAFETY: as the trait says.
        unsafe { *self.starts[row].add(step.wrapping_mul(self.step)) }
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

/// Adds `steps` products lane by lane to the sums, in order: a row is vectors too, of which `lanes` numbers exist from
/// its start on.
///
/// # Safety
/// As `accumulate`.
#[inline(always)]
pub(super) unsafe fn accumulate_lanes<V: Lanes, const ROWS: usize, const PANELS: usize>(
    mut sums: [[V; PANELS]; ROWS],
    a: Anywhere<ROWS>,
    b: Columns,
    steps: usize,
    lanes: usize,
) -> [[V; PANELS]; ROWS] {
    // SAFETY: as said above.
    unsafe {
        for step in 0..steps {
            let from = b.start.add(step.wrapping_mul(b.step));
            for n in 0..PANELS {
                let column = V::load(from.add(n.wrapping_mul(b.panel)));
                let skipped = n.wrapping_mul(LANES);
                for (row, start) in sums.iter_mut().zip(a.starts) {
                    let x = start.add(step.wrapping_mul(a.step)).add(skipped);
                    let left = lanes.wrapping_sub(skipped);
                    let x = if left >= LANES { V::load(x) } else { V::load_first(x, left) };
                    let sum = row.get_unchecked_mut(n);
                    *sum = x.fma(column, *sum);
                }
            }
        }
        sums
    }
}
