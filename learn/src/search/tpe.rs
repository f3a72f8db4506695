//! Tree-structured Parzen estimators (Bergstra, Bardenet, Bengio and Kegl, "Algorithms for hyper-parameter optimization",
//! NIPS 2011, section 4): the trials are divided into the good ones and the others; each parameter's density among either
//! is estimated; of some candidates drawn from the good ones' density, the one with the largest ratio of both densities,
//! which has the largest expected improvement, is taken.
//!
//! A number's density is a mixture of normal distributions cut off at the ends of its range, one at each trial, as wide as
//! the distance to its farther neighbour, and one as wide as the range, the prior. A choice's density is its share of the
//! trials with one more trial of each value, the prior. A parameter that a trial left no room for has no part in it.

use std::f64::consts::{PI, SQRT_2};

use crate::random::Stream;
use crate::spec::{RangeSpec, TpeSpec};

use super::space::{Parameter, Point, Space, unit};

/// Good trials at most: more would keep the search from going where few have been.
const GOOD_MAX: usize = 25;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tpe {
    spec: TpeSpec,
}

impl Tpe {
    pub(super) fn new(spec: &TpeSpec) -> Self {
        Self { spec: spec.clone() }
    }

    /// Trials at random before the first that learns from others.
    pub(super) fn startup(&self) -> usize {
        self.spec.startup.max(1)
    }

    /// A promising point, given all points and the scores of the first of them, lower is better. Those without a score
    /// (failed, or of the same batch) count as not good.
    pub(super) fn suggest(
        &self,
        space: &Space,
        points: &[Point],
        scores: &[Option<f64>],
        stream: Stream,
        draw: u64,
    ) -> Point {
        let (good, others) = self.divide(points, scores);
        let candidates = self.spec.candidates.max(1) as u64;
        let width = space.parameters.len() as u64;
        space.point(|at, parameter| {
            let of = |points: &[&Point]| points.iter().filter_map(|point| point[at]).collect::<Vec<f64>>();
            let (likely, unlikely) = (Density::new(parameter, &of(&good)), Density::new(parameter, &of(&others)));
            let candidate = |number: u64| {
                let counter = ((draw * candidates + number) * width + at as u64) * 2;
                let x = parameter.nearest(likely.draw(unit(stream, counter), unit(stream, counter + 1)));
                let place = likely.place(parameter, x);
                (likely.log(place) - unlikely.log(place), x)
            };
            let first = candidate(0);
            let better = |best: (f64, f64), next: (f64, f64)| if next.0 > best.0 { next } else { best };
            (1..candidates).map(candidate).fold(first, better).1
        })
    }

    /// The good trials and the others; of equals the earlier are better.
    fn divide<'a>(&self, points: &'a [Point], scores: &[Option<f64>]) -> (Vec<&'a Point>, Vec<&'a Point>) {
        let mut scored: Vec<(f64, usize)> =
            scores.iter().enumerate().filter_map(|(at, score)| Some(((*score)?, at))).collect();
        scored.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let good = (self.spec.good_share * scored.len() as f64).ceil() as usize;
        let mut is_good = vec![false; points.len()];
        scored.iter().take(good.clamp(1, GOOD_MAX)).for_each(|(_, at)| is_good[*at] = true);
        let part = |wanted: bool| {
            points.iter().zip(&is_good).filter(move |(_, is)| **is == wanted).map(|(point, _)| point).collect()
        };
        (part(true), part(false))
    }
}

/// How likely a value is.
enum Density {
    /// The share of each value.
    Shares(Vec<f64>),
    /// A mixture of normal distributions between two ends.
    Mixture { ends: (f64, f64), parts: Vec<Normal> },
}

#[derive(Debug, Clone, Copy)]
struct Normal {
    mean: f64,
    deviation: f64,
    /// Share of the distribution below the lower end, and between the ends.
    below: f64,
    between: f64,
}

impl Normal {
    fn new(mean: f64, deviation: f64, (low, high): (f64, f64)) -> Self {
        let below = share_below((low - mean) / deviation);
        let between = (share_below((high - mean) / deviation) - below).max(1e-12);
        Self { mean, deviation, below, between }
    }

    fn density(&self, x: f64) -> f64 {
        let z = (x - self.mean) / self.deviation;
        (-0.5 * z * z).exp() / (self.deviation * (2.0 * PI).sqrt() * self.between)
    }
}

impl Density {
    fn new(parameter: &Parameter, values: &[f64]) -> Self {
        let (low, high) = parameter.bounds();
        if matches!(parameter.range, RangeSpec::Values(_)) {
            let mut counts = vec![1.0; high as usize];
            values.iter().for_each(|x| counts[*x as usize] += 1.0);
            let all: f64 = counts.iter().sum();
            return Self::Shares(counts.into_iter().map(|count| count / all).collect());
        }
        let range = (high - low).max(f64::MIN_POSITIVE);
        let prior = (low + high) / 2.0;
        let mut means: Vec<f64> = values.iter().map(|x| parameter.to_scale(*x)).chain([prior]).collect();
        means.sort_by(f64::total_cmp);
        let narrowest = range / (means.len() as f64 + 1.0).min(100.0);
        let mut is_prior_left = true;
        let part = |at: usize| {
            let mean = means[at];
            if mean == prior && is_prior_left {
                is_prior_left = false;
                return Normal::new(prior, range, (low, high));
            }
            let left = mean - if at == 0 { low } else { means[at - 1] };
            let right = if at + 1 == means.len() { high } else { means[at + 1] } - mean;
            Normal::new(mean, left.max(right).clamp(narrowest, range), (low, high))
        };
        let parts = (0..means.len()).map(part).collect();
        Self::Mixture { ends: (low, high), parts }
    }

    /// A value from two numbers from 0 to below 1.
    fn draw(&self, which: f64, where_in: f64) -> f64 {
        match self {
            Self::Shares(shares) => {
                let mut rest = which;
                let found = shares.iter().position(|share| {
                    rest -= share;
                    rest < 0.0
                });
                found.unwrap_or(shares.len() - 1) as f64
            }
            Self::Mixture { ends: (low, high), parts } => {
                let part = parts[((which * parts.len() as f64) as usize).min(parts.len() - 1)];
                let z = quantile(part.below + where_in * part.between);
                (part.mean + part.deviation * z).clamp(*low, *high)
            }
        }
    }

    /// Where a number of the parameter's range is on the scale of the density.
    fn place(&self, parameter: &Parameter, x: f64) -> f64 {
        match self {
            Self::Shares(_) => x,
            Self::Mixture { .. } => parameter.to_scale(x),
        }
    }

    fn log(&self, x: f64) -> f64 {
        match self {
            Self::Shares(shares) => shares[(x as usize).min(shares.len() - 1)].ln(),
            Self::Mixture { parts, .. } => {
                let sum: f64 = parts.iter().map(|part| part.density(x)).sum();
                (sum / parts.len() as f64).max(f64::MIN_POSITIVE).ln()
            }
        }
    }
}

/// Share of the standard normal distribution below `z`.
fn share_below(z: f64) -> f64 {
    0.5 * (1.0 + error_function(z / SQRT_2))
}

/// The error function by its series (Abramowitz and Stegun 7.1.6), which is exact to some 14 digits where it is used; 1
/// beyond 6.
fn error_function(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-17 * sum.abs() && n < 400.0 {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

/// The number that a share `p` of the standard normal distribution is below, by halving an interval.
fn quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if share_below(middle) < p { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}
