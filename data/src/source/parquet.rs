//! Parquet files. The engine itself reads those of this machine; packed ones are unpacked into temporary files first.
//! Those of folders with values and of other machines are read one after the other, each fetched when it is its turn.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use datafusion::prelude::SessionContext;
use tempfile::TempPath;

use super::files::{Files, Input, missing};
use super::many::{ManyFiles, ReadFile, check_same, guarded};
use super::packing::{Packing, packing, spool};
use super::{BATCH_ROWS, Emit, ReadTable, batch, open as open_packed, project, read_fully};
use crate::error::{Error, Result};
use crate::spec::ParquetSpec;

/// How a Parquet file begins and ends.
pub(crate) const MAGIC: &[u8; 4] = b"PAR1";
/// How the files of a folder or an archive end that are read.
const ENDINGS: [&str; 2] = ["parquet", "pq"];

/// A table of Parquet files, and the temporary files that must live as long as it is read.
pub(crate) async fn open(
    spec: &ParquetSpec,
    base: &Path,
    session: &SessionContext,
    disk_bytes_max: u64,
) -> Result<(Arc<dyn TableProvider>, Vec<TempPath>)> {
    let (spec, base) = (spec.clone(), base.to_owned());
    let found = tokio::task::spawn_blocking(move || find(&spec, &base, disk_bytes_max)).await;
    match found.map_err(|e| Error::internal("a thread that looked at a source died", e))?? {
        Found::Here { paths, unpacked } => Ok((table(&paths, session).await?, unpacked)),
        Found::Many(reader) => Ok((Arc::new(ReadTable::new(Arc::new(reader))), Vec::new())),
    }
}

/// How the files of a source are read.
enum Found {
    /// By the engine: what each is called, and where it can be read.
    Here { paths: Vec<(PathBuf, PathBuf)>, unpacked: Vec<TempPath> },
    /// By ourselves.
    Many(ManyFiles<ParquetReader>),
}

fn find(spec: &ParquetSpec, base: &Path, disk_bytes_max: u64) -> Result<Found> {
    let files = Files::find(base, &spec.path, spec.store.as_ref(), &ENDINGS)?;
    let is_far = files.inputs.iter().any(|input| input.is_there());
    if is_far || !files.folders.fields().is_empty() {
        return Ok(Found::Many(ParquetReader::open(files, disk_bytes_max)?));
    }
    let (mut unpacked, mut paths, mut rows) = (Vec::new(), Vec::new(), 0);
    for input in &files.inputs {
        let (readable, copy) = readable(input, disk_bytes_max)?;
        rows += check(input, &readable)?;
        unpacked.extend(copy);
        paths.push((input.to_path_buf(), readable));
    }
    match rows {
        0 => Err(Error::invalid(format!("{} has no rows", base.join(&spec.path).display()))),
        _ => Ok(Found::Here { paths, unpacked }),
    }
}

/// Where a file can be read from any place, and the copy that this needed.
fn readable(input: &Input, disk_bytes_max: u64) -> Result<(PathBuf, Option<TempPath>)> {
    if input.is_here() && packing(input) == Packing::Plain {
        return Ok((input.to_path_buf(), None));
    }
    let copy = spool(input, open_packed(input)?, disk_bytes_max, ".parquet")?;
    Ok((copy.to_path_buf(), Some(copy)))
}

/// Files of folders with values, or of other machines.
#[derive(Debug)]
struct ParquetReader {
    /// The file that the others have to be like.
    first: PathBuf,
    disk_bytes_max: u64,
    schema: SchemaRef,
}

impl ParquetReader {
    fn open(files: Files, disk_bytes_max: u64) -> Result<ManyFiles<Self>> {
        let mut known = None;
        files.look(|file| {
            let (readable, _copy) = readable(file, disk_bytes_max)?;
            let schema = Arc::clone(builder(file, &readable)?.schema());
            known = Some(Self { first: file.to_path_buf(), disk_bytes_max, schema });
            Ok(ControlFlow::Break(()))
        })?;
        let known = known.ok_or_else(|| Error::Internal("a Parquet source of no files".to_owned()))?;
        Ok(ManyFiles::new(known, files))
    }
}

impl ReadFile for ParquetReader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn read_file(&self, file: &Input, projection: &[usize], emit: &mut Emit) -> Result<ControlFlow<()>> {
        let schema = project(&self.schema, projection)?;
        let (readable, _copy) = readable(file, self.disk_bytes_max)?;
        let builder = builder(file, &readable)?;
        check_same(&self.schema, builder.schema(), file, &self.first)?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), projection.iter().copied());
        let mut in_order = projection.to_vec();
        in_order.sort_unstable();
        let corrupt = |e: &dyn std::fmt::Display| Error::corrupt(file, format!("the Parquet file was changed ({e})"));
        let mut rows = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(|e| corrupt(&e))?;
        while let Some(all) = guarded(file, || rows.next().transpose().map_err(|e| corrupt(&e)))? {
            let column = |column| in_order.binary_search(column).ok().map(|at| Arc::clone(all.column(at)));
            let columns: Option<Vec<_>> = projection.iter().map(column).collect();
            let columns = columns.ok_or_else(|| Error::Internal("a Parquet file gave too few columns".to_owned()))?;
            if emit(batch(&schema, columns, all.num_rows())?).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn builder(file: &Path, readable: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    check(file, readable)?;
    let bytes = File::open(readable).map_err(|e| missing(readable, e))?;
    ParquetRecordBatchReaderBuilder::try_new(bytes)
        .map_err(|e| Error::corrupt(file, format!("the Parquet file was cut off or changed ({e})")))
}

async fn table(paths: &[(PathBuf, PathBuf)], session: &SessionContext) -> Result<Arc<dyn TableProvider>> {
    let format = ParquetFormat::default().with_options(session.copied_table_options().parquet);
    let options = ListingOptions::new(Arc::new(format)).with_file_extension("");
    let mut schema: Option<SchemaRef> = None;
    let mut urls = Vec::with_capacity(paths.len());
    for (path, readable) in paths {
        let full = std::path::absolute(readable).map_err(|e| Error::io(path, e))?;
        let url = ListingTableUrl::parse(full.to_string_lossy()).map_err(|e| crate::engine::retell(&e, None))?;
        let found = options
            .infer_schema(&session.state(), &url)
            .await
            .map_err(|e| Error::corrupt(path, e.strip_backtrace()))?;
        match &schema {
            None => schema = Some(found),
            Some(expected) => check_same(expected, &found, path, &paths[0].0)?,
        }
        urls.push(url);
    }
    let schema = schema.ok_or_else(|| Error::Internal("a Parquet source of no files".to_owned()))?;
    let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options).with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config).map_err(|e| crate::engine::retell(&e, None))?))
}

/// Whether it is a whole Parquet file, and how many rows it has.
fn check(path: &Path, readable: &Path) -> Result<i64> {
    let mut file = File::open(readable).map_err(|e| missing(readable, e))?;
    let mut magic = [0; 4];
    let count = read_fully(&mut file, path, &mut magic)?;
    if count == 0 {
        return Err(Error::invalid(format!("{} is empty", path.display())));
    }
    if magic != *MAGIC {
        return Err(Error::invalid(format!("{} is no Parquet file", path.display())));
    }
    let reader = SerializedFileReader::new(file)
        .map_err(|e| Error::corrupt(path, format!("the Parquet file was cut off or changed ({e})")))?;
    Ok(reader.metadata().file_metadata().num_rows())
}
