//! What the tests of kernels share: numbers, and derivatives of formulas in f64.

/// Numbers that are not round and differ from one another, from -1 to 1.
pub(super) fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|n| ((n * 37 + seed * 101) % 211) as f32 / 105.0 - 1.0).collect()
}

/// The same in f64.
pub(super) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| f64::from(*x)).collect()
}

/// Fails unless every number is within `tolerance` of what is expected, relative to numbers above 1.
pub(super) fn close(found: &[f32], expected: &[f64], tolerance: f64, place: &str) {
    assert_eq!(found.len(), expected.len(), "{place}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        assert!(error < tolerance * expected.abs().max(1.0), "{place} at {at}: {found} for {expected}");
    }
}

/// Checks gradients of `loss` with respect to each group of `values` against central differences, at about
/// `samples` places of each group.
pub(super) fn check_gradients(
    values: &[Vec<f32>],
    gradients: &[&[f32]],
    samples: usize,
    place: &str,
    loss: impl Fn(&[Vec<f64>]) -> f64,
) {
    assert_eq!(values.len(), gradients.len());
    let mut moved: Vec<Vec<f64>> = values.iter().map(|values| wide(values)).collect();
    for (group, gradient) in gradients.iter().enumerate() {
        assert_eq!(values[group].len(), gradient.len(), "{place}");
        for at in (0..gradient.len()).step_by(1 + gradient.len() / samples) {
            let before = moved[group][at];
            let mut at_distance = |by: f64| {
                moved[group][at] = before + by;
                loss(&moved)
            };
            let expected = (at_distance(1e-5) - at_distance(-1e-5)) / 2e-5;
            moved[group][at] = before;
            let error = (f64::from(gradient[at]) - expected).abs();
            let found = gradient[at];
            assert!(error < 2e-5 * expected.abs().max(1.0), "{place}, {group} at {at}: {found} for {expected}");
        }
    }
}

/// The sum of products.
pub(super) fn dot(values: &[f64], factors: &[f32]) -> f64 {
    values.iter().zip(factors).map(|(x, g)| x * f64::from(*g)).sum()
}

/// The share of the standard normal distribution below x: the series of erf near 0, Laplace's continued fraction
/// in the tail (Abramowitz and Stegun 26.2.10 and 26.2.14).
pub(crate) fn normal64(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x.abs() < 4.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= x * x / f64::from(2 * n + 1);
            sum += term;
        }
        return 0.5 + density * sum;
    }
    let fraction = (1..200).rev().fold(x.abs(), |below, n| x.abs() + f64::from(n) / below);
    if x < 0.0 { density / fraction } else { 1.0 - density / fraction }
}
