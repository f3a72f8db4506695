//! Between which values of an input may a tree split? Bins hold about as many training rows each, so that a histogram of
//! one byte per value has the quantiles for thresholds (LightGBM, Ke et al. 2017, section 2).

use rayon::prelude::*;

use super::histogram::Block;
use super::inputs::{Inputs, Ranks, Source, Terms};
use crate::features::Encoded;
use crate::random::Stream;

/// The bin of missing values.
pub(crate) const MISSING: u8 = u8::MAX;
/// Rows that thresholds are taken from; of more a sample of this size is drawn.
const SAMPLE_ROWS: usize = 200_000;
/// Rows of the sample that a bin has at least, where there are more values than bins.
const ROWS_PER_BIN: usize = 3;
/// The stream of random numbers that draws the sample.
const SAMPLE_STREAM: u64 = 0x6269_6e73;

/// The thresholds of one input. A value lies in the first bin whose threshold is not below it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FeatureBins {
    /// The input.
    pub(crate) feature: u32,
    /// Ascending; one fewer than there are bins.
    pub(crate) thresholds: Vec<f32>,
    /// Whether values are missing among the training rows.
    pub(crate) missing: bool,
}

impl FeatureBins {
    /// Bins of values that are not missing.
    pub(crate) fn count(&self) -> usize {
        self.thresholds.len() + 1
    }

    pub(crate) fn bin(&self, x: f32) -> u8 {
        if x.is_nan() {
            return MISSING;
        }
        self.thresholds.partition_point(|&threshold| threshold < x) as u8
    }
}

/// Thresholds of a sample for at most `bins` bins.
pub(crate) fn thresholds(mut sample: Vec<f32>, bins: usize) -> Vec<f32> {
    sample.sort_unstable_by(f32::total_cmp);
    let mut values: Vec<(f32, usize)> = Vec::new();
    for x in sample {
        match values.last_mut() {
            Some((value, count)) if *value == x => *count += 1,
            _ => values.push((x, 1)),
        }
    }
    let ends: Vec<usize> = match values.len() {
        0 | 1 => return Vec::new(),
        few if few <= bins => (0..few - 1).collect(),
        _ => quantiles(&values, bins),
    };
    ends.into_iter().map(|end| between(values[end].0, values[end + 1].0)).collect()
}

/// The last value of each bin but the last: frequent values have bins of their own, the others share what is left.
fn quantiles(values: &[(f32, usize)], bins: usize) -> Vec<usize> {
    let total: usize = values.iter().map(|(_, count)| count).sum();
    let bins = bins.min(total / ROWS_PER_BIN).max(2);
    let (mut rest, mut left) = (total, bins);
    let is_frequent: Vec<bool> = values.iter().map(|(_, count)| *count * bins >= total).collect();
    for (&(_, count), _) in values.iter().zip(&is_frequent).filter(|(_, frequent)| **frequent) {
        rest -= count;
        left -= 1;
    }
    let (mut ends, mut filled) = (Vec::with_capacity(bins - 1), 0);
    for (at, &(_, count)) in values[..values.len() - 1].iter().enumerate() {
        filled += count;
        if !is_frequent[at] {
            rest -= count;
        }
        let mean = (rest + if is_frequent[at] { 0 } else { filled }) as f64 / left.max(1) as f64;
        let closes =
            is_frequent[at] || filled as f64 >= mean || (is_frequent[at + 1] && filled as f64 >= (mean * 0.5).max(1.0));
        if closes {
            ends.push(at);
            if !is_frequent[at] {
                left = left.saturating_sub(1);
            }
            filled = 0;
            if ends.len() == bins - 1 {
                break;
            }
        }
    }
    ends
}

/// A number from `low` to below `high`, in the middle if it can be.
fn between(low: f32, high: f32) -> f32 {
    let middle = low + (high - low) * 0.5;
    if middle >= low && middle < high { middle } else { low }
}

/// The training rows in bins: each input on its own for dividing rows, and in blocks row by row for histograms. Inputs that
/// no split could use are left out.
#[derive(Debug)]
pub(crate) struct Binned {
    pub(crate) features: Vec<FeatureBins>,
    /// `[features][rows]`.
    pub(crate) columns: Vec<Vec<u8>>,
    pub(crate) blocks: Vec<Block>,
}

/// Which rows are put into bins, and how finely.
pub(crate) struct Binning<'a> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) ranks: &'a [Ranks],
    pub(crate) encoded: &'a Encoded,
    pub(crate) rows: &'a [u32],
    pub(crate) bins: usize,
    pub(crate) min_rows: usize,
    pub(crate) seed: u64,
}

impl Binned {
    /// Finds the thresholds of training rows and puts the rows into their bins.
    pub(crate) fn fit(of: &Binning) -> Self {
        let (rows, terms) = (of.rows, transposed(of.encoded, of.rows));
        let sample: Vec<u32> = match rows.len() <= SAMPLE_ROWS {
            true => Vec::new(),
            false => {
                let stream = Stream::new(of.seed, SAMPLE_STREAM);
                let (count, each) = (rows.len() as u64, SAMPLE_ROWS as u64);
                let start = |n: u64| n * count / each;
                (0..each).map(|n| (start(n) + stream.below(n, start(n + 1) - start(n))) as u32).collect()
            }
        };
        let fit = |(feature, source): (usize, Source)| {
            let values = of.inputs.column(of.ranks, of.encoded, &terms, rows, source);
            let present: Vec<f32> = match sample.is_empty() {
                true => values.iter().copied().filter(|x| !x.is_nan()).collect(),
                false => sample.iter().map(|&at| values[at as usize]).filter(|x| !x.is_nan()).collect(),
            };
            let missing = values.iter().any(|x| x.is_nan());
            let bins = FeatureBins { feature: feature as u32, thresholds: thresholds(present, of.bins), missing };
            if bins.thresholds.is_empty() && !missing {
                return None;
            }
            let column: Vec<u8> = values.iter().map(|&x| bins.bin(x)).collect();
            let mut counts = [0usize; 256];
            column.iter().for_each(|&bin| counts[usize::from(bin)] += 1);
            let most = counts.into_iter().max().unwrap_or(0);
            (rows.len() - most >= of.min_rows.max(1)).then_some((bins, column))
        };
        let sources = of.inputs.sources();
        let found: Vec<_> = sources.into_par_iter().enumerate().filter_map(fit).collect();
        let (features, columns): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        let blocks = Block::divide(&columns, rows.len());
        Self { features, columns, blocks }
    }

    /// Other rows in the same bins: `[features][rows]`.
    pub(crate) fn columns_of(&self, inputs: &Inputs, ranks: &[Ranks], encoded: &Encoded, rows: &[u32]) -> Vec<Vec<u8>> {
        let (sources, terms) = (inputs.sources(), transposed(encoded, rows));
        let column = |bins: &FeatureBins| {
            let values = inputs.column(ranks, encoded, &terms, rows, sources[bins.feature as usize]);
            values.into_iter().map(|x| bins.bin(x)).collect()
        };
        self.features.par_iter().map(column).collect()
    }
}

fn transposed(encoded: &Encoded, rows: &[u32]) -> Vec<Terms> {
    encoded.bags.iter().map(|block| Terms::new(block, rows)).collect()
}
