//! Are the rows different from one another, and the test rows from the training rows?

use arrow::compute::cast;
use arrow::record_batch::RecordBatch;

use super::target::{NO_CLASS, Target, Values};
use super::{EXAMPLES_MAX, Finding, Severity, Table, share};
use crate::error::Result;
use crate::hash::{HashedMap, combine, hash_values};

/// Duplicates and conflicts beyond this share are worth a warning.
const REPEATED_WARNING: f64 = 0.01;
/// Test rows that are training rows beyond this share make scores too good.
const OVERLAP_WARNING: f64 = 0.005;

/// The test rows with the columns of the training rows, or none where they do not fit.
pub(super) fn test_rows(table: &Table, findings: &mut Vec<Finding>) -> Result<Vec<RecordBatch>> {
    let mut fitting = Vec::with_capacity(table.request.test.len());
    for batch in table.request.test {
        let schema = batch.schema();
        let mut columns = Vec::with_capacity(table.schema.fields().len());
        for field in table.schema.fields() {
            let found = schema.index_of(field.name()).ok().map(|index| batch.column(index));
            let Some(values) = found.and_then(|values| cast(values, field.data_type()).ok()) else {
                let what = if found.is_some() { "of another type" } else { "missing" };
                let message = format!("column \"{}\" is {what} in the test rows", field.name());
                findings.push(Finding::new(Severity::Error, "schema", message).column(field.name()));
                return Ok(Vec::new());
            };
            columns.push(values);
        }
        fitting.push(crate::source::batch(table.schema, columns, batch.num_rows())?);
    }
    Ok(fitting)
}

/// Two hashes for each row: of its features, and of all its columns.
struct Hashes {
    features: Vec<u64>,
    all: Vec<u64>,
}

fn hashes(table: &Table, batches: &[RecordBatch]) -> Result<Hashes> {
    let target = table.request.target.and_then(|name| table.schema.index_of(name).ok());
    let mut result = Hashes { features: Vec::new(), all: Vec::new() };
    for batch in batches {
        let mut rows = vec![0; batch.num_rows()];
        for column in table.features() {
            combine(&mut rows, &hash_values(batch.column(column))?);
        }
        result.features.extend_from_slice(&rows);
        if let Some(target) = target {
            combine(&mut rows, &hash_values(batch.column(target))?);
        }
        result.all.extend(rows);
    }
    Ok(result)
}

/// Findings about repeated rows.
pub(super) fn check(
    table: &Table,
    target: Option<&Target>,
    test: &[RecordBatch],
    findings: &mut Vec<Finding>,
) -> Result<()> {
    if table.features().next().is_none() {
        return Ok(());
    }
    let train = hashes(table, table.request.train)?;
    duplicates(table, &train, findings);
    if let Some(Target { values: Values::Classes { of_row, .. }, name }) = target {
        conflicts(table, &train, of_row, name, findings);
    }
    if !test.is_empty() {
        overlap(&train, &hashes(table, test)?, findings);
    }
    Ok(())
}

fn duplicates(table: &Table, train: &Hashes, findings: &mut Vec<Finding>) {
    let mut seen: HashedMap<()> = HashedMap::with_capacity_and_hasher(train.all.len(), Default::default());
    let (mut count, mut rows) = (0, Vec::new());
    for (row, &hash) in train.all.iter().enumerate() {
        if seen.insert(hash, ()).is_some() {
            count += 1;
            if rows.len() < EXAMPLES_MAX {
                rows.push(row as u64);
            }
        }
    }
    if count > 0 {
        let value = count as f64 / table.profile.rows as f64;
        let severity = if value >= REPEATED_WARNING { Severity::Warning } else { Severity::Info };
        let message = format!("{} repeat an earlier row; SELECT DISTINCT leaves them out", table.share(count));
        findings.push(Finding::new(severity, "duplicates", message).value(value).rows(rows));
    }
}

/// Equal features with different classes: no model can have both right.
fn conflicts(table: &Table, train: &Hashes, classes: &[u32], name: &str, findings: &mut Vec<Finding>) {
    let mut seen: HashedMap<(u32, bool)> =
        HashedMap::with_capacity_and_hasher(train.features.len(), Default::default());
    let known = || train.features.iter().zip(classes).enumerate().filter(|(_, (_, class))| **class != NO_CLASS);
    for (_, (&hash, &class)) in known() {
        let (first, mixed) = seen.entry(hash).or_insert((class, false));
        *mixed |= *first != class;
    }
    let mixed = || known().filter(|(_, (hash, _))| seen.get(hash).is_some_and(|(_, mixed)| *mixed));
    let count = mixed().count() as u64;
    if count > 0 {
        let rows = mixed().map(|(row, _)| row as u64).take(EXAMPLES_MAX).collect();
        let value = count as f64 / table.profile.rows as f64;
        let severity = if value >= REPEATED_WARNING { Severity::Warning } else { Severity::Info };
        let message = format!(
            "{} equal others in all but the target \"{name}\"; no model can have them all right",
            table.share(count)
        );
        findings.push(Finding::new(severity, "conflicts", message).value(value).rows(rows));
    }
}

fn overlap(train: &Hashes, test: &Hashes, findings: &mut Vec<Finding>) {
    let known = |hashes: &[u64]| -> HashedMap<()> { hashes.iter().map(|&hash| (hash, ())).collect() };
    let (features, all) = (known(&train.features), known(&train.all));
    let again: Vec<usize> =
        (0..test.features.len()).filter(|&row| features.contains_key(&test.features[row])).collect();
    if again.is_empty() {
        return;
    }
    let same = again.iter().filter(|&&row| all.contains_key(&test.all[row])).count();
    let value = again.len() as f64 / test.features.len() as f64;
    let severity = if value >= OVERLAP_WARNING { Severity::Warning } else { Severity::Info };
    let which = if same == again.len() { "all of them".to_owned() } else { super::thousands(same as u64) };
    let message = format!(
        "{} are among the training rows, {which} with the same target; scores on them say little",
        share(again.len() as u64, test.features.len() as u64, "test rows"),
    );
    let rows = again.iter().take(EXAMPLES_MAX).map(|&row| row as u64).collect();
    findings.push(Finding::new(severity, "overlap", message).value(value).rows(rows));
}
