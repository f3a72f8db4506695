//! What has to hold for rows? Plain structs of the project file, one for each kind of expectation.

use arrow::array::StringArray;
use arrow::compute::regexp_is_match_scalar;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// One thing that has to hold for the rows of a table or source. Values that are missing pass every check but `not_null`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Expectation {
    /// Every row has a value.
    NotNull(NotNullCheck),
    /// No two rows have the same values.
    Unique(UniqueCheck),
    /// Values lie between two others.
    Range(RangeCheck),
    /// Values match a regular expression.
    Matches(MatchesCheck),
    /// Values are among those of a list.
    OneOf(OneOfCheck),
    /// Values stand in a column of another table.
    ForeignKey(ForeignKeyCheck),
    /// There are neither too few rows nor too many.
    RowCount(RowCountCheck),
    /// The newest row is not too old.
    Fresh(FreshCheck),
    /// The rows are distributed as others are: each column of up to 1,000 reference rows by a test (Kolmogorov-Smirnov for
    /// numbers, chi-square for categories), of more by a distance (normed Wasserstein, Jensen-Shannon).
    Drift(DriftCheck),
    /// A query of one's own has no rows.
    Sql(SqlCheck),
}

/// What a failed expectation does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It is said, and the work goes on.
    Warn,
    /// Runs, searches and audits stop with exit code 1.
    #[default]
    Fail,
}

/// Every row has a value; not-a-number is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotNullCheck {
    /// The column.
    pub column: String,
    /// Share of the rows that may fail.
    #[serde(default)]
    pub at_most: f64,
    /// What a failure does.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// No two rows have the same values in these columns; rows without one of them are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UniqueCheck {
    /// The columns whose values together tell rows apart.
    pub columns: Vec<String>,
    /// Share of the rows that may repeat an earlier one.
    #[serde(default)]
    pub at_most: f64,
    /// What a failure does.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// Values lie between two others, both allowed. Numbers for columns of numbers, text such as `2026-01-31` for dates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RangeCheck {
    /// The column.
    pub column: String,
    /// The lowest value; any where absent.
    #[serde(default)]
    pub min: Option<Scalar>,
    /// The highest value; any where absent.
    #[serde(default)]
    pub max: Option<Scalar>,
    /// Share of the values that may fail.
    #[serde(default)]
    pub at_most: f64,
    /// What a failure does.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// Values match a regular expression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchesCheck {
    /// The column; numbers and dates are read as text.
    pub column: String,
    /// The regular expression; it may match any part of a value, `^` and `$` hold it to the whole.
    pub pattern: String,
    /// Share of the values that may fail.
    #[serde(default)]
    pub at_most: f64,
    /// What a failure does.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// Values are among those of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneOfCheck {
    /// The column.
    pub column: String,
    /// The values that may stand there.
    pub values: Vec<Scalar>,
    /// Share of the values that may fail.
    #[serde(default)]
    pub at_most: f64,
    /// What a failure does.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// Values stand in a column of another table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForeignKeyCheck {
    /// The column.
    pub column: String,
    /// The other table or source.
    pub table: String,
    /// The column of the other table; that of the same name where absent.
    #[serde(default)]
    pub other: Option<String>,
    /// Share of the values that may fail.
    #[serde(default)]
    pub at_most: f64,
    /// What a failure does.
    #[serde(default)]
    pub on_failure: OnFailure,
}

impl ForeignKeyCheck {
    /// The column of the other table.
    pub fn other_column(&self) -> &str {
        self.other.as_deref().unwrap_or(&self.column)
    }
}

/// There are neither too few rows nor too many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RowCountCheck {
    /// Fewest rows; any number where absent.
    #[serde(default)]
    pub min: Option<u64>,
    /// Most rows; any number where absent.
    #[serde(default)]
    pub max: Option<u64>,
    /// What a failure does.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// The newest row is not too old.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FreshCheck {
    /// The column of dates or points in time; those without a zone are in UTC.
    pub column: String,
    /// Hours since its latest value, at most.
    pub within_h: f64,
    /// What a failure does.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// The rows are distributed as others are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DriftCheck {
    /// The rows to compare with: a table or source, or a file; the last snapshot of this table where absent.
    pub against: Option<String>,
    /// The columns that are compared; all that both have where empty.
    pub columns: Vec<String>,
    /// Share of the compared columns that makes the whole drift.
    pub columns_share: f64,
    /// A test on up to 1,000 reference rows says drift below this probability.
    pub p_value: f64,
    /// A distance over more reference rows says drift from this value on.
    pub distance: f64,
    /// What a failure does.
    pub on_failure: OnFailure,
}

