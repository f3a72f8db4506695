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
pub(super) fn tanh(x: f32) -> f32 {
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

/// The standard normal distribution at x: the share below x, and the density. The share of the tail is
/// `exp(-x^2 / 2) t P(t)` with `t = 1 / (1 + 0.21 |x|)`, the form of Abramowitz and Stegun 7.1.26; P was fitted to a
/// relative error of 1.4e-8 for |x| to 13.5, where the tail ends in `f32`.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    let bell = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.21 * x.abs());
    let p = -0.072_033_98;
    let p = p * t + 0.285_453_4;
    let p = p * t + -0.334_189_67;
    let p = p * t + 0.354_033_67;
    let p = p * t + -0.097_245_73;
    let p = p * t + 0.126_355_16;
    let p = p * t + 0.068_790_04;
    let p = p * t + 0.085_129_41;
    let p = p * t + 0.083_707_7;
    let tail = bell * t * p;
    let share = if x < 0.0 { tail } else { 1.0 - tail };
    (share, bell * 0.398_942_3)
}

/// Gaussian error linear unit (Hendrycks and Gimpel 2016) in its exact form, and its derivative.
#[inline(always)]
fn gelu(x: f32) -> (f32, f32) {
    let (share, density) = normal(x);
    (x * share, share + x * density)
}

/// Sigmoid linear unit, and its derivative.
#[inline(always)]
fn silu(x: f32) -> (f32, f32) {
    let e = exp(-x);
    let y = 1.0 / (1.0 + e);
    (x * y, y + x * y * (e * y)) // e * y is 1 - y without cancelling
}

impl Activation {
    /// Whether the derivative can be found from the output alone ([`gradient`]). Else it takes the input.
    pub(crate) fn has_gradient_of_output(self) -> bool {
        !matches!(self, Self::Gelu | Self::Silu)
    }
}

versions! {
    /// Puts every number through the activation.
    pub(crate) fn activate(activation: Activation, values: &mut [f32]) {
        match activation {
            Activation::Relu => values.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x }), // NaN stays
            Activation::Relu6 => values.iter_mut().for_each(|x| *x = x.clamp(0.0, 6.0)), // NaN stays
            Activation::LeakyRelu => values.iter_mut().for_each(|x| *x = if *x < 0.0 { LEAK * *x } else { *x }),
            Activation::Sigmoid => values.iter_mut().for_each(|x| *x = sigmoid(*x)),
            Activation::Tanh => values.iter_mut().for_each(|x| *x = tanh(*x)),
            Activation::Gelu => values.iter_mut().for_each(|x| *x = gelu(*x).0),
            Activation::Silu => values.iter_mut().for_each(|x| *x = silu(*x).0),
        }
    }
}

versions! {
    /// Puts every number through the activation; `slopes` takes its derivative there, for little more work.
    pub(crate) fn activate_with_slope(activation: Activation, values: &mut [f32], slopes: &mut [f32]) {
        match activation {
            Activation::Gelu => pairs(values, slopes, gelu),
            Activation::Silu => pairs(values, slopes, silu),
            other => {
                activate(other, values);
                slopes.fill(1.0);
                gradient(other, values, slopes);
            }
        }
    }
}

#[inline(always)]
fn pairs(values: &mut [f32], slopes: &mut [f32], of: impl Fn(f32) -> (f32, f32)) {
    values.iter_mut().zip(slopes).for_each(|(x, slope)| (*x, *slope) = of(*x));
}

