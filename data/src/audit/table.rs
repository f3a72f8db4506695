//! What all checks look at: the rows, their profile, which column is the target, which are identifiers.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use profile::hash::{MISSING, add_column, hash_arrays, hash_bytes, hash_column, hash_integer, remove_column};
use profile::{Already, ColumnKind, ColumnProfile, Profiler, TableProfile, as_numbers};

use super::AuditRequest;
use crate::Result;

/// Fewer rows than this say nothing about whether values repeat.
pub(super) const ROWS_MIN: u64 = 20;

/// Rows from which it is told whether texts are words of an identifier or prose.
const PROSE_ROWS: usize = 1_000;

/// Integers with more different values than this are numbers, not classes (as in the training of a model).
const INTEGER_CLASSES_MAX: u64 = 20;

/// Training rows with what is known of them.
pub(super) struct Table<'a> {
    pub(super) name: &'a str,
    /// The target's name, as asked for.
    pub(super) asked: Option<&'a str>,
    /// The target's column, where it exists.
    pub(super) target: Option<usize>,
    pub(super) schema: SchemaRef,
    pub(super) train: &'a [RecordBatch],
    pub(super) test: &'a [RecordBatch],
    pub(super) rows: u64,
    pub(super) profile: TableProfile,
    /// Columns that are different in every row.
    pub(super) identifiers: Vec<usize>,
    /// Columns of which `row_hashes` are made.
    pub(super) hashed: Vec<usize>,
    /// One hash of the features for each training row.
    pub(super) row_hashes: Vec<u64>,
    /// One hash of the target for each training row; empty without a target.
    pub(super) target_hashes: Vec<u64>,
}

impl<'a> Table<'a> {
    pub(super) fn new(request: &AuditRequest<'a>) -> Result<Self> {
        let first = request.train.first().or(request.test.first());
        let schema = first.map_or_else(|| Schema::empty().into(), RecordBatch::schema);
        let target = request.target.and_then(|target| schema.index_of(target).ok());
        let keys: Vec<u64> = schema.fields().iter().map(|field| key(field)).collect();
        let mut profiler = Profiler::new(&schema);
        let (mut row_hashes, mut target_hashes) = (Vec::new(), Vec::new());
        for batch in request.train {
            let start = row_hashes.len();
            row_hashes.resize(start + batch.num_rows(), 0);
            profiler.update_with(batch, &mut |column, hashes| match Some(column) == target {
                true => target_hashes.extend_from_slice(hashes),
                false => add_column(&mut row_hashes[start..], hashes, keys[column]),
            })?;
        }
        let profile = profiler.finish();
        let mut table = Self {
            name: request.table,
            asked: request.target,
            target,
            schema,
            train: request.train,
            test: request.test,
            rows: profile.rows,
            profile,
            identifiers: Vec::new(),
            hashed: Vec::new(),
            row_hashes,
            target_hashes,
        };
        table.identifiers =
            table.features().map(|(index, _)| index).filter(|&index| table.is_identifier(index)).collect();
        table.forget_identifiers(&keys);
        Ok(table)
    }

    /// The columns but the target.
    pub(super) fn features(&self) -> impl Iterator<Item = (usize, &ColumnProfile)> {
        self.profile.columns.iter().enumerate().filter(|(index, _)| Some(*index) != self.target)
    }

    pub(super) fn target_profile(&self) -> Option<&ColumnProfile> {
        self.profile.columns.get(self.target?)
    }

    /// The target's values are classes, as far as can be told without being told.
    pub(super) fn has_classes(&self) -> bool {
        let (Some(index), Some(target)) = (self.target, self.target_profile()) else { return false };
        let few =
            || target.distinct <= 2 || (target.distinct <= INTEGER_CLASSES_MAX && target.distinct * 5 <= self.rows);
        match target.kind {
            ColumnKind::Category | ColumnKind::Text | ColumnKind::Boolean => true,
            ColumnKind::Number => self.schema.field(index).data_type().is_integer() && few(),
            ColumnKind::Date | ColumnKind::Image => false,
        }
    }

