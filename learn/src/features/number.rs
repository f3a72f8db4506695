//! How does a number become an input? What stands in for a missing one, and the scaling, from the training rows.

use serde_json::Value;

use super::column::{ColumnKind, Vocabulary};
use super::curve::Curve;
use super::fit::{Fitted, Training};
use super::numeric::{Affine, CategoryInput, NumberInput, NumericPart};
use super::prepared::Prepared;
use super::values::{NUMBER_MAX, counted, each_boolean, each_number, narrow, short};
use crate::spec::{BinsBy, BinsSpec, Impute, NumberSpec, Scale};
use crate::{Error, Result};

/// The numbers of the training rows as the network reads them.
pub(super) struct Numbers {
    /// One per row, NaN where missing or infinite.
    pub(super) values: Vec<f32>,
    /// How many were infinite or too large.
    pub(super) infinite: u64,
}

/// Reads the numbers of a column.
pub(super) fn read(training: &Training<'_>) -> Result<Numbers> {
    let mut numbers = Numbers { values: Vec::with_capacity(training.rows), infinite: 0 };
    training.each("a number", |array| {
        each_number(array, &mut |_, x| {
            numbers.infinite += u64::from(x.abs() >= NUMBER_MAX);
            numbers.values.push(narrow(x));
        })
    })?;
    Ok(numbers)
}

/// Fits a number. `auto` adds the missing indicator where values are missing often enough to matter.
pub(super) fn fit(training: &Training<'_>, spec: &NumberSpec, numbers: Numbers, auto: bool) -> Result<Fitted> {
    check(training.name, spec)?;
    let Numbers { values: mut present, infinite } = numbers;
    let rows = present.len();
    present.retain(|x| !x.is_nan());
    if present.is_empty() {
        return Err(training.without_values());
    }
    let missing = (rows - present.len()) as u64;
    let (min, max) = range(&present);
    let median = quantile(&mut present, 0.5);
    let integer = training.field.data_type().is_integer();
    // An example of whole numbers has to be one.
    let middle = if integer { median.round() } else { median };
    let example = if integer { Value::from(middle as i64) } else { json(middle) };
    let kind = ColumnKind::Number { min, max, integer };
    let range = format!("{} from {} to {}", if integer { "whole number" } else { "number" }, shown(min), shown(max));
    if let Some(bins) = spec.bins {
        let edges = edges(bins, &mut present);
        let cardinality = edges.len() + 1 + Vocabulary::FIRST as usize;
        let how = format!("{range}{}, {}", missing_words(missing, infinite, None, 0.0), bins_words(bins, &edges));
        let inputs = CategoryInput::OneHot { name: training.name.into(), cardinality };
        let inputs = NumericPart { categories: vec![inputs], ..NumericPart::default() };
        return Ok(Fitted { kind, prepared: Prepared::Bins { edges }, example, missing, inputs, how });
    }
    let fill = Fill::of(spec.impute);
    let impute = if let Fill::Median = fill { median } else { self::fill(fill, &mut present) };
    let clip = limits(spec, &mut present);
    present.iter_mut().for_each(|x| *x = x.max(clip[0]).min(clip[1]));
    let (curve, bending) = curve(spec.scale, &mut present);
    let (affine, scaling) = affine(spec.scale, &mut present);
    let missing_rows = training.often_missing(missing) || (missing > 0 && min == max);
    let indicator = spec.indicator || (auto && missing_rows);
    let how = format!(
        "{range}{}{}, {bending}{scaling}{}",
        missing_words(missing, infinite, Some(fill), impute),
        if clip[0] > f32::NEG_INFINITY {
            format!(", clipped to {} to {}", shown(clip[0]), shown(clip[1]))
        } else {
            "".into()
        },
        if indicator { ", and an input that says whether it was missing" } else { "" },
    );
    // Neighbours leave nothing missing: their indicator is made of the column before they fill it.
    let indicator = indicator && !matches!(fill, Fill::Neighbours(_));
    let bend = |x: f32| curve.as_ref().filter(|_| x.is_finite()).map_or(x, |curve| curve.bend(x));
    // What rises everywhere keeps the order: the ends are bent as the values are.
    let (impute, clip) = (bend(impute), clip.map(bend));
    let input = NumberInput { name: training.name.into(), impute, indicator, clip, affine };
    let prepared = curve.map_or(Prepared::Plain, Prepared::Curve);
    Ok(Fitted { kind, prepared, example, missing, inputs: input.into(), how })
}

/// Lowest and highest value let through; infinite where open. Reorders `values`.
fn limits(spec: &NumberSpec, values: &mut [f32]) -> [f32; 2] {
    match (spec.clip, spec.winsorize) {
        (Some(clip), _) => clip.map(|end| end as f32),
        (None, Some(shares)) => shares.map(|share| quantile(values, share)),
        (None, None) => [f32::NEG_INFINITY, f32::INFINITY],
    }
}

