//! Where do answers go? A CSV, JSON lines or Parquet file that appears only when it is whole.

use std::path::{Path, PathBuf};

use arrow::csv::{Writer as CsvWriter, WriterBuilder};
use arrow::datatypes::SchemaRef;
use arrow::json::LineDelimitedWriter;
use arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;

use crate::whole_file::WholeFile;
use crate::{Error, Result};

/// Rows of a Parquet row group: bounds what is held back until it is written.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Bytes of a row group after which it is written although it has room for more rows: pictures are large.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// A file that rows are written to: CSV, JSON lines or Parquet by extension (`.csv`, `.tsv`, `.jsonl`, `.ndjson`, `.json`,
/// `.parquet`). Nothing is at its place before [`Sink::finish`]; a sink that is dropped leaves nothing behind.
pub struct Sink {
    path: PathBuf,
    format: Format,
}

enum Format {
    Csv(Box<CsvWriter<WholeFile>>),
    Json(Box<LineDelimitedWriter<WholeFile>>),
    Parquet(Box<ArrowWriter<WholeFile>>),
}

/// The extension of a path, in lower case.
fn extension(path: &Path) -> String {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase()
}

impl Sink {
    /// Whether files are written that end as this one does.
    pub fn takes(path: &Path) -> bool {
        ["csv", "tsv", "jsonl", "ndjson", "json", "parquet"].contains(&extension(path).as_str())
    }

    /// A file for rows with these columns.
    ///
    /// # Errors
    /// An extension that is not known, or a folder that is not there or cannot be written.
    pub fn create(path: &Path, schema: &SchemaRef) -> Result<Self> {
        let extension = extension(path);
        if !Self::takes(path) {
            let path = path.display();
            return Err(Error::invalid(format!("{path}: answers are written as .csv, .tsv, .jsonl or .parquet")));
        }
        if path.is_dir() {
            return Err(Error::invalid(format!("{}: a folder is in the way", path.display())));
        }
        let out = WholeFile::create(path)?;
        let format = match extension.as_str() {
            "csv" => Format::Csv(Box::new(CsvWriter::new(out))),
            "tsv" => Format::Csv(Box::new(WriterBuilder::new().with_delimiter(b'\t').build(out))),
            "parquet" => Format::Parquet(Box::new(parquet(path, out, schema)?)),
            _ => Format::Json(Box::new(LineDelimitedWriter::new(out))),
        };
        Ok(Self { path: path.to_owned(), format })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// A full disk, or a column the format cannot hold.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match &mut self.format {
            Format::Csv(writer) => writer.write(batch).map_err(|e| failed(&self.path, e.into())),
            Format::Json(writer) => writer.write(batch).map_err(|e| failed(&self.path, e.into())),
            Format::Parquet(writer) => {
                writer.write(batch).map_err(|e| failed(&self.path, e.into()))?;
                match writer.in_progress_size() > ROW_GROUP_BYTES {
                    true => writer.flush().map_err(|e| failed(&self.path, e.into())),
                    false => Ok(()),
                }
            }
        }
    }

    /// Puts the file at its place, durable.
    ///
    /// # Errors
    /// A full disk, or a place that cannot be written.
    pub fn finish(self) -> Result<()> {
        let path = self.path;
        let out = match self.format {
            Format::Csv(writer) => writer.into_inner(),
            Format::Json(mut writer) => {
                writer.finish().map_err(|e| failed(&path, e.into()))?;
                writer.into_inner()
            }
            Format::Parquet(writer) => writer.into_inner().map_err(|e| failed(&path, e.into()))?,
        };
        out.finish()
    }
}

fn parquet(path: &Path, out: WholeFile, schema: &SchemaRef) -> Result<ArrowWriter<WholeFile>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    ArrowWriter::try_new(out, schema.clone(), Some(properties)).map_err(|e| failed(path, e.into()))
}

/// The system's error behind a writer's, so that a full disk is told as one.
pub(crate) fn failed(path: &Path, error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return Error::io(path, std::io::Error::new(io.kind(), io.to_string()));
        }
        cause = inner.source();
    }
    let text = error.to_string();
    if text.contains("No space left on device") {
        return Error::io(path, std::io::Error::new(std::io::ErrorKind::StorageFull, text));
    }
    Error::invalid(format!("{}: cannot be written: {text}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, Float32Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    fn batch() -> RecordBatch {
        let schema =
            Schema::new(vec![Field::new("name", DataType::Utf8, true), Field::new("share", DataType::Float32, false)]);
        let names = StringArray::from(vec![Some("a,b"), None, Some("\"quoted\"")]);
        let columns: Vec<Arc<dyn Array>> = vec![Arc::new(names), Arc::new(Float32Array::from(vec![0.1, 0.25, 1e-7]))];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    fn written(name: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let mut sink = Sink::create(&path, &batch().schema()).unwrap();
        sink.write(&batch()).unwrap();
        sink.write(&batch().slice(0, 1)).unwrap();
        assert!(!path.exists(), "nothing before it is whole");
        sink.finish().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else remains");
        std::fs::read_to_string(&path).unwrap()
    }

    #[test]
    fn text_formats_hold_every_value() {
        assert_eq!(written("a.csv"), "name,share\n\"a,b\",0.1\n,0.25\n\"\"\"quoted\"\"\",1e-7\n\"a,b\",0.1\n");
        assert_eq!(written("a.tsv").lines().nth(1), Some("a,b\t0.1"));
        let lines = written("a.jsonl");
        assert_eq!(lines.lines().count(), 4);
        assert_eq!(lines.lines().next(), Some(r#"{"name":"a,b","share":0.1}"#));
    }

    #[test]
    fn parquet_comes_back_value_by_value() {
        use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let mut sink = Sink::create(&path, &batch().schema()).unwrap();
        sink.write(&batch()).unwrap();
        sink.finish().unwrap();
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&path).unwrap()).unwrap().build().unwrap();
        let rows: Vec<RecordBatch> = reader.map(|batch| batch.unwrap()).collect();
        assert_eq!(rows, [batch()]);
    }

    #[test]
    fn a_dropped_sink_leaves_nothing_and_keeps_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "old").unwrap();
        let mut sink = Sink::create(&path, &batch().schema()).unwrap();
        sink.write(&batch()).unwrap();
        drop(sink);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn wrong_places_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for (name, expected) in [("a.xlsx", ".csv, .tsv, .jsonl or .parquet"), ("none/a.csv", "none")] {
            let error = Sink::create(&folder.path().join(name), &batch().schema()).err().unwrap();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
