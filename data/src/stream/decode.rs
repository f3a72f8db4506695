//! Which rows are in a message? JSON objects or Arrow arrays become columns; what is no row is told by its line.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder, TimestampMicrosecondArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use delimited::Inference;
use serde_json::{Map, Value};

use super::cells::{Builder, Cell, cell, field_cell};
use super::objects::Objects;
use crate::error::{Error, Result, did_you_mean};
use crate::source::{batch, stream_in_memory};
use crate::spec::{ColumnType, StreamSpec, UnknownKeys};

/// Columns that every row of a stream has; `_late` only those with an event time.
pub(crate) const OFFSET: &str = "_offset";
pub(crate) const RECEIVED: &str = "_received";
pub(crate) const SEQUENCE: &str = "_sequence";
pub(crate) const LATE: &str = "_late";

/// How an Arrow IPC stream begins; no JSON does.
const ARROW_MARK: [u8; 4] = [0xff; 4];
/// Columns of a stream, at most.
const COLUMNS_MAX: usize = 4_096;

/// What a stream delivers at once.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Its place in the stream.
    pub(crate) offset: String,
    pub(crate) body: Body,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// JSON or Arrow IPC.
    Bytes(Vec<u8>),
    /// One row, all values as texts.
    Fields(Vec<(String, Vec<u8>)>),
}

impl Message {
    /// Memory it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let body = match &self.body {
            Body::Bytes(bytes) => bytes.len(),
            Body::Fields(fields) => fields.iter().map(|(name, value)| name.len() + value.len()).sum(),
        };
        body + self.offset.len()
    }
}

/// The columns of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Columns {
    pub(crate) all: Vec<(String, ColumnType)>,
    index: BTreeMap<String, usize>,
    unknown_keys: UnknownKeys,
    /// Columns without which a row cannot be told from others.
    needed: Vec<usize>,
}

impl Columns {
    /// Checks them, and what the stream's settings say of them.
    pub(crate) fn new(all: Vec<(String, ColumnType)>, spec: &StreamSpec) -> Result<Self> {
        if all.is_empty() || all.len() > COLUMNS_MAX {
            return Err(Error::invalid(format!("a stream has 1 to {COLUMNS_MAX} columns, not {}", all.len())));
        }
        if let Some((name, _)) = all.iter().find(|(name, _)| name.starts_with('_') || name.is_empty()) {
            return Err(Error::invalid(format!("column \"{name}\" of a stream: names with a _ in front are our own")));
        }
        let index: BTreeMap<String, usize> = all.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
        let find = |what: &str, name: &str| {
            index.get(name).copied().ok_or_else(|| {
                let near = did_you_mean(name, index.keys().map(String::as_str));
                Error::invalid(format!("{what}: no column \"{name}\"{near}"))
            })
        };
        let needed = spec.key.iter().filter(|name| *name != OFFSET).map(|name| find("key", name));
        let needed = needed.collect::<Result<Vec<usize>>>()?;
        if let Some(name) = &spec.event_time {
            let at = find("event_time", name)?;
            if !matches!(all[at].1, ColumnType::Date | ColumnType::Timestamp) {
                let holds = all[at].1.plural();
                return Err(Error::invalid(format!("event_time: column \"{name}\" holds {holds}, no points in time")));
            }
        }
        Ok(Self { all, index, unknown_keys: spec.unknown_keys, needed })
    }

    /// Finds them out from the first rows of these messages; none where there is no row.
    pub(crate) fn find(messages: &[Message], spec: &StreamSpec) -> Result<Option<Self>> {
        let mut found = Finder::default();
        for message in messages {
            found.see(message, spec.sample_rows.max(1));
        }
        match found.columns.is_empty() {
            true => Ok(None),
            false => Self::new(found.finish(), spec).map(Some),
        }
    }

    /// The columns of the rows that [`decode`] gives.
    pub(crate) fn schema(&self) -> SchemaRef {
        let own = self.all.iter().map(|(name, kind)| Field::new(name, kind.arrow(), true));
        let received = DataType::Timestamp(TimeUnit::Microsecond, None);
        let ours = [Field::new(OFFSET, DataType::Utf8, false), Field::new(RECEIVED, received, false)];
        Arc::new(Schema::new(own.chain(ours).collect::<Vec<_>>()))
    }

