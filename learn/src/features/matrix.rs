//! What does a network read of some rows? As numbers row by row, or as a table for other programs.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, Int32Array, RecordBatch};
use arrow::datatypes::{Field, Schema};
use rayon::prelude::*;

use super::Features;
use super::column::{Column, ColumnKind, Vocabulary};
use super::combined::{Combined, CombinedKind};
use super::numeric::{CategoryInput, Encoded};
use super::prepared::Prepared;
use crate::{Error, Result};

/// Rows that a thread writes at a time.
const BLOCK_ROWS: usize = 2_048;

impl Features {
    /// Names of the numbers of a row as [`Features::dense`] writes them, in order; nothing where pictures are among them.
    /// Inputs beside them, which are no numbers, are not named.
    pub fn dense_names(&self) -> Option<Vec<String>> {
        if !self.numeric.images.is_empty() {
            return None;
        }
        let mut names: Vec<String> = self.numeric.numbers.iter().map(|number| number.name.clone()).collect();
        let indicators = self.numeric.numbers.iter().filter(|number| number.indicator);
        names.extend(indicators.map(|number| format!("{} missing", number.name)));
        let categories = || self.numeric.categories.iter().zip(self.coded());
        let ordinals = categories().filter(|(input, _)| matches!(input, CategoryInput::Ordinal { .. }));
        names.extend(ordinals.map(|(_, coded)| coded.name.to_owned()));
        for (input, coded) in categories() {
            if let CategoryInput::OneHot { cardinality, .. } = input {
                names.extend((0..*cardinality).map(|code| coded.word(code)));
            }
        }
        for bag in &self.numeric.bags {
            names.extend((0..bag.width).map(|term| format!("{}#{term}", bag.name)));
        }
        Some(names)
    }

    /// Whether a row is more than the numbers of [`Features::dense`]: codes of embedded categories, tokens, series.
    pub fn is_dense(&self) -> bool {
        let numeric = &self.numeric;
        numeric.embedded().next().is_none() && numeric.texts.is_empty() && numeric.series.is_empty()
    }

    /// The dense input of all rows, row-major `[rows, dense_width]`, on all cores.
    pub fn dense(&self, encoded: &Encoded) -> Vec<f32> {
        let mut out = Vec::new();
        self.write_all_dense(encoded, &mut out);
        out
    }

    /// As [`Features::dense`], into memory that is there.
    pub fn write_all_dense(&self, encoded: &Encoded, out: &mut Vec<f32>) {
        let width = self.dense_width();
        out.resize(encoded.rows * width, 0.0);
        let rows: Vec<u32> = (0..encoded.rows as u32).collect();
        let blocks = out.par_chunks_mut((BLOCK_ROWS * width).max(1)).zip(rows.par_chunks(BLOCK_ROWS));
        blocks.for_each(|(out, rows)| self.write_dense(encoded, rows, out));
    }