    pub(super) fn arrays(&self, column: usize) -> impl Iterator<Item = &'a ArrayRef> {
        self.train.iter().map(move |batch| batch.column(column))
    }

    /// Training rows at random, one of each stretch of them, at most `max`.
    pub(super) fn sampled(&self, max: usize) -> Vec<u64> {
        stretches(self.rows, max)
    }

    /// The values of a column in these training rows as text, without those that are missing.
    pub(super) fn texts(&self, column: usize, rows: &[u64]) -> Sampled {
        let texts = texts_of(self.train, column, rows);
        Sampled { texts, is_all: rows.len() as u64 == self.rows, rows: self.rows }
    }

    /// The hash of a training row's target.
    pub(super) fn target_of(&self, row: u64) -> Option<u64> {
        self.target_hashes.get(row as usize).copied()
    }

    /// These training rows without those that have the features of one before.
    pub(super) fn different(&self, rows: Vec<u64>) -> Vec<u64> {
        let mut seen: HashSet<u64, BuildHasherDefault<Already>> = HashSet::default();
        rows.into_iter()
            .filter(|row| self.row_hashes.get(*row as usize).is_some_and(|hash| seen.insert(*hash)))
            .collect()
    }

    /// The test rows that have the features of a training row; none where a column is missing.
    pub(super) fn exact_test_rows(&self) -> HashSet<u64> {
        let train: HashSet<u64, BuildHasherDefault<Already>> = self.row_hashes.iter().copied().collect();
        let (mut exact, mut start) = (HashSet::new(), 0);
        for batch in self.test {
            let Some(hashes) = self.feature_hashes(batch) else { return HashSet::new() };
            exact.extend((start..).zip(&hashes).filter(|(_, hash)| train.contains(hash)).map(|(row, _)| row));
            start += hashes.len() as u64;
        }
        exact
    }

    /// One hash of the features for each row of a batch; nothing where a column is missing.
    pub(super) fn feature_hashes(&self, batch: &RecordBatch) -> Option<Vec<u64>> {
        let mut hashes = vec![0; batch.num_rows()];
        for &column in &self.hashed {
            let field = self.schema.field(column);
            add_column(&mut hashes, &hash_column(batch.column_by_name(field.name())?), key(field));
        }
        Some(hashes)
    }

    /// Calls `f` with each row and its number, NaN where it has none.
    pub(super) fn each_number(&self, column: usize, f: &mut dyn FnMut(u64, f64)) {
        let mut row = 0;
        for array in self.arrays(column) {
            match as_numbers(array) {
                Some(values) => values.into_iter().zip(row..).for_each(|(value, row)| f(row, value)),
                None => (row..row + array.len() as u64).for_each(|row| f(row, f64::NAN)),
            }
            row += array.len() as u64;
        }
    }

    /// Whether the values name rows instead of describing them. Measurements can differ in every row as well: whole
    /// numbers must be called an id or be close enough together to be row numbers.
    fn is_identifier(&self, index: usize) -> bool {
        let column = &self.profile.columns[index];
        let present = self.rows - column.missing;
        let kind = match column.kind {
            ColumnKind::Number => {
                let range = column.max.unwrap_or_default() - column.min.unwrap_or_default();
                // A random sample of row numbers keeps their range: allow for a small training share.
                let dense = range < 4.0 * self.rows as f64;
                self.schema.field(index).data_type().is_integer()
                    && column.missing == 0
                    && (dense || called_id(&column.name))
            }
            ColumnKind::Category | ColumnKind::Text => is_text(self.schema.field(index).data_type()),
            _ => false,
        };
        kind && present >= ROWS_MIN && self.all_distinct(index, column, present)
    }

    fn all_distinct(&self, index: usize, column: &ColumnProfile, present: u64) -> bool {
        if !column.distinct_approximate {
            return column.distinct == present;
        }
        if column.distinct * 10 < present * 9 {
            return false;
        }
        let mut hashes = hash_arrays(self.arrays(index));
        hashes.retain(|hash| *hash != MISSING);
        hashes.sort_unstable();
        hashes.windows(2).all(|pair| pair[0] != pair[1])
    }

    /// Takes identifiers out of the hashes of rows: rows that only they tell apart are the same. Prose stays.
    fn forget_identifiers(&mut self, keys: &[u64]) {
        let (forgotten, hashed): (Vec<usize>, Vec<usize>) = self
            .features()
            .map(|(index, _)| index)
            .partition(|index| self.identifiers.contains(index) && !self.is_prose(*index));
        if hashed.is_empty() {
            self.hashed = forgotten;
            return;
        }
        for column in forgotten {
            let hashes = hash_arrays(self.arrays(column));
            remove_column(&mut self.row_hashes, &hashes, keys[column]);
        }
        self.hashed = hashed;
    }

    fn is_prose(&self, column: usize) -> bool {
        if !is_text(self.schema.field(column).data_type()) {
            return false;
        }
        let Some(array) = self.arrays(column).find(|array| !array.is_empty()) else { return false };
        let some = array.slice(0, array.len().min(PROSE_ROWS));
        let Ok(texts) = cast(&some, &DataType::Utf8) else { return false };
        texts.as_string::<i32>().iter().flatten().any(|text| text.trim().contains(char::is_whitespace))
    }
}

