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
    /// Pairs of numbers whose product is a number of its own.
    pub products: Vec<[String; 2]>,
    /// Pairs of categories, booleans or numbers in bins that are read together, as one category.
    pub crosses: Vec<[String; 2]>,
    /// Distances on the earth, in kilometres.
    pub distances: Vec<DistanceSpec>,
    /// Leaves out what the training rows show to be of little use.
    pub select: SelectSpec,
}

impl FeaturesSpec {
    /// The columns that are named as categories.
    pub fn categories(&self) -> Vec<String> {
        let categories = self.columns.iter().filter(|(_, spec)| matches!(spec, FeatureSpec::Category(_)));
        categories.map(|(name, _)| name.clone()).collect()
    }
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
    /// Lowest and highest value let through, as shares of the training rows: [0.01, 0.99] lets through what lies between
    /// the first and the last hundredth.
    pub winsorize: Option<[f64; 2]>,
    /// One input per range of values, in place of the number; missing ones have an input of their own.
    pub bins: Option<BinsSpec>,
}

impl Default for NumberSpec {
    fn default() -> Self {
        let (impute, scale) = (Impute::Median, Scale::Standard);
        Self { impute, indicator: false, scale, clip: None, winsorize: None, bins: None }
    }
}

/// Ranges that a number is sorted into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BinsSpec {
    /// Number of ranges, 2 to 1,000; fewer where values repeat so often that two of them would end at the same value.
    pub count: usize,
    /// Where one ends and the next begins.
    pub by: BinsBy,
}

impl Default for BinsSpec {
    fn default() -> Self {
        Self { count: 10, by: BinsBy::Quantile }
    }
}

/// Where a range of values ends and the next begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BinsBy {
    /// All ranges are equally wide.
    Width,
    /// All ranges hold as many training rows.
    #[default]
    Quantile,
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
    /// The most frequent value of the training rows; of several the lowest.
    Mode,
    /// This value, in the column's units.
    Constant(f64),
    /// The mean of the training rows that are most alike in all other numbers.
    Neighbours(NeighboursSpec),
}

/// Training rows that stand in for a missing number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NeighboursSpec {
    /// Nearest rows of which the mean is taken, 1 to 100.
    pub count: usize,
    /// Training rows that are kept to look among, 10 to 10,000; evenly spread where there are more.
    pub rows_max: usize,
}

impl Default for NeighboursSpec {
    fn default() -> Self {
        Self { count: 5, rows_max: 1_000 }
    }
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
    /// By its place among the training rows.
    Quantile(QuantileScaleSpec),
    /// Logarithm of 1 and the amount, the sign kept; then mean 0, standard deviation 1.
    Log,
    /// A power that makes the values most like a normal distribution; then mean 0, standard deviation 1.
    YeoJohnson,
}

/// Scaling of a number by its place among the training rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QuantileScaleSpec {
    /// How the scaled training rows are distributed.
    pub to: Distribution,
    /// Quantiles that are kept, 2 to 1,000; between them the place is interpolated.
    pub quantiles: usize,
}

impl Default for QuantileScaleSpec {
    fn default() -> Self {
        Self { to: Distribution::Uniform, quantiles: 1_000 }
    }
}

/// How scaled values are distributed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Evenly from 0 to 1.
    #[default]
    Uniform,
    /// Normally, with mean 0 and standard deviation 1; ends at -5.2 and 5.2.
    Normal,
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// A bucket by the hash of the value, without a list of known values.
    Hashing(HashingSpec),
    /// The mean of the target of the rows with this value (of several classes: the share of each). A training row is
    /// given that of other training rows, never its own.
    Target(TargetEncodingSpec),
}

/// Buckets for the values of a category.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HashingSpec {
    /// Number of buckets, 2 to 100,000: one-hot up to 64, a learned embedding above.
    pub buckets: usize,
}

impl Default for HashingSpec {
    fn default() -> Self {
        Self { buckets: 64 }
    }
}

/// Encoding of a category by the target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TargetEncodingSpec {
    /// How many rows the mean of all rows weighs beside those of a value, so that rare values lie near it.
    pub smoothing: f64,
    /// Parts of the training rows; each is given the means of all other parts. 2 to 100.
    pub folds: usize,
    /// Draws the parts.
    pub seed: u64,
}

impl Default for TargetEncodingSpec {
    fn default() -> Self {
        Self { smoothing: 10.0, folds: 5, seed: 0 }
    }
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
    /// Days that are unlike others, as 2024-02-10, or as 12-25 for every year: adds an input that is 1 on them.
    pub holidays: Vec<String>,
}

impl Default for DateSpec {
    fn default() -> Self {
        let parts = vec![DatePart::Year, DatePart::Month, DatePart::Weekday, DatePart::Hour];
        Self { parts, cyclical: true, holidays: vec![] }
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

/// The distance between two places on the earth: great circle, in kilometres.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DistanceSpec {
    /// Columns of latitude and longitude, in degrees.
    pub from: [String; 2],
    /// The other place.
    pub to: DistanceTo,
}

/// Where a distance ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DistanceTo {
    /// Columns of latitude and longitude, in degrees.
    Columns([String; 2]),
    /// A fixed latitude and longitude, in degrees.
    Point([f64; 2]),
}

/// What is of little use, by the training rows. Pictures, texts and series that are read in order are always kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SelectSpec {
    /// Leaves out columns whose values vary less: variance before scaling, of categories that of their most varying
    /// value.
    pub variance_min: Option<f64>,
    /// Leaves out numbers whose correlation with a number before them is higher, either way.
    pub correlation_max: Option<f64>,
    /// Keeps so many columns: those that tell most of the target (mutual information, in up to 16 ranges of values).
    pub mutual_information_top: Option<usize>,
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
