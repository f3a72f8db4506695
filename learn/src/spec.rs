//! What can a user ask of a model? Plain structs of the project file: features, network, training, split, evaluation.
//!
//! Every struct refuses unknown fields and has a default for all that can be left out, so that printing a spec prints
//! the run as it will happen.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of answer a model gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskSpec {
    /// Classification for text, boolean and few-valued integer targets, regression otherwise.
    #[default]
    Auto,
    /// One of a fixed set of classes.
    Classification,
    /// A real number.
    Regression,
}

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

/// How rows are divided into training, validation and test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SplitSpec {
    /// At random by the seed.
    Fraction(FractionSplit),
    /// By the values of a column.
    Column(ColumnSplit),
    /// The newest rows are kept for validation and test.
    Time(TimeSplit),
    /// The model's table is for training; test (and validation) rows come from tables of their own.
    Tables(TablesSplit),
}

impl Default for SplitSpec {
    fn default() -> Self {
        Self::Fraction(FractionSplit::default())
    }
}

/// At random by the seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FractionSplit {
    /// Share of the rows for validation, above 0 and below 1.
    pub validation: f64,
    /// Share of the rows for test, above 0 and below 1.
    pub test: f64,
    /// Keeps the share of each class the same in all parts (classification).
    pub stratify: bool,
}

impl Default for FractionSplit {
    fn default() -> Self {
        Self { validation: 0.15, test: 0.15, stratify: true }
    }
}

/// By the values of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnSplit {
    /// The column, not read as a feature.
    pub column: String,
    /// Its value in training rows.
    #[serde(default = "train_value")]
    pub train: String,
    /// Its value in validation rows.
    #[serde(default = "validation_value")]
    pub validation: String,
    /// Its value in test rows.
    #[serde(default = "test_value")]
    pub test: String,
}

fn train_value() -> String {
    "train".into()
}
fn validation_value() -> String {
    "validation".into()
}
fn test_value() -> String {
    "test".into()
}

/// The newest rows are kept for validation and test: oldest first train, then validation, then test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeSplit {
    /// A date, time stamp or number to order by.
    pub column: String,
    /// Share of the rows for validation, above 0 and below 1.
    #[serde(default = "part")]
    pub validation: f64,
    /// Share of the rows for test, above 0 and below 1.
    #[serde(default = "part")]
    pub test: f64,
}

fn part() -> f64 {
    0.15
}

/// Test (and validation) rows from tables of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TablesSplit {
    /// The table with the test rows.
    pub test: String,
    /// The table with the validation rows; where absent, `validation_fraction` of the training rows.
    #[serde(default)]
    pub validation: Option<String>,
    /// Share of the training rows kept for validation where no table is given, above 0 and below 1.
    #[serde(default = "tenth")]
    pub validation_fraction: f64,
    /// Keeps the share of each class the same in both parts.
    #[serde(default = "yes")]
    pub stratify: bool,
}

fn tenth() -> f64 {
    0.1
}
fn yes() -> bool {
    true
}

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetSpec {
    /// Fully connected layers.
    Dense(DenseSpec),
}

impl Default for NetSpec {
    fn default() -> Self {
        Self::Dense(DenseSpec::default())
    }
}

/// Fully connected layers; the last one (classes or one value) is added by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DenseSpec {
    /// Units of each hidden layer, first to last; none for a linear model.
    pub hidden: Vec<usize>,
    /// Activation of the hidden layers.
    pub activation: Activation,
    /// Share of the hidden units left out at random while training, 0 to below 1.
    pub dropout: f64,
}

impl Default for DenseSpec {
    fn default() -> Self {
        Self { hidden: vec![128, 64], activation: Activation::Relu, dropout: 0.0 }
    }
}

/// An activation function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// max(0, x).
    #[default]
    Relu,
    /// x above 0, 0.01 x below.
    LeakyRelu,
    /// Hyperbolic tangent.
    Tanh,
}

