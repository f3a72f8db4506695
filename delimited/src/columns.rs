//! How do fields become Arrow columns? Each column in one typed loop, without a text of its own for each value.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::error::ArrowError;

use crate::{Block, ColumnType, types};

/// Characters of a value that a message shows.
const SHOWN_CHARS: usize = 40;
/// Bytes of a text for which room is made.
const TEXT_BYTES: usize = 8;

/// Texts that mean "no value", quick to ask.
#[derive(Debug, Clone)]
pub struct Nulls {
    has_empty: bool,
    /// Those that are not empty.
    texts: Vec<String>,
    /// Their lengths, as bits; longer ones share the last.
    lengths: u64,
    /// Their first bytes.
    firsts: [bool; 256],
}

impl Nulls {
    /// These texts.
    pub fn new(texts: &[String]) -> Self {
        let (empty, texts): (Vec<_>, Vec<_>) = texts.iter().cloned().partition(String::is_empty);
        let lengths = texts.iter().fold(0, |bits, text| bits | 1 << text.len().min(63));
        let mut firsts = [false; 256];
        texts.iter().for_each(|text| firsts[usize::from(text.as_bytes()[0])] = true);
        Self { has_empty: !empty.is_empty(), texts, lengths, firsts }
    }

    /// Whether this is one of them.
    #[inline]
    pub fn contains(&self, text: &str) -> bool {
        // Most values are told apart without being compared. Empty ones never are: an empty `String` has no memory, and a
        // comparison by vector instructions with an address that is none takes a hundred nanoseconds.
        match text.as_bytes().first() {
            None => self.has_empty,
            Some(&first) => {
                self.firsts[usize::from(first)]
                    && self.lengths & (1 << text.len().min(63)) != 0
                    && self.texts.iter().any(|null| null == text)
            }
        }
    }
}

/// A value that does not fit the type of its column.
#[derive(Debug)]
pub struct Misfit {
    /// The row of the block, counted from 0.
    pub row: usize,
    /// The value, or its beginning.
    pub value: String,
}

/// The values of a column so far.
#[derive(Debug)]
pub struct Column {
    values: Values,
    /// Of each row, whether there is a value.
    is_present: Vec<bool>,
}

#[derive(Debug)]
enum Values {
    Boolean(Vec<bool>),
    Integer(Vec<i64>),
    Number(Vec<f64>),
    Date(Vec<i32>),
    Timestamp(Vec<i64>),
    /// All texts, and where each ends.
    Text(Vec<u8>, Vec<i32>),
}

impl Column {
    /// No values yet, and room for so many.
    pub fn new(column_type: ColumnType, rows: usize) -> Self {
        let values = match column_type {
            ColumnType::Boolean => Values::Boolean(Vec::with_capacity(rows)),
            ColumnType::Integer => Values::Integer(Vec::with_capacity(rows)),
            ColumnType::Number => Values::Number(Vec::with_capacity(rows)),
            ColumnType::Date => Values::Date(Vec::with_capacity(rows)),
            ColumnType::Timestamp => Values::Timestamp(Vec::with_capacity(rows)),
            ColumnType::Text => {
                let mut ends = Vec::with_capacity(rows + 1);
                ends.push(0);
                Values::Text(Vec::with_capacity(rows * TEXT_BYTES), ends)
            }
        };
        Self { values, is_present: Vec::with_capacity(rows) }
    }

    /// Takes the fields of this column of records that all have `width`; where they do not fit the type, gives the first that
    /// does not.
    pub fn append(&mut self, block: &Block, column: usize, width: usize, nulls: &Nulls) -> Result<(), Misfit> {
        let (fields, is_present) = (block.column(column, width), &mut self.is_present);
        is_present.reserve(block.rows());
        match &mut self.values {
            Values::Boolean(values) => append(fields, nulls, types::boolean, values, is_present),
            Values::Integer(values) => append(fields, nulls, types::integer, values, is_present),
            Values::Number(values) => append(fields, nulls, types::number, values, is_present),
            Values::Date(values) => append(fields, nulls, types::date, values, is_present),
            Values::Timestamp(values) => append(fields, nulls, types::timestamp, values, is_present),
            Values::Text(texts, ends) => {
                ends.reserve(block.rows());
                for field in fields {
                    let is_missing = nulls.contains(&field);
                    is_present.push(!is_missing);
                    texts.extend_from_slice(if is_missing { b"" } else { field.as_bytes() });
                    ends.push(texts.len() as i32); // a piece has less than 2^31 bytes
                }
                Ok(())
            }
        }
    }

    /// The column as Arrow has it: [`ColumnType::arrow`].
    ///
    /// # Errors
    /// Texts that Arrow refuses.
    pub fn finish(self) -> Result<ArrayRef, ArrowError> {
        let is_whole = !self.is_present.contains(&false);
        let nulls = if is_whole { None } else { Some(NullBuffer::from(self.is_present)) };
        Ok(match self.values {
            Values::Boolean(values) => Arc::new(BooleanArray::new(values.into(), nulls)),
            Values::Integer(values) => Arc::new(Int64Array::new(values.into(), nulls)),
            Values::Number(values) => Arc::new(Float64Array::new(values.into(), nulls)),
            Values::Date(values) => Arc::new(Date32Array::new(values.into(), nulls)),
            Values::Timestamp(values) => Arc::new(TimestampMicrosecondArray::new(values.into(), nulls)),
            Values::Text(texts, ends) => {
                // Columns may be held for long: a copy is cheaper than what room for more would take.
                let is_roomy = texts.capacity() > texts.len() + texts.len() / 4;
                let texts = if is_roomy { Buffer::from(texts.as_slice()) } else { texts.into() };
                Arc::new(StringArray::try_new(OffsetBuffer::new(ends.into()), texts, nulls)?)
            }
        })
    }
}

fn append<'f, T: Default>(
    fields: impl Iterator<Item = Cow<'f, str>>,
    nulls: &Nulls,
    parse: impl Fn(&str) -> Option<T>,
    values: &mut Vec<T>,
    is_present: &mut Vec<bool>,
) -> Result<(), Misfit> {
    for (row, field) in fields.enumerate() {
        let is_missing = nulls.contains(&field);
        let value = if is_missing { T::default() } else { parse(&field).ok_or_else(|| misfit(row, &field))? };
        values.push(value);
        is_present.push(!is_missing);
    }
    Ok(())
}

#[cold]
fn misfit(row: usize, value: &str) -> Misfit {
    Misfit { row, value: value.chars().take(SHOWN_CHARS).collect() }
}
