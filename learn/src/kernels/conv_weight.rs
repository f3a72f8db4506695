//! The gradient of a convolution's weights: `gradient[tap, channel, output] = sum over pictures and windows of
//! x[window + tap, channel] * delta[window, output]`.
//!
//! Pictures are divided into a fixed number of groups, each with sums of its own that are added in order at the end: the
//! result does not depend on the number of threads.

use std::ops::Range;

use super::buffer::{Buffer, at_least};
use super::correlate::{Correlation, Frames, Out};
#[cfg(target_arch = "x86_64")]
use super::simd::x86;
use super::simd::{LANES, Lanes, Level, level};
use super::team::Team;
use super::tile::{Anywhere, Columns, accumulate, accumulate_lanes};

/// Groups of pictures at most: adding them up costs what reading them from a far cache costs.
const GROUPS: usize = 8;
/// Numbers of all groups' sums at most.
const PARTIALS_MAX: usize = 1 << 20;
/// Numbers of input and gradient that one pass over the sums reads: they stay in the nearest cache.
const NEAR: usize = 6 << 10;
/// Multiply-adds below which a second thread costs more than it gains: about 2 microseconds of one core.
const SPLIT_MIN: usize = 1 << 17;

/// Sums of each group of pictures: weights `[panels, depth, 16]`, then biases `[panels, 16]`.
#[derive(Debug, Clone, Default)]
pub(super) struct Partials(Buffer);

impl Partials {
    /// Room for this many groups, all of it written by whoever asks.
    pub(super) fn room(&mut self, length: usize) -> &mut Buffer {
        at_least(&mut self.0, length)
    }
}

/// How many groups `rows` pictures are divided into, for sums of this length.
pub(super) fn groups(rows: usize, length: usize) -> usize {
    (PARTIALS_MAX / length.max(1)).clamp(1, GROUPS).min(rows)
}

/// Fills both gradients. `plan` is the layer's forward pass.
#[allow(clippy::too_many_arguments, reason = "operands, results, and who works on them where")]
pub(super) fn gradient(
    team: &mut Team,
    rows: usize,
    plan: &Correlation,
    x: &[f32],
    delta: &[f32],
    weight_gradient: &mut [f32],
    bias_gradient: &mut [f32],
    (frames, partials): (&mut Frames, &mut Partials),
) {
    let (depth, outputs, windows) = (plan.depth(), plan.outputs, plan.count[0] * plan.count[1]);
    assert!(!plan.depthwise || plan.channels == outputs);
    assert!(x.len() >= rows * plan.source[0] * plan.source[1] * plan.channels);
    assert!(delta.len() >= rows * windows * outputs && weight_gradient.len() >= depth * outputs);
    if rows * windows == 0 {
        weight_gradient.fill(0.0);
        return bias_gradient.fill(0.0);
    }
    let length = (depth + 1) * outputs.next_multiple_of(LANES);
    let groups = groups(rows, length);
    let threads = if rows * windows * depth * outputs < SPLIT_MIN { 1 } else { team.threads() };
    let parts = if threads == 1 { 1 } else { (2 * threads).div_ceil(groups).min(depth.div_ceil(24)) };
    let job = Job::new(plan, x, delta, length);
    let size = job.frame + job.near;
    let out = Out(partials.room(groups * length).as_mut_ptr(), frames.room(threads, size));
    let level = level();
    team.each(threads, groups * parts, &|thread, item| {
        let (group, part) = (item / parts, item % parts);
        let units = depth.div_ceil(8);
        let depths = units * part / parts * 8..(units * (part + 1) / parts * 8).min(depth);
        let pictures = rows * group / groups..rows * (group + 1) / groups;
        // SAFETY: sizes were checked above; every item has its own sums, every thread its own frame.
        unsafe {
            let room = std::slice::from_raw_parts_mut(out.frames().add(thread * size), size);
            job.run(level, pictures, depths, room, out.target().add(group * length));
        }
    });
    let partials = partials.room(groups * length);
    let weight_gradient = &mut weight_gradient[..depth * outputs];
    team.split(threads, weight_gradient, outputs, &|start, part| {
        for (row, to) in part.chunks_exact_mut(outputs).enumerate() {
            for (panel, to) in to.chunks_mut(LANES).enumerate() {
                add_up(to, &partials[(panel * depth + start / outputs + row) * LANES..], length, groups);
            }
        }
    });
    for (panel, to) in bias_gradient.chunks_mut(LANES).take(outputs.div_ceil(LANES)).enumerate() {
        add_up(to, &partials[depth * outputs.next_multiple_of(LANES) + panel * LANES..], length, groups);
    }
}

/// `to = ` the sum over groups of their numbers, `length` apart.
pub(super) fn add_up(to: &mut [f32], from: &[f32], length: usize, groups: usize) {
    to.copy_from_slice(&from[..to.len()]);
    for group in 1..groups {
        for (sum, x) in to.iter_mut().zip(&from[group * length..]) {
            *sum += x;
        }
    }
}

