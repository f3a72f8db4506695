//! Values of rows become Arrow columns.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};

use crate::error::{Error, Result};
use crate::source::{BATCH_BYTES, BATCH_ROWS, batch};

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    Missing,
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    Single(f32),
    Number(f64),
    /// A number as it is written; exact.
    Digits(&'a str),
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970 UTC.
    Timestamp(i64),
    /// Microseconds since midnight.
    Time(i64),
}

/// Rows that become a batch.
pub(super) struct Rows {
    schema: SchemaRef,
    columns: Vec<Column>,
    count: usize,
    bytes: usize,
}

enum Column {
    Boolean(BooleanBuilder),
    Integer(Int64Builder),
    Unsigned(UInt64Builder),
    Single(Float32Builder),
    Number(Float64Builder),
    Decimal(Decimal128Builder, i8),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Time(Time64MicrosecondBuilder),
}

impl Rows {
    /// No rows, of these columns.
    pub(super) fn new(schema: SchemaRef) -> Result<Self> {
        let columns = schema.fields().iter().map(|field| Column::new(field)).collect::<Result<_>>()?;
        Ok(Self { schema, columns, count: 0, bytes: 0 })
    }

    /// Takes a value of the row that is being read; `misfit` says what its column cannot hold.
    pub(super) fn push(
        &mut self,
        column: usize,
        cell: std::result::Result<Cell, String>,
        misfit: impl Fn(&str) -> Error,
    ) -> Result<()> {
        let cell = cell.map_err(|found| misfit(&found))?;
        self.bytes += match &cell {
            Cell::Text(text) => text.len(),
            Cell::Bytes(bytes) => bytes.len(),
            _ => 8,
        };
        self.columns[column].push(&cell).map_err(|found| misfit(&found))
    }

    /// Ends a row.
    pub(super) fn end(&mut self) {
        self.count += 1;
    }

    /// Whether there are enough for a batch.
    pub(super) fn is_full(&self) -> bool {
        self.count >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// The rows so far; none where there are none.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>> {
        if self.count == 0 {
            return Ok(None);
        }
        let arrays = self.columns.iter_mut().map(Column::finish).collect();
        let taken = batch(&self.schema, arrays, self.count)?;
        (self.count, self.bytes) = (0, 0);
        Ok(Some(taken))
    }
}

impl Column {
    fn new(field: &Field) -> Result<Self> {
        Ok(match field.data_type() {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Int64 => Self::Integer(Int64Builder::new()),
            DataType::UInt64 => Self::Unsigned(UInt64Builder::new()),
            DataType::Float32 => Self::Single(Float32Builder::new()),
            DataType::Float64 => Self::Number(Float64Builder::new()),
            DataType::Decimal128(precision, scale) => {
                let builder = Decimal128Builder::new().with_precision_and_scale(*precision, *scale);
                Self::Decimal(builder.map_err(|e| Error::internal("a decimal column", e))?, *scale)
            }
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Binary => Self::Bytes(BinaryBuilder::new()),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::Timestamp(TimestampMicrosecondBuilder::new()),
            DataType::Time64(TimeUnit::Microsecond) => Self::Time(Time64MicrosecondBuilder::new()),
            other => return Err(Error::internal("a database column of this type", other)),
        })
    }

    /// Takes a value, or says what it is instead.
    fn push(&mut self, cell: &Cell) -> std::result::Result<(), String> {
        match (self, cell) {
            (Self::Boolean(column), Cell::Boolean(x)) => column.append_value(*x),
            (Self::Boolean(column), Cell::Integer(x @ (0 | 1))) => column.append_value(*x == 1),
            (Self::Integer(column), Cell::Integer(x)) => column.append_value(*x),
            (Self::Unsigned(column), Cell::Unsigned(x)) => column.append_value(*x),
            (Self::Single(column), Cell::Single(x)) => column.append_value(*x),
            (Self::Number(column), Cell::Number(x)) => column.append_value(*x),
            (Self::Number(column), Cell::Integer(x)) => column.append_value(*x as f64),
            (Self::Number(column), Cell::Digits(text)) => {
                column.append_value(text.parse().map_err(|_| format!("\"{text}\""))?);
            }
            (Self::Decimal(column, scale), Cell::Digits(text)) => {
                column.append_value(decimal(text, *scale).ok_or_else(|| (*text).to_owned())?);
            }
            (Self::Text(column), Cell::Text(text)) => column.append_value(text),
            (Self::Text(column), Cell::Digits(text)) => column.append_value(text),
            (Self::Bytes(column), Cell::Bytes(bytes)) => column.append_value(bytes),
            (Self::Date(column), Cell::Date(days)) => column.append_value(*days),
            (Self::Timestamp(column), Cell::Timestamp(micros)) => column.append_value(*micros),
            (Self::Time(column), Cell::Time(micros)) => column.append_value(*micros),
            (column, Cell::Missing) => column.push_missing(),
            (_, other) => return Err(other.describe()),
        }
        Ok(())
    }

