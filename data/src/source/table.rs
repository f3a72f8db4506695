//! How does a reader become a table of the engine? It runs on a blocking thread behind a channel of two batches.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result as EngineResult;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};

use super::{Condition, Reader, Wanted, project};
use crate::engine::external;

/// Batches that wait for the engine: one being read while another is used.
const QUEUE_BATCHES_MAX: usize = 2;

/// A source as a table.
#[derive(Debug)]
pub(crate) struct ReadTable {
    reader: Arc<dyn Reader>,
}

impl ReadTable {
    pub(crate) fn new(reader: Arc<dyn Reader>) -> Self {
        Self { reader }
    }

    /// One reading of these columns; of the filters it heeds what the reader can make of them.
    pub(crate) fn plan(
        &self,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let columns = projection.cloned().unwrap_or_else(|| (0..self.schema().fields().len()).collect());
        let schema = project(self.reader.schema(), &columns).map_err(external)?;
        let conditions: Vec<Condition> = filters.iter().filter_map(|filter| self.condition(filter)).collect();
        // What is left out here is looked at again by the engine: a limit before that would take too few.
        let first = limit.filter(|_| filters.is_empty());
        let (reader, shown) = (Arc::clone(&self.reader), Arc::clone(&schema));
        let partition = Partition { reader, schema: shown, columns, conditions, limit: first };
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![Arc::new(partition)], None, [], false, limit)?))
    }

    /// What the reader can make of a filter.
    fn condition(&self, filter: &Expr) -> Option<Condition> {
        Condition::of(filter, self.reader.schema()).filter(|condition| self.reader.takes(condition))
    }
}

#[async_trait]
impl TableProvider for ReadTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.reader.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// The engine asks the rows again what a database has asked them: their ideas of equal texts may differ.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> EngineResult<Vec<TableProviderFilterPushDown>> {
        let answer = |filter: &&Expr| match self.condition(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        self.plan(projection, filters, limit)
    }
}

/// One reading of a source, with the columns that are needed.
struct Partition {
    reader: Arc<dyn Reader>,
    schema: SchemaRef,
    columns: Vec<usize>,
    conditions: Vec<Condition>,
    limit: Option<usize>,
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partition").field("columns", &self.columns.len()).finish()
    }
}

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), QUEUE_BATCHES_MAX);
        let (reader, queue) = (Arc::clone(&self.reader), builder.tx());
        let (columns, conditions, limit) = (self.columns.clone(), self.conditions.clone(), self.limit);
        builder.spawn_blocking(move || {
            let mut emit = |batch| match queue.blocking_send(Ok(batch)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()), // nobody reads any more
            };
            let wanted = Wanted { projection: &columns, conditions: &conditions, limit };
            reader.read_where(&wanted, &mut emit).map_err(external)
        });
        builder.build()
    }
}
