//! What is a column good for, when nobody said? Chosen by its type and the values of the training rows.

use std::collections::HashSet;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};

use super::category::{Counts, ONE_HOT_MAX};
use super::column::ColumnKind;
use super::fit::{Fitted, Outcome, Training};
use super::number::Numbers;
use super::values::{counted, holds, is_binary, is_date, is_number, is_text};
use super::{category, date, image, number, series, text};
use crate::Result;
use crate::spec::{CategorySpec, DateSpec, ImageSpec, NumberSpec, SeriesSpec, TextSpec};

/// Why a column of row numbers is left out.
const IDENTIFIER: &str = "whole numbers that are different in every row: they name rows, they do not describe them";

/// Fewer rows than this say nothing about whether values repeat.
const IDENTIFIER_ROWS_MIN: usize = 20;

/// Text longer than this on average, in bytes, is prose and no category.
const CATEGORY_BYTES_MAX: u64 = 200;

/// Fits a column as what it seems to be. `asked` columns were named by the user: identifiers are kept.
pub(super) fn fit(training: &Training<'_>, asked: bool) -> Result<Outcome> {
    let kind = training.field.data_type();
    if training.nulls() == training.rows {
        return left_out("no value in any training row");
    }
    match kind {
        DataType::Boolean => boolean(training),
        kind if is_number(kind) => numbers(training, asked),
        kind if is_date(kind) => dates(training),
        kind if is_text(kind) => words(training),
        kind if series::is_series(kind) => lists(training),
        DataType::FixedSizeBinary(_) if training.field.metadata().is_empty() => {
            left_out("bytes of which no picture size is known")
        }
        kind if is_binary(kind) => read(image::fit(training, &ImageSpec::default())?),
        kind => left_out(format!("{} cannot be a feature; take them apart in the table's SQL", holds(kind))),
    }
}

fn read(fitted: Fitted) -> Result<Outcome> {
    Ok(Outcome::Read(Box::new(fitted)))
}

fn left_out(reason: impl Into<String>) -> Result<Outcome> {
    Ok(Outcome::LeftOut(reason.into()))
}

fn boolean(training: &Training<'_>) -> Result<Outcome> {
    let counts = category::count(training)?;
    match constant(training, &counts) {
        Some(reason) => left_out(reason),
        None => read(number::fit_boolean(training, true)?),
    }
}

fn constant(training: &Training<'_>, counts: &Counts) -> Option<String> {
    let value = counts.values.keys().next().filter(|_| counts.values.len() == 1)?;
    (counts.present == training.rows as u64).then(|| number::constant(&format!("\"{value}\""), training.rows))
}

fn numbers(training: &Training<'_>, asked: bool) -> Result<Outcome> {
    let numbers = number::read(training)?;
    let mut present = numbers.values.iter().copied().filter(|x| !x.is_nan());
    let Some(first) = present.next() else { return left_out("no finite number in any training row") };
    let missing = numbers.values.iter().any(|x| x.is_nan());
    if !missing && present.all(|x| x == first) {
        return left_out(number::constant(&first.to_string(), training.rows));
    }
    if !asked && !missing && is_identifier(training, &numbers) {
        return Ok(Outcome::Identifier(IDENTIFIER.into()));
    }
    read(number::fit(training, &NumberSpec::default(), numbers, true)?)
}

/// Whether whole numbers are different in every row and either called an id or close enough together to be row numbers.
/// Measurements can differ in every row as well.
fn is_identifier(training: &Training<'_>, numbers: &Numbers) -> bool {
    if !training.field.data_type().is_integer() || training.rows < IDENTIFIER_ROWS_MIN {
        return false;
    }
    let (low, high) = numbers.values.iter().fold((f32::MAX, f32::MIN), |(low, high), &x| (low.min(x), high.max(x)));
    // A random sample of row numbers keeps their range: allow for a small training share.
    let dense = f64::from(high) - f64::from(low) < 4.0 * training.rows as f64;
    if !dense && !called_id(training.name) {
        return false;
    }
    let mut seen = HashSet::new();
    for (array, _) in &training.arrays {
        // Not as floats, which do not hold all integers of 64 bits; what `i64` does not hold becomes null.
        let Ok(array) = cast(*array, &DataType::Int64) else { return false };
        if !array.as_primitive::<Int64Type>().iter().all(|value| value.is_some_and(|value| seen.insert(value))) {
            return false;
        }
    }
    true
}

fn called_id(name: &str) -> bool {
    let lower = name.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).collect();
    let is = |word: &&str| matches!(*word, "id" | "uuid" | "guid" | "key" | "index" | "rownum" | "rowid" | "编号");
    words.iter().any(is) || name.ends_with("Id") || name.ends_with("ID")
}

fn dates(training: &Training<'_>) -> Result<Outcome> {
    let dates = date::read(training)?;
    if dates.iter().all(Option::is_none) {
        return left_out("no date within the calendar in any training row");
    }
    match date::fit(training, &DateSpec::default(), &dates, true)? {
        Some(fitted) => read(fitted),
        None => left_out("dates of which no part (year, month, weekday, hour) ever changes"),
    }
}

fn lists(training: &Training<'_>) -> Result<Outcome> {
    let fitted = series::fit(training, &SeriesSpec::default())?;
    match fitted.kind {
        ColumnKind::Series { min, max, .. } if min == max => left_out(format!("lists of the one value {min}")),
        _ => read(fitted),
    }
}

/// Text: dates, a category, texts to be read, or nothing of use.
fn words(training: &Training<'_>) -> Result<Outcome> {
    let counts = category::count(training)?;
    if let Some(reason) = constant(training, &counts) {
        return left_out(reason);
    }
    let (distinct, present) = (counts.values.len() as u64, counts.present);
    if counts.values.keys().all(|value| date::parse(value).is_some()) {
        return dates(training);
    }
    if distinct > ONE_HOT_MAX as u64 && counts.values.keys().all(|value| value.trim().parse::<f64>().is_ok()) {
        return left_out("text that holds numbers; CAST it in the table's SQL to learn from it");
    }
    if text::looks_like_text(&counts) {
        return read(text::fit(training, &TextSpec::default())?);
    }
    if counts.bytes > CATEGORY_BYTES_MAX * present {
        return left_out(format!(
            "prose, {} bytes on average; name it as text to learn from it",
            counts.bytes / present
        ));
    }
    if distinct > 1 && (distinct == present || (distinct > 20 && distinct * 10 >= present * 9)) {
        return left_out(format!(
            "text with {} in {}: nearly every one occurs only once",
            counted(distinct, "value"),
            counted(present, "row")
        ));
    }
    let mut spec = CategorySpec::default();
    if distinct > ONE_HOT_MAX as u64 {
        // The vector of unknown values is learned from the rare ones.
        spec.count_min = 2;
    }
    read(category::fit(training, &spec, counts)?)
}
