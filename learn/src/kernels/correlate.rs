//! Sums over windows of pictures `[height, width, channels]`: a convolution forward, and backward to its input.
//!
//! A picture is copied into a frame of zeros that belongs to the thread, and from there the innermost loop reads it as it
//! lies: the channels of a window's row are one run of memory. There is no matrix of patches.

use std::ops::Range;

use super::activation::activate;
use super::buffer::{Buffer, at_least};
#[cfg(target_arch = "x86_64")]
use super::simd::x86;
use super::simd::{LANES, Lanes, Level, level};
use super::team::Team;
use super::tile::{Anywhere, Columns, accumulate, accumulate_lanes};
use crate::spec::Activation;

/// Multiply-adds below which a second thread costs more than it gains: about 2 microseconds of one core.
const SPLIT_MIN: usize = 1 << 17;

/// `target(y, x) = bias + sum over taps and channels of source(first + (y, x) * step + tap) * weight(tap)`; the source
/// is 0 outside. Pairs are (down, right).
#[derive(Debug, Clone, Copy)]
pub(super) struct Correlation {
    /// Height and width of the source.
    pub(super) source: [usize; 2],
    /// Channels of the source.
    pub(super) channels: usize,
    /// Height and width of the window.
    pub(super) taps: [usize; 2],
    /// Where in the source the first window begins.
    pub(super) first: [isize; 2],
    /// From one window to the next, in the source.
    pub(super) step: [usize; 2],
    /// How many windows.
    pub(super) count: [usize; 2],
    /// The target's pixel of the first window.
    pub(super) target: usize,
    /// From one window to the next, in pixels of the target.
    pub(super) target_step: [usize; 2],
    /// Pixels of the whole target.
    pub(super) target_pixels: usize,
    /// Channels of the target.
    pub(super) outputs: usize,
    /// Whether each channel has weights of its own and gives the output of the same number.
    pub(super) depthwise: bool,
}

/// What a correlation needs beside its operands; kept from step to step.
#[derive(Debug, Clone, Default)]
pub(super) struct Frames {
    /// Per thread one framed picture.
    frames: Buffer,
    /// Per window where it begins in the frame and where its target is.
    places: Vec<[usize; 2]>,
}

impl Frames {
    /// Room for one frame of this size per thread.
    pub(super) fn room(&mut self, threads: usize, size: usize) -> *mut f32 {
        at_least(&mut self.frames, threads * size).as_mut_ptr()
    }
}

impl Correlation {
    /// Products per window and output.
    pub(super) fn depth(&self) -> usize {
        self.taps[0] * self.length()
    }

    /// Products per row of a window and output.
    pub(super) fn length(&self) -> usize {
        if self.depthwise { self.taps[1] } else { self.taps[1] * self.channels }
    }

    /// Height and width of the part of the source that all windows cover.
    pub(super) fn covered(&self) -> [usize; 2] {
        [0, 1].map(|axis| (self.count[axis].max(1) - 1) * self.step[axis] + self.taps[axis])
    }

    /// Whether no window reaches over the edge.
    pub(super) fn inside(&self) -> bool {
        let covered = self.covered();
        (0..2).all(|axis| self.first[axis] >= 0 && self.first[axis].unsigned_abs() + covered[axis] <= self.source[axis])
    }

    /// Writes rows of the covered part of `picture`, with zeros around it, into `frame`.
    pub(super) fn frame(&self, picture: &[f32], rows: Range<usize>, frame: &mut [f32]) {
        let width = self.covered()[1] * self.channels;
        let left = (-self.first[1]).max(0).unsigned_abs().min(self.covered()[1]);
        let skipped = self.first[1].max(0).unsigned_abs();
        let middle = self.source[1].saturating_sub(skipped).min(self.covered()[1] - left) * self.channels;
        for (row, to) in rows.clone().zip(frame[rows.start * width..].chunks_exact_mut(width.max(1))) {
            let row = self.first[0] + row.cast_signed();
            if row < 0 || row.unsigned_abs() >= self.source[0] || middle == 0 {
                to.fill(0.0);
                continue;
            }
            let from = &picture[(row.unsigned_abs() * self.source[1] + skipped) * self.channels..][..middle];
            let (before, rest) = to.split_at_mut(left * self.channels);
            let (pixels, after) = rest.split_at_mut(middle);
            before.fill(0.0);
            pixels.copy_from_slice(from);
            after.fill(0.0);
        }
    }

    fn check(&self, rows: usize, source: &[f32], weights: &[f32], target: &[f32]) {
        let panels = self.outputs.div_ceil(LANES);
        assert!(!self.depthwise || self.channels == self.outputs);
        assert!(source.len() >= rows * self.source[0] * self.source[1] * self.channels);
        assert!(weights.len() >= self.depth() * panels * LANES);
        assert!(target.len() >= rows * self.target_pixels * self.outputs);
        let last = |axis: usize| (self.count[axis].max(1) - 1) * self.target_step[axis];
        assert!(self.target + last(0) + last(1) < self.target_pixels.max(1));
    }
}

