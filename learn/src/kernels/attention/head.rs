//! One head of one row.

use std::ops::Range;

use super::{AttentionDropout, AttentionInput, AttentionShape};
use crate::kernels::dropout::fill;
use crate::kernels::pack::{Lines, pack};
use crate::kernels::product::{Finish, Product, product};
use crate::kernels::shared::Shared;
use crate::kernels::simd::{LANES, Lanes, Level, Vectored, vectored, versions};
use crate::kernels::softmax::{softmax_row, softmax_row_backward};

/// A head of a row, and where it lies.
pub(super) struct Head<'a> {
    shape: AttentionShape,
    level: Level,
    qkv: &'a [f32],
    dropout: Option<AttentionDropout>,
    /// Of all heads of all rows.
    number: usize,
    /// Positions that may be attended to.
    valid: usize,
}

/// Memory of a thread: two factors as panels, and two matrices of scores.
pub(super) fn room(shape: AttentionShape) -> usize {
    panels(shape) * 2 + shape.probabilities() * 2
}

/// Room for a factor as panels, of positions or of numbers of a head.
fn panels(shape: AttentionShape) -> usize {
    let (length, depth) = (shape.length, shape.depth());
    (length.next_multiple_of(LANES) * depth).max(depth.next_multiple_of(LANES) * length)
}

/// Where numbers of a head lie: `[length, depth]`, `row` from one position to the next.
#[derive(Clone, Copy)]
struct Part {
    first: usize,
    row: usize,
}

impl<'a> Head<'a> {
    pub(super) fn new(shape: AttentionShape, level: Level, input: &AttentionInput<'a>, number: usize) -> Self {
        let valid = input.valid.map_or(shape.length, |valid| (valid[number / shape.heads] as usize).min(shape.length));
        Self { shape, level, qkv: input.qkv, dropout: input.dropout, number, valid }
    }

    /// # Safety
    /// No other thread writes this head's part of `out`.
    pub(super) unsafe fn forward(&self, room: &mut [f32], kept: Option<&mut [f32]>, out: Shared) {
        let (length, stride) = (self.shape.length, self.stride());
        let (factor, room) = room.split_at_mut(panels(self.shape));
        let (_, room) = room.split_at_mut(panels(self.shape));
        let (scratch, masked) = room.split_at_mut(self.shape.probabilities());
        let scores = kept.unwrap_or(scratch);
        let scale = 1.0 / (self.shape.depth() as f32).sqrt();
        // SAFETY: the sizes of all parts follow from the shape, which `Attention` checked.
        unsafe {
            self.turn(self.qkv, self.part(1), scale, factor);
            let to = Store { out: scores.as_mut_ptr(), row: stride, columns: stride };
            self.times_turned(self.qkv, self.part(0), factor, &to);
            softmax_rows(scores, stride, self.valid);
            let probabilities = match self.dropout {
                None => &*scores,
                Some(dropout) => {
                    self.mask(dropout, masked);
                    masked.iter_mut().zip(&*scores).for_each(|(x, p)| *x *= p);
                    masked
                }
            };
            self.panels(self.qkv, self.part(2), 0..self.valid, factor);
            let to = self.store(&out, self.out());
            self.product_from_left(probabilities, 0..length, self.valid, factor, &to);
        }
    }

    /// # Safety
    /// No other thread writes this head's part of `to`.
    pub(super) unsafe fn backward(&self, room: &mut [f32], probabilities: &[f32], out_gradient: &[f32], to: Shared) {
        let (length, stride, valid) = (self.shape.length, self.stride(), self.valid);
        let (factor, room) = room.split_at_mut(panels(self.shape));
        let (other, room) = room.split_at_mut(panels(self.shape));
        let (scores, masked) = room.split_at_mut(self.shape.probabilities());
        let scale = 1.0 / (self.shape.depth() as f32).sqrt();
        // SAFETY: the sizes of all parts follow from the shape, which `Attention` checked.
        unsafe {
            self.turn(self.qkv, self.part(2), 1.0, factor);
            let store = Store { out: scores.as_mut_ptr(), row: stride, columns: stride };
            self.times_turned(out_gradient, self.out(), factor, &store);
            let used = match self.dropout {
                None => probabilities,
                Some(dropout) => {
                    self.mask(dropout, masked);
                    mask_both(scores, masked, probabilities);
                    &*masked
                }
            };
            self.panels(out_gradient, self.out(), 0..length, other);
            self.product_from_above(used, other, &self.store(&to, self.part(2)));
            scores_backward(probabilities, scores, stride, valid, scale);
            self.panels(self.qkv, self.part(1), 0..valid, factor);
            self.product_from_left(scores, 0..length, valid, factor, &self.store(&to, self.part(0)));
            self.panels(self.qkv, self.part(0), 0..length, other);
            self.product_from_above(scores, other, &self.store(&to, self.part(1)));
            for position in valid..length {
                for which in [1, 2] {
                    let part = self.part(which);
                    to.part(part.first + position * part.row, self.shape.depth()).fill(0.0);
                }
            }
        }
    }

