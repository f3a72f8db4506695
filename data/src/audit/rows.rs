//! Which rows are the same? Duplicates, rows that contradict each other, training rows among the test rows.

use super::table::Table;
use super::words::{Examples, part, share};
use super::{Finding, Severity};

/// From this share on, repeated test rows make the test figures too good.
const OVERLAP_MANY: f64 = 0.01;

pub(super) fn check(table: &Table, findings: &mut Vec<Finding>) {
    if table.hashed.is_empty() {
        return;
    }
    let mut sorted: Vec<Row> = (0..)
        .zip(&table.row_hashes)
        .map(|(row, &features)| Row {
            features,
            target: table.target_hashes.get(row as usize).copied().unwrap_or(0),
            row,
        })
        .collect();
    sorted.sort_unstable();
    repeats(table, &sorted, findings);
    overlap(table, &sorted, findings);
}

/// Sorted, the same rows stand side by side, and among those with the same features those with the same target.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    features: u64,
    target: u64,
    row: u64,
}

fn repeats(table: &Table, sorted: &[Row], findings: &mut Vec<Finding>) {
    let (mut duplicates, mut conflicts) = (Examples::default(), Examples::default());
    for same in sorted.chunk_by(|a, b| a.features == b.features).filter(|same| same.len() > 1) {
        let mut groups = 0;
        for group in same.chunk_by(|a, b| a.target == b.target) {
            groups += 1;
            group[1..].iter().for_each(|row| duplicates.add(row.row));
        }
        if groups > 1 {
            same.iter().for_each(|row| conflicts.add(row.row));
        }
    }
    let without =
        if table.identifiers.iter().any(|id| !table.hashed.contains(id)) { ", identifiers aside" } else { "" };
    if duplicates.count > 0 {
        findings.push(finding(Severity::Warning, "duplicates", duplicates, table.rows, |found| {
            format!(
                "{} repeat an earlier row{without}: they count more than others, and parts that are split from them \
                 share rows; SELECT DISTINCT in the table's SQL if they are no separate observations",
                part(found, table.rows, "row")
            )
        }));
    }
    let Some(target) = table.target_profile().filter(|_| conflicts.count > 0) else { return };
    // Of measurements nobody expects that the same causes give the same figure twice.
    let severity = if table.has_classes() { Severity::Warning } else { Severity::Info };
    let found = finding(severity, "conflicts", conflicts, table.rows, |found| {
        format!(
            "{} have the features of another row but another \"{}\"{without}: no model can get them all right; check the \
             target, or add a column that tells them apart",
            part(found, table.rows, "row"),
            target.name
        )
    });
    findings.push(Finding { column: Some(target.name.clone()), ..found });
}

fn finding(severity: Severity, check: &str, found: Examples, rows: u64, message: impl Fn(u64) -> String) -> Finding {
    Finding {
        severity,
        check: check.into(),
        column: None,
        message: message(found.count),
        value: share(found.count, rows),
        rows: found.rows,
    }
}

fn overlap(table: &Table, sorted: &[Row], findings: &mut Vec<Finding>) {
    let (mut found, mut rows) = (Examples::default(), 0);
    for batch in table.test {
        // A missing column is a finding of its own.
        let Some(hashes) = table.feature_hashes(batch) else { return };
        for hash in hashes {
            if sorted.binary_search_by_key(&hash, |row| row.features).is_ok() {
                found.add(rows);
            }
            rows += 1;
        }
    }
    if found.count == 0 {
        return;
    }
    let severity = if share(found.count, rows) >= OVERLAP_MANY { Severity::Warning } else { Severity::Info };
    findings.push(finding(severity, "overlap", found, rows, |found| {
        format!(
            "{} have the features of a training row: the model has seen the answer, and its test figures look better \
             than they are; drop repeated rows before the split, or split by a column that keeps them together",
            part(found, rows, "test row")
        )
    }));
}