    /// The row of an object.
    fn row(&self, object: &Map<String, Value>) -> Result<Vec<Cell>, String> {
        let mut cells = vec![Cell::Null; self.all.len()];
        for (key, value) in object {
            if let Some(at) = self.at(key)? {
                cells[at] = cell(self.all[at].1, value).map_err(|why| format!("column \"{key}\": {why}"))?;
            }
        }
        self.whole(cells)
    }

    /// The row of fields whose values are texts.
    fn row_of_fields(&self, fields: &[(String, Vec<u8>)]) -> Result<Vec<Cell>, String> {
        let mut cells = vec![Cell::Null; self.all.len()];
        for (key, value) in fields {
            if let Some(at) = self.at(key)? {
                cells[at] = field_cell(self.all[at].1, value).map_err(|why| format!("column \"{key}\": {why}"))?;
            }
        }
        self.whole(cells)
    }

    fn at(&self, key: &str) -> Result<Option<usize>, String> {
        match (self.index.get(key), self.unknown_keys) {
            (Some(&at), _) => Ok(Some(at)),
            (None, UnknownKeys::Ignore) => Ok(None),
            (None, UnknownKeys::Refuse) => {
                let near = did_you_mean(key, self.index.keys().map(String::as_str));
                let shown: String = key.chars().take(64).collect();
                Err(format!("no column \"{shown}\"{near}; declare it, or set unknown_keys: ignore"))
            }
        }
    }

    fn whole(&self, cells: Vec<Cell>) -> Result<Vec<Cell>, String> {
        match self.needed.iter().find(|&&at| cells[at] == Cell::Null) {
            Some(&at) => Err(format!("column \"{}\" of the key is missing", self.all[at].0)),
            None => Ok(cells),
        }
    }
}

/// Types of columns, as far as rows were seen.
#[derive(Default)]
struct Finder {
    columns: Vec<(String, Seen)>,
    index: BTreeMap<String, usize>,
    rows: usize,
}

#[derive(Default)]
struct Seen {
    texts: Inference,
    has_text: bool,
    has_integer: bool,
    has_number: bool,
    has_boolean: bool,
    has_other: bool,
    /// Told by an Arrow schema.
    given: Option<ColumnType>,
    /// Every text may stand for a value of another type.
    loose: bool,
}

impl Finder {
    fn see(&mut self, message: &Message, rows_max: usize) {
        match &message.body {
            Body::Fields(fields) => {
                self.rows += 1;
                for (key, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
                    let seen = self.column(key);
                    (seen.has_text, seen.loose) = (true, true);
                    seen.texts.see(&String::from_utf8_lossy(value));
                }
            }
            Body::Bytes(bytes) if bytes.starts_with(&ARROW_MARK) => {
                let Ok((schema, _)) = stream_in_memory(bytes) else { return };
                for field in schema.fields() {
                    self.column(field.name()).given = Some(from_arrow(field.data_type()));
                }
            }
            Body::Bytes(bytes) => {
                for found in Objects::of(bytes) {
                    if let Ok(object) = found.object {
                        self.object(&object);
                    }
                    if self.rows >= rows_max {
                        return;
                    }
                }
            }
        }
    }

    fn object(&mut self, object: &Map<String, Value>) {
        self.rows += 1;
        for (key, value) in object {
            let seen = self.column(key);
            match value {
                Value::Null => {}
                Value::Bool(_) => seen.has_boolean = true,
                Value::Number(number) if number.is_i64() => seen.has_integer = true,
                Value::Number(_) => seen.has_number = true,
                Value::String(text) => {
                    seen.has_text = true;
                    seen.texts.see(text);
                }
                Value::Array(_) | Value::Object(_) => seen.has_other = true,
            }
        }
    }

    fn column(&mut self, key: &str) -> &mut Seen {
        let next = self.columns.len();
        let at = *self.index.entry(key.to_owned()).or_insert(next);
        if at == next {
            self.columns.push((key.to_owned(), Seen::default()));
        }
        &mut self.columns[at].1
    }

    fn finish(self) -> Vec<(String, ColumnType)> {
        self.columns.into_iter().map(|(name, seen)| (name, seen.kind())).collect()
    }
}

