//! Arrow Flight SQL: rows come as Arrow batches. Values are bound to a prepared statement; a server that binds none is asked
//! for all rows, which the engine looks at again in any case.

mod address;
mod flow;
mod session;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use arrow_flight::decode::DecodedPayload;

use self::address::Server;
use self::flow::Flow;
use self::session::Session;
use super::query::Relation;
use super::{check_same, misfit, runtime};
use crate::error::{Error, Result, did_you_mean};
use crate::source::{BATCH_ROWS, Condition, Emit, Reader, Value, Wanted, batch, project};
use crate::spec::FlightSqlSpec;

/// How placeholders may be written: no rule says it, and servers take the one or the other or none.
const PLACEHOLDERS: [fn(usize) -> String; 2] = [|number| format!("${number}"), |_| "?".to_owned()];

/// A table or query, its columns known.
#[derive(Debug)]
pub(crate) struct FlightSqlReader {
    server: Server,
    relation: Relation,
    columns: Vec<Column>,
    schema: SchemaRef,
    /// The place in [`PLACEHOLDERS`] of what the server is known to take; behind its end where it takes none.
    placeholder: AtomicUsize,
}

/// A column as the server sends it.
#[derive(Debug, Clone, PartialEq)]
struct Column {
    name: String,
    kind: DataType,
}

impl FlightSqlReader {
    /// Connects and asks for the columns.
    pub(crate) fn open(spec: &FlightSqlSpec, base: &Path) -> Result<Self> {
        let server = Server::of(spec, base)?;
        let relation = |quote: char| Relation::of(spec.table.as_deref(), spec.query.as_deref(), quote);
        relation('"')?; // before anybody is asked
        let (relation, sent) = runtime()?.block_on(async {
            let session = Session::begin(&server).await?;
            let relation = relation(session.quote().await)?;
            let sent = columns(&session, &relation.all(0)).await;
            match (sent, &spec.table) {
                (Err(error), Some(table)) => Err(missing(&session, table, error).await),
                (sent, _) => Ok((relation, sent?)),
            }
        })?;
        if sent.fields().is_empty() {
            return Err(Error::invalid(format!("{} gives no columns", server.place())));
        }
        let columns: Vec<Column> = Column::all(&sent);
        let field = |(column, field): (&Column, &Arc<Field>)| {
            Field::new(&column.name, column.arrow(), true).with_metadata(field.metadata().clone())
        };
        let fields: Vec<Field> = columns.iter().zip(sent.fields()).map(field).collect();
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { server, relation, columns, schema, placeholder: AtomicUsize::new(0) })
    }

    /// Asks for rows, with bound values where the server takes them.
    async fn start(&self, wanted: &Wanted<'_>) -> Result<Flow> {
        let session = Session::begin(&self.server).await?;
        if wanted.conditions.iter().all(|condition| condition.test.values().is_empty()) {
            return self.ask(session, wanted).await;
        }
        let known = self.placeholder.load(Ordering::Relaxed);
        for (place, placeholder) in PLACEHOLDERS.into_iter().enumerate().skip(known) {
            match self.ask_bound(session.clone(), wanted, placeholder).await {
                Ok(flow) => {
                    self.placeholder.store(place, Ordering::Relaxed);
                    return Ok(flow);
                }
                Err(error @ (Error::Unreachable(_) | Error::Exhausted(_))) => return Err(error),
                Err(_) => {} // for want of this placeholder, or of the rows: the next query tells
            }
        }
        let plain = |condition: &&Condition| condition.test.values().is_empty();
        let conditions: Vec<Condition> = wanted.conditions.iter().filter(plain).cloned().collect();
        let flow = self.ask(session, &Wanted { conditions: &conditions, ..*wanted }).await?;
        self.placeholder.store(PLACEHOLDERS.len(), Ordering::Relaxed);
        Ok(flow)
    }

    async fn ask(&self, session: Session, wanted: &Wanted<'_>) -> Result<Flow> {
        let info = session.execute(&self.sql(wanted, |_| String::new())).await?;
        Flow::of(session, info).started().await
    }

    async fn ask_bound(&self, session: Session, wanted: &Wanted<'_>, placeholder: fn(usize) -> String) -> Result<Flow> {
        let values = bound(&self.columns, wanted.conditions)?;
        let handle = session.prepare(&self.sql(wanted, placeholder)).await?;
        let handle = session.bind(handle, &values).await?;
        let info = session.execute_prepared(&handle).await?;
        Flow::of_statement(session, info, handle).started().await
    }

    fn sql(&self, wanted: &Wanted<'_>, placeholder: fn(usize) -> String) -> String {
        let name = |column: usize| self.relation.name(&self.columns[column].name);
        let columns: Vec<String> = wanted.projection.iter().map(|column| name(*column)).collect();
        let placeholder = |number: usize, _: &Condition| placeholder(number);
        self.relation.select(&columns, wanted.conditions, &name, &placeholder, wanted.limit).0
    }

    /// Refuses columns that are no longer what they were.
    fn check(&self, sent: &Schema, projection: &[usize]) -> Result<()> {
        let before: Vec<Column> = projection.iter().map(|column| self.columns[*column].clone()).collect();
        let all: Vec<usize> = (0..before.len()).collect();
        check_same(&self.server.place(), [&before, &Column::all(sent)], &all, |column| &column.name)
    }

    /// The rows with the types that they have here.
    fn taken(&self, rows: &RecordBatch, schema: &SchemaRef, projection: &[usize]) -> Result<RecordBatch> {
        let options = CastOptions { safe: false, ..CastOptions::default() };
        let place = self.server.place();
        let taken = |(array, column): (&ArrayRef, &usize)| {
            let (name, kind) = (&self.columns[*column].name, self.schema.field(*column).data_type());
            match array.data_type() == kind {
                true => Ok(Arc::clone(array)),
                false => cast_with_options(array, kind, &options)
                    .map_err(|e| misfit(&place, name, kind, &format!("a value of {} ({e})", array.data_type()))),
            }
        };
        let columns: Vec<ArrayRef> = rows.columns().iter().zip(projection).map(taken).collect::<Result<_>>()?;
        batch(schema, columns, rows.num_rows())
    }
}

