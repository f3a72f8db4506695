//! SQLite: a file, opened for reading alone. Its columns may hold values of any type: what they hold is found out from the
//! first rows.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use delimited::{Inference, types};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};

use super::cells::{Cell, Rows};
use super::hand_out;
use super::query::Relation;
use crate::error::{Error, Result, did_you_mean};
use crate::source::files::file;
use crate::source::{Condition, Emit, Reader, Test, Value, Wanted, project};
use crate::spec::{ColumnType, SqliteSpec};

/// How long to wait for somebody who writes.
const BUSY_WAIT: Duration = Duration::from_secs(30);

/// A table or query, its columns known.
#[derive(Debug)]
pub(crate) struct SqliteReader {
    path: PathBuf,
    relation: Relation,
    schema: SchemaRef,
    sampled: usize,
}

/// What the first rows tell of a column.
#[derive(Debug, Default)]
struct Seen {
    integers: bool,
    /// Whether a whole number other than 0 and 1 was seen.
    large: bool,
    numbers: bool,
    bytes: bool,
    texts: bool,
    text: Inference,
}

impl SqliteReader {
    /// Looks at the first rows.
    pub(crate) fn open(spec: &SqliteSpec, base: &Path) -> Result<Self> {
        let path = file(base, &spec.path)?;
        let relation = Relation::of(spec.table.as_deref(), spec.query.as_deref(), '"')?;
        let connection = connect(&path)?;
        let sql = relation.all(spec.sample_rows.max(1));
        let mut statement = connection.prepare(&sql).map_err(|e| match (&spec.table, &e) {
            (Some(table), _) => unknown(&path, &connection, table, &e),
            (None, rusqlite::Error::SqlInputError { msg, offset, .. }) => wrong(&path, &relation, msg, *offset, &sql),
            (None, _) => told(&path, &e),
        })?;
        let described: Vec<(String, String)> = statement
            .columns()
            .map(|column| (column.name().to_owned(), column.decl_type().unwrap_or_default().to_uppercase()))
            .collect();
        let mut seen: Vec<Seen> = described.iter().map(|_| Seen::default()).collect();
        let mut sampled = 0;
        let mut rows = statement.query([]).map_err(|e| told(&path, &e))?;
        while let Some(row) = rows.next().map_err(|e| told(&path, &e))? {
            for (place, seen) in seen.iter_mut().enumerate() {
                seen.see(row.get_ref(place).map_err(|e| told(&path, &e))?);
            }
            sampled += 1;
        }
        let fields: Vec<Field> = described
            .iter()
            .zip(&seen)
            .map(|((name, declared), seen)| Field::new(name, seen.kind(declared), true))
            .collect();
        Ok(Self { path, relation, schema: Arc::new(Schema::new(fields)), sampled })
    }

    /// Takes a row; a value of another type than the first rows held is named.
    fn take(&self, row: &Row, place: usize, column: usize, rows: &mut Rows) -> Result<()> {
        let field = self.schema.field(column);
        let raw = row.get_ref(place).map_err(|e| told(&self.path, &e))?;
        let misfit = |found: &str| {
            Error::invalid(format!(
                "{}: column \"{}\" holds {} in the first {} rows, but later {found}; raise sample_rows, or select it in a \
                 query as CAST(\"{}\" AS TEXT)",
                self.path.display(),
                field.name(),
                field.data_type(),
                self.sampled,
                field.name(),
            ))
        };
        rows.push(place, cell(raw, field.data_type()), misfit)
    }
}