impl Seen {
    fn kind(&self) -> ColumnType {
        if let Some(given) = self.given {
            return given;
        }
        let texts = self.texts.column_type();
        match (self.has_text, self.has_boolean, self.has_integer || self.has_number, self.has_other) {
            (false, true, false, false) => ColumnType::Boolean,
            (false, false, true, false) if self.has_number => ColumnType::Number,
            (false, false, true, false) => ColumnType::Integer,
            (true, false, false, false) if self.loose => texts,
            (true, false, false, false) if matches!(texts, ColumnType::Date | ColumnType::Timestamp) => texts,
            _ => ColumnType::Text,
        }
    }
}

/// The type of a column that holds such arrays.
fn from_arrow(data_type: &DataType) -> ColumnType {
    match data_type {
        DataType::Boolean => ColumnType::Boolean,
        kind if kind.is_integer() => ColumnType::Integer,
        kind if kind.is_numeric() => ColumnType::Number,
        DataType::Date32 | DataType::Date64 => ColumnType::Date,
        DataType::Timestamp(..) => ColumnType::Timestamp,
        _ => ColumnType::Text,
    }
}

/// The rows of messages, and what in them is no row.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) rows: usize,
    pub(crate) bad: Vec<Bad>,
}

/// Something that is no row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bad {
    /// The place of its message in the stream.
    pub(crate) offset: String,
    /// The line in the message, from 1.
    pub(crate) line: u64,
    pub(crate) reason: String,
    pub(crate) bytes: Vec<u8>,
}

impl Bad {
    /// A message in which there is no row.
    pub(crate) fn whole(message: Message) -> Self {
        let bytes = match message.body {
            Body::Bytes(mut bytes) => {
                bytes.truncate(super::poison::MESSAGE_BYTES_MAX);
                bytes
            }
            Body::Fields(fields) => format!("{fields:?}").into_bytes(),
        };
        Self { offset: message.offset, line: 1, reason: "there is no row in it".to_owned(), bytes }
    }
}

/// The rows of messages that came at a point in time (microseconds since 1970).
pub(crate) fn decode(columns: &Columns, messages: &[Message], received: i64) -> Result<Decoded> {
    let mut decoder = Decoder { columns, received, rows: Rows::new(columns), decoded: Decoded::default() };
    for message in messages {
        decoder.message(message)?;
    }
    decoder.flush()?;
    Ok(decoder.decoded)
}

struct Decoder<'a> {
    columns: &'a Columns,
    received: i64,
    rows: Rows,
    decoded: Decoded,
}

impl Decoder<'_> {
    fn message(&mut self, message: &Message) -> Result<()> {
        match &message.body {
            Body::Fields(fields) => match self.columns.row_of_fields(fields) {
                Ok(cells) => self.rows.add(cells, &message.offset, 0),
                Err(reason) => {
                    let text =
                        |(name, value): &(String, Vec<u8>)| (name.clone(), String::from_utf8_lossy(value).into());
                    let object: Map<String, Value> = fields.iter().map(text).collect();
                    self.bad(message, 1, reason, Value::Object(object).to_string().as_bytes());
                }
            },
            Body::Bytes(bytes) if bytes.starts_with(&ARROW_MARK) => self.arrow(message, bytes)?,
            Body::Bytes(bytes) => self.json(message, bytes),
        }
        Ok(())
    }

    fn json(&mut self, message: &Message, bytes: &[u8]) {
        let mut row = 0;
        for found in Objects::of(bytes) {
            match found.object.and_then(|object| self.columns.row(&object)) {
                Ok(cells) => self.rows.add(cells, &message.offset, row),
                Err(reason) => self.bad(message, found.line, reason, found.text),
            }
            row += 1;
        }
        if row == 0 {
            self.bad(message, 1, "there is nothing in it".to_owned(), bytes);
        }
    }

    /// A foreign library reads what anybody may have sent: should it panic, that message is no row.
    fn arrow(&mut self, message: &Message, bytes: &[u8]) -> Result<()> {
        let columns = self.columns;
        let read = catch_unwind(AssertUnwindSafe(|| arrow_batches(columns, bytes)));
        match read.unwrap_or_else(|_| Err("no Arrow IPC stream".to_owned())) {
            Ok(batches) => {
                self.flush()?;
                let mut row = 0;
                for own in batches {
                    let mut offsets = StringBuilder::new();
                    (row..row + own.num_rows()).for_each(|row| offsets.append_value(at(&message.offset, row)));
                    row += own.num_rows();
                    self.decoded.rows += own.num_rows();
                    let all = self.rows.with_ours(own.columns().to_vec(), offsets, own.num_rows(), self.received)?;
                    self.decoded.batches.push(all);
                }
            }
            Err(reason) => self.bad(message, 1, reason, bytes),
        }
        Ok(())
    }

    fn bad(&mut self, message: &Message, line: u64, reason: String, bytes: &[u8]) {
        let (offset, bytes) =
            (message.offset.clone(), bytes[..bytes.len().min(super::poison::MESSAGE_BYTES_MAX)].to_vec());
        self.decoded.bad.push(Bad { offset, line, reason, bytes });
    }

    fn flush(&mut self) -> Result<()> {
        let rows = self.rows.count;
        if rows > 0 {
            let batch = self.rows.take(self.received)?;
            self.decoded.rows += rows;
            self.decoded.batches.push(batch);
        }
        Ok(())
    }
}

