//! A profile while rows stream by: each column's hashes go to a counter, its numbers to their figures.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use rayon::prelude::*;

use super::counter::{Counter, EXACT_MAX};
use super::numbers::{Numbers, SAMPLE_MAX, as_numbers};
use super::state::ColumnState;
use super::{ColumnKind, ColumnProfile, TableProfile};
use crate::IMAGE_METADATA;
use crate::hash::{MISSING, hash_column};

/// Numbers with more different values than this have no list of the most frequent ones.
const NUMBER_LABELS_MAX: usize = 100;

/// Values kept as samples in all columns together; many columns have smaller samples each.
const SAMPLES_MAX: usize = 4_000_000;

/// Text longer than this on average, in bytes, is free text.
const CATEGORY_BYTES_MAX: u64 = 200;

/// Different texts up to which a column holds categories, however few rows there are.
const CATEGORY_VALUES: u64 = 20;

/// Rows with other columns than the rows before them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rows with the columns {these} among rows with the columns {those}; all rows of a table must have the same")]
pub struct OtherColumns {
    these: String,
    those: String,
}

/// Profiles rows as they stream by, in bounded memory.
pub struct Profiler {
    rows: u64,
    columns: Vec<Column>,
}

impl Profiler {
    /// A profiler for rows with these columns.
    pub fn new(schema: &Schema) -> Self {
        let sample_max = sample_max(schema.fields().len());
        Self { rows: 0, columns: schema.fields().iter().map(|field| Column::new(field, sample_max)).collect() }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// Rows with other columns than the profiler was made for.
    pub fn update(&mut self, batch: &RecordBatch) -> Result<(), OtherColumns> {
        self.update_with(batch, &mut |_, _| {})
    }

    /// Adds rows, and hands over the number and the hashes of each column.
    pub fn update_with(
        &mut self,
        batch: &RecordBatch,
        hashed: &mut dyn FnMut(usize, &[u64]),
    ) -> Result<(), OtherColumns> {
        let names = || batch.schema_ref().fields().iter().map(|field| field.name());
        if names().ne(self.columns.iter().map(|column| &column.name)) {
            let list = |names: Vec<&String>| names.into_iter().take(10).cloned().collect::<Vec<_>>().join(", ");
            return Err(OtherColumns {
                these: list(names().collect()),
                those: list(self.columns.iter().map(|column| &column.name).collect()),
            });
        }
        let columns = self.columns.par_iter_mut().zip(batch.columns());
        let hashes = columns.map(|(column, array)| {
            let hashes = hash_column(array);
            column.update(array, &hashes);
            hashes
        });
        for (index, hashes) in hashes.collect::<Vec<_>>().into_iter().enumerate() {
            hashed(index, &hashes);
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

/// Values of each of so many columns that are kept as samples.
pub fn sample_max(columns: usize) -> usize {
    (SAMPLES_MAX / columns.max(1)).clamp(1_000, SAMPLE_MAX)
}

/// The profile of a column while its rows stream by.
pub struct Column {
    name: String,
    kind: ColumnKind,
    data_type: DataType,
    image: Option<String>,
    missing: u64,
    counter: Counter,
    numbers: Option<Numbers>,
    /// Texts that were looked at and their bytes.
    texts: (u64, u64),
}

impl Column {
    /// Of a column with this field; quantiles from a sample of so many values.
    pub fn new(field: &Field, sample_max: usize) -> Self {
        let data_type = field.data_type().clone();
        let image = field.metadata().get(IMAGE_METADATA).filter(|_| is_bytes(&data_type)).cloned();
        let kind = if image.is_some() { ColumnKind::Image } else { kind(&data_type) };
        let labels_max = match kind {
            ColumnKind::Image => 0,
            ColumnKind::Number | ColumnKind::Date => NUMBER_LABELS_MAX,
            _ if is_bytes(&data_type) || data_type.is_nested() => 0,
            _ => EXACT_MAX,
        };
        let figures = matches!(kind, ColumnKind::Number | ColumnKind::Date);
        Self {
            name: field.name().clone(),
            kind,
            data_type,
            image,
            missing: 0,
            counter: Counter::new(labels_max),
            numbers: figures.then(|| Numbers::new(sample_max)),
            texts: (0, 0),
        }
    }

    /// Memory that it takes, about.
    pub fn bytes(&self) -> usize {
        self.counter.bytes() + self.numbers.as_ref().map_or(0, Numbers::bytes)
    }

    /// What others of the same column have to know to go on; `rows` were seen.
    pub fn state(self, rows: u64) -> ColumnState {
        ColumnState {
            rows,
            missing: self.missing,
            texts: self.texts.0,
            texts_bytes: self.texts.1,
            counter: Some(self.counter.state()),
            numbers: self.numbers.map(Numbers::state),
        }
    }

    /// Adds what was seen elsewhere.
    pub fn merge(&mut self, other: ColumnState) {
        self.missing += other.missing;
        self.texts.0 += other.texts;
        self.texts.1 += other.texts_bytes;
        if let Some(counter) = other.counter {
            self.counter.merge(counter);
        }
        if let (Some(numbers), Some(other)) = (&mut self.numbers, other.numbers) {
            numbers.merge_state(other);
        }
    }

    /// Adds rows, whose hashes are known.
    pub fn update(&mut self, array: &dyn Array, hashes: &[u64]) {
        let options = FormatOptions::default();
        let formatter = ArrayFormatter::try_new(array, &options).ok();
        let (counter, texts) = (&mut self.counter, &mut self.texts);
        for (row, &hash) in hashes.iter().enumerate() {
            if hash == MISSING {
                self.missing += 1;
                continue;
            }
            counter.add(hash, || {
                let label = formatter.as_ref().and_then(|formatter| formatter.value(row).try_to_string().ok());
                let label = label.unwrap_or_default();
                *texts = (texts.0 + 1, texts.1 + label.len() as u64);
                label
            });
        }
        if let Some(numbers) = &mut self.numbers
            && let Some(values) = as_numbers(array)
        {
            numbers.add(&values);
        }
    }

    /// What was seen in so many rows.
    pub fn finish(self, rows: u64) -> ColumnProfile {
        let (distinct, distinct_approximate) = self.counter.distinct();
        let present = rows - self.missing;
        let distinct = distinct.min(present);
        let infinite = self.numbers.as_ref().map_or(0, |numbers| numbers.infinite);
        let summary = self.numbers.and_then(Numbers::finish);
        let prose = self.texts.1 > CATEGORY_BYTES_MAX * self.texts.0;
        let kind = match self.kind {
            ColumnKind::Category if prose || (distinct > CATEGORY_VALUES && distinct * 10 >= present * 9) => {
                ColumnKind::Text
            }
            kind => kind,
        };
        ColumnProfile {
            name: self.name,
            kind,
            data_type: self.data_type.to_string(),
            image: self.image,
            missing: self.missing,
            infinite,
            distinct,
            distinct_approximate,
            min: summary.as_ref().map(|summary| summary.min),
            max: summary.as_ref().map(|summary| summary.max),
            mean: summary.as_ref().map(|summary| summary.mean),
            std: summary.as_ref().and_then(|summary| summary.std),
            quantiles: summary.as_ref().map(|summary| summary.quantiles.clone()).unwrap_or_default(),
            histogram: summary.map(|summary| summary.histogram),
            top: self.counter.top(),
        }
    }
}

/// What a type means; text is a category until its values are known.
pub fn kind(data_type: &DataType) -> ColumnKind {
    match data_type {
        DataType::Dictionary(_, values) => kind(values),
        DataType::Boolean => ColumnKind::Boolean,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => ColumnKind::Date,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => ColumnKind::Category,
        kind if kind.is_numeric() => ColumnKind::Number,
        _ => ColumnKind::Text,
    }
}

/// Whether a value is some bytes.
pub fn is_bytes(data_type: &DataType) -> bool {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary};
    matches!(data_type, Binary | LargeBinary | BinaryView | FixedSizeBinary(_))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, DictionaryArray, FixedSizeBinaryArray, Float64Array,
        Int64Array, NullArray, StringArray, StringViewArray,
    };
    use arrow::datatypes::Int32Type;

    use super::*;

    fn profile(batches: &[RecordBatch]) -> TableProfile {
        let mut profiler = Profiler::new(&batches[0].schema());
        batches.iter().for_each(|batch| profiler.update(batch).unwrap());
        profiler.finish()
    }

    fn column(array: ArrayRef) -> ColumnProfile {
        profile(&[RecordBatch::try_from_iter([("x", array)]).unwrap()]).columns.remove(0)
    }

    fn top(column: &ColumnProfile) -> Vec<(&str, u64)> {
        column.top.iter().map(|(value, rows)| (value.as_str(), *rows)).collect()
    }

    #[test]
    fn each_kind_of_column() {
        let texts = StringArray::from(vec![Some("b"), Some("a"), Some("b"), None]);
        for array in [
            Arc::new(texts.clone()) as ArrayRef,
            Arc::new(StringViewArray::from_iter(texts.iter())),
            Arc::new(texts.iter().collect::<DictionaryArray<Int32Type>>()),
        ] {
            let found = column(array);
            assert_eq!(
                (found.kind, found.missing, found.distinct),
                (ColumnKind::Category, 1, 2),
                "{}",
                found.data_type
            );
            assert_eq!(top(&found), [("b", 2), ("a", 1)]);
            assert_eq!((found.min, found.histogram, found.quantiles.len()), (None, None, 0));
        }
        let found = column(Arc::new(BooleanArray::from(vec![Some(true), Some(true), Some(false), None])));
        assert_eq!((found.kind, top(&found), found.mean), (ColumnKind::Boolean, vec![("true", 2), ("false", 1)], None));
        let found = column(Arc::new(Date32Array::from(vec![Some(0), Some(2), None])));
        assert_eq!((found.kind, found.max, found.missing), (ColumnKind::Date, Some(172_800.0), 1));
        assert_eq!(top(&found), [("1970-01-01", 1), ("1970-01-03", 1)]);
        let found = column(Arc::new(Int64Array::from(vec![3, 3, 5])));
        assert_eq!(
            (found.kind, found.data_type.as_str(), top(&found)),
            (ColumnKind::Number, "Int64", vec![("3", 2), ("5", 1)])
        );
        assert_eq!((found.min, found.max, found.mean), (Some(3.0), Some(5.0), Some(11.0 / 3.0)));
    }

    #[test]
    fn text_is_free_where_values_hardly_repeat_or_are_long() {
        let kind = |n: usize, different: usize, prefix: &str| {
            column(Arc::new(StringArray::from_iter_values((0..n).map(|i| format!("{prefix}{}", i % different))))).kind
        };
        assert_eq!(kind(3, 3, ""), ColumnKind::Category);
        assert_eq!(kind(100, 100, ""), ColumnKind::Text);
        assert_eq!(kind(100, 50, ""), ColumnKind::Category);
        assert_eq!(kind(100, 2, &"long ".repeat(50)), ColumnKind::Text);
    }

    #[test]
    fn pictures_are_counted_by_their_bytes() {
        let pixels = FixedSizeBinaryArray::try_from_iter([[0_u8; 4], [1; 4], [0; 4]].iter()).unwrap();
        let files = BinaryArray::from_iter_values([&b"png"[..], b"jpg", b"png"]);
        for (array, shape) in [(Arc::new(pixels) as ArrayRef, "2x2x1"), (Arc::new(files), "encoded")] {
            let metadata = HashMap::from([(IMAGE_METADATA.to_owned(), shape.to_owned())]);
            let field = Field::new("x", array.data_type().clone(), false).with_metadata(metadata);
            let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array.clone()]).unwrap();
            let found = profile(&[batch]).columns.remove(0);
            assert_eq!((found.kind, found.image.as_deref(), found.distinct), (ColumnKind::Image, Some(shape), 2));
            assert!(found.top.is_empty());
            assert_eq!(column(array).kind, ColumnKind::Text, "bytes that nobody called a picture");
        }
    }

