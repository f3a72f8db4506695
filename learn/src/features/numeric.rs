//! The numeric part of the features: from raw numbers, codes and pixels to the network's input.
//!
//! The ONNX file holds the same operations in the same order on `f32`, so that both give the same answers.

use serde::{Deserialize, Serialize};

use super::bag::{BagBlock, BagInput};
use crate::kernels::scale_pixels;

/// Rows after the host part: raw numbers, category codes and pixels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Encoded {
    /// How many rows.
    pub rows: usize,
    /// Raw numbers `[rows, numbers]`, NaN where missing.
    pub numbers: Vec<f32>,
    /// Category codes `[rows, categories]`: 0 unknown, 1 missing, from 2 on the vocabulary.
    pub codes: Vec<i32>,
    /// One block per image column.
    pub images: Vec<ImageBlock>,
    /// One block per text column that is read token by token.
    pub texts: Vec<TokenBlock>,
    /// One block per text column that is read as weighted terms.
    pub bags: Vec<BagBlock>,
    /// One block per series column.
    pub series: Vec<SeriesBlock>,
}

/// The texts of one column, as numbers of words.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenBlock {
    /// Tokens per text; shorter ones are filled up at their end.
    pub length: usize,
    /// Token numbers `[rows, length]`: [`TextInput::PADDING`] where a text has ended.
    pub tokens: Vec<i32>,
}

/// The series of one column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SeriesBlock {
    /// Values per series, oldest first.
    pub steps: usize,
    /// Raw values `[rows, steps]`, NaN where missing.
    pub values: Vec<f32>,
}

/// The pictures of one column, all of one size.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageBlock {
    /// Values per picture: height x width x channels.
    pub values: usize,
    /// Pixels `[rows, height, width, channels]`.
    pub pixels: Vec<u8>,
}

impl Encoded {
    /// Adds the rows of `other`, which comes from the same features.
    pub fn append(&mut self, other: Encoded) {
        if self.rows == 0 {
            *self = other;
            return;
        }
        self.rows += other.rows;
        self.numbers.extend(other.numbers);
        self.codes.extend(other.codes);
        for (mine, theirs) in self.images.iter_mut().zip(other.images) {
            mine.pixels.extend(theirs.pixels);
        }
        for (mine, theirs) in self.texts.iter_mut().zip(other.texts) {
            mine.tokens.extend(theirs.tokens);
        }
        for (mine, theirs) in self.bags.iter_mut().zip(&other.bags) {
            mine.append(theirs);
        }
        for (mine, theirs) in self.series.iter_mut().zip(other.series) {
            mine.values.extend(theirs.values);
        }
    }

    /// A copy of these rows.
    pub fn take(&self, rows: &[u32]) -> Encoded {
        fn pick<T: Copy>(values: &[T], width: usize, rows: &[u32]) -> Vec<T> {
            let mut picked = Vec::with_capacity(rows.len() * width);
            rows.iter().for_each(|&row| picked.extend_from_slice(&values[row as usize * width..][..width]));
            picked
        }
        let width = |length: usize| length.checked_div(self.rows).unwrap_or(0);
        Encoded {
            rows: rows.len(),
            numbers: pick(&self.numbers, width(self.numbers.len()), rows),
            codes: pick(&self.codes, width(self.codes.len()), rows),
            images: self
                .images
                .iter()
                .map(|block| ImageBlock { values: block.values, pixels: pick(&block.pixels, block.values, rows) })
                .collect(),
            texts: self
                .texts
                .iter()
                .map(|block| TokenBlock { length: block.length, tokens: pick(&block.tokens, block.length, rows) })
                .collect(),
            bags: self.bags.iter().map(|block| block.take(rows.iter().map(|&row| row as usize))).collect(),
            series: self
                .series
                .iter()
                .map(|block| SeriesBlock { steps: block.steps, values: pick(&block.values, block.steps, rows) })
                .collect(),
        }
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        let tokens: usize = self.texts.iter().map(|block| block.tokens.len()).sum();
        let values: usize = self.series.iter().map(|block| block.values.len()).sum();
        let pixels: usize = self.images.iter().map(|block| block.pixels.len()).sum();
        let bags: usize = self.bags.iter().map(BagBlock::memory_bytes).sum();
        4 * (self.numbers.len() + self.codes.len() + tokens + values) + pixels + bags
    }
}

