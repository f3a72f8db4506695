//! How does a list of numbers over time become an input? The newest `steps` values, on one scale; what is missing at the
//! beginning is filled up as any missing value is.

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use serde_json::Value;

use super::column::ColumnKind;
use super::fit::{Fitted, Training};
use super::number;
use super::numeric::{NumberInput, NumericPart, SeriesInput};
use super::prepared::Prepared;
use super::statistics::Statistics;
use super::values::{Mismatch, counted, each_number, is_number, narrow};
use crate::spec::{Impute, Scale, SeriesSpec, Takes};
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
    let statistics = statistics(name, spec, steps)?;
    let how = format!(
        "series of {} from {} to {}{}{}{}, {scaling}{}{}",
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
        if flat && !spec.figures_alone { ", each step an input of its own" } else { "" },
        statistics.as_ref().map_or_else(String::new, |of| {
            let only = if of.alone { "only " } else { "" };
            format!(", {only}its figures {}", of.names().join(", "))
        }),
    );
    let mut inputs = NumericPart::default();
    match flat {
        _ if spec.figures_alone => {}
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
    if let Some(of) = &statistics {
        inputs.numbers.extend(figures(training, of, steps)?);
    }
    let missing = training.rows as u64 - present;
    let kind = ColumnKind::Series { steps, min, max, flat };
    let prepared = statistics.map_or(Prepared::Plain, Prepared::Statistics);
    Ok(Fitted { kind, prepared, example, missing, inputs, how })
}

/// The figures that are asked for, where there are some.
fn statistics(column: &str, spec: &SeriesSpec, steps: usize) -> Result<Option<Statistics>> {
    let refuse = |what: String| Err(Error::invalid(format!("column \"{column}\": {what}")));
    if matches!(spec.impute, Impute::Neighbours(_))
        || matches!(spec.scale, Scale::Quantile(_) | Scale::Log | Scale::YeoJohnson)
    {
        return refuse(
            "neighbours, quantile, log and yeo_johnson are for single numbers; bend a series in the table's SQL".into(),
        );
    }
    if let Some(length) = spec.fourier.iter().find(|length| !(**length >= 2.0 && **length <= STEPS_MAX as f64)) {
        return refuse(format!("fourier has a round of {length} steps, expected 2 to {STEPS_MAX}"));
    }
    if let Some(season) = spec.seasons.iter().find(|season| **season == 0 || **season >= steps) {
        return refuse(format!(
            "seasons has {season} steps; of {steps} steps read the newest has up to {} before it",
            steps - 1
        ));
    }
    let fourier = spec.fourier.iter().map(|&length| length as f32).collect();
    let (statistics, seasons) = (spec.statistics.clone(), spec.seasons.clone());
    let of = Statistics { statistics, fourier, seasons, alone: spec.figures_alone };
    match of.width() {
        0 if of.alone => refuse("figures_alone leaves nothing to read; name statistics, fourier or seasons".into()),
        0 => Ok(None),
        _ => Ok(Some(of)),
    }
}

/// The inputs of a series' figures: standardised, the mean for those that are not there.
fn figures(training: &Training<'_>, of: &Statistics, steps: usize) -> Result<Vec<NumberInput>> {
    let mut columns = vec![Vec::new(); of.width()];
    let mut row = vec![0.0; of.width()];
    training.each(EXPECTED, |array| {
        let mut values = vec![f32::NAN; array.len() * steps];
        encode(array, steps, &mut |row, step, x| values[row * steps + step] = x)?;
        for values in values.chunks_exact(steps.max(1)) {
            of.write(values, &mut row);
            columns.iter_mut().zip(&row).filter(|(_, x)| !x.is_nan()).for_each(|(column, &x)| column.push(x));
        }
        Ok(())
    })?;
    let input = |(name, mut values): (String, Vec<f32>)| NumberInput {
        name: format!("{}.{name}", training.name),
        impute: number::fill(number::Fill::Mean, &mut values),
        indicator: false,
        clip: [f32::NEG_INFINITY, f32::INFINITY],
        affine: number::affine(Scale::Standard, &mut values).0,
    };
    Ok(of.names().into_iter().zip(columns).map(input).collect())
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
