//! Have the test rows the columns of the training rows?

use std::collections::HashSet;

use arrow::datatypes::{DataType, Field};
use profile::{ColumnKind, is_bytes, kind};

use super::table::{Table, is_text};
use super::{Finding, Severity};
use crate::IMAGE_METADATA;
use crate::error::did_you_mean;

pub(super) fn check(table: &Table, findings: &mut Vec<Finding>) {
    let mut told = HashSet::new();
    for batch in table.test {
        let other = batch.schema_ref();
        for field in table.schema.fields() {
            let message = match other.field_with_name(field.name()) {
                Ok(other) if alike(field, other) => continue,
                Ok(other) => format!(
                    "column \"{}\" holds {} in the training rows of table \"{}\", but {} in its test rows; CAST it in the SQL",
                    field.name(),
                    family(field),
                    table.name,
                    family(other)
                ),
                Err(_) => {
                    let unknown = other.fields().iter().map(|field| field.name().as_str());
                    let unknown = unknown.filter(|name| table.schema.field_with_name(name).is_err());
                    format!(
                        "the test rows of table \"{}\" have no column \"{}\"{}; give them the columns of the training rows",
                        table.name,
                        field.name(),
                        did_you_mean(field.name(), unknown)
                    )
                }
            };
            if told.insert(field.name().clone()) {
                findings.push(Finding {
                    severity: Severity::Error,
                    check: "schema".into(),
                    column: Some(field.name().clone()),
                    message,
                    value: 1.0,
                    rows: Vec::new(),
                });
            }
        }
    }
}

/// Both are read the same way. A column without any value has no type to speak of.
fn alike(a: &Field, b: &Field) -> bool {
    a.data_type() == &DataType::Null || b.data_type() == &DataType::Null || family(a) == family(b)
}

fn family(field: &Field) -> String {
    let data_type = field.data_type();
    match field.metadata().get(IMAGE_METADATA).filter(|_| is_bytes(data_type)) {
        Some(shape) if shape == "encoded" => return "picture files".into(),
        Some(shape) => return format!("pictures of {shape}"),
        None => {}
    }
    match kind(data_type) {
        ColumnKind::Number => "numbers".into(),
        ColumnKind::Boolean => "true or false".into(),
        ColumnKind::Date => "dates".into(),
        _ if is_text(data_type) => "text".into(),
        _ => data_type.to_string(),
    }
}
