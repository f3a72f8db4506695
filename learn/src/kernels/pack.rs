//! Lines of a matrix side by side, so that a product reads them in order.

use super::simd::Lanes;

/// Lines of numbers that lie anywhere in a regular order.
#[derive(Clone, Copy)]
pub(super) struct Lines {
    pub(super) start: *const f32,
    /// From one line to the next.
    pub(super) line: usize,
    /// From one number of a line to the next.
    pub(super) step: usize,
}

/// Numbers of a line that are turned at once.
const TURNED: usize = 8;

/// Writes the first `used` lines side by side: `to` `[steps, WIDTH]`, 0 for the lines beyond them.
///
/// # Safety
/// The lines have numbers for all steps, and the CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn pack<V: Lanes, const WIDTH: usize>(from: Lines, used: usize, to: &mut [f32]) {
    let mut turned = 0;
    // SAFETY: as said above; rows of `to` have room for `WIDTH` numbers.
    unsafe {
        if from.line == 1 && used == WIDTH {
            for (step, to) in to.chunks_exact_mut(WIDTH).enumerate() {
                let from = from.start.add(step.wrapping_mul(from.step)).cast::<[f32; WIDTH]>();
                to.as_mut_ptr().cast::<[f32; WIDTH]>().write_unaligned(from.read_unaligned());
            }
            return;
        }
        if from.step == 1 && used == WIDTH && WIDTH.is_multiple_of(TURNED) {
            for (number, to) in to.chunks_exact_mut(WIDTH * TURNED).enumerate() {
                for line in (0..WIDTH).step_by(TURNED) {
                    let start = from.start.add(line.wrapping_mul(from.line)).add(number.wrapping_mul(TURNED));
                    V::turn(start, from.line, to.as_mut_ptr().add(line), WIDTH);
                }
                turned += TURNED;
            }
        }
        for (step, to) in to.chunks_exact_mut(WIDTH).enumerate().skip(turned) {
            for (line, slot) in to.iter_mut().enumerate() {
                let at = line.wrapping_mul(from.line).wrapping_add(step.wrapping_mul(from.step));
                *slot = if line < used { *from.start.add(at) } else { 0.0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::at_every_level;
    use crate::kernels::simd::{LANES, Vectored, level, vectored};

    struct Packing<'a, const WIDTH: usize>(Lines, usize, &'a mut [f32]);

    impl<const WIDTH: usize> Vectored for Packing<'_, WIDTH> {
        #[inline(always)]
        unsafe fn run<V: Lanes>(self) {
            // SAFETY: as the caller of `vectored` says.
            unsafe { pack::<V, WIDTH>(self.0, self.1, self.2) }
        }
    }

    fn check<const WIDTH: usize>(place: &str) {
        let numbers: Vec<f32> = (0..3_000).map(|n| n as f32).collect();
        for steps in [0, 1, 7, 8, 19, 40] {
            for (line, step) in [(1, 50), (50, 1), (3, 60)] {
                for used in [1, WIDTH - 1, WIDTH] {
                    let mut found = vec![f32::NAN; steps * WIDTH];
                    let from = Lines { start: numbers.as_ptr(), line, step };
                    // SAFETY: the farthest number is 15 * 50 + 39 or 39 * 60 + 15 * 3, and the CPU has the level.
                    unsafe { vectored(level(), Packing::<WIDTH>(from, used, &mut found)) };
                    for (at, found) in found.iter().enumerate() {
                        let (of_step, of_line) = (at / WIDTH, at % WIDTH);
                        let expected = if of_line < used { (of_line * line + of_step * step) as f32 } else { 0.0 };
                        assert_eq!(*found, expected, "{place}, {WIDTH} lines, {used} used, {line} and {step} apart");
                    }
                }
            }
        }
    }

    #[test]
    fn lines_lie_side_by_side_wherever_they_come_from() {
        at_every_level(|place| {
            check::<6>(place);
            check::<8>(place);
            check::<LANES>(place);
        });
    }
}
