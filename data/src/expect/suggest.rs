//! What does a table promise by itself? Expectations read off its profile and its first rows. Whoever asks checks them
//! against all rows before believing them.

use std::collections::HashSet;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use profile::{ColumnKind, ColumnProfile, TableProfile};

use crate::spec::{
    Expectation, MatchesCheck, NotNullCheck, OnFailure, OneOfCheck, RangeCheck, RowCountCheck, Scalar, UniqueCheck,
};

/// Rows from which something is suggested at all.
const ROWS_MIN: u64 = 20;
/// A range reaches so far beyond what was seen, as a share of its width.
const MARGIN: f64 = 0.1;
/// Rows below this share of those that were seen are too few.
const ROWS_SHARE_MIN: f64 = 0.5;
/// Each value of a set stands in so many rows on average.
const ROWS_PER_VALUE: u64 = 10;
/// Whole numbers of so many values are grades or flags; of more there may be others.
const GRADES_MAX: u64 = 3;
/// Longest part of a pattern, in characters.
const RUN_MAX: usize = 40;
/// Texts without a pattern where they have more parts.
const RUNS_MAX: usize = 12;

/// Expectations that the profile of a table suggests; `rows` are some of its rows, for the patterns of texts.
pub fn suggest(profile: &TableProfile, rows: &[RecordBatch]) -> Vec<Expectation> {
    if profile.rows < ROWS_MIN {
        return Vec::new();
    }
    let min = (profile.rows as f64 * ROWS_SHARE_MIN).round() as u64;
    let mut all = vec![Expectation::RowCount(RowCountCheck { min: Some(min), max: None, on_failure: OnFailure::Fail })];
    for column in &profile.columns {
        if column.kind == ColumnKind::Image {
            continue;
        }
        let present = profile.rows - column.missing;
        if column.missing == 0 {
            let (column, on_failure) = (column.name.clone(), OnFailure::Fail);
            all.push(Expectation::NotNull(NotNullCheck { column, at_most: 0.0, on_failure }));
        }
        let set = one_of(column, present);
        match unique(column, present) {
            Some(check) => all.push(check), // a number that tells rows apart grows with them
            None if set.is_none() => all.extend(range(column)),
            None => {}
        }
        all.extend(set);
        all.extend(pattern(column, rows));
    }
    all
}

/// Values that differ in every row, of whole numbers and short texts: measurements differ by accident.
fn unique(column: &ColumnProfile, present: u64) -> Option<Expectation> {
    let differs = match column.distinct_approximate {
        true => column.distinct * 10 >= present * 9,
        false => column.distinct == present,
    };
    let names = is_integer(column) || matches!(column.kind, ColumnKind::Category | ColumnKind::Text);
    (differs && names && present >= ROWS_MIN).then(|| {
        Expectation::Unique(UniqueCheck {
            columns: vec![column.name.clone()],
            at_most: 0.0,
            on_failure: OnFailure::Fail,
        })
    })
}

fn is_integer(column: &ColumnProfile) -> bool {
    column.data_type.starts_with("Int") || column.data_type.starts_with("UInt")
}

/// A number's range with a margin; one that never is below zero stays so.
fn range(column: &ColumnProfile) -> Option<Expectation> {
    if column.kind != ColumnKind::Number || column.infinite > 0 {
        return None;
    }
    let (low, high) = (column.min?, column.max?);
    let margin = MARGIN * (high - low);
    if !margin.is_finite() || high <= low {
        return None;
    }
    let (min, max) = (if low >= 0.0 { (low - margin).max(0.0) } else { low - margin }, high + margin);
    let ends = match is_integer(column) {
        true => [min.floor(), max.ceil()].map(|end| Scalar::Integer(end as i64)),
        false => [round(min, f64::floor), round(max, f64::ceil)].map(Scalar::Number),
    };
    let [min, max] = ends;
    Some(Expectation::Range(RangeCheck {
        column: column.name.clone(),
        min: Some(min),
        max: Some(max),
        at_most: 0.0,
        on_failure: OnFailure::Fail,
    }))
}

/// Three significant digits, away from the values seen.
fn round(value: f64, to: fn(f64) -> f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let digits = 2 - value.abs().log10().floor() as i32;
    // Divided by a power of ten a number is the nearest to what is written; multiplied by its inverse it is not.
    match digits {
        0.. => to(value * 10_f64.powi(digits)) / 10_f64.powi(digits),
        _ => to(value / 10_f64.powi(-digits)) * 10_f64.powi(-digits),
    }
}

