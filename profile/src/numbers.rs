//! Where do the numbers of a column lie? Moments, quantiles and a histogram of numbers as they stream by.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use super::Histogram;
use super::state::{NumbersState, SampleState};
use crate::hash::{hash_integer, nanoseconds};

/// Values up to which quantiles are exact in a table of few columns.
pub(crate) const SAMPLE_MAX: usize = 50_000;

/// Shares of which the quantiles are kept.
const SHARES: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

const BINS: usize = 20;

/// Values whose sum is taken at once: short sums lose few digits.
const BLOCK: usize = 1024;

/// The values of a column of numbers or dates (as seconds since 1970 UTC), NaN where there is none; nothing for others.
pub fn as_numbers(array: &dyn Array) -> Option<Vec<f64>> {
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

/// Larger numbers are no origin: the distance of another one could leave the range.
const ORIGIN_MAX: f64 = 1e150;

/// Figures of the finite numbers seen.
pub(crate) struct Numbers {
    pub(crate) infinite: u64,
    count: u64,
    min: f64,
    max: f64,
    /// The first number: distances from it keep the digits that numbers far from zero would lose.
    origin: f64,
    /// Mean distance from the origin.
    mean: f64,
    /// Sum of the squared distances from the mean.
    squares: f64,
    sample: Sample,
}

/// What is known of the numbers at the end.
pub(crate) struct Summary {
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) mean: f64,
    pub(crate) std: Option<f64>,
    pub(crate) quantiles: Vec<(f64, f64)>,
    pub(crate) histogram: Histogram,
}

impl Numbers {
    /// Figures from a sample of at most `sample_max` values.
    pub(crate) fn new(sample_max: usize) -> Self {
        Self {
            infinite: 0,
            count: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            origin: 0.0,
            mean: 0.0,
            squares: 0.0,
            sample: Sample::new(sample_max),
        }
    }

    /// Adds values; NaN is none.
    pub(crate) fn add(&mut self, values: &[f64]) {
        for block in values.chunks(BLOCK) {
            self.add_block(block);
        }
    }

