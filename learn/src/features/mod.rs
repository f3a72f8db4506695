//! How do columns become numbers? A host part (strings, dates, pictures) and a numeric part that also lives in the ONNX
//! file. Everything is fitted on training rows only and saved with the model.
//!
//! *Good for*: fitting, encoding, describing what a model reads. *Not for*: the target (`target`), who is a training row
//! (`split`).

mod column;
mod numeric;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};

use crate::spec::FeaturesSpec;
use crate::{Error, Result};

pub use column::{Choice, Column, ColumnKind, DateInput, Vocabulary};
pub use numeric::{Affine, CategoryInput, EmbeddedColumn, Encoded, ImageBlock, ImageInput, NumberInput, NumericPart};

/// Fitted features: what a model reads and how it becomes the network's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Features {
    pub(crate) columns: Vec<Column>,
    pub(crate) choices: Vec<Choice>,
    pub(crate) numeric: NumericPart,
}

impl Features {
    /// Fits features on the training rows. `ignore` names columns that serve another purpose (the split column).
    pub fn fit(
        spec: &FeaturesSpec,
        schema: &Schema,
        target: &str,
        ignore: &[String],
        train: &[RecordBatch],
    ) -> Result<Self> {
        let _ = (spec, schema, target, ignore, train);
        Err(Error::Unsupported("fitting features is not there yet".into()))
    }

    /// The host part: text to codes, dates to parts, pictures to pixels. Columns are found by name, others are ignored.
    ///
    /// # Errors
    /// A missing column, or a value of another kind than the fitted one, by column and row.
    pub fn encode(&self, batch: &RecordBatch) -> Result<Encoded> {
        let _ = batch;
        Err(Error::Unsupported("encoding rows is not there yet".into()))
    }

    /// What was picked for every column of the table, left-out ones too, in words.
    pub fn choices(&self) -> Vec<Choice> {
        self.choices.clone()
    }

    /// The columns read, in the table's order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Width of the dense input `[batch, dense_width]`.
    pub fn dense_width(&self) -> usize {
        self.numeric.dense_width()
    }

    /// The categories with a learned embedding, in order.
    pub fn embedded(&self) -> Vec<&EmbeddedColumn> {
        self.numeric.embedded().collect()
    }

    /// The numeric part, which the ONNX file holds as well.
    pub fn numeric(&self) -> &NumericPart {
        &self.numeric
    }

    /// Writes the dense input of `rows`, row-major `[rows, dense_width]`.
    pub fn write_dense(&self, encoded: &Encoded, rows: &[u32], out: &mut [f32]) {
        self.numeric.write_dense(encoded, rows, out);
    }

    /// Writes the codes of the embedded categories, row-major `[rows, embedded]`.
    pub fn write_codes(&self, encoded: &Encoded, rows: &[u32], out: &mut [i32]) {
        self.numeric.write_codes(encoded, rows, out);
    }
}