struct Job<'a> {
    plan: &'a Correlation,
    x: &'a [f32],
    delta: &'a [f32],
    inside: bool,
    /// From one row of the frame to the next.
    pitch: usize,
    /// Numbers of a frame, 0 where the picture needs none.
    frame: usize,
    /// Rows of windows per pass.
    lines: usize,
    /// Numbers of a pass's gradient filled up to whole vectors, 0 where they are whole.
    near: usize,
    /// Where the sums of the biases begin.
    bias: usize,
}

/// Windows of one pass.
#[derive(Clone, Copy)]
struct Pass {
    /// Where the first window begins in the frame.
    source: *const f32,
    delta: *const f32,
    /// From one window's gradient to the next.
    step: usize,
    lines: usize,
    /// Whether these are the first products of the sums.
    first: bool,
}

impl<'a> Job<'a> {
    fn new(plan: &'a Correlation, x: &'a [f32], delta: &'a [f32], length: usize) -> Self {
        let (covered, inside) = (plan.covered(), plan.inside());
        let pitch = if inside { plan.source[1] } else { covered[1] } * plan.channels;
        let wide = plan.outputs.next_multiple_of(LANES);
        let per_line = plan.step[0] * pitch + plan.count[1] * wide.min(2 * LANES);
        let lines = (NEAR.saturating_sub(plan.taps[0] * pitch) / per_line).clamp(1, plan.count[0]);
        Self {
            plan,
            x,
            delta,
            inside,
            pitch,
            frame: if inside { 0 } else { (covered[0] * covered[1] * plan.channels).next_multiple_of(LANES) },
            lines,
            near: if wide == plan.outputs { 0 } else { lines * plan.count[1] * wide },
            bias: length - wide,
        }
    }