impl Reader for SqliteReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read(&self, projection: &[usize], emit: &mut Emit) -> Result<()> {
        self.read_where(&Wanted { projection, conditions: &[], limit: None }, emit)
    }

    fn takes(&self, condition: &Condition) -> bool {
        // Dates are texts there, written in more than one way.
        !condition.test.values().iter().any(|value| matches!(value, Value::Date(_) | Value::Timestamp(_)))
            && !matches!(
                (self.schema.field(condition.column).data_type(), &condition.test),
                // Numbers in a column of texts are read as texts, but are not equal to them.
                (DataType::Utf8, Test::Compare(..) | Test::In(_))
            )
    }

    fn read_where(&self, wanted: &Wanted, emit: &mut Emit) -> Result<()> {
        let connection = connect(&self.path)?;
        let name = |column: usize| self.relation.name(self.schema.field(column).name());
        let columns: Vec<String> = wanted.projection.iter().map(|column| name(*column)).collect();
        let (sql, values) =
            self.relation.select(&columns, wanted.conditions, &name, &|_, _| "?".to_owned(), wanted.limit);
        let mut statement = connection.prepare(&sql).map_err(|e| {
            Error::Conflict(format!("{}: {e}; the file was changed since the source was opened", self.path.display()))
        })?;
        let values = rusqlite::params_from_iter(values.iter().map(bound));
        let mut rows = statement.query(values).map_err(|e| told(&self.path, &e))?;
        hand_out(Rows::new(project(&self.schema, wanted.projection)?)?, emit, |room| {
            while !room.is_full() {
                let Some(row) = rows.next().map_err(|e| told(&self.path, &e))? else { return Ok(false) };
                for (place, column) in wanted.projection.iter().enumerate() {
                    self.take(row, place, *column, room)?;
                }
                room.end();
            }
            Ok(true)
        })
    }
}

impl Seen {
    fn see(&mut self, value: ValueRef) {
        match value {
            ValueRef::Null => {}
            ValueRef::Integer(x) => {
                self.integers = true;
                self.large |= !matches!(x, 0 | 1);
            }
            ValueRef::Real(_) => self.numbers = true,
            ValueRef::Blob(_) => self.bytes = true,
            ValueRef::Text(bytes) => {
                self.texts = true;
                self.text.see(&String::from_utf8_lossy(bytes));
            }
        }
    }

    /// What the column is, by its values and the type it was declared with.
    fn kind(&self, declared: &str) -> DataType {
        let Self { integers, large, numbers, bytes, texts, text } = self;
        match (integers, numbers, texts, bytes) {
            (true, false, false, false) if declared.starts_with("BOOL") && !large => DataType::Boolean,
            (true, false, false, false) => DataType::Int64,
            (_, true, false, false) => DataType::Float64,
            (false, false, true, false) if declared.contains("DATE") || declared.contains("TIME") => {
                match text.column_type() {
                    ColumnType::Date => DataType::Date32,
                    ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
                    _ => DataType::Utf8,
                }
            }
            (false, false, false, true) => DataType::Binary,
            (false, false, false, false) if declared.contains("INT") => DataType::Int64,
            (false, false, false, false) if ["REAL", "FLOA", "DOUB"].iter().any(|word| declared.contains(word)) => {
                DataType::Float64
            }
            (false, false, false, false) if declared.contains("BLOB") => DataType::Binary,
            _ => DataType::Utf8,
        }
    }
}

/// A value for a column of this type; else what it is.
fn cell<'a>(raw: ValueRef<'a>, kind: &DataType) -> std::result::Result<Cell<'a>, String> {
    let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).map_err(|_| "bytes that are not UTF-8".to_owned());
    Ok(match (raw, kind) {
        (ValueRef::Null, _) => Cell::Missing,
        (ValueRef::Integer(x), DataType::Utf8) => Cell::Text(Cow::Owned(x.to_string())),
        (ValueRef::Real(x), DataType::Utf8) => Cell::Text(Cow::Owned(x.to_string())),
        (ValueRef::Blob(bytes), DataType::Utf8) => Cell::Text(Cow::Borrowed(text(bytes)?)),
        (ValueRef::Integer(x), _) => Cell::Integer(x),
        (ValueRef::Real(x), _) => Cell::Number(x),
        (ValueRef::Blob(bytes), _) => Cell::Bytes(bytes),
        (ValueRef::Text(bytes), DataType::Date32) => {
            let text = text(bytes)?;
            Cell::Date(types::date(text).ok_or_else(|| format!("\"{text}\""))?)
        }
        (ValueRef::Text(bytes), DataType::Timestamp(..)) => {
            let text = text(bytes)?;
            Cell::Timestamp(types::timestamp(text).ok_or_else(|| format!("\"{text}\""))?)
        }
        (ValueRef::Text(bytes), _) => Cell::Text(Cow::Borrowed(text(bytes)?)),
    })
}

