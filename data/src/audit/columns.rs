//! Is each column fit to learn from? Missing and infinite values, constants, identifiers, outliers.

use arrow::array::{ArrayRef, BooleanArray};

use super::{Finding, Severity, Table, examples, thousands};
use crate::error::Result;
use crate::hash::{MISSING, hash_values};
use crate::profile::{ColumnKind, ColumnProfile, cast_to_floats};

/// Missing values beyond this share are worth a warning.
const MISSING_WARNING: f64 = 0.05;
/// Tables with fewer rows have columns without equal values by chance.
const IDENTIFIER_ROWS_MIN: u64 = 30;
/// Interquartile ranges from the quartiles: "far out" in Tukey's words (1977).
const OUTLIER_RANGES: f64 = 3.0;

/// Findings about all columns but the target, whose faults weigh more.
pub(super) fn check(table: &Table) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for index in table.features() {
        let column = &table.profile.columns[index];
        missing(table, index, column, &mut findings)?;
        infinite(table, index, column, &mut findings)?;
        constant(table, column, &mut findings);
        identifier(table, column, &mut findings);
        outliers(table, index, column, &mut findings)?;
    }
    Ok(findings)
}

fn missing(table: &Table, index: usize, column: &ColumnProfile, findings: &mut Vec<Finding>) -> Result<()> {
    let share = column.missing as f64 / table.profile.rows as f64;
    if column.missing == 0 {
        return Ok(());
    }
    let (severity, message) = if column.missing == table.profile.rows {
        (Severity::Warning, format!("column \"{}\" has no values at all; leave it out", column.name))
    } else {
        let severity = if share >= MISSING_WARNING { Severity::Warning } else { Severity::Info };
        (severity, format!("column \"{}\" has no value in {}", column.name, table.share(column.missing)))
    };
    let (_, rows) = examples(table.request.train, index, is_missing)?;
    findings.push(Finding::new(severity, "missing", message).column(&column.name).value(share).rows(rows));
    Ok(())
}

/// Null or NaN.
pub(super) fn is_missing(values: &ArrayRef) -> Result<BooleanArray> {
    Ok(hash_values(values)?.iter().map(|&hash| Some(hash == MISSING)).collect())
}

/// Infinite numbers.
pub(super) fn is_infinite(values: &ArrayRef) -> Result<BooleanArray> {
    let floats = cast_to_floats(values)?;
    Ok(floats.iter().map(|value| Some(value.is_some_and(f64::is_infinite))).collect())
}

fn infinite(table: &Table, index: usize, column: &ColumnProfile, findings: &mut Vec<Finding>) -> Result<()> {
    if column.infinite > 0 {
        let (_, rows) = examples(table.request.train, index, is_infinite)?;
        let message = format!(
            "column \"{}\" is infinite in {}; replace those values in SQL, or clip the column",
            column.name,
            table.share(column.infinite)
        );
        let share = column.infinite as f64 / table.profile.rows as f64;
        findings
            .push(Finding::new(Severity::Warning, "infinite", message).column(&column.name).value(share).rows(rows));
    }
    Ok(())
}

fn constant(table: &Table, column: &ColumnProfile, findings: &mut Vec<Finding>) {
    if column.distinct == 1 && column.missing == 0 && table.profile.rows > 1 {
        let value = column.top.first().map_or_else(String::new, |(value, _)| format!(", \"{value}\""));
        let message = format!("column \"{}\" has the same value in every row{value}; it tells nothing", column.name);
        findings.push(Finding::new(Severity::Warning, "constant", message).column(&column.name));
    }
}

/// Texts that are all different, and whole numbers that are all different and close together, number the rows.
fn identifier(table: &Table, column: &ColumnProfile, findings: &mut Vec<Finding>) {
    let present = table.profile.rows - column.missing;
    let all = match column.distinct_approximate {
        true => column.distinct as f64 >= 0.97 * present as f64, // two standard errors
        false => column.distinct == present,
    };
    let numbers_rows = || {
        let whole = column.data_type.starts_with("Int") || column.data_type.starts_with("UInt");
        let range = column.max.zip(column.min).map_or(f64::INFINITY, |(max, min)| max - min);
        whole && range < 2.0 * present as f64
    };
    let numbers = match column.kind {
        ColumnKind::Text | ColumnKind::Category => true,
        ColumnKind::Number => numbers_rows(),
        ColumnKind::Boolean | ColumnKind::Date | ColumnKind::Image => false,
    };
    if all && numbers && present >= IDENTIFIER_ROWS_MIN {
        let about = if column.distinct_approximate { "about " } else { "" };
        let message = format!(
            "column \"{}\" has {about}as many values as rows ({}); if it names or numbers them, leave it out",
            column.name,
            thousands(present)
        );
        findings.push(Finding::new(Severity::Warning, "identifier", message).column(&column.name));
    }
}

fn outliers(table: &Table, index: usize, column: &ColumnProfile, findings: &mut Vec<Finding>) -> Result<()> {
    let (Some(low), Some(high), ColumnKind::Number) = (column.quantile(0.25), column.quantile(0.75), column.kind)
    else {
        return Ok(());
    };
    let reach = OUTLIER_RANGES * (high - low);
    let (low, high) = (low - reach, high + reach);
    // Where half of the values are equal there is no range to measure by.
    if reach == 0.0 || column.min >= Some(low) && column.max <= Some(high) {
        return Ok(());
    }
    let (count, rows) = examples(table.request.train, index, |values| {
        let floats = cast_to_floats(values)?;
        Ok(floats.iter().map(|value| Some(value.is_some_and(|x| x.is_finite() && (x < low || x > high)))).collect())
    })?;
    if count > 0 {
        let message = format!(
            "column \"{}\" lies outside of {} to {} in {} (more than {OUTLIER_RANGES} interquartile ranges from the quartiles)",
            column.name,
            short(low),
            short(high),
            table.share(count)
        );
        let share = count as f64 / table.profile.rows as f64;
        findings.push(Finding::new(Severity::Info, "outliers", message).column(&column.name).value(share).rows(rows));
    }
    Ok(())
}

/// Four significant digits.
pub(super) fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let scale = 10f64.powi(3 - value.abs().log10().floor() as i32);
    let rounded = (value * scale).round() / scale;
    if rounded.is_finite() { rounded.to_string() } else { format!("{value:.3e}") }
}
