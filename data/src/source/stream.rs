//! The rows of a stream that are durable: its Parquet segments, which the engine reads itself. Which there are is looked up
//! for every reading, so that a table that lives long shows what came meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Column;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::Result as EngineResult;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, TableProviderFilterPushDown, TableType, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::prelude::SessionContext;

use super::project;
use crate::engine::{external, retell};
use crate::error::{Error, Result};
use crate::spec::{SourceSpec, StreamSpec};
use crate::stream::{Known, SEQUENCE, given_columns, list, stored_schema};

/// Number of a row among those with the same key, the newest first.
const NEWEST: &str = "_newest_first";

/// A stream as a table: of rows with the same key the one that was stored last.
///
/// # Errors
/// A stream whose columns are not known yet; columns other than the stored ones.
pub(crate) async fn open(
    source: &SourceSpec,
    folder: &Path,
    session: &SessionContext,
) -> Result<Arc<dyn TableProvider>> {
    let Some(spec) = source.stream() else {
        return Err(Error::Internal("a source that is no stream".to_owned()));
    };
    let Some(columns) = Known::open(folder, spec, given_columns(source))?.columns() else {
        let how =
            if source.is_sent_to() { "send them to tidemill serve" } else { "collect them with tidemill collect" };
        return Err(Error::invalid(format!("there are no rows yet; {how}, or declare the columns")));
    };
    let table = Arc::new(StreamTable::new(folder.to_owned(), stored_schema(&columns, spec)));
    match spec.key.is_empty() {
        true => Ok(table),
        false => newest(table, spec, session).map_err(|e| retell(&e, None)),
    }
}

/// All rows of a stream.
#[derive(Debug)]
pub(crate) struct StreamTable {
    folder: PathBuf,
    schema: SchemaRef,
}

impl StreamTable {
    /// The segments in this folder, whose columns are known.
    pub(crate) fn new(folder: PathBuf, schema: SchemaRef) -> Self {
        Self { folder, schema }
    }

    /// Where the segments are.
    #[cfg(feature = "cluster")]
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

#[async_trait]
impl TableProvider for StreamTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Parts of files are left out by their statistics; the engine asks every row again.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> EngineResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let segments = list(&self.folder).map_err(external)?.live;
        if segments.is_empty() {
            let all: Vec<usize> = (0..self.schema.fields().len()).collect();
            let schema = project(&self.schema, projection.unwrap_or(&all)).map_err(external)?;
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let url = |path: &PathBuf| {
            let path = std::path::absolute(path).map_err(|e| external(Error::io(path, e)))?;
            ListingTableUrl::parse(path.to_string_lossy())
        };
        let urls = segments.iter().map(|segment| url(&segment.path)).collect::<EngineResult<Vec<_>>>()?;
        let format = ParquetFormat::default().with_options(session.default_table_options().parquet);
        let options = ListingOptions::new(Arc::new(format)).with_file_extension("");
        let config = ListingTableConfig::new_with_multi_paths(urls);
        let config = config.with_listing_options(options).with_schema(Arc::clone(&self.schema));
        ListingTable::try_new(config)?.scan(session, projection, filters, limit).await
    }
}

fn newest(
    table: Arc<StreamTable>,
    spec: &StreamSpec,
    session: &SessionContext,
) -> EngineResult<Arc<dyn TableProvider>> {
    let column = |name: &str| Expr::Column(Column::from_name(name));
    let names: Vec<String> = table.schema().fields().iter().map(|field| field.name().clone()).collect();
    let numbered = row_number()
        .partition_by(spec.key.iter().map(|name| column(name)).collect())
        .order_by(vec![column(SEQUENCE).sort(false, false)])
        .build()?
        .alias(NEWEST);
    let frame = session.read_table(table)?.window(vec![numbered])?;
    let frame = frame.filter(column(NEWEST).eq(lit(1_u64)))?;
    Ok(frame.select(names.iter().map(|name| column(name)))?.into_view())
}
