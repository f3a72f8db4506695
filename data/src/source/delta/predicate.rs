//! What can a condition rule out? Files and their parts whose least and greatest values the table knows.

use arrow::datatypes::{DataType, Schema};
use delta_kernel::expressions::Scalar;
use delta_kernel::{Expression, Predicate};

use crate::source::{Comparison, Condition, Test, Value};

/// Values of a list that are asked for one by one, at most.
const LISTED_MAX: usize = 100;

/// The condition as the kernel writes it; nothing where what it rules out might differ from what the engine does.
pub(super) fn predicate(condition: &Condition, schema: &Schema) -> Option<Predicate> {
    let field = schema.field(condition.column);
    if !is_plain(field.data_type()) {
        return None;
    }
    let column = || Expression::column([field.name().as_str()]);
    let literal = |value: &Value| scalar(value, field.data_type()).map(Expression::literal);
    Some(match &condition.test {
        Test::Missing => Predicate::is_null(column()),
        Test::Present => Predicate::is_not_null(column()),
        Test::Compare(comparison, value) => {
            let value = literal(value)?;
            match comparison {
                Comparison::Equal => Predicate::eq(column(), value),
                Comparison::Less => Predicate::lt(column(), value),
                Comparison::LessOrEqual => Predicate::le(column(), value),
                Comparison::Greater => Predicate::gt(column(), value),
                Comparison::GreaterOrEqual => Predicate::ge(column(), value),
            }
        }
        Test::In(values) if values.len() <= LISTED_MAX => {
            let values: Option<Vec<Expression>> = values.iter().map(literal).collect();
            Predicate::or_from(values?.into_iter().map(|value| Predicate::eq(column(), value)))
        }
        Test::In(_) => return None,
    })
}

/// Whether a table knows something of the values of such columns.
fn is_plain(kind: &DataType) -> bool {
    kind.is_primitive() || matches!(kind, DataType::Boolean | DataType::Utf8 | DataType::Binary)
}

/// A value of a column. None for real numbers: what is not a number is left out of least and greatest values, but is
/// greater than all others for the engine.
fn scalar(value: &Value, kind: &DataType) -> Option<Scalar> {
    Some(match (value, kind) {
        (Value::Boolean(x), DataType::Boolean) => Scalar::Boolean(*x),
        (Value::Integer(x), DataType::Int8) => Scalar::Byte(i8::try_from(*x).ok()?),
        (Value::Integer(x), DataType::Int16) => Scalar::Short(i16::try_from(*x).ok()?),
        (Value::Integer(x), DataType::Int32) => Scalar::Integer(i32::try_from(*x).ok()?),
        (Value::Integer(x), DataType::Int64) => Scalar::Long(*x),
        (Value::Text(x), DataType::Utf8) => Scalar::String(x.clone()),
        (Value::Date(x), DataType::Date32) => Scalar::Date(*x),
        (Value::Timestamp(x), DataType::Timestamp(_, Some(_))) => Scalar::Timestamp(*x),
        (Value::Timestamp(x), DataType::Timestamp(_, None)) => Scalar::TimestampNtz(*x),
        _ => return None,
    })
}