    /// Fills the sums of some pictures for some of the depth (taps and channels); the part that begins at 0 also those of
    /// the biases.
    ///
    /// # Safety
    /// `sums` has room, and nobody else writes to this part of it.
    unsafe fn run(&self, level: Level, pictures: Range<usize>, depths: Range<usize>, room: &mut [f32], sums: *mut f32) {
        let plan = self.plan;
        let size = plan.source[0] * plan.source[1] * plan.channels;
        let (frame, near) = room.split_at_mut(self.frame);
        for picture in pictures.clone() {
            let x = &self.x[picture * size..][..size];
            let source = if self.inside {
                let [down, right] = plan.first.map(isize::unsigned_abs);
                x[down * self.pitch + right * plan.channels..].as_ptr()
            } else {
                plan.frame(x, 0..plan.covered()[0], frame);
                frame.as_ptr()
            };
            for line in (0..plan.count[0]).step_by(self.lines) {
                let lines = self.lines.min(plan.count[0] - line);
                let windows = lines * plan.count[1];
                let delta = &self.delta[(picture * plan.count[0] + line) * plan.count[1] * plan.outputs..];
                let delta = &delta[..windows * plan.outputs];
                let wide = plan.outputs.next_multiple_of(LANES);
                if self.near > 0 {
                    for (to, from) in near.chunks_exact_mut(wide).zip(delta.chunks_exact(plan.outputs)) {
                        to[..plan.outputs].copy_from_slice(from);
                    }
                }
                let pass = Pass {
                    // SAFETY: the windows of this line lie inside the frame.
                    source: unsafe { source.add(line * plan.step[0] * self.pitch) },
                    delta: if self.near > 0 { near.as_ptr() } else { delta.as_ptr() },
                    step: wide,
                    lines,
                    first: picture == pictures.start && line == 0,
                };
                // SAFETY: as said above; `level` saw the CPU.
                unsafe {
                    match level {
                        #[cfg(target_arch = "x86_64")]
                        Level::Avx512 => avx512(self, pass, depths.clone(), sums),
                        #[cfg(target_arch = "x86_64")]
                        Level::Avx2 => avx2(self, pass, depths.clone(), sums),
                        Level::Plain => self.all::<[f32; LANES], 4, 1>(pass, depths.clone(), sums),
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn all<V: Lanes, const ROWS: usize, const PANELS: usize>(
        &self,
        pass: Pass,
        depths: Range<usize>,
        sums: *mut f32,
    ) {
        // SAFETY: as `run`.
        unsafe {
            if self.plan.depthwise {
                self.pass::<V, true, ROWS, PANELS>(pass, depths, sums);
            } else {
                self.pass::<V, false, ROWS, PANELS>(pass, depths, sums);
            }
        }
    }

    #[inline(always)]
    unsafe fn pass<V: Lanes, const DEPTHWISE: bool, const ROWS: usize, const PANELS: usize>(
        &self,
        pass: Pass,
        depths: Range<usize>,
        sums: *mut f32,
    ) {
        let panels = self.plan.outputs.div_ceil(LANES);
        let mut panel = 0;
        // SAFETY: as `run`.
        unsafe {
            if depths.start == 0 {
                (0..panels).for_each(|panel| self.biases::<V>(pass, panel, sums));
            }
            while panel + PANELS <= panels {
                self.depths::<V, DEPTHWISE, ROWS, PANELS>(pass, depths.clone(), panel, sums);
                panel += PANELS;
            }
            while panel < panels {
                self.depths::<V, DEPTHWISE, ROWS, 1>(pass, depths.clone(), panel, sums);
                panel += 1;
            }
        }
    }

    #[inline(always)]
    unsafe fn biases<V: Lanes>(&self, pass: Pass, panel: usize, sums: *mut f32) {
        // Four sums, or each addition would wait for the one before.
        // SAFETY: as `run`.
        unsafe {
            let to = sums.add(self.bias).add(panel * LANES);
            let mut four = [V::splat(0.0); 4];
            if !pass.first {
                four[0] = V::load(to);
            }
            for window in 0..pass.lines * self.plan.count[1] {
                let slot = four.get_unchecked_mut(window % 4);
                *slot = slot.add(V::load(pass.delta.add(window * pass.step + panel * LANES)));
            }
            four[0].add(four[1]).add(four[2].add(four[3])).store(to);
        }
    }

    #[inline(always)]
    unsafe fn depths<V: Lanes, const DEPTHWISE: bool, const ROWS: usize, const PANELS: usize>(
        &self,
        pass: Pass,
        depths: Range<usize>,
        panel: usize,
        sums: *mut f32,
    ) {
        let mut depth = depths.start;
        // SAFETY: as `run`.
        unsafe {
            while depth + ROWS <= depths.end {
                self.tile::<V, DEPTHWISE, ROWS, PANELS>(pass, depth, panel, sums);
                depth += ROWS;
            }
            while depth + 4 <= depths.end {
                self.tile::<V, DEPTHWISE, 4, PANELS>(pass, depth, panel, sums);
                depth += 4;
            }
            while depth < depths.end {
                self.tile::<V, DEPTHWISE, 1, PANELS>(pass, depth, panel, sums);
                depth += 1;
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<V: Lanes, const DEPTHWISE: bool, const ROWS: usize, const PANELS: usize>(
        &self,
        pass: Pass,
        depth: usize,
        panel: usize,
        sums: *mut f32,
    ) {
        let plan = self.plan;
        let (length, output) = (plan.length(), panel.wrapping_mul(LANES));
        let panel_size = plan.taps[0].wrapping_mul(length).wrapping_mul(LANES);
        // SAFETY: as `run`.
        unsafe {
            let to = sums.add(panel.wrapping_mul(panel_size)).add(depth.wrapping_mul(LANES));
            let mut found = [[V::splat(0.0); PANELS]; ROWS];
            if !pass.first {
                for (r, row) in found.iter_mut().enumerate() {
                    for (n, sum) in row.iter_mut().enumerate() {
                        *sum = V::load(to.add(n.wrapping_mul(panel_size)).add(r.wrapping_mul(LANES)));
                    }
                }
            }
            let (mut row, mut at) = (depth / length, depth % length);
            let mut starts = [pass.source; ROWS];
            for start in &mut starts {
                let inside = if DEPTHWISE { at.wrapping_mul(plan.channels).wrapping_add(output) } else { at };
                *start = start.add(row.wrapping_mul(self.pitch)).add(inside);
                at = at.wrapping_add(1);
                if at == length {
                    (row, at) = (row.wrapping_add(1), 0);
                }
            }
            let mut delta = pass.delta.add(output);
            for _ in 0..pass.lines {
                let a = Anywhere { starts, step: plan.step[1].wrapping_mul(plan.channels) };
                let b = Columns { start: delta, panel: LANES, step: pass.step };
                found = if DEPTHWISE {
                    accumulate_lanes::<V, ROWS, PANELS>(found, a, b, plan.count[1], plan.outputs - output)
                } else {
                    accumulate::<V, _, ROWS, PANELS>(found, a, b, plan.count[1])
                };
                starts = starts.map(|start| start.wrapping_add(plan.step[0].wrapping_mul(self.pitch)));
                delta = delta.wrapping_add(plan.count[1].wrapping_mul(pass.step));
            }
            for (r, row) in found.into_iter().enumerate() {
                for (n, sum) in row.into_iter().enumerate() {
                    sum.store(to.add(n.wrapping_mul(panel_size)).add(r.wrapping_mul(LANES)));
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f")]
unsafe fn avx512(job: &Job, pass: Pass, depths: Range<usize>, sums: *mut f32) {
    // SAFETY: as `Job::run`.
    unsafe { job.all::<x86::Avx512, 8, 2>(pass, depths, sums) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(job: &Job, pass: Pass, depths: Range<usize>, sums: *mut f32) {
    // SAFETY: as `Job::run`.
    unsafe { job.all::<x86::Avx2, 6, 1>(pass, depths, sums) }
}
