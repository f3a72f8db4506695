//! Where do the numbers of a column lie? Moments, quantiles and a histogram of numbers as they stream by.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use super::Histogram;
use crate::hash::{hash_integer, nanoseconds};

/// Values up to which quantiles are exact in a table of few columns.
pub(super) const SAMPLE_MAX: usize = 20_000;

/// Shares of which the quantiles are kept.
const SHARES: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

const BINS: usize = 20;

/// Values whose sum is taken at once: short sums lose few digits.
const BLOCK: usize = 1024;

/// The values of a column of numbers or dates (as seconds since 1970 UTC), NaN where there is none; nothing for others.
pub(crate) fn as_numbers(array: &dyn Array) -> Option<Vec<f64>> {
    let kind = match array.data_type() {
        DataType::Dictionary(_, values) => values,
        kind => kind,
    };
    let seconds = match kind {
        kind if kind.is_numeric() => return fill(cast(array, &DataType::Float64).ok()?.as_primitive::<Float64Type>()),
        DataType::Date32 => 86_400.0,
        DataType::Date64 => 1e-3,
        DataType::Timestamp(unit, _) => nanoseconds(*unit) as f64 / 1e9,
        _ => return None,
    };
    let whole = cast(array, &DataType::Int64).ok()?;
    let whole = whole.as_primitive::<Int64Type>();
    // Division by a power of ten rounds once, multiplication by its inverse twice.
    let scaled =
        |value: i64| if seconds < 1.0 { value as f64 / (1.0 / seconds).round() } else { value as f64 * seconds };
    let rows = 0..whole.len();
    Some(rows.map(|row| if whole.is_null(row) { f64::NAN } else { scaled(whole.value(row)) }).collect())
}

fn fill(array: &arrow::array::Float64Array) -> Option<Vec<f64>> {
    let mut values = array.values().to_vec();
    if array.null_count() > 0 {
        values.iter_mut().enumerate().filter(|(row, _)| array.is_null(*row)).for_each(|(_, value)| *value = f64::NAN);
    }
    Some(values)
}

/// Figures of the finite numbers seen.
pub(super) struct Numbers {
    pub(super) infinite: u64,
    count: u64,
    min: f64,
    max: f64,
    mean: f64,
    /// Sum of the squared distances from the mean.
    squares: f64,
    sample: Sample,
}

/// What is known of the numbers at the end.
pub(super) struct Summary {
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) mean: f64,
    pub(super) std: Option<f64>,
    pub(super) quantiles: Vec<(f64, f64)>,
    pub(super) histogram: Histogram,
}

impl Numbers {
    /// Figures from a sample of at most `sample_max` values.
    pub(super) fn new(sample_max: usize) -> Self {
        Self {
            infinite: 0,
            count: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            mean: 0.0,
            squares: 0.0,
            sample: Sample::new(sample_max),
        }
    }

    /// Adds values; NaN is none.
    pub(super) fn add(&mut self, values: &[f64]) {
        for block in values.chunks(BLOCK) {
            self.add_block(block);
        }
    }

    fn add_block(&mut self, values: &[f64]) {
        let (mut count, mut sum) = (0_u64, 0.0);
        for &value in values {
            if value.is_finite() {
                count += 1;
                sum += value;
                self.min = self.min.min(value);
                self.max = self.max.max(value);
                self.sample.add(value);
            } else if !value.is_nan() {
                self.infinite += 1;
            }
        }
        if count == 0 {
            return;
        }
        let n = count as f64;
        let finite = || values.iter().filter(|value| value.is_finite());
        // The sum of numbers near the end of the range leaves it, their mean does not.
        let mean = if f64::is_finite(sum) { sum / n } else { finite().map(|value| value / n).sum() };
        let squares: f64 = finite().map(|value| (value - mean) * (value - mean)).sum();
        self.merge(n, mean, squares);
        self.count += count;
    }

    /// Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
    fn merge(&mut self, n: f64, mean: f64, squares: f64) {
        let before = self.count as f64;
        let all = before + n;
        let delta = mean - self.mean;
        self.squares += squares + delta * delta * (before * n / all);
        // Not `mean + delta * n / all`: the difference of two numbers at the ends of the range is infinite.
        self.mean = (self.mean * (before / all) + mean * (n / all)).clamp(self.min, self.max);
    }