impl Default for DriftCheck {
    fn default() -> Self {
        Self {
            against: None,
            columns: Vec::new(),
            columns_share: 0.5,
            p_value: 0.05,
            distance: 0.1,
            on_failure: OnFailure::Fail,
        }
    }
}

/// A query whose rows are the failing ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlCheck {
    /// A SELECT over sources and tables; each row that it gives is a failure.
    pub query: String,
    /// What is expected, for messages and file names.
    #[serde(default)]
    pub name: Option<String>,
    /// Failing rows that are allowed, as a share of the table's rows.
    #[serde(default)]
    pub at_most: f64,
    /// What a failure does.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// A value as the project file says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A real number.
    Number(f64),
    /// Text, a date, a point in time.
    Text(String),
}

impl JsonSchema for Scalar {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["boolean", "integer", "number", "string"] })
    }
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "{value:?}"),
        }
    }
}

impl Expectation {
    /// Its name in the project file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotNull(_) => "not_null",
            Self::Unique(_) => "unique",
            Self::Range(_) => "range",
            Self::Matches(_) => "matches",
            Self::OneOf(_) => "one_of",
            Self::ForeignKey(_) => "foreign_key",
            Self::RowCount(_) => "row_count",
            Self::Fresh(_) => "fresh",
            Self::Drift(_) => "drift",
            Self::Sql(_) => "sql",
        }
    }

    /// The columns of the table that it is about, each with its key below the kind: `column`, `columns[1]`.
    pub fn columns(&self) -> Vec<(String, &str)> {
        match self {
            Self::NotNull(NotNullCheck { column, .. })
            | Self::Range(RangeCheck { column, .. })
            | Self::Matches(MatchesCheck { column, .. })
            | Self::OneOf(OneOfCheck { column, .. })
            | Self::ForeignKey(ForeignKeyCheck { column, .. })
            | Self::Fresh(FreshCheck { column, .. }) => vec![("column".to_owned(), column)],
            Self::Unique(UniqueCheck { columns, .. }) | Self::Drift(DriftCheck { columns, .. }) => {
                columns.iter().enumerate().map(|(at, name)| (format!("columns[{at}]"), name.as_str())).collect()
            }
            Self::RowCount(_) | Self::Sql(_) => Vec::new(),
        }
    }

    /// What a failure does.
    pub fn on_failure(&self) -> OnFailure {
        match self {
            Self::NotNull(check) => check.on_failure,
            Self::Unique(check) => check.on_failure,
            Self::Range(check) => check.on_failure,
            Self::Matches(check) => check.on_failure,
            Self::OneOf(check) => check.on_failure,
            Self::ForeignKey(check) => check.on_failure,
            Self::RowCount(check) => check.on_failure,
            Self::Fresh(check) => check.on_failure,
            Self::Drift(check) => check.on_failure,
            Self::Sql(check) => check.on_failure,
        }
    }

    /// The share that may fail.
    pub fn at_most(&self) -> f64 {
        match self {
            Self::NotNull(check) => check.at_most,
            Self::Unique(check) => check.at_most,
            Self::Range(check) => check.at_most,
            Self::Matches(check) => check.at_most,
            Self::OneOf(check) => check.at_most,
            Self::ForeignKey(check) => check.at_most,
            Self::Sql(check) => check.at_most,
            Self::RowCount(_) | Self::Fresh(_) | Self::Drift(_) => 0.0,
        }
    }

    /// What can be told to be wrong without looking at any row: the key below the kind, and why.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, why: String| faults.push((key.to_owned(), why));
        match self {
            Self::Range(RangeCheck { min, max, .. }) => match (min, max) {
                (None, None) => fault("", "a range needs min, max or both".to_owned()),
                (Some(min), Some(max)) if is_above(min, max) => {
                    fault("min", format!("the lowest value {min} is above the highest, {max}"));
                }
                _ => {
                    for (key, end) in [("min", min), ("max", max)] {
                        if let Some(Scalar::Boolean(_)) = end {
                            fault(key, "true and false have no range; use one_of".to_owned());
                        }
                    }
                }
            },
            Self::Matches(MatchesCheck { pattern, .. }) => {
                if let Some(why) = pattern_fault(pattern) {
                    fault("pattern", format!("{pattern:?} is no regular expression: {why}"));
                }
            }
            Self::RowCount(RowCountCheck { min, max, .. }) => match (min, max) {
                (None, None) => fault("", "a row count needs min, max or both".to_owned()),
                (Some(min), Some(max)) if min > max => fault("min", format!("{min} rows at least and {max} at most")),
                _ => {}
            },
            Self::Unique(UniqueCheck { columns, .. }) => {
                for (at, column) in columns.iter().enumerate() {
                    if columns[..at].contains(column) {
                        fault(&format!("columns[{at}]"), format!("column {column:?} is in the list twice"));
                    }
                }
            }
            Self::Sql(SqlCheck { query, .. }) if query.trim().is_empty() => {
                fault("query", "the query is empty".to_owned());
            }
            _ => {}
        }
        faults
    }
}