    /// The profile of a column in parts, each of which went through its bytes.
    fn in_parts(array: &ArrayRef, parts: usize, sample: usize) -> ColumnProfile {
        use prost::Message;
        let field = Field::new("x", array.data_type().clone(), true);
        let mut whole = Column::new(&field, sample);
        let rows = array.len().div_ceil(parts);
        for part in 0..parts {
            let from = (part * rows).min(array.len());
            let slice = array.slice(from, rows.min(array.len() - from));
            let mut column = Column::new(&field, sample);
            column.update(&slice, &hash_column(&slice));
            let bytes = column.state(slice.len() as u64).encode_to_vec();
            whole.merge(ColumnState::decode(bytes.as_slice()).unwrap());
        }
        whole.finish(array.len() as u64)
    }

    #[test]
    fn parts_put_together_are_the_whole() {
        let numbers = |i: i64| (i % 11 != 0).then(|| (i * 7_919 % 997) as f64 + 1e6);
        let arrays: [ArrayRef; 4] = [
            Arc::new((0..5_000).map(numbers).collect::<Float64Array>()),
            Arc::new(StringArray::from_iter_values((0..5_000).map(|i| format!("v{}", i % 37)))),
            Arc::new(BooleanArray::from_iter((0..5_000).map(|i| (i % 5 > 0).then_some(i % 3 == 0)))),
            Arc::new(Date32Array::from_iter((0..5_000).map(|i| (i % 2 == 0).then_some(i % 90)))),
        ];
        for array in arrays {
            let whole = column(Arc::clone(&array));
            for parts in [1, 3, 16] {
                let found = in_parts(&array, parts, SAMPLE_MAX);
                for (a, b) in [(found.mean, whole.mean), (found.std, whole.std)] {
                    assert_eq!(a.is_some(), b.is_some());
                    assert!(a.zip(b).is_none_or(|(a, b)| (a - b).abs() <= 1e-12 * b.abs()), "{a:?} {b:?}");
                }
                let exactly = ColumnProfile { mean: whole.mean, std: whole.std, ..found };
                assert_eq!(exactly, whole, "{parts} parts of {}", whole.data_type);
            }
        }
    }