    /// The figures, or nothing if there was no finite number.
    pub(super) fn finish(mut self) -> Option<Summary> {
        if self.count == 0 {
            return None;
        }
        let sorted = &mut self.sample.values;
        sorted.sort_unstable_by(f64::total_cmp);
        let std = (self.count > 1).then(|| match (self.squares / (self.count - 1) as f64).sqrt() {
            std if (std.is_finite() && self.squares > 1e-290) || self.min == self.max => std,
            // The squares left the range of numbers: from the sample, in units of the largest.
            _ => std_scaled(sorted, self.min.abs().max(self.max.abs())),
        });
        Some(Summary {
            min: self.min,
            max: self.max,
            mean: self.mean,
            std: std.filter(|std| std.is_finite()),
            quantiles: SHARES.map(|share| (share, quantile(sorted, share))).to_vec(),
            histogram: histogram(sorted, self.min, self.max, self.count),
        })
    }
}

fn std_scaled(values: &[f64], unit: f64) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().map(|value| value / unit).sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value / unit - mean).powi(2)).sum();
    (squares / (n - 1.0)).sqrt() * unit
}

/// Interpolated between the two nearest values (method 7 of Hyndman and Fan 1996, the default of numpy and R).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    let part = place.fract();
    match high - low {
        gap if gap.is_finite() => low + gap * part,
        _ => low * (1.0 - part) + high * part,
    }
}

/// Bins of equal width from the lowest to the highest value; one bin if they are the same.
fn histogram(sorted: &[f64], min: f64, max: f64, count: u64) -> Histogram {
    // Halves, because the difference of two numbers at the ends of the range is infinite.
    let width = max / 2.0 - min / 2.0;
    if width <= 0.0 || (width / BINS as f64) * 2.0 + min == min {
        let margin = (min.abs() * 1e-3).max(0.5);
        return Histogram { edges: vec![min - margin, max + margin], counts: vec![count] };
    }
    let edges: Vec<f64> = (0..=BINS)
        .map(|edge| match edge as f64 / BINS as f64 {
            0.0 => min,
            1.0 => max,
            part => min + width * part + width * part,
        })
        .collect();
    let mut counts = vec![0; BINS];
    let (mut below, mut scaled) = (0, 0);
    for (bin, to) in counts.iter_mut().enumerate() {
        let next = match bin + 1 {
            BINS => sorted.len(),
            edge => sorted.partition_point(|value| *value < edges[edge]),
        };
        below = next.max(below);
        // Rounds the sums, not the bins, so that the bins add up.
        let all = (u128::from(count) * below as u128 / sorted.len() as u128) as u64;
        *to = all - scaled;
        scaled = all;
    }
    Histogram { edges, counts }
}

/// A random sample of a stream: algorithm L of Li 1994, "Reservoir-sampling algorithms of time complexity
/// O(n(1 + log(N/n)))", with a fixed seed.
struct Sample {
    values: Vec<f64>,
    max: usize,
    seen: u64,
    /// Number of the next value that gets in.
    next: u64,
    weight: f64,
    random: u64,
}

impl Sample {
    fn new(max: usize) -> Self {
        Self { values: Vec::new(), max: max.max(2), seen: 0, next: 0, weight: 1.0, random: 0 }
    }

    fn add(&mut self, value: f64) {
        self.seen += 1;
        if self.values.len() < self.max {
            self.values.push(value);
            if self.values.len() == self.max {
                self.skip();
            }
        } else if self.seen == self.next {
            let place = (self.uniform() * self.max as f64) as usize;
            if let Some(old) = self.values.get_mut(place) {
                *old = value;
            }
            self.skip();
        }
    }

    fn skip(&mut self) {
        self.weight *= (self.uniform().ln() / self.max as f64).exp();
        let over = self.uniform().ln() / (-self.weight).ln_1p();
        self.next = self.seen.saturating_add(over as u64).saturating_add(1);
    }

    /// Between 0 and 1, without either.
    fn uniform(&mut self) -> f64 {
        self.random += 1;
        ((hash_integer(self.random) >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }
}
