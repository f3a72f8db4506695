//! PostgreSQL: one read-only session per reading, rows in the binary format.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use futures::{StreamExt, TryFutureExt};
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::ErrorPosition;
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Row, RowStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::cells::{Cell, Rows};
use super::query::Relation;
use super::{check_same, hand_out, in_time, misfit, runtime, tls};
use crate::error::{Error, Result, did_you_mean};
use crate::source::{Condition, Emit, Reader, Test, Value, Wanted, project};
use crate::spec::DatabaseSpec;

/// Days and microseconds from 1970 to 2000, where PostgreSQL begins to count.
const DAYS_TO_2000: i32 = 10_957;
const MICROS_TO_2000: i64 = DAYS_TO_2000 as i64 * 86_400_000_000;
/// Tables that are looked at for a "did you mean".
const TABLES_MAX: i64 = 10_000;

/// A table or query, its columns known.
#[derive(Debug)]
pub(crate) struct PostgresReader {
    server: Server,
    relation: Relation,
    columns: Vec<Column>,
    schema: SchemaRef,
}

/// How to get there.
#[derive(Debug)]
struct Server {
    config: Config,
    /// For messages.
    place: String,
    is_encrypted: bool,
    ca: Option<PathBuf>,
    timeout: Duration,
}

/// A column as the server describes it.
#[derive(Debug, Clone, PartialEq)]
struct Column {
    name: String,
    kind: Type,
    /// Precision and scale of a number that has them.
    digits: Option<(u8, i8)>,
}

/// A connection, and the task that carries its messages.
struct Session {
    client: Client,
    carrier: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

impl PostgresReader {
    /// Connects and asks for the columns.
    pub(crate) fn open(spec: &DatabaseSpec, base: &Path) -> Result<Self> {
        let server = Server::of(spec, base)?;
        let relation = Relation::of(spec.table.as_deref(), spec.query.as_deref(), '"')?;
        let columns = runtime()?.block_on(async {
            let session = server.connect().await?;
            let found = server.columns(&session.client, &relation).await;
            match (found, &spec.table) {
                (Err(Error::NotFound(reason)), Some(table)) => {
                    Err(Error::NotFound(format!("{reason}{}", server.near(&session.client, table).await)))
                }
                (found, _) => found,
            }
        })?;
        if columns.is_empty() {
            return Err(Error::invalid(format!("{} gives no columns", server.place)));
        }
        let fields: Vec<Field> = columns.iter().map(|c| Field::new(&c.name, c.arrow(), true)).collect();
        Ok(Self { server, relation, columns, schema: Arc::new(Schema::new(fields)) })
    }

    /// How a column stands in the query: kinds that have no binary form of ours come as text.
    fn written(&self, column: usize) -> String {
        let name = self.relation.name(&self.columns[column].name);
        if self.columns[column].is_cast() { format!("{name}::text") } else { name }
    }

    async fn start(&self, wanted: &Wanted<'_>) -> Result<(Session, Pin<Box<RowStream>>)> {
        let session = self.server.connect().await?;
        let now = self.server.columns(&session.client, &self.relation).await?;
        check_same(&self.server.place, [&self.columns, &now], wanted.projection, |column| &column.name)?;
        let columns: Vec<String> = wanted.projection.iter().map(|column| self.written(*column)).collect();
        let name = |column: usize| self.relation.name(&self.columns[column].name);
        let placeholder =
            |number: usize, condition: &Condition| format!("${number}{}", self.columns[condition.column].cast());
        let (sql, values) = self.relation.select(&columns, wanted.conditions, &name, &placeholder, wanted.limit);
        let values = values.iter().map(bound);
        let rows = session.client.query_raw::<_, Box<dyn ToSql + Sync + Send>, _>(&sql, values);
        let rows = in_time(self.server.timeout, &self.server.place, rows.map_err(|e| self.server.told(&e))).await?;
        Ok((session, Box::pin(rows)))
    }

