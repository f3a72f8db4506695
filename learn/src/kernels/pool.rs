//! Pooling of pictures `[rows, height, width, channels]`.

use super::simd::{LANES, versions};
use super::team::Team;

/// Numbers below which a second thread costs more than it gains.
const SPLIT_MIN: usize = 1 << 14;

/// Sizes of a pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolShape {
    /// Of the input.
    pub(crate) height: usize,
    /// Of the input.
    pub(crate) width: usize,
    /// Of input and output.
    pub(crate) channels: usize,
    /// Height and width of the window.
    pub(crate) kernel: [usize; 2],
    /// From one window to the next: down, right.
    pub(crate) stride: [usize; 2],
    /// Around the input: top, left, bottom, right; less than the window, so that every window has a pixel. What lies there
    /// is no pixel: it is never the largest, and an average does not count it.
    pub(crate) padding: [usize; 4],
}

impl PoolShape {
    /// Height of the output.
    pub(crate) fn out_height(&self) -> usize {
        self.windows(0, self.height)
    }

    /// Width of the output.
    pub(crate) fn out_width(&self) -> usize {
        self.windows(1, self.width)
    }

    fn windows(&self, axis: usize, length: usize) -> usize {
        let padded = length + self.padding[axis] + self.padding[axis + 2];
        padded.checked_sub(self.kernel[axis]).map_or(0, |rest| rest / self.stride[axis] + 1)
    }

    /// Numbers of one input.
    pub(crate) fn input_size(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Numbers of one output.
    pub(crate) fn output_size(&self) -> usize {
        self.out_height() * self.out_width() * self.channels
    }

    fn check(&self, rows: usize, input: usize, output: usize) {
        let inside = (0..4).all(|side| self.padding[side] < self.kernel[side % 2]);
        assert!(inside && self.stride.iter().all(|n| *n > 0), "padding as wide as the window, or a stride of 0");
        assert!(input == rows * self.input_size() && output == rows * self.output_size());
    }

    /// Pixels along an axis that a window covers: the first one, how many, and the window's first tap that meets one.
    #[inline(always)]
    fn covered(&self, axis: usize, length: usize, window: usize) -> (usize, usize, usize) {
        let begin = window * self.stride[axis];
        let first = begin.saturating_sub(self.padding[axis]);
        let end = (begin + self.kernel[axis]).saturating_sub(self.padding[axis]).min(length);
        (first, end.saturating_sub(first), self.padding[axis].saturating_sub(begin))
    }

    /// Calls `each(window, taps)` for every window of a picture; taps are (pixel, number in the window).
    #[inline(always)]
    fn each_window(&self, mut each: impl FnMut(usize, &mut dyn Iterator<Item = (usize, u32)>)) {
        let (down, right) = (self.out_height(), self.out_width());
        for window in 0..down * right {
            let (y, height, tap_y) = self.covered(0, self.height, window / right);
            let (x, width, tap_x) = self.covered(1, self.width, window % right);
            let taps = (0..height * width).map(|n| {
                let (dy, dx) = (n / width, n % width);
                let tap = (tap_y + dy) * self.kernel[1] + tap_x + dx;
                ((y + dy) * self.width + x + dx, tap as u32)
            });
            each(window, &mut { taps });
        }
    }
}

/// Threads for so many numbers.
fn threads(team: &Team, numbers: usize) -> usize {
    if numbers < SPLIT_MIN { 1 } else { team.threads() }
}

/// Where threads write, each to a part of its own.
struct Shared<T>(*mut T);

// SAFETY: as said above; only numbers are written.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// # Safety
    /// The part lies inside the data, and nobody else uses it.
    #[allow(clippy::mut_from_ref, reason = "parts do not overlap")]
    unsafe fn part(&self, start: usize, length: usize) -> &mut [T] {
        // SAFETY: as said above.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), length) }
    }
}