    /// From one position to the next in scores.
    fn stride(&self) -> usize {
        self.shape.length.next_multiple_of(LANES)
    }

    /// Queries (0), keys (1) or values (2) of the head.
    fn part(&self, which: usize) -> Part {
        let AttentionShape { length, width, heads } = self.shape;
        let (row, head) = (self.number / heads, self.number % heads);
        Part { first: row * length * 3 * width + which * width + head * self.shape.depth(), row: 3 * width }
    }

    /// The head's part of the output.
    fn out(&self) -> Part {
        let AttentionShape { length, width, heads } = self.shape;
        let (row, head) = (self.number / heads, self.number % heads);
        Part { first: row * length * width + head * self.shape.depth(), row: width }
    }

    /// Products go to the head's part of `out`.
    fn store(&self, out: &Shared, part: Part) -> Store {
        assert!(part.first + (self.shape.length - 1) * part.row + self.shape.depth() <= out.len());
        // SAFETY: inside `out`, as was just checked.
        Store { out: unsafe { out.start().add(part.first) }, row: part.row, columns: self.shape.depth() }
    }

    /// Valid positions as columns: panels `[valid / 16, depth, 16]`, times `scale`, filled up with 0.
    fn turn(&self, from: &[f32], part: Part, scale: f32, panels: &mut [f32]) {
        let depth = self.shape.depth();
        for (number, panel) in panels.chunks_exact_mut(depth * LANES).take(self.valid.div_ceil(LANES)).enumerate() {
            let (first, used) = (number * LANES, LANES.min(self.valid - number * LANES));
            let from = &from[part.first + first * part.row..];
            assert!((used - 1) * part.row + depth <= from.len());
            let from = Lines { start: from.as_ptr(), line: part.row, step: 1 };
            // SAFETY: all lines lie inside `from`, as was just checked; the CPU has the level.
            unsafe { vectored(self.level, Turn { from, used, scale, panel }) };
        }
    }

    /// Positions as rows: panels `[depth / 16, positions, 16]`, filled up with 0.
    fn panels(&self, from: &[f32], part: Part, positions: Range<usize>, panels: &mut [f32]) {
        let (depth, count) = (self.shape.depth(), positions.len());
        for (number, panel) in panels.chunks_exact_mut((count * LANES).max(1)).take(depth.div_ceil(LANES)).enumerate() {
            let used = LANES.min(depth - number * LANES);
            for (position, slots) in panel.chunks_exact_mut(LANES).enumerate() {
                let from = &from[part.first + position * part.row + number * LANES..][..used];
                if let (Ok(slots), Ok(from)) =
                    (<&mut [f32; LANES]>::try_from(&mut *slots), <&[f32; LANES]>::try_from(from))
                {
                    *slots = *from;
                } else {
                    slots[..used].copy_from_slice(from);
                    slots[used..].fill(0.0);
                }
            }
        }
    }

    /// `scores = a turned`, with a `[length, depth]` and turned `[depth, valid]`.
    unsafe fn times_turned(&self, a: &[f32], part: Part, turned: &[f32], to: &Store) {
        let (length, depth) = (self.shape.length, self.shape.depth());
        assert!(part.first + (length - 1) * part.row + depth <= a.len());
        let work = Product {
            a: a[part.first..].as_ptr(),
            a_row: part.row,
            a_step: 1,
            a_chunk: 0,
            chunk: depth,
            b: turned.as_ptr(),
            b_panel: depth * LANES,
            b_step: LANES,
            k: depth,
        };
        // SAFETY: as the caller says; A was checked above.
        unsafe { product(self.level, &work, 0..length, 0..self.valid.div_ceil(LANES), to) }
    }

