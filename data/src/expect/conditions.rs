//! Which rows fail? Conditions for the engine, made of columns that exist and values of their types.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::prelude::{DataFrame, Expr, binary_expr, cast, ident, in_list, isnan, lit, not};

use crate::audit::words::names;
use crate::error::did_you_mean;
use crate::spec::{Expectation, MatchesCheck, OneOfCheck, RangeCheck, Scalar};

/// What the pass over the table is to find out for an expectation.
pub(super) enum Condition {
    /// Rows that are looked at, and those of them that fail.
    Rows { checked: Expr, failing: Expr },
    /// The latest moment.
    Latest(Expr),
    /// Nothing: it has a query of its own.
    Whole,
}

/// A key below the kind, and what is wrong with its value.
pub(super) type Fault = (String, String);

/// What the values of a column are to an expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Number,
    Text,
    Boolean,
    Moment,
    Other,
}

impl Family {
    pub(crate) fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Dictionary(_, values) => Self::of(values),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Self::Text,
            DataType::Boolean => Self::Boolean,
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Self::Moment,
            kind if kind.is_numeric() => Self::Number,
            _ => Self::Other,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Number => "numbers",
            Self::Text => "text",
            Self::Boolean => "true and false",
            Self::Moment => "dates",
            Self::Other => "values of another kind",
        }
    }
}

/// The type of a column.
pub(crate) fn type_of(frame: &DataFrame, table: &str, column: &str) -> Result<DataType, String> {
    let fields = frame.schema().fields();
    match fields.iter().find(|field| field.name() == column) {
        Some(field) => Ok(field.data_type().clone()),
        None => {
            let known = || fields.iter().map(|field| field.name().as_str());
            let hint = match did_you_mean(column, known()) {
                hint if hint.is_empty() => format!("; its columns are {}", names(known())),
                hint => hint,
            };
            Err(format!("no column \"{column}\" in table \"{table}\"{hint}"))
        }
    }
}

/// The column has a value: it is neither null nor not-a-number.
pub(super) fn present(column: &str, data_type: &DataType) -> Expr {
    match data_type.is_floating() {
        true => ident(column).is_not_null().and(not(isnan(ident(column)))),
        false => ident(column).is_not_null(),
    }
}

/// The condition of an expectation.
///
/// # Errors
/// A column that is not there, or whose values cannot be looked at in this way.
pub(super) fn condition(frame: &DataFrame, table: &str, check: &Expectation) -> Result<Condition, Fault> {
    let mut types = Vec::new();
    for (key, column) in check.columns() {
        types.push(type_of(frame, table, column).map_err(|why| (key, why))?);
    }
    let Some(data_type) = types.first() else { return Ok(Condition::Whole) };
    let (checked, failing) = match check {
        Expectation::NotNull(check) => {
            let present = present(&check.column, data_type);
            return Ok(Condition::Rows { checked: lit(true), failing: not(present) });
        }
        Expectation::Range(check) => range(check, data_type)?,
        Expectation::Matches(check) => matches(check, data_type)?,
        Expectation::OneOf(check) => one_of(check, data_type)?,
        Expectation::Fresh(check) if Family::of(data_type) != Family::Moment => {
            let holds = Family::of(data_type).name();
            let why = format!("column \"{}\" holds {holds}, not dates; CAST it in the table's SQL", check.column);
            return Err(("column".to_owned(), why));
        }
        Expectation::Fresh(check) => return Ok(Condition::Latest(ident(check.column.as_str()))),
        _ => return Ok(Condition::Whole),
    };
    Ok(Condition::Rows { failing: checked.clone().and(failing), checked })
}

fn range(check: &RangeCheck, data_type: &DataType) -> Result<(Expr, Expr), Fault> {
    let family = Family::of(data_type);
    if !matches!(family, Family::Number | Family::Moment) {
        let why = format!(
            "column \"{}\" holds {}, which has no range; use one_of or matches, or CAST it in the table's SQL",
            check.column,
            family.name()
        );
        return Err(("column".to_owned(), why));
    }
    let column = || ident(check.column.as_str());
    let end = |key: &str, value: &Option<Scalar>| -> Result<Option<Expr>, Fault> {
        let Some(value) = value else { return Ok(None) };
        literal(value, &check.column, data_type).map(Some).map_err(|why| (key.to_owned(), why))
    };
    let below = end("min", &check.min)?.map(|min| column().lt(min));
    let above = end("max", &check.max)?.map(|max| column().gt(max));
    let failing = below.into_iter().chain(above).reduce(Expr::or).unwrap_or_else(|| lit(false));
    Ok((present(&check.column, data_type), failing))
}

fn matches(check: &MatchesCheck, data_type: &DataType) -> Result<(Expr, Expr), Fault> {
    let family = Family::of(data_type);
    if family == Family::Other {
        let why = format!("column \"{}\" holds {data_type}, which is no text", check.column);
        return Err(("column".to_owned(), why));
    }
    let text = cast(ident(check.column.as_str()), DataType::Utf8);
    let failing = not(binary_expr(text, Operator::RegexMatch, lit(check.pattern.as_str())));
    Ok((present(&check.column, data_type), failing))
}

fn one_of(check: &OneOfCheck, data_type: &DataType) -> Result<(Expr, Expr), Fault> {
    let mut values = Vec::new();
    for (at, value) in check.values.iter().enumerate() {
        values.push(literal(value, &check.column, data_type).map_err(|why| (format!("values[{at}]"), why))?);
    }
    Ok((present(&check.column, data_type), in_list(ident(check.column.as_str()), values, true)))
}

/// A value as one that can stand beside those of the column.
fn literal(value: &Scalar, column: &str, data_type: &DataType) -> Result<Expr, String> {
    let family = Family::of(data_type);
    let wrong = || Err(format!("{value} cannot be compared with column \"{column}\", which holds {}", family.name()));
    match (family, value) {
        (Family::Number, Scalar::Integer(value)) => Ok(lit(*value)),
        (Family::Number, Scalar::Number(value)) => Ok(lit(*value)),
        (Family::Text, Scalar::Text(value)) => Ok(lit(value.as_str())),
        (Family::Text, value) => Ok(lit(value.to_string())),
        (Family::Boolean, Scalar::Boolean(value)) => Ok(lit(*value)),
        (Family::Moment, Scalar::Text(text)) => {
            let moment = match data_type {
                DataType::Dictionary(_, values) => values,
                data_type => data_type,
            };
            match ScalarValue::try_from_string(text.clone(), moment) {
                Ok(value) if !value.is_null() => Ok(lit(value)),
                _ => Err(format!("{text:?} is no date; write it like 2026-01-31 or 2026-01-31 12:00:00")),
            }
        }
        _ => wrong(),
    }
}