/// Bends the values where the scaling does, and says so.
fn curve(scale: Scale, values: &mut [f32]) -> (Option<Curve>, String) {
    let (curve, how) = match scale {
        Scale::None | Scale::Standard | Scale::MinMax | Scale::Robust => return (None, String::new()),
        Scale::Log => (Curve::Log, "logarithm of 1 and the amount, ".to_owned()),
        Scale::YeoJohnson => {
            let curve = Curve::fit_yeo_johnson(values);
            let lambda = if let Curve::YeoJohnson { lambda } = &curve { *lambda } else { 1.0 };
            (curve, format!("bent by Yeo and Johnson's power {}, ", shown(lambda)))
        }
        Scale::Quantile(spec) => {
            let curve = Curve::fit_quantile(spec, values);
            let count = if let Curve::Quantile { table, .. } = &curve { table.len() } else { 0 };
            (curve, format!("by its place among {count} quantiles, "))
        }
    };
    values.iter_mut().for_each(|x| *x = curve.bend(*x));
    (Some(curve), how)
}

/// Where bins end and begin: rising, without those that would hold nothing. Reorders `values`.
fn edges(spec: BinsSpec, values: &mut [f32]) -> Vec<f32> {
    let (low, high) = range(values);
    let share = |i: usize| i as f64 / spec.count as f64;
    let mut edges: Vec<f32> = match spec.by {
        BinsBy::Width => {
            let width = f64::from(high) - f64::from(low);
            (1..spec.count).map(|i| (f64::from(low) + width * share(i)) as f32).collect()
        }
        BinsBy::Quantile => {
            values.sort_unstable_by(f32::total_cmp);
            (1..spec.count).map(|i| quantile_of_sorted(values, share(i))).collect()
        }
    };
    edges.dedup();
    edges.retain(|&edge| low < edge && edge <= high);
    edges
}

fn bins_words(spec: BinsSpec, edges: &[f32]) -> String {
    let by = match spec.by {
        BinsBy::Width => "of one width",
        BinsBy::Quantile => "of as many rows each",
    };
    let shown: Vec<String> = edges.iter().take(5).map(|&edge| self::shown(edge)).collect();
    let more = if edges.len() > shown.len() { ", ..." } else { "" };
    let ends = if shown.is_empty() { String::new() } else { format!(", divided at {}{more}", shown.join(", ")) };
    format!("in {} {by}{ends}", counted(edges.len() as u64 + 1, "bin"))
}

fn check(column: &str, spec: &NumberSpec) -> Result<()> {
    let usable = |x: f64| x.abs() < NUMBER_MAX;
    if let Some([low, high]) = spec.clip
        && !(usable(low) && usable(high) && low < high)
    {
        return Err(Error::invalid(format!(
            "column \"{column}\": clip [{low}, {high}] is not a range; write the lower end first"
        )));
    }
    if let Some([low, high]) = spec.winsorize
        && !(low >= 0.0 && high <= 1.0 && low < high)
    {
        return Err(Error::invalid(format!(
            "column \"{column}\": winsorize [{low}, {high}] is not a range of shares; write [0.01, 0.99]"
        )));
    }
    if spec.clip.is_some() && spec.winsorize.is_some() {
        return Err(Error::invalid(format!(
            "column \"{column}\": clip and winsorize both say what is let through; keep one"
        )));
    }
    if let Some(BinsSpec { count, .. }) = spec.bins.filter(|bins| !(2..=1_000).contains(&bins.count)) {
        return Err(Error::invalid(format!("column \"{column}\": bins.count is {count}, expected 2 to 1000")));
    }
    if let Scale::Quantile(of) = spec.scale
        && !(2..=1_000).contains(&of.quantiles)
    {
        let given = of.quantiles;
        return Err(Error::invalid(format!("column \"{column}\": quantiles is {given}, expected 2 to 1000")));
    }
    match spec.impute {
        Impute::Neighbours(of) if !(1..=100).contains(&of.count) || !(10..=10_000).contains(&of.rows_max) => {
            Err(Error::invalid(format!(
                "column \"{column}\": neighbours takes a count of 1 to 100 and rows_max of 10 to 10000"
            )))
        }
        Impute::Neighbours(_) if spec.bins.is_some() => Err(Error::invalid(format!(
            "column \"{column}\": a number in bins has an input for missing values, which neighbours would fill; keep one"
        ))),
        Impute::Constant(value) if !usable(value) => {
            Err(Error::invalid(format!("column \"{column}\": {value} can not stand in for a missing number")))
        }
        _ => Ok(()),
    }
}