/// Some values of a column.
pub(super) struct Sampled {
    /// Row and value.
    pub(super) texts: Vec<(u64, String)>,
    /// They are all that the column has.
    pub(super) is_all: bool,
    /// Rows of the table.
    pub(super) rows: u64,
}

/// One number of each of `max` stretches below `n`, at random with a fixed seed; all where there are no more. An even step
/// would meet every seventh day.
pub(super) fn stretches(n: u64, max: usize) -> Vec<u64> {
    let max = max as u64;
    if n <= max {
        return (0..n).collect();
    }
    let edge = |at: u64| (u128::from(at) * u128::from(n) / u128::from(max)) as u64;
    (0..max).map(|at| edge(at) + hash_integer(at) % (edge(at + 1) - edge(at)).max(1)).collect()
}

/// The values of a column in these rows, which rise, as text, without those that are missing.
pub(super) fn texts_of(batches: &[RecordBatch], column: usize, rows: &[u64]) -> Vec<(u64, String)> {
    let mut texts = Vec::with_capacity(rows.len());
    let mut next = rows.iter().copied();
    for array in picked(batches, column, rows) {
        let numbers: Vec<u64> = next.by_ref().take(array.len()).collect();
        let Ok(array) = cast(&array, &DataType::Utf8) else { continue };
        let values = array.as_string::<i32>().iter();
        texts.extend(numbers.into_iter().zip(values).filter_map(|(row, text)| Some((row, text?.to_owned()))));
    }
    texts
}

/// The values of a column in these rows, which rise, batch by batch.
pub(super) fn picked(batches: &[RecordBatch], column: usize, rows: &[u64]) -> Vec<ArrayRef> {
    let (mut arrays, mut start, mut from) = (Vec::new(), 0_u64, 0);
    for batch in batches {
        let end = start + batch.num_rows() as u64;
        let until = from + rows[from..].partition_point(|row| *row < end);
        if until > from {
            let places: UInt64Array = rows[from..until].iter().map(|row| row - start).collect();
            arrays.extend(take(batch.column(column), &places, None));
        }
        (start, from) = (end, until);
    }
    arrays
}

/// Tells columns apart in the hash of a row.
pub(super) fn key(field: &Field) -> u64 {
    hash_bytes(field.name().as_bytes())
}

pub(super) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_text(values),
        kind => matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
    }
}

fn called_id(name: &str) -> bool {
    let lower = name.to_lowercase();
    let is = |word: &str| matches!(word, "id" | "uuid" | "guid" | "key" | "index" | "rownum" | "rowid" | "编号");
    lower.split(|c: char| !c.is_alphanumeric()).any(is) || name.ends_with("Id") || name.ends_with("ID")
}
