//! Where were good trials more often than others? The tree-structured Parzen estimator (Bergstra et al., "Algorithms for
//! hyper-parameter optimization", NIPS 2011, section 4), each dimension for itself, with the settings that Optuna 4 takes
//! by itself: the best tenth (25 at most) against the rest, a prior over the whole range, old trials counting less.

use super::space::{Kind, Space, share, stream};

/// Trials of the good ones at most, and the share of them.
const GOOD_MAX: usize = 25;
const GOOD_SHARE: f64 = 0.1;
/// Trials that count fully; older ones count less and less.
const RECENT: usize = 25;

/// The point for trial number `trial` by the points tried so far and what they cost.
pub(super) fn choose(
    space: &Space,
    points: &[Vec<f64>],
    costs: &[f64],
    candidates: usize,
    seed: u64,
    trial: usize,
) -> Vec<f64> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| costs[a].total_cmp(&costs[b]).then(a.cmp(&b)));
    let good = ((points.len() as f64 * GOOD_SHARE).ceil() as usize).clamp(1, GOOD_MAX).min(points.len());
    let (mut good, mut rest) = (order[..good].to_vec(), order[good..].to_vec());
    good.sort_unstable(); // by age, for the weights
    rest.sort_unstable();
    let stream = stream(seed, trial);
    let mut counter = 0;
    let mut random = move || {
        counter += 1;
        share(stream, counter)
    };
    let mut point = Vec::with_capacity(space.dimensions.len());
    for (at, dimension) in space.dimensions.iter().enumerate() {
        let of = |trials: &[usize]| trials.iter().map(|&trial| points[trial][at]).collect::<Vec<f64>>();
        let (good, rest) = (Parzen::new(&dimension.kind, of(&good)), Parzen::new(&dimension.kind, of(&rest)));
        let mut best = (f64::NEG_INFINITY, 0.0);
        for _ in 0..candidates.max(1) {
            let place = dimension.kind.round(good.draw(&mut random));
            let promise = good.log_density(place) - rest.log_density(place);
            if promise > best.0 {
                best = (promise, place);
            }
        }
        point.push(best.1);
    }
    point
}

/// A density over one dimension: a kernel for each trial, and one over the whole range.
enum Parzen<'a> {
    /// Normal distributions cut off at the bounds: (weight, mean, deviation).
    Normals { kind: &'a Kind, kernels: Vec<[f64; 3]> },
    /// The probability of each choice.
    Shares(Vec<f64>),
}

impl<'a> Parzen<'a> {
    fn new(kind: &'a Kind, places: Vec<f64>) -> Self {
        let weights = weights(places.len());
        match kind {
            Kind::Choice(values) => Self::Shares(shares(values.len(), &places, &weights)),
            Kind::Range { .. } => Self::Normals { kind, kernels: kernels(kind.bounds(), &places, &weights) },
        }
    }

    fn draw(&self, random: &mut impl FnMut() -> f64) -> f64 {
        let pick = |weights: &mut dyn Iterator<Item = f64>, share: f64| {
            let mut sum = 0.0;
            weights
                .take_while(|weight| {
                    sum += weight;
                    sum <= share
                })
                .count()
        };
        match self {
            Self::Shares(shares) => pick(&mut shares.iter().copied(), random()).min(shares.len() - 1) as f64,
            Self::Normals { kind, kernels } => {
                let chosen = pick(&mut kernels.iter().map(|kernel| kernel[0]), random()).min(kernels.len() - 1);
                let [_, mean, deviation] = kernels[chosen];
                let [low, high] = kind.bounds();
                let [from, to] = [low, high].map(|end| normal_below((end - mean) / deviation));
                let at = normal_quantile(from + random() * (to - from));
                (mean + deviation * at).clamp(low, high)
            }
        }
    }

