//! Which rows failed? The first of them in a file for each expectation, in bounds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::prelude::{DataFrame, Expr};
use futures::StreamExt;

use crate::engine::{Engine, Rows, retell};
use crate::error::{Error, Result};
use crate::sink::Sink;
use crate::spec::Expectation;

/// Rows of a file.
const ROWS_MAX: usize = 1_000;
/// Bytes of a file, about, before they are packed.
const BYTES_MAX: usize = 32 << 20;
/// Bytes of an expectation's name in that of its file.
const NAME_BYTES_MAX: usize = 80;
/// What the files are called, before the expectation's name.
const PREFIX: &str = "failing-";

/// Where failing rows go.
pub(super) struct Keeper<'a> {
    folder: Option<&'a Path>,
    names: BTreeSet<String>,
}

impl<'a> Keeper<'a> {
    /// Takes away what an earlier check left.
    pub(super) fn new(folder: Option<&'a Path>) -> Result<Self> {
        if let Some(folder) = folder {
            let listing = std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
            for entry in listing.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
                std::fs::remove_file(entry.path()).map_err(|e| Error::io(entry.path(), e))?;
            }
        }
        Ok(Self { folder, names: BTreeSet::new() })
    }

    /// A name for an expectation that no other of the table has and that a file can have.
    pub(super) fn name(&mut self, check: &Expectation) -> String {
        let of = match check {
            Expectation::Sql(sql) => sql.name.clone().unwrap_or_default(),
            check => check.columns().into_iter().map(|(_, name)| name).collect::<Vec<_>>().join("-"),
        };
        let plain = |c: char| if c.is_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
        let mut base = check.kind().to_owned();
        for c in (!of.is_empty()).then_some('-').into_iter().chain(of.chars().map(plain)) {
            if base.len() + c.len_utf8() > NAME_BYTES_MAX {
                break;
            }
            base.push(c);
        }
        let mut name = base.clone();
        let mut number = 2;
        while !self.names.insert(name.to_lowercase()) {
            name = format!("{base}-{number}");
            number += 1;
        }
        name
    }

    /// The first rows under a condition.
    pub(super) async fn first(&self, frame: &DataFrame, condition: &Expr, engine: &Engine) -> Result<Option<Rows>> {
        if self.folder.is_none() {
            return Ok(None);
        }
        let rows = frame.clone().filter(condition.clone()).and_then(|rows| rows.limit(0, Some(ROWS_MAX)));
        engine.answer(Ok(rows.map_err(|e| retell(&e, Some(engine)))?)).await.map(Some)
    }

    /// Writes rows; where the file is.
    pub(super) async fn keep(&self, name: &str, rows: Option<Rows>) -> Result<Option<PathBuf>> {
        let Some(mut rows) = rows else { return Ok(None) };
        let Some(mut file) = self.open(name, &rows.schema)? else { return Ok(None) };
        while let Some(batch) = rows.batches.next().await {
            file.add(&batch?)?;
            if file.is_full() {
                break;
            }
        }
        file.finish().map(Some)
    }

    /// A file for rows with these columns; none where they are not kept.
    pub(super) fn open(&self, name: &str, schema: &SchemaRef) -> Result<Option<Kept>> {
        let Some(folder) = self.folder else { return Ok(None) };
        // A table of texts and numbers is for every program; pictures and lists are not.
        let is_plain = schema.fields().iter().all(|field| is_plain(field.data_type()));
        let path = folder.join(format!("{PREFIX}{name}.{}", if is_plain { "csv" } else { "parquet" }));
        let sink = Sink::create(&path, schema)?;
        Ok(Some(Kept { path, sink, rows: 0, bytes: 0 }))
    }
}

fn is_plain(data_type: &DataType) -> bool {
    use DataType::{Boolean, Date32, Date64, LargeUtf8, Timestamp, Utf8, Utf8View};
    data_type.is_numeric()
        || matches!(data_type, Boolean | Utf8 | LargeUtf8 | Utf8View | Date32 | Date64 | Timestamp(..))
}

/// A file of failing rows that is being written.
pub(super) struct Kept {
    path: PathBuf,
    sink: Sink,
    rows: usize,
    bytes: usize,
}

impl Kept {
    /// Takes rows as far as there is room.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.is_full() || batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = batch.slice(0, batch.num_rows().min(ROWS_MAX - self.rows));
        self.rows += batch.num_rows();
        self.bytes +=
            batch.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum::<usize>();
        self.sink.write(&batch)
    }

    fn is_full(&self) -> bool {
        self.rows >= ROWS_MAX || self.bytes >= BYTES_MAX
    }

    pub(super) fn finish(self) -> Result<PathBuf> {
        self.sink.finish()?;
        Ok(self.path)
    }
}
