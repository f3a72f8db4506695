//! Expect: do the tables and sources of a model keep what the project file promises of them?

use std::collections::BTreeMap;
use std::path::Path;

use data::{Engine, ExpectRequest, Expectation, ExpectationResult, ExpectationStatus};
use learn::spec::SplitSpec;
use store::Store;

use crate::config::{ModelSpec, Project, TableExpectations, is_file, tables_read};
use crate::failure::{Failure, Fault, Result};
use crate::terminal::count;

use super::collect::engine_on_cluster;
use super::{Place, Progress};

/// Failed expectations that a message names.
const SHOWN_MAX: usize = 5;

/// The tables and sources whose rows a model sees.
pub(crate) fn tables_of(spec: &ModelSpec) -> Vec<&str> {
    let mut tables = vec![spec.table.as_str()];
    if let SplitSpec::Tables(split) = &spec.split {
        tables.extend(split.validation.as_deref());
        tables.push(&split.test);
    }
    tables
}

/// The expectations of these tables and sources and of all that they read.
pub(crate) fn expectations_of<'a>(project: &'a Project, tables: &[&str]) -> Vec<&'a TableExpectations> {
    let needs = project.needs(tables);
    let mut names: Vec<&str> = needs.tables.iter().map(|table| table.name.as_str()).collect();
    names.extend(needs.sources.iter().map(|source| source.name.as_str()));
    project.expectations.iter().filter(|expected| names.contains(&expected.table.as_str())).collect()
}

/// Checks what has to hold for one table; failing rows go to `audit/TABLE` in the data folder where they are to be kept.
pub(crate) async fn expect(
    project: &Project,
    expected: &TableExpectations,
    keep_rows: bool,
) -> Result<Vec<ExpectationResult>> {
    let table = expected.table.as_str();
    let references = last_snapshots(project, expected)?;
    let names = names_read(expected, &references);
    let engine = engine_on_cluster(project, &names.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let references = with_files(project, expected, references, &engine).await?;
    let folder = project.data_folder.join("audit").join(table);
    if keep_rows {
        std::fs::create_dir_all(&folder).map_err(|e| Failure::io(&folder, &e))?;
    }
    let request = ExpectRequest {
        engine: &engine,
        table,
        all: &expected.all,
        references: &references,
        now_unix_ms: chrono::Utc::now().timestamp_millis(),
        folder: keep_rows.then_some(folder.as_path()),
    };
    let faults = data::expectation_faults(&request).await?;
    if !faults.is_empty() {
        let wrong = faults.into_iter().map(|fault| (expected.path(fault.index, &fault.key), fault.message)).collect();
        return Err(Failure::input(project.errors_at(wrong).to_string()));
    }
    data::expect(&request).await.map_err(|error| Failure::from(error).at(format!("expectations of \"{table}\"")))
}

/// What drift is measured against, by place: a table, or the newest snapshot; nothing where there is none.
fn last_snapshots(project: &Project, expected: &TableExpectations) -> Result<BTreeMap<usize, String>> {
    let mut references = BTreeMap::new();
    for (index, check) in expected.all.iter().enumerate() {
        let Expectation::Drift(drift) = check else { continue };
        match &drift.against {
            Some(against) if is_file(against) => {}
            Some(against) => {
                references.insert(index, against.clone());
            }
            None => references.extend(last_snapshot(project, &expected.table)?.map(|name| (index, name))),
        }
    }
    Ok(references)
}

fn last_snapshot(project: &Project, table: &str) -> Result<Option<String>> {
    match Store::read_only(&project.data_folder) {
        Ok(store) => Ok(store.snapshots(Some(table))?.first().map(store::Snapshot::name)),
        Err(error) if error.kind() == store::ErrorKind::NotFound => Ok(None), // nothing was run yet
        Err(error) => Err(error.into()),
    }
}

/// All tables that checking needs.
fn names_read(expected: &TableExpectations, references: &BTreeMap<usize, String>) -> Vec<String> {
    let mut names = vec![expected.table.clone()];
    names.extend(references.values().cloned());
    for check in &expected.all {
        match check {
            Expectation::ForeignKey(key) => names.push(key.table.clone()),
            Expectation::Sql(sql) => names.extend(tables_read(&sql.query)),
            _ => {}
        }
    }
    names
}

/// The files that drift is measured against, as tables of the engine.
async fn with_files(
    project: &Project,
    expected: &TableExpectations,
    mut references: BTreeMap<usize, String>,
    engine: &Engine,
) -> Result<BTreeMap<usize, String>> {
    for (index, check) in expected.all.iter().enumerate() {
        let Expectation::Drift(drift) = check else { continue };
        let Some(file) = drift.against.as_deref().filter(|against| is_file(against)) else { continue };
        let at = |error: data::Error| {
            let wrong = vec![(expected.path(index, "against"), error.to_string())];
            Failure { message: project.errors_at(wrong).to_string(), ..Failure::from(error) }
        };
        let source = data::detect(&project.folder.join(file)).map_err(at)?;
        let name = format!("against {index}");
        engine.add_source(&name, &source, Path::new("")).await.map_err(at)?;
        references.insert(index, name);
    }
    Ok(references)
}

/// Before a training: warns of what is only to be said, and refuses rows that do not keep what was promised.
pub(super) fn refuse(place: &Place, spec: &ModelSpec, on: &mut dyn FnMut(Progress)) -> Result<()> {
    for expected in expectations_of(place.project, &tables_of(spec)) {
        let results = place.runtime.block_on(expect(place.project, expected, true))?;
        let table = &expected.table;
        for result in &results {
            match result.status {
                ExpectationStatus::Warned => on(Progress::Warning(&format!("table \"{table}\": {}", result.message()))),
                ExpectationStatus::NotChecked => {
                    on(Progress::Note(&format!("  table \"{table}\": {}", result.message())))
                }
                ExpectationStatus::Passed | ExpectationStatus::Failed => {}
            }
        }
        if let Some(failure) = failed(table, &results) {
            return Err(failure);
        }
        on(Progress::Note(&format!("  {} expectations of \"{table}\" hold", count(results.len() as u64))));
    }
    Ok(())
}

/// The failure of a table that does not keep its expectations.
pub(crate) fn failed(table: &str, results: &[ExpectationResult]) -> Option<Failure> {
    let failed: Vec<String> = results
        .iter()
        .filter(|result| result.status == ExpectationStatus::Failed)
        .map(|result| format!("\n  {}", result.message()))
        .collect();
    if failed.is_empty() {
        return None;
    }
    let more = match failed.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        n => format!("\n  and {n} more; tidemill audit {table} shows all"),
    };
    let shown = failed[..failed.len().min(SHOWN_MAX)].concat();
    let message =
        format!("table \"{table}\" breaks {} of its {} expectations:{shown}{more}", failed.len(), results.len());
    Some(Failure::new(Fault::Input, message))
}
