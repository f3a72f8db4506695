//! JSON lines: one object per line. Keys and types come from the first lines; later surprises name their line.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::json::reader::infer_json_schema_from_iterator;
use delimited::Inference;
use serde_json::Value;

use super::files::{Files, Input};
use super::many::{ManyFiles, ReadFile};
use super::packing::unreadable;
use super::{BATCH_ROWS, Emit, Place, batch, open_text};
use crate::error::{Error, Result};
use crate::spec::{ColumnType, Encoding, JsonSpec};

/// Longest line, in bytes.
const LINE_BYTES_MAX: u64 = 64 << 20;
/// Text that is decoded at once, in bytes.
const CHUNK_BYTES: usize = 4 << 20;
/// How the files of a folder or an archive end that are read.
const ENDINGS: [&str; 3] = ["json", "jsonl", "ndjson"];

/// JSON lines, their columns known.
#[derive(Debug)]
pub(crate) struct JsonReader {
    sampled: usize,
    schema: SchemaRef,
}

impl JsonReader {
    /// Looks at the first lines.
    pub(crate) fn open(spec: &JsonSpec, base: &Path) -> Result<ManyFiles<Self>> {
        let files = Files::find(base, &spec.path, spec.store.as_ref(), &ENDINGS)?;
        let mut sample = Vec::new();
        files.look(|path| {
            let mut lines = Lines::open(path)?;
            while sample.len() < spec.sample_rows.max(1) {
                if !lines.next(1)? {
                    return Ok(ControlFlow::Continue(()));
                }
                sample.push(object(&lines, path)?);
            }
            Ok(ControlFlow::Break(()))
        })?;
        let first = files.first()?;
        if sample.is_empty() {
            return Err(Error::invalid(format!("{} is empty", first.display())));
        }
        let schema = Arc::new(infer(&sample, first)?);
        Ok(ManyFiles::new(Self { sampled: sample.len(), schema }, files))
    }

    /// The batches in a chunk of lines.
    fn decode(&self, text: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
        let mut decoder = ReaderBuilder::new(Arc::clone(&self.schema))
            .with_batch_size(BATCH_ROWS)
            .with_coerce_primitive(true)
            .with_strict_mode(true)
            .build_decoder()?;
        let mut batches = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let count = decoder.decode(&text[at..])?;
            at += count;
            if at < text.len() || count == 0 {
                batches.extend(decoder.flush()?);
            }
        }
        batches.extend(decoder.flush()?);
        Ok(batches)
    }

    /// Which line of a chunk it was, and what to do.
    fn explain(&self, lines: &Lines, path: &Path, error: &ArrowError) -> Error {
        let mut begin = 0;
        for (&end, &number) in lines.ends.iter().zip(&lines.numbers) {
            if let Err(error) = self.decode(&lines.text[begin..end]) {
                let place = Place(path, number);
                let reason = error.to_string();
                let reason = reason.strip_prefix("Json error: ").unwrap_or(&reason);
                return Error::invalid(
                    match reason.rsplit_once("column '").and_then(|(_, rest)| rest.split_once("' missing")) {
                        Some((key, _)) => format!(
                            "{place}: the key \"{key}\" does not occur in the first {} lines; set sample_rows: {number} or more",
                            self.sampled
                        ),
                        None => format!(
                            "{place}: {reason}; types were found in the first {} lines, set sample_rows: {number} or more",
                            self.sampled
                        ),
                    },
                );
            }
            begin = end;
        }
        Error::invalid(format!("{}: {error}", path.display()))
    }
}

