//! Diff: what changed between two tables, snapshots or files?

use std::path::Path;

use data::{DiffRequest, DiffSide, Difference, Engine};

use crate::config::{Project, is_file};
use crate::failure::Result;

use super::collect::{check_table, engine};

/// Compares two sets of rows, each a snapshot, a table, a source or a file; with keys row by row too.
pub(crate) async fn diff(project: &Project, before: &str, after: &str, keys: &[String]) -> Result<Difference> {
    let names: Vec<&str> = [before, after].into_iter().filter(|name| project.has_table(name)).collect();
    let engine = engine(project, &names).await?;
    let tables =
        (table(project, &engine, before, "rows before").await?, table(project, &engine, after, "rows after").await?);
    let request = DiffRequest {
        engine: &engine,
        before: DiffSide { table: &tables.0, shown: before },
        after: DiffSide { table: &tables.1, shown: after },
        keys,
    };
    Ok(data::diff(&request).await?)
}

/// The name in the engine of a table or file; `of_file` is free for a file.
async fn table(project: &Project, engine: &Engine, name: &str, of_file: &str) -> Result<String> {
    if project.has_table(name) {
        return Ok(name.to_owned());
    }
    if !is_file(name) && !Path::new(name).exists() {
        check_table(project, name)?;
    }
    engine.add_source(of_file, &data::detect(Path::new(name))?, Path::new("")).await?;
    Ok(of_file.to_owned())
}