    #[test]
    fn parts_of_many_values_are_as_good_a_sample() {
        let array: ArrayRef = Arc::new((0..1_000_000).map(|i| Some(f64::from(i))).collect::<Float64Array>());
        let (whole, found) = (column(Arc::clone(&array)), in_parts(&array, 7, SAMPLE_MAX));
        assert_eq!((found.missing, found.min, found.max), (0, whole.min, whole.max));
        assert_eq!((found.distinct, found.distinct_approximate), (whole.distinct, true), "sketches add up exactly");
        for (share, value) in found.quantiles {
            // Four standard errors of a quantile of n uniform values: 4 * sqrt(q (1 - q) / n).
            let error = 4.0 * (share * (1.0 - share) / SAMPLE_MAX as f64).sqrt() * 1e6;
            assert!((value - share * 1e6).abs() < error, "{share}: {value}");
        }
        // A small part beside a large one has its share of the sample and no more.
        let uneven: ArrayRef = Arc::new((0..550_000).map(|i| Some(f64::from(i))).collect::<Float64Array>());
        let mut large = Column::new(&Field::new("x", DataType::Float64, true), 1_000);
        let mut small = Column::new(&Field::new("x", DataType::Float64, true), 1_000);
        large.update(&uneven.slice(0, 500_000), &hash_column(&uneven.slice(0, 500_000)));
        small.update(&uneven.slice(500_000, 50_000), &hash_column(&uneven.slice(500_000, 50_000)));
        large.merge(small.state(50_000));
        let median = large.finish(550_000).quantile(0.5).unwrap();
        assert!((median - 275_000.0).abs() < 4.0 * 550_000.0 * (0.25_f64 / 1_000.0).sqrt(), "{median}");
    }

