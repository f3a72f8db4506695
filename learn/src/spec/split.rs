//! How are rows divided into training, validation and test?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// At random by the seed, all rows of one group in the same part.
    Group(GroupSplit),
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

/// All rows of one group (a customer, a machine) in the same part: what is learned of it cannot be asked again. Parts have
/// their share of the rows as nearly as whole groups allow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupSplit {
    /// The column that names the group, not read as a feature.
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
    /// A column whose groups stay whole where validation rows are kept from the training rows; it is not read as a feature,
    /// and classes are not evened out then.
    #[serde(default)]
    pub group: Option<String>,
}

fn tenth() -> f64 {
    0.1
}
fn yes() -> bool {
    true
}
