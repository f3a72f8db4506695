//! stub
use std::path::Path;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use crate::{Error, Result};
/// A file that rows are written to: CSV, JSON lines or Parquet by extension. Nothing is at its place before `finish`.
pub struct Sink;
impl Sink {
    /// A file for rows with these columns.
    pub fn create(path: &Path, schema: &SchemaRef) -> Result<Self> {
        let _ = schema;
        Err(Error::Unsupported(path.display().to_string()))
    }
    /// Adds rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let _ = batch;
        Ok(())
    }
    /// Puts the file at its place.
    pub fn finish(self) -> Result<()> {
        Ok(())
    }
}
