//! What is wrong with single columns? Missing and infinite values, constants, identifiers, outliers.

use profile::hash::{MISSING, hash_column};
use profile::{ColumnKind, ColumnProfile};

use super::table::{ROWS_MIN, Table};
use super::words::{Examples, counted, part, share};
use super::{EXAMPLES_MAX, Finding, Severity};

/// More missing values than this are worth a look.
const MISSING_MANY: f64 = 0.3;

/// More outliers than this are worth a look.
const OUTLIERS_MANY: f64 = 0.05;

/// Tukey's outer fences (1977, "Exploratory Data Analysis"): so many interquartile ranges beyond the quartiles.
const FENCE: f64 = 3.0;

/// Fewer different values are codes or grades, of which none lies outside.
const OUTLIERS_DISTINCT_MIN: u64 = 10;

pub(super) fn check(table: &Table, findings: &mut Vec<Finding>) {
    for (index, column) in table.features() {
        let found = [
            missing(table, index, column),
            infinite(table, index, column),
            constant(table, column),
            identifier(table, index, column),
            outliers(table, index, column),
        ];
        findings.extend(found.into_iter().flatten());
    }
    if let (Some(index), Some(target)) = (table.target, table.target_profile())
        && !table.has_classes()
    {
        findings.extend(outliers(table, index, target));
    }
}

fn finding(severity: Severity, check: &str, column: &ColumnProfile, value: f64, message: String) -> Finding {
    let (check, column) = (check.into(), Some(column.name.clone()));
    Finding { severity, check, column, message, value, rows: Vec::new() }
}

fn missing(table: &Table, index: usize, column: &ColumnProfile) -> Option<Finding> {
    if column.missing == 0 {
        return None;
    }
    let share = share(column.missing, table.rows);
    let severity = if share > MISSING_MANY { Severity::Warning } else { Severity::Info };
    let remedy = match share {
        1.0 => "leave it out, or check where it comes from",
        _ if share > MISSING_MANY => {
            "it helps little where most is filled in: leave it out, or add a missing indicator if the gap itself says something"
        }
        _ => "they are filled in as the feature's impute says",
    };
    let part = part(column.missing, table.rows, "row");
    let message = format!("column \"{}\" has no value in {part}; {remedy}", column.name);
    let mut examples = Examples::default();
    let mut row = 0;
    for array in table.arrays(index) {
        let hashes = hash_column(array);
        (row..).zip(&hashes).filter(|(_, hash)| **hash == MISSING).for_each(|(row, _)| examples.add(row));
        row += hashes.len() as u64;
        if examples.rows.len() == EXAMPLES_MAX {
            break;
        }
    }
    Some(Finding { rows: examples.rows, ..finding(severity, "missing", column, share, message) })
}

fn infinite(table: &Table, index: usize, column: &ColumnProfile) -> Option<Finding> {
    if column.infinite == 0 {
        return None;
    }
    let part = part(column.infinite, table.rows, "row");
    let message = format!(
        "column \"{}\" is infinite in {part}; they count as missing: look for a division by zero where it comes from",
        column.name
    );
    let mut examples = Examples::default();
    table.each_number(index, &mut |row, value| {
        if value.is_infinite() {
            examples.add(row);
        }
    });
    let value = share(column.infinite, table.rows);
    Some(Finding { rows: examples.rows, ..finding(Severity::Warning, "infinite", column, value, message) })
}

fn constant(table: &Table, column: &ColumnProfile) -> Option<Finding> {
    if column.distinct != 1 || column.missing > 0 || table.rows < 2 {
        return None;
    }
    let value = column.top.first().map(|(value, _)| format!(" \"{value}\"")).unwrap_or_default();
    let message = format!(
        "column \"{}\" has the same value{value} in all {}: it tells nothing and is left out",
        column.name,
        counted(table.rows, "row")
    );
    Some(finding(Severity::Warning, "constant", column, 1.0, message))
}

fn identifier(table: &Table, index: usize, column: &ColumnProfile) -> Option<Finding> {
    if !table.identifiers.contains(&index) {
        return None;
    }
    let present = table.rows - column.missing;
    let message = format!(
        "column \"{}\" has a different value in each of {}: it names rows instead of describing them and is left out",
        column.name,
        counted(present, "row")
    );
    Some(finding(Severity::Warning, "identifier", column, 1.0, message))
}

fn outliers(table: &Table, index: usize, column: &ColumnProfile) -> Option<Finding> {
    let few = column.distinct < OUTLIERS_DISTINCT_MIN || table.rows - column.missing < ROWS_MIN;
    if column.kind != ColumnKind::Number || few || table.identifiers.contains(&index) {
        return None;
    }
    let (low, high) = (column.quantile(0.25)?, column.quantile(0.75)?);
    let range = high - low;
    let (low, high) = (low - FENCE * range, high + FENCE * range);
    // Half of the values are the same: the fences say nothing.
    if range <= 0.0 || (column.min? >= low && column.max? <= high) {
        return None;
    }
    let (mut count, mut farthest) = (0, Vec::new());
    table.each_number(index, &mut |row, value| {
        if value.is_finite() && (value < low || value > high) {
            count += 1;
            farthest.push(((low - value).max(value - high), row));
            if farthest.len() >= 64 * EXAMPLES_MAX {
                keep_farthest(&mut farthest);
            }
        }
    });
    keep_farthest(&mut farthest);
    let share = share(count, table.rows);
    let severity = if share > OUTLIERS_MANY { Severity::Warning } else { Severity::Info };
    let message = format!(
        "column \"{}\" has outliers in {}: below {} or above {}; clip them, or scale it robustly",
        column.name,
        part(count, table.rows, "row"),
        short(low),
        short(high)
    );
    let rows = farthest.into_iter().map(|(_, row)| row).collect();
    Some(Finding { rows, ..finding(severity, "outliers", column, share, message) })
}

fn keep_farthest(found: &mut Vec<(f64, u64)>) {
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    found.truncate(EXAMPLES_MAX);
}

/// Six significant digits.
fn short(value: f64) -> String {
    match value.abs() {
        size if size != 0.0 && !(1e-4..1e9).contains(&size) => format!("{value:.3e}"),
        size => {
            let digits = (5 - size.max(1.0).log10() as i32).max(0) as usize;
            let text = format!("{value:.digits$}");
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
        }
    }
}
