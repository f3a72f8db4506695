//! Which Parquet files hold the rows of a stream? `segment-FIRST-LAST.parquet`, by the numbers of its rows. A file appears
//! whole or not at all; one whose rows are all in a wider one no longer counts, so small files can be joined beside readers.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::metadata::KeyValue;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};

use crate::error::{Error, Result};
use crate::sink::failed;
use crate::source::batch;

/// Rows of a Parquet row group: bounds what is held back until it is written.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Key of the latest point in time that counts, in microseconds, among a file's own words.
const WATERMARK: &str = "tidemill.watermark";
/// Files of one stream, at most.
const FILES_MAX: usize = 1_000_000;

/// A file of rows.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    /// Number of its first row.
    pub(crate) first: u64,
    /// Number of its last row.
    pub(crate) last: u64,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) written: SystemTime,
}

impl Segment {
    pub(crate) fn rows(&self) -> u64 {
        self.last - self.first + 1
    }

    /// Whether the rows of this file are all in it.
    pub(crate) fn covers(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        numbers(&name).is_some_and(|(first, last)| self.first <= first && last <= self.last)
    }
}

/// What is in a stream's folder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The files that count, in the order of their rows.
    pub(crate) live: Vec<Segment>,
    /// Files whose rows are all in a wider one, with when that was written.
    pub(crate) covered: Vec<(PathBuf, SystemTime)>,
    /// Files that a crash left half-written.
    pub(crate) unfinished: Vec<PathBuf>,
}

/// Looks into a stream's folder; empty where there is none.
pub(crate) fn list(folder: &Path) -> Result<Listing> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Listing::default()),
        entries => entries.map_err(|e| Error::io(folder, e))?,
    };
    let mut listing = Listing::default();
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') && name.ends_with(".tmp") {
            listing.unfinished.push(entry.path());
        } else if let Some((first, last)) = numbers(&name) {
            // A file that was joined into another a moment ago is gone by now.
            let Ok(metadata) = entry.metadata() else { continue };
            let written = metadata.modified().map_err(|e| Error::io(entry.path(), e))?;
            found.push(Segment { first, last, path: entry.path(), bytes: metadata.len(), written });
        }
        if found.len() > FILES_MAX {
            return Err(Error::Exhausted(format!("{} holds more than {FILES_MAX} segments", folder.display())));
        }
    }
    found.sort_by_key(|segment| (segment.first, std::cmp::Reverse(segment.last)));
    for segment in found {
        match listing.live.last() {
            Some(wider) if segment.last <= wider.last => listing.covered.push((segment.path, wider.written)),
            _ => listing.live.push(segment),
        }
    }
    Ok(listing)
}

/// The numbers of the rows in a file of this name.
fn numbers(name: &str) -> Option<(u64, u64)> {
    let (first, last) = name.strip_prefix("segment-")?.strip_suffix(".parquet")?.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first >= 1 && first <= last).then_some((first, last))
}

/// Writes rows from number `first` on, durable, and says in which file they are.
pub(crate) fn write(
    folder: &Path,
    first: u64,
    schema: &SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch>>,
    watermark: Option<i64>,
) -> Result<Segment> {
    let temporary = folder.join(format!(".segment-{first}.tmp"));
    let written = fill(&temporary, schema, batches, watermark).and_then(|(rows, bytes)| {
        let last = first + rows - 1;
        let path = folder.join(format!("segment-{first:012}-{last:012}.parquet"));
        fs::rename(&temporary, &path).map_err(|e| Error::io(&path, e))?;
        sync_folder(folder)?;
        Ok(Segment { first, last, path, bytes, written: SystemTime::now() })
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary); // the error to tell is the first one
    }
    written
}

