//! What does an Arrow array hold, row by row? One visitor per kind of value; what does not fit is named with its row.

use std::fmt::Write;

use arrow::array::{Array, ArrowPrimitiveType, AsArray};
use arrow::compute::cast;
use arrow::datatypes::*;
use arrow::util::display::array_value_to_string;

use super::date;
use crate::Error;

/// Numbers from here on count as infinite: their differences would leave the range of `f32`.
pub(crate) const NUMBER_MAX: f64 = 1e37;

/// Longest piece of a value that an error message shows.
const SHOWN_MAX: usize = 60;

/// Why an array cannot be read as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// Its type holds something else.
    Type,
    /// The value of this row does.
    Row(usize),
}

/// A number as the network reads it: NaN where missing, infinite or too large.
pub(crate) fn narrow(x: f64) -> f32 {
    if x.abs() < NUMBER_MAX { x as f32 } else { f32::NAN }
}

/// Calls `f` with the number of each row, NaN where missing. Integers, floats and decimals.
pub(crate) fn each_number(array: &dyn Array, f: &mut impl FnMut(usize, f64)) -> Result<(), Mismatch> {
    match array.data_type() {
        DataType::Null => (0..array.len()).for_each(|row| f(row, f64::NAN)),
        DataType::Int8 => visit::<Int8Type>(array, f64::from, f),
        DataType::Int16 => visit::<Int16Type>(array, f64::from, f),
        DataType::Int32 => visit::<Int32Type>(array, f64::from, f),
        DataType::Int64 => visit::<Int64Type>(array, |x| x as f64, f),
        DataType::UInt8 => visit::<UInt8Type>(array, f64::from, f),
        DataType::UInt16 => visit::<UInt16Type>(array, f64::from, f),
        DataType::UInt32 => visit::<UInt32Type>(array, f64::from, f),
        DataType::UInt64 => visit::<UInt64Type>(array, |x| x as f64, f),
        DataType::Float32 => visit::<Float32Type>(array, f64::from, f),
        DataType::Float64 => visit::<Float64Type>(array, |x| x, f),
        kind if is_number(kind) => {
            let floats = cast(array, &DataType::Float64).map_err(|_| Mismatch::Type)?;
            visit::<Float64Type>(&floats, |x| x, f);
        }
        _ => return Err(Mismatch::Type),
    }
    Ok(())
}

fn visit<T: ArrowPrimitiveType>(array: &dyn Array, number: impl Fn(T::Native) -> f64, f: &mut impl FnMut(usize, f64)) {
    let array = array.as_primitive::<T>();
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => array.values().iter().enumerate().for_each(|(row, &x)| f(row, number(x))),
        Some(nulls) => {
            let rows = array.values().iter().zip(nulls.iter()).enumerate();
            rows.for_each(|(row, (&x, valid))| f(row, if valid { number(x) } else { f64::NAN }));
        }
    }
}

/// Whether a type holds numbers.
pub(crate) fn is_number(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, values) => is_number(values),
        kind => kind.is_numeric() && !matches!(kind, DataType::Duration(_)),
    }
}

/// Whether a type holds text.
pub(crate) fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, values) => is_text(values),
        kind => kind.is_string(),
    }
}

