//! Log files: a row for each line, with the template that it follows and what stands in its gaps.

mod drain;

use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, Int64Builder, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use self::drain::Drain;
use super::files::{files, unreadable};
use super::{BATCH_ROWS, Emit, Reader, batch, open_text, project};
use crate::error::{Error, Result};
use crate::spec::LogsSpec;

/// Longest line, in bytes; what follows is another line.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Log files; their templates are learned from all lines at the first reading.
#[derive(Debug)]
pub(crate) struct LogsReader {
    files: Vec<PathBuf>,
    spec: LogsSpec,
    schema: SchemaRef,
    templates: OnceLock<Drain>,
}

impl LogsReader {
    pub(crate) fn open(spec: &LogsSpec, base: &Path) -> Result<Self> {
        let text = |name: &str, is_missing: bool| Field::new(name, DataType::Utf8, is_missing);
        let number = |name: &str, is_missing: bool| Field::new(name, DataType::Int64, is_missing);
        let fields = vec![
            text("file", false),
            number("line", false),
            text("message", false),
            number("template_number", true),
            text("template", true),
            text("parameters", true),
        ];
        let files = files(base, &spec.path)?;
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { files, spec: spec.clone(), schema, templates: OnceLock::new() })
    }

    /// The templates of all lines.
    fn templates(&self) -> Result<&Drain> {
        if let Some(templates) = self.templates.get() {
            return Ok(templates);
        }
        let mut drain = Drain::default();
        for path in &self.files {
            let mut lines = Lines::open(path, &self.spec)?;
            while let Some(line) = lines.next()? {
                drain.learn(self.message(line));
            }
        }
        Ok(self.templates.get_or_init(|| drain))
    }

    /// A line without what stands in front of every message.
    fn message<'a>(&self, line: &'a str) -> &'a str {
        let mut rest = line.trim();
        for _ in 0..self.spec.head_words {
            rest = rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim_start());
        }
        rest
    }
}

impl Reader for LogsReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read(&self, projection: &[usize], emit: &mut Emit) -> Result<()> {
        let schema = project(&self.schema, projection)?;
        let needs_templates = projection.iter().any(|&column| column >= 3);
        let templates = if needs_templates { Some(self.templates()?) } else { None };
        let mut rows = Rows::default();
        for path in &self.files {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let mut lines = Lines::open(path, &self.spec)?;
            while let Some(line) = lines.next()? {
                let line = line.trim().to_owned();
                rows.add(&name, lines.number, &line, self.message(&line), templates)?;
                if rows.count >= BATCH_ROWS && emit(rows.take(&schema, projection)?).is_break() {
                    return Ok(());
                }
            }
        }
        if rows.count > 0 {
            let _ends_anyway: ControlFlow<()> = emit(rows.take(&schema, projection)?);
        }
        Ok(())
    }
}

/// Lines of a file that are not blank.
struct Lines {
    input: BufReader<Box<dyn Read + Send>>,
    path: PathBuf,
    number: i64,
    bytes: Vec<u8>,
    text: String,
}

impl Lines {
    fn open(path: &Path, spec: &LogsSpec) -> Result<Self> {
        let input = BufReader::with_capacity(1 << 17, open_text(path, spec.encoding)?);
        Ok(Self { input, path: path.to_owned(), number: 0, bytes: Vec::new(), text: String::new() })
    }

    fn next(&mut self) -> Result<Option<&str>> {
        loop {
            self.bytes.clear();
            let mut input = (&mut self.input).take(LINE_BYTES_MAX);
            if input.read_until(b'\n', &mut self.bytes).map_err(|e| unreadable(&self.path, e))? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if !self.bytes.iter().all(u8::is_ascii_whitespace) {
                self.text.clear();
                self.text.push_str(&String::from_utf8_lossy(&self.bytes)); // a byte that went wrong is no reason to stop
                return Ok(Some(&self.text));
            }
        }
    }
}

#[derive(Default)]
struct Rows {
    files: StringBuilder,
    lines: Int64Builder,
    messages: StringBuilder,
    numbers: Int64Builder,
    templates: StringBuilder,
    parameters: StringBuilder,
    count: usize,
}

impl Rows {
    fn add(&mut self, file: &str, number: i64, line: &str, message: &str, templates: Option<&Drain>) -> Result<()> {
        self.files.append_value(file);
        self.lines.append_value(number);
        self.messages.append_value(line);
        match templates.and_then(|templates| Some((templates, templates.follow(message)?))) {
            Some((templates, followed)) => {
                let parameters = serde_json::to_string(&followed.parameters);
                self.numbers.append_value(followed.number as i64);
                self.templates.append_value(templates.text(followed.number));
                self.parameters.append_value(parameters.map_err(|e| Error::internal("parameters as JSON", e))?);
            }
            None => {
                self.numbers.append_null();
                self.templates.append_null();
                self.parameters.append_null();
            }
        }
        self.count += 1;
        Ok(())
    }

    fn take(&mut self, schema: &SchemaRef, projection: &[usize]) -> Result<arrow::array::RecordBatch> {
        let count = std::mem::take(&mut self.count);
        let all: [ArrayRef; 6] = [
            Arc::new(self.files.finish()),
            Arc::new(self.lines.finish()),
            Arc::new(self.messages.finish()),
            Arc::new(self.numbers.finish()),
            Arc::new(self.templates.finish()),
            Arc::new(self.parameters.finish()),
        ];
        batch(schema, projection.iter().map(|&column| Arc::clone(&all[column])).collect(), count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{lines, read_all};

    #[test]
    fn lines_become_templates_and_parameters() {
        let folder = tempfile::tempdir().unwrap();
        let text = "2026-01-31 12:00:00 node1 disk sda failed after 3 tries\n\n\
                    2026-01-31 12:00:09 node2 disk sdb failed after 12 tries\r\n2026-01-31 12:01:00 node1 door open\n";
        std::fs::write(folder.path().join("a.log"), text).unwrap();
        let spec = LogsSpec { path: "*.log".to_owned(), head_words: 3, encoding: crate::spec::Encoding::Auto };
        let reader = LogsReader::open(&spec, folder.path()).unwrap();
        let rows = lines(&read_all(&reader).unwrap());
        assert_eq!(
            rows,
            [
                "a.log|1|2026-01-31 12:00:00 node1 disk sda failed after 3 tries|1|disk <*> failed after <*> tries|[\"sda\",\"3\"]",
                "a.log|3|2026-01-31 12:00:09 node2 disk sdb failed after 12 tries|1|disk <*> failed after <*> tries|[\"sdb\",\"12\"]",
                "a.log|4|2026-01-31 12:01:00 node1 door open|2|door open|[]",
            ]
        );
    }
}