    #[test]
    fn nothing_at_all_is_no_error() {
        let found = column(Arc::new(NullArray::new(3)));
        assert_eq!((found.missing, found.distinct, found.kind), (3, 0, ColumnKind::Category));
        let found = column(Arc::new(Float64Array::from(vec![None, Some(f64::NAN)])));
        assert_eq!((found.missing, found.distinct, found.mean, found.histogram), (2, 0, None, None));
        let found = column(Arc::new(Float64Array::from(vec![f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY])));
        assert_eq!((found.missing, found.infinite, found.distinct, found.min), (0, 3, 2, None));
        let batch = RecordBatch::try_from_iter([("x", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
        let found = profile(&[batch.slice(0, 0), batch.clone(), batch.slice(1, 0)]);
        assert_eq!((found.rows, found.columns[0].distinct, found.columns[0].std), (1, 1, None));
        assert_eq!(profile(&[batch.slice(0, 0)]).columns[0].distinct, 0);
        assert_eq!(Profiler::new(&Schema::empty()).finish(), TableProfile::default());
    }

    #[test]
    fn a_million_different_values_are_estimated() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_000_000));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..1_000_000).map(|i| format!("id-{i}"))));
        for array in [numbers, texts] {
            let found = column(array);
            assert!(found.distinct_approximate && found.distinct.abs_diff(1_000_000) < 50_000, "{}", found.distinct);
            assert!(found.top.is_empty());
        }
    }

    #[test]
    fn other_columns_are_refused_and_a_profile_survives_json() {
        let batch =
            |name: &str| RecordBatch::try_from_iter([(name, Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]);
        let mut profiler = Profiler::new(&batch("a").unwrap().schema());
        let error = profiler.update(&batch("b").unwrap()).unwrap_err().to_string();
        assert!(error.starts_with("rows with the columns b among rows with the columns a"), "{error}");
        let found = column(Arc::new(StringArray::from(vec!["x", "y", "x"])));
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<ColumnProfile>(&json).unwrap(), found);
    }
}
