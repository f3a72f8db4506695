//! Is there something to learn? The target's missing, infinite and unlearnable values, and how its classes are spread.

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;

use super::columns::{is_infinite, is_missing};
use super::{Finding, Severity, Table, examples, percent, thousands};
use crate::error::{Result, did_you_mean};
use crate::hash::{HashedMap, MISSING, hash_values};
use crate::profile::{ColumnKind, ColumnProfile, cast_to_floats};

/// Whole numbers with no more values than this are classes.
const CLASS_NUMBERS_MAX: u64 = 20;
/// Most classes that the checks look at.
const CLASSES_MAX: u64 = 10_000;
/// The most frequent class may be this many times as frequent as the rarest one.
const IMBALANCE_MAX: f64 = 20.0;

/// The target of all training rows.
pub(super) struct Target {
    pub(super) name: String,
    pub(super) values: Values,
}

/// One value for each training row.
pub(super) enum Values {
    /// A class index, or `NO_CLASS`.
    Classes { of_row: Vec<u32>, names: Vec<String> },
    /// A number, or NaN.
    Numbers(Vec<f64>),
}

/// Rows without a target.
pub(super) const NO_CLASS: u32 = u32::MAX;

/// Looks at the target; nothing comes back where nothing can be learned from it.
pub(super) fn check(
    table: &Table,
    name: &str,
    test: &[RecordBatch],
    findings: &mut Vec<Finding>,
) -> Result<Option<Target>> {
    let Ok(column) = table.schema.index_of(name) else {
        let near = did_you_mean(name, table.schema.fields().iter().map(|field| field.name().as_str()));
        let message = format!("no target column \"{name}\" in table \"{}\"{near}", table.request.table);
        findings.push(Finding::new(Severity::Error, "target", message).column(name));
        return Ok(None);
    };
    let profile = &table.profile.columns[column];
    let before = findings.len();
    faults(table, column, profile, findings)?;
    if findings.len() > before || profile.kind == ColumnKind::Image {
        return Ok(None);
    }
    let whole = profile.data_type.contains("Int") || profile.kind == ColumnKind::Boolean;
    let texts = matches!(profile.kind, ColumnKind::Text | ColumnKind::Category);
    let values = if texts || (whole && profile.distinct <= CLASS_NUMBERS_MAX) {
        if profile.distinct > CLASSES_MAX {
            return Ok(None);
        }
        classes(table, column)?
    } else {
        let mut numbers = Vec::with_capacity(table.profile.rows as usize);
        for batch in table.request.train {
            numbers.extend(cast_to_floats(batch.column(column))?.iter().map(|value| value.unwrap_or(f64::NAN)));
        }
        Values::Numbers(numbers)
    };
    if let Values::Classes { of_row, names } = &values {
        imbalance(table, profile, of_row, names, findings);
        new_classes(table, column, test, findings)?;
    }
    Ok(Some(Target { name: name.to_owned(), values }))
}

/// What makes a target unusable.
fn faults(table: &Table, column: usize, profile: &ColumnProfile, findings: &mut Vec<Finding>) -> Result<()> {
    let name = &profile.name;
    let share = |count: u64| count as f64 / table.profile.rows as f64;
    let mut fault = |message: String, value: f64, rows: Vec<u64>| {
        findings.push(Finding::new(Severity::Error, "target", message).column(name).value(value).rows(rows));
    };
    if profile.missing > 0 {
        let (_, rows) = examples(table.request.train, column, is_missing)?;
        let count = table.share(profile.missing);
        let message =
            format!("the target \"{name}\" has no value in {count}; leave them out with WHERE \"{name}\" IS NOT NULL");
        fault(message, share(profile.missing), rows);
    }
    if profile.infinite > 0 {
        let (_, rows) = examples(table.request.train, column, is_infinite)?;
        let count = table.share(profile.infinite);
        fault(
            format!("the target \"{name}\" is infinite in {count}; leave them out in SQL"),
            share(profile.infinite),
            rows,
        );
    }
    if profile.distinct == 1 && profile.missing == 0 {
        let value = profile.top.first().map_or("", |(value, _)| value);
        fault(format!("the target \"{name}\" is \"{value}\" in every row; there is nothing to learn"), 1.0, Vec::new());
    }
    let texts = matches!(profile.kind, ColumnKind::Text | ColumnKind::Category);
    if texts && profile.distinct > 2 && profile.distinct == table.profile.rows {
        let message =
            format!("the target \"{name}\" is a different text in every row; choose a column of classes or numbers");
        fault(message, 1.0, Vec::new());
    }
    Ok(())
}