/// The largest number of each window, the first one of equals; NaN wins. `taps` `[rows, out height, out width, channels]`
/// remembers which tap of the window it was.
pub(crate) fn max_pool_forward(
    team: &mut Team,
    rows: usize,
    shape: &PoolShape,
    x: &[f32],
    out: &mut [f32],
    taps: &mut [u32],
) {
    shape.check(rows, x.len(), out.len());
    assert!(taps.len() == out.len());
    let (size, out_size) = (shape.input_size(), shape.output_size());
    let (threads, out, taps) = (threads(team, x.len()), Shared(out.as_mut_ptr()), Shared(taps.as_mut_ptr()));
    team.each(threads, rows, &|_, row| {
        // SAFETY: sizes were checked above; each picture has its own part.
        let (out, taps) = unsafe { (out.part(row * out_size, out_size), taps.part(row * out_size, out_size)) };
        largest(shape, &x[row * size..][..size], out, taps);
    });
}

versions! {
    fn largest(shape: &PoolShape, x: &[f32], out: &mut [f32], taps: &mut [u32]) {
        let channels = shape.channels;
        shape.each_window(|window, pixels| {
            let out = &mut out[window * channels..][..channels];
            let taps = &mut taps[window * channels..][..channels];
            if let Some((pixel, tap)) = pixels.next() {
                out.copy_from_slice(&x[pixel * channels..][..channels]);
                taps.fill(tap);
            }
            for (pixel, tap) in pixels {
                let x = &x[pixel * channels..][..channels];
                for ((out, best), &x) in out.iter_mut().zip(taps.iter_mut()).zip(x) {
                    let larger = x > *out || x.is_nan();
                    *out = if larger { x } else { *out };
                    *best = if larger { tap } else { *best };
                }
            }
        });
    }
}

/// The gradient of the input: each window's goes to the pixel that was the largest.
pub(crate) fn max_pool_backward(
    team: &mut Team,
    rows: usize,
    shape: &PoolShape,
    delta: &[f32],
    taps: &[u32],
    out: &mut [f32],
) {
    shape.check(rows, out.len(), delta.len());
    assert!(taps.len() == delta.len());
    let (size, out_size) = (shape.input_size(), shape.output_size());
    let (threads, out) = (threads(team, out.len()), Shared(out.as_mut_ptr()));
    team.each(threads, rows, &|_, row| {
        let places = row * out_size..(row + 1) * out_size;
        // SAFETY: sizes were checked above; each picture has its own part.
        let out = unsafe { out.part(row * size, size) };
        scatter_largest(shape, &delta[places.clone()], &taps[places], out);
    });
}

versions! {
    fn scatter_largest(shape: &PoolShape, delta: &[f32], taps: &[u32], out: &mut [f32]) {
        let channels = shape.channels;
        out.fill(0.0);
        shape.each_window(|window, pixels| {
            let delta = &delta[window * channels..][..channels];
            let taps = &taps[window * channels..][..channels];
            for (pixel, tap) in pixels {
                let out = &mut out[pixel * channels..][..channels];
                for ((out, &d), &best) in out.iter_mut().zip(delta).zip(taps) {
                    *out += if best == tap { d } else { 0.0 };
                }
            }
        });
    }
}

/// The mean over all pixels: `[rows, pixels, channels]` to `[rows, channels]`.
pub(crate) fn global_average_forward(team: &mut Team, rows: usize, channels: usize, x: &[f32], out: &mut [f32]) {
    assert!(out.len() == rows * channels && x.len().is_multiple_of(out.len().max(1)));
    if out.is_empty() {
        return;
    }
    let pixels = x.len() / out.len();
    let (threads, out) = (threads(team, x.len()), Shared(out.as_mut_ptr()));
    team.each(threads, rows, &|_, row| {
        // SAFETY: each picture has its own part.
        let out = unsafe { out.part(row * channels, channels) };
        mean(&x[row * pixels * channels..][..pixels * channels], out);
    });
}