/// `offset` for the first row of a message, `offset/1` for the next.
fn at(offset: &str, row: usize) -> String {
    if row == 0 { offset.to_owned() } else { format!("{offset}/{row}") }
}

/// Rows that become arrays.
pub(super) struct Rows {
    schema: SchemaRef,
    builders: Vec<Builder>,
    offsets: StringBuilder,
    count: usize,
}

impl Rows {
    pub(super) fn new(columns: &Columns) -> Self {
        let builders = columns.all.iter().map(|(_, kind)| Builder::new(*kind)).collect();
        Self { schema: columns.schema(), builders, offsets: StringBuilder::new(), count: 0 }
    }

    pub(super) fn add(&mut self, cells: Vec<Cell>, offset: &str, row: usize) {
        for (builder, cell) in self.builders.iter_mut().zip(cells) {
            builder.add(cell);
        }
        self.offsets.append_value(at(offset, row));
        self.count += 1;
    }

    pub(super) fn take(&mut self, received: i64) -> Result<RecordBatch> {
        let own = self.builders.iter_mut().map(Builder::finish).collect();
        let offsets = std::mem::take(&mut self.offsets);
        let count = std::mem::take(&mut self.count);
        self.with_ours(own, offsets, count, received)
    }

    fn with_ours(
        &self,
        mut columns: Vec<ArrayRef>,
        mut offsets: StringBuilder,
        rows: usize,
        received: i64,
    ) -> Result<RecordBatch> {
        columns.push(Arc::new(offsets.finish()));
        columns.push(Arc::new(TimestampMicrosecondArray::from(vec![received; rows])));
        batch(&self.schema, columns, rows)
    }
}

/// The batches of an Arrow IPC stream with our columns in our order.
fn arrow_batches(columns: &Columns, bytes: &[u8]) -> Result<Vec<RecordBatch>, String> {
    let (sent, found) = stream_in_memory(bytes).map_err(|e| format!("no whole Arrow IPC stream ({e})"))?;
    for field in sent.fields() {
        columns.at(field.name())?;
    }
    let fields: Vec<Field> = columns.all.iter().map(|(name, kind)| Field::new(name, kind.arrow(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let mut batches = Vec::new();
    for found in found {
        let column = |(at, (name, kind)): (usize, &(String, ColumnType))| -> Result<ArrayRef, String> {
            let array = match found.column_by_name(name) {
                None => new_null_array(&kind.arrow(), found.num_rows()),
                Some(array) => {
                    let exact = CastOptions { safe: false, ..CastOptions::default() };
                    let fault = |e| format!("column \"{name}\": not all are {} ({e})", kind.plural());
                    cast_with_options(array, &kind.arrow(), &exact).map_err(fault)?
                }
            };
            match array.null_count() > 0 && columns.needed.contains(&at) {
                true => Err(format!("column \"{name}\" of the key is missing")),
                false => Ok(array),
            }
        };
        let own = columns.all.iter().enumerate().map(column).collect::<Result<Vec<_>, String>>()?;
        batches.push(batch(&schema, own, found.num_rows()).map_err(|e| e.to_string())?);
    }
    Ok(batches)
}