/// `(x - shift) * scale`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Affine {
    /// Taken off first.
    pub shift: f32,
    /// Multiplied by then.
    pub scale: f32,
}

impl Affine {
    /// Leaves values as they are.
    pub const IDENTITY: Self = Self { shift: 0.0, scale: 1.0 };

    fn apply(self, x: f32) -> f32 {
        (x - self.shift) * self.scale
    }
}

/// One number: NaN becomes `impute`, then `clip`, then `affine`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumberInput {
    /// The column (for dates the part as well: `when.month.sin`).
    pub name: String,
    /// Stands in for NaN.
    pub impute: f32,
    /// Adds an input that is 1 where the value was NaN.
    pub indicator: bool,
    /// Lowest and highest value let through; infinite where open.
    #[serde(with = "open_range")]
    pub clip: [f32; 2],
    /// Scaling.
    pub affine: Affine,
}

/// JSON has no infinity: an open end is written as null.
mod open_range {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(clip: &[f32; 2], serializer: S) -> Result<S::Ok, S::Error> {
        clip.map(|end| end.is_finite().then_some(end)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[f32; 2], D::Error> {
        let [low, high] = <[Option<f32>; 2]>::deserialize(deserializer)?;
        Ok([low.unwrap_or(f32::NEG_INFINITY), high.unwrap_or(f32::INFINITY)])
    }
}

impl NumberInput {
    /// The network's input for a raw value.
    pub(crate) fn scaled(&self, x: f32) -> f32 {
        let x = if x.is_nan() { self.impute } else { x };
        self.affine.apply(x.clamp(self.clip[0], self.clip[1]))
    }
}

/// One category; codes run from 0 to `cardinality - 1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CategoryInput {
    /// `cardinality` inputs.
    OneHot {
        /// The column.
        name: String,
        /// Number of codes, unknown and missing included.
        cardinality: usize,
    },
    /// One input, the scaled code.
    Ordinal {
        /// The column.
        name: String,
        /// Scaling of the code.
        affine: Affine,
    },
    /// The network learns a vector per code.
    Embedding(EmbeddedColumn),
}

impl CategoryInput {
    /// Whether it is made for so many codes.
    pub(super) fn fits(&self, codes: usize) -> bool {
        match self {
            Self::OneHot { cardinality, .. } => *cardinality == codes,
            Self::Embedding(column) => column.cardinality == codes,
            Self::Ordinal { .. } => true,
        }
    }
}

/// A category with a learned embedding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddedColumn {
    /// The column.
    pub name: String,
    /// Number of codes, unknown and missing included.
    pub cardinality: usize,
    /// Length of the vector.
    pub dimension: usize,
}

/// One picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageInput {
    /// The column.
    pub name: String,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// 1 or 3.
    pub channels: usize,
    /// Scaling of the pixel values 0 to 255.
    pub affine: Affine,
}

impl ImageInput {
    /// Values per picture.
    pub fn values(&self) -> usize {
        self.height * self.width * self.channels
    }
}

/// One text: a sequence of token numbers, for networks that read sequences.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextInput {
    /// The column.
    pub name: String,
    /// Tokens per text.
    pub length: usize,
    /// Number of token numbers, padding and unknown included.
    pub vocabulary: usize,
    /// Stands in for a token that is not known; of another number than [`TextInput::UNKNOWN`] where the tokenizer comes in a
    /// file.
    #[serde(default = "TextInput::unknown")]
    pub unknown: i32,
}