    /// The next rows; none at the end.
    async fn next(&self, rows: &mut Pin<Box<RowStream>>, room: &mut Rows, wanted: &[usize]) -> Result<bool> {
        let mut digits = String::new();
        while !room.is_full() {
            let next = in_time(self.server.timeout, &self.server.place, async { Ok(rows.next().await) }).await?;
            let Some(row) = next else { return Ok(false) };
            let row = row.map_err(|e| self.server.told(&e))?;
            for (place, column) in wanted.iter().enumerate() {
                let column = &self.columns[*column];
                let misfit = |what: &str| misfit(&self.server.place, &column.name, &column.arrow(), what);
                room.push(place, column.cell(&row, place, &mut digits), misfit)?;
            }
            room.end();
        }
        Ok(true)
    }
}

impl Reader for PostgresReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read(&self, projection: &[usize], emit: &mut Emit) -> Result<()> {
        self.read_where(&Wanted { projection, conditions: &[], limit: None }, emit)
    }

    fn takes(&self, condition: &Condition) -> bool {
        let kind = &self.columns[condition.column].kind;
        match &condition.test {
            Test::Missing | Test::Present => true,
            // Fixed-length texts are compared without their last blanks.
            _ if condition.test.values().iter().any(|value| matches!(value, Value::Text(_))) => {
                *kind == Type::TEXT || *kind == Type::VARCHAR
            }
            _ => true,
        }
    }

    fn read_where(&self, wanted: &Wanted, emit: &mut Emit) -> Result<()> {
        let runtime = runtime()?;
        let schema = project(&self.schema, wanted.projection)?;
        let (_session, mut stream) = runtime.block_on(self.start(wanted))?;
        let rows = Rows::new(schema)?;
        hand_out(rows, emit, |rows| runtime.block_on(self.next(&mut stream, rows, wanted.projection)))
    }
}

impl Server {
    fn of(spec: &DatabaseSpec, base: &Path) -> Result<Self> {
        let unclear = |e: &dyn std::fmt::Display| {
            Error::invalid(format!(
                "url: {} is no address of PostgreSQL ({e}); as postgres://user@host:5432/database",
                spec.url
            ))
        };
        let mut config: Config =
            spec.url.reveal().parse().map_err(|e: tokio_postgres::Error| unclear(&told_shortly(&e)))?;
        if let Some(password) = &spec.password {
            config.password(password.reveal());
        }
        let hosts: Vec<String> = config.get_hosts().iter().map(host_name).collect();
        if hosts.is_empty() {
            return Err(unclear(&"it names no host"));
        }
        let (is_encrypted, ca) = tls::wanted(spec, base, hosts.iter().map(String::as_str))?;
        let options = format!("{} -c default_transaction_read_only=on", config.get_options().unwrap_or_default());
        let timeout = Duration::from_secs(spec.timeout_s.max(1));
        config.options(options.trim()).application_name("tidemill").connect_timeout(timeout);
        config.ssl_mode(if is_encrypted { SslMode::Require } else { SslMode::Disable });
        let ports = config.get_ports();
        let place = hosts.iter().enumerate().map(|(number, host)| {
            let port = ports.get(number).or(ports.first()).copied().unwrap_or(5432);
            format!("{host}:{port}")
        });
        let place = format!("postgres at {}", place.collect::<Vec<_>>().join(", "));
        Ok(Self { config, place, is_encrypted, ca, timeout })
    }

    async fn connect(&self) -> Result<Session> {
        let told = |e: tokio_postgres::Error| self.told(&e);
        if self.is_encrypted {
            let tls = MakeRustlsConnect::new(tls::config(self.ca.as_deref())?);
            let connecting = self.config.connect(tls).map_err(told);
            let (client, connection) = in_time(self.timeout, &self.place, connecting).await?;
            return Ok(Session { client, carrier: tokio::spawn(async { drop(connection.await) }) });
        }
        let (client, connection) = in_time(self.timeout, &self.place, self.config.connect(NoTls).map_err(told)).await?;
        Ok(Session { client, carrier: tokio::spawn(async { drop(connection.await) }) })
    }

    async fn columns(&self, client: &Client, relation: &Relation) -> Result<Vec<Column>> {
        let sql = relation.all(0);
        let statement = client.prepare(&sql).map_err(|e| match (place(&e, relation), self.told(&e)) {
            (Some((line, column)), Error::Invalid(text)) => {
                Error::Invalid(format!("{text}, in line {line}, character {column} of the query"))
            }
            (_, error) => error,
        });
        let statement = in_time(self.timeout, &self.place, statement).await?;
        Ok(statement.columns().iter().map(Column::of).collect())
    }

