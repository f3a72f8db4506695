//! Is there something to predict? The target's column, its missing and infinite values, its classes.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use arrow::array::Array;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use profile::hash::{MISSING, hash_column};
use profile::{Already, ColumnProfile};

use super::table::{ROWS_MIN, Table};
use super::words::{Examples, counted, names, part, percent, places, share};
use super::{Finding, Severity};
use crate::error::did_you_mean;

/// Classes up to which their balance is looked at.
const CLASSES_MAX: usize = 10_000;

/// A class with a smaller share than this is small, unless there are so many classes that each must be.
const SMALL: f64 = 0.05;

/// The largest class may have so many times the rows of the smallest.
const TIMES_MAX: u64 = 20;

pub(super) fn check(table: &Table, findings: &mut Vec<Finding>) {
    let Some(name) = table.asked else { return };
    let mut error = |value: f64, rows: Vec<u64>, message: String| {
        let (severity, check, column) = (Severity::Error, "target".into(), Some(name.into()));
        findings.push(Finding { severity, check, column, message, value, rows });
    };
    let Some(target) = table.target_profile() else {
        let columns = || table.schema.fields().iter().map(|field| field.name().as_str());
        let hint = match did_you_mean(name, columns()) {
            hint if hint.is_empty() => format!("; its columns are {}", names(columns())),
            hint => hint,
        };
        if table.schema.fields().is_empty() {
            return;
        }
        return error(0.0, vec![], format!("no target column \"{name}\" in table \"{}\"{hint}", table.name));
    };
    if target.missing > 0 {
        let rows = rows_where(&table.target_hashes, |hash| hash == MISSING);
        error(
            share(target.missing, table.rows),
            rows.rows.clone(),
            format!(
                "target \"{name}\" has no value in {}: {}; leave them out in the table's SQL: WHERE \"{name}\" IS NOT NULL",
                part(target.missing, table.rows, "training row"),
                places(&rows.rows, rows.count),
            ),
        );
    }
    if target.infinite > 0 {
        let rows = infinite(table);
        error(
            share(target.infinite, table.rows),
            rows.rows.clone(),
            format!(
                "target \"{name}\" is infinite in {}: {}; leave them out in the table's SQL: WHERE abs(\"{name}\") < 1e37",
                part(target.infinite, table.rows, "training row"),
                places(&rows.rows, rows.count),
            ),
        );
    }
    if target.distinct == 1 && target.missing < table.rows {
        let rows = counted(table.rows - target.missing, "training row");
        error(
            1.0,
            vec![],
            format!(
                "target \"{name}\" has the same value in all {rows}: there is nothing to learn; name another target"
            ),
        );
    }
    if let Some(message) = missing_in_test(table, name) {
        error(message.0, vec![], message.1);
    }
    classes(table, target, findings);
}

fn rows_where(hashes: &[u64], is: impl Fn(u64) -> bool) -> Examples {
    let mut examples = Examples::default();
    (0..).zip(hashes).filter(|(_, hash)| is(**hash)).for_each(|(row, _)| examples.add(row));
    examples
}

fn infinite(table: &Table) -> Examples {
    let mut examples = Examples::default();
    if let Some(target) = table.target {
        table.each_number(target, &mut |row, value| {
            if value.is_infinite() {
                examples.add(row);
            }
        });
    }
    examples
}

fn missing_in_test(table: &Table, name: &str) -> Option<(f64, String)> {
    let rows: u64 = table.test.iter().map(|batch| batch.num_rows() as u64).sum();
    let arrays = table.test.iter().filter_map(|batch| batch.column_by_name(name));
    let missing = arrays.flat_map(|array| hash_column(array)).filter(|hash| *hash == MISSING).count() as u64;
    (missing > 0).then(|| {
        let part = part(missing, rows, "test row");
        let message = format!(
            "target \"{name}\" has no value in {part}; leave them out in the table's SQL: WHERE \"{name}\" IS NOT NULL"
        );
        (share(missing, rows), message)
    })
}

struct Class {
    label: String,
    rows: u64,
}

/// Every class with its rows, the largest first; nothing if there are too many.
fn count_classes(table: &Table) -> Option<Vec<Class>> {
    let mut seen: HashMap<u64, (u64, usize), BuildHasherDefault<Already>> = HashMap::default();
    for (row, hash) in table.target_hashes.iter().enumerate().filter(|(_, hash)| **hash != MISSING) {
        seen.entry(*hash).or_insert((0, row)).0 += 1;
        if seen.len() > CLASSES_MAX {
            return None;
        }
    }
    let mut classes: Vec<Class> =
        seen.into_values().map(|(rows, first)| Class { label: label(table, first), rows }).collect();
    classes.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.label.cmp(&b.label)));
    Some(classes)
}

fn label(table: &Table, mut row: usize) -> String {
    let Some(target) = table.target else { return String::new() };
    for array in table.arrays(target) {
        if row < array.len() {
            let options = FormatOptions::default();
            let text = ArrayFormatter::try_new(array, &options).and_then(|format| format.value(row).try_to_string());
            return text.unwrap_or_default().chars().take(100).collect();
        }
        row -= array.len();
    }
    String::new()
}

fn classes(table: &Table, target: &ColumnProfile, findings: &mut Vec<Finding>) {
    let present = table.rows - target.missing;
    if !table.has_classes() || present < ROWS_MIN {
        return;
    }
    let Some(classes) = count_classes(table).filter(|classes| classes.len() > 1) else { return };
    let (Some(largest), Some(smallest)) = (classes.first(), classes.last()) else { return };
    let least = share(smallest.rows, present);
    // Of thirty classes each has about 3 %: small is less than half of that.
    let small = SMALL.min(0.5 / classes.len() as f64);
    if least >= small && largest.rows <= TIMES_MAX * smallest.rows {
        return;
    }
    let others = match classes.len() {
        2 => String::new(),
        n => format!(" of {n} classes"),
    };
    findings.push(Finding {
        severity: Severity::Warning,
        check: "imbalance".into(),
        column: Some(target.name.clone()),
        message: format!(
            "target \"{}\": the smallest class{others}, \"{}\", has {}, the largest, \"{}\", has {}; add rows of \
             small classes or merge them, and judge by balanced accuracy or F1, since always answering \"{}\" is right in {}",
            target.name,
            smallest.label,
            part(smallest.rows, present, "training row"),
            largest.label,
            counted(largest.rows, ""),
            largest.label,
            percent(share(largest.rows, present)),
        ),
        value: least,
        rows: Vec::new(),
    });
}