versions! {
    fn mean(x: &[f32], out: &mut [f32]) {
        let (channels, pixels) = (out.len(), x.len() / out.len());
        let scale = 1.0 / pixels as f32;
        // 16 channels at a time, whose sums stay in registers.
        for first in (0..channels).step_by(LANES) {
            let used = LANES.min(channels - first);
            let mut sums = [0.0f32; LANES];
            if used == LANES {
                for pixel in x.chunks_exact(channels) {
                    sums.iter_mut().zip(&pixel[first..first + LANES]).for_each(|(sum, x)| *sum += x);
                }
            } else {
                for pixel in x.chunks_exact(channels) {
                    sums.iter_mut().zip(&pixel[first..]).for_each(|(sum, x)| *sum += x);
                }
            }
            out[first..first + used].iter_mut().zip(sums).for_each(|(out, sum)| *out = sum * scale);
        }
    }
}

/// The gradient of the input of `global_average_forward`.
pub(crate) fn global_average_backward(team: &mut Team, rows: usize, channels: usize, delta: &[f32], out: &mut [f32]) {
    assert!(delta.len() == rows * channels && out.len().is_multiple_of(delta.len().max(1)));
    if delta.is_empty() {
        return;
    }
    let size = out.len() / rows;
    let (threads, out) = (threads(team, out.len()), Shared(out.as_mut_ptr()));
    team.each(threads, rows, &|_, row| {
        // SAFETY: each picture has its own part.
        spread(&delta[row * channels..][..channels], unsafe { out.part(row * size, size) });
    });
}

