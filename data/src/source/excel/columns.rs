//! What type do the cells of a column have, and which values are they? A type is found from all of them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use delimited::types;

use super::cells::Value;
use crate::spec::ColumnType;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// Up to here every whole number is a floating-point number.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
/// Characters of a value that a message shows.
const SHOWN_CHARACTERS: usize = 40;

/// A cell that does not fit its column.
pub(super) struct Faulty {
    /// Its row in the sheet's list of rows.
    pub(super) row: usize,
    pub(super) value: String,
}

/// The narrowest type of most cells; text where there are no values.
pub(super) fn infer(cells: &[(u32, Value)], nulls: &[String]) -> ColumnType {
    let (mut booleans, mut numbers, mut times, mut texts) = (0usize, 0usize, 0usize, 0usize);
    let (mut is_whole, mut is_days) = (true, true);
    for (_, value) in cells {
        match value {
            Value::Boolean(_) => booleans += 1,
            Value::Number(number) => {
                numbers += 1;
                is_whole &= number.fract() == 0.0 && number.abs() < WHOLE_MAX;
            }
            Value::Time(micros) => {
                times += 1;
                is_days &= micros % DAY == 0;
            }
            Value::Text(text) => texts += usize::from(!is_null(text, nulls)),
        }
    }
    match booleans.max(numbers).max(times).max(texts) {
        0 => ColumnType::Text,
        most if most == texts => ColumnType::Text,
        most if most == numbers && is_whole => ColumnType::Integer,
        most if most == numbers => ColumnType::Number,
        most if most == times && is_days => ColumnType::Date,
        most if most == times => ColumnType::Timestamp,
        _ => ColumnType::Boolean,
    }
}

fn is_null(text: &str, nulls: &[String]) -> bool {
    let text = text.trim();
    text.is_empty() || nulls.iter().any(|null| null == text)
}

/// The values of a column, `rows` of them from row `begin` on; where one does not fit the type, that one.
pub(super) fn decode(
    cells: &[(u32, Value)],
    begin: usize,
    rows: usize,
    kind: ColumnType,
    nulls: &[String],
) -> Result<ArrayRef, Faulty> {
    macro_rules! decode {
        ($builder:expr, $of:expr) => {{
            let (mut builder, mut next) = ($builder, 0);
            for (row, value) in cells {
                let row = *row as usize - begin;
                (next..row).for_each(|_| builder.append_null());
                next = row + 1;
                match $of(value) {
                    _ if matches!(value, Value::Text(text) if is_null(text, nulls)) => builder.append_null(),
                    Some(value) => builder.append_value(value),
                    None => {
                        let value = value.text().chars().take(SHOWN_CHARACTERS).collect();
                        return Err(Faulty { row: row + begin, value });
                    }
                }
            }
            (next..rows).for_each(|_| builder.append_null());
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    Ok(match kind {
        ColumnType::Boolean => decode!(BooleanBuilder::with_capacity(rows), boolean),
        ColumnType::Integer => decode!(Int64Builder::with_capacity(rows), integer),
        ColumnType::Number => decode!(Float64Builder::with_capacity(rows), number),
        ColumnType::Date => decode!(Date32Builder::with_capacity(rows), date),
        ColumnType::Timestamp => decode!(TimestampMicrosecondBuilder::with_capacity(rows), timestamp),
        ColumnType::Text => decode!(StringBuilder::with_capacity(rows, rows * 8), text),
    })
}

fn text(value: &Value) -> Option<String> {
    Some(value.text())
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Boolean(is) => Some(*is),
        Value::Text(text) => types::boolean(text.trim()),
        Value::Number(_) | Value::Time(_) => None,
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => (number.fract() == 0.0 && number.abs() < WHOLE_MAX).then_some(*number as i64),
        Value::Text(text) => types::integer(text.trim()),
        Value::Boolean(_) | Value::Time(_) => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Text(text) => types::number(text.trim()),
        Value::Boolean(_) | Value::Time(_) => None,
    }
}

fn date(value: &Value) -> Option<i32> {
    match value {
        Value::Time(micros) if micros % DAY == 0 => i32::try_from(micros / DAY).ok(),
        Value::Text(text) => types::date(text.trim()),
        Value::Time(_) | Value::Boolean(_) | Value::Number(_) => None,
    }
}

fn timestamp(value: &Value) -> Option<i64> {
    match value {
        Value::Time(micros) => Some(*micros),
        Value::Text(text) => types::timestamp(text.trim()),
        Value::Boolean(_) | Value::Number(_) => None,
    }
}
