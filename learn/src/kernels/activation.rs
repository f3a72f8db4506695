//! Activations and their derivatives, and the exponential under them.

use super::simd::versions;
use crate::spec::Activation;

/// Slope of leaky ReLU below 0.
pub(crate) const LEAK: f32 = 0.01;

/// `exp(x)` to 2 units in the last place for x in -87 to 88, held at the ends beyond; NaN stays NaN. The reduction by
/// ln 2 in two parts and the polynomial are those of Cephes' `expf` (Moshier).
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to a whole number in the low bits
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 0.166_666_66;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    // The low bits of `shifted` hold n: moved to the exponent they are 2^n.
    p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent; near 0 the polynomial of Cephes' `tanhf`, which does not cancel.
#[allow(clippy::excessive_precision, reason = "the coefficients as they were published")]
#[inline(always)]
fn tanh(x: f32) -> f32 {
    let z = x * x;
    let p = -5.704_988_7e-3;
    let p = p * z + 2.063_908_9e-2;
    let p = p * z + -5.373_972e-2;
    let p = p * z + 0.133_314_7;
    let p = p * z + -0.333_332_84;
    let near = p * z * x + x;
    let far = 1.0 - 2.0 / (1.0 + exp(2.0 * x.abs()));
    let far = far.copysign(x);
    if x.abs() < 0.625 { near } else { far }
}

versions! {
    /// Puts every number through the activation.
    pub(crate) fn activate(activation: Activation, values: &mut [f32]) {
        match activation {
            Activation::Relu => values.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x }), // NaN stays
            Activation::LeakyRelu => values.iter_mut().for_each(|x| *x = if *x < 0.0 { LEAK * *x } else { *x }),
            Activation::Sigmoid => values.iter_mut().for_each(|x| *x = sigmoid(*x)),
            Activation::Tanh => values.iter_mut().for_each(|x| *x = tanh(*x)),
        }
    }
}

versions! {
    /// Multiplies a gradient by the activation's derivative, found from the activation's own `outputs`.
    pub(crate) fn gradient(activation: Activation, outputs: &[f32], gradient: &mut [f32]) {
        let pairs = gradient.iter_mut().zip(outputs);
        match activation {
            Activation::Relu => pairs.for_each(|(g, y)| *g = if *y > 0.0 { *g } else { 0.0 }),
            Activation::LeakyRelu => pairs.for_each(|(g, y)| *g = if *y > 0.0 { *g } else { LEAK * *g }),
            Activation::Sigmoid => pairs.for_each(|(g, y)| *g *= y * (1.0 - y)),
            Activation::Tanh => pairs.for_each(|(g, y)| *g *= 1.0 - y * y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_and_its_family_follow_f64() {
        let mut worst = [0.0f64; 3];
        for n in -860_000..870_000 {
            let x = n as f32 * 1e-4;
            let wide = f64::from(x);
            let pairs = [(exp(x), wide.exp()), (sigmoid(x), 1.0 / (1.0 + (-wide).exp())), (tanh(x), wide.tanh())];
            for (worst, (found, expected)) in worst.iter_mut().zip(pairs) {
                let error = if expected == 0.0 { f64::from(found) } else { f64::from(found) / expected - 1.0 };
                *worst = worst.max(error.abs());
            }
        }
        assert!(worst.iter().all(|error| *error < 3e-7), "{worst:?}");
    }

    #[test]
    fn the_ends_are_held_and_nan_stays() {
        assert!(exp(-1e9) > 0.0 && exp(1e9).is_finite() && exp(f32::NAN).is_nan());
        assert_eq!((sigmoid(1e9), tanh(1e9), tanh(-1e9), tanh(0.0)), (1.0, 1.0, -1.0, 0.0));
        for activation in [Activation::Relu, Activation::LeakyRelu, Activation::Sigmoid, Activation::Tanh] {
            let mut values = [f32::NAN; 17];
            activate(activation, &mut values);
            assert!(values.iter().all(|x| x.is_nan()), "{activation:?}");
        }
    }

    #[test]
    fn derivatives_follow_central_differences() {
        for activation in [Activation::Relu, Activation::LeakyRelu, Activation::Sigmoid, Activation::Tanh] {
            let value = |x: f64| match activation {
                Activation::Relu => x.max(0.0),
                Activation::LeakyRelu => x.max(0.01 * x),
                Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
                Activation::Tanh => x.tanh(),
            };
            let inputs: Vec<f32> = (-40..40).map(|n| n as f32 * 0.1 + 0.05).collect();
            let mut outputs = inputs.clone();
            activate(activation, &mut outputs);
            let mut found = vec![1.0; inputs.len()];
            gradient(activation, &outputs, &mut found);
            for (&x, &found) in inputs.iter().zip(&found) {
                let (x, h) = (f64::from(x), 1e-6);
                let expected = (value(x + h) - value(x - h)) / (2.0 * h);
                assert!((f64::from(found) - expected).abs() < 1e-6, "{activation:?} at {x}: {found} for {expected}");
            }
        }
    }
}
