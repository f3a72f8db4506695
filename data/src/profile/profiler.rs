//! How are rows profiled as they stream by? One state per column, its size bounded by the number of columns.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::counter::Counter;
use super::numbers::Numbers;
use super::{ColumnKind, ColumnProfile, TableProfile};
use crate::IMAGE_METADATA;
use crate::error::{Error, Result};
use crate::hash::{MISSING, hash_values};

/// Values counted exactly in a column, at most.
const EXACT_MAX: usize = 10_000;
/// The same in all columns together.
const EXACT_TOTAL_MAX: usize = 2_000_000;
/// Numbers kept for the quantiles of a column, at most.
const SAMPLE_MAX: usize = 50_000;
/// The same in all columns together.
const SAMPLE_TOTAL_MAX: usize = 8_000_000;
/// Characters of a value that a profile shows.
const SHOWN_MAX: usize = 120;
/// Texts with more different values than this, and more than half of them different, are free text.
const CATEGORY_MAX: u64 = 50;
/// Longer texts, in bytes on average, are free text too.
const CATEGORY_BYTES_MAX: u64 = 100;

/// Profiles rows as they stream by, in bounded memory.
pub struct Profiler {
    rows: u64,
    columns: Vec<Column>,
}

impl Profiler {
    /// A profiler for rows with these columns.
    pub fn new(schema: &Schema) -> Self {
        let width = schema.fields().len().max(1);
        let exact = (EXACT_TOTAL_MAX / width).clamp(16, EXACT_MAX);
        let sample = (SAMPLE_TOTAL_MAX / width).clamp(64, SAMPLE_MAX);
        Self { rows: 0, columns: schema.fields().iter().map(|field| Column::new(field, exact, sample)).collect() }
    }

    /// Adds rows; they must have the columns that were announced.
    pub fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_columns() != self.columns.len() {
            let expected = self.columns.len();
            return Err(Error::invalid(format!(
                "rows with {} columns where {expected} were expected",
                batch.num_columns()
            )));
        }
        for (column, values) in self.columns.iter_mut().zip(batch.columns()) {
            column.update(values)?;
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// What was seen.
    pub fn finish(self) -> TableProfile {
        let rows = self.rows;
        TableProfile { rows, columns: self.columns.into_iter().map(|column| column.finish(rows)).collect() }
    }
}

/// What is known of a column so far.
struct Column {
    name: String,
    data_type: DataType,
    image: Option<String>,
    missing: u64,
    infinite: u64,
    text_bytes: u64,
    counter: Counter,
    numbers: Option<Numbers>,
}

impl Column {
    fn new(field: &Field, exact: usize, sample: usize) -> Self {
        let data_type = field.data_type().clone();
        let measured = data_type.is_numeric() || seconds(&data_type).is_some();
        Self {
            name: field.name().clone(),
            image: field.metadata().get(IMAGE_METADATA).cloned(),
            missing: 0,
            infinite: 0,
            text_bytes: 0,
            counter: Counter::new(exact),
            numbers: measured.then(|| Numbers::new(sample)),
            data_type,
        }
    }