    fn log_density(&self, place: f64) -> f64 {
        match self {
            Self::Shares(shares) => shares[place as usize].ln(),
            Self::Normals { kind, kernels } => {
                let [low, high] = kind.bounds();
                let density = kernels.iter().map(|&[weight, mean, deviation]| {
                    let below = |at: f64| normal_below((at - mean) / deviation);
                    let inside = (below(high) - below(low)).max(f64::MIN_POSITIVE);
                    let part = match cell(kind, place) {
                        Some([from, to]) => below(to) - below(from),
                        None => (-0.5 * ((place - mean) / deviation).powi(2)).exp() / deviation,
                    };
                    weight * part / inside
                });
                density.sum::<f64>().max(f64::MIN_POSITIVE).ln()
            }
        }
    }
}

/// What stands for the same whole number.
fn cell(kind: &Kind, place: f64) -> Option<[f64; 2]> {
    match kind {
        Kind::Range { whole: true, log: true, .. } => {
            let number = place.exp().round();
            Some([(number - 0.5).ln(), (number + 0.5).ln()])
        }
        Kind::Range { whole: true, .. } => Some([place - 0.5, place + 0.5]),
        _ => None,
    }
}

/// Of each trial, oldest first: 1 for the newest 25, from 1 / n rising to 1 for those before.
fn weights(n: usize) -> Vec<f64> {
    let old = n.saturating_sub(RECENT);
    let first = 1.0 / n.max(1) as f64;
    let step = if old > 1 { (1.0 - first) / (old - 1) as f64 } else { 0.0 };
    (0..n).map(|trial| if trial < old { first + step * trial as f64 } else { 1.0 }).collect()
}

/// A kernel for each trial, as wide as the larger gap to its neighbours; and the prior.
fn kernels([low, high]: [f64; 2], places: &[f64], weights: &[f64]) -> Vec<[f64; 3]> {
    let (range, middle) = ((high - low).max(f64::MIN_POSITIVE), (low + high) / 2.0);
    let mut sorted: Vec<f64> = places.iter().copied().chain([middle]).collect();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    // No kernel is a spike: with few trials little is known.
    let narrowest = range / (1.0 + count as f64).min(100.0);
    let deviation = |place: f64| {
        let at = sorted.partition_point(|other| *other < place);
        let before = if at == 0 { None } else { Some(place - sorted[at - 1]) };
        let after = sorted.get(at + 1).map(|next| next - place);
        // The ends of the range are no neighbours, as long as there are others.
        let gap = match (before, after) {
            (Some(before), Some(after)) => before.max(after),
            (Some(gap), None) | (None, Some(gap)) => gap,
            (None, None) => range,
        };
        gap.clamp(narrowest, range)
    };
    let sum = weights.iter().sum::<f64>() + 1.0;
    let own = places.iter().zip(weights).map(|(&place, weight)| [weight / sum, place, deviation(place)]);
    own.chain([[1.0 / sum, middle, range]]).collect()
}

/// The probability of each choice: a mixture of what each trial says, and of the prior, for which all are the same.
fn shares(choices: usize, places: &[f64], weights: &[f64]) -> Vec<f64> {
    let prior = 1.0 / (places.len() + 1) as f64;
    let sum = weights.iter().sum::<f64>() + 1.0;
    let mut shares = vec![1.0 / (sum * choices as f64); choices];
    for (&place, weight) in places.iter().zip(weights) {
        let row = 1.0 + prior * choices as f64;
        for (choice, share) in shares.iter_mut().enumerate() {
            let seen = if choice == place as usize { 1.0 } else { 0.0 };
            *share += weight / sum * (prior + seen) / row;
        }
    }
    shares
}

/// The standard normal distribution up to `x`: W. J. Cody's form is not needed where 1e-7 is enough (Abramowitz and
/// Stegun 1964, 7.1.26, has 1.5e-7).
fn normal_below(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series =
        t * (0.254_829_592 + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let tail = 0.5 * series * (-z * z).exp();
    if x > 0.0 { 1.0 - tail } else { tail }
}

/// The inverse of [`normal_below`] by halving: exact enough wherever it is, and never out of bounds.
fn normal_quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if normal_below(middle) < share { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}