fn classes(table: &Table, column: usize) -> Result<Values> {
    let mut of_row = Vec::with_capacity(table.profile.rows as usize);
    let mut known: HashedMap<u32> = HashedMap::default();
    let mut names = Vec::new();
    for batch in table.request.train {
        let values = batch.column(column);
        for (row, hash) in hash_values(values)?.into_iter().enumerate() {
            of_row.push(match hash {
                MISSING => NO_CLASS,
                _ => *known.entry(hash).or_insert_with(|| {
                    names.push(text(values, row));
                    names.len() as u32 - 1
                }),
            });
        }
    }
    Ok(Values::Classes { of_row, names })
}

pub(super) fn text(values: &ArrayRef, row: usize) -> String {
    arrow::util::display::array_value_to_string(values, row).unwrap_or_default()
}

fn imbalance(table: &Table, profile: &ColumnProfile, of_row: &[u32], names: &[String], findings: &mut Vec<Finding>) {
    let mut counts = vec![0u64; names.len()];
    of_row.iter().filter(|&&class| class != NO_CLASS).for_each(|&class| counts[class as usize] += 1);
    let numbered = || counts.iter().copied().zip(names);
    let (Some((most, frequent)), Some((least, rare))) =
        (numbered().max_by_key(|c| c.0), numbered().min_by_key(|c| c.0))
    else {
        return;
    };
    if most as f64 > IMBALANCE_MAX * least as f64 {
        let share = least as f64 / table.profile.rows as f64;
        let message = format!(
            "the target \"{}\" is \"{rare}\" in only {} rows ({}) and \"{frequent}\" in {} ({}); look at scores per class",
            profile.name,
            thousands(least),
            percent(share),
            thousands(most),
            percent(most as f64 / table.profile.rows as f64)
        );
        findings.push(Finding::new(Severity::Warning, "imbalance", message).column(&profile.name).value(share));
    }
}

/// Classes that only the test rows have can never be predicted.
fn new_classes(table: &Table, column: usize, test: &[RecordBatch], findings: &mut Vec<Finding>) -> Result<()> {
    let mut known: HashedMap<()> = HashedMap::default();
    for batch in table.request.train {
        known.extend(hash_values(batch.column(column))?.into_iter().map(|hash| (hash, ())));
    }
    let (count, rows) = examples(test, column, |values| {
        Ok(hash_values(values)?.iter().map(|hash| Some(*hash != MISSING && !known.contains_key(hash))).collect())
    })?;
    if count == 0 {
        return Ok(());
    }
    let mut start = 0;
    let mut example = String::new();
    for batch in test {
        if let Some(row) =
            rows.first().and_then(|row| row.checked_sub(start)).filter(|row| *row < batch.num_rows() as u64)
        {
            example = text(batch.column(column), row as usize);
        }
        start += batch.num_rows() as u64;
    }
    let name = table.schema.field(column).name();
    let message = format!(
        "the target \"{name}\" has values in {} test rows that no training row has, such as \"{example}\"",
        thousands(count)
    );
    findings.push(
        Finding::new(Severity::Warning, "schema", message).column(name).value(count as f64 / start.max(1) as f64),
    );
    Ok(())
}
