//! How are the parts of a table's files read on several threads, and their rows still handed out in order?

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result as EngineResult;
use datafusion::execution::SessionState;
use datafusion::physical_plan::common::spawn_buffered;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, SendableRecordBatchStream};
use futures::{StreamExt, TryStreamExt};

use crate::source::BATCH_ROWS;

/// Bytes of a part of a file, about: a row group or a few. Their rows should fit into what may wait.
pub(super) const PART_BYTES: u64 = 32 << 20;
/// Bytes of the rows of a part that wait until those before them were handed out, as far as the types tell.
const AHEAD_BYTES_MAX: usize = 64 << 20;
/// Parts that are read at a time, at most: each holds rows in memory.
const PARTS_MAX: usize = 4;
/// Bytes of a value where its type does not tell.
const VALUE_BYTES: usize = 24;

/// The scan in parts of so many bytes, one after the other in the files; nothing where it has too little or cannot be divided.
pub(super) fn parts(plan: &Arc<dyn ExecutionPlan>, bytes: u64) -> EngineResult<Option<Arc<dyn ExecutionPlan>>> {
    let source = plan.downcast_ref::<DataSourceExec>();
    let Some(scan) = source.and_then(|source| source.data_source().downcast_ref::<FileScanConfig>()) else {
        return Ok(None);
    };
    let files = scan.file_groups.iter().flat_map(|group| group.iter());
    let parts = files.map(|file| file.effective_size()).sum::<u64>().div_ceil(bytes);
    if parts < 2 {
        return Ok(None);
    }
    let mut options = ConfigOptions::default();
    options.optimizer.repartition_file_min_size = 0; // that there is enough of it was settled here
    plan.repartitioned(usize::try_from(parts).unwrap_or(usize::MAX), &options)
}

/// The rows of all parts in order, the next parts read meanwhile.
pub(super) fn in_order(
    parts: Arc<dyn ExecutionPlan>,
    threads: usize,
    state: &SessionState,
) -> EngineResult<SendableRecordBatchStream> {
    let schema = parts.schema();
    let mut state = state.clone();
    // A part that is done would else read what belongs to another.
    state.config_mut().options_mut().execution.enable_file_stream_work_stealing = false;
    let context = state.task_ctx();
    let batches = AHEAD_BYTES_MAX.div_ceil(batch_bytes(&schema));
    let count = parts.output_partitioning().partition_count();
    let begun = futures::stream::iter(0..count).map(move |part| {
        let rows = parts.execute(part, Arc::clone(&context)).map(|rows| spawn_buffered(rows, batches));
        std::future::ready(rows)
    });
    // One more than threads: the first may have been read, and waits to be handed out.
    let rows = begun.buffered((threads + 1).min(PARTS_MAX)).try_flatten();
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

fn batch_bytes(schema: &Schema) -> usize {
    let width = |kind: &arrow::datatypes::DataType| kind.primitive_width().unwrap_or(VALUE_BYTES);
    BATCH_ROWS * schema.fields().iter().map(|field| width(field.data_type())).sum::<usize>().max(1)
}