versions! {
    /// Multiplies a gradient by the activation's derivative, found from the activation's own `outputs`. Of an activation
    /// that is not `has_gradient_of_output` it makes NaN, which no training overlooks.
    pub(crate) fn gradient(activation: Activation, outputs: &[f32], gradient: &mut [f32]) {
        let pairs = gradient.iter_mut().zip(outputs);
        match activation {
            Activation::Relu => pairs.for_each(|(g, y)| *g = if *y > 0.0 { *g } else { 0.0 }),
            Activation::Relu6 => pairs.for_each(|(g, y)| *g = if *y > 0.0 && *y < 6.0 { *g } else { 0.0 }),
            Activation::LeakyRelu => pairs.for_each(|(g, y)| *g = if *y > 0.0 { *g } else { LEAK * *g }),
            Activation::Sigmoid => pairs.for_each(|(g, y)| *g *= y * (1.0 - y)),
            Activation::Tanh => pairs.for_each(|(g, y)| *g *= 1.0 - y * y),
            Activation::Gelu | Activation::Silu => pairs.for_each(|(g, _)| *g = f32::NAN),
        }
    }
}

#[cfg(test)]
versions! {
    /// Multiplies a gradient by the activation's derivative, found from the activation's `inputs`: what `gradient` and the
    /// fused layers are compared with.
    pub(crate) fn gradient_from_input(activation: Activation, inputs: &[f32], gradient: &mut [f32]) {
        let pairs = gradient.iter_mut().zip(inputs);
        match activation {
            Activation::Relu => pairs.for_each(|(g, x)| *g = if *x > 0.0 { *g } else { 0.0 }),
            Activation::Relu6 => pairs.for_each(|(g, x)| *g = if *x > 0.0 && *x < 6.0 { *g } else { 0.0 }),
            Activation::LeakyRelu => pairs.for_each(|(g, x)| *g = if *x > 0.0 { *g } else { LEAK * *g }),
            Activation::Sigmoid => pairs.for_each(|(g, x)| {
                let y = sigmoid(*x);
                *g *= y * (1.0 - y);
            }),
            Activation::Tanh => pairs.for_each(|(g, x)| {
                let y = tanh(*x);
                *g *= 1.0 - y * y;
            }),
            Activation::Gelu => pairs.for_each(|(g, x)| *g *= gelu(*x).1),
            Activation::Silu => pairs.for_each(|(g, x)| *g *= silu(*x).1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::at_every_level;
    use crate::kernels::numbers::normal64;

    const ALL: [Activation; 7] = [
        Activation::Relu,
        Activation::Relu6,
        Activation::LeakyRelu,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Gelu,
        Activation::Silu,
    ];

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
    fn the_normal_distribution_follows_f64_down_to_its_tail() {
        let mut worst = [0.0f64; 3];
        for n in -110_000..110_000 {
            let x = n as f32 * 1e-4;
            let wide = f64::from(x);
            let expected = normal64(wide);
            let (share, _) = normal(x);
            let relative = (f64::from(share) / expected - 1.0).abs();
            // Rounding x^2 / 2 is the error of an exponent: it grows with it.
            worst[0] = worst[0].max(relative / (1.0 + 0.25 * wide * wide));
            worst[1] = worst[1].max((f64::from(share) - expected).abs());
            worst[2] = worst[2].max((f64::from(gelu(x).0) - wide * expected).abs() / wide.abs().max(1.0));
        }
        assert!(worst[0] < 5e-7 && worst[1] < 2.5e-7 && worst[2] < 1.5e-7, "{worst:?}");
    }

    /// `torch.nn.functional.gelu` and `silu` in float64 and their gradients by autograd, PyTorch 2.15.
    #[test]
    fn gelu_and_silu_are_those_of_pytorch() {
        let inputs = [-6.0, -3.5, -1.25, -0.5, 0.0, 0.3, 1.0, 2.75, 7.0];
        let expected = [
            (
                Activation::Gelu,
                [
                    -5.91952587e-09,
                    -0.000814201777,
                    -0.132062217,
                    -0.154268769,
                    0.0,
                    0.185373435,
                    0.841344746,
                    2.74180565,
                    7.0,
                ],
                [
                    -3.54687089e-08,
                    -0.00282176025,
                    -0.122661583,
                    0.13250488,
                    0.5,
                    0.732327759,
                    1.08331549,
                    1.02202749,
                    1.0,
                ],
            ),
            (
                Activation::Silu,
                [
                    -0.0148357389,
                    -0.102592808,
                    -0.278375174,
                    -0.188770334,
                    0.0,
                    0.172332763,
                    0.731058579,
                    2.58476171,
                    6.99362264,
                ],
                [
                    -0.0123264324,
                    -0.0702733546,
                    0.00631915499,
                    0.260038823,
                    0.5,
                    0.647780001,
                    0.927670538,
                    1.09522307,
                    1.0054605,
                ],
            ),
        ];
        at_every_level(|level| {
            for (activation, outputs, slopes) in expected {
                let (mut values, mut gradient) = (inputs, [1.0; 9]);
                activate(activation, &mut values);
                gradient_from_input(activation, &inputs, &mut gradient);
                for (found, expected) in values.iter().chain(&gradient).zip(outputs.iter().chain(&slopes)) {
                    let error = (f64::from(*found) - expected).abs();
                    assert!(error < 3e-7 * f64::max(1.0, expected.abs()), "{level}, {activation:?}: {found}");
                }
            }
        });
    }

    #[test]
    fn the_ends_are_held_and_nan_stays() {
        assert!(exp(-1e9) > 0.0 && exp(1e9).is_finite() && exp(f32::NAN).is_nan());
        assert_eq!((sigmoid(1e9), tanh(1e9), tanh(-1e9), tanh(0.0)), (1.0, 1.0, -1.0, 0.0));
        assert_eq!((gelu(1e9), silu(1e9)), ((1e9, 1.0), (1e9, 1.0)));
        assert!(gelu(-1e9).0.abs() < 1e-20 && silu(-1e9).0.abs() < 1e-20);
        for activation in ALL {
            let mut values = [f32::NAN; 17];
            activate(activation, &mut values);
            assert!(values.iter().all(|x| x.is_nan()), "{activation:?}");
            let mut slopes = [1.0; 17];
            gradient_from_input(activation, &values, &mut slopes);
            let asked = !matches!(activation, Activation::Relu | Activation::Relu6 | Activation::LeakyRelu);
            assert!(!asked || slopes.iter().all(|x| x.is_nan()), "{activation:?}");
        }
    }

    #[test]
    fn derivatives_follow_central_differences() {
        for activation in ALL {
            let value = |x: f64| match activation {
                Activation::Relu => x.max(0.0),
                Activation::Relu6 => x.clamp(0.0, 6.0),
                Activation::LeakyRelu => x.max(0.01 * x),
                Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
                Activation::Tanh => x.tanh(),
                Activation::Gelu => x * normal64(x),
                Activation::Silu => x / (1.0 + (-x).exp()),
            };
            let inputs: Vec<f32> = (-40..80).map(|n| n as f32 * 0.1 + 0.05).collect();
            let mut outputs = inputs.clone();
            activate(activation, &mut outputs);
            let (mut has_gradient_of_output, mut from_input) = (vec![1.0; inputs.len()], vec![1.0; inputs.len()]);
            gradient(activation, &outputs, &mut has_gradient_of_output);
            gradient_from_input(activation, &inputs, &mut from_input);
            for ((&x, &by_output), &by_input) in inputs.iter().zip(&has_gradient_of_output).zip(&from_input) {
                let (x, h) = (f64::from(x), 1e-6);
                let expected = (value(x + h) - value(x - h)) / (2.0 * h);
                let near = |found: f32| (f64::from(found) - expected).abs() < 1e-6;
                assert!(near(by_input), "{activation:?} at {x}: {by_input} for {expected}");
                let by_output_known =
                    if activation.has_gradient_of_output() { near(by_output) } else { by_output.is_nan() };
                assert!(by_output_known, "{activation:?} at {x}: {by_output} for {expected}");
            }
        }
    }
}
