//! Collect: the rows of a model, from its sources through SQL.

use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use data::{Engine, EngineSpec, ParquetSpec, Rows, SourceSpec, TableProfile};
use futures::StreamExt;
use learn::spec::SplitSpec;
use learn::{Drawn, Sample};
use store::Store;
use tokio::runtime::Handle;

use crate::config::{ModelSpec, NamedSource, Project, did_you_mean, snapshot_name};
use crate::failure::{Failure, Fault, Result};
use crate::terminal::{bytes, count};

use super::freeze::Freezing;
use super::prepare::columns_read;
use super::window::{order_by, windowed};

/// The rows of a model as they were collected.
#[derive(Clone)]
pub(crate) struct Tables {
    /// Rows to divide, or the training rows where test rows have a table of their own.
    pub main: Vec<RecordBatch>,
    /// What there is beyond `main`, where memory does not hold all rows.
    pub beyond: Option<Beyond>,
    /// Validation rows with a table of their own.
    pub validation: Option<Vec<RecordBatch>>,
    /// Test rows with a table of their own.
    pub test: Option<Vec<RecordBatch>>,
    /// Rows of the validation and test tables, where they have more than are held.
    held_out_rows: [Option<u64>; 2],
    /// The snapshots of these tables, where they were frozen.
    pub snapshots: Vec<Frozen>,
}

/// A table of which memory holds a sample.
#[derive(Clone)]
pub(crate) struct Beyond {
    /// Which rows it holds.
    pub drawn: Drawn,
    /// The Parquet file with all rows, where they were frozen.
    pub frozen: Option<PathBuf>,
}

impl Beyond {
    /// What is held, in words.
    pub(crate) fn describe(&self, spec: &ModelSpec) -> String {
        format!(
            "table \"{}\" has {} rows ({}), more than memory.rows_bytes_max allows: {} of them, drawn at random, are looked at",
            spec.table,
            count(self.drawn.rows),
            bytes(self.drawn.bytes),
            count(self.drawn.drawn),
        )
    }
}

/// The name of a snapshot, and what its file is known by.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Frozen {
    /// `table@number`.
    pub name: String,
    /// SHA-256 of the file.
    pub content: String,
}

impl From<store::Snapshot> for Frozen {
    fn from(snapshot: store::Snapshot) -> Self {
        Self { name: snapshot.name(), content: snapshot.content }
    }
}

/// Which snapshots a run learns from, in its folder.
const SNAPSHOTS_FILE: &str = "snapshots.json";

/// Writes down which snapshots a run learns from, so that it goes on with the same rows after a stop.
pub(super) fn keep_names(folder: &Path, snapshots: &[Frozen]) -> Result<()> {
    let path = folder.join(SNAPSHOTS_FILE);
    let text = serde_json::to_vec(snapshots);
    let text = text.map_err(|e| Failure::new(Fault::Ours, format!("{}: {e}", path.display())))?;
    Ok(store::write_atomic(&path, &text)?)
}

/// The model with the snapshots that a stopped run learned from in place of its tables; nothing where one of them is not
/// there any more.
pub(super) fn as_frozen(spec: &ModelSpec, folder: &Path, store: &Store) -> Option<ModelSpec> {
    let kept: Vec<Frozen> = serde_json::from_slice(&std::fs::read(folder.join(SNAPSHOTS_FILE)).ok()?).ok()?;
    let frozen = |table: &str| {
        let (of, number) = kept.iter().filter_map(|kept| snapshot_name(&kept.name)).find(|(of, _)| *of == table)?;
        store.snapshot(of, number).ok().map(|snapshot| snapshot.name())
    };
    let mut spec = spec.clone();
    let mut tables = vec![&mut spec.table];
    if let SplitSpec::Tables(split) = &mut spec.split {
        tables.push(&mut split.test);
        tables.extend(&mut split.validation);
    }
    for table in tables.into_iter().filter(|table| snapshot_name(table).is_none()) {
        *table = frozen(table)?;
    }
    Some(spec)
}