impl Reader for FlightSqlReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read(&self, projection: &[usize], emit: &mut Emit) -> Result<()> {
        self.read_where(&Wanted { projection, conditions: &[], limit: None }, emit)
    }

    fn takes(&self, condition: &Condition) -> bool {
        condition.test.values().is_empty() || self.placeholder.load(Ordering::Relaxed) < PLACEHOLDERS.len()
    }

    fn read_where(&self, wanted: &Wanted, emit: &mut Emit) -> Result<()> {
        let (runtime, schema) = (runtime()?, project(&self.schema, wanted.projection)?);
        let mut flow = runtime.block_on(self.start(wanted))?;
        'reading: while let Some(payload) = runtime.block_on(flow.next())? {
            let rows = match payload {
                DecodedPayload::RecordBatch(rows) => self.taken(&rows, &schema, wanted.projection)?,
                DecodedPayload::Schema(sent) => {
                    self.check(&sent, wanted.projection)?;
                    continue;
                }
                DecodedPayload::None => continue,
            };
            for begin in (0..rows.num_rows()).step_by(BATCH_ROWS) {
                if emit(rows.slice(begin, BATCH_ROWS.min(rows.num_rows() - begin))).is_break() {
                    break 'reading;
                }
            }
        }
        runtime.block_on(flow.close());
        Ok(())
    }
}

/// The columns of a query that gives no rows: what comes is believed, not what was announced.
async fn columns(session: &Session, sql: &str) -> Result<SchemaRef> {
    let mut flow = Flow::of(session.clone(), session.execute(sql).await?);
    loop {
        match flow.next().await? {
            Some(DecodedPayload::Schema(columns)) => return Ok(columns),
            Some(_) => {}
            None => return Err(session.garbled("it sends no columns")),
        }
    }
}

