//! MySQL and MariaDB: one read-only session per reading, rows in the binary format, times in UTC.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use futures::TryFutureExt;
use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::prelude::Queryable;
use mysql_async::{BinaryProtocol, Conn, IoError, Opts, OptsBuilder, QueryResult, SslOpts, Value as Raw};

use super::cells::{Cell, Rows};
use super::query::Relation;
use super::{check_same, hand_out, in_time, misfit, runtime, tls};
use crate::error::{Error, Result, did_you_mean};
use crate::source::{Condition, Emit, Reader, Test, Value, Wanted, project};
use crate::spec::DatabaseSpec;

/// The character set of bytes that are no text.
const BINARY: u16 = 63;
/// Error codes: no such database, no such table, too many connections, the server is going down.
const NO_DATABASE: u16 = 1049;
const NO_TABLE: u16 = 1146;
const BUSY: [u16; 3] = [1040, 1053, 1203];

/// A table or query, its columns known.
#[derive(Debug)]
pub(crate) struct MysqlReader {
    server: Server,
    relation: Relation,
    columns: Vec<Column>,
    schema: SchemaRef,
}

/// How to get there.
#[derive(Debug)]
struct Server {
    opts: Opts,
    /// For messages.
    place: String,
    timeout: Duration,
}

/// A column as the server describes it.
#[derive(Debug, Clone, PartialEq)]
struct Column {
    name: String,
    kind: DataType,
    /// Whether a `BIT` column, whose bytes are a whole number.
    is_bits: bool,
}

impl MysqlReader {
    /// Connects and asks for the columns.
    pub(crate) fn open(spec: &DatabaseSpec, base: &Path) -> Result<Self> {
        let server = Server::of(spec, base)?;
        let relation = Relation::of(spec.table.as_deref(), spec.query.as_deref(), '`')?;
        let columns = runtime()?.block_on(async {
            let mut connection = server.connect().await?;
            let found = server.columns(&mut connection, &relation).await;
            match (found, &spec.table) {
                (Err(Error::NotFound(reason)), Some(table)) => {
                    Err(Error::NotFound(format!("{reason}{}", near(&mut connection, table).await)))
                }
                (found, _) => found,
            }
        })?;
        let fields: Vec<Field> = columns.iter().map(|c| Field::new(&c.name, c.kind.clone(), true)).collect();
        Ok(Self { server, relation, columns, schema: Arc::new(Schema::new(fields)) })
    }

    /// The query and its values; refused where a column is no longer what it was.
    async fn query(&self, connection: &mut Conn, wanted: &Wanted<'_>) -> Result<(String, Vec<Raw>)> {
        let now = self.server.columns(connection, &self.relation).await?;
        check_same(&self.server.place, [&self.columns, &now], wanted.projection, |column| &column.name)?;
        let name = |column: usize| self.relation.name(&self.columns[column].name);
        let columns: Vec<String> = wanted.projection.iter().map(|column| name(*column)).collect();
        let (sql, values) =
            self.relation.select(&columns, wanted.conditions, &name, &|_, _| "?".to_owned(), wanted.limit);
        Ok((sql, values.iter().map(bound).collect()))
    }

    /// The next rows; none at the end.
    async fn next(
        &self,
        result: &mut QueryResult<'_, '_, BinaryProtocol>,
        room: &mut Rows,
        wanted: &[usize],
    ) -> Result<bool> {
        let mut text = String::new();
        while !room.is_full() {
            let next = result.next().map_err(|e| self.server.told(&e));
            let Some(row) = in_time(self.server.timeout, &self.server.place, next).await? else { return Ok(false) };
            for (place, column) in wanted.iter().enumerate() {
                let column = &self.columns[*column];
                let misfit = |what: &str| misfit(&self.server.place, &column.name, &column.kind, what);
                room.push(place, column.cell(row.as_ref(place).unwrap_or(&Raw::NULL), &mut text), misfit)?;
            }
            room.end();
        }
        Ok(true)
    }
}

impl Reader for MysqlReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read(&self, projection: &[usize], emit: &mut Emit) -> Result<()> {
        self.read_where(&Wanted { projection, conditions: &[], limit: None }, emit)
    }

    fn takes(&self, condition: &Condition) -> bool {
        // Bits compare as bytes with some servers and as numbers with others.
        matches!(condition.test, Test::Missing | Test::Present) || !self.columns[condition.column].is_bits
    }

    fn read_where(&self, wanted: &Wanted, emit: &mut Emit) -> Result<()> {
        let runtime = runtime()?;
        let (server, rows) = (&self.server, Rows::new(project(&self.schema, wanted.projection)?)?);
        let mut connection = runtime.block_on(server.connect())?;
        let (sql, values) = runtime.block_on(self.query(&mut connection, wanted))?;
        let started = connection.exec_iter(sql, values).map_err(|e| server.told(&e));
        let mut result = runtime.block_on(in_time(server.timeout, &server.place, started))?;
        hand_out(rows, emit, |rows| runtime.block_on(self.next(&mut result, rows, wanted.projection)))
    }
}