impl Tables {
    pub(super) fn describe(&self, spec: &ModelSpec) -> String {
        let rows = |batches: &[RecordBatch]| count(batches.iter().map(RecordBatch::num_rows).sum::<usize>() as u64);
        let all = self.beyond.as_ref().map_or_else(|| rows(&self.main), |beyond| count(beyond.drawn.rows));
        let columns = self.main.first().map_or(0, RecordBatch::num_columns);
        let mut text = format!("{all} rows of {columns} columns from \"{}\"", spec.table);
        let held_out = [("validation", &self.validation), ("test", &self.test)].into_iter().zip(self.held_out_rows);
        for ((name, batches), all) in held_out {
            let of = all.map(|all| format!(" of {} at random", count(all))).unwrap_or_default();
            if let Some(batches) = batches {
                text += &format!(", {}{of} for {name}", rows(batches));
            }
        }
        let frozen: Vec<&str> = self.snapshots.iter().map(|frozen| frozen.name.as_str()).collect();
        if !frozen.is_empty() {
            text += &format!("; frozen as {}", frozen.join(", "));
        }
        text
    }
}

/// Validation and test tables may hold this part of what the model's table may.
const HELD_OUT_SHARE: usize = 8;

/// The rows of the model's tables, as many as memory may hold; frozen on the way where there is a store for it.
pub(crate) fn collect(
    project: &Project,
    runtime: &Handle,
    spec: &ModelSpec,
    freeze_in: Option<&Store>,
) -> Result<Tables> {
    collect_of(project, runtime, spec, Wanted::Rows, freeze_in)
}

/// As [`collect`], but of the main table only what the features are fitted to, where the project file names it.
pub(crate) fn collect_to_fit(project: &Project, runtime: &Handle, spec: &ModelSpec) -> Result<Tables> {
    collect_of(project, runtime, spec, Wanted::Features, None)
}

/// What rows are collected for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// All that can be done with them.
    Rows,
    /// Features alone: other columns are left out, categories may be dictionaries.
    Features,
}

fn collect_of(
    project: &Project,
    runtime: &Handle,
    spec: &ModelSpec,
    wanted: Wanted,
    freeze_in: Option<&Store>,
) -> Result<Tables> {
    let for_features = wanted == Wanted::Features && spec.window.is_none();
    let columns = if for_features { columns_read(spec) } else { None };
    let mut snapshots = Vec::new();
    let bytes_max = rows_bytes_max(project);
    let mut fetch = |table: &str, bytes_max: usize| -> Result<(Vec<RecordBatch>, Option<Beyond>)> {
        let order = spec.window.as_ref().map(order_by).unwrap_or_default();
        // Windows are made of all rows of a series, so all are held.
        let bytes_max = if spec.window.is_some() { usize::MAX } else { bytes_max };
        let repeated = if for_features { spec.features.categories() } else { Vec::new() };
        let sample = Sample::new(&spec.target, bytes_max, spec.train.seed).with_repeated(repeated);
        let rows = runtime.block_on(rows_of(project, table, &order, columns.as_deref()))?;
        let (rows, beyond) =
            runtime.block_on(fetch(project, (table, &order), rows, sample, freeze_in, &mut snapshots))?;
        match &spec.window {
            Some(window) => Ok((windowed(window, table, &spec.target, rows)?, None)),
            None => Ok((rows, beyond)),
        }
    };
    let (main, beyond) = fetch(&spec.table, bytes_max)?;
    let mut held_out = |table: Option<&str>| {
        let found = table.map(|table| fetch(table, bytes_max / HELD_OUT_SHARE)).transpose()?;
        let (rows, beyond) = found.unzip();
        Ok::<_, Failure>((rows, beyond.flatten().map(|beyond| beyond.drawn.rows)))
    };
    let ((validation, validation_rows), (test, test_rows)) = match &spec.split {
        SplitSpec::Tables(tables) => (held_out(tables.validation.as_deref())?, held_out(Some(&tables.test))?),
        _ => Default::default(),
    };
    let held_out_rows = [validation_rows, test_rows];
    if let Some(store) = freeze_in {
        store.prune_snapshots(project.snapshots.unused_kept)?;
    }
    Ok(Tables { main, beyond, validation, test, held_out_rows, snapshots })
}

