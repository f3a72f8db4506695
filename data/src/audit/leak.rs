//! Does a feature give the target away? Then it was probably made from it, and is not known when it matters.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use arrow::array::Array;
use profile::hash::{MISSING, hash_column};
use profile::{Already, ColumnKind, ColumnProfile};

use super::table::{ROWS_MIN, Table};
use super::words::percent;
use super::{Finding, Severity};

/// A correlation or an accuracy above this is too good to be true.
const TOO_GOOD: f64 = 0.999;

/// Columns with more different values are not tried as a table from value to class.
const VALUES_MAX: usize = 1_000;

/// Classes times values that are counted.
const CELLS_MAX: usize = 1_000_000;

/// Rows after which it is looked whether a column is out already.
const STEP: usize = 4_096;

type Codes = HashMap<u64, usize, BuildHasherDefault<Already>>;

pub(super) fn check(table: &Table, findings: &mut Vec<Finding>) {
    let Some(target) = table.target_profile() else { return };
    if table.rows < ROWS_MIN || target.distinct < 2 {
        return;
    }
    let classes = Classes::new(table);
    let values = target_values(table, classes.as_ref());
    let candidates: Vec<(usize, &ColumnProfile)> =
        table.features().filter(|(index, _)| !table.identifiers.contains(index)).collect();
    for &(index, column) in &candidates {
        let accuracy = classes.as_ref().and_then(|classes| classes.accuracy(table, index, column));
        if let Some(accuracy) = accuracy.filter(|accuracy| *accuracy > TOO_GOOD) {
            let how = format!("tells the class of the target \"{}\" in {}", target.name, percent(accuracy));
            findings.push(finding(column, accuracy, &how));
            continue;
        }
        let strength = values.as_ref().and_then(|values| correlation(table, index, column, values));
        // The only feature, and a straight line: a lesson, not a leak.
        if let Some(strength) = strength.filter(|strength| *strength > TOO_GOOD && candidates.len() > 1) {
            let strength = strength.min(1.0);
            let how = format!("and the target \"{}\" rise and fall together (correlation {strength:.4})", target.name);
            findings.push(finding(column, strength, &how));
        }
    }
}

fn finding(column: &ColumnProfile, value: f64, how: &str) -> Finding {
    let name = &column.name;
    Finding {
        severity: Severity::Warning,
        check: "leak".into(),
        column: Some(name.clone()),
        message: format!(
            "column \"{name}\" {how}: it may be made from the target; leave it out if it is not known at prediction time"
        ),
        value,
        rows: Vec::new(),
    }
}

/// The classes of the training rows.
struct Classes {
    /// Class of each row.
    rows: Vec<usize>,
    count: usize,
}

impl Classes {
    /// Nothing if the target is no class, or one class is nearly all rows: then any column would do.
    fn new(table: &Table) -> Option<Self> {
        if !table.has_classes() {
            return None;
        }
        let mut codes = Codes::default();
        let mut sizes = Vec::new();
        let mut rows = Vec::with_capacity(table.target_hashes.len());
        for hash in &table.target_hashes {
            let next = codes.len();
            let code = *codes.entry(*hash).or_insert(next);
            if code == sizes.len() {
                sizes.push(0_u64);
            }
            sizes[code] += 1;
            rows.push(code);
            if sizes.len() > VALUES_MAX {
                return None;
            }
        }
        let majority = sizes.iter().max()?;
        (*majority as f64 <= TOO_GOOD * table.rows as f64).then_some(Self { rows, count: sizes.len() })
    }

    /// Share of rows that have the most frequent class of their value. Nothing if the column has too many values, or
    /// the share is too small to matter: rows only add to the errors, so that can be told early.
    fn accuracy(&self, table: &Table, index: usize, column: &ColumnProfile) -> Option<f64> {
        let values = column.distinct + u64::from(column.missing > 0);
        let few = values >= 2 && values <= (table.rows / 10).min(VALUES_MAX as u64);
        if column.kind == ColumnKind::Image || !few || values as usize * self.count > CELLS_MAX {
            return None;
        }
        let errors_max = ((1.0 - TOO_GOOD) * table.rows as f64) as u64;
        let mut codes = Codes::default();
        let mut counts = vec![0_u64; (values as usize + 1) * self.count];
        let mut errors = 0;
        let mut row = 0;
        for array in table.arrays(index) {
            for start in (0..array.len()).step_by(STEP) {
                let hashes = hash_column(&array.slice(start, STEP.min(array.len() - start)));
                for (hash, class) in hashes.iter().zip(&self.rows[row..]) {
                    let next = codes.len();
                    let code = *codes.entry(*hash).or_insert(next);
                    *counts.get_mut(code * self.count + class)? += 1;
                }
                row += hashes.len();
                errors =
                    counts.chunks(self.count).map(|of| of.iter().sum::<u64>() - of.iter().max().unwrap_or(&0)).sum();
                if errors > errors_max {
                    return None;
                }
            }
        }
        Some(1.0 - errors as f64 / table.rows as f64)
    }
}

/// The target as numbers, around its mean in units of its deviation: a quantity, or the second of two classes as 1.
fn target_values(table: &Table, classes: Option<&Classes>) -> Option<Vec<f64>> {
    let target = table.target_profile()?;
    if target.kind == ColumnKind::Number {
        let (mean, std) = (target.mean?, target.std.filter(|std| *std > 0.0)?);
        let mut values = Vec::with_capacity(table.rows as usize);
        table.each_number(table.target?, &mut |_, value| values.push((value - mean) / std));
        return Some(values);
    }
    let classes = classes.filter(|_| target.distinct == 2 && !table.target_hashes.contains(&MISSING))?;
    Some(classes.rows.iter().map(|class| *class as f64).collect())
}

/// Pearson's correlation, without its sign, over the rows where both have a value.
fn correlation(table: &Table, index: usize, column: &ColumnProfile, target: &[f64]) -> Option<f64> {
    if column.kind != ColumnKind::Number || column.distinct < 2 {
        return None;
    }
    let (mean, std) = (column.mean?, column.std.filter(|std| *std > 0.0)?);
    let (mut n, mut x1, mut y1, mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    table.each_number(index, &mut |row, value| {
        let (x, y) = ((value - mean) / std, target.get(row as usize).copied().unwrap_or(f64::NAN));
        if x.is_finite() && y.is_finite() {
            n += 1.0;
            x1 += x;
            y1 += y;
            xx += x * x;
            yy += y * y;
            xy += x * y;
        }
    });
    let (x, y) = (xx - x1 * x1 / n, yy - y1 * y1 / n);
    // Rounding leaves a trace of deviation where there is none.
    let enough = n >= ROWS_MIN as f64 && x > 1e-9 * n && y > 1e-9 * n;
    enough.then(|| ((xy - x1 * y1 / n) / (x * y).sqrt()).abs())
}
