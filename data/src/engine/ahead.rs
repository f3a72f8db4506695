//! How are the parts of a table's files read on several threads, and their rows still handed out in order?

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result as EngineResult;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::common::spawn_buffered;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, SendableRecordBatchStream};
use futures::{StreamExt, TryStreamExt};

use crate::source::BATCH_ROWS;

/// Bytes of a part of a file, about: a row group or a few.
const PART_BYTES: u64 = 64 << 20;
/// Bytes of the rows of a part that wait until those before them were handed out, as far as the types tell.
const AHEAD_BYTES_MAX: usize = 64 << 20;
/// Parts that are read at a time, at most: each holds rows in memory.
const PARTS_MAX: usize = 4;
/// Bytes of a value where its type does not tell.
const VALUE_BYTES: usize = 24;

/// The scan in parts, one after the other in the files; nothing where it has too little or cannot be divided.
pub(super) fn parts(
    plan: &Arc<dyn ExecutionPlan>,
    threads: usize,
    options: &ConfigOptions,
) -> EngineResult<Option<Arc<dyn ExecutionPlan>>> {
    let scan =
        plan.downcast_ref::<DataSourceExec>().and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>());
    let Some(scan) = scan.filter(|_| threads > 1) else { return Ok(None) };
    let files = scan.file_groups.iter().flat_map(|group| group.iter());
    let bytes: u64 = files.map(|file| file.effective_size()).sum();
    let parts = usize::try_from(bytes.div_ceil(PART_BYTES)).unwrap_or(usize::MAX);
    if parts < 2 {
        return Ok(None);
    }
    plan.repartitioned(parts, options)
}

/// The rows of all parts in order, the next parts read meanwhile.
pub(super) fn in_order(
    parts: Arc<dyn ExecutionPlan>,
    threads: usize,
    context: Arc<TaskContext>,
) -> EngineResult<SendableRecordBatchStream> {
    let schema = parts.schema();
    let batches = AHEAD_BYTES_MAX.div_ceil(batch_bytes(&schema));
    let count = parts.output_partitioning().partition_count();
    let begun = futures::stream::iter(0..count).map(move |part| {
        let rows = parts.execute(part, Arc::clone(&context)).map(|rows| spawn_buffered(rows, batches));
        std::future::ready(rows)
    });
    let rows = begun.buffered(threads.min(PARTS_MAX)).try_flatten();
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

fn batch_bytes(schema: &Schema) -> usize {
    let width = |kind: &arrow::datatypes::DataType| kind.primitive_width().unwrap_or(VALUE_BYTES);
    BATCH_ROWS * schema.fields().iter().map(|field| width(field.data_type())).sum::<usize>().max(1)
}
