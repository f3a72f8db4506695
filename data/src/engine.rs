//! stub
use std::path::Path;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use crate::{Error, Result, SourceSpec};

/// Limits of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSpec {
    /// Memory that sorting, joining and grouping may take before they go to disk, in bytes.
    pub memory_bytes_max: usize,
    /// Disk that they, and unpacked Parquet files, may take, in bytes.
    pub disk_bytes_max: u64,
    /// Parts that a query is divided into. With 1 the rows come in the same order every time, as a reproducible
    /// run needs; reading happens on threads of its own in any case.
    pub threads: usize,
}

impl Default for EngineSpec {
    fn default() -> Self {
        Self { memory_bytes_max: 1 << 30, disk_bytes_max: 16 << 30, threads: 1 }
    }
}

/// The rows that answer a query.
pub struct Rows {
    /// Columns of every batch.
    pub schema: SchemaRef,
    /// The rows, batch by batch.
    pub batches: BoxStream<'static, Result<RecordBatch>>,
}

impl Rows {
    /// All rows, in memory.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        while let Some(batch) = self.batches.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    }
}

/// Tables by name, and SQL over them.
pub struct Engine;
impl Engine {
    /// An engine without tables.
    pub fn new(spec: &EngineSpec) -> Result<Self> {
        let _ = spec;
        Ok(Self)
    }
    /// Makes a source known under a name.
    pub async fn add_source(&self, name: &str, source: &SourceSpec, base: &Path) -> Result<()> {
        let _ = (name, source, base);
        Err(Error::Unsupported("not there yet".into()))
    }
    /// Makes a query known under a name.
    pub async fn add_table(&self, name: &str, sql: &str) -> Result<()> {
        let _ = (name, sql);
        Err(Error::Unsupported("not there yet".into()))
    }
    /// Runs a query.
    pub async fn query(&self, sql: &str) -> Result<Rows> {
        Err(Error::Unsupported(sql.into()))
    }
    /// Columns of a table.
    pub async fn schema(&self, name: &str) -> Result<SchemaRef> {
        Err(Error::Unsupported(name.into()))
    }
}