    /// What a network reads of these rows, a column per input: `f32`, codes of embedded categories as `i32`; of a text its
    /// token numbers, of a series its values in order, of a picture its pixels as a list.
    ///
    /// # Errors
    /// More values than a table holds.
    pub fn table(&self, encoded: &Encoded) -> Result<RecordBatch> {
        let mut columns = Columns::default();
        let (width, table) = (self.dense_width(), self.numeric.table_width());
        let dense = self.dense(encoded);
        let terms: usize = self.numeric.bags.iter().map(|bag| bag.width).sum();
        let column = |place: usize| dense.iter().skip(place).step_by(width.max(1)).copied();
        let slice = |from: usize, count: usize| -> Vec<f32> {
            let rows = dense.chunks_exact(width.max(1));
            rows.flat_map(|row| row[from..from + count].iter().copied()).collect()
        };
        let names = Self { numeric: self.without_lists(), ..self.clone() }.dense_names().unwrap_or_default();
        for (place, name) in names.into_iter().enumerate() {
            columns.add(name, Arc::new(column(place).collect::<Float32Array>()));
        }
        let mut from = table - terms;
        for bag in &self.numeric.bags {
            columns.add_list(&bag.name, bag.width, Arc::new(Float32Array::from(slice(from, bag.width))))?;
            from += bag.width;
        }
        for image in &self.numeric.images {
            let count = image.values();
            columns.add_list(&image.name, count, Arc::new(Float32Array::from(slice(from, count))))?;
            from += count;
        }
        for (number, input) in self.numeric.embedded().enumerate() {
            let code = |row| self.numeric.embedded_code(encoded, row, number);
            columns.add(input.name.clone(), Arc::new((0..encoded.rows).map(code).collect::<Int32Array>()));
        }
        for (text, block) in self.numeric.texts.iter().zip(&encoded.texts) {
            columns.add_list(&text.name, block.length, Arc::new(Int32Array::from(block.tokens.clone())))?;
        }
        for (series, block) in self.numeric.series.iter().zip(&encoded.series) {
            let values: Float32Array = block.values.iter().map(|x| series.scaled(*x)).collect();
            columns.add_list(&series.name, block.steps, Arc::new(values))?;
        }
        let made = RecordBatch::try_new(Arc::new(Schema::new(columns.fields)), columns.arrays);
        made.map_err(|e| Error::Internal(format!("features as a table: {e}")))
    }

    fn without_lists(&self) -> super::NumericPart {
        super::NumericPart { images: vec![], bags: vec![], ..self.numeric.clone() }
    }

    /// What fills `Encoded::codes`, in order.
    fn coded(&self) -> Vec<Coded<'_>> {
        let columns = self.columns.iter().filter(|column| column.cardinality().is_some()).map(Coded::of_column);
        columns.chain(self.combined.iter().filter_map(Coded::of_combined)).collect()
    }
}

/// A column of codes, and the words they stand for where they stand for words.
struct Coded<'a> {
    name: &'a str,
    words: Option<&'a Vocabulary>,
}

impl<'a> Coded<'a> {
    fn of_column(column: &'a Column) -> Self {
        let words = match (&column.kind, &column.prepared) {
            (ColumnKind::Category { values }, Prepared::Plain) => Some(values),
            _ => None,
        };
        Self { name: &column.name, words }
    }

    fn of_combined(combined: &'a Combined) -> Option<Self> {
        match &combined.kind {
            CombinedKind::Cross { values, .. } => Some(Self { name: &combined.name, words: Some(values) }),
            _ => None,
        }
    }

    /// The name of the input that is 1 for this code.
    fn word(&self, code: usize) -> String {
        let name = self.name;
        match (code, self.words) {
            (0, _) => format!("{name} unknown"),
            (1, _) => format!("{name} missing"),
            (code, Some(words)) => match words.values().get(code - 2) {
                Some(word) => format!("{name}={}", word.replace('\u{1f}', " & ")),
                None => format!("{name}#{}", code - 2),
            },
            (code, None) => format!("{name}#{}", code - 2),
        }
    }
}

/// A table that is put together.
#[derive(Default)]
struct Columns {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl Columns {
    fn add(&mut self, name: String, array: ArrayRef) {
        self.fields.push(Field::new(name, array.data_type().clone(), false));
        self.arrays.push(array);
    }

    fn add_list(&mut self, name: &str, width: usize, values: ArrayRef) -> Result<()> {
        let item = Arc::new(Field::new("item", values.data_type().clone(), false));
        let width = i32::try_from(width).map_err(|_| Error::invalid(format!("\"{name}\" has too many values")))?;
        if width == 0 {
            return Ok(());
        }
        let lists = FixedSizeListArray::try_new(item, width, values, None);
        let lists = lists.map_err(|e| Error::Internal(format!("a list of features: {e}")))?;
        self.add(name.to_owned(), Arc::new(lists));
        Ok(())
    }
}