/// Runs a correlation for `rows` pictures. `weights` are panels of 16 outputs, each `[taps, channels, 16]`; `bias` is
/// empty or filled up to whole panels. An activation needs targets that lie side by side.
#[allow(clippy::too_many_arguments, reason = "three operands, the result, and who works on them where")]
pub(super) fn correlate(
    team: &mut Team,
    rows: usize,
    plan: &Correlation,
    source: &[f32],
    weights: &[f32],
    bias: &[f32],
    activation: Option<Activation>,
    target: &mut [f32],
    room: &mut Frames,
) {
    assert!(bias.is_empty() || bias.len() >= plan.outputs.next_multiple_of(LANES));
    assert!(activation.is_none() || plan.target_step == [plan.count[1], 1]);
    let windows = plan.count[0] * plan.count[1];
    if rows * windows == 0 {
        return;
    }
    plan.check(rows, source, weights, target);
    let work = rows * windows * plan.depth() * plan.outputs;
    let threads = if work < SPLIT_MIN { 1 } else { team.threads() };
    let parts = (2 * threads).div_ceil(rows).min(windows.div_ceil(64)); // of a picture
    let (covered, inside) = (plan.covered(), plan.inside());
    let size = if inside { 0 } else { (covered[0] * covered[1] * plan.channels).next_multiple_of(LANES) };
    let frames = room.room(threads, size);
    let pitch = if inside { plan.source[1] } else { covered[1] } * plan.channels;
    let start = if inside { plan.first[0].unsigned_abs() * pitch } else { 0 };
    let start = start + if inside { plan.first[1].unsigned_abs() * plan.channels } else { 0 };
    room.places.clear();
    room.places.extend((0..plan.count[0]).flat_map(|y| {
        let from = start + y * plan.step[0] * pitch;
        let to = plan.target + y * plan.target_step[0];
        let [step, to_step] = [plan.step[1] * plan.channels, plan.target_step[1]];
        (0..plan.count[1]).map(move |x| [from + x * step, (to + x * to_step) * plan.outputs])
    }));
    let relu = activation == Some(Activation::Relu);
    let job = Job { plan, places: &room.places, pitch, weights, bias, relu };
    let (level, out) = (level(), Out(target.as_mut_ptr(), frames));
    team.each(threads, rows * parts, &|thread, item| {
        let (row, part) = (item / parts, item % parts);
        let windows = windows * part / parts..windows * (part + 1) / parts;
        let picture = plan.source[0] * plan.source[1] * plan.channels;
        let picture = &source[row * picture..][..picture];
        // SAFETY: sizes were checked above; every item has its own windows, every thread its own frame.
        unsafe {
            let from = if inside {
                picture.as_ptr()
            } else {
                let frame = std::slice::from_raw_parts_mut(out.frames().add(thread * size), size);
                let line = |window: usize| window / plan.count[1] * plan.step[0];
                plan.frame(picture, line(windows.start)..line(windows.end - 1) + plan.taps[0], frame);
                frame.as_ptr()
            };
            let target = out.target().add(row * plan.target_pixels * plan.outputs);
            job.run(level, from, target, windows.clone());
            if let Some(activation) = activation.filter(|_| !relu) {
                let length = windows.len() * plan.outputs;
                let done = target.add((plan.target + windows.start) * plan.outputs);
                activate(activation, std::slice::from_raw_parts_mut(done, length));
            }
        }
    });
}

/// Where threads write.
pub(super) struct Out(pub(super) *mut f32, pub(super) *mut f32);

// SAFETY: every thread writes to parts of its own (`correlate`).
unsafe impl Sync for Out {}

impl Out {
    pub(super) fn target(&self) -> *mut f32 {
        self.0
    }
    pub(super) fn frames(&self) -> *mut f32 {
        self.1
    }
}

struct Job<'a> {
    plan: &'a Correlation,
    places: &'a [[usize; 2]],
    /// From one row of the frame to the next.
    pitch: usize,
    weights: &'a [f32],
    bias: &'a [f32],
    relu: bool,
}