/// How many values are missing, and what becomes of them.
fn missing_words(missing: u64, infinite: u64, fill: Option<Fill>, impute: f32) -> String {
    let value = shown(impute);
    let with = match fill {
        _ if missing == 0 => return String::new(),
        None => String::new(),
        Some(Fill::Mean) => format!(" replaced by the mean {value}"),
        Some(Fill::Median) => format!(" replaced by the median {value}"),
        Some(Fill::Mode) => format!(" replaced by the most frequent value {value}"),
        Some(Fill::Neighbours(count)) => {
            format!(" replaced by the mean of the {count} training rows most alike, {value} where none is")
        }
        Some(Fill::Constant(_)) => format!(" replaced by {value}"),
    };
    format!(", {}{with}", missing_count(missing, infinite))
}

fn missing_count(missing: u64, infinite: u64) -> String {
    match infinite {
        0 => format!("{missing} missing"),
        infinite => format!("{missing} missing ({infinite} of them infinite)"),
    }
}

/// Fits a boolean: 0 and 1 as they are, the share of true for a missing one.
pub(super) fn fit_boolean(training: &Training<'_>, auto: bool) -> Result<Fitted> {
    let (mut yes, mut no) = (0_u64, 0_u64);
    training.each("true or false", |array| {
        each_boolean(array, &mut |_, x| {
            yes += u64::from(x == 1.0);
            no += u64::from(x == 0.0);
        })
    })?;
    if yes + no == 0 {
        return Err(training.without_values());
    }
    let missing = training.rows as u64 - yes - no;
    let share = yes as f64 / (yes + no) as f64;
    let indicator = auto && training.often_missing(missing);
    let how = format!(
        "boolean, {} % true{}",
        short((share * 1000.0).round() / 10.0),
        if missing > 0 { format!(", {missing} missing replaced by that share") } else { String::new() }
    );
    let clip = [f32::NEG_INFINITY, f32::INFINITY];
    let affine = Affine::IDENTITY;
    let input = NumberInput { name: training.name.into(), impute: share as f32, indicator, clip, affine };
    let example = Value::from(yes >= no);
    let prepared = Prepared::Plain;
    Ok(Fitted { kind: ColumnKind::Boolean, prepared, example, missing, inputs: input.into(), how })
}

/// What stands in for a missing number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fill {
    Mean,
    Median,
    Mode,
    Constant(f32),
    /// The mean of so many rows that are most alike; that of all rows where there is none.
    Neighbours(usize),
}

impl Fill {
    /// What a spec asks for.
    pub(super) fn of(impute: Impute) -> Self {
        match impute {
            Impute::Mean => Self::Mean,
            Impute::Neighbours(of) => Self::Neighbours(of.count),
            Impute::Mode => Self::Mode,
            Impute::Median => Self::Median,
            Impute::Constant(value) => Self::Constant(value as f32),
        }
    }
}

/// The value that stands in for a missing one. Reorders `values`, which hold no NaN.
pub(super) fn fill(fill: Fill, values: &mut [f32]) -> f32 {
    match fill {
        Fill::Mean | Fill::Neighbours(_) => moments(values).0 as f32,
        Fill::Median => quantile(values, 0.5),
        Fill::Mode => mode(values),
        Fill::Constant(value) => value,
    }
}

/// The most frequent value; of several the lowest. Sorts `values`.
fn mode(values: &mut [f32]) -> f32 {
    values.sort_unstable_by(f32::total_cmp);
    let runs = values.chunk_by(|a, b| a == b);
    // The first of the longest runs: `max_by_key` would give the last.
    runs.rev().max_by_key(|run| run.len()).map_or(0.0, |run| run[0])
}

/// The scaling of these values, which hold no NaN, and how in words. Where they do not vary, the scale is 1. Reorders
/// `values`.
pub(super) fn affine(scale: Scale, values: &mut [f32]) -> (Affine, String) {
    let (low, high) = range(values);
    let (mean, deviation) = moments(values);
    let standard =
        (mean, deviation, format!("standardised by mean {} and deviation {}", short(mean), short(deviation)));
    let (shift, spread, how) = match scale {
        Scale::None => return (Affine::IDENTITY, "as it is".into()),
        Scale::Quantile(_) => return (Affine::IDENTITY, "which is a common range".into()),
        Scale::Standard | Scale::Log | Scale::YeoJohnson => standard,
        Scale::MinMax => {
            let spread = f64::from(high) - f64::from(low);
            (f64::from(low), spread, format!("brought from {} to {} to 0 to 1", shown(low), shown(high)))
        }
        Scale::Robust => {
            let middle = f64::from(quantile(values, 0.5));
            let spread = f64::from(quantile(values, 0.75)) - f64::from(quantile(values, 0.25));
            // Half of the values being one and the same says nothing about the spread of the rest.
            match spread > 0.0 {
                true => (
                    middle,
                    spread,
                    format!("scaled by median {} and quartiles {} apart", short(middle), short(spread)),
                ),
                false => (
                    middle,
                    deviation,
                    format!("scaled by median {} and deviation {}", short(middle), short(deviation)),
                ),
            }
        }
    };
    let scale = (1.0 / spread) as f32;
    match low < high && scale.is_finite() && scale > 0.0 {
        true => (Affine { shift: shift as f32, scale }, how),
        false => (Affine { shift: shift as f32, scale: 1.0 }, "which does not vary".into()),
    }
}

