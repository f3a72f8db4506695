//! The product of a strided matrix with panels, tile by tile in registers.

use std::mem::MaybeUninit;
use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::simd::x86;
use super::simd::{LANES, Lanes, Level};

/// `C[m, n] = sum over k of A[m, k] * B[k, n]`, where `n` runs over panels of 16.
///
/// The contraction index `k` runs over chunks: element `(m, k)` of A lies at
/// `a + m * a_row + (k / chunk) * a_chunk + (k % chunk) * a_step`. A plain matrix is one chunk.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub(super) a: *const f32,
    pub(super) a_row: usize,
    pub(super) a_step: usize,
    pub(super) a_chunk: usize,
    /// `k` per chunk.
    pub(super) chunk: usize,
    pub(super) b: *const f32,
    /// From one panel of B to the next.
    pub(super) b_panel: usize,
    /// From one `k` of B to the next.
    pub(super) b_step: usize,
    /// How many `k`.
    pub(super) k: usize,
}

// SAFETY: the pointers are only read while the owner of the numbers waits for the team (`dense.rs`).
unsafe impl Sync for Product {}

/// What becomes of 16 finished sums at row `m` of a panel.
///
/// # Safety
/// `finish` may be called only where the CPU has the instructions of `V`, with rows and panels inside the output, and
/// for each of them by one thread only.
pub(super) trait Finish: Sync {
    unsafe fn finish<V: Lanes>(&self, sums: V, m: usize, panel: usize);

    /// Told before the sums are begun: a chance to fetch what `finish` will read.
    #[inline(always)]
    fn expect(&self, _m: usize, _panel: usize) {}
}

/// Works on the rows and panels given.
///
/// # Safety
/// A, B and the output of `finish` must be good for these rows and panels, and no other thread may work on the same.
pub(super) unsafe fn product<F: Finish>(
    level: Level,
    product: &Product,
    rows: Range<usize>,
    panels: Range<usize>,
    finish: &F,
) {
    // SAFETY: the caller vouches for the matrices, `level` for the CPU.
    unsafe {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512(product, rows, panels, finish),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2(product, rows, panels, finish),
            Level::Plain => tiles::<[f32; LANES], F, 4, 1>(product, rows, panels, finish),
        }
    }
}

// 8 rows of 2 registers of sums: 16 of the 32 registers, enough to hide the latency of FMA (4 cycles at 2 per cycle).
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f")]
unsafe fn avx512<F: Finish>(product: &Product, rows: Range<usize>, panels: Range<usize>, finish: &F) {
    // SAFETY: as `product`.
    unsafe { tiles::<x86::Avx512, F, 8, 2>(product, rows, panels, finish) }
}

// 6 rows of 2 registers of sums: 12 of the 16 registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<F: Finish>(product: &Product, rows: Range<usize>, panels: Range<usize>, finish: &F) {
    // SAFETY: as `product`.
    unsafe { tiles::<x86::Avx2, F, 6, 1>(product, rows, panels, finish) }
}

/// Panels outside, rows inside: a panel stays in the cache while all rows pass over it.
#[inline(always)]
unsafe fn tiles<V: Lanes, F: Finish, const ROWS: usize, const PANELS: usize>(
    product: &Product,
    rows: Range<usize>,
    panels: Range<usize>,
    finish: &F,
) {
    let mut panel = panels.start;
    // SAFETY: as `product`; every tile lies inside the rows and panels given.
    unsafe {
        while panel + PANELS <= panels.end {
            column::<V, F, ROWS, PANELS>(product, rows.clone(), panel, finish);
            panel += PANELS;
        }
        while panel < panels.end {
            column::<V, F, ROWS, 1>(product, rows.clone(), panel, finish);
            panel += 1;
        }
    }
}

#[inline(always)]
unsafe fn column<V: Lanes, F: Finish, const ROWS: usize, const PANELS: usize>(
    product: &Product,
    rows: Range<usize>,
    panel: usize,
    finish: &F,
) {
    let mut m = rows.start;
    // SAFETY: as `product`.
    unsafe {
        while m + ROWS <= rows.end {
            tile::<V, F, ROWS, PANELS>(product, m, panel, finish);
            m += ROWS;
        }
        while m + 4 <= rows.end {
            tile::<V, F, 4, PANELS>(product, m, panel, finish);
            m += 4;
        }
        while m < rows.end {
            tile::<V, F, 1, PANELS>(product, m, panel, finish);
            m += 1;
        }
    }
}

#[inline(always)]
unsafe fn tile<V: Lanes, F: Finish, const ROWS: usize, const PANELS: usize>(
    p: &Product,
    m: usize,
    panel: usize,
    finish: &F,
) {
    // Offsets are taken with wrapping arithmetic: a check per multiplication would stand in the innermost loop.
    // SAFETY: as `product`: all offsets lie inside A and B.
    unsafe {
        for r in 0..ROWS {
            (0..PANELS).for_each(|n| finish.expect(m.wrapping_add(r), panel.wrapping_add(n)));
        }
        let mut sums = [[V::splat(0.0); PANELS]; ROWS];
        let mut b = p.b.add(panel.wrapping_mul(p.b_panel));
        let mut chunk = p.a.add(m.wrapping_mul(p.a_row));
        let mut left = p.k;
        while left > 0 {
            let steps = left.min(p.chunk);
            let mut a = chunk;
            for _ in 0..steps {
                let mut columns = [V::splat(0.0); PANELS];
                for (n, column) in columns.iter_mut().enumerate() {
                    *column = V::load(b.add(n.wrapping_mul(p.b_panel)));
                }
                for (r, row) in sums.iter_mut().enumerate() {
                    let x = V::splat(*a.add(r.wrapping_mul(p.a_row)));
                    for (sum, column) in row.iter_mut().zip(columns) {
                        *sum = x.fma(column, *sum);
                    }
                }
                a = a.wrapping_add(p.a_step);
                b = b.wrapping_add(p.b_step);
            }
            chunk = chunk.wrapping_add(p.a_chunk);
            left = left.wrapping_sub(steps);
        }
        // The sums are finished from a copy in memory: an array that is read at places known only at run time cannot
        // stay in registers, and was stored anew in every step of the loop above.
        let mut copy = [[MaybeUninit::<V>::uninit(); PANELS]; ROWS];
        for (slots, row) in copy.iter_mut().zip(sums) {
            for (slot, sum) in slots.iter_mut().zip(row) {
                slot.write(sum);
            }
        }
        let copy = std::hint::black_box(&copy);
        for (r, row) in copy.iter().enumerate() {
            for (n, sum) in row.iter().enumerate() {
                finish.finish(sum.assume_init(), m.wrapping_add(r), panel.wrapping_add(n));
            }
        }
    }
}