impl TextInput {
    /// The token number after a text's end; networks do not look at it.
    pub const PADDING: i32 = 0;
    /// The token number of a token that is not in the vocabulary.
    pub const UNKNOWN: i32 = 1;

    fn unknown() -> i32 {
        Self::UNKNOWN
    }
}

/// One series of numbers over time: NaN becomes `impute`, then `affine`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesInput {
    /// The column.
    pub name: String,
    /// Values per series; all series of a model have the same.
    pub steps: usize,
    /// Stands in for NaN.
    pub impute: f32,
    /// Scaling.
    pub affine: Affine,
}

impl SeriesInput {
    /// The network's input for a raw value.
    pub(crate) fn scaled(&self, x: f32) -> f32 {
        self.affine.apply(if x.is_nan() { self.impute } else { x })
    }
}

/// The numeric part. The dense input is `[numbers, missing indicators, ordinals, one-hots, weighted terms, images]`, each
/// in this order of columns; embedded categories go to the network as codes, texts and series to networks that read
/// sequences.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NumericPart {
    /// Columns of `Encoded::numbers`.
    pub numbers: Vec<NumberInput>,
    /// Columns of `Encoded::codes`.
    pub categories: Vec<CategoryInput>,
    /// Blocks of `Encoded::images`.
    pub images: Vec<ImageInput>,
    /// Blocks of `Encoded::texts`.
    #[serde(default)]
    pub texts: Vec<TextInput>,
    /// Blocks of `Encoded::bags`.
    #[serde(default)]
    pub bags: Vec<BagInput>,
    /// Blocks of `Encoded::series`.
    #[serde(default)]
    pub series: Vec<SeriesInput>,
}

impl From<NumberInput> for NumericPart {
    fn from(input: NumberInput) -> Self {
        Self { numbers: vec![input], ..Self::default() }
    }
}

impl NumericPart {
    /// Adds the inputs of another column.
    pub(crate) fn append(&mut self, other: Self) {
        self.numbers.extend(other.numbers);
        self.categories.extend(other.categories);
        self.images.extend(other.images);
        self.texts.extend(other.texts);
        self.bags.extend(other.bags);
        self.series.extend(other.series);
    }

    /// Width of the dense input.
    pub fn dense_width(&self) -> usize {
        self.table_width() + self.images.iter().map(ImageInput::values).sum::<usize>()
    }

    /// Width of the dense input without the images.
    pub fn table_width(&self) -> usize {
        let indicators = self.numbers.iter().filter(|number| number.indicator).count();
        let categories: usize = self
            .categories
            .iter()
            .map(|category| match category {
                CategoryInput::OneHot { cardinality, .. } => *cardinality,
                CategoryInput::Ordinal { .. } => 1,
                CategoryInput::Embedding(_) => 0,
            })
            .sum();
        let terms: usize = self.bags.iter().map(|bag| bag.width).sum();
        self.numbers.len() + indicators + categories + terms
    }

    /// The categories with a learned embedding, in order.
    pub fn embedded(&self) -> impl Iterator<Item = &EmbeddedColumn> {
        self.categories.iter().filter_map(|category| match category {
            CategoryInput::Embedding(column) => Some(column),
            _ => None,
        })
    }

    /// Writes the dense input of `rows`: `[rows, dense_width]`.
    pub fn write_dense(&self, encoded: &Encoded, rows: &[u32], out: &mut [f32]) {
        self.write_dense_apart(encoded, rows, self.dense_width(), out);
    }

    /// Writes the dense input of `rows` with `stride` numbers from one row's beginning to the next: `[rows, stride]`.
    pub(crate) fn write_dense_apart(&self, encoded: &Encoded, rows: &[u32], stride: usize, out: &mut [f32]) {
        if stride == 0 {
            return;
        }
        for (&row, out) in rows.iter().zip(out.chunks_mut(stride)) {
            self.write_row(encoded, row as usize, out);
        }
    }