versions! {
    fn spread(delta: &[f32], out: &mut [f32]) {
        let scale = delta.len() as f32 / out.len() as f32;
        for pixel in out.chunks_exact_mut(delta.len()) {
            pixel.iter_mut().zip(delta).for_each(|(out, d)| *out = d * scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::at_every_level;

    /// Numbers of which no two of a picture are equal.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|n| ((n * 7919 + seed * 101) % 10_007) as f32 / 5000.0 - 1.0).collect()
    }

    /// Rows; height, width, channels; kernel, stride, padding.
    type Case = (usize, [usize; 3], [usize; 2], [usize; 2], [usize; 4]);

    const CASES: [Case; 7] = [
        (1, [1, 1, 1], [1, 1], [1, 1], [0; 4]),
        (3, [4, 6, 5], [2, 2], [2, 2], [0; 4]),
        (2, [7, 7, 16], [3, 3], [2, 2], [1; 4]),
        (3, [5, 6, 17], [3, 2], [1, 1], [1, 0, 2, 1]),
        (2, [9, 8, 33], [2, 3], [3, 4], [0, 2, 0, 0]),
        (5, [14, 14, 32], [2, 2], [2, 2], [0; 4]),
        (2, [2, 2, 3], [3, 3], [1, 1], [0; 4]),
    ];

    /// One picture's output by the definition alone: of each window's pixels, in order.
    fn reference(s: &PoolShape, x: &[f64], of: impl Fn(&[f64]) -> f64) -> Vec<f64> {
        let mut out = vec![];
        for (y, x_out, c) in (0..s.out_height())
            .flat_map(|y| (0..s.out_width()).flat_map(move |x| (0..s.channels).map(move |c| (y, x, c))))
        {
            let mut pixels = vec![];
            for (ky, kx) in (0..s.kernel[0]).flat_map(|ky| (0..s.kernel[1]).map(move |kx| (ky, kx))) {
                let from = (y * s.stride[0] + ky).checked_sub(s.padding[0]).filter(|y| *y < s.height);
                let from = from.zip((x_out * s.stride[1] + kx).checked_sub(s.padding[1]).filter(|x| *x < s.width));
                pixels.extend(from.map(|(y, x_in)| x[(y * s.width + x_in) * s.channels + c]));
            }
            out.push(of(&pixels));
        }
        out
    }

    /// Output and gradient against the definition and its central differences.
    fn check(s: &PoolShape, x: &[f32], found: [&[f32]; 3], of: &dyn Fn(&[f64]) -> f64, place: &str) {
        let [out, delta, back] = found;
        let (size, out_size) = (s.input_size(), s.output_size());
        for (row, x) in x.chunks_exact(size).enumerate() {
            let mut x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
            let part = row * out_size..(row + 1) * out_size;
            for (found, expected) in out[part.clone()].iter().zip(reference(s, &x, of)) {
                assert!((f64::from(*found) - expected).abs() < 1e-6, "{place}: {found} for {expected}");
            }
            for at in (0..size).step_by(size.div_ceil(60)) {
                let before = x[at];
                let mut loss = |h: f64| {
                    x[at] = before + h;
                    let y = reference(s, &x, of);
                    y.iter().zip(&delta[part.clone()]).map(|(y, d)| y * f64::from(*d)).sum::<f64>()
                };
                let expected = (loss(1e-5) - loss(-1e-5)) / 2e-5;
                let found = f64::from(back[row * size + at]);
                assert!((found - expected).abs() < 1e-5, "{place} [{at}]: {found} for {expected}");
                x[at] = before;
            }
        }
    }

    #[test]
    fn pooling_and_its_gradients_follow_the_definition() {
        let teams = std::cell::RefCell::new([1, 2, 3].map(Team::new));
        at_every_level(|level| {
            for (rows, [height, width, channels], kernel, stride, padding) in CASES {
                let s = PoolShape { height, width, channels, kernel, stride, padding };
                let (x, delta) = (numbers(rows * s.input_size(), 1), numbers(rows * s.output_size(), 2));
                let mut first = None;
                for team in teams.borrow_mut().iter_mut() {
                    let place = format!("{level}, {s:?}, {} threads", team.threads());
                    let (mut out, mut back) = (vec![f32::NAN; delta.len()], vec![f32::NAN; x.len()]);
                    let mut taps = vec![u32::MAX; delta.len()];
                    max_pool_forward(team, rows, &s, &x, &mut out, &mut taps);
                    max_pool_backward(team, rows, &s, &delta, &taps, &mut back);
                    if first.is_none() {
                        let largest = |pixels: &[f64]| pixels.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
                        check(&s, &x, [&out, &delta, &back], &largest, &place);
                    }
                    let found = (out, back, taps);
                    assert!(first.get_or_insert_with(|| found.clone()) == &found, "{place}: other bits");
                }
            }
        });
    }

    #[test]
    fn the_first_of_equals_is_the_largest_and_nan_wins() {
        let s = PoolShape { height: 1, width: 6, channels: 1, kernel: [1, 3], stride: [1, 3], padding: [0; 4] };
        let (mut out, mut taps) = ([0.0; 2], [9; 2]);
        max_pool_forward(&mut Team::new(1), 1, &s, &[2.0, 2.0, 1.0, 5.0, f32::NAN, 7.0], &mut out, &mut taps);
        assert!(out[0] == 2.0 && out[1].is_nan());
        assert_eq!(taps, [0, 1]);
    }

    #[test]
    fn global_averages_follow_their_formulas() {
        at_every_level(|level| {
            for (rows, pixels, channels) in [(1, 1, 1), (3, 49, 17), (4, 64, 64), (2, 5, 16)] {
                for threads in [1, 2, 3] {
                    let team = &mut Team::new(threads);
                    let (x, delta) = (numbers(rows * pixels * channels, 1), numbers(rows * channels, 2));
                    let (mut out, mut back) = (vec![f32::NAN; delta.len()], vec![f32::NAN; x.len()]);
                    global_average_forward(team, rows, channels, &x, &mut out);
                    global_average_backward(team, rows, channels, &delta, &mut back);
                    for (at, found) in out.iter().enumerate() {
                        let picture = &x[at / channels * pixels * channels..][..pixels * channels];
                        let sum = picture.iter().skip(at % channels).step_by(channels).map(|x| f64::from(*x));
                        let expected = sum.sum::<f64>() / pixels as f64;
                        assert!((f64::from(*found) - expected).abs() < 1e-6, "{level}: {found} for {expected}");
                    }
                    for (at, found) in back.iter().enumerate() {
                        let from = at / (pixels * channels) * channels + at % channels;
                        assert!((found - delta[from] / pixels as f32).abs() < 1e-6, "{level}");
                    }
                }
            }
        });
    }
}