/// Bytes of rows that may be held: what the project says, or a quarter of the machine's memory. A power of two, so that the
/// same machine draws the same sample however busy it is.
pub(super) fn rows_bytes_max(project: &Project) -> usize {
    let of_machine = || crate::machine::memory_bytes().and_then(|bytes| (bytes / 4).checked_ilog2());
    let bytes = project.memory.rows_bytes_max.or_else(|| of_machine().map(|power| 1 << power));
    bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX)
}

/// The rows of a table that `sample` draws.
async fn fetch(
    project: &Project,
    (table, order): (&str, &str),
    mut rows: Rows,
    mut sample: Sample,
    freeze_in: Option<&Store>,
    snapshots: &mut Vec<Frozen>,
) -> Result<(Vec<RecordBatch>, Option<Beyond>)> {
    let known = snapshot_name(table); // frozen already
    let freezing = match (freeze_in, known) {
        (Some(store), None) => Some(Freezing::begin(store, &rows.schema)?),
        _ => None,
    };
    while let Some(batch) = rows.batches.next().await {
        let batch = batch?;
        if let Some(freezing) = &freezing {
            freezing.add(&batch);
        }
        sample.push(&batch)?;
    }
    let frozen = match (freezing, freeze_in, known) {
        (Some(freezing), ..) => Some(freezing.end(project, table, &all_of(table, order), &rows.versions)?),
        (None, Some(store), Some((table, number))) => Some(store.snapshot(table, number)?),
        _ => None,
    };
    let path = frozen.as_ref().map(|snapshot| snapshot.path.clone());
    snapshots.extend(frozen.map(Frozen::from));
    let (batches, drawn) = sample.finish();
    let beyond = (!drawn.is_all()).then_some(Beyond { drawn, frozen: path });
    Ok((batches, beyond))
}

/// The query for all rows of a table.
pub(super) fn all_of(table: &str, order_by: &str) -> String {
    format!("SELECT * FROM {}{order_by}", data::quoted(table))
}

/// The rows of a table or source of the project, as a stream; `order_by` is SQL, or empty for the order they come in.
pub(crate) async fn rows_in_order(project: &Project, table: &str, order_by: &str) -> Result<Rows> {
    rows_of(project, table, order_by, None).await
}

/// As [`rows_in_order`], but only of these columns where some are named.
pub(super) async fn rows_of(
    project: &Project,
    table: &str,
    order_by: &str,
    columns: Option<&[String]>,
) -> Result<Rows> {
    chosen(&engine(project, &[table]).await?, table, order_by, columns).await
}

/// The rows of a table of the engine: of these columns where they are named and all there, and no order is asked for.
pub(super) async fn chosen(engine: &Engine, table: &str, order_by: &str, columns: Option<&[String]>) -> Result<Rows> {
    if let Some(columns) = columns.filter(|_| order_by.is_empty()) {
        let schema = engine.schema(table).await?;
        // Whoever misses a column has something to say of all that are there.
        if columns.iter().all(|column| schema.column_with_name(column).is_some()) {
            let with_path = [columns, &[learn::PATH_COLUMN.to_owned()]].concat();
            return Ok(engine.rows_of(table, &with_path).await?);
        }
    }
    Ok(engine.query(&all_of(table, order_by)).await?)
}

/// The rows of a query over the project's tables and sources, as a stream.
pub(crate) async fn query(project: &Project, sql: &str) -> Result<Rows> {
    let names = crate::config::tables_read(sql);
    names.iter().try_for_each(|name| check_table(project, name))?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let spec = EngineSpec { threads_unordered: crate::machine::cores(), ..on_cluster(project) };
    Ok(engine_with(&spec, project, &names).await?.query(sql).await?)
}

/// The columns of a table or source of the project.
pub(crate) async fn columns_of(project: &Project, table: &str) -> Result<SchemaRef> {
    Ok(engine(project, &[table]).await?.schema(table).await?)
}