fn is_above(min: &Scalar, max: &Scalar) -> bool {
    let number = |scalar: &Scalar| match scalar {
        Scalar::Integer(value) => Some(*value as f64),
        Scalar::Number(value) => Some(*value),
        _ => None,
    };
    match (min, max) {
        (Scalar::Text(min), Scalar::Text(max)) => min.len() == max.len() && min > max,
        (min, max) => matches!((number(min), number(max)), (Some(min), Some(max)) if min > max),
    }
}

/// Why a text is no regular expression, in one line.
fn pattern_fault(pattern: &str) -> Option<String> {
    let error = regexp_is_match_scalar(&StringArray::from(vec![""]), pattern, None).err()?.to_string();
    let why = error.lines().find_map(|line| line.trim().strip_prefix("error: "));
    Some(why.or(error.lines().next()).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Expectation {
        serde_json::from_str(text).expect("an expectation")
    }

    #[test]
    fn kinds_columns_and_defaults() {
        let check = parse(r#"{"unique": {"columns": ["day", "shop"], "at_most": 0.1, "on_failure": "warn"}}"#);
        assert_eq!((check.kind(), check.on_failure(), check.at_most()), ("unique", OnFailure::Warn, 0.1));
        assert_eq!(check.columns(), [("columns[0]".to_owned(), "day"), ("columns[1]".to_owned(), "shop")]);
        let check = parse(r#"{"range": {"column": "age", "min": 0, "max": 1.5}}"#);
        let Expectation::Range(range) = &check else { panic!("{check:?}") };
        assert_eq!((&range.min, &range.max), (&Some(Scalar::Integer(0)), &Some(Scalar::Number(1.5))));
        assert_eq!((check.on_failure(), check.at_most()), (OnFailure::Fail, 0.0));
        let Expectation::ForeignKey(key) = parse(r#"{"foreign_key": {"column": "shop", "table": "shops"}}"#) else {
            panic!("a foreign key");
        };
        assert_eq!(key.other_column(), "shop");
        assert!(serde_json::from_str::<Expectation>(r#"{"not_null": {"colum": "a"}}"#).is_err());
    }

    #[test]
    fn what_cannot_hold_is_said_without_rows() {
        let check = |text: &str, key: &str, words: &str| {
            let faults = parse(text).faults();
            assert!(faults.len() == 1 && faults[0].0 == key && faults[0].1.contains(words), "{text}: {faults:?}");
        };
        check(r#"{"range": {"column": "a"}}"#, "", "needs min, max or both");
        check(r#"{"range": {"column": "a", "min": 2, "max": 1}}"#, "min", "2 is above the highest, 1");
        check(r#"{"range": {"column": "a", "min": "2026-02-01", "max": "2026-01-01"}}"#, "min", "is above");
        check(r#"{"range": {"column": "a", "min": true}}"#, "min", "one_of");
        check(r#"{"matches": {"column": "a", "pattern": "^[a-z"}}"#, "pattern", "no regular expression: unclosed");
        check(r#"{"row_count": {}}"#, "", "needs min");
        check(r#"{"row_count": {"min": 5, "max": 4}}"#, "min", "5 rows at least");
        check(r#"{"unique": {"columns": ["a", "a"]}}"#, "columns[1]", "twice");
        check(r#"{"sql": {"query": " "}}"#, "query", "empty");
        for good in [
            r#"{"range": {"column": "a", "min": 1, "max": 1}}"#,
            r#"{"matches": {"column": "a", "pattern": "^\\d{4}-(a|b)$"}}"#,
            r#"{"row_count": {"max": 0}}"#,
            r#"{"drift": {}}"#,
        ] {
            assert_eq!(parse(good).faults(), [], "{good}");
        }
    }
}