/// Whether a type holds dates or time stamps.
pub(crate) fn is_date(kind: &DataType) -> bool {
    matches!(kind, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
}

/// Whether a type can hold pictures.
pub(crate) fn is_binary(kind: &DataType) -> bool {
    kind.is_binary() || matches!(kind, DataType::FixedSizeBinary(_))
}

/// Calls `f` with each row's value in words, nothing where missing. Text, numbers (`3` and `3.0` are the same), booleans
/// and dates.
pub(crate) fn each_text(array: &dyn Array, f: &mut dyn FnMut(usize, Option<&str>)) -> Result<(), Mismatch> {
    fn rows<'a>(values: impl Iterator<Item = Option<&'a str>>, f: &mut dyn FnMut(usize, Option<&str>)) {
        values.enumerate().for_each(|(row, value)| f(row, value));
    }
    let mut words = String::new();
    match array.data_type() {
        DataType::Utf8 => rows(array.as_string::<i32>().iter(), f),
        DataType::LargeUtf8 => rows(array.as_string::<i64>().iter(), f),
        DataType::Utf8View => rows(array.as_string_view().iter(), f),
        DataType::Boolean => {
            let word = |value: bool| if value { "true" } else { "false" };
            rows(array.as_boolean().iter().map(|value| value.map(word)), f);
        }
        DataType::Dictionary(..) => {
            let (values, keys) = dictionary(array).ok_or(Mismatch::Type)?;
            let mut known = vec![None; values.len()];
            each_text(values, &mut |key, value| known[key] = value.map(str::to_owned))?;
            keys.iter().enumerate().for_each(|(row, key)| f(row, key.and_then(|key| known[key].as_deref())));
        }
        DataType::Int64 => whole::<Int64Type>(array, f),
        DataType::UInt64 => whole::<UInt64Type>(array, f),
        kind if kind.is_integer() => {
            whole::<Int64Type>(&cast(array, &DataType::Int64).map_err(|_| Mismatch::Type)?, f);
        }
        DataType::Float32 => {
            for (row, value) in array.as_primitive::<Float32Type>().iter().enumerate() {
                // Adding 0 turns -0 into 0.
                let value = value.filter(|x| !x.is_nan()).map(|x| write_words(&mut words, x + 0.0));
                f(row, value);
            }
        }
        kind if is_number(kind) || kind == &DataType::Null => each_number(array, &mut |row, x| {
            f(row, (!x.is_nan()).then(|| write_words(&mut words, x + 0.0)));
        })?,
        kind if is_date(kind) => each_date(array, &mut |row, seconds| {
            let value = seconds.map(|seconds| write_words(&mut words, date::iso(seconds)));
            f(row, value);
        })?,
        _ => return Err(Mismatch::Type),
    }
    Ok(())
}

/// Integers of 64 bits, not all of which `f64` holds.
fn whole<T: ArrowPrimitiveType<Native: std::fmt::Display>>(array: &dyn Array, f: &mut dyn FnMut(usize, Option<&str>)) {
    let (mut words, mut written) = (String::new(), None);
    for (row, value) in array.as_primitive::<T>().iter().enumerate() {
        if value.is_some() && value != written {
            write_words(&mut words, value.unwrap_or_default());
            written = value;
        }
        f(row, value.map(|_| words.as_str()));
    }
}

fn write_words(words: &mut String, value: impl std::fmt::Display) -> &str {
    words.clear();
    // Writing to a string cannot fail.
    let _ = write!(words, "{value}");
    words
}

/// The values of a dictionary and each row's place among them, nothing where missing.
pub(crate) fn dictionary(array: &dyn Array) -> Option<(&dyn Array, Vec<Option<usize>>)> {
    let dictionary = array.as_any_dictionary_opt()?;
    let values = dictionary.values().as_ref();
    let keys = match values.len() {
        0 => vec![None; array.len()],
        _ => {
            let keys = dictionary.normalized_keys().into_iter().enumerate();
            keys.map(|(row, key)| (array.is_valid(row) && values.is_valid(key)).then_some(key)).collect()
        }
    };
    Some((values, keys))
}

/// Calls `f` with each row's time stamp in seconds since 1970 (UTC), nothing where missing or beyond what a calendar
/// holds. Dates, time stamps, and text in ISO 8601.
pub(crate) fn each_date(array: &dyn Array, f: &mut dyn FnMut(usize, Option<i64>)) -> Result<(), Mismatch> {
    let mut wrong = None;
    let count = |per_second: i64, x: Option<i64>| x.map(|x| x.div_euclid(per_second)).filter(|&s| date::holds(s));
    match array.data_type() {
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().iter().enumerate();
            days.for_each(|(row, day)| f(row, count(1, day.map(|day| i64::from(day) * 86_400))));
        }
        DataType::Date64 | DataType::Timestamp(..) => {
            let per_second = match array.data_type() {
                DataType::Timestamp(TimeUnit::Second, _) => 1,
                DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000_000,
                DataType::Timestamp(TimeUnit::Nanosecond, _) => 1_000_000_000,
                _ => 1_000,
            };
            let whole = cast(array, &DataType::Int64).map_err(|_| Mismatch::Type)?;
            let whole = whole.as_primitive::<Int64Type>().iter().enumerate();
            whole.for_each(|(row, x)| f(row, count(per_second, x)));
        }
        DataType::Null => (0..array.len()).for_each(|row| f(row, None)),
        kind if is_text(kind) => each_text(array, &mut |row, value| {
            let seconds = value.and_then(date::parse);
            if seconds.is_none() && value.is_some() {
                wrong.get_or_insert(row);
            }
            f(row, seconds);
        })?,
        _ => return Err(Mismatch::Type),
    }
    wrong.map_or(Ok(()), |row| Err(Mismatch::Row(row)))
}