/// Rows and bytes of the file.
fn fill(
    path: &Path,
    schema: &SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch>>,
    watermark: Option<i64>,
) -> Result<(u64, u64)> {
    let words = watermark.map(|micros| vec![KeyValue::new(WATERMARK.to_owned(), micros.to_string())]);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_key_value_metadata(words)
        .build();
    let file = File::create(path).map_err(|e| Error::io(path, e))?;
    let out = BufWriter::with_capacity(1 << 18, file);
    let fault = |e: datafusion::parquet::errors::ParquetError| failed(path, e.into());
    let mut writer = ArrowWriter::try_new(out, Arc::clone(schema), Some(properties)).map_err(fault)?;
    let mut rows = 0;
    for batch in batches {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        writer.write(&batch).map_err(fault)?;
    }
    let mut out = writer.into_inner().map_err(fault)?;
    out.flush().map_err(|e| Error::io(path, e))?;
    let file = out.into_inner().map_err(|e| Error::io(path, e.into_error()))?;
    file.sync_all().map_err(|e| Error::io(path, e))?;
    let bytes = file.metadata().map_err(|e| Error::io(path, e))?.len();
    match rows {
        0 => Err(Error::Internal("a segment without rows".to_owned())),
        rows => Ok((rows, bytes)),
    }
}

/// One file in the place of several that follow one another; those stay until they are removed.
pub(crate) fn join(folder: &Path, parts: &[Segment], schema: &SchemaRef) -> Result<Segment> {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return Err(Error::Internal("no segments to join".to_owned()));
    };
    let watermark = watermark(&last.path)?;
    let rows = parts.iter().flat_map(|part| match batches(&part.path, schema) {
        Ok(batches) => Box::new(batches) as Box<dyn Iterator<Item = Result<RecordBatch>>>,
        Err(error) => Box::new(std::iter::once(Err(error))),
    });
    let joined = write(folder, first.first, schema, rows, watermark)?;
    match joined.last == last.last {
        true => Ok(joined),
        // Its name would be a lie; the parts still count.
        false => {
            let _ = fs::remove_file(&joined.path);
            Err(Error::corrupt(&last.path, "the numbers of its rows are not those of its name"))
        }
    }
}

/// The rows of a file with these columns, those that it lacks without values.
fn batches(path: &Path, schema: &SchemaRef) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<>> {
    let (path, schema) = (path.to_owned(), Arc::clone(schema));
    let file = File::open(&path).map_err(|e| Error::io(&path, e))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build());
    let reader = reader.map_err(|e| Error::corrupt(&path, e.to_string()))?;
    Ok(reader.map(move |found| {
        let found = found.map_err(|e| Error::corrupt(&path, e.to_string()))?;
        let column = |field: &Arc<arrow::datatypes::Field>| -> ArrayRef {
            let array = found.column_by_name(field.name());
            array.map_or_else(|| new_null_array(field.data_type(), found.num_rows()), Arc::clone)
        };
        batch(&schema, schema.fields().iter().map(column).collect(), found.num_rows())
    }))
}

/// The latest point in time that counted when this file was written.
pub(crate) fn watermark(path: &Path) -> Result<Option<i64>> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let reader = SerializedFileReader::new(file)
        .map_err(|e| Error::corrupt(path, format!("the segment was cut off or changed ({e}); move it away")))?;
    let words = reader.metadata().file_metadata().key_value_metadata();
    let word = words.and_then(|words| words.iter().find(|word| word.key == WATERMARK));
    Ok(word.and_then(|word| word.value.as_deref()?.parse().ok()))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    match cfg!(unix) {
        true => File::open(folder).and_then(|file| file.sync_all()).map_err(|e| Error::io(folder, e)),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_wider_file_no_longer_counts() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "segment-000000000001-000000000010.parquet",
            "segment-000000000001-000000000004.parquet",
            "segment-000000000005-000000000010.parquet",
            "segment-000000000011-000000000011.parquet",
            "segment-12-9.parquet",
            ".segment-12.tmp",
            "schema.json",
        ] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let listing = list(folder.path()).unwrap();
        let spans: Vec<_> = listing.live.iter().map(|segment| (segment.first, segment.last)).collect();
        assert_eq!(spans, [(1, 10), (11, 11)]);
        assert_eq!((listing.covered.len(), listing.unfinished.len()), (2, 1));
        assert!(list(&folder.path().join("none")).unwrap().live.is_empty());
    }
}
