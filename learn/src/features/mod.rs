//! How do columns become numbers? A host part (strings, dates, pictures) and a numeric part that also lives in the ONNX
//! file. Everything is fitted on training rows only and saved with the model.
//!
//! *Good for*: fitting, encoding, describing what a model reads. *Not for*: the target (`target`), who is a training row
//! (`split`).

mod auto;
mod bag;
mod category;
mod column;
mod date;
mod encode;
mod fit;
mod image;
mod number;
mod numeric;
mod series;
#[cfg(test)]
mod tests;
mod text;
pub(crate) mod values;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::spec::{FeaturesSpec, Takes};

pub use bag::{BagBlock, BagInput};
pub use column::{Choice, Column, ColumnKind, DateInput, Vocabulary};
pub use numeric::{
    Affine, CategoryInput, EmbeddedColumn, Encoded, ImageBlock, ImageInput, NumberInput, NumericPart, SeriesBlock,
    SeriesInput, TextInput, TokenBlock,
};
pub use text::{FileTokenizer, Ngrams, TextCode, Tokenizer};

/// Fitted features: what a model reads and how it becomes the network's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Features {
    pub(crate) columns: Vec<Column>,
    pub(crate) choices: Vec<Choice>,
    pub(crate) numeric: NumericPart,
}

impl Features {
    /// Fits features on the training rows, and on nothing else. `ignore` names columns that serve another purpose (the
    /// split column); `takes` is what the model takes of texts and series.
    ///
    /// # Errors
    /// A name in the spec that is no column, a column that does not hold what the spec says (by row and value), rows or
    /// features that are not there.
    pub fn fit(
        spec: &FeaturesSpec,
        schema: &Schema,
        target: &str,
        ignore: &[String],
        train: &[RecordBatch],
        takes: Takes<'_>,
    ) -> Result<Self> {
        fit::fit(spec, schema, target, ignore, train, takes)
    }

    /// The host part: text to codes and tokens, dates to parts, pictures to pixels. Columns are found by name, others are ignored.
    ///
    /// # Errors
    /// A missing column, or a value of another kind than the fitted one, by column and row.
    pub fn encode(&self, batch: &RecordBatch) -> Result<Encoded> {
        encode::encode(self, batch)
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

/// Features as a file holds them: not to be trusted before the parts are known to fit together.
#[derive(Deserialize)]
struct Stored {
    columns: Vec<Column>,
    choices: Vec<Choice>,
    numeric: NumericPart,
}

impl TryFrom<Stored> for Features {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored { columns, choices, numeric } = stored;
        let numbers: usize = columns.iter().map(|column| column.kind.numbers()).sum();
        let cardinalities = columns.iter().filter_map(|column| match &column.kind {
            ColumnKind::Category { values } => Some(values.cardinality()),
            _ => None,
        });
        let sizes = columns.iter().filter_map(|column| match column.kind {
            ColumnKind::Image { height, width, channels, .. } => Some([height, width, channels]),
            _ => None,
        });
        let inputs = numeric.categories.iter().zip(cardinalities.clone()).all(|(input, codes)| match input {
            CategoryInput::OneHot { cardinality, .. } => *cardinality == codes,
            CategoryInput::Embedding(column) => column.cardinality == codes,
            CategoryInput::Ordinal { .. } => true,
        });
        let images = numeric.images.iter().map(|image| [image.height, image.width, image.channels]);
        let mut texts = NumericPart::default();
        for column in &columns {
            if let ColumnKind::Text { tokenizer, code } = &column.kind {
                texts.append(code.input(&column.name, tokenizer));
            }
        }
        let steps = columns.iter().filter_map(|column| match column.kind {
            ColumnKind::Series { steps, flat: false, .. } => Some(steps),
            _ => None,
        });
        let fits = numbers == numeric.numbers.len()
            && (&texts.texts, &texts.bags) == (&numeric.texts, &numeric.bags)
            && cardinalities.count() == numeric.categories.len()
            && inputs
            && images.eq(sizes)
            && numeric.series.iter().map(|series| series.steps).eq(steps);
        match fits {
            true => Ok(Self { columns, choices, numeric }),
            false => Err("the columns and the inputs of the network do not fit together".into()),
        }
    }
}