    fn add_block(&mut self, values: &[f64]) {
        if self.count == 0 {
            let first = values.iter().find(|value| value.is_finite());
            self.origin = first.copied().filter(|value| value.abs() < ORIGIN_MAX).unwrap_or(0.0);
        }
        let origin = self.origin;
        let (mut count, mut sum) = (0_u64, 0.0);
        for &value in values {
            if value.is_finite() {
                count += 1;
                sum += value - origin;
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
        let distances = || values.iter().filter(|value| value.is_finite()).map(|value| value - origin);
        // The sum of numbers near the end of the range leaves it, their mean does not.
        let mean = if f64::is_finite(sum) { sum / n } else { distances().map(|distance| distance / n).sum() };
        let squares: f64 = distances().map(|distance| (distance - mean) * (distance - mean)).sum();
        self.merge(n, mean, squares);
        self.count += count;
    }

    /// Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
    fn merge(&mut self, n: f64, mean: f64, squares: f64) {
        let before = self.count as f64;
        let all = before + n;
        let delta = mean - self.mean;
        self.squares += squares + delta * delta * (before * n / all);
        self.mean = match delta.is_finite() {
            true => self.mean + delta * (n / all),
            false => self.mean * (before / all) + mean * (n / all),
        };
    }

    /// Memory that they take, about.
    pub(crate) fn bytes(&self) -> usize {
        self.sample.values.capacity() * size_of::<f64>()
    }

    /// What others have to know to go on.
    pub(crate) fn state(self) -> NumbersState {
        NumbersState {
            infinite: self.infinite,
            count: self.count,
            min: self.min,
            max: self.max,
            origin: self.origin,
            mean: self.mean,
            squares: self.squares,
            sample: Some(SampleState { seen: self.sample.seen, values: self.sample.values }),
        }
    }

    /// Adds the figures of other numbers.
    pub(crate) fn merge_state(&mut self, other: NumbersState) {
        self.infinite += other.infinite;
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            self.origin = other.origin;
        }
        self.merge(other.count as f64, (other.origin - self.origin) + other.mean, other.squares);
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        if let Some(sample) = other.sample {
            self.sample.merge(sample);
        }
    }

    /// The figures, or nothing if there was no finite number.
    pub(crate) fn finish(mut self) -> Option<Summary> {
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
            mean: (self.origin + self.mean).clamp(self.min, self.max),
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
pub struct Sample {
    /// What was taken so far, in no order.
    pub values: Vec<f64>,
    max: usize,
    seen: u64,
    /// Number of the next value that gets in.
    next: u64,
    weight: f64,
    random: u64,
}

impl Sample {
    /// A sample of `max` values.
    pub fn new(max: usize) -> Self {
        Self { values: Vec::new(), max: max.max(2), seen: 0, next: 0, weight: 1.0, random: 0 }
    }

    /// The next value of the stream.
    pub fn add(&mut self, value: f64) {
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

    /// Adds what another stream gave: each value that is kept comes from either with the probability of its share of the
    /// values that were seen.
    pub(crate) fn merge(&mut self, other: SampleState) {
        let (mut ours, mut theirs) = (std::mem::take(&mut self.values), other.values);
        let (mut seen_here, mut seen_there) = (self.seen, other.seen);
        self.seen += other.seen;
        while self.values.len() < self.max && !(ours.is_empty() && theirs.is_empty()) {
            let here = theirs.is_empty()
                || (!ours.is_empty() && self.uniform() * ((seen_here + seen_there) as f64) < seen_here as f64);
            let (from, seen) = if here { (&mut ours, &mut seen_here) } else { (&mut theirs, &mut seen_there) };
            let place = (self.uniform() * from.len() as f64) as usize;
            self.values.push(from.swap_remove(place.min(from.len() - 1)));
            *seen = seen.saturating_sub(1);
        }
        if self.values.len() == self.max {
            // What the weight of a sample of so many values is on average.
            self.weight = self.max as f64 / self.seen.max(1) as f64;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Date32Array, Date64Array, Decimal128Array, DictionaryArray, Float32Array, Int64Array, StringArray,
        TimestampMillisecondArray, TimestampNanosecondArray, UInt8Array,
    };
    use arrow::datatypes::Int8Type;

    use super::*;

    fn summary(values: &[f64]) -> Summary {
        let mut numbers = Numbers::new(SAMPLE_MAX);
        values.chunks(97).for_each(|chunk| numbers.add(chunk));
        numbers.finish().unwrap()
    }

    fn close(found: f64, expected: f64, what: &str) {
        assert!((found - expected).abs() <= 1e-12 * expected.abs(), "{what}: {found}, expected {expected}");
    }

    #[test]
    fn figures_are_those_of_numpy() {
        // x = [float((i*i) % 97) + 0.25*i for i in range(500)]; mean, std(ddof=1), quantile, histogram(x, 20) of numpy 2.4.6.
        let values: Vec<f64> = (0..500).map(|i| f64::from((i * i) % 97) + 0.25 * f64::from(i)).collect();
        let found = summary(&values);
        close(found.min, 0.0, "min");
        close(found.max, 212.0, "max");
        close(found.mean, 109.801, "mean");
        close(found.std.unwrap(), 46.62584140982711, "std");
        let quantiles = [9.707500000000001, 29.75, 75.25, 110.5, 144.25, 187.5, 203.2625];
        for ((share, value), expected) in found.quantiles.iter().zip(quantiles) {
            close(*value, expected, &share.to_string());
        }
        let counts = [6, 6, 17, 13, 25, 23, 28, 32, 34, 49, 40, 47, 35, 38, 25, 25, 21, 15, 13, 8];
        assert_eq!(found.histogram.counts, counts);
        close(found.histogram.edges[1], 10.6, "first edge");
        assert_eq!((found.histogram.edges[0], found.histogram.edges[20]), (0.0, 212.0));
    }

    #[test]
    fn large_small_and_huge_numbers_keep_their_figures() {
        // numpy 2.4.6: std(ddof=1) and mean of 1e9 + i % 7, i < 10000.
        let found = summary(&(0..10_000).map(|i| 1e9 + f64::from(i % 7)).collect::<Vec<_>>());
        close(found.std.unwrap(), 2.0000499143686383, "far from zero");
        close(found.mean, 1000000002.9994, "mean far from zero");
        // std([1, 2, 4], ddof=1) and std([-1, 0.5, 1], ddof=1) of numpy 2.4.6.
        close(summary(&[1e-300, 2e-300, 4e-300]).std.unwrap(), 1.5275252316519465e-300, "tiny");
        let huge = summary(&[-1e308, 0.5e308, 1e308]);
        close(huge.std.unwrap(), 1.0408329997330665e308, "huge");
        close(huge.mean, 1e308 / 6.0, "mean of huge");
        assert_eq!(huge.quantiles[3], (0.5, 0.5e308));
        assert_eq!(huge.histogram.counts.iter().sum::<u64>(), 3);
        assert!(huge.histogram.edges.iter().all(|edge| edge.is_finite()));
        let ends = summary(&[f64::MIN, f64::MAX]);
        assert!(ends.mean.abs() < 1e300 && ends.histogram.edges.is_sorted());
        assert_eq!(summary(&[0.1; 10]).mean, 0.1);
        assert_eq!(summary(&[0.1; 3000]).std, Some(0.0));
    }

    #[test]
    fn one_value_nothing_and_infinities() {
        let one = summary(&[7.0]);
        assert_eq!((one.min, one.max, one.mean, one.std), (7.0, 7.0, 7.0, None));
        assert!(one.quantiles.iter().all(|(_, value)| *value == 7.0));
        assert_eq!(one.histogram, Histogram { edges: vec![6.5, 7.5], counts: vec![1] });
        let mut numbers = Numbers::new(SAMPLE_MAX);
        numbers.add(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
        numbers.add(&[]);
        assert_eq!(numbers.infinite, 2);
        assert!(numbers.finish().is_none());
        assert_eq!(summary(&[1.0, f64::INFINITY, 3.0]).mean, 2.0);
        let next = summary(&[1.0, 1.0 + f64::EPSILON]);
        assert_eq!(next.histogram.counts, [2], "no room for twenty bins");
    }

    #[test]
    fn a_sample_stands_for_a_million_rows() {
        let values: Vec<f64> = (0..1_000_000).map(f64::from).collect();
        let mut numbers = Numbers::new(SAMPLE_MAX);
        numbers.add(&values);
        assert_eq!(numbers.sample.values.len(), SAMPLE_MAX, "memory has a bound");
        let found = numbers.finish().unwrap();
        close(found.mean, 499_999.5, "mean is exact");
        for (share, value) in &found.quantiles {
            // Four standard errors of a quantile of n uniform values: 4 * sqrt(q (1 - q) / n).
            let error = 4.0 * (share * (1.0 - share) / SAMPLE_MAX as f64).sqrt() * 1e6;
            assert!((value - share * 1e6).abs() < error, "{share}: {value}");
        }
        assert_eq!(found.histogram.counts.iter().sum::<u64>(), 1_000_000);
        assert!(found.histogram.counts.iter().all(|count| (46_000..54_000).contains(count)), "{:?}", found.histogram);
        assert_eq!((found.min, found.max), (0.0, 999_999.0));
    }

    #[test]
    fn every_type_of_number_and_date_is_read() {
        let check = |array: ArrayRef, expected: [f64; 2]| {
            let found = as_numbers(&array).unwrap();
            assert_eq!(found[..2], expected, "{:?}", array.data_type());
            assert!(found[2].is_nan());
        };
        check(Arc::new(Int64Array::from(vec![Some(-1), Some(2), None])), [-1.0, 2.0]);
        check(Arc::new(UInt8Array::from(vec![Some(0), Some(255), None])), [0.0, 255.0]);
        check(Arc::new(Float32Array::from(vec![Some(0.5), Some(-2.0), None])), [0.5, -2.0]);
        let decimals = Decimal128Array::from(vec![Some(125), Some(-5), None]).with_precision_and_scale(30, 2).unwrap();
        check(Arc::new(decimals), [1.25, -0.05]);
        check(Arc::new(Date32Array::from(vec![Some(1), Some(-1), None])), [86_400.0, -86_400.0]);
        check(Arc::new(Date64Array::from(vec![Some(1), Some(86_400_000), None])), [0.001, 86_400.0]);
        check(Arc::new(TimestampMillisecondArray::from(vec![Some(1_500), Some(0), None])), [1.5, 0.0]);
        check(Arc::new(TimestampNanosecondArray::from(vec![Some(3), Some(2_000_000_000), None])), [3e-9, 2.0]);
        let keys = arrow::array::Int8Array::from(vec![Some(1), Some(0), None]);
        let values = Arc::new(Int64Array::from(vec![10, 20]));
        check(Arc::new(DictionaryArray::<Int8Type>::new(keys, values)), [20.0, 10.0]);
        assert!(as_numbers(&StringArray::from(vec!["1"])).is_none());
    }
}
