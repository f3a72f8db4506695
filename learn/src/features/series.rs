//! How does a list of numbers over time become an input? The newest `steps` values, on one scale; what is missing at the
//! beginning is filled up as any missing value is.

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use serde_json::Value;

use super::column::ColumnKind;
use super::fit::{Fitted, Training};
use super::number;
use super::numeric::{NumberInput, NumericPart, SeriesInput};
use super::values::{Mismatch, counted, each_number, is_number, narrow};
use crate::spec::{SeriesSpec, Takes};
use crate::{Error, Result};

/// What a series column has to hold.
pub(super) const EXPECTED: &str = "lists of numbers";

/// Most values of a series that are read.
const STEPS_MAX: usize = 4_096;

/// Whether a type holds lists of numbers.
pub(super) fn is_series(kind: &DataType) -> bool {
    match kind {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            is_number(item.data_type()) || item.data_type() == &DataType::Null
        }
        _ => false,
    }
}

/// Calls `f` with the row and the list of each row that has one.
fn each_list(array: &dyn Array, f: &mut dyn FnMut(usize, &dyn Array)) -> Result<(), Mismatch> {
    match array.data_type() {
        DataType::Null => return Ok(()),
        kind if !is_series(kind) => return Err(Mismatch::Type),
        _ => {}
    }
    let mut list = |row: usize, values: &dyn Array| {
        if array.is_valid(row) {
            f(row, values);
        }
    };
    match array.data_type() {
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            (0..lists.len()).for_each(|row| list(row, lists.value(row).as_ref()));
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            (0..lists.len()).for_each(|row| list(row, lists.value(row).as_ref()));
        }
        _ => {
            let lists = array.as_fixed_size_list();
            (0..lists.len()).for_each(|row| list(row, lists.value(row).as_ref()));
        }
    }
    Ok(())
}

/// Calls `set` with row, step and value: the newest value of each list at the last step, NaN where missing.
pub(super) fn encode(array: &dyn Array, steps: usize, set: &mut dyn FnMut(usize, usize, f32)) -> Result<(), Mismatch> {
    let mut wrong = None;
    each_list(array, &mut |row, values| {
        let skipped = values.len().saturating_sub(steps);
        let newest = values.slice(skipped, values.len() - skipped);
        let first = steps - newest.len();
        if each_number(newest.as_ref(), &mut |at, x| set(row, first + at, narrow(x))).is_err() {
            wrong.get_or_insert(row);
        }
    })?;
    wrong.map_or(Ok(()), |row| Err(Mismatch::Row(row)))
}

/// Fits a series.
pub(super) fn fit(training: &Training<'_>, spec: &SeriesSpec) -> Result<Fitted> {
    let name = training.name;
    if let Some(given) = spec.steps.filter(|given| !(1..=STEPS_MAX).contains(given)) {
        return Err(Error::invalid(format!("column \"{name}\": steps is {given}, expected 1 to {STEPS_MAX}")));
    }
    let (mut present, mut longest, mut shortest) = (0_u64, 0, usize::MAX);
    training.each(EXPECTED, |array| {
        each_list(array, &mut |_, values| {
            present += 1;
            longest = longest.max(values.len());
            shortest = shortest.min(values.len());
        })
    })?;
    let steps = spec.steps.unwrap_or(longest);
    if steps > STEPS_MAX {
        return Err(Error::invalid(format!(
            "column \"{name}\": its longest list has {longest} values, {STEPS_MAX} are allowed; say how many of the newest \
             to read with steps"
        )));
    }
    let mut values: Vec<f32> = Vec::new();
    training.each(EXPECTED, |array| encode(array, steps, &mut |_, _, x| values.push(x)))?;
    let example = example(training, steps);
    let read = values.len();
    values.retain(|x| !x.is_nan());
    if values.is_empty() {
        return Err(training.without_values());
    }
    let (min, max) = number::range(&values);
    let impute = number::fill(number::Fill::of(spec.impute), &mut values);
    let (affine, scaling) = number::affine(spec.scale, &mut values);
    let flat = training.takes != Takes::Sequences;
    let how = format!(
        "series of {} from {} to {}{}{}{}, {scaling}{}",
        counted(steps as u64, "step"),
        number::shown(min),
        number::shown(max),
        if shortest < steps {
            format!(", lists from {shortest} values on are filled up at their beginning")
        } else {
            "".into()
        },
        if longest > steps { format!(", of lists of up to {longest} the newest") } else { "".into() },
        if values.len() < read { format!(", {} missing", read - values.len()) } else { "".into() },
        if flat { ", each step an input of its own" } else { "" },
    );
    let mut inputs = NumericPart::default();
    match flat {
        true => inputs.numbers.extend((0..steps).map(|step| NumberInput {
            // The newest step is 0, as a forecaster counts.
            name: format!("{name}.{}", step as i64 + 1 - steps as i64),
            impute,
            indicator: false,
            clip: [f32::NEG_INFINITY, f32::INFINITY],
            affine,
        })),
        false => inputs.series.push(SeriesInput { name: name.into(), steps, impute, affine }),
    }
    let missing = training.rows as u64 - present;
    Ok(Fitted { kind: ColumnKind::Series { steps, min, max, flat }, example, missing, inputs, how })
}

/// The first list of the training rows, its newest values.
fn example(training: &Training<'_>, steps: usize) -> Value {
    let mut example = Value::Null;
    for (array, _) in &training.arrays {
        let Some(row) = (0..array.len()).find(|&row| array.is_valid(row)) else { continue };
        let mut values = Vec::new();
        let _ = encode(array.slice(row, 1).as_ref(), steps, &mut |_, _, x| values.push(number::json(x)));
        example = Value::from(values);
        break;
    }
    example
}