    fn write_row(&self, encoded: &Encoded, row: usize, out: &mut [f32]) {
        let (table, mut out) = out.split_at_mut(self.table_width());
        self.write_table(encoded, row, table);
        for number in 0..self.images.len() {
            let (picture, rest) = out.split_at_mut(encoded.images[number].values);
            self.write_image(encoded, number, row, picture);
            out = rest;
        }
    }

    /// Writes the scaled pixels of an image column of a row: `[height, width, channels]`.
    pub(crate) fn write_image(&self, encoded: &Encoded, number: usize, row: usize, out: &mut [f32]) {
        let (block, affine) = (&encoded.images[number], self.images[number].affine);
        let pixels = &block.pixels[row * block.values..][..block.values];
        scale_pixels(pixels, affine.shift, affine.scale, out);
    }

    /// Writes the scaled series of a row: `[steps, series]`.
    pub(crate) fn write_series(&self, encoded: &Encoded, row: usize, out: &mut [f32]) {
        let channels = self.series.len();
        for (channel, (input, block)) in self.series.iter().zip(&encoded.series).enumerate() {
            let values = &block.values[row * block.steps..][..block.steps];
            for (slot, &x) in out[channel..].iter_mut().step_by(channels).zip(values) {
                *slot = input.scaled(x);
            }
        }
    }

    /// Writes the dense input of a row without the images: `[table_width]`.
    pub(crate) fn write_table(&self, encoded: &Encoded, row: usize, out: &mut [f32]) {
        let numbers = &encoded.numbers[row * self.numbers.len()..][..self.numbers.len()];
        let codes = &encoded.codes[row * self.categories.len()..][..self.categories.len()];
        let (scaled, mut out) = out.split_at_mut(numbers.len());
        for ((input, &x), slot) in self.numbers.iter().zip(numbers).zip(scaled) {
            let x = if x.is_nan() { input.impute } else { x };
            // Not `clamp`, which panics where a broken file holds a range upside down.
            *slot = input.affine.apply(x.max(input.clip[0]).min(input.clip[1]));
        }
        for (_, &x) in self.numbers.iter().zip(numbers).filter(|(input, _)| input.indicator) {
            out[0] = f32::from(x.is_nan());
            out = &mut out[1..];
        }
        for (category, &code) in self.categories.iter().zip(codes) {
            if let CategoryInput::Ordinal { affine, .. } = category {
                out[0] = affine.apply(code as f32);
                out = &mut out[1..];
            }
        }
        for (category, &code) in self.categories.iter().zip(codes) {
            if let CategoryInput::OneHot { cardinality, .. } = category {
                let (hot, rest) = out.split_at_mut(*cardinality);
                hot.fill(0.0);
                hot[code as usize] = 1.0;
                out = rest;
            }
        }
        for block in &encoded.bags {
            let (terms, rest) = out.split_at_mut(block.width);
            block.write(row, terms);
            out = rest;
        }
    }

    /// The code of an embedded category, by its place among them.
    pub(crate) fn embedded_code(&self, encoded: &Encoded, row: usize, number: usize) -> i32 {
        let codes = &encoded.codes[row * self.categories.len()..][..self.categories.len()];
        let embedded = self.categories.iter().zip(codes).filter(|(c, _)| matches!(c, CategoryInput::Embedding(_)));
        embedded.map(|(_, &code)| code).nth(number).unwrap_or_default()
    }

    /// Writes the codes of the embedded categories: `[rows, embedded]`.
    pub fn write_codes(&self, encoded: &Encoded, rows: &[u32], out: &mut [i32]) {
        let width = self.embedded().count();
        if width == 0 {
            return;
        }
        for (&row, out) in rows.iter().zip(out.chunks_exact_mut(width)) {
            let codes = &encoded.codes[row as usize * self.categories.len()..][..self.categories.len()];
            let embedded = self.categories.iter().zip(codes).filter(|(c, _)| matches!(c, CategoryInput::Embedding(_)));
            for (slot, (_, &code)) in out.iter_mut().zip(embedded) {
                *slot = code;
            }
        }
    }
}
