//! What do the gradients of the rows in each bin add up to?
//!
//! Gradients and second derivatives are kept as whole numbers, a pair in 64 bits: the upper half is the signed gradient, the
//! lower half the second derivative, on scales at which neither sum over all rows leaves its 32 bits. So a row is added
//! with one addition per input, and sums are exact: they are the same in any order, on any number of threads, and the
//! histogram of a child is that of its parent less that of its sibling.

use crate::kernels::prefetch;

/// Sums per bin of one input.
pub(crate) type Histogram = [u64; 256];
/// Inputs of a block at most: their histograms stay in the first cache.
const BLOCK_WIDTH: usize = 16;
/// So many rows ahead the bins of a row are asked for: the rows of small leaves lie far apart.
const AHEAD: usize = 24;
/// What the sum of the absolute gradients and that of the second derivatives come to at most.
const SUM_MAX: f64 = i32::MAX as f64;
/// Added to a number, it leaves its nearest whole number in the lower bits.
const ROUNDING: f64 = 1.5 * (1u64 << 52) as f64;

/// A gradient and a second derivative, or sums of them, as whole numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) gradient: i64,
    pub(crate) hessian: i64,
}

impl Sums {
    pub(crate) fn unpack(pair: u64) -> Self {
        Self { gradient: i64::from((pair >> 32) as u32 as i32), hessian: i64::from(pair as u32) }
    }

    pub(crate) fn pack(gradient: i32, hessian: u32) -> u64 {
        (u64::from(gradient as u32) << 32) | u64::from(hessian)
    }
}

/// What the whole numbers stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Units {
    pub(crate) gradient: f64,
    pub(crate) hessian: f64,
}

impl Units {
    /// Units at which `rows` numbers with these sums of absolute values, each rounded, can be added up.
    pub(crate) fn new(gradients: f64, hessians: f64, rows: usize) -> Self {
        let unit = |sum: f64| if sum > 0.0 { sum / (SUM_MAX - rows as f64).max(1.0) } else { 1.0 };
        Self { gradient: unit(gradients), hessian: unit(hessians) }
    }

    /// A pair in these units.
    pub(crate) fn pack(self, gradient: f32, hessian: f32) -> u64 {
        let whole = |x: f64| (x + ROUNDING).to_bits() as u32;
        Sums::pack(whole(f64::from(gradient) / self.gradient) as i32, whole(f64::from(hessian) / self.hessian))
    }
}

/// Some inputs of all training rows, row by row.
#[derive(Debug)]
pub(crate) struct Block {
    /// The first of them.
    pub(crate) first: usize,
    pub(crate) width: usize,
    /// `[rows, width]`.
    bins: Vec<u8>,
}

impl Block {
    /// Blocks of about the same width, a multiple of the cores where there are inputs enough.
    pub(crate) fn divide(columns: &[Vec<u8>], rows: usize) -> Vec<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = columns.len().div_ceil(BLOCK_WIDTH).next_multiple_of(cores).min(columns.len());
        let bounds = |n: usize| n * columns.len() / count.max(1);
        (0..count)
            .map(|n| {
                let (first, width) = (bounds(n), bounds(n + 1) - bounds(n));
                let mut bins = vec![0; rows * width];
                for (place, column) in columns[first..first + width].iter().enumerate() {
                    bins[place..].iter_mut().step_by(width).zip(column).for_each(|(slot, &bin)| *slot = bin);
                }
                Self { first, width, bins }
            })
            .collect()
    }

    /// Adds the pairs of these rows to the histograms `[width]`.
    pub(crate) fn add(&self, rows: &[u32], pairs: &[u64], histograms: &mut [Histogram]) {
        macro_rules! by_width {
            ($($width:literal)*) => {
                match self.width {
                    $($width => add::<$width>(self.bins.as_chunks().0, rows, pairs, histograms),)*
                    _ => {}
                }
            };
        }
        by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
    }
}

/// A row at a time, all inputs of the block at once: a width that is known leaves no loop and no check of bounds.
fn add<const WIDTH: usize>(bins: &[[u8; WIDTH]], rows: &[u32], pairs: &[u64], histograms: &mut [Histogram]) {
    let Some(histograms) = histograms.first_chunk_mut::<WIDTH>() else { return };
    let ahead = rows.get(AHEAD..).unwrap_or_default().iter().chain(std::iter::repeat(&0));
    for ((&row, &pair), &next) in rows.iter().zip(pairs).zip(ahead) {
        prefetch(&bins[next as usize]);
        let bins = &bins[row as usize];
        for (histogram, &bin) in histograms.iter_mut().zip(bins) {
            let sum = &mut histogram[usize::from(bin)];
            *sum = sum.wrapping_add(pair);
        }
    }
}

/// Takes the histograms of one child off those of the parent: what is left is its sibling's.
pub(crate) fn subtract(parents: &mut [Histogram], children: &[Histogram]) {
    for (parent, child) in parents.iter_mut().zip(children) {
        parent.iter_mut().zip(child).for_each(|(sum, part)| *sum = sum.wrapping_sub(*part));
    }
}
