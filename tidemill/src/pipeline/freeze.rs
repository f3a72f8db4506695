//! Freeze: what a model learns from becomes a snapshot while it is collected, on a thread of its own.

use std::sync::mpsc::Receiver;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use data::{Profiler, Rows, Sink, TableProfile};
use futures::StreamExt;
use serde_json::{Map, Value, json};
use store::{Snapshot, SnapshotSummary, StagedSnapshot, Store};

use crate::config::Project;
use crate::failure::Result;

use super::writer::Writer;

/// Rows that are being frozen: each batch is profiled and written as it comes.
pub(crate) struct Freezing {
    staged: StagedSnapshot,
    writer: Writer<RecordBatch, TableProfile>,
    schema: SchemaRef,
}

impl Freezing {
    /// Begins with rows of these columns.
    pub(crate) fn begin(store: &Store, schema: &SchemaRef) -> Result<Self> {
        let staged = store.stage_snapshot()?;
        let mut sink = Sink::create(&staged.path(), schema)?;
        let mut profiler = Profiler::new(schema);
        let write = move |batches: Receiver<RecordBatch>| {
            for batch in batches {
                profiler.update(&batch)?;
                sink.write(&batch)?;
            }
            sink.finish()?;
            Ok(profiler.finish())
        };
        Ok(Self { staged, writer: Writer::begin(write)?, schema: schema.clone() })
    }

    /// Adds rows. Where the writer failed [`Freezing::end`] says why.
    pub(crate) fn add(&self, batch: &RecordBatch) {
        self.writer.add(batch.clone());
    }

    /// Makes the snapshot of `table`, whose rows `query` gave.
    pub(crate) fn end(self, project: &Project, table: &str, query: &str) -> Result<Snapshot> {
        let profile = self.writer.end()?;
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