/// Lowest and highest; 0 and 0 of nothing.
pub(super) fn range(values: &[f32]) -> (f32, f32) {
    let Some(&first) = values.first() else { return (0.0, 0.0) };
    values.iter().fold((first, first), |(low, high), &x| (low.min(x), high.max(x)))
}

/// Mean and standard deviation (of the population), in two passes.
fn moments(values: &[f32]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let squares: f64 = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
    (mean, (squares / n).sqrt())
}

/// Quantile with linear interpolation (Hyndman and Fan 1996, definition 7, as NumPy). Reorders `values`.
pub(super) fn quantile(values: &mut [f32], q: f64) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let place = q * (values.len() - 1) as f64;
    let (_, low, above) = values.select_nth_unstable_by(place as usize, f32::total_cmp);
    let low = f64::from(*low);
    let high = above.iter().copied().min_by(f32::total_cmp).map_or(low, f64::from);
    (low + (high - low) * place.fract()) as f32
}

/// [`quantile`] of sorted values.
pub(super) fn quantile_of_sorted(values: &[f32], q: f64) -> f32 {
    let place = q * values.len().saturating_sub(1) as f64;
    let at = |place: usize| values.get(place).or(values.last()).map_or(0.0, |&x| f64::from(x));
    let (low, high) = (at(place as usize), at(place as usize + 1));
    (low + (high - low) * place.fract()) as f32
}

/// A number with six digits at most.
pub(super) fn shown(x: f32) -> String {
    short(f64::from(x))
}

/// A number as people wrote it: 0.1, not 0.10000000149.
pub(super) fn json(x: f32) -> Value {
    x.to_string().parse::<f64>().ok().map_or(Value::Null, Value::from)
}

/// A constant column in words.
pub(super) fn constant(value: &str, rows: usize) -> String {
    format!("the same value {value} in all {}", counted(rows as u64, "training row"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        // numpy.quantile([7, 1, 3, 10], q)
        for (q, expected) in [(0.0, 1.0), (0.25, 2.5), (0.5, 5.0), (0.75, 7.75), (1.0, 10.0)] {
            assert_eq!(quantile(&mut [7.0, 1.0, 3.0, 10.0], q), expected, "{q}");
        }
        assert_eq!(quantile(&mut [4.0], 0.3), 4.0);
        assert_eq!(quantile(&mut [], 0.3), 0.0);
    }

    #[test]
    fn scaling_follows_its_definition() {
        let check = |scale, values: &[f32], shift: f32, factor: f32| {
            let affine = affine(scale, &mut values.to_vec()).0;
            let close = |a: f32, b: f32| (a - b).abs() <= 1e-6 * b.abs().max(1.0);
            assert!(close(affine.shift, shift) && close(affine.scale, factor), "{scale:?} {values:?}: {affine:?}");
        };
        let values = [1.0, 2.0, 3.0, 4.0, 10.0];
        check(Scale::None, &values, 0.0, 1.0);
        check(Scale::Standard, &values, 4.0, 1.0 / 10.0_f32.sqrt());
        check(Scale::MinMax, &values, 1.0, 1.0 / 9.0);
        check(Scale::Robust, &values, 3.0, 0.5);
        // Quartiles of one and the same value: the deviation (of 0, 0, 0, 0, 5: 2) stands in.
        check(Scale::Robust, &[0.0, 0.0, 0.0, 0.0, 5.0], 0.0, 0.5);
        for scale in [Scale::Standard, Scale::MinMax, Scale::Robust] {
            check(scale, &[0.1; 7], 0.1, 1.0);
            check(scale, &[1e9; 3], 1e9, 1.0);
            check(scale, &[-3.0], -3.0, 1.0);
        }
        // The mean is far from 0 and the deviation small: squares of the plain values would lose it.
        check(Scale::Standard, &[16_777_214.0, 16_777_216.0], 16_777_215.0, 1.0);
        // Subnormal spread: its reciprocal is beyond f32.
        check(Scale::MinMax, &[0.0, 1e-44], 0.0, 1.0);
    }
}
