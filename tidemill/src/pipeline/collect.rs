//! Collect: the rows of a model, from its sources through SQL.

use arrow::record_batch::RecordBatch;
use data::{Engine, Rows};
use learn::spec::SplitSpec;
use tokio::runtime::Handle;

use crate::config::{ModelSpec, Project, did_you_mean};
use crate::failure::{Failure, Fault, Result};
use crate::terminal::count;

use super::window::{order_by, windowed};

/// The rows of a model as they were collected.
#[derive(Clone)]
pub(crate) struct Tables {
    /// Rows to divide, or the training rows where test rows have a table of their own.
    pub main: Vec<RecordBatch>,
    /// Validation rows with a table of their own.
    pub validation: Option<Vec<RecordBatch>>,
    /// Test rows with a table of their own.
    pub test: Option<Vec<RecordBatch>>,
}

impl Tables {
    pub(super) fn describe(&self, spec: &ModelSpec) -> String {
        let rows = |batches: &[RecordBatch]| count(batches.iter().map(RecordBatch::num_rows).sum::<usize>() as u64);
        let columns = self.main.first().map_or(0, RecordBatch::num_columns);
        let mut text = format!("{} rows of {columns} columns from \"{}\"", rows(&self.main), spec.table);
        for (name, batches) in [("validation", &self.validation), ("test", &self.test)] {
            if let Some(batches) = batches {
                text += &format!(", {} for {name}", rows(batches));
            }
        }
        text
    }
}

/// All rows of the model's tables, in memory.
pub(crate) fn collect(project: &Project, runtime: &Handle, spec: &ModelSpec) -> Result<Tables> {
    let fetch = |table: &str| -> Result<Vec<RecordBatch>> {
        let rows = runtime.block_on(async {
            let order = spec.window.as_ref().map(order_by).unwrap_or_default();
            let rows = rows_in_order(project, table, &order).await?;
            Ok::<_, Failure>(rows.collect().await?)
        })?;
        match &spec.window {
            Some(window) => windowed(window, table, &spec.target, rows),
            None => Ok(rows),
        }
    };
    let main = fetch(&spec.table)?;
    let (validation, test) = match &spec.split {
        SplitSpec::Tables(tables) => (tables.validation.as_deref().map(fetch).transpose()?, Some(fetch(&tables.test)?)),
        _ => (None, None),
    };
    Ok(Tables { main, validation, test })
}

/// The rows of a table or source of the project, as a stream; `order_by` is SQL, or empty for the order they come in.
pub(crate) async fn rows_in_order(project: &Project, table: &str, order_by: &str) -> Result<Rows> {
    let engine = engine(project, &[table]).await?;
    Ok(engine.query(&format!("SELECT * FROM \"{}\"{order_by}", table.replace('"', "\"\""))).await?)
}

/// The rows of a query over the project's tables and sources, as a stream.
pub(crate) async fn query(project: &Project, sql: &str) -> Result<Rows> {
    let names = crate::config::tables_read(sql);
    if let Some(unknown) = names.iter().find(|name| !project.has_table(name)) {
        let known =
            project.tables.iter().map(|table| &table.name).chain(project.sources.iter().map(|source| &source.name));
        let near = did_you_mean(unknown, known.clone().map(String::as_str));
        let known = known.map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(Failure::not_found(format!("no table or source \"{unknown}\"{near}; there are: {known}")));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Ok(engine(project, &names).await?.query(sql).await?)
}

/// The engine with what these tables need, and nothing else: a broken source troubles only who reads it.
pub(crate) async fn engine(project: &Project, tables: &[&str]) -> Result<Engine> {
    let engine = Engine::new(&data::EngineSpec::default())?;
    let needs = project.needs(tables);
    for source in needs.sources {
        let added = engine.add_source(&source.name, &source.spec, &project.folder).await;
        added.map_err(|error| Failure::from(error).at(format!("source \"{}\"", source.name)))?;
    }
    for table in needs.tables {
        engine.add_table(&table.name, &table.sql).await?;
    }
    Ok(engine)
}

/// A runtime for the SQL engine.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(crate::machine::cores())
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Fault::Ours, format!("cannot start threads: {e}")))
}
