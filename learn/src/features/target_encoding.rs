//! A category as the mean of the target, so that a training row never sees its own (Micci-Barreca 2001, "A preprocessing
//! scheme for high-cardinality categorical attributes", equation 3, with a count in place of the shrinkage's function).

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use super::column::Vocabulary;
use crate::random::permutation;
use crate::spec::TargetEncodingSpec;
use crate::{Error, Result, Target, Task};

/// Most classes, each of which is a number.
const CLASSES_MAX: usize = 100;

/// Most figures of a table.
const FIGURES_MAX: usize = 4_000_000;

/// Stream of the seed that draws the folds.
const FOLDS: u64 = 0x7a26_e7ed;

/// Means of the target per value of a category, from all training rows, and how training rows are divided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetTable {
    /// Rows that the mean of all rows weighs.
    pub smoothing: f32,
    /// Parts of the training rows.
    pub folds: usize,
    /// Draws the parts.
    pub seed: u64,
    /// Numbers per code: one, or one per class where there are several.
    width: usize,
    /// `[codes, width]`: of unknown values (the mean of all rows), missing ones, and each known value.
    means: Vec<f32>,
}

/// The target of training rows as what is averaged: `[rows, width]`.
pub(super) struct Averaged {
    width: usize,
    values: Vec<f64>,
}

impl Averaged {
    /// Numbers as they are, 1 for the second of two classes, one number per class of several.
    pub(super) fn of(target: &Target, train: &[RecordBatch]) -> Result<Self> {
        let truth = target.encode(train)?;
        let width = if target.task == Task::Multiclass { target.labels.len() } else { 1 };
        let values = match target.task {
            Task::Multiclass => {
                truth.iter().flat_map(|&t| (0..width).map(move |class| f64::from(t as usize == class))).collect()
            }
            Task::Regression | Task::Binary => truth.iter().map(|&t| f64::from(t)).collect(),
        };
        Ok(Self { width, values })
    }

    fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.width..][..self.width]
    }
}

/// Sums of the target per code.
struct Sums {
    rows: Vec<u64>,
    sums: Vec<f64>,
    all_rows: u64,
    all: Vec<f64>,
}

impl Sums {
    fn of(codes: &[i32], cardinality: usize, target: &Averaged, counts: impl Fn(usize) -> bool) -> Self {
        let width = target.width;
        let mut found = Self {
            rows: vec![0; cardinality],
            sums: vec![0.0; cardinality * width],
            all_rows: 0,
            all: vec![0.0; width],
        };
        for (row, &code) in codes.iter().enumerate().filter(|(row, _)| counts(*row)) {
            let code = code as usize;
            found.rows[code] += 1;
            found.all_rows += 1;
            let sums = &mut found.sums[code * width..][..width];
            for ((sum, all), value) in sums.iter_mut().zip(&mut found.all).zip(target.row(row)) {
                *sum += value;
                *all += value;
            }
        }
        found
    }

    /// Writes the smoothed means of a code.
    fn write(&self, code: usize, smoothing: f64, out: &mut [f32]) {
        let width = self.all.len();
        // A value that is not known says no more than that it is a row.
        let rows = if code == Vocabulary::UNKNOWN as usize { 0 } else { self.rows[code] } as f64;
        for ((slot, sum), all) in out.iter_mut().zip(&self.sums[code * width..]).zip(&self.all) {
            let mean = all / self.all_rows.max(1) as f64;
            *slot = match rows + smoothing > 0.0 && rows > 0.0 {
                true => (sum + smoothing * mean) / (rows + smoothing),
                false => mean,
            } as f32;
        }
    }
}

impl TargetTable {
    /// Fits the means of the codes of the training rows.
    pub(super) fn fit(
        column: &str,
        spec: TargetEncodingSpec,
        codes: &[i32],
        cardinality: usize,
        target: &Averaged,
    ) -> Result<Self> {
        let TargetEncodingSpec { smoothing, folds, seed } = spec;
        let width = target.width;
        let refuse = |what: String| Err(Error::invalid(format!("column \"{column}\": {what}")));
        if !(smoothing >= 0.0 && smoothing.is_finite()) {
            return refuse(format!("smoothing is {smoothing}, expected a number of rows from 0 on"));
        }
        if !(2..=100).contains(&folds) {
            return refuse(format!("folds is {folds}, expected 2 to 100"));
        }
        if codes.len() < 2 {
            return refuse("one training row has no other to take the target of".into());
        }
        if width > CLASSES_MAX || cardinality * width > FIGURES_MAX {
            return refuse(format!(
                "encoding by a target of {width} classes takes {} figures, at most {CLASSES_MAX} classes and {FIGURES_MAX} \
                 figures are kept; lower values_max or take another encoding",
                cardinality * width
            ));
        }
        let sums = Sums::of(codes, cardinality, target, |_| true);
        let smoothing = smoothing as f32;
        let mut means = vec![0.0; cardinality * width];
        for (code, out) in means.chunks_exact_mut(width).enumerate() {
            sums.write(code, f64::from(smoothing), out);
        }
        Ok(Self { smoothing, folds, seed, width, means })
    }

    /// Numbers per code.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Whether it has figures for so many codes.
    pub(super) fn fits(&self, cardinality: usize) -> bool {
        self.width > 0 && (2..=100).contains(&self.folds) && self.means.len() == cardinality * self.width
    }

    /// The means of a code by all training rows.
    pub(crate) fn means(&self, code: i32) -> &[f32] {
        &self.means[code as usize * self.width..][..self.width]
    }

    /// Calls `set` with every training row and its means by the training rows of all other parts.
    pub(super) fn cross_fitted(&self, codes: &[i32], target: &Averaged, set: &mut dyn FnMut(usize, &[f32])) {
        let fold = fold_of(codes.len(), self.folds, self.seed);
        let mut means = vec![0.0; self.width];
        for part in 0..self.folds {
            // Summed anew without the part: taking its sums off again would leave traces of them in the last digits.
            let others = Sums::of(codes, self.means.len() / self.width, target, |row| fold[row] != part);
            for (row, &code) in codes.iter().enumerate().filter(|(row, _)| fold[*row] == part) {
                others.write(code as usize, f64::from(self.smoothing), &mut means);
                set(row, &means);
            }
        }
    }
}

/// The part of each training row: parts differ by one row at most.
pub(super) fn fold_of(rows: usize, folds: usize, seed: u64) -> Vec<usize> {
    let mut fold = vec![0; rows];
    for (place, row) in permutation(seed, FOLDS, rows as u32).into_iter().enumerate() {
        fold[row as usize] = place % folds;
    }
    fold
}