/// A set of few values, all of which the profile has.
fn one_of(column: &ColumnProfile, present: u64) -> Option<Expectation> {
    let is_grade = is_integer(column) && column.distinct <= GRADES_MAX;
    let is_set = (column.kind == ColumnKind::Category || is_grade)
        && !column.distinct_approximate
        && column.distinct == column.top.len() as u64
        && column.distinct >= 2
        && present >= ROWS_PER_VALUE * column.distinct
        && column.top.iter().all(|(value, _)| value.chars().count() < 100); // longer ones are cut
    is_set.then(|| {
        let mut values: Vec<String> = column.top.iter().map(|(value, _)| value.clone()).collect();
        values.sort();
        let scalar = |value: String| match value.parse() {
            Ok(number) if is_grade => Scalar::Integer(number),
            _ => Scalar::Text(value),
        };
        Expectation::OneOf(OneOfCheck {
            column: column.name.clone(),
            values: values.into_iter().map(scalar).collect(),
            at_most: 0.0,
            on_failure: OnFailure::Fail,
        })
    })
}

/// A pattern that all texts share: the same runs of letters, digits and marks.
fn pattern(column: &ColumnProfile, rows: &[RecordBatch]) -> Option<Expectation> {
    if !matches!(column.kind, ColumnKind::Text | ColumnKind::Category) {
        return None;
    }
    let mut shape: Option<Vec<Run>> = None;
    let mut different = HashSet::new();
    for batch in rows {
        let array = cast(batch.column_by_name(&column.name)?, &DataType::Utf8).ok()?;
        for text in array.as_string::<i32>().iter().flatten() {
            let runs = runs(text)?;
            if different.len() < ROWS_MIN as usize {
                different.insert(text.to_owned());
            }
            shape = Some(match shape {
                None => runs,
                Some(shape) => merged(shape, &runs)?,
            });
        }
    }
    // Words of one length are a coincidence; digits and marks at the same places are a form.
    let shape = shape.filter(|shape| shape.iter().any(|run| matches!(run.kind, Kind::Digit | Kind::Hexadecimal)))?;
    (different.len() >= ROWS_MIN as usize).then(|| {
        Expectation::Matches(MatchesCheck {
            column: column.name.clone(),
            pattern: format!("^{}$", shape.iter().map(Run::pattern).collect::<String>()),
            at_most: 0.0,
            on_failure: OnFailure::Fail,
        })
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Digit,
    Lower,
    Upper,
    /// Lower-case letters and digits mixed, as in hexadecimal numbers.
    Hexadecimal,
    Mark(char),
}

#[derive(Debug, Clone, PartialEq)]
struct Run {
    kind: Kind,
    min: usize,
    max: usize,
    /// The text itself, while it is the same everywhere.
    text: Option<String>,
}

impl Run {
    fn pattern(&self) -> String {
        let escape = |c: char| match c {
            c if c.is_alphanumeric() || matches!(c, ' ' | '_' | ':' | '/' | '@' | ',' | '-') => c.to_string(),
            c => format!("\\{c}"),
        };
        if let (Some(text), false) = (&self.text, self.kind == Kind::Digit) {
            return text.chars().map(escape).collect();
        }
        let class = match self.kind {
            Kind::Digit => "[0-9]".to_owned(),
            Kind::Lower => "[a-z]".to_owned(),
            Kind::Upper => "[A-Z]".to_owned(),
            Kind::Hexadecimal => "[0-9a-f]".to_owned(),
            Kind::Mark(c) => escape(c),
        };
        match (self.min, self.max) {
            (1, 1) => class,
            (min, max) if min == max => format!("{class}{{{min}}}"),
            (min, max) => format!("{class}{{{min},{max}}}"),
        }
    }
}

/// The runs of a text; nothing where it has other letters, or too many runs.
fn runs(text: &str) -> Option<Vec<Run>> {
    if is_hexadecimal(text) {
        return Some(hexadecimal(text));
    }
    let mut runs: Vec<Run> = Vec::new();
    for c in text.chars() {
        let kind = match c {
            '0'..='9' => Kind::Digit,
            'a'..='z' => Kind::Lower,
            'A'..='Z' => Kind::Upper,
            c if c.is_ascii_punctuation() || c == ' ' => Kind::Mark(c),
            _ => return None,
        };
        match runs.last_mut().filter(|run| run.kind == kind) {
            Some(run) => {
                (run.min, run.max) = (run.min + 1, run.max + 1);
                run.text.as_mut()?.push(c);
            }
            None => runs.push(Run { kind, min: 1, max: 1, text: Some(c.to_string()) }),
        }
    }
    let fits = !runs.is_empty() && runs.len() <= RUNS_MAX && runs.iter().all(|run| run.max <= RUN_MAX);
    fits.then_some(runs)
}

/// Whether it is a UUID or a digest: eight and more hexadecimal digits, perhaps with hyphens at the same places.
fn is_hexadecimal(text: &str) -> bool {
    let digits = text.chars().filter(|c| *c != '-').count();
    let is_hex = text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f' | '-'));
    is_hex && digits >= 16 && text.chars().any(|c| c.is_ascii_lowercase())
}

fn hexadecimal(text: &str) -> Vec<Run> {
    let mut runs = Vec::new();
    for (at, part) in text.split('-').enumerate() {
        if at > 0 {
            runs.push(Run { kind: Kind::Mark('-'), min: 1, max: 1, text: Some("-".to_owned()) });
        }
        let n = part.chars().count();
        runs.push(Run { kind: Kind::Hexadecimal, min: n, max: n, text: None });
    }
    runs
}

/// One shape for two; nothing where their runs differ in kind.
fn merged(mut shape: Vec<Run>, other: &[Run]) -> Option<Vec<Run>> {
    if shape.len() != other.len() {
        return None;
    }
    for (run, other) in shape.iter_mut().zip(other) {
        if run.kind != other.kind {
            return None;
        }
        (run.min, run.max) = (run.min.min(other.min), run.max.max(other.max));
        if run.text != other.text {
            run.text = None;
        }
    }
    Some(shape)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};

    use super::*;
    use profile::Profiler;

    fn suggested(column: ArrayRef) -> Vec<String> {
        let batch = RecordBatch::try_from_iter_with_nullable([("x", column, true)]).unwrap();
        let mut profiler = Profiler::new(&batch.schema());
        profiler.update(&batch).unwrap();
        let all = suggest(&profiler.finish(), std::slice::from_ref(&batch));
        all.iter().skip(1).map(|check| serde_json::to_string(check).unwrap()).collect()
    }

    fn texts(n: usize, value: impl Fn(usize) -> String) -> Vec<String> {
        suggested(Arc::new(StringArray::from_iter_values((0..n).map(value))))
    }

    fn has(all: &[String], words: &str) -> bool {
        all.iter().any(|text| text.contains(words))
    }

    #[test]
    fn numbers_get_a_range_with_a_margin() {
        let all = suggested(Arc::new(Int64Array::from_iter_values((0..40).map(|i| i % 5 * 25))));
        assert!(has(&all, r#""range":{"column":"x","min":0,"max":110"#), "{all:?}");
        assert!(has(&all, "not_null") && !has(&all, "unique"), "{all:?}");
        let all = suggested(Arc::new(Float64Array::from_iter_values((0..40).map(|i| f64::from(i) / 39.0 - 0.5))));
        assert!(has(&all, r#""min":-0.6,"max":0.6"#), "{all:?}");
        assert!(!has(&all, "unique"), "measurements differ by accident: {all:?}");
        let all = suggested(Arc::new(Int64Array::from_iter_values((0..40).map(|i| i % 3 - 1))));
        assert!(has(&all, r#""values":[-1,0,1]"#) && !has(&all, "range"), "{all:?}");
        let all = suggested(Arc::new(Int64Array::from_iter((0..40).map(|i| (i > 0).then_some(i)))));
        assert!(!has(&all, "not_null") && has(&all, "unique") && !has(&all, "range"), "{all:?}");
    }

    #[test]
    fn texts_get_a_set_or_a_pattern() {
        let all = texts(60, |i| ["red", "green", "blue"][i % 3].into());
        assert!(has(&all, r#""values":["blue","green","red"]"#) && !has(&all, "pattern"), "{all:?}");
        let pattern = |value: &dyn Fn(usize) -> String, expected: &str| {
            let all = texts(60, value);
            let expected = format!("\"pattern\":{}", serde_json::to_string(expected).unwrap());
            assert!(has(&all, &expected), "{expected}: {all:?}");
        };
        pattern(&|i| format!("ORD-{:06}", i * 7), "^ORD-[0-9]{6}$");
        pattern(&|i| format!("2026-{:02}-{:02}", i % 12 + 1, i % 28 + 1), "^[0-9]{4}-[0-9]{2}-[0-9]{2}$");
        pattern(&|i| format!("{}{}", ["a", "b"][i % 2], i), "^[a-z][0-9]{1,2}$");
        pattern(&|i| format!("u{i}@b.example"), "^u[0-9]{1,2}@b\\.example$");
        pattern(
            &|i| format!("{i:08x}-ab{i:02x}-4{i:03x}-8{i:03x}-{i:012x}"),
            "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        );
        for none in [
            texts(60, |i| format!("word{}", "x".repeat(i % 3))),
            texts(60, |i| format!("名字{i}")),
            texts(60, |i| if i % 2 == 0 { format!("a{i}") } else { format!("{i}a") }),
        ] {
            assert!(!has(&none, "pattern"), "{none:?}");
        }
    }

    #[test]
    fn few_rows_promise_nothing() {
        assert!(texts(10, |i| format!("a{i}")).is_empty());
    }
}
