//! Which rows are features fitted on? Those of some batches, or some of them, copied by the columns that are looked at.

use std::borrow::Cow;

use arrow::array::{BooleanArray, BooleanBufferBuilder, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;

use crate::{Error, Result};

/// Training rows. Of a part of a table no copy is held: each column is copied while it is fitted.
#[derive(Debug, Clone, Copy)]
pub struct TrainingRows<'a> {
    batches: &'a [RecordBatch],
    /// Their numbers through all batches, ascending; all where there are none.
    rows: Option<&'a [u32]>,
}

impl<'a> TrainingRows<'a> {
    /// Of these batches the rows with these numbers, ascending, counted through all batches.
    pub fn some(batches: &'a [RecordBatch], rows: &'a [u32]) -> Self {
        Self { batches, rows: Some(rows) }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self.rows {
            Some(rows) => rows.is_empty(),
            None => self.batches.iter().all(|batch| batch.num_rows() == 0),
        }
    }

    /// The rows, with these columns at least, as far as they are there.
    ///
    /// # Errors
    /// Memory that ends.
    pub fn columns(&self, names: &[&str]) -> Result<Cow<'a, [RecordBatch]>> {
        self.copied(|batch| {
            let fields = batch.schema_ref().fields().iter().enumerate();
            let wanted: Vec<usize> =
                fields.filter(|(_, field)| names.contains(&field.name().as_str())).map(|(place, _)| place).collect();
            batch.project(&wanted)
        })
    }

    /// The rows, with all columns.
    pub(super) fn whole(&self) -> Result<Cow<'a, [RecordBatch]>> {
        self.copied(|batch| Ok(batch.clone()))
    }

    fn copied(&self, part: impl Fn(&RecordBatch) -> Result<RecordBatch, ArrowError>) -> Result<Cow<'a, [RecordBatch]>> {
        let Some(mut rows) = self.rows else { return Ok(Cow::Borrowed(self.batches)) };
        let (mut before, mut copies) = (0, Vec::with_capacity(self.batches.len()));
        for batch in self.batches {
            if let Some(wanted) = rows_of_batch(&mut rows, before, batch.num_rows()) {
                let copy = part(batch).and_then(|part| filter_record_batch(&part, &wanted));
                copies.push(copy.map_err(|e| Error::Internal(format!("training rows cannot be copied: {e}")))?);
            }
            before += batch.num_rows();
        }
        Ok(Cow::Owned(copies))
    }
}

impl<'a> From<&'a [RecordBatch]> for TrainingRows<'a> {
    fn from(batches: &'a [RecordBatch]) -> Self {
        Self { batches, rows: None }
    }
}

impl<'a> From<&'a Vec<RecordBatch>> for TrainingRows<'a> {
    fn from(batches: &'a Vec<RecordBatch>) -> Self {
        batches.as_slice().into()
    }
}

impl<'a, const N: usize> From<&'a [RecordBatch; N]> for TrainingRows<'a> {
    fn from(batches: &'a [RecordBatch; N]) -> Self {
        batches.as_slice().into()
    }
}

/// Which rows of a batch are wanted, of row numbers that ascend and count through all batches; nothing where none is. Those of
/// the batch, which begins at row `before`, are taken off `rows`.
pub fn rows_of_batch(rows: &mut &[u32], before: usize, batch_rows: usize) -> Option<BooleanArray> {
    let (here, later) = rows.split_at(rows.partition_point(|&row| (row as usize) < before + batch_rows));
    *rows = later;
    if here.is_empty() {
        return None;
    }
    let mut wanted = BooleanBufferBuilder::new(batch_rows);
    wanted.append_n(batch_rows, false);
    here.iter().for_each(|&row| wanted.set_bit(row as usize - before, true));
    Some(BooleanArray::new(wanted.finish(), None))
}
