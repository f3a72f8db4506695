//! Freeze: what a model learns from becomes a snapshot while it is collected, on a thread of its own.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use data::{Profiler, Rows, Sink, TableProfile};
use futures::StreamExt;
use serde_json::{Map, Value, json};
use store::{Snapshot, SnapshotSummary, StagedSnapshot, Store};

use crate::config::Project;
use crate::failure::{Failure, Result};
use crate::terminal::{bytes, count};

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
                profiler.update(&batch).map_err(data::Error::from)?;
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

    /// Makes the snapshot of `table`, whose rows `query` gave; `versions` are those of its sources that have several.
    pub(crate) fn end(
        self,
        project: &Project,
        table: &str,
        query: &str,
        versions: &BTreeMap<String, u64>,
    ) -> Result<Snapshot> {
        let profile = self.writer.end()?;
        let column = |field: &arrow::datatypes::FieldRef| {
            json!([field.name(), field.data_type().to_string(), field.is_nullable()])
        };
        let summary = SnapshotSummary {
            table: table.to_owned(),
            query: query.to_owned(),
            sources: came_from(project, table, versions),
            columns: self.schema.fields().iter().map(column).collect(),
            rows: profile.rows,
            profile: json!(profile),
        };
        Ok(self.staged.commit(&summary)?)
    }
}

/// Freezes all rows of a table or source as they are now, in bounded memory.
pub(crate) async fn freeze(project: &Project, store: &Store, table: &str) -> Result<Snapshot> {
    let Rows { schema, mut batches, versions } = super::rows_in_order(project, table, "").await?;
    let freezing = Freezing::begin(store, &schema)?;
    while let Some(batch) = batches.next().await {
        freezing.add(&batch?);
    }
    freezing.end(project, table, &super::collect::all_of(table, ""), &versions)
}

/// A snapshot that was taken.
pub(crate) struct Taken {
    pub(crate) snapshot: Snapshot,
    /// Rows that came since the snapshot before; nothing where all were read.
    later: Option<u64>,
}

impl From<Snapshot> for Taken {
    fn from(snapshot: Snapshot) -> Self {
        Self { snapshot, later: None }
    }
}

impl Taken {
    pub(crate) fn describe(&self) -> String {
        let Snapshot { rows, bytes: size, .. } = &self.snapshot;
        let later = match self.later {
            None => String::new(),
            Some(0) => ", none of them new".to_owned(),
            Some(rows) => format!(", {} of them new", count(rows)),
        };
        format!("{}: {} rows{later}, {}", self.snapshot.name(), count(*rows), bytes(*size))
    }
}

/// Freezes the rows of the last snapshot and those that came since by the column of `snapshots.cursors`; all rows where there
/// is no snapshot yet, and the last one stays where nothing came.
pub(crate) async fn freeze_later(project: &Project, store: &Store, table: &str) -> Result<Taken> {
    let column = project.snapshots.cursors.get(table).ok_or_else(|| {
        Failure::input(format!(
            "\"{table}\" has no cursor; name the column that grows with every row in the project file: \
             snapshots: {{ cursors: {{ {table}: COLUMN }} }}"
        ))
    })?;
    let Some(last) = store.snapshots(Some(table))?.into_iter().next() else {
        super::collect::engine(project, &[table]).await?.cursor(table, table, column).await?; // it can be one
        return Ok(freeze(project, store, table).await?.into());
    };
    let name = last.name();
    let engine = super::collect::engine(project, &[table, &name]).await?;
    let cursor = engine.cursor(&name, &name, column).await?;
    let schema = same_columns(&engine.schema(&name).await?, &engine.schema(table).await?).map_err(|change| {
        Failure::input(format!(
            "{change} in \"{table}\" since {name}; take a whole snapshot once: tidemill data take {table}"
        ))
    })?;
    let mut later = engine.rows_beyond(table, &cursor).await?;
    let mut first = None;
    while let Some(batch) = later.batches.next().await {
        let batch = batch?;
        if batch.num_rows() > 0 {
            first = Some(batch);
            break;
        }
    }
    let Some(first) = first else { return Ok(Taken { snapshot: last, later: Some(0) }) };
    let freezing = Freezing::begin(store, &schema)?;
    let fit = |batch: RecordBatch| {
        RecordBatch::try_new(schema.clone(), batch.columns().to_vec())
            .map_err(|e| Failure::input(format!("rows of \"{table}\" do not fit those of {name}: {e}")))
    };
    let mut rows = engine.query(&super::collect::all_of(&name, "")).await?;
    while let Some(batch) = rows.batches.next().await {
        freezing.add(&fit(batch?)?);
    }
    let mut came = first.num_rows() as u64;
    freezing.add(&fit(first)?);
    while let Some(batch) = later.batches.next().await {
        let batch = batch?;
        came += batch.num_rows() as u64;
        freezing.add(&fit(batch)?);
    }
    let beyond = cursor.condition().map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
    let query =
        format!("{} UNION ALL {}{beyond}", super::collect::all_of(&name, ""), super::collect::all_of(table, ""));
    Ok(Taken { snapshot: freezing.end(project, table, &query, &later.versions)?, later: Some(came) })
}

/// The columns that old and new rows have, which are to be the same; what changed in words otherwise.
fn same_columns(old: &SchemaRef, new: &SchemaRef) -> Result<SchemaRef, String> {
    let missing = |of: &SchemaRef, other: &SchemaRef| {
        of.fields().iter().find(|field| other.field_with_name(field.name()).is_err()).map(|field| field.name().clone())
    };
    if let Some(gone) = missing(old, new) {
        return Err(format!("column \"{gone}\" is gone"));
    }
    if let Some(came) = missing(new, old) {
        return Err(format!("there is a new column \"{came}\""));
    }
    let mut fields = Vec::new();
    for (was, is) in old.fields().iter().zip(new.fields()) {
        if was.name() != is.name() {
            return Err("the columns stand in another order".to_owned());
        }
        if was.data_type() != is.data_type() {
            let (name, was, is) = (was.name(), was.data_type(), is.data_type());
            return Err(format!("column \"{name}\" has become {is} from {was}"));
        }
        fields.push(was.as_ref().clone().with_nullable(was.is_nullable() || is.is_nullable()));
    }
    Ok(std::sync::Arc::new(arrow::datatypes::Schema::new(fields)))
}

/// The sources and tables that a table is made of, as the project file shows them, and the versions that were read.
fn came_from(project: &Project, table: &str, versions: &BTreeMap<String, u64>) -> Value {
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
    if !versions.is_empty() {
        parts["versions"] = json!(versions);
    }
    parts
}