/// Calls `f` with 1, 0 or NaN (missing) for each row. Booleans, the numbers 0 and 1, and the words for yes and no.
pub(crate) fn each_boolean(array: &dyn Array, f: &mut dyn FnMut(usize, f32)) -> Result<(), Mismatch> {
    let mut wrong = None;
    if is_number(array.data_type()) {
        each_number(array, &mut |row, x| {
            if x != 0.0 && x != 1.0 && !x.is_nan() {
                wrong.get_or_insert(row);
            }
            f(row, x as f32);
        })?;
    } else if is_date(array.data_type()) {
        return Err(Mismatch::Type);
    } else {
        each_text(array, &mut |row, value| {
            let is = |words: &[&str], value: &str| words.iter().any(|word| value.eq_ignore_ascii_case(word));
            f(
                row,
                match value.map(str::trim) {
                    None => f32::NAN,
                    Some(value) if is(&["true", "yes", "t", "y", "1"], value) => 1.0,
                    Some(value) if is(&["false", "no", "f", "n", "0"], value) => 0.0,
                    Some(_) => {
                        wrong.get_or_insert(row);
                        f32::NAN
                    }
                },
            );
        })?;
    }
    wrong.map_or(Ok(()), |row| Err(Mismatch::Row(row)))
}

/// The error for an array that does not hold what was expected: names the column, the row (`before` rows precede the
/// array; the first row is row 1) and the value.
pub(crate) fn complaint(column: &str, array: &dyn Array, before: usize, mismatch: Mismatch, expected: &str) -> Error {
    let row = match mismatch {
        Mismatch::Row(row) => Some(row),
        Mismatch::Type if is_text(array.data_type()) => first_word(array),
        Mismatch::Type => (0..array.len()).find(|&row| array.is_valid(row)),
    };
    let Some(row) = row else {
        return Error::invalid(format!("column \"{column}\" holds {}, expected {expected}", holds(array.data_type())));
    };
    let value = array_value_to_string(array, row).unwrap_or_default();
    let shown: String = value.chars().take(SHOWN_MAX).collect();
    let rest = if shown.len() < value.len() { "..." } else { "" };
    let value = match array.data_type() {
        kind if is_text(kind) => format!("\"{}{rest}\" is text", shown.escape_debug()),
        kind if is_number(kind) => format!("{shown} is a number"),
        DataType::Boolean => format!("{shown} is a boolean"),
        kind if is_date(kind) => format!("{shown} is a date"),
        kind => format!("the value is {}", holds(kind)),
    };
    Error::invalid(format!("column \"{column}\", row {}: {value}, expected {expected}", before + row + 1))
}

/// The first text that is no number, else the first text.
fn first_word(array: &dyn Array) -> Option<usize> {
    let (mut first, mut word) = (None, None);
    let _ = each_text(array, &mut |row, value| {
        if let Some(value) = value {
            first.get_or_insert(row);
            if word.is_none() && value.trim().parse::<f64>().is_err() {
                word = Some(row);
            }
        }
    });
    word.or(first)
}

/// What a type holds, in words.
pub(crate) fn holds(kind: &DataType) -> String {
    match kind {
        kind if is_text(kind) => "text".into(),
        kind if is_number(kind) => "numbers".into(),
        DataType::Boolean => "booleans".into(),
        kind if is_date(kind) => "dates".into(),
        kind if is_binary(kind) => "binary data".into(),
        kind => format!("values of type {kind}"),
    }
}

/// Sorts values: numbers first, by value, then text.
pub(crate) fn sort_values(values: &mut [String]) {
    let number = |value: &str| value.parse::<f64>().ok().filter(|x| x.is_finite());
    values.sort_by_cached_key(|value| {
        let number = number(value);
        // Maps the order of floats to that of integers: flips all but the sign bit of negative ones.
        let bits = number.map(|x| (x + 0.0).to_bits() as i64);
        (number.is_none(), bits.map(|bits| bits ^ (((bits >> 63) as u64) >> 1) as i64), value.clone())
    });
}

/// A number with six digits at most, for words.
pub(crate) fn short(x: f64) -> String {
    format!("{x:.5e}").parse::<f64>().unwrap_or(x).to_string()
}

/// A count with its noun.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
