//! Which statements were prepared? They are kept as text, and planned when they are executed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use tonic::Status;

use super::status;
use crate::engine::Prepared;
use crate::wire::unguessable;

/// Statements at a time.
const STATEMENTS_MAX: usize = 256;
/// Text of a statement, in bytes.
const SQL_BYTES_MAX: usize = 256 << 10;
/// Values of a statement, in bytes.
const VALUES_BYTES_MAX: usize = 256 << 10;
/// A statement ends when it is unused for so long: its client may be gone.
const STATEMENT_IDLE: Duration = Duration::from_secs(3_600);
const HANDLE_BYTES: usize = 16;

/// The statements that clients prepared, by their handles.
#[derive(Default)]
pub(super) struct Statements(Mutex<HashMap<Vec<u8>, Statement>>);

struct Statement {
    sql: String,
    parameters: usize,
    values: Vec<ScalarValue>,
    used: Instant,
}

impl Statements {
    /// Keeps a statement and gives its handle.
    pub(super) fn add(&self, prepared: &Prepared, now: Instant) -> Result<Vec<u8>, Status> {
        if prepared.sql.len() > SQL_BYTES_MAX {
            let message = format!("a statement that is prepared has at most {} KB", SQL_BYTES_MAX >> 10);
            return Err(Status::resource_exhausted(message));
        }
        let handle: [u8; HANDLE_BYTES] = unguessable().map_err(|error| status(&error))?;
        let mut all = self.all();
        all.retain(|_, statement| now.duration_since(statement.used) < STATEMENT_IDLE);
        if all.len() >= STATEMENTS_MAX {
            let message = format!("{STATEMENTS_MAX} statements are prepared, and no more may be; close some");
            return Err(Status::resource_exhausted(message));
        }
        let (sql, parameters) = (prepared.sql.clone(), prepared.parameters.fields().len());
        all.insert(handle.to_vec(), Statement { sql, parameters, values: Vec::new(), used: now });
        Ok(handle.to_vec())
    }

    /// Takes a row of values for a statement's parameters; none takes those away that it had.
    pub(super) fn bind(&self, handle: &[u8], row: Option<&RecordBatch>, now: Instant) -> Result<(), Status> {
        let mut all = self.all();
        let statement = all.get_mut(handle).ok_or_else(unknown)?;
        statement.used = now;
        let Some(row) = row else {
            statement.values.clear();
            return Ok(());
        };
        if row.num_columns() != statement.parameters {
            return Err(wrong_count(statement.parameters, row.num_columns()));
        }
        if row.get_array_memory_size() > VALUES_BYTES_MAX {
            let message = format!("the values of a statement have at most {} KB", VALUES_BYTES_MAX >> 10);
            return Err(Status::resource_exhausted(message));
        }
        let values = row.columns().iter().map(|column| ScalarValue::try_from_array(column, 0));
        let values: Result<Vec<ScalarValue>, _> = values.collect();
        statement.values = values.map_err(|e| Status::invalid_argument(format!("a value cannot be bound: {e}")))?;
        Ok(())
    }

    /// The text of a statement and the values that were bound.
    pub(super) fn get(&self, handle: &[u8], now: Instant) -> Result<(String, Vec<ScalarValue>), Status> {
        let mut all = self.all();
        let statement = all.get_mut(handle).ok_or_else(unknown)?;
        statement.used = now;
        match statement.values.len() == statement.parameters {
            true => Ok((statement.sql.clone(), statement.values.clone())),
            false => Err(wrong_count(statement.parameters, statement.values.len())),
        }
    }

    pub(super) fn remove(&self, handle: &[u8]) {
        self.all().remove(handle);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Statement>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown() -> Status {
    Status::not_found("no such prepared statement; it was closed, or unused for an hour")
}

fn wrong_count(parameters: usize, values: usize) -> Status {
    Status::invalid_argument(format!("the statement has {parameters} parameters, but {values} values are bound"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use arrow::array::{Array, ArrayRef, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    fn prepared(sql: &str, parameters: usize) -> Prepared {
        let field = |n: usize| Field::new(format!("${n}"), DataType::Null, true);
        let parameters = Arc::new(Schema::new((1..=parameters).map(field).collect::<Vec<_>>()));
        Prepared { sql: sql.to_owned(), columns: Arc::new(Schema::empty()), parameters }
    }

    fn column(array: impl Array + 'static) -> ArrayRef {
        Arc::new(array)
    }

    #[test]
    fn a_statement_needs_as_many_values_as_parameters() {
        let (statements, now) = (Statements::default(), Instant::now());
        let handle = statements.add(&prepared("SELECT $1, $2", 2), now).unwrap();
        let told = |result: Result<(), Status>| result.unwrap_err().message().to_owned();
        assert!(told(statements.get(&handle, now).map(drop)).contains("2 parameters, but 0 values"));
        let (one, two) = (column(Int64Array::from(vec![7])), column(StringArray::from(vec![None::<&str>])));
        let row = RecordBatch::try_from_iter([("a", Arc::clone(&one)), ("b", two)]).unwrap();
        statements.bind(&handle, Some(&row), now).unwrap();
        let (sql, values) = statements.get(&handle, now).unwrap();
        assert_eq!((sql.as_str(), values), ("SELECT $1, $2", vec![ScalarValue::from(7_i64), ScalarValue::Utf8(None)]));
        let short = RecordBatch::try_from_iter([("a", one)]).unwrap();
        assert!(told(statements.bind(&handle, Some(&short), now)).contains("but 1 values"));
        statements.bind(&handle, None, now).unwrap();
        assert!(statements.get(&handle, now).is_err());
        let long = column(StringArray::from(vec!["x".repeat(VALUES_BYTES_MAX)]));
        let long = RecordBatch::try_from_iter([("a", Arc::clone(&long)), ("b", long)]).unwrap();
        assert!(told(statements.bind(&handle, Some(&long), now)).contains("at most 256 KB"));
        statements.remove(&handle);
        assert!(told(statements.bind(&handle, Some(&row), now)).contains("no such prepared statement"));
    }

    #[test]
    fn statements_are_bounded_and_end() {
        let (statements, now) = (Statements::default(), Instant::now());
        let handles: Vec<_> =
            (0..STATEMENTS_MAX).map(|_| statements.add(&prepared("SELECT 1", 0), now).unwrap()).collect();
        let full = statements.add(&prepared("SELECT 1", 0), now).unwrap_err();
        assert_eq!(full.code(), tonic::Code::ResourceExhausted);
        let later = now + STATEMENT_IDLE / 2;
        statements.get(&handles[0], later).unwrap();
        statements.add(&prepared("SELECT 1", 0), now + STATEMENT_IDLE).unwrap();
        assert!(statements.get(&handles[0], later).is_ok() && statements.get(&handles[1], later).is_err());
        let long = statements.add(&prepared(&"x".repeat(SQL_BYTES_MAX + 1), 0), later).unwrap_err();
        assert_eq!(long.code(), tonic::Code::ResourceExhausted);
    }
}