fn connect(path: &Path) -> Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let connection = connection.map_err(|e| told(path, &e))?;
    connection.busy_timeout(BUSY_WAIT).map_err(|e| told(path, &e))?;
    Ok(connection)
}

fn told(path: &Path, error: &rusqlite::Error) -> Error {
    use rusqlite::ErrorCode as Code;
    match error.sqlite_error_code() {
        Some(Code::NotADatabase | Code::DatabaseCorrupt) => {
            Error::corrupt(path, format!("no SQLite database ({error})"))
        }
        Some(Code::DatabaseBusy | Code::DatabaseLocked | Code::SystemIoFailure | Code::CannotOpen) => {
            Error::Unreachable(format!("{}: {error}", path.display()))
        }
        _ => Error::invalid(format!("{}: {error}", path.display())),
    }
}

/// What is wrong with the user's query, and where.
fn wrong(path: &Path, relation: &Relation, reason: &str, offset: i32, sql: &str) -> Error {
    let before = usize::try_from(offset).ok().and_then(|offset| sql.get(..offset));
    match before.and_then(|before| relation.place(before.chars().count() + 1)) {
        Some((line, character)) => {
            Error::invalid(format!("{}: {reason}, in line {line}, character {character} of the query", path.display()))
        }
        None => Error::invalid(format!("{}: {reason}", path.display())),
    }
}

/// Names of the tables and views of a file.
pub(crate) fn tables(path: &Path) -> Result<Vec<String>> {
    names(&connect(path)?).map_err(|e| told(path, &e))
}

fn names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

/// Why a table cannot be read, with the nearest name beside it.
fn unknown(path: &Path, connection: &Connection, table: &str, error: &rusqlite::Error) -> Error {
    let names = names(connection).unwrap_or_default();
    match names.iter().any(|name| name == table) || !error.to_string().contains("no such table") {
        true => told(path, error),
        false => {
            let near = did_you_mean(table, names.iter().map(String::as_str));
            Error::NotFound(format!("{} has no table \"{table}\"{near}", path.display()))
        }
    }
}

