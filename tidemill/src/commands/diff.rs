//! `tidemill data diff`: what changed between two sets of rows, as text and as a document.

use data::{ColumnDifference, ColumnProfile, ColumnState, Difference, KeyedDifference, RowDifference};
use serde_json::{Map, Value, json};

use super::audit::round;
use crate::cli::DataDiff;
use crate::config::Project;
use crate::failure::{Failure, Fault, Result};
use crate::pipeline;
use crate::terminal::{Terminal, count, table};

/// Most frequent values of a column that are shown.
const TOP_SHOWN: usize = 3;
/// Characters of a value that are shown.
const VALUE_CHARACTERS_MAX: usize = 24;

/// Compares two sets of rows; fails where columns drift and that was asked for.
pub(super) fn diff(project: &Project, args: &DataDiff, terminal: &Terminal) -> Result<()> {
    let found = pipeline::runtime()?.block_on(pipeline::diff(project, &args.before, &args.after, &args.key))?;
    let drifted: Vec<&str> = found.drifted().map(|column| column.name.as_str()).collect();
    terminal.result(describe(&found, args));
    let mut document = json!({ "before": args.before, "after": args.after, "drifted": drifted });
    if let (Value::Object(all), Value::Object(found)) = (&mut document, json!(found)) {
        all.extend(found);
    }
    terminal.document(&document);
    if drifted.is_empty() || !args.fail_on_drift {
        return Ok(());
    }
    let compared = found.columns.iter().filter(|column| column.drift.is_some()).count();
    let message = format!("{} of {compared} compared columns drift: {}", drifted.len(), drifted.join(", "));
    Err(Failure::new(Fault::Input, message).documented())
}

fn describe(found: &Difference, args: &DataDiff) -> String {
    let rows = match (found.rows_before, found.rows_after) {
        (before, after) if before == after => format!("{} rows in both", count(before)),
        (before, after) => {
            let word = if after > before { "more" } else { "fewer" };
            format!("{} rows, then {}: {} {word}", count(before), count(after), count(after.abs_diff(before)))
        }
    };
    let mut text = format!("{} -> {}: {rows}\n", args.before, args.after);
    for (state, word) in
        [(ColumnState::Added, "added"), (ColumnState::Removed, "removed"), (ColumnState::Retyped, "of another type")]
    {
        let columns = found.columns.iter().filter(|column| column.state == state);
        let names: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
        if !names.is_empty() {
            text += &format!("columns {word}: {}\n", names.join(", "));
        }
    }
    let head = ["column", "", "type", "missing", "distinct", "range", "mean", "std", "most frequent", "drift"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    lines.extend(found.columns.iter().map(line));
    text += &table(&lines);
    if let Some(by_key) = &found.by_key {
        text += &describe_rows(by_key);
    }
    text
}

/// A line of a column; what changed stands as `old -> new`.
fn line(column: &ColumnDifference) -> Vec<String> {
    let both = |of: &dyn Fn(&ColumnProfile) -> String| match (&column.before, &column.after) {
        (Some(before), Some(after)) => match (of(before), of(after)) {
            (before, after) if before == after => after,
            (before, after) => format!("{} -> {}", or_dash(before), or_dash(after)),
        },
        (Some(one), None) | (None, Some(one)) => of(one),
        (None, None) => String::new(),
    };
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| round(value).to_string());
    let mark = match column.state {
        ColumnState::Kept => "",
        ColumnState::Added => "+",
        ColumnState::Removed => "-",
        ColumnState::Retyped => "~",
    };
    let drift = column.drift.as_ref().map(|drift| match drift.drifts {
        true => format!("DRIFT {}", drift.words()),
        false => drift.words(),
    });
    vec![
        column.name.clone(),
        mark.to_owned(),
        both(&|one| one.data_type.clone()),
        both(&|one| count(one.missing)),
        both(&|one| count(one.distinct)),
        both(&|one| match (one.min, one.max) {
            (Some(_), Some(_)) => format!("{} to {}", number(one.min), number(one.max)),
            _ => String::new(),
        }),
        both(&|one| number(one.mean)),
        both(&|one| number(one.std)),
        both(&frequent),
        drift.unwrap_or_default(),
    ]
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

/// The most frequent values of a column of categories.
fn frequent(column: &ColumnProfile) -> String {
    if column.mean.is_some() {
        return String::new(); // numbers and dates have a range
    }
    let value = |(value, n): &(String, u64)| {
        let short: String = value.chars().take(VALUE_CHARACTERS_MAX).collect();
        format!("{short} ({})", count(*n))
    };
    column.top.iter().take(TOP_SHOWN).map(value).collect::<Vec<_>>().join(", ")
}

fn describe_rows(found: &KeyedDifference) -> String {
    let mut text = format!(
        "rows by {}: {} same, {} added, {} removed, {} changed\n",
        found.keys.join(", "),
        count(found.same),
        count(found.added),
        count(found.removed),
        count(found.changed)
    );
    if !found.changed_columns.is_empty() {
        let columns = found.changed_columns.iter().map(|(name, rows)| format!("{name} in {}", count(*rows)));
        text += &format!("  changed: {}\n", columns.collect::<Vec<_>>().join(", "));
    }
    let lists = [
        ("+", &found.first_added, found.added),
        ("-", &found.first_removed, found.removed),
        ("~", &found.first_changed, found.changed),
    ];
    for (mark, rows, all) in lists {
        rows.iter().for_each(|row| text += &format!("  {mark} {}\n", describe_row(row)));
        let more = all.saturating_sub(rows.len() as u64);
        if more > 0 {
            text += &format!("  {mark} and {} more\n", count(more));
        }
    }
    text
}

fn describe_row(row: &RowDifference) -> String {
    let value = |value: &Value| match value {
        Value::String(text) => text.clone(),
        _ => "no value".to_owned(),
    };
    let cells = |row: &Map<String, Value>| {
        row.iter().map(|(name, cell)| format!("{name} = {}", value(cell))).collect::<Vec<_>>().join(", ")
    };
    let rest = match (row.before.is_empty(), row.after.is_empty()) {
        (true, _) => cells(&row.after),
        (_, true) => cells(&row.before),
        _ => {
            let change = |(name, before): (&String, &Value)| {
                format!("{name}: {} -> {}", value(before), row.after.get(name).map(value).unwrap_or_default())
            };
            row.before.iter().map(change).collect::<Vec<_>>().join(", ")
        }
    };
    format!("{}: {rest}", cells(&row.key)).trim_end_matches([':', ' ']).to_owned()
}