impl Server {
    fn of(spec: &DatabaseSpec, base: &Path) -> Result<Self> {
        let url = spec.url.reveal().replacen("mariadb://", "mysql://", 1);
        let opts = Opts::from_url(&url).map_err(|e| {
            Error::invalid(format!(
                "url: {} is no address of MySQL ({e}); as mysql://user@host:3306/database",
                spec.url
            ))
        })?;
        let host = opts.ip_or_hostname().to_owned();
        let place = format!("mysql at {host}:{}", opts.tcp_port());
        let (is_encrypted, ca) = tls::wanted(spec, base, std::iter::once(host.as_str()))?;
        let password = spec.password.as_ref().map(|password| password.reveal().to_owned());
        let password = password.or_else(|| opts.pass().map(str::to_owned));
        // Without the way through a socket file, which would follow another server's word.
        let builder = OptsBuilder::from_opts(opts).pass(password).prefer_socket(false);
        let builder = builder.init(vec!["SET SESSION TRANSACTION READ ONLY", "SET time_zone = '+00:00'"]);
        let builder = builder.ssl_opts(is_encrypted.then(|| encryption(ca)).transpose()?);
        Ok(Self { opts: builder.into(), place, timeout: Duration::from_secs(spec.timeout_s.max(1)) })
    }

    async fn connect(&self) -> Result<Conn> {
        in_time(self.timeout, &self.place, Conn::new(self.opts.clone()).map_err(|e| self.told(&e))).await
    }

    async fn columns(&self, connection: &mut Conn, relation: &Relation) -> Result<Vec<Column>> {
        let statement = connection.prep(relation.all(0)).map_err(|e| self.told(&e));
        let statement = in_time(self.timeout, &self.place, statement).await?;
        Ok(statement.columns().iter().map(Column::of).collect())
    }

    /// An error in words, with whose fault it is.
    fn told(&self, error: &mysql_async::Error) -> Error {
        match error {
            mysql_async::Error::Server(error) => {
                let text = format!("{}: {}", self.place, error.message);
                match error.code {
                    NO_DATABASE | NO_TABLE => Error::NotFound(text),
                    code if BUSY.contains(&code) => Error::Unreachable(text),
                    _ => Error::Invalid(text),
                }
            }
            mysql_async::Error::Io(IoError::Io(error)) => Error::Unreachable(format!("{}: {error}", self.place)),
            other => Error::Unreachable(format!("{}: {other}", self.place)),
        }
    }
}

fn encryption(ca: Option<PathBuf>) -> Result<SslOpts> {
    let trusted = tls::trusted(ca.as_deref())?;
    let trusted = trusted.into_iter().map(|certificate| certificate.to_vec().into()).collect();
    Ok(SslOpts::default().with_root_certs(trusted).with_disable_built_in_roots(true))
}

/// `; did you mean "x"?` among the tables of the database.
async fn near(connection: &mut Conn, asked: &str) -> String {
    let names: Vec<String> = connection.query("SHOW TABLES").await.unwrap_or_default();
    did_you_mean(asked, names.iter().map(String::as_str))
}

impl Column {
    fn of(column: &mysql_async::Column) -> Self {
        use ColumnType as C;
        let unsigned = column.flags().contains(ColumnFlags::UNSIGNED_FLAG);
        let kind = match column.column_type() {
            C::MYSQL_TYPE_TINY
            | C::MYSQL_TYPE_SHORT
            | C::MYSQL_TYPE_INT24
            | C::MYSQL_TYPE_LONG
            | C::MYSQL_TYPE_YEAR => DataType::Int64,
            C::MYSQL_TYPE_LONGLONG if !unsigned => DataType::Int64,
            C::MYSQL_TYPE_LONGLONG | C::MYSQL_TYPE_BIT => DataType::UInt64,
            C::MYSQL_TYPE_FLOAT => DataType::Float32,
            C::MYSQL_TYPE_DOUBLE => DataType::Float64,
            C::MYSQL_TYPE_DECIMAL | C::MYSQL_TYPE_NEWDECIMAL => {
                // The length counts the sign and the point.
                let scale = u32::from(column.decimals());
                let beside = u32::from(!unsigned) + u32::from(scale > 0);
                match column.column_length().saturating_sub(beside) {
                    precision @ 1..=38 if scale <= precision => DataType::Decimal128(precision as u8, scale as i8),
                    _ => DataType::Float64,
                }
            }
            C::MYSQL_TYPE_DATE | C::MYSQL_TYPE_NEWDATE => DataType::Date32,
            C::MYSQL_TYPE_DATETIME | C::MYSQL_TYPE_DATETIME2 | C::MYSQL_TYPE_TIMESTAMP | C::MYSQL_TYPE_TIMESTAMP2 => {
                DataType::Timestamp(TimeUnit::Microsecond, None)
            }
            C::MYSQL_TYPE_GEOMETRY => DataType::Binary,
            kind if column.character_set() == BINARY && is_bytes(kind) => DataType::Binary,
            _ => DataType::Utf8,
        };
        let is_bits = column.column_type() == C::MYSQL_TYPE_BIT;
        Self { name: column.name_str().into_owned(), kind, is_bits }
    }

