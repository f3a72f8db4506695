//! A gradient that is too large made smaller.

use super::simd::versions;

versions! {
    /// Keeps every number between `-size` and `size`.
    pub(crate) fn cut(numbers: &mut [f32], size: f32) {
        numbers.iter_mut().for_each(|x| *x = x.clamp(-size, size));
    }
}

versions! {
    /// Multiplies every number.
    pub(crate) fn scale(numbers: &mut [f32], factor: f32) {
        numbers.iter_mut().for_each(|x| *x *= factor);
    }
}

versions! {
    /// The sum of the squares: 16 sums beside one another, in an order that does not depend on threads or CPU.
    pub(crate) fn length_squared(numbers: &[f32]) -> f64 {
        let mut sums = [0.0f64; 16];
        for chunk in numbers.chunks(16) {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *sum += f64::from(*x) * f64::from(*x);
            }
        }
        sums.iter().sum()
    }
}