/// Training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSpec {
    /// Passes over the training rows, at least 1.
    pub epochs: usize,
    /// Rows per step, at least 1.
    pub batch_size: usize,
    /// How weights follow their gradients.
    #[serde(alias = "optimiser")]
    pub optimizer: Optimizer,
    /// What is made small.
    pub loss: Loss,
    /// L2 decay of the weights (not of the biases), added to the gradient as PyTorch's `weight_decay`.
    pub weight_decay: f64,
    /// Ends training when validation no longer gains.
    pub early_stopping: EarlyStopping,
    /// Seed of the split, the first weights, the order of rows and dropout.
    pub seed: u64,
    /// Where the network is trained: `auto` or `cpu`.
    pub device: String,
}

impl Default for TrainSpec {
    fn default() -> Self {
        Self {
            epochs: 30,
            batch_size: 128,
            optimizer: Optimizer::default(),
            loss: Loss::Auto,
            weight_decay: 0.0,
            early_stopping: EarlyStopping::default(),
            seed: 42,
            device: "auto".into(),
        }
    }
}

/// How weights follow their gradients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd(SgdSpec),
    /// Adam (Kingma and Ba 2015).
    Adam(AdamSpec),
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::Adam(AdamSpec::default())
    }
}

/// Stochastic gradient descent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SgdSpec {
    /// Step size, above 0.
    pub learning_rate: f64,
    /// Share of the last step kept, 0 to below 1.
    pub momentum: f64,
}

impl Default for SgdSpec {
    fn default() -> Self {
        Self { learning_rate: 0.01, momentum: 0.0 }
    }
}

/// Adam.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdamSpec {
    /// Step size, above 0.
    pub learning_rate: f64,
    /// Decay of the mean of gradients, 0 to below 1.
    pub beta1: f64,
    /// Decay of the mean of squared gradients, 0 to below 1.
    pub beta2: f64,
    /// Added to the root of the squared gradients, above 0.
    pub epsilon: f64,
}

impl Default for AdamSpec {
    fn default() -> Self {
        Self { learning_rate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

/// What training makes small.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Cross-entropy for classes, mean squared error for numbers.
    #[default]
    Auto,
    /// Mean squared error; for classes against the one-hot target.
    #[serde(alias = "mse")]
    MeanSquaredError,
    /// Binary cross-entropy on a sigmoid head; two classes.
    BinaryCrossEntropy,
    /// Cross-entropy on a softmax head.
    #[serde(alias = "cross_entropy")]
    CategoricalCrossEntropy,
}

/// Ends training when validation no longer gains; the best epoch's weights are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EarlyStopping {
    /// Whether training may end before its last epoch.
    pub enabled: bool,
    /// The validation figure that is watched.
    pub metric: WatchedMetric,
    /// Epochs without a gain before training ends, at least 1.
    pub patience: usize,
    /// What counts as a gain, at least 0.
    pub min_delta: f64,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { enabled: true, metric: WatchedMetric::Auto, patience: 5, min_delta: 0.0 }
    }
}

/// A validation figure that training watches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WatchedMetric {
    /// Accuracy for classes, root mean squared error for numbers.
    #[default]
    Auto,
    /// The loss itself.
    Loss,
    /// Share of right answers.
    Accuracy,
    /// Area under the ROC curve; two classes.
    Auc,
    /// Root mean squared error, in the target's units.
    Rmse,
}

/// How answers are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateSpec {
    /// Of two classes, the probability from which the second one (in label order) is answered.
    pub threshold: Threshold,
    /// Rows whose columns are shuffled to see which ones matter; 0 leaves it out.
    pub importance_rows_max: usize,
    /// Wrong answers kept for the report, largest errors first.
    pub worst_max: usize,
}

impl Default for EvaluateSpec {
    fn default() -> Self {
        Self { threshold: Threshold::Auto, importance_rows_max: 1_000, worst_max: 24 }
    }
}

/// The probability from which the positive class is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Threshold {
    /// One half.
    #[default]
    Auto,
    /// The one with the best F1 on the validation rows.
    BestF1,
    /// This probability, 0 to 1.
    At(f64),
}