    /// `; did you mean "x"?` among the tables.
    async fn near(&self, client: &Client, asked: &str) -> String {
        let tables = "SELECT CASE table_schema WHEN current_schema() THEN table_name ELSE table_schema || '.' || table_name \
                      END::text FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', \
                      'information_schema') LIMIT $1";
        let Ok(rows) = client.query(tables, &[&TABLES_MAX]).await else { return String::new() };
        let names: Vec<String> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
        did_you_mean(asked, names.iter().map(String::as_str))
    }

    /// An error in words, with whose fault it is.
    fn told(&self, error: &tokio_postgres::Error) -> Error {
        let text = format!("{}: {}", self.place, told_shortly(error));
        let Some(code) = error.code().map(tokio_postgres::error::SqlState::code) else {
            return Error::Unreachable(text);
        };
        match code {
            "42P01" | "3F000" | "3D000" => Error::NotFound(text),
            // Resources and the operator's doing: nothing is wrong with what was asked.
            code if code.starts_with("53") || code.starts_with("57") || code.starts_with("08") => {
                Error::Unreachable(text)
            }
            _ => Error::Invalid(text),
        }
    }
}

/// What the server or the system says, without "db error".
fn told_shortly(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        return format!("{}{hint}", error.message());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// Where in the user's query an error is.
fn place(error: &tokio_postgres::Error, relation: &Relation) -> Option<(usize, usize)> {
    match error.as_db_error()?.position()? {
        ErrorPosition::Original(character) => relation.place(*character as usize),
        ErrorPosition::Internal { .. } => None,
    }
}

fn host_name(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

impl Column {
    fn of(column: &tokio_postgres::Column) -> Self {
        let modifier = column.type_modifier();
        let digits = (*column.type_() == Type::NUMERIC && modifier >= 4).then(|| {
            let (precision, scale) = ((modifier - 4) >> 16, (modifier - 4) & 0x7ff);
            (precision, if scale >= 1024 { scale - 2048 } else { scale })
        });
        let digits = digits.filter(|(precision, scale)| *precision <= 38 && (0..=*precision).contains(scale));
        let digits = digits.map(|(precision, scale)| (precision as u8, scale as i8));
        Self { name: column.name().to_owned(), kind: column.type_().clone(), digits }
    }

    fn arrow(&self) -> DataType {
        match self.kind {
            Type::BOOL => DataType::Boolean,
            Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => DataType::Int64,
            Type::FLOAT4 => DataType::Float32,
            Type::FLOAT8 => DataType::Float64,
            Type::NUMERIC => self.digits.map_or(DataType::Float64, |(p, s)| DataType::Decimal128(p, s)),
            Type::BYTEA => DataType::Binary,
            Type::DATE => DataType::Date32,
            Type::TIMESTAMP | Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, None),
            Type::TIME => DataType::Time64(TimeUnit::Microsecond),
            _ => DataType::Utf8,
        }
    }

    /// Whether the server makes text of it.
    fn is_cast(&self) -> bool {
        self.arrow() == DataType::Utf8 && !matches!(self.kind, Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME)
    }

    /// What a value that it is compared with is cast to.
    fn cast(&self) -> &'static str {
        match self.kind {
            Type::BOOL => "::bool",
            Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => "::int8",
            Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => "::float8",
            Type::DATE => "::text::date",
            Type::TIMESTAMP => "::text::timestamp",
            Type::TIMESTAMPTZ => "::text::timestamptz",
            _ => "::text",
        }
    }

    /// A value from its binary form; else what it is.
    fn cell<'a>(&self, row: &'a Row, place: usize, digits: &'a mut String) -> std::result::Result<Cell<'a>, String> {
        let raw: Option<Raw> = row.try_get(place).map_err(|e| e.to_string())?;
        let Some(Raw(raw)) = raw else { return Ok(Cell::Missing) };
        let broken = || "bytes of another type".to_owned();
        Ok(match self.kind {
            Type::BOOL => Cell::Boolean(u8::from_be_bytes(fixed(raw).ok_or_else(broken)?) != 0),
            Type::INT2 => Cell::Integer(i16::from_be_bytes(fixed(raw).ok_or_else(broken)?).into()),
            Type::INT4 => Cell::Integer(i32::from_be_bytes(fixed(raw).ok_or_else(broken)?).into()),
            Type::INT8 => Cell::Integer(i64::from_be_bytes(fixed(raw).ok_or_else(broken)?)),
            Type::OID => Cell::Integer(u32::from_be_bytes(fixed(raw).ok_or_else(broken)?).into()),
            Type::FLOAT4 => Cell::Single(f32::from_be_bytes(fixed(raw).ok_or_else(broken)?)),
            Type::FLOAT8 => Cell::Number(f64::from_be_bytes(fixed(raw).ok_or_else(broken)?)),
            Type::NUMERIC => match write_digits(raw, digits).ok_or_else(broken)? {
                true => Cell::Digits(digits),
                false if self.digits.is_none() => Cell::Number(digits.parse().map_err(|_| digits.clone())?),
                false => return Err(digits.clone()),
            },
            Type::BYTEA => Cell::Bytes(raw),
            Type::DATE => match i32::from_be_bytes(fixed(raw).ok_or_else(broken)?) {
                i32::MAX | i32::MIN => return Err("infinity".to_owned()),
                days => Cell::Date(days.checked_add(DAYS_TO_2000).ok_or_else(broken)?),
            },
            Type::TIMESTAMP | Type::TIMESTAMPTZ => match i64::from_be_bytes(fixed(raw).ok_or_else(broken)?) {
                i64::MAX | i64::MIN => return Err("infinity".to_owned()),
                micros => Cell::Timestamp(micros.checked_add(MICROS_TO_2000).ok_or_else(broken)?),
            },
            Type::TIME => Cell::Time(i64::from_be_bytes(fixed(raw).ok_or_else(broken)?)),
            _ => Cell::Text(Cow::Borrowed(std::str::from_utf8(raw).map_err(|_| broken())?)),
        })
    }
}

