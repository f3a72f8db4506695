//! What can a source be asked to leave out? Simple conditions on one column, from the engine's filters.

use arrow::datatypes::{DataType, Schema};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;

/// A condition on the values of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    /// Its place in the schema.
    pub(crate) column: usize,
    /// What has to hold.
    pub(crate) test: Test,
}

/// What has to hold for a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    /// A comparison; missing values do not pass.
    Compare(Comparison, Value),
    /// One of these.
    In(Vec<Value>),
    /// It is missing.
    Missing,
    /// It is there.
    Present,
}

/// How two values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A value that a column is compared with, of the column's type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Boolean(bool),
    Integer(i64),
    /// Finite.
    Number(f64),
    Text(String),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970 UTC.
    Timestamp(i64),
}

impl Condition {
    /// The condition that a filter is; none where it is anything else.
    pub(crate) fn of(filter: &Expr, schema: &Schema) -> Option<Self> {
        let (expression, test) = match filter {
            // The engine writes short lists as alternatives.
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
                let (left, right) = (Self::of(left, schema)?, Self::of(right, schema)?);
                let same = left.column == right.column;
                return same.then_some(Self { column: left.column, test: left.test.or(right.test)? });
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (&**left, &**right) {
                (column, Expr::Literal(value, _)) => (column, Test::Compare(comparison(*op)?, Value::of(value)?)),
                (Expr::Literal(value, _), column) => {
                    (column, Test::Compare(comparison(op.swap()?)?, Value::of(value)?))
                }
                _ => return None,
            },
            Expr::InList(InList { expr, list, negated: false }) => {
                let value = |item: &Expr| match item {
                    Expr::Literal(value, _) => Value::of(value),
                    _ => None,
                };
                (&**expr, Test::In(list.iter().map(value).collect::<Option<_>>()?))
            }
            Expr::IsNull(expr) => (&**expr, Test::Missing),
            Expr::IsNotNull(expr) => (&**expr, Test::Present),
            _ => return None,
        };
        let Expr::Column(column) = expression else { return None };
        let (column, field) = schema.column_with_name(&column.name)?;
        let fits = test.values().iter().all(|value| value.is_of(field.data_type()));
        (fits && test.is_safe()).then_some(Self { column, test })
    }
}

impl Test {
    /// The values it compares with.
    pub(crate) fn values(&self) -> &[Value] {
        match self {
            Self::Compare(_, value) => std::slice::from_ref(value),
            Self::In(values) => values,
            Self::Missing | Self::Present => &[],
        }
    }

    /// Either of two tests for equality.
    fn or(self, other: Self) -> Option<Self> {
        let equal = |test: Self| match test {
            Self::Compare(Comparison::Equal, value) => Some(vec![value]),
            Self::In(values) => Some(values),
            _ => None,
        };
        let mut values = equal(self)?;
        values.extend(equal(other)?);
        Some(Self::In(values))
    }

    /// Whether no source can leave out a row that passes: the order of texts is every database's own.
    fn is_safe(&self) -> bool {
        match self {
            Self::Compare(Comparison::Equal, _) | Self::In(_) | Self::Missing | Self::Present => true,
            Self::Compare(_, value) => !matches!(value, Value::Text(_)),
        }
    }
}

impl Value {
    fn of(literal: &ScalarValue) -> Option<Self> {
        use ScalarValue as S;
        Some(match literal {
            S::Boolean(Some(x)) => Self::Boolean(*x),
            S::Int8(Some(x)) => Self::Integer((*x).into()),
            S::Int16(Some(x)) => Self::Integer((*x).into()),
            S::Int32(Some(x)) => Self::Integer((*x).into()),
            S::Int64(Some(x)) => Self::Integer(*x),
            S::Float64(Some(x)) if x.is_finite() => Self::Number(*x),
            S::Utf8(Some(x)) | S::LargeUtf8(Some(x)) | S::Utf8View(Some(x)) => Self::Text(x.clone()),
            S::Date32(Some(x)) => Self::Date(*x),
            S::TimestampMicrosecond(Some(x), _) => Self::Timestamp(*x),
            _ => return None,
        })
    }

    fn is_of(&self, column: &DataType) -> bool {
        matches!(
            (self, column),
            (Self::Boolean(_), DataType::Boolean)
                | (Self::Integer(_), DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64)
                | (Self::Number(_), DataType::Float64)
                | (Self::Text(_), DataType::Utf8)
                | (Self::Date(_), DataType::Date32)
                | (Self::Timestamp(_), DataType::Timestamp(..))
        )
    }
}

fn comparison(operator: Operator) -> Option<Comparison> {
    Some(match operator {
        Operator::Eq => Comparison::Equal,
        Operator::Lt => Comparison::Less,
        Operator::LtEq => Comparison::LessOrEqual,
        Operator::Gt => Comparison::Greater,
        Operator::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{Field, TimeUnit};
    use datafusion::logical_expr::{col, lit};

    #[test]
    fn simple_filters_become_conditions_and_others_stay_with_the_engine() {
        let schema = Schema::new(vec![
            Field::new("age", DataType::Int64, true),
            Field::new("name", DataType::Utf8, true),
            Field::new("share", DataType::Float64, true),
            Field::new("year", DataType::Int16, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        ]);
        let check = |filter: Expr, expected: Option<(usize, Test)>| {
            let found = Condition::of(&filter, &schema);
            assert_eq!(found, expected.map(|(column, test)| Condition { column, test }), "{filter}");
        };
        let text = |text: &str| Value::Text(text.to_owned());
        check(col("age").gt(lit(7i64)), Some((0, Test::Compare(Comparison::Greater, Value::Integer(7)))));
        check(lit(7i64).gt(col("age")), Some((0, Test::Compare(Comparison::Less, Value::Integer(7)))));
        check(col("name").eq(lit("O'Neil")), Some((1, Test::Compare(Comparison::Equal, text("O'Neil")))));
        let both = vec![lit("a"), lit("b")];
        check(col("name").in_list(both.clone(), false), Some((1, Test::In(vec![text("a"), text("b")]))));
        let either = col("name").eq(lit("a")).or(col("name").eq(lit("b")));
        check(either.clone(), Some((1, Test::In(vec![text("a"), text("b")]))));
        check(either.or(col("age").eq(lit(1i64))), None);
        check(col("name").eq(lit("a")).or(col("name").is_null()), None);
        check(col("share").is_null(), Some((2, Test::Missing)));
        check(col("share").is_not_null(), Some((2, Test::Present)));
        check(col("year").eq(lit(2026i16)), Some((3, Test::Compare(Comparison::Equal, Value::Integer(2026)))));
        let moment = lit(ScalarValue::TimestampMicrosecond(Some(5), Some("UTC".into())));
        check(col("at").gt_eq(moment), Some((4, Test::Compare(Comparison::GreaterOrEqual, Value::Timestamp(5)))));
        check(col("name").lt(lit("b")), None);
        check(col("name").in_list(both, true), None);
        check(col("share").gt(lit(f64::INFINITY)), None);
        check(col("age").gt(lit(1.5f64)), None);
        check((col("age") + lit(1i64)).gt(lit(7i64)), None);
        check(col("age").not_eq(lit(7i64)), None);
        check(col("height").eq(lit(7i64)), None);
    }
}