impl Job<'_> {
    /// # Safety
    /// `source` is a framed picture, `target` the picture's place in the target, where nobody else writes to these windows.
    unsafe fn run(&self, level: Level, source: *const f32, target: *mut f32, windows: Range<usize>) {
        // SAFETY: as said above; `level` saw the CPU.
        unsafe {
            match level {
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => avx512(self, source, target, windows),
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => avx2(self, source, target, windows),
                Level::Plain => self.all::<[f32; LANES], 4, 1>(source, target, windows),
            }
        }
    }

    #[inline(always)]
    unsafe fn all<V: Lanes, const ROWS: usize, const PANELS: usize>(
        &self,
        source: *const f32,
        target: *mut f32,
        windows: Range<usize>,
    ) {
        // SAFETY: as `run`.
        unsafe {
            if self.plan.depthwise {
                self.panels::<V, true, ROWS, PANELS>(source, target, windows);
            } else {
                self.panels::<V, false, ROWS, PANELS>(source, target, windows);
            }
        }
    }

    #[inline(always)]
    unsafe fn panels<V: Lanes, const DEPTHWISE: bool, const ROWS: usize, const PANELS: usize>(
        &self,
        source: *const f32,
        target: *mut f32,
        windows: Range<usize>,
    ) {
        let panels = self.plan.outputs.div_ceil(LANES);
        let mut panel = 0;
        // SAFETY: as `run`.
        unsafe {
            while panel + PANELS <= panels {
                self.windows::<V, DEPTHWISE, ROWS, PANELS>(source, target, windows.clone(), panel);
                panel += PANELS;
            }
            while panel < panels {
                self.windows::<V, DEPTHWISE, ROWS, 1>(source, target, windows.clone(), panel);
                panel += 1;
            }
        }
    }

    #[inline(always)]
    unsafe fn windows<V: Lanes, const DEPTHWISE: bool, const ROWS: usize, const PANELS: usize>(
        &self,
        source: *const f32,
        target: *mut f32,
        windows: Range<usize>,
        panel: usize,
    ) {
        let mut places = &self.places[windows];
        // SAFETY: as `run`.
        unsafe {
            while let Some((now, later)) = places.split_at_checked(ROWS) {
                self.tile::<V, DEPTHWISE, ROWS, PANELS>(source, target, now, panel);
                places = later;
            }
            while let Some((now, later)) = places.split_at_checked(4) {
                self.tile::<V, DEPTHWISE, 4, PANELS>(source, target, now, panel);
                places = later;
            }
            while let Some((now, later)) = places.split_at_checked(1) {
                self.tile::<V, DEPTHWISE, 1, PANELS>(source, target, now, panel);
                places = later;
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<V: Lanes, const DEPTHWISE: bool, const ROWS: usize, const PANELS: usize>(
        &self,
        source: *const f32,
        target: *mut f32,
        places: &[[usize; 2]],
        panel: usize,
    ) {
        let length = self.plan.length();
        let depth = self.plan.taps[0].wrapping_mul(length);
        let output = panel.wrapping_mul(LANES);
        // SAFETY: as `run`; places, weights and bias were made for this plan.
        unsafe {
            let mut start = [V::splat(0.0); PANELS];
            if !self.bias.is_empty() {
                for (n, start) in start.iter_mut().enumerate() {
                    *start = V::load(self.bias.as_ptr().add(panel.wrapping_add(n).wrapping_mul(LANES)));
                }
            }
            let mut sums = [start; ROWS];
            let mut starts = [source; ROWS];
            for (start, place) in starts.iter_mut().zip(places) {
                *start = start.add(place[0]).add(if DEPTHWISE { output } else { 0 });
            }
            let mut weights = self.weights.as_ptr().add(output.wrapping_mul(depth));
            for _ in 0..self.plan.taps[0] {
                let b = Columns { start: weights, panel: depth.wrapping_mul(LANES), step: LANES };
                sums = if DEPTHWISE {
                    let (a, left) = (Anywhere { starts, step: self.plan.channels }, self.plan.outputs - output);
                    accumulate_lanes::<V, ROWS, PANELS>(sums, a, b, length, left)
                } else {
                    accumulate::<V, _, ROWS, PANELS>(sums, Anywhere { starts, step: 1 }, b, length)
                };
                weights = weights.wrapping_add(length.wrapping_mul(LANES));
                starts = starts.map(|start| start.wrapping_add(self.pitch));
            }
            for (r, sums) in sums.into_iter().enumerate() {
                for (n, sum) in sums.into_iter().enumerate() {
                    let output = panel.wrapping_add(n).wrapping_mul(LANES);
                    let to = target.add(places.get_unchecked(r)[1]).add(output);
                    let sum = if self.relu { sum.relu() } else { sum };
                    let left = self.plan.outputs.wrapping_sub(output);
                    if left >= LANES { sum.store(to) } else { sum.store_first(to, left) }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f")]
unsafe fn avx512(job: &Job, source: *const f32, target: *mut f32, windows: Range<usize>) {
    // SAFETY: as `Job::run`.
    unsafe { job.all::<x86::Avx512, 8, 2>(source, target, windows) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(job: &Job, source: *const f32, target: *mut f32, windows: Range<usize>) {
    // SAFETY: as `Job::run`.
    unsafe { job.all::<x86::Avx2, 6, 1>(source, target, windows) }
}