    fn update(&mut self, values: &ArrayRef) -> Result<()> {
        if values.data_type() != &self.data_type {
            return Err(Error::invalid(format!(
                "column \"{}\" is of type {} where {} was expected",
                self.name,
                values.data_type(),
                self.data_type
            )));
        }
        if let Some(texts) = values.as_string_opt::<i32>() {
            self.text_bytes += texts.offsets().last().zip(texts.offsets().first()).map_or(0, |(b, a)| (b - a) as u64);
        }
        self.count(values)?;
        if let Some(numbers) = &mut self.numbers {
            let floats = cast_to_floats(values)?;
            for (&value, valid) in floats.values().iter().zip(validity(&floats)) {
                if valid && value.is_finite() {
                    numbers.add(value);
                } else if valid && value.is_infinite() {
                    self.infinite += 1;
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, values: &ArrayRef) -> Result<()> {
        let hashes = hash_values(values)?;
        let options = FormatOptions::default().with_display_error(true);
        let is_image = self.kind(0, 0) == ColumnKind::Image;
        let formatter =
            ArrayFormatter::try_new(values, &options).map_err(|e| Error::internal("a value without a text", e))?;
        for (row, &hash) in hashes.iter().enumerate() {
            if hash == MISSING {
                self.missing += 1;
                continue;
            }
            self.counter.add(hash, || match is_image {
                true => Box::default(),
                false => formatter.value(row).to_string().chars().take(SHOWN_MAX).collect(),
            });
        }
        Ok(())
    }

    fn kind(&self, distinct: u64, present: u64) -> ColumnKind {
        match &self.data_type {
            _ if self.image.is_some() => ColumnKind::Image,
            DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) | DataType::BinaryView => {
                ColumnKind::Image
            }
            DataType::Boolean => ColumnKind::Boolean,
            other if other.is_numeric() => ColumnKind::Number,
            other if seconds(other).is_some() => ColumnKind::Date,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
                let many = distinct > CATEGORY_MAX && distinct * 2 > present;
                let long = self.text_bytes > present * CATEGORY_BYTES_MAX;
                if many || long { ColumnKind::Text } else { ColumnKind::Category }
            }
            _ => ColumnKind::Text,
        }
    }

    fn finish(self, rows: u64) -> ColumnProfile {
        let (distinct, distinct_approximate) = self.counter.distinct();
        let present = rows - self.missing;
        let distinct = distinct.min(present);
        let kind = self.kind(distinct, present);
        let figures = self.numbers.map(Numbers::finish).unwrap_or_default();
        ColumnProfile {
            kind,
            name: self.name,
            data_type: self.data_type.to_string(),
            image: self.image,
            missing: self.missing,
            infinite: self.infinite,
            distinct,
            distinct_approximate,
            min: figures.min,
            max: figures.max,
            mean: figures.mean,
            std: figures.std,
            quantiles: figures.quantiles,
            histogram: figures.histogram,
            top: if kind == ColumnKind::Image { Vec::new() } else { self.counter.top() },
        }
    }
}

fn validity(values: &dyn Array) -> Box<dyn Iterator<Item = bool> + '_> {
    match values.nulls() {
        Some(nulls) => Box::new(nulls.iter()),
        None => Box::new(std::iter::repeat_n(true, values.len())),
    }
}

/// Seconds that one step of a date or a time stamp takes.
fn seconds(data_type: &DataType) -> Option<f64> {
    match data_type {
        DataType::Date32 => Some(86_400.0),
        DataType::Date64 | DataType::Timestamp(TimeUnit::Millisecond, _) => Some(1e-3),
        DataType::Timestamp(TimeUnit::Second, _) => Some(1.0),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Some(1e-6),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Some(1e-9),
        _ => None,
    }
}

/// Numbers as they are; dates and time stamps as seconds since 1970 UTC.
pub(crate) fn cast_to_floats(values: &ArrayRef) -> Result<arrow::array::Float64Array> {
    let failed = |e| Error::internal("numbers are no numbers", e);
    let whole = match values.data_type() {
        DataType::Date32 => cast(values, &DataType::Int32).map_err(failed)?,
        DataType::Date64 | DataType::Timestamp(..) => cast(values, &DataType::Int64).map_err(failed)?,
        _ => ArrayRef::clone(values),
    };
    let floats = cast(&whole, &DataType::Float64).map_err(failed)?;
    let floats = floats.as_primitive::<Float64Type>();
    Ok(match seconds(values.data_type()) {
        Some(step) => floats.unary(|value| value * step),
        None => floats.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Date32Array, Float64Array, Int64Array, StringArray, TimestampMillisecondArray};

    use super::*;

    fn profile(column: ArrayRef) -> ColumnProfile {
        let schema = Arc::new(Schema::new(vec![Field::new("c", column.data_type().clone(), true)]));
        let mut profiler = Profiler::new(&schema);
        let batch = RecordBatch::try_new(schema, vec![column]).expect("rows");
        for begin in (0..batch.num_rows()).step_by(2) {
            profiler.update(&batch.slice(begin, 2.min(batch.num_rows() - begin))).expect("profiled");
        }
        profiler.finish().columns.remove(0)
    }

    #[test]
    fn every_kind_of_column_is_described() {
        let found = profile(Arc::new(Float64Array::from(vec![
            Some(1.0),
            None,
            Some(f64::NAN),
            Some(f64::INFINITY),
            Some(3.0),
        ])));
        assert_eq!((found.kind, found.missing, found.infinite, found.distinct), (ColumnKind::Number, 2, 1, 3));
        assert_eq!((found.mean, found.quantile(0.5), found.max), (Some(2.0), Some(2.0), Some(3.0)));
        let found = profile(Arc::new(StringArray::from(vec![Some("b"), Some("a"), None, Some("b")])));
        assert_eq!((found.kind, found.missing, found.distinct), (ColumnKind::Category, 1, 2));
        assert_eq!(found.top, [("b".to_owned(), 2), ("a".to_owned(), 1)]);
        assert_eq!((found.min, found.histogram), (None, None));
        let found = profile(Arc::new(BooleanArray::from(vec![true, false, true])));
        assert_eq!((found.kind, found.top[0].clone()), (ColumnKind::Boolean, ("true".to_owned(), 2)));
        let found = profile(Arc::new(Date32Array::from(vec![0, 2])));
        assert_eq!((found.kind, found.max, found.top[0].0.as_str()), (ColumnKind::Date, Some(172_800.0), "1970-01-01"));
        let found = profile(Arc::new(TimestampMillisecondArray::from(vec![500, 1500])));
        assert_eq!((found.kind, found.mean), (ColumnKind::Date, Some(1.0)));
        let texts: Vec<String> = (0..100).map(|n| format!("text {n}")).collect();
        assert_eq!(profile(Arc::new(StringArray::from(texts))).kind, ColumnKind::Text);
    }

    #[test]
    fn columns_of_another_kind_are_refused() {
        let schema = Schema::new(vec![Field::new("c", DataType::Int64, true)]);
        let other = Arc::new(Schema::new(vec![Field::new("c", DataType::Utf8, true)]));
        let rows = RecordBatch::try_new(other, vec![Arc::new(StringArray::from(vec!["x"]))]).expect("rows");
        let error = Profiler::new(&schema).update(&rows).expect_err("text").to_string();
        assert_eq!(error, "column \"c\" is of type Utf8 where Int64 was expected");
    }

    #[test]
    fn profiles_survive_json() {
        let table = TableProfile { rows: 3, columns: vec![profile(Arc::new(Int64Array::from(vec![1, 2, 2])))] };
        let text = serde_json::to_string(&table).expect("JSON");
        assert_eq!(serde_json::from_str::<TableProfile>(&text).expect("a profile"), table);
    }
}