    /// A value; else what it is.
    fn cell<'a>(&self, raw: &'a Raw, text: &'a mut String) -> std::result::Result<Cell<'a>, String> {
        use std::fmt::Write;
        let utf8 = |bytes: &'a [u8]| std::str::from_utf8(bytes).map_err(|_| "bytes that are not UTF-8".to_owned());
        Ok(match (raw, &self.kind) {
            (Raw::NULL, _) => Cell::Missing,
            (Raw::Bytes(bytes), DataType::UInt64) if bytes.len() <= 8 => {
                Cell::Unsigned(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
            }
            (Raw::Bytes(bytes), DataType::Binary) => Cell::Bytes(bytes),
            (Raw::Bytes(bytes), DataType::Decimal128(..) | DataType::Float64) => Cell::Digits(utf8(bytes)?),
            (Raw::Bytes(bytes), _) => Cell::Text(Cow::Borrowed(utf8(bytes)?)),
            (Raw::Int(x), DataType::UInt64) => Cell::Unsigned(u64::try_from(*x).map_err(|_| x.to_string())?),
            (Raw::Int(x), _) => Cell::Integer(*x),
            (Raw::UInt(x), DataType::Int64) => Cell::Integer(i64::try_from(*x).map_err(|_| x.to_string())?),
            (Raw::UInt(x), _) => Cell::Unsigned(*x),
            (Raw::Float(x), _) => Cell::Single(*x),
            (Raw::Double(x), _) => Cell::Number(*x),
            // A date of zeros is how these servers write that there is none.
            (Raw::Date(_, 0, ..) | Raw::Date(_, _, 0, ..), _) => Cell::Missing,
            (Raw::Date(year, month, day, hour, minute, second, micros), kind) => {
                let date = chrono::NaiveDate::from_ymd_opt((*year).into(), (*month).into(), (*day).into());
                let time = date.and_then(|date| {
                    date.and_hms_micro_opt((*hour).into(), (*minute).into(), (*second).into(), *micros)
                });
                let micros = time.ok_or_else(|| format!("{year}-{month}-{day}"))?.and_utc().timestamp_micros();
                match kind {
                    DataType::Date32 => Cell::Date(micros.div_euclid(86_400_000_000) as i32),
                    _ => Cell::Timestamp(micros),
                }
            }
            // Up to 838 hours, in either direction.
            (Raw::Time(negative, days, hours, minutes, seconds, micros), _) => {
                text.clear();
                let (sign, hours) = (if *negative { "-" } else { "" }, days * 24 + u32::from(*hours));
                write!(text, "{sign}{hours:02}:{minutes:02}:{seconds:02}").map_err(|e| e.to_string())?;
                if *micros > 0 {
                    write!(text, ".{micros:06}").map_err(|e| e.to_string())?;
                }
                Cell::Text(Cow::Borrowed(text))
            }
        })
    }
}

/// Whether a type without a character set holds bytes, and not a text that the server writes itself.
fn is_bytes(kind: ColumnType) -> bool {
    use ColumnType as C;
    matches!(
        kind,
        C::MYSQL_TYPE_TINY_BLOB
            | C::MYSQL_TYPE_MEDIUM_BLOB
            | C::MYSQL_TYPE_LONG_BLOB
            | C::MYSQL_TYPE_BLOB
            | C::MYSQL_TYPE_STRING
            | C::MYSQL_TYPE_VAR_STRING
            | C::MYSQL_TYPE_VARCHAR
    )
}

/// A value as a parameter.
fn bound(value: &Value) -> Raw {
    match value {
        Value::Boolean(x) => Raw::Int((*x).into()),
        Value::Integer(x) => Raw::Int(*x),
        Value::Number(x) => Raw::Double(*x),
        Value::Text(x) => Raw::Bytes(x.clone().into_bytes()),
        Value::Date(days) => Raw::Bytes(super::written_date(*days).into_bytes()),
        Value::Timestamp(micros) => Raw::Bytes(super::written_timestamp(*micros).into_bytes()),
    }
}
