//! Random numbers of one row, one after another.

use crate::random::Stream;

/// Random numbers from the beginning of a stream on.
#[derive(Debug, Clone)]
pub(super) struct Draws {
    stream: Stream,
    drawn: u64,
    /// The second of a pair of normal numbers.
    spare: Option<f64>,
}

impl Draws {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, drawn: 0, spare: None }
    }

    fn next(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn - 1
    }

    /// From 0 to below 1.
    pub(super) fn uniform(&mut self) -> f64 {
        let counter = self.next();
        f64::from(self.stream.uniform(counter))
    }

    /// From `-most` to below `most`.
    pub(super) fn either_side(&mut self, most: f64) -> f64 {
        (2.0 * self.uniform() - 1.0) * most
    }

    /// A whole number from 0 to below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let counter = self.next();
        self.stream.below(counter, bound as u64) as usize
    }

    /// Of mean 0 and standard deviation 1 (Box and Muller 1958).
    pub(super) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let length = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        self.spare = Some(length * sine);
        length * cosine
    }

    /// Of the Gamma distribution with this shape, above 0, and scale 1 (Marsaglia and Tsang 2000).
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let lift = (1.0 - self.uniform()).powf(1.0 / shape);
            return self.gamma(shape + 1.0) * lift;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && (1.0 - self.uniform()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    /// Of the distribution Beta(alpha, alpha), from 0 to 1.
    pub(super) fn beta(&mut self, alpha: f64) -> f64 {
        let (a, b) = (self.gamma(alpha), self.gamma(alpha));
        // Of a tiny alpha both may be too small for an f64: then it is one or the other.
        if a + b > 0.0 { a / (a + b) } else { f64::from(u8::from(self.uniform() < 0.5)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of 20,000 numbers.
    fn moments(mut draw: impl FnMut(&mut Draws) -> f64) -> (f64, f64) {
        let mut draws = Draws::new(Stream::new(3, 5));
        let numbers: Vec<f64> = (0..20_000).map(|_| draw(&mut draws)).collect();
        let mean = numbers.iter().sum::<f64>() / 2e4;
        (mean, numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2e4)
    }

    #[test]
    fn numbers_have_mean_and_variance_of_their_distribution() {
        let check = |name: &str, found: (f64, f64), mean: f64, variance: f64| {
            // Four standard errors of the mean; the variance to a twentieth.
            let off = (found.0 - mean).abs() < 4.0 * (variance / 2e4).sqrt();
            assert!(off && (found.1 / variance - 1.0).abs() < 0.05, "{name}: {found:?}");
        };
        check("uniform", moments(Draws::uniform), 0.5, 1.0 / 12.0);
        check("either side", moments(|d| d.either_side(3.0)), 0.0, 3.0);
        check("normal", moments(Draws::normal), 0.0, 1.0);
        check("below", moments(|d| d.below(7) as f64), 3.0, 4.0);
        for shape in [0.3, 1.0, 4.0] {
            check("gamma", moments(|d| d.gamma(shape)), shape, shape);
        }
        for alpha in [0.2, 1.0, 3.0] {
            check("beta", moments(|d| d.beta(alpha)), 0.5, 0.25 / (2.0 * alpha + 1.0));
        }
    }
}