    fn push_missing(&mut self) {
        match self {
            Self::Boolean(column) => column.append_null(),
            Self::Integer(column) => column.append_null(),
            Self::Unsigned(column) => column.append_null(),
            Self::Single(column) => column.append_null(),
            Self::Number(column) => column.append_null(),
            Self::Decimal(column, _) => column.append_null(),
            Self::Text(column) => column.append_null(),
            Self::Bytes(column) => column.append_null(),
            Self::Date(column) => column.append_null(),
            Self::Timestamp(column) => column.append_null(),
            Self::Time(column) => column.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(column) => Arc::new(column.finish()),
            Self::Integer(column) => Arc::new(column.finish()),
            Self::Unsigned(column) => Arc::new(column.finish()),
            Self::Single(column) => Arc::new(column.finish()),
            Self::Number(column) => Arc::new(column.finish()),
            Self::Decimal(column, _) => Arc::new(column.finish()),
            Self::Text(column) => Arc::new(column.finish()),
            Self::Bytes(column) => Arc::new(column.finish()),
            Self::Date(column) => Arc::new(column.finish()),
            Self::Timestamp(column) => Arc::new(column.finish()),
            Self::Time(column) => Arc::new(column.finish()),
        }
    }
}

impl Cell<'_> {
    fn describe(&self) -> String {
        match self {
            Self::Missing => "nothing".to_owned(),
            Self::Boolean(x) => x.to_string(),
            Self::Integer(x) => x.to_string(),
            Self::Unsigned(x) => x.to_string(),
            Self::Single(x) => x.to_string(),
            Self::Number(x) => x.to_string(),
            Self::Digits(text) => (*text).to_owned(),
            Self::Text(text) => format!("the text \"{}\"", text.chars().take(60).collect::<String>()),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Self::Date(_) => "a date".to_owned(),
            Self::Timestamp(_) => "a time stamp".to_owned(),
            Self::Time(_) => "a time of day".to_owned(),
        }
    }
}

/// `12.5` with a scale of 2 is 1250; none where it has more digits behind the point, or too many in all.
fn decimal(text: &str, scale: i8) -> Option<i128> {
    let scale = usize::try_from(scale).ok()?;
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = if fraction.len() > scale { fraction.trim_end_matches('0') } else { fraction };
    if fraction.len() > scale || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let mut number: i128 = 0;
    let zeros = std::iter::repeat_n(b'0', scale - fraction.len());
    for digit in whole.bytes().chain(fraction.bytes()).chain(zeros) {
        let digit = digit.is_ascii_digit().then(|| i128::from(digit - b'0'))?;
        number = number.checked_mul(10)?.checked_add(digit)?;
    }
    Some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        let check =
            |text: &str, scale: i8, expected: Option<i128>| assert_eq!(decimal(text, scale), expected, "{text}");
        check("12.5", 2, Some(1250));
        check("-0.01", 2, Some(-1));
        check("7", 0, Some(7));
        check("1.500", 1, Some(15));
        check("1.55", 1, None);
        check("NaN", 1, None);
        check("", 1, None);
        check("99999999999999999999999999999999999999", 0, Some(99_999_999_999_999_999_999_999_999_999_999_999_999));
        check("999999999999999999999999999999999999999999", 0, None);
    }
}
