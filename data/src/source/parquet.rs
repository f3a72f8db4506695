//! Parquet files, which the engine reads itself. Packed ones are unpacked into temporary files first.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use datafusion::prelude::SessionContext;
use tempfile::{NamedTempFile, TempPath};

use super::files::{Packing, files, missing, packing};
use super::{open as open_packed, read_fully};
use crate::error::{Error, Result};
use crate::spec::ParquetSpec;

/// How a Parquet file begins and ends.
pub(crate) const MAGIC: &[u8; 4] = b"PAR1";

/// A table of Parquet files, and the temporary files that must live as long as it is read.
pub(crate) async fn open(
    spec: &ParquetSpec,
    base: &Path,
    session: &SessionContext,
    disk_bytes_max: u64,
) -> Result<(Arc<dyn TableProvider>, Vec<TempPath>)> {
    let mut unpacked = Vec::new();
    let mut paths: Vec<(PathBuf, PathBuf)> = Vec::new();
    for path in files(base, &spec.path)? {
        let readable = match packing(&path) {
            Packing::Plain => path.clone(),
            Packing::Gzip | Packing::Zstd => {
                let file = unpack(&path, disk_bytes_max)?;
                let readable = file.to_path_buf();
                unpacked.push(file);
                readable
            }
        };
        paths.push((path, readable));
    }
    let mut rows = 0;
    for (path, readable) in &paths {
        rows += check(path, readable)?;
    }
    if rows == 0 {
        return Err(Error::invalid(format!("{} has no rows", base.join(&spec.path).display())));
    }
    Ok((table(&paths, session).await?, unpacked))
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
            Some(expected) if expected.fields() == found.fields() => {}
            Some(_) => {
                return Err(Error::invalid(format!(
                    "{} has other columns than {}; files of one source must have the same columns and types",
                    path.display(),
                    paths[0].0.display()
                )));
            }
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

fn unpack(path: &Path, disk_bytes_max: u64) -> Result<TempPath> {
    let mut input = open_packed(path)?.take(disk_bytes_max);
    let mut output = NamedTempFile::with_suffix(".parquet").map_err(|e| Error::io(std::env::temp_dir(), e))?;
    let mut buffer = vec![0; 1 << 18];
    let mut total = 0;
    loop {
        let count = read_fully(&mut input, path, &mut buffer)?;
        if count == 0 {
            break;
        }
        total += count as u64;
        if total >= disk_bytes_max {
            return Err(Error::Exhausted(format!(
                "{} is larger than {} MB once unpacked; unpack it yourself",
                path.display(),
                disk_bytes_max >> 20
            )));
        }
        output.write_all(&buffer[..count]).map_err(|e| Error::io(output.path(), e))?;
    }
    Ok(output.into_temp_path())
}
