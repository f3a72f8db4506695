//! How are numbers spread? Moments of all, quantiles and a histogram of a random sample, exact where it holds all.

use super::Histogram;
use crate::hash::mix;

/// Shares for which quantiles are stated.
pub(super) const SHARES: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];
/// Bins of a histogram.
const BINS: usize = 20;
/// Whole numbers over no more than this range get a bin each.
const WHOLE_BINS_MAX: f64 = 30.0;

/// Takes in finite numbers.
pub(super) struct Numbers {
    count: u64,
    mean: f64,
    /// Sum of squared distances from the mean (Welford 1962).
    squares: f64,
    min: f64,
    max: f64,
    whole: bool,
    sample: Sample,
}

impl Numbers {
    /// Keeps `capacity` numbers for the quantiles.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            count: 0,
            mean: 0.0,
            squares: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            whole: true,
            sample: Sample::new(capacity),
        }
    }

    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1;
        let distance = value - self.mean;
        self.mean += distance / self.count as f64;
        self.squares += distance * (value - self.mean);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.whole = self.whole && value.fract() == 0.0;
        self.sample.add(value);
    }

    pub(super) fn finish(mut self) -> Figures {
        if self.count == 0 {
            return Figures::default();
        }
        self.sample.values.sort_unstable_by(f64::total_cmp);
        let quantiles = SHARES.iter().map(|&share| (share, quantile(&self.sample.values, share))).collect();
        let deviation = (self.squares / (self.count.max(2) - 1) as f64).sqrt();
        Figures {
            min: Some(self.min),
            max: Some(self.max),
            mean: Some(self.mean),
            std: Some(if self.count > 1 { deviation } else { 0.0 }),
            quantiles,
            histogram: Some(self.histogram()),
        }
    }

    fn histogram(&self) -> Histogram {
        let range = self.max - self.min;
        let (low, width, bins) = match (range, self.whole) {
            (range, _) if range == 0.0 || !range.is_finite() => (self.min - 0.5, range.max(1.0), 1),
            (range, true) if range < WHOLE_BINS_MAX => (self.min - 0.5, 1.0, range as usize + 1),
            (range, _) => (self.min, range / BINS as f64, BINS),
        };
        let mut edges: Vec<f64> = (0..=bins).map(|edge| low + width * edge as f64).collect();
        if let (BINS, Some(last)) = (bins, edges.last_mut()) {
            *last = last.max(self.max);
        }
        let mut counts = vec![0u64; bins];
        for value in &self.sample.values {
            let bin = ((value - low) / width) as usize;
            counts[bin.min(bins - 1)] += 1;
        }
        let scale = self.count as f64 / self.sample.values.len() as f64;
        counts.iter_mut().for_each(|count| *count = (*count as f64 * scale).round() as u64);
        Histogram { edges, counts }
    }
}

/// What is stated about numbers.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) mean: Option<f64>,
    pub(super) std: Option<f64>,
    pub(super) quantiles: Vec<(f64, f64)>,
    pub(super) histogram: Option<Histogram>,
}

/// Between the two nearest of sorted values (type 7 of Hyndman and Fan 1996).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// A uniform sample of a stream: algorithm L (Li 1994), with a seed of its own so that profiles repeat.
struct Sample {
    values: Vec<f64>,
    capacity: usize,
    /// Values to pass over before the next is taken.
    skip: u64,
    weight: f64,
    state: u64,
}

impl Sample {
    fn new(capacity: usize) -> Self {
        Self { values: Vec::new(), capacity: capacity.max(1), skip: 0, weight: 1.0, state: 0x7469_6465 }
    }

    #[inline]
    fn add(&mut self, value: f64) {
        if self.values.len() < self.capacity {
            self.values.push(value);
            if self.values.len() == self.capacity {
                self.advance();
            }
        } else if self.skip > 0 {
            self.skip -= 1;
        } else {
            let index = (self.uniform() * self.capacity as f64) as usize;
            self.values[index.min(self.capacity - 1)] = value;
            self.advance();
        }
    }

    fn advance(&mut self) {
        self.weight *= (self.uniform().ln() / self.capacity as f64).exp();
        self.skip = (self.uniform().ln() / (-self.weight).ln_1p()).floor() as u64;
    }

    /// Above 0, below 1.
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        ((mix(self.state) >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(values: impl IntoIterator<Item = f64>, capacity: usize) -> Figures {
        let mut numbers = Numbers::new(capacity);
        values.into_iter().for_each(|value| numbers.add(value));
        numbers.finish()
    }

    #[test]
    fn figures_are_those_of_numpy() {
        // numpy: x = [1, 2, 3, 4, 10]; x.mean(), x.std(ddof=1), np.quantile(x, [.25, .5, .95])
        let found = figures([10.0, 1.0, 3.0, 2.0, 4.0], 100);
        assert_eq!((found.min, found.max, found.mean), (Some(1.0), Some(10.0), Some(4.0)));
        assert!((found.std.expect("a deviation") - 3.535_533_905_932_737_8).abs() < 1e-12);
        let quantile = |share: f64| found.quantiles.iter().find(|(q, _)| *q == share).expect("stated").1;
        assert_eq!((quantile(0.25), quantile(0.5)), (2.0, 3.0));
        assert!((quantile(0.95) - 8.8).abs() < 1e-12);
        let histogram = found.histogram.expect("a histogram");
        assert_eq!((histogram.counts.len(), histogram.counts.iter().sum::<u64>()), (10, 5));
        assert_eq!((histogram.edges[0], histogram.edges[10]), (0.5, 10.5));
    }

    #[test]
    fn one_number_and_none_are_fine() {
        let found = figures([3.5; 4], 100);
        assert_eq!(found.std, Some(0.0));
        assert_eq!(found.histogram, Some(Histogram { edges: vec![3.0, 4.0], counts: vec![4] }));
        assert_eq!(figures([], 100).histogram, None);
        assert_eq!(figures([f64::MAX, f64::MIN], 100).histogram.expect("a histogram").counts, [2]);
    }

    #[test]
    fn a_sample_stands_for_all() {
        let found = figures((0..1_000_000).map(f64::from), 10_000);
        for (share, value) in found.quantiles {
            assert!((value / 1e6 - share).abs() < 0.015, "{share}: {value}");
        }
        let counts = found.histogram.expect("a histogram").counts;
        assert_eq!(counts.len(), BINS);
        assert!(counts.iter().all(|&count| (43_000..57_000).contains(&count)), "{counts:?}");
        let again = figures((0..1_000_000).map(f64::from), 10_000);
        assert_eq!(again.histogram.expect("a histogram").counts, counts);
    }
}
