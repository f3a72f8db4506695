//! How do fields become Arrow columns? Each column in one typed loop, without a text of its own for each value.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};

use super::records::Block;
use crate::source::types;
use crate::spec::ColumnType;

/// Texts that mean "no value", quick to ask.
#[derive(Debug, Clone, Default)]
pub(super) struct Nulls {
    texts: Vec<String>,
    /// Lengths that occur, as bits; longer ones share the last.
    lengths: u64,
}

impl Nulls {
    pub(super) fn new(texts: &[String]) -> Self {
        let lengths = texts.iter().fold(0, |bits, text| bits | 1 << text.len().min(63));
        Self { texts: texts.to_vec(), lengths }
    }

    #[inline]
    pub(super) fn contains(&self, text: &str) -> bool {
        self.lengths & (1 << text.len().min(63)) != 0 && self.texts.iter().any(|null| null == text)
    }
}

/// A value that does not fit the type of its column.
pub(super) struct Misfit {
    pub(super) row: usize,
    pub(super) value: String,
}

/// The values of a column; where they do not fit its type, the first that does not.
pub(super) fn decode(
    block: &Block,
    column: usize,
    width: usize,
    column_type: ColumnType,
    nulls: &Nulls,
) -> Result<ArrayRef, Misfit> {
    let rows = block.rows();
    let values = block.column(column, width);
    macro_rules! decode {
        ($builder:expr, $parse:expr) => {{
            let mut builder = $builder;
            for (row, value) in values.enumerate() {
                match $parse(&value) {
                    Some(parsed) if !nulls.contains(&value) => builder.append_value(parsed),
                    None if !nulls.contains(&value) => return Err(misfit(row, &value)),
                    _ => builder.append_null(),
                }
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    Ok(match column_type {
        ColumnType::Boolean => decode!(BooleanBuilder::with_capacity(rows), types::boolean),
        ColumnType::Integer => decode!(Int64Builder::with_capacity(rows), types::integer),
        ColumnType::Number => decode!(Float64Builder::with_capacity(rows), types::number),
        ColumnType::Date => decode!(Date32Builder::with_capacity(rows), types::date),
        ColumnType::Timestamp => decode!(TimestampMicrosecondBuilder::with_capacity(rows), types::timestamp),
        ColumnType::Text => {
            let mut builder = StringBuilder::with_capacity(rows, rows * 8);
            for value in values {
                match nulls.contains(&value) {
                    true => builder.append_null(),
                    false => builder.append_value(&value),
                }
            }
            Arc::new(builder.finish())
        }
    })
}

#[cold]
fn misfit(row: usize, value: &str) -> Misfit {
    Misfit { row, value: value.chars().take(40).collect() }
}