/// The bytes of a value.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn fixed<const N: usize>(raw: &[u8]) -> Option<[u8; N]> {
    raw.try_into().ok()
}

/// Writes a number of any length as it is read; false where it is `NaN` or infinite. None where it is none.
fn write_digits(raw: &[u8], out: &mut String) -> Option<bool> {
    use std::fmt::Write;
    let word = |at: usize| Some(i16::from_be_bytes(fixed(raw.get(2 * at..2 * at + 2)?)?));
    let (count, weight, sign, scale) = (word(0)?, word(1)?, word(2)? as u16, word(3)?);
    out.clear();
    match sign {
        0 => {}
        0x4000 => out.push('-'),
        0xC000 => out.push_str("NaN"),
        0xD000 => out.push_str("inf"),
        0xF000 => out.push_str("-inf"),
        _ => return None,
    }
    if sign >= 0x8000 {
        return Some(false);
    }
    let group = |place: i16| if (0..count).contains(&place) { word(4 + place as usize) } else { Some(0) };
    if weight < 0 {
        out.push('0');
    }
    for place in 0..=weight {
        let digits = group(place)?;
        let written = if place == 0 { write!(out, "{digits}") } else { write!(out, "{digits:04}") };
        written.ok()?;
    }
    if scale > 0 {
        out.push('.');
        let end = out.len() + scale as usize;
        let mut place = weight + 1;
        while out.len() < end {
            write!(out, "{:04}", group(place)?).ok()?;
            place += 1;
        }
        out.truncate(end);
    }
    Some(true)
}

/// A value as a parameter: of the type that [`Column::cast`] names first.
fn bound(value: &Value) -> Box<dyn ToSql + Sync + Send> {
    match value {
        Value::Boolean(x) => Box::new(*x),
        Value::Integer(x) => Box::new(*x),
        Value::Number(x) => Box::new(*x),
        Value::Text(x) => Box::new(x.clone()),
        Value::Date(days) => Box::new(super::written_date(*days)),
        Value::Timestamp(micros) => Box::new(format!("{}+00", super::written_timestamp(*micros))),
    }
}