impl ReadFile for JsonReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read_file(&self, file: &Input, projection: &[usize], emit: &mut Emit) -> Result<ControlFlow<()>> {
        let schema = super::project(&self.schema, projection)?;
        let mut lines = Lines::open(file)?;
        while lines.next(BATCH_ROWS)? {
            let batches = self.decode(&lines.text).map_err(|error| self.explain(&lines, file, &error))?;
            for all in batches {
                let columns = projection.iter().map(|&column| Arc::clone(all.column(column))).collect();
                if emit(batch(&schema, columns, all.num_rows())?).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Lines of a file that are not blank.
struct Lines {
    input: BufReader<Box<dyn Read + Send>>,
    path: PathBuf,
    number: u64,
    text: Vec<u8>,
    /// Where each line ends in `text`.
    ends: Vec<usize>,
    /// Its number, counted from 1.
    numbers: Vec<u64>,
}

impl Lines {
    fn open(path: &Input) -> Result<Self> {
        Ok(Self {
            input: BufReader::with_capacity(1 << 17, open_text(path, Encoding::Auto)?),
            path: path.to_path_buf(),
            number: 0,
            text: Vec::new(),
            ends: Vec::new(),
            numbers: Vec::new(),
        })
    }

    /// Takes the next lines, `rows_max` at most; false at the end.
    fn next(&mut self, rows_max: usize) -> Result<bool> {
        self.text.clear();
        self.ends.clear();
        self.numbers.clear();
        while self.ends.len() < rows_max && self.text.len() < CHUNK_BYTES {
            let begin = self.text.len();
            let mut input = (&mut self.input).take(LINE_BYTES_MAX);
            let count = input.read_until(b'\n', &mut self.text).map_err(|e| unreadable(&self.path, e))?;
            self.number += 1;
            if count == 0 {
                break;
            }
            let place = Place(&self.path, self.number);
            if count as u64 == LINE_BYTES_MAX {
                return Err(Error::invalid(format!("{place}: the line is longer than {} MB", LINE_BYTES_MAX >> 20)));
            }
            if self.number == 1 && self.text.starts_with(&[0xef, 0xbb, 0xbf]) {
                self.text.drain(..3);
            }
            if let Err(error) = std::str::from_utf8(&self.text[begin..]) {
                let byte = self.text[begin + error.valid_up_to()];
                return Err(Error::invalid(format!("{place}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8")));
            }
            if self.text[begin..].iter().all(u8::is_ascii_whitespace) {
                self.text.truncate(begin);
                continue;
            }
            self.ends.push(self.text.len());
            self.numbers.push(self.number);
        }
        Ok(!self.ends.is_empty())
    }
}

/// The one object of a line.
fn object(lines: &Lines, path: &Path) -> Result<Value> {
    let place = Place(path, lines.number);
    match serde_json::from_slice(&lines.text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(Value::Array(_)) => {
            Err(Error::invalid(format!("{place}: an array where an object was expected; write one object per line")))
        }
        Ok(other) => {
            Err(Error::invalid(format!("{place}: {other} where an object was expected; write one object per line")))
        }
        Err(error) => Err(Error::invalid(format!("{place}: no JSON object ({error}); write one object per line"))),
    }
}

/// The columns, in the order in which their keys occur first.
fn infer(sample: &[Value], path: &Path) -> Result<Schema> {
    let found = infer_json_schema_from_iterator(sample.iter().map(Ok::<_, ArrowError>))
        .map_err(|e| Error::invalid(format!("{}: {e}", path.display())))?;
    let mut seen = HashSet::new();
    let mut fields = Vec::with_capacity(found.fields().len());
    for key in sample.iter().filter_map(Value::as_object).flat_map(|object| object.keys()) {
        if seen.insert(key.as_str()) {
            let field = found.field_with_name(key).map_err(|e| Error::internal("a key without a type", e))?;
            fields.push(Field::new(key, column_type(field.data_type(), sample, key), true));
        }
    }
    if fields.is_empty() {
        return Err(Error::invalid(format!("{}: the objects have no keys", path.display())));
    }
    Ok(Schema::new(fields))
}

/// What Arrow infers, made usable.
fn column_type(inferred: &DataType, sample: &[Value], key: &str) -> DataType {
    match settled(inferred) {
        DataType::Utf8 => text_type(sample, key),
        other => other,
    }
}

/// Text for what was always null; the fields of objects in alphabetical order, so that it is the same every time.
fn settled(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Null => DataType::Utf8,
        DataType::Struct(fields) => {
            let mut fields: Vec<Field> =
                fields.iter().map(|field| Field::new(field.name(), settled(field.data_type()), true)).collect();
            fields.sort_by(|a, b| a.name().cmp(b.name()));
            DataType::Struct(Fields::from(fields))
        }
        DataType::List(item) => DataType::List(Arc::new(Field::new(item.name(), settled(item.data_type()), true))),
        other => other.clone(),
    }
}

/// Days and points in time are written as texts.
fn text_type(sample: &[Value], key: &str) -> DataType {
    let mut inference = Inference::default();
    for value in sample.iter().filter_map(|object| object.get(key)) {
        match value {
            Value::String(text) => inference.see(text),
            Value::Null => {}
            _ => return DataType::Utf8,
        }
    }
    match inference.column_type() {
        found @ (ColumnType::Date | ColumnType::Timestamp) => found.arrow(),
        _ => DataType::Utf8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Reader;
    use crate::source::testing::{lines, read_all};

    fn read(text: &str, sample_rows: usize) -> Result<(Vec<String>, Vec<String>)> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.jsonl"), text).expect("written");
        let spec = JsonSpec { sample_rows, ..JsonSpec::new("a.jsonl") };
        let reader = JsonReader::open(&spec, folder.path())?;
        let rows = lines(&read_all(&reader)?);
        let columns = reader.schema().fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
        Ok((columns, rows))
    }

    #[test]
    fn keys_become_columns_in_their_order() {
        let (columns, rows) =
            read("{\"z\": 1, \"a\": \"x\"}\n\n{\"z\": 2.5, \"b\": true, \"a\": null}\n", 1000).expect("readable");
        assert_eq!(columns, ["z Float64", "a Utf8", "b Boolean"]);
        assert_eq!(rows, ["1.0|x|", "2.5||true"]);
        let (columns, rows) = read("{\"t\": \"2026-01-31T10:00:00Z\", \"n\": null}\n", 1000).expect("readable");
        assert_eq!(columns, ["t Timestamp(µs)", "n Utf8"]);
        assert_eq!(rows, ["2026-01-31T10:00:00|"]);
    }

    #[test]
    fn faults_name_their_line() {
        let check = |text: &str, expected: &str| {
            let error = read(text, 1).expect_err("a fault").to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("", "a.jsonl is empty");
        check("[{\"a\": 1}]\n", "line 1: an array where an object was expected");
        check("{\"a\": 1\n", "line 1: no JSON object");
        check("{\"a\": 1}\n\n{\"a\": \"x\"}\n", "a.jsonl, line 3: ");
        check(
            "{\"a\": 1}\n{\"b\": 1}\n",
            "line 2: the key \"b\" does not occur in the first 1 lines; set sample_rows: 2 or more",
        );
    }
}
