//! How do columns become numbers? A host part (strings, dates, pictures) and a numeric part that also lives in the ONNX
//! file. Everything is fitted on training rows only and saved with the model.
//!
//! *Good for*: fitting, encoding, describing what a model reads. *Not for*: the target (`target`), who is a training row
//! (`split`).

mod auto;
mod bag;
mod category;
mod column;
mod combined;
mod curve;
mod date;
mod encode;
mod fit;
mod holidays;
mod image;
mod matrix;
mod neighbours;
mod number;
mod numeric;
mod prepared;
mod select;
mod series;
mod statistics;
mod steps;
mod target_encoding;
#[cfg(test)]
mod tests;
mod text;
mod training_rows;
pub(crate) mod values;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};

use crate::spec::{FeaturesSpec, Takes};
use crate::{Result, Target};

pub use bag::{BagBlock, BagInput};
pub use column::{Choice, Column, ColumnKind, DateInput, Vocabulary};
pub use combined::{Combined, CombinedKind};
pub use curve::Curve;
pub use encode::PATH_COLUMN;
pub use holidays::Holidays;
pub use neighbours::{Neighbour, Neighbours};
pub use numeric::{
    Affine, CategoryInput, EmbeddedColumn, Encoded, ImageBlock, ImageInput, NumberInput, NumericPart, SeriesBlock,
    SeriesInput, TextInput, TokenBlock,
};
pub use prepared::Prepared;
pub use statistics::Statistics;
pub use steps::{FeatureSteps, Step};
pub use target_encoding::TargetTable;
pub use text::{FileTokenizer, Ngrams, TextCode, Tokenizer};
pub use training_rows::{TrainingRows, rows_of_batch};

/// Fitted features: what a model reads and how it becomes the network's input.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Features {
    pub(crate) columns: Vec<Column>,
    /// What is made of several columns; its inputs follow those of the columns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) combined: Vec<Combined>,
    /// Training rows that stand in for missing numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) neighbours: Option<Neighbours>,
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
    pub fn fit<'r>(
        spec: &FeaturesSpec,
        schema: &Schema,
        target: &Target,
        ignore: &[String],
        train: impl Into<TrainingRows<'r>>,
        takes: Takes<'_>,
    ) -> Result<Self> {
        fit::fit(spec, schema, target, ignore, train.into(), takes)
    }

    /// The training rows themselves, in the order in which the features were fitted on them, batch after batch: as
    /// [`Features::encode`], but a category encoded by the target is given the means of other training rows.
    ///
    /// # Errors
    /// As [`Features::encode`]; a target that is not the fitted one.
    pub fn encode_training(&self, target: &Target, train: &[RecordBatch]) -> Result<Encoded> {
        encode::encode_training(self, target, train)
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

    /// What is done with every column, step by step, and what it was fitted to; left-out ones come last.
    pub fn steps(&self) -> Vec<FeatureSteps> {
        steps::steps(self)
    }

    /// The columns read, in the table's order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// What is made of several columns, in order.
    pub fn combined(&self) -> &[Combined] {
        &self.combined
    }

    /// The columns whose missing numbers are those of training rows that are most alike.
    pub(crate) fn filled_by_neighbours(&self) -> Vec<&str> {
        let columns = self.neighbours.iter().flat_map(|neighbours| &neighbours.columns);
        columns.filter(|column| column.count > 0).map(|column| column.name.as_str()).collect()
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
    #[serde(default)]
    combined: Vec<Combined>,
    #[serde(default)]
    neighbours: Option<Neighbours>,
    choices: Vec<Choice>,
    numeric: NumericPart,
}

impl TryFrom<Stored> for Features {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored { columns, combined, neighbours, choices, numeric } = stored;
        let numbers: usize = columns.iter().map(Column::numbers).sum();
        let numbers = numbers + combined.iter().map(Combined::numbers).sum::<usize>();
        let coded = columns.iter().filter_map(Column::cardinality);
        let cardinalities: Vec<usize> = coded.chain(combined.iter().filter_map(Combined::cardinality)).collect();
        let inputs = numeric.categories.iter().zip(&cardinalities).all(|(input, codes)| input.fits(*codes));
        let sizes = columns.iter().filter_map(|column| match column.kind {
            ColumnKind::Image { height, width, channels, .. } => Some([height, width, channels]),
            _ => None,
        });
        let images = numeric.images.iter().map(|image| [image.height, image.width, image.channels]);
        let mut texts = NumericPart::default();
        for column in &columns {
            if let ColumnKind::Text { tokenizer, code } = &column.kind {
                texts.append(code.input(&column.name, tokenizer));
            }
        }
        let steps = columns.iter().filter(|column| column.is_sequence()).filter_map(|column| match column.kind {
            ColumnKind::Series { steps, .. } => Some(steps),
            _ => None,
        });
        let tables = columns.iter().all(|column| match (&column.prepared, &column.kind) {
            (Prepared::Target(table), ColumnKind::Category { values }) => table.fits(values.cardinality()),
            (Prepared::Target(_), _) => false,
            _ => true,
        });
        let sources = |name: &str| columns.iter().any(|column| column.name == name);
        let fits = numbers == numeric.numbers.len()
            && (&texts.texts, &texts.bags) == (&numeric.texts, &numeric.bags)
            && cardinalities.len() == numeric.categories.len()
            && inputs
            && tables
            && images.eq(sizes)
            && numeric.series.iter().map(|series| series.steps).eq(steps)
            && combined.iter().flat_map(Combined::sources).all(sources)
            && neighbours.as_ref().is_none_or(|neighbours| neighbours.fits(numbers));
        match fits {
            true => Ok(Self { columns, combined, neighbours, choices, numeric }),
            false => Err("the columns and the inputs of the network do not fit together".into()),
        }
    }
}