    /// `scores[rows, ..k] panels`, with panels `[k, depth]`.
    unsafe fn product_from_left(&self, scores: &[f32], rows: Range<usize>, k: usize, panels: &[f32], to: &Store) {
        let work = Product {
            a: scores.as_ptr(),
            a_row: self.stride(),
            a_step: 1,
            a_chunk: 0,
            chunk: k,
            b: panels.as_ptr(),
            b_panel: k * LANES,
            b_step: LANES,
            k,
        };
        // SAFETY: as the caller says.
        unsafe { product(self.level, &work, rows, 0..self.shape.depth().div_ceil(LANES), to) }
    }

    /// `scores^T panels` for the valid positions, with panels `[length, depth]`.
    unsafe fn product_from_above(&self, scores: &[f32], panels: &[f32], to: &Store) {
        let length = self.shape.length;
        let work = Product {
            a: scores.as_ptr(),
            a_row: 1,
            a_step: self.stride(),
            a_chunk: 0,
            chunk: length,
            b: panels.as_ptr(),
            b_panel: length * LANES,
            b_step: LANES,
            k: length,
        };
        // SAFETY: as the caller says.
        unsafe { product(self.level, &work, 0..self.valid, 0..self.shape.depth().div_ceil(LANES), to) }
    }

    /// The mask of this head's probabilities.
    fn mask(&self, dropout: AttentionDropout, mask: &mut [f32]) {
        let key = [dropout.key as u32, (dropout.key >> 32) as u32];
        fill(key, dropout.share, (self.number as u32).wrapping_mul(mask.len() as u32), mask);
    }
}

/// Stores sums, of the last panel only as many as there are columns.
struct Store {
    out: *mut f32,
    row: usize,
    columns: usize,
}

// SAFETY: made, used and dropped by one thread.
unsafe impl Sync for Store {}

impl Finish for Store {
    #[inline(always)]
    unsafe fn finish<V: Lanes>(&self, sums: V, m: usize, panel: usize) {
        // SAFETY: rows and columns lie inside the output (`Finish`).
        unsafe {
            let column = panel.wrapping_mul(LANES);
            let to = self.out.add(m.wrapping_mul(self.row).wrapping_add(column));
            let left = self.columns.wrapping_sub(column);
            if left >= LANES { sums.store(to) } else { sums.store_first(to, left) }
        }
    }
}

/// Lines as columns of a panel, times `scale`.
struct Turn<'a> {
    from: Lines,
    used: usize,
    scale: f32,
    panel: &'a mut [f32],
}

impl Vectored for Turn<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // SAFETY: as the caller of `vectored` says.
        unsafe { pack::<V, LANES>(self.from, self.used, self.panel) };
        self.panel.iter_mut().for_each(|x| *x *= self.scale);
    }
}

versions! {
    fn softmax_rows(scores: &mut [f32], stride: usize, valid: usize) {
        for row in scores.chunks_exact_mut(stride) {
            softmax_row(&mut row[..valid]);
        }
    }
}

versions! {
    fn scores_backward(probabilities: &[f32], scores: &mut [f32], stride: usize, valid: usize, scale: f32) {
        for (row, probabilities) in scores.chunks_exact_mut(stride).zip(probabilities.chunks_exact(stride)) {
            let row = &mut row[..valid];
            softmax_row_backward(&probabilities[..valid], row);
            row.iter_mut().for_each(|x| *x *= scale);
        }
    }
}

versions! {
    /// The gradient of masked probabilities becomes that of the probabilities, and the mask the masked probabilities.
    fn mask_both(gradient: &mut [f32], mask: &mut [f32], probabilities: &[f32]) {
        for ((gradient, mask), p) in gradient.iter_mut().zip(mask).zip(probabilities) {
            *gradient *= *mask;
            *mask *= p;
        }
    }
}
