//! Freeze: what a model learns from becomes a snapshot while it is collected, on a thread of its own.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use data::{Profiler, Rows, Sink, TableProfile};
use futures::StreamExt;
use serde_json::{Map, Value, json};
use store::{Snapshot, SnapshotSummary, StagedSnapshot, Store};

use crate::config::Project;
use crate::failure::{Failure, Fault, Result};

/// Batches that wait to be written.
const QUEUE_BATCHES_MAX: usize = 4;

/// Rows that are being frozen: each batch is profiled and written as it comes.
pub(crate) struct Freezing {
    staged: StagedSnapshot,
    queue: SyncSender<RecordBatch>,
    writer: JoinHandle<data::Result<TableProfile>>,
    schema: SchemaRef,
}

impl Freezing {
    /// Begins with rows of these columns.
    pub(crate) fn begin(store: &Store, schema: &SchemaRef) -> Result<Self> {
        let staged = store.stage_snapshot()?;
        let mut sink = Sink::create(&staged.path(), schema)?;
        let mut profiler = Profiler::new(schema);
        let (queue, batches) = sync_channel::<RecordBatch>(QUEUE_BATCHES_MAX);
        let work = move || {
            for batch in batches {
                profiler.update(&batch)?;
                sink.write(&batch)?;
            }
            sink.finish()?;
            Ok(profiler.finish())
        };
        let writer = std::thread::Builder::new().name("freeze".into()).spawn(work);
        let writer = writer.map_err(|e| Failure::new(Fault::Exhausted, format!("cannot start a thread: {e}")))?;
        Ok(Self { staged, queue, writer, schema: schema.clone() })
    }

    /// Adds rows. Where the writer failed [`Freezing::end`] says why.
    pub(crate) fn add(&self, batch: &RecordBatch) {
        let _ended = self.queue.send(batch.clone());
    }

    /// Makes the snapshot of `table`, whose rows `query` gave.
    pub(crate) fn end(self, project: &Project, table: &str, query: &str) -> Result<Snapshot> {
        drop(self.queue);
        let written = self.writer.join().map_err(|_| Failure::new(Fault::Ours, "the thread that froze rows died"))?;
        let profile = written?;
        let column = |field: &arrow::datatypes::FieldRef| {
            json!([field.name(), field.data_type().to_string(), field.is_nullable()])
        };
        let summary = SnapshotSummary {
            table: table.to_owned(),
            query: query.to_owned(),
            sources: came_from(project, table),
            columns: self.schema.fields().iter().map(column).collect(),
            rows: profile.rows,
            profile: json!(profile),
        };
        Ok(self.staged.commit(&summary)?)
    }
}

/// Freezes all rows of a table or source as they are now, in bounded memory.
pub(crate) async fn freeze(project: &Project, store: &Store, table: &str) -> Result<Snapshot> {
    let Rows { schema, mut batches } = super::rows_in_order(project, table, "").await?;
    let freezing = Freezing::begin(store, &schema)?;
    while let Some(batch) = batches.next().await {
        freezing.add(&batch?);
    }
    freezing.end(project, table, &super::collect::all_of(table, ""))
}

/// The sources and tables that a table is made of, as the project file shows them.
fn came_from(project: &Project, table: &str) -> Value {
    let (needs, shown) = (project.needs(&[table]), project.shown());
    let part = |section: &str, names: Vec<&String>| -> Value {
        names.into_iter().map(|name| (name.clone(), shown[section][name].clone())).collect::<Map<_, _>>().into()
    };
    let mut parts = json!({
        "sources": part("sources", needs.sources.iter().map(|source| &source.name).collect()),
        "tables": part("tables", needs.tables.iter().map(|table| &table.name).collect()),
    });
    if !needs.snapshots.is_empty() {
        let names = needs.snapshots.iter().map(|(table, number)| format!("{table}@{number}"));
        parts["snapshots"] = names.collect();
    }
    parts
}