/// Why a table cannot be read, with the nearest name beside it where it is not among the server's.
async fn missing(session: &Session, table: &str, error: Error) -> Error {
    if matches!(error, Error::Unreachable(_)) {
        return error;
    }
    let names = session.tables().await;
    let asked = table.rsplit('.').next().unwrap_or(table);
    if names.is_empty() || names.iter().any(|name| name == asked) {
        return error;
    }
    let (near, text) = (did_you_mean(asked, names.iter().map(String::as_str)), error.to_string());
    Error::NotFound(if text.contains(&near) { text } else { text + &near }) // some servers say it themselves
}

impl Column {
    fn all(schema: &Schema) -> Vec<Self> {
        let column = |field: &Arc<Field>| Self { name: field.name().clone(), kind: field.data_type().clone() };
        schema.fields().iter().map(column).collect()
    }

    /// The type that it has here: as other databases give it.
    fn arrow(&self) -> DataType {
        plain(&self.kind)
    }
}

fn plain(kind: &DataType) -> DataType {
    match kind {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => {
            DataType::Int64
        }
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Null | DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Time32(_) => DataType::Time64(TimeUnit::Microsecond),
        // Nanoseconds stay: what is cut off from them would be equal to more than the server finds.
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond, _) => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        other => other.clone(),
    }
}

/// The values of conditions as a row, in the order of their placeholders.
fn bound(columns: &[Column], conditions: &[Condition]) -> Result<RecordBatch> {
    let (mut fields, mut arrays): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    for condition in conditions {
        for value in condition.test.values() {
            let array: ArrayRef = match value {
                Value::Boolean(x) => Arc::new(BooleanArray::from(vec![*x])),
                Value::Integer(x) => Arc::new(Int64Array::from(vec![*x])),
                Value::Number(x) => Arc::new(Float64Array::from(vec![*x])),
                Value::Text(x) => Arc::new(StringArray::from(vec![x.as_str()])),
                Value::Date(days) => Arc::new(Date32Array::from(vec![*days])),
                Value::Timestamp(micros) => {
                    let zone = match &columns[condition.column].kind {
                        DataType::Timestamp(_, zone) => zone.clone(),
                        _ => None,
                    };
                    Arc::new(TimestampMicrosecondArray::from(vec![*micros]).with_timezone_opt(zone))
                }
            };
            fields.push(Field::new((fields.len() + 1).to_string(), array.data_type().clone(), true));
            arrays.push(array);
        }
    }
    batch(&Arc::new(Schema::new(fields)), arrays, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Comparison, Test};

    #[test]
    fn columns_are_as_other_databases_give_them() {
        use DataType as T;
        let micros = |zone: Option<&str>| T::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        let check = |kind: DataType, expected: DataType| assert_eq!(plain(&kind), expected, "{kind}");
        check(T::Int16, T::Int64);
        check(T::UInt64, T::UInt64);
        check(T::Decimal64(10, 2), T::Decimal128(10, 2));
        check(T::Dictionary(Box::new(T::Int32), Box::new(T::LargeUtf8)), T::Utf8);
        check(T::Timestamp(TimeUnit::Second, None), micros(None));
        check(micros(Some("Asia/Shanghai")), micros(None));
        check(T::Timestamp(TimeUnit::Nanosecond, None), T::Timestamp(TimeUnit::Nanosecond, None));
        let list = T::List(Arc::new(Field::new("item", T::Int32, true)));
        check(list.clone(), list);
    }

    #[test]
    fn values_stand_in_the_order_of_their_placeholders() {
        let zone: Arc<str> = "UTC".into();
        let column = |name: &str, kind: DataType| Column { name: name.to_owned(), kind };
        let columns = [
            column("at", DataType::Timestamp(TimeUnit::Millisecond, Some(Arc::clone(&zone)))),
            column("name", DataType::Utf8),
        ];
        let conditions = [
            Condition { column: 1, test: Test::In(vec![Value::Text("a".into()), Value::Text("b".into())]) },
            Condition { column: 1, test: Test::Present },
            Condition { column: 0, test: Test::Compare(Comparison::Less, Value::Timestamp(1_500)) },
        ];
        let row = bound(&columns, &conditions).unwrap();
        let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1_500]).with_timezone(zone));
        let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
        assert_eq!(row.columns().to_vec(), vec![text("a"), text("b"), at]);
    }
}
