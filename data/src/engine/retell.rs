//! What does the engine's error mean to who wrote the SQL? Our own errors come back as they were.

use datafusion::arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::common::TableReference;
use datafusion::error::DataFusionError;

use super::Engine;
use crate::error::{Error, did_you_mean};

/// Columns that a message lists, at most.
const NAMES_SHOWN: usize = 20;

/// The error in our words; the engine knows the names of its tables.
pub(crate) fn retell(error: &DataFusionError, engine: Option<&Engine>) -> Error {
    if let Some(own) = own(error) {
        return own.clone();
    }
    match error.find_root() {
        DataFusionError::SchemaError(error, _) => schema_error(error),
        DataFusionError::SQL(error, _) => Error::invalid(format!("SQL: {}", sentence(&error.to_string()))),
        DataFusionError::ResourcesExhausted(reason) => Error::Exhausted(format!(
            "the query needs more memory or disk than allowed ({}); select fewer columns, or sort and join less",
            first_line(reason)
        )),
        DataFusionError::NotImplemented(reason) => Error::Unsupported(format!("SQL: {}", sentence(reason))),
        DataFusionError::ArrowError(error, _) if error.to_string().contains("used disk space") => Error::Exhausted(
            "the query needs more disk than allowed to sort or group; select fewer columns, or sort and group less"
                .to_owned(),
        ),
        DataFusionError::ArrowError(error, _) => Error::invalid(format!("query: {}", sentence(&error.to_string()))),
        DataFusionError::ParquetError(error) => Error::invalid(format!("a Parquet file cannot be read: {error}")),
        DataFusionError::ObjectStore(error) => Error::invalid(format!("a file cannot be read: {error}")),
        DataFusionError::IoError(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            Error::Exhausted(format!("query: the disk is full ({error})"))
        }
        DataFusionError::ExecutionJoin(error) => Error::internal("a thread of the engine died", error),
        root => plan_error(&root.strip_backtrace(), engine),
    }
}

/// Our own error inside of the engine's, in which [`retell`] finds it again.
pub(crate) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// One of our own errors inside of the engine's.
fn own(error: &DataFusionError) -> Option<&Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(own) = error.downcast_ref::<Error>() {
            return Some(own);
        }
        next = match error.downcast_ref::<ArrowError>() {
            Some(ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
            _ => error.source(),
        };
    }
    None
}

fn schema_error(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let names: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
            let mut tables: Vec<&str> =
                valid_fields.iter().filter_map(|c| Some(c.relation.as_ref()?.table())).collect();
            tables.dedup();
            let place = match (&field.relation, tables.as_slice()) {
                (Some(table), _) => format!(" in table \"{}\"", table.table()),
                (None, [table]) => format!(" in table \"{table}\""),
                _ => String::new(),
            };
            let near = did_you_mean(&field.name, names.iter().copied());
            let all = if near.is_empty() && !names.is_empty() { listed(&names) } else { near };
            Error::NotFound(format!("no column \"{}\"{place}{all}", field.name))
        }
        SchemaError::AmbiguousReference { field } => Error::invalid(format!(
            "SQL: several tables have a column \"{0}\"; write the table before it, as in t.{0}",
            field.name
        )),
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            Error::invalid(format!("SQL: two columns would be called \"{name}\"; rename one with AS"))
        }
    }
}

fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(NAMES_SHOWN).map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let more = if names.len() > NAMES_SHOWN { ", …" } else { "" };
    format!("; there are {shown}{more}")
}

/// Errors that the engine has as texts only.
fn plan_error(text: &str, engine: Option<&Engine>) -> Error {
    let text = text.rsplit("Error during planning: ").next().unwrap_or(text);
    let missing_table = text
        .strip_prefix("table '")
        .or_else(|| text.strip_prefix("No table named '"))
        .and_then(|rest| rest.split_once('\''))
        .filter(|_| text.contains("not found") || text.starts_with("No table"));
    if let Some((full, _)) = missing_table {
        let table = TableReference::parse_str_normalized(full, true);
        let names = engine.map(Engine::table_names).unwrap_or_default();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let near = did_you_mean(table.table(), names.iter().copied());
        let all = if near.is_empty() && !names.is_empty() { listed(&names) } else { near };
        return Error::NotFound(format!("no table \"{}\"{all}", table.table()));
    }
    if text.contains("not supported: ")
        || text.starts_with("DDL")
        || text.starts_with("DML")
        || text.starts_with("Statement")
    {
        return Error::invalid(format!("SQL: only SELECT can be used here ({})", sentence(text)));
    }
    Error::invalid(format!("SQL: {}", sentence(text)))
}

/// The text as part of a message: one line, first letter small, no full stop.
fn sentence(text: &str) -> String {
    let text = first_line(text).trim_end_matches(['.', ' ']);
    let text =
        ["sql parser error: ", "Execution error: ", "Arrow error: ", "Schema error: ", "Error during planning: "]
            .iter()
            .fold(text, |text, prefix| text.strip_prefix(prefix).unwrap_or(text));
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if !letters.as_str().starts_with(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text)
}
