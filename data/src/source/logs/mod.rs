//! Log files: a row for each event, with what its head says, the template that it follows and what stands in its gaps.
//!
//! Templates are found by reading all files once before any row with one is handed out, so that the same lines give the same
//! templates whatever is asked of them. What comes into a file afterwards finds its templates as it is read.

mod drain;
mod events;
mod form;
mod head;
mod layout;
mod mask;
pub(crate) mod syslog;
#[cfg(test)]
mod tests;
mod time;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, Int64Builder, ListBuilder, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;

use self::drain::{Drain, Words};
use self::events::{Event, Events};
use self::form::Form;
use super::files::{Files, Input};
use super::many::{ManyFiles, ReadFile};
use super::{BATCH_BYTES, BATCH_ROWS, Emit, batch, project};
use crate::error::{Error, Result};
use crate::spec::LogsSpec;

/// How the files of a folder or an archive end that are read.
const ENDINGS: [&str; 5] = ["log", "txt", "text", "out", "err"];

/// Whether a text without a telling name begins as syslog writes its lines: time, host, program.
pub(crate) fn looks_like_log(first: &[u8]) -> bool {
    let text = String::from_utf8_lossy(first);
    let head = head::Head::read(text.lines().next().unwrap_or_default(), &head::usual);
    head.stamp.is_some() && head.host.is_some() && head.program.is_some()
}

/// The columns, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Time,
    Level,
    Host,
    Program,
    Pid,
    TemplateId,
    Template,
    Parameters,
    Message,
    Line,
    LineNumber,
    File,
}

use Column::{File, Host, Level, Line, LineNumber, Message, Parameters, Pid, Program, Template, TemplateId, Time};

const COLUMNS: [Column; 12] =
    [Time, Level, Host, Program, Pid, TemplateId, Template, Parameters, Message, Line, LineNumber, File];

impl Column {
    fn field(self) -> Field {
        let texts = || DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
        match self {
            Time => Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            Level => Field::new("level", DataType::Utf8, true),
            Host => Field::new("host", DataType::Utf8, true),
            Program => Field::new("program", DataType::Utf8, true),
            Pid => Field::new("pid", DataType::Utf8, true),
            TemplateId => Field::new("template_id", DataType::Int64, true),
            Template => Field::new("template", DataType::Utf8, true),
            Parameters => Field::new("parameters", texts(), true),
            Message => Field::new("message", DataType::Utf8, false),
            Line => Field::new("line", DataType::Utf8, false),
            LineNumber => Field::new("line_number", DataType::Int64, false),
            File => Field::new("file", DataType::Utf8, false),
        }
    }
}

/// Log files.
#[derive(Debug)]
pub(crate) struct LogsReader {
    base: PathBuf,
    files: Vec<Input>,
    spec: LogsSpec,
    form: Form,
    schema: SchemaRef,
    /// What was learned from all files, as soon as somebody asks for it.
    templates: Mutex<Option<Arc<Drain>>>,
}

impl LogsReader {
    /// Finds the files.
    pub(crate) fn open(spec: &LogsSpec, base: &Path) -> Result<ManyFiles<Self>> {
        let files = Files::find(base, &spec.path, spec.store.as_ref(), &ENDINGS)?;
        let schema = Arc::new(Schema::new(COLUMNS.map(Column::field).to_vec()));
        let reader = Self {
            base: base.to_owned(),
            files: files.inputs.clone(),
            spec: spec.clone(),
            form: Form::new(spec)?,
            schema,
            templates: Mutex::new(None),
        };
        Ok(ManyFiles::new(reader, files))
    }

    fn events(&self, file: &Input) -> Result<Events<'_>> {
        Events::open(file, &self.form, self.spec.encoding, self.spec.event_bytes_max)
    }

    /// The templates of all files; who comes first reads them.
    fn templates(&self) -> Arc<Drain> {
        let mut templates = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
        let learned = templates.get_or_insert_with(|| {
            let similarity = f64::from(self.spec.similarity_percent) / 100.0;
            let (mut drain, mut words) = (Drain::new(similarity, self.spec.templates_max), Words::default());
            for file in &self.files {
                // A file that cannot be read is told when its rows are: a query may leave it out.
                let _ = self.learn(file, &mut drain, &mut words);
            }
            drain.settle();
            Arc::new(drain)
        });
        Arc::clone(learned)
    }

    fn learn(&self, file: &Input, drain: &mut Drain, words: &mut Words) -> Result<()> {
        let mut events = self.events(file)?;
        while let Some(event) = events.next()? {
            words.cut(event.first_line());
            drain.learn(words);
        }
        Ok(())
    }

    /// The templates with that of a line that came after they were learned, where there is room.
    fn learn_late(&self, words: &Words) -> Option<Arc<Drain>> {
        let mut templates = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
        let learned = templates.as_mut().filter(|templates| templates.has_room())?;
        if learned.follow(words).is_none() {
            Arc::make_mut(learned).learn(words);
        }
        Some(Arc::clone(learned))
    }
}