/// A value as a parameter.
fn bound(value: &Value) -> rusqlite::types::Value {
    use rusqlite::types::Value as V;
    match value {
        Value::Boolean(x) => V::Integer((*x).into()),
        Value::Integer(x) => V::Integer(*x),
        Value::Number(x) => V::Real(*x),
        Value::Text(x) => V::Text(x.clone()),
        Value::Date(days) => V::Text(super::written_date(*days)),
        Value::Timestamp(micros) => V::Text(super::written_timestamp(*micros)),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::source::Comparison;
    use crate::source::testing::{lines, read_all};

    fn database(sql: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        (folder, path)
    }

    fn spec(path: &Path, table: &str) -> SqliteSpec {
        let path = path.display().to_string();
        SqliteSpec { path, table: Some(table.to_owned()), query: None, sample_rows: 100 }
    }

    fn open(spec: &SqliteSpec) -> Result<SqliteReader> {
        SqliteReader::open(spec, Path::new("/"))
    }

    #[test]
    fn every_type_comes_as_it_is_declared_and_as_it_is() {
        let (_folder, path) = database(
            "CREATE TABLE every (id INTEGER PRIMARY KEY, flag BOOLEAN, share REAL, name TEXT, born DATE, seen DATETIME, raw BLOB,
               mixed, none INT);
             INSERT INTO every VALUES (1, 1, 0.5, 'Zeile 数据 🦀', '2026-01-31', '2026-01-31 12:00:00', x'00ff', 1, NULL),
               (2, 0, 3, '', '1969-12-31', '1969-12-31T23:59:59.5', x'', 'a', NULL),
               (-9223372036854775808, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);",
        );
        let reader = open(&spec(&path, "every")).unwrap();
        let kinds: Vec<DataType> = reader.schema.fields().iter().map(|field| field.data_type().clone()).collect();
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        use DataType as T;
        assert_eq!(kinds, [T::Int64, T::Boolean, T::Float64, T::Utf8, T::Date32, time, T::Binary, T::Utf8, T::Int64]);
        assert_eq!(
            lines(&read_all(&reader).unwrap()),
            [
                "-9223372036854775808||||||||",
                "1|true|0.5|Zeile 数据 🦀|2026-01-31|2026-01-31T12:00:00|00ff|1|",
                "2|false|3.0||1969-12-31|1969-12-31T23:59:59.500||a|"
            ]
        );
    }

    #[test]
    fn conditions_limits_and_batches() {
        let (_folder, path) = database(
            "CREATE TABLE t (a INT, b TEXT); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
             INSERT INTO t SELECT i, 'row ' || i FROM n;",
        );
        let reader = open(&spec(&path, "t")).unwrap();
        let batches = read_all(&reader).unwrap();
        assert_eq!(batches.iter().map(|batch| batch.num_rows()).collect::<Vec<_>>(), [8192, 8192, 3616]);
        let above = Condition { column: 0, test: Test::Compare(Comparison::Greater, Value::Integer(19_998)) };
        assert!(reader.takes(&above));
        assert!(!reader.takes(&Condition { column: 1, test: Test::In(vec![Value::Text("row 1".into())]) }));
        let read = |conditions: &[Condition], limit| {
            let mut found = Vec::new();
            let wanted = Wanted { projection: &[1], conditions, limit };
            reader
                .read_where(&wanted, &mut |batch| {
                    found.push(batch);
                    ControlFlow::Continue(())
                })
                .unwrap();
            lines(&found)
        };
        assert_eq!(read(&[above], None), ["row 19999", "row 20000"]);
        assert_eq!(read(&[], Some(1)), ["row 1"]);
    }

    #[test]
    fn faults_name_file_column_and_remedy() {
        let (folder, path) = database(
            "CREATE TABLE orders (a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
             INSERT INTO orders SELECT i FROM n; INSERT INTO orders VALUES ('late');",
        );
        let check = |spec: &SqliteSpec, expected: &[&str]| {
            let error = open(spec).and_then(|reader| read_all(&reader).map(|_| ())).unwrap_err().to_string();
            expected.iter().for_each(|part| assert!(error.contains(part), "no {part:?} in: {error}"));
        };
        check(
            &spec(&path, "orders"),
            &["shop.db", "\"a\" holds Int64 in the first 100 rows", "\"late\"", "sample_rows"],
        );
        check(&spec(&path, "oders"), &["no table \"oders\"; did you mean \"orders\"?"]);
        check(&spec(&folder.path().join("shoop.db"), "orders"), &["shoop.db", "did you mean \"shop.db\"?"]);
        let other = folder.path().join("no.db");
        std::fs::write(&other, "a,b\n1,2\n".repeat(200)).unwrap();
        check(&spec(&other, "orders"), &["no.db", "no SQLite database"]);
        let query = SqliteSpec { table: None, query: Some("DELETE FROM orders".into()), ..spec(&path, "") };
        check(&query, &["shop.db: near \"DELETE\": syntax error, in line 1, character 1 of the query"]);
        let query = SqliteSpec { table: None, query: Some("SELECT\n  b FROM orders".into()), ..spec(&path, "") };
        check(&query, &["no such column: b, in line 2, character 3 of the query"]);
        assert!(open(&SqliteSpec { sample_rows: 1000, ..spec(&path, "orders") }).is_ok());
    }
}
