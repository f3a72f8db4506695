//! Which value of its column does JSON hold? Nothing is rounded or guessed: what does not fit is refused in words.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use delimited::types::{boolean, date, integer, number, timestamp};
use serde_json::Value;

use crate::spec::ColumnType;

/// Whole numbers that 64 bits of a real number hold exactly.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
/// Characters of a wrong value that a message shows.
const SHOWN_CHARACTERS_MAX: usize = 40;

/// A value of a row: dates in days, points in time in microseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

/// The value that JSON gives for a column.
pub(super) fn cell(kind: ColumnType, value: &Value) -> Result<Cell, String> {
    let read = match (kind, value) {
        (_, Value::Null) => Some(Cell::Null),
        (ColumnType::Text, Value::String(text)) => Some(Cell::Text(text.clone())),
        (ColumnType::Text, other) => Some(Cell::Text(other.to_string())),
        (ColumnType::Boolean, Value::Bool(value)) => Some(Cell::Boolean(*value)),
        (ColumnType::Integer, Value::Number(value)) => {
            value.as_i64().or_else(|| whole(value.as_f64()?)).map(Cell::Integer)
        }
        (ColumnType::Number, Value::Number(value)) => value.as_f64().map(Cell::Number),
        (_, Value::String(text)) => of_text(kind, text),
        _ => None,
    };
    read.ok_or_else(|| misfit(kind, &value.to_string()))
}

/// The value that a text gives for a column; an empty one is no value, but for texts.
pub(super) fn field_cell(kind: ColumnType, value: &[u8]) -> Result<Cell, String> {
    let text = std::str::from_utf8(value).map_err(|_| "the value is not UTF-8".to_owned())?;
    match kind {
        ColumnType::Text => Ok(Cell::Text(text.to_owned())),
        _ if text.is_empty() => Ok(Cell::Null),
        _ => of_text(kind, text).ok_or_else(|| misfit(kind, text)),
    }
}

fn of_text(kind: ColumnType, text: &str) -> Option<Cell> {
    match kind {
        ColumnType::Boolean => boolean(text).map(Cell::Boolean),
        ColumnType::Integer => integer(text).map(Cell::Integer),
        ColumnType::Number => number(text).map(Cell::Number),
        ColumnType::Date => date(text).map(|days| Cell::Integer(i64::from(days))),
        ColumnType::Timestamp => timestamp(text).map(Cell::Integer),
        ColumnType::Text => Some(Cell::Text(text.to_owned())),
    }
}

/// `5.0` is a whole number for senders that know no others.
fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() <= EXACT_MAX).then_some(value as i64)
}

fn misfit(kind: ColumnType, value: &str) -> String {
    let mut shown: String = value.chars().take(SHOWN_CHARACTERS_MAX).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    let hint = match kind {
        ColumnType::Date => "; write 2026-01-31",
        ColumnType::Timestamp => "; write 2026-01-31T12:00:00Z",
        _ => "",
    };
    format!("{shown} where the column holds {}{hint}", kind.plural())
}

/// The values of a column, one after another.
pub(super) enum Builder {
    Boolean(BooleanBuilder),
    Integer(Int64Builder),
    Number(Float64Builder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringBuilder),
}

impl Builder {
    pub(super) fn new(kind: ColumnType) -> Self {
        match kind {
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnType::Integer => Self::Integer(Int64Builder::new()),
            ColumnType::Number => Self::Number(Float64Builder::new()),
            ColumnType::Date => Self::Date(Date32Builder::new()),
            ColumnType::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::new()),
            ColumnType::Text => Self::Text(StringBuilder::new()),
        }
    }

    /// Adds a value of this column; any other counts as none.
    pub(super) fn add(&mut self, cell: Cell) {
        match (self, cell) {
            (Self::Boolean(all), Cell::Boolean(value)) => all.append_value(value),
            (Self::Integer(all), Cell::Integer(value)) => all.append_value(value),
            (Self::Number(all), Cell::Number(value)) => all.append_value(value),
            (Self::Date(all), Cell::Integer(days)) => all.append_option(i32::try_from(days).ok()),
            (Self::Timestamp(all), Cell::Integer(micros)) => all.append_value(micros),
            (Self::Text(all), Cell::Text(text)) => all.append_value(text),
            (Self::Boolean(all), _) => all.append_null(),
            (Self::Integer(all), _) => all.append_null(),
            (Self::Number(all), _) => all.append_null(),
            (Self::Date(all), _) => all.append_null(),
            (Self::Timestamp(all), _) => all.append_null(),
            (Self::Text(all), _) => all.append_null(),
        }
    }

    /// The values so far; begins anew.
    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(all) => Arc::new(all.finish()),
            Self::Integer(all) => Arc::new(all.finish()),
            Self::Number(all) => Arc::new(all.finish()),
            Self::Date(all) => ArrayBuilder::finish(all),
            Self::Timestamp(all) => ArrayBuilder::finish(all),
            Self::Text(all) => ArrayBuilder::finish(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_is_rounded_or_guessed() {
        let check = |kind, value: Value, expected: Result<Cell, &str>| {
            let found = cell(kind, &value);
            match (&found, &expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{value}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{value}: {found}"),
                _ => panic!("{value}: {found:?}, not {expected:?}"),
            }
        };
        check(ColumnType::Integer, json!(7), Ok(Cell::Integer(7)));
        check(ColumnType::Integer, json!(7.0), Ok(Cell::Integer(7)));
        check(ColumnType::Integer, json!(i64::MIN), Ok(Cell::Integer(i64::MIN)));
        check(ColumnType::Integer, json!("-3"), Ok(Cell::Integer(-3)));
        check(ColumnType::Integer, json!(7.5), Err("7.5 where the column holds whole numbers"));
        check(ColumnType::Integer, json!(u64::MAX), Err("where the column holds whole numbers"));
        check(ColumnType::Integer, json!(1e300), Err("where the column holds whole numbers"));
        check(ColumnType::Integer, json!(true), Err("true where the column holds whole numbers"));
        check(ColumnType::Number, json!(3), Ok(Cell::Number(3.0)));
        check(ColumnType::Number, json!("x"), Err("\"x\" where the column holds numbers"));
        check(ColumnType::Boolean, json!(true), Ok(Cell::Boolean(true)));
        check(ColumnType::Boolean, json!(1), Err("1 where the column holds true and false"));
        check(ColumnType::Date, json!("1970-01-02"), Ok(Cell::Integer(1)));
        check(ColumnType::Timestamp, json!("1970-01-01T01:00:00+01:00"), Ok(Cell::Integer(0)));
        check(ColumnType::Timestamp, json!(1_700_000_000), Err("write 2026-01-31T12:00:00Z"));
        check(ColumnType::Text, json!("数据 🦀"), Ok(Cell::Text("数据 🦀".into())));
        check(ColumnType::Text, json!({ "b": [1, null] }), Ok(Cell::Text("{\"b\":[1,null]}".into())));
        check(ColumnType::Text, json!(null), Ok(Cell::Null));
    }

    #[test]
    fn a_field_is_a_text_of_its_type() {
        assert_eq!(field_cell(ColumnType::Number, b"2.5"), Ok(Cell::Number(2.5)));
        assert_eq!(field_cell(ColumnType::Number, b""), Ok(Cell::Null));
        assert_eq!(field_cell(ColumnType::Text, b""), Ok(Cell::Text(String::new())));
        assert!(field_cell(ColumnType::Integer, b"2.5").is_err());
        assert!(field_cell(ColumnType::Text, &[0xff]).is_err());
    }
}
