//! Are two sets of values distributed alike? Tests for few values, distances for many.

/// Terms of a series; each is smaller than the one before.
const TERMS_MAX: usize = 500;

/// Two-sample Kolmogorov-Smirnov: the largest distance of the distribution functions, and the probability of one as large
/// among equal distributions (Stephens 1970, "Use of the Kolmogorov-Smirnov, Cramer-von Mises and Related Statistics
/// without extensive tables", with n = ab/(a+b)). Both sorted, neither empty.
pub(super) fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> (f64, f64) {
    let (n, m) = (a.len() as f64, b.len() as f64);
    let (mut i, mut j, mut most) = (0, 0, 0.0_f64);
    while i < a.len() && j < b.len() {
        let value = a[i].min(b[j]);
        while i < a.len() && a[i] <= value {
            i += 1;
        }
        while j < b.len() && b[j] <= value {
            j += 1;
        }
        most = most.max((i as f64 / n - j as f64 / m).abs());
    }
    let root = (n * m / (n + m)).sqrt();
    (most, kolmogorov_tail((root + 0.12 + 0.11 / root) * most))
}

/// The upper tail of Kolmogorov's distribution: 2 Σ (-1)^(k-1) exp(-2 k² x²).
fn kolmogorov_tail(x: f64) -> f64 {
    if x < 0.2 {
        return 1.0; // to twelve digits, where the series is slow
    }
    let mut sum = 0.0;
    for k in 1..=TERMS_MAX {
        let term = (-2.0 * (k as f64 * x).powi(2)).exp();
        sum += if k % 2 == 1 { term } else { -term };
        if term < 1e-16 {
            break;
        }
    }
    (2.0 * sum).clamp(0.0, 1.0)
}

/// Pearson's chi-square test that two rows of counts come from one distribution: the statistic and its probability.
pub(super) fn chi_square(a: &[u64], b: &[u64]) -> (f64, f64) {
    let total = |counts: &[u64]| counts.iter().sum::<u64>() as f64;
    let (n, m) = (total(a), total(b));
    let (mut statistic, mut kinds) = (0.0, 0_usize);
    for (&x, &y) in a.iter().zip(b).filter(|(x, y)| **x + **y > 0) {
        let both = (x + y) as f64;
        for (count, part) in [(x as f64, n), (y as f64, m)] {
            let expected = both * part / (n + m);
            statistic += (count - expected).powi(2) / expected;
        }
        kinds += 1;
    }
    let freedom = kinds.saturating_sub(1) as f64;
    let tail = if freedom == 0.0 { 1.0 } else { gamma_tail(freedom / 2.0, statistic / 2.0) };
    (statistic, tail)
}

/// Wasserstein distance of order one, in standard deviations of the reference. Both sorted, neither empty.
pub(super) fn normed_wasserstein(reference: &[f64], current: &[f64]) -> f64 {
    let (n, m) = (reference.len(), current.len());
    let (mut i, mut j, mut sum) = (0, 0, 0.0);
    let mut last = reference[0].min(current[0]);
    while i < n || j < m {
        let next = match (reference.get(i), current.get(j)) {
            (Some(a), Some(b)) => a.min(*b),
            (Some(a), None) => *a,
            (None, Some(b)) => *b,
            (None, None) => break,
        };
        sum += (i as f64 / n as f64 - j as f64 / m as f64).abs() * (next - last);
        last = next;
        while reference.get(i).is_some_and(|value| *value <= next) {
            i += 1;
        }
        while current.get(j).is_some_and(|value| *value <= next) {
            j += 1;
        }
    }
    let mean = reference.iter().sum::<f64>() / n as f64;
    let variance = reference.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n as f64;
    // A constant has no deviation: a thousandth stands in for it, as Evidently has it.
    sum / variance.sqrt().max(0.001)
}

/// Jensen-Shannon distance of two rows of counts: the root of the divergence in nats, 0 to 0.83.
pub(super) fn jensen_shannon(a: &[u64], b: &[u64]) -> f64 {
    let total = |counts: &[u64]| counts.iter().sum::<u64>().max(1) as f64;
    let (n, m) = (total(a), total(b));
    let towards = |p: f64, middle: f64| if p > 0.0 { p * (p / middle).ln() } else { 0.0 };
    let divergence: f64 = a
        .iter()
        .zip(b)
        .map(|(&x, &y)| {
            let (p, q) = (x as f64 / n, y as f64 / m);
            (towards(p, (p + q) / 2.0) + towards(q, (p + q) / 2.0)) / 2.0
        })
        .sum();
    divergence.max(0.0).sqrt()
}

