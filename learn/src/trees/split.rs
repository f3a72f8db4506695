//! Where is a leaf best divided?

use super::bins::{FeatureBins, MISSING};
use super::histogram::{Histogram, Sums, Units};

/// What a split has to keep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limits {
    /// Rows of a leaf at least, counted by their share of the second derivatives.
    pub(crate) min_rows: usize,
    /// Sum of second derivatives of a leaf at least.
    pub(crate) min_hessian: f64,
    pub(crate) l2: f64,
    pub(crate) min_gain: f64,
}

/// A way to divide a leaf.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Split {
    /// What the loss falls by, times 2.
    pub(crate) gain: f64,
    /// The input, by its place among those in bins.
    pub(crate) slot: usize,
    /// Rows go left up to this bin.
    pub(crate) bin: u8,
    /// Rows without a value go left.
    pub(crate) missing_left: bool,
    pub(crate) left: Sums,
}

impl Split {
    /// The better of two; of equals the first.
    pub(crate) fn better(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) if other.gain > one.gain => Some(other),
            (None, other) => other,
            (one, _) => one,
        }
    }
}

/// A leaf's figures in the units of the histograms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf {
    total: Sums,
    l2: f64,
    min_hessian: i64,
    /// The score of the undivided leaf and what a split has to gain.
    min_score: f64,
    /// From a difference of scores to a gain.
    unit: f64,
    /// The undivided leaf's score.
    score: f64,
}

impl Leaf {
    /// A leaf of `rows` rows with these sums.
    pub(crate) fn new(total: Sums, rows: usize, units: Units, limits: &Limits) -> Self {
        let per_row = total.hessian as f64 / rows.max(1) as f64;
        let min_hessian = (limits.min_hessian / units.hessian).max((limits.min_rows as f64 - 0.5) * per_row);
        let l2 = limits.l2 / units.hessian;
        let unit = units.gradient * units.gradient / units.hessian;
        let score = score(total, l2);
        let min_hessian = (min_hessian.ceil() as i64).max(1);
        Self { total, l2, min_hessian, min_score: score + limits.min_gain / unit, unit, score }
    }

    /// Whether both sides of some split could be large enough.
    pub(crate) fn can_split(&self) -> bool {
        self.total.hessian / 2 >= self.min_hessian
    }

    /// The best split by one input: the formula of XGBoost (Chen and Guestrin 2016, equation 7) without the penalty per
    /// leaf. Missing values are tried on both sides (ibid., algorithm 3).
    pub(crate) fn best(&self, slot: usize, bins: &FeatureBins, histogram: &Histogram) -> Option<Split> {
        let count = bins.count();
        let absent = match bins.missing {
            true => Sums::unpack(histogram[usize::from(MISSING)]),
            false => Sums::default(),
        };
        let last = if bins.missing { count } else { count - 1 };
        let mut best = self.scan(&histogram[..last], Sums::default());
        let mut missing_left = false;
        if bins.missing
            && let Some(other) = self.scan(&histogram[..count - 1], absent)
            && best.is_none_or(|best| other.0 > best.0)
        {
            (best, missing_left) = (Some(other), true);
        }
        best.map(|(score, bin, left)| Split {
            gain: (score - self.score) * self.unit,
            slot,
            bin,
            // Where none was missing, later ones go with the most.
            missing_left: if bins.missing { missing_left } else { 2 * left.hessian >= self.total.hessian },
            left,
        })
    }

    fn scan(&self, histogram: &[u64], before: Sums) -> Option<(f64, u8, Sums)> {
        let mut left = before;
        let (mut most, mut best) = (self.min_score, None);
        let largest = self.total.hessian - self.min_hessian;
        for (bin, &pair) in histogram.iter().enumerate() {
            let sums = Sums::unpack(pair);
            left = Sums { gradient: left.gradient + sums.gradient, hessian: left.hessian + sums.hessian };
            if left.hessian < self.min_hessian {
                continue;
            }
            if left.hessian > largest {
                break;
            }
            let score = score(left, self.l2) + score(self.total.less(left), self.l2);
            if score > most {
                (most, best) = (score, Some((score, bin as u8, left)));
            }
        }
        best
    }
}

impl Sums {
    pub(crate) fn less(self, part: Self) -> Self {
        Self { gradient: self.gradient - part.gradient, hessian: self.hessian - part.hessian }
    }
}

fn score(sums: Sums, l2: f64) -> f64 {
    let gradient = sums.gradient as f64;
    gradient * gradient / (sums.hessian as f64 + l2)
}