impl ReadFile for LogsReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read_file(&self, file: &Input, projection: &[usize], emit: &mut Emit) -> Result<ControlFlow<()>> {
        let schema = project(&self.schema, projection)?;
        let columns: Vec<Column> = projection.iter().map(|&column| COLUMNS[column]).collect();
        let needs_templates = columns.iter().any(|column| matches!(column, TemplateId | Template | Parameters));
        let mut templates = if needs_templates { Some(self.templates()) } else { None };
        let name = file.strip_prefix(&self.base).unwrap_or(file).to_string_lossy();
        let (mut rows, mut words) = (Rows::new(&columns), Words::default());
        let mut events = self.events(file)?;
        while let Some(event) = events.next()? {
            let mut followed = None;
            if let Some(known) = &mut templates {
                words.cut(event.first_line());
                followed = known.follow(&words);
                if followed.is_none()
                    && let Some(more) = self.learn_late(&words)
                {
                    followed = more.follow(&words);
                    *known = more;
                }
            }
            let follows = templates.as_deref().zip(followed).map(|(drain, at)| Follows { drain, at, words: &words });
            rows.add(event, follows.as_ref(), &name)?;
            if (rows.count >= BATCH_ROWS || rows.bytes >= BATCH_BYTES) && emit(rows.take(&schema)?).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        match rows.count {
            0 => Ok(ControlFlow::Continue(())),
            _ => Ok(emit(rows.take(&schema)?)),
        }
    }
}

/// The template of an event.
struct Follows<'a> {
    drain: &'a Drain,
    at: usize,
    words: &'a Words,
}

/// A batch in the making.
struct Rows {
    columns: Vec<(Column, Builder)>,
    count: usize,
    bytes: usize,
}

enum Builder {
    Text(StringBuilder),
    Texts(ListBuilder<StringBuilder>),
    Integer(Int64Builder),
    Time(TimestampMicrosecondBuilder),
}

impl Rows {
    fn new(columns: &[Column]) -> Self {
        let builder = |column: &Column| match column {
            Time => Builder::Time(TimestampMicrosecondBuilder::new()),
            TemplateId | LineNumber => Builder::Integer(Int64Builder::new()),
            Parameters => Builder::Texts(ListBuilder::new(StringBuilder::new())),
            Level | Host | Program | Pid | Template | Message | Line | File => Builder::Text(StringBuilder::new()),
        };
        Self { columns: columns.iter().map(|column| (*column, builder(column))).collect(), count: 0, bytes: 0 }
    }

    fn add(&mut self, event: &Event, follows: Option<&Follows>, file: &str) -> Result<()> {
        for (column, builder) in &mut self.columns {
            match builder {
                Builder::Time(builder) => builder.append_option(event.time),
                Builder::Integer(builder) => builder.append_option(match column {
                    LineNumber => Some(event.number as i64),
                    _ => follows.map(|follows| follows.at as i64 + 1),
                }),
                Builder::Texts(builder) => {
                    if let Some(follows) = follows {
                        let values = builder.values();
                        let each = |value: &str| values.append_value(value);
                        follows.drain.parameters(follows.at, follows.words, event.first_line(), each);
                    }
                    builder.append(follows.is_some());
                }
                Builder::Text(builder) => builder.append_option(match column {
                    Level => event.level(),
                    Host => event.host(),
                    Program => event.program(),
                    Pid => event.pid(),
                    Template => follows.map(|follows| follows.drain.text(follows.at)),
                    Message => Some(event.message()),
                    Line => Some(event.text.as_str()),
                    File => Some(file),
                    Time | TemplateId | Parameters | LineNumber => return Err(unfit(*column)),
                }),
            }
        }
        self.count += 1;
        self.bytes += 2 * event.text.len() + file.len();
        Ok(())
    }

    fn take(&mut self, schema: &SchemaRef) -> Result<RecordBatch> {
        let count = std::mem::take(&mut self.count);
        self.bytes = 0;
        let finish = |(_, builder): &mut (Column, Builder)| -> ArrayRef {
            match builder {
                Builder::Text(builder) => Arc::new(builder.finish()),
                Builder::Texts(builder) => Arc::new(builder.finish()),
                Builder::Integer(builder) => Arc::new(builder.finish()),
                Builder::Time(builder) => Arc::new(builder.finish()),
            }
        };
        batch(schema, self.columns.iter_mut().map(finish).collect(), count)
    }
}

fn unfit(column: Column) -> Error {
    Error::Internal(format!("column {column:?} of a log is no text"))
}