/// The upper tail of the gamma distribution, Q(a, x): by its series below a + 1, by its continued fraction above
/// (Abramowitz and Stegun 1964, 6.5.29 and 6.5.31; the fraction as Lentz 1976 evaluates it).
fn gamma_tail(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let scale = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut k) = (1.0 / a, 1.0 / a, a);
        while term > sum * 1e-16 {
            k += 1.0;
            term *= x / k;
            sum += term;
        }
        return (1.0 - sum * scale).clamp(0.0, 1.0);
    }
    let tiny = 1e-300;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / tiny;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for k in 1..100_000 {
        let k = f64::from(k);
        let numerator = -k * (k - a);
        b += 2.0;
        d = 1.0 / (numerator * d + b).abs().max(tiny).copysign(numerator * d + b);
        c = b + numerator / c;
        let step = c * d;
        fraction *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    (fraction * scale).clamp(0.0, 1.0)
}

/// Stirling's series, after raising the argument to ten and more (Abramowitz and Stegun 1964, 6.1.40).
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut below) = (x, 0.0);
    while x < 10.0 {
        below += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = (1.0 / 12.0 - inverse * (1.0 / 360.0 - inverse * (1.0 / 1260.0 - inverse / 1680.0))) / x;
    (x - 0.5) * x.ln() - x + (2.0 * std::f64::consts::PI).ln() / 2.0 + series - below
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance * expected.abs().max(1e-12), "{found} for {expected}");
    }

    /// Values by scipy 1.17.1: `ks_2samp` (asymptotic), `kstwobign.sf`, `chi2.sf`, `chi2_contingency(correction=False)`,
    /// `wasserstein_distance` by numpy's `std`, `jensenshannon`.
    #[test]
    fn figures_are_those_of_scipy() {
        let sorted = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values
        };
        let a = sorted((0..101).map(|i| f64::from(i * 37 % 101) / 10.0).collect());
        let b = sorted((0..89).map(|i| f64::from(i * 53 % 89) / 8.0 + 0.7).collect());
        let (distance, p) = kolmogorov_smirnov(&a, &b);
        near(distance, 0.15997330070085658, 1e-12);
        near(p, 0.1616250728210038, 0.01); // both are approximations; exact it is 0.1540
        let close = sorted((0..89).map(|i| f64::from(i * 53 % 89) / 9.0 + 0.1).collect());
        near(kolmogorov_smirnov(&a, &close).1, 1.0, 1e-9);
        for (x, tail) in [
            (0.5, 0.9639452436648751),
            (1.0, 0.26999967167735456),
            (1.5, 0.022217962616525127),
            (2.0, 0.0006709252557796953),
        ] {
            near(kolmogorov_tail(x), tail, 1e-10);
        }
        for (x, freedom, tail) in [
            (1.0, 1.0, 0.31731050786291115),
            (3.84, 1.0, 0.05004352124870519),
            (10.0, 4.0, 0.04042768199451279),
            (50.0, 30.0, 0.01240206071890054),
            (300.0, 200.0, 5.924540335483916e-06),
            (2.0, 9.0, 0.9914676066288135),
        ] {
            near(gamma_tail(freedom / 2.0, x / 2.0), tail, 1e-9);
        }
        let (statistic, p) = chi_square(&[30, 40, 30, 0, 0], &[10, 60, 20, 10, 0]);
        near(statistic, 26.0, 1e-12);
        near(p, 9.537406942615968e-06, 1e-9);
        near(normed_wasserstein(&a, &b), 0.41159660434202117, 1e-10);
        near(normed_wasserstein(&[0.0, 1.0, 3.0], &[5.0, 6.0, 8.0]), 4.0089186286863665, 1e-12);
        near(jensen_shannon(&[30, 40, 30, 0], &[10, 60, 20, 10]), 0.275538384584147, 1e-12);
        near(jensen_shannon(&[1, 0], &[0, 1]), 0.8325546111576977, 1e-12);
    }

    #[test]
    fn the_same_values_are_alike_and_constants_do_no_harm() {
        let values: Vec<f64> = (0..50).map(f64::from).collect();
        assert_eq!(kolmogorov_smirnov(&values, &values), (0.0, 1.0));
        assert_eq!(normed_wasserstein(&values, &values), 0.0);
        assert_eq!(normed_wasserstein(&[2.0, 2.0], &[2.0]), 0.0);
        near(normed_wasserstein(&[2.0, 2.0], &[3.0]), 1000.0, 1e-12);
        assert_eq!(chi_square(&[7], &[9]), (0.0, 1.0));
        assert_eq!((jensen_shannon(&[3, 3], &[5, 5]), jensen_shannon(&[], &[])), (0.0, 0.0));
    }
}