/// What is in the columns of a table or source of the project.
pub(crate) async fn profile(project: &Project, table: &str) -> Result<TableProfile> {
    Ok(engine_on_cluster(project, &[table]).await?.profile(table).await?)
}

/// As [`engine`], whose queries the project's cluster runs where it has one: rows come in any order.
pub(super) async fn engine_on_cluster(project: &Project, tables: &[&str]) -> Result<Engine> {
    engine_with(&on_cluster(project), project, tables).await
}

fn on_cluster(project: &Project) -> EngineSpec {
    let scheduler = project.cluster.scheduler.clone();
    let cluster = scheduler.map(|scheduler| data::ClusterSpec { scheduler, parts: project.cluster.parts });
    EngineSpec { cluster, ..in_order() }
}

/// Refuses a name that is no table and no source of the project.
pub(crate) fn check_table(project: &Project, name: &str) -> Result<()> {
    if project.has_table(name) {
        return Ok(());
    }
    let known = project.tables.iter().map(|table| &table.name).chain(project.sources.iter().map(|source| &source.name));
    let near = did_you_mean(name, known.clone().map(String::as_str));
    let known = known.map(String::as_str).collect::<Vec<_>>().join(", ");
    Err(Failure::not_found(format!("no table or source \"{name}\"{near}; there are: {known}")))
}

/// The engine with what these tables need, and nothing else: a broken source troubles only who reads it.
pub(crate) async fn engine(project: &Project, tables: &[&str]) -> Result<Engine> {
    engine_with(&in_order(), project, tables).await
}

/// Rows in the same order every time, on all cores where that allows it.
pub(super) fn in_order() -> EngineSpec {
    EngineSpec { threads_reading: crate::machine::cores(), ..EngineSpec::default() }
}

async fn engine_with(spec: &EngineSpec, project: &Project, tables: &[&str]) -> Result<Engine> {
    let mut engine = Engine::new(spec)?;
    super::functions::add(&mut engine, project)?;
    let needs = project.needs(tables);
    for source in needs.sources {
        add_source(&engine, project, source).await?;
    }
    for (table, number) in needs.snapshots {
        let snapshot = Store::read_only(&project.data_folder)?.snapshot(&table, number)?;
        let rows = SourceSpec::Parquet(ParquetSpec::new(snapshot.path.to_string_lossy()));
        engine.add_source(&snapshot.name(), &rows, &project.folder).await?;
    }
    for table in needs.tables {
        engine.add_table(&table.name, &table.sql).await?;
    }
    Ok(engine)
}

/// An engine with all sources and tables of the project, on all cores, and why some of them are not there.
pub(crate) async fn engine_of_all(project: &Project) -> Result<(Engine, Vec<Failure>)> {
    let spec = EngineSpec { threads: crate::machine::cores(), follows_versions: true, ..EngineSpec::default() };
    let mut engine = Engine::new(&spec)?;
    super::functions::add(&mut engine, project)?;
    let mut troubles = Vec::new();
    for source in &project.sources {
        troubles.extend(add_source(&engine, project, source).await.err());
    }
    for table in &project.tables {
        let added = engine.add_table(&table.name, &table.sql).await;
        troubles.extend(added.err().map(|error| Failure::from(error).at(format!("table \"{}\"", table.name))));
    }
    Ok((engine, troubles))
}

async fn add_source(engine: &Engine, project: &Project, source: &NamedSource) -> Result<()> {
    let (name, spec) = (&source.name, &source.spec);
    let added = match spec.stream() {
        Some(_) => engine.add_stream(name, spec, &project.stream_folder(name)).await,
        None => engine.add_source(name, spec, &project.folder).await,
    };
    added.map_err(|error| Failure::from(error).at(format!("source \"{}\"", source.name)))
}

/// A runtime for the SQL engine.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(crate::machine::cores())
        .thread_stack_size(crate::planner::STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Fault::Ours, format!("cannot start threads: {e}")))
}
