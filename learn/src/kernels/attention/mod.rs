//! Multi-head attention between the positions of a row (Vaswani et al. 2017, section 3.2), forward and backward.
//!
//! The work of one row and head is small: 128 positions of 64 numbers are 4 products of 32 to 64 KiB each. A thread does
//! a head from beginning to end in its own cache. Probabilities are kept for the way back: the
//! forward pass, of which making them again is the first half, takes a third of the whole (6.2 of 17 ms on one core for 16
//! rows of 128 positions, 4 heads of 64).

mod head;
#[cfg(test)]
mod tests;

use head::{Head, room};

use super::buffer::Buffer;
use super::shared::Shared;
use super::simd::{LANES, level};
use super::team::Team;

/// Multiply-adds below which a second thread costs more than it gains.
const SPLIT_MIN: usize = 1 << 17;

/// Sizes of an attention layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AttentionShape {
    /// Positions of a row.
    pub(crate) length: usize,
    /// Numbers per position, of all heads together.
    pub(crate) width: usize,
    /// Heads; a divisor of `width`.
    pub(crate) heads: usize,
}

/// Probabilities that are left out in a step, as `dropout_mask` does it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct AttentionDropout {
    /// Random bits of the step and layer.
    pub(crate) key: u64,
    /// Share left out, 0 to below 1.
    pub(crate) share: f64,
}

/// Memory of an attention layer.
#[derive(Debug)]
pub(crate) struct Attention {
    shape: AttentionShape,
    /// `[rows, heads, length, length filled up]` of the last `forward`.
    probabilities: Buffer,
    /// Per thread.
    rooms: Buffer,
}

/// What an attention layer reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionInput<'a> {
    /// `[rows, length, 3 * width]`: queries, keys and values, each `[heads, width / heads]`.
    pub(crate) qkv: &'a [f32],
    /// Per row: positions from the first one on that may be attended to; all where it is None. A row of none gives 0.
    pub(crate) valid: Option<&'a [u32]>,
    /// Only while learning.
    pub(crate) dropout: Option<AttentionDropout>,
}

impl Attention {
    /// A layer of this shape.
    pub(crate) fn new(shape: AttentionShape) -> Self {
        assert!(shape.heads > 0 && shape.width.is_multiple_of(shape.heads));
        Self { shape, probabilities: Buffer::default(), rooms: Buffer::default() }
    }

    /// Rows have this many positions from now on.
    pub(crate) fn set_length(&mut self, length: usize) {
        self.shape.length = length;
    }

    /// `softmax(q k^T / sqrt(width / heads)) v` per head, into `out` `[rows, length, width]`. Keeps what `backward`
    /// needs.
    pub(crate) fn forward(&mut self, team: &mut Team, input: AttentionInput, out: &mut [f32]) {
        let rows = self.check(&input, out);
        at_least(&mut self.probabilities, rows * self.shape.heads * self.shape.probabilities());
        self.run(team, rows, input, out, true);
    }

    /// The same where nothing is learned.
    pub(crate) fn answer(&mut self, team: &mut Team, input: AttentionInput, out: &mut [f32]) {
        let rows = self.check(&input, out);
        self.run(team, rows, input, out, false);
    }

    fn run(&mut self, team: &mut Team, rows: usize, input: AttentionInput, out: &mut [f32], keep: bool) {
        let shape = self.shape;
        let threads = shape.threads(team, rows);
        let each = room(shape);
        at_least(&mut self.rooms, threads * each);
        let (rooms, out) = (Shared::of(&mut self.rooms), Shared::of(out));
        let kept = Shared::of(&mut self.probabilities);
        let (level, count) = (level(), rows * shape.heads);
        team.each(threads, count, &|thread, number| {
            // SAFETY: every thread has a room of its own, and every head is done once.
            unsafe {
                let room = rooms.part(thread * each, each);
                let kept = keep.then(|| kept.part(number * shape.probabilities(), shape.probabilities()));
                Head::new(shape, level, &input, number).forward(room, kept, out);
            }
        });
    }

    /// Back through the last `forward`, whose input this must be: from the gradient of `out` to that of `qkv`, which is
    /// written.
    pub(crate) fn backward(
        &mut self,
        team: &mut Team,
        input: AttentionInput,
        out_gradient: &[f32],
        qkv_gradient: &mut [f32],
    ) {
        let (shape, rows) = (self.shape, self.check(&input, out_gradient));
        assert_eq!(qkv_gradient.len(), input.qkv.len());
        assert!(self.probabilities.len() >= rows * shape.heads * shape.probabilities(), "no forward before");
        let threads = shape.threads(team, rows);
        let each = room(shape);
        at_least(&mut self.rooms, threads * each);
        let (rooms, to) = (Shared::of(&mut self.rooms), Shared::of(qkv_gradient));
        let kept = &*self.probabilities;
        let (level, count) = (level(), rows * shape.heads);
        team.each(threads, count, &|thread, number| {
            // SAFETY: every thread has a room of its own, and every head is done once.
            unsafe {
                let room = rooms.part(thread * each, each);
                let kept = &kept[number * shape.probabilities()..][..shape.probabilities()];
                Head::new(shape, level, &input, number).backward(room, kept, out_gradient, to);
            }
        });
    }

    fn check(&self, input: &AttentionInput, out: &[f32]) -> usize {
        let AttentionShape { length, width, .. } = self.shape;
        let rows = out.len() / (length * width).max(1);
        assert!(out.len() == rows * length * width && input.qkv.len() == 3 * out.len());
        assert!(input.valid.is_none_or(|valid| valid.len() == rows));
        rows
    }
}

impl AttentionShape {
    /// Width of a head.
    fn depth(self) -> usize {
        self.width / self.heads
    }

    /// Room for the probabilities of a head, rows filled up to whole vectors.
    fn probabilities(self) -> usize {
        self.length * self.length.next_multiple_of(LANES)
    }

    fn threads(self, team: &Team, rows: usize) -> usize {
        if rows * self.length * self.length * self.width < SPLIT_MIN { 1 } else { team.threads() }
    }
}

fn at_least(buffer: &mut Buffer, length: usize) {
    if buffer.len() < length {
        *buffer = Buffer::zeros(length);
    }
}
