//! Which columns does a model read, and how is each prepared?

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SeriesSpec, TextSpec};

/// Which columns a model reads, and how each is prepared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FeaturesSpec {
    /// Columns to read; all but the target and the split column where empty.
    pub include: Vec<String>,
    /// Columns not to read.
    pub exclude: Vec<String>,
    /// How single columns are prepared; `auto` for every column not named here.
    pub columns: BTreeMap<String, FeatureSpec>,
}

/// How one column is prepared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeatureSpec {
    /// Chosen by the type and the values of the column.
    #[default]
    Auto,
    /// A number: impute, clip, scale.
    Number(NumberSpec),
    /// One of a set of values: one-hot, ordinal or a learned embedding.
    Category(CategorySpec),
    /// True or false, as 1 and 0.
    Boolean(BooleanSpec),
    /// A date or a time stamp, as its parts.
    Date(DateSpec),
    /// A picture, resized to one size.
    Image(ImageSpec),
    /// A text: tokens for networks that read sequences, weighted terms for all others.
    Text(TextSpec),
    /// A list of numbers over time.
    Series(SeriesSpec),
}

/// Preparation of a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NumberSpec {
    /// What stands in for a missing value.
    pub impute: Impute,
    /// Adds an input that is 1 where the value was missing.
    pub indicator: bool,
    /// Brings the values to a common range.
    pub scale: Scale,
    /// Lowest and highest value let through, in the column's units.
    pub clip: Option<[f64; 2]>,
}

impl Default for NumberSpec {
    fn default() -> Self {
        Self { impute: Impute::Median, indicator: false, scale: Scale::Standard, clip: None }
    }
}

/// What stands in for a missing number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Impute {
    /// The mean of the training rows.
    Mean,
    /// The median of the training rows.
    #[default]
    Median,
    /// This value, in the column's units.
    Constant(f64),
}

/// How numbers are brought to a common range; every figure is fitted on the training rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Left as it is.
    None,
    /// Mean 0, standard deviation 1.
    #[default]
    Standard,
    /// Lowest value 0, highest 1.
    MinMax,
    /// Median 0, interquartile range 1.
    Robust,
}

/// Preparation of a category.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CategorySpec {
    /// How a value becomes numbers.
    pub encode: CategoryEncoding,
    /// Values seen in fewer training rows count as unknown.
    pub count_min: u64,
    /// The most frequent values kept; the rest counts as unknown. 1 to 100,000.
    pub values_max: usize,
}

impl Default for CategorySpec {
    fn default() -> Self {
        Self { encode: CategoryEncoding::Auto, count_min: 1, values_max: 10_000 }
    }
}

/// How a category becomes numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CategoryEncoding {
    /// One-hot up to 64 values, a learned embedding above.
    #[default]
    Auto,
    /// One input per value.
    OneHot,
    /// One input: the place of the value in alphabetical order, scaled to 0 to 1.
    Ordinal,
    /// A vector of this many learned numbers per value; `auto` takes min(50, (values + 1) / 2).
    Embedding(EmbeddingSpec),
}

/// A learned embedding of a category.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddingSpec {
    /// Length of the vector; chosen from the number of values where absent.
    pub dimension: Option<usize>,
}

/// Preparation of a boolean; a missing one becomes the fitted share of true.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BooleanSpec {}

/// Preparation of a date.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DateSpec {
    /// Parts to read.
    pub parts: Vec<DatePart>,
    /// Sine and cosine of each part that comes round again, so that December lies beside January.
    pub cyclical: bool,
}

impl Default for DateSpec {
    fn default() -> Self {
        Self { parts: vec![DatePart::Year, DatePart::Month, DatePart::Weekday, DatePart::Hour], cyclical: true }
    }
}

/// A part of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatePart {
    /// The year, as a number that is scaled.
    Year,
    /// 1 to 12.
    Month,
    /// 1 to 31.
    Day,
    /// 0 (Monday) to 6.
    Weekday,
    /// 1 to 366.
    DayOfYear,
    /// 0 to 23.
    Hour,
    /// 0 to 59.
    Minute,
}

/// Preparation of a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ImageSpec {
    /// Width in pixels; that of the first training picture where absent, 64 at most.
    pub width: Option<u32>,
    /// Height in pixels; that of the first training picture where absent, 64 at most.
    pub height: Option<u32>,
    /// Grey or colour; that of the first training picture where absent.
    pub channels: Option<Channels>,
    /// How pixel values 0 to 255 are scaled.
    pub scale: PixelScale,
}

impl Default for ImageSpec {
    fn default() -> Self {
        Self { width: None, height: None, channels: None, scale: PixelScale::Unit }
    }
}

/// The channels of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// One channel, luma.
    Grey,
    /// Red, green, blue.
    Rgb,
}

/// How pixel values 0 to 255 are scaled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PixelScale {
    /// To 0 to 1.
    #[default]
    Unit,
    /// To -1 to 1.
    Symmetric,
    /// Mean 0 and standard deviation 1 over the training pictures.
    Standard,
}
