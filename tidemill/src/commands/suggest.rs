//! `tidemill audit --suggest`: expectations that the rows of tables keep, as a section for the project file.

use arrow::record_batch::RecordBatch;
use data::{ExpectationStatus, Profiler};
use futures::StreamExt;
use serde_json::json;
use tokio::runtime::Handle;

use crate::cli::{Audit, Common};
use crate::config::{Project, TableExpectations, expectations_yaml};
use crate::failure::{Failure, Fault, Result};
use crate::pipeline;
use crate::terminal::{Terminal, count};

/// Rows in which patterns of texts are looked for.
const SAMPLE_ROWS_MAX: usize = 20_000;

/// Prints expectations of these tables, or adds them to the project file.
pub(super) fn suggest(
    common: &Common,
    args: &Audit,
    project: &Project,
    tables: &[&str],
    runtime: &Handle,
    terminal: &Terminal,
) -> Result<()> {
    let mut found = Vec::new();
    for table in tables {
        let kept = runtime.block_on(kept_by(project, table))?;
        terminal.note(format!("table \"{table}\": {} expectations", count(kept.all.len() as u64)));
        found.push(kept);
    }
    found.retain(|expected| !expected.all.is_empty());
    if found.is_empty() {
        return Err(Failure::input("nothing to suggest: the tables have too few rows"));
    }
    let yaml = expectations_yaml(&found);
    if args.write {
        add(common, project, &yaml)?;
        terminal.result(format!("added to {}:\n{yaml}", project.file.display()));
    } else {
        terminal.result(format!("# For {}; change what you know better.\n{yaml}", project.file.display()));
    }
    let by_table: serde_json::Map<_, _> =
        found.iter().map(|expected| (expected.table.clone(), json!(expected.all))).collect();
    terminal.document(&json!({ "expectations": by_table, "yaml": yaml }));
    Ok(())
}

/// What a table suggests, without what its own rows do not keep.
async fn kept_by(project: &Project, table: &str) -> Result<TableExpectations> {
    let mut rows = pipeline::rows_in_order(project, table, "").await?;
    let mut profiler = Profiler::new(&rows.schema);
    let (mut sample, mut sampled): (Vec<RecordBatch>, usize) = (Vec::new(), 0);
    while let Some(batch) = rows.batches.next().await {
        let batch = batch?;
        profiler.update(&batch).map_err(data::Error::from)?;
        let room = (SAMPLE_ROWS_MAX - sampled).min(batch.num_rows());
        if room > 0 {
            sample.push(batch.slice(0, room));
            sampled += room;
        }
    }
    let all = data::suggest(&profiler.finish(), &sample);
    let suggested = TableExpectations { table: table.to_owned(), all };
    let results = pipeline::expect(project, &suggested, false).await?;
    let holds = results.iter().map(|result| result.status == ExpectationStatus::Passed);
    let all = suggested.all.iter().zip(holds).filter(|(_, holds)| *holds).map(|(check, _)| check.clone()).collect();
    Ok(TableExpectations { all, ..suggested })
}

/// Adds a section at the end of the project file, so that all that stands in it stays as it is.
fn add(common: &Common, project: &Project, yaml: &str) -> Result<()> {
    if !project.expectations.is_empty() {
        let message = format!(
            "{} has expectations already; run it without --write and add what is missing by hand",
            project.file.display()
        );
        return Err(Failure::new(Fault::Conflict, message));
    }
    let text = std::fs::read_to_string(&project.file).map_err(|e| Failure::io(&project.file, &e))?;
    let between = if text.ends_with('\n') { "\n" } else { "\n\n" };
    let text = format!("{text}{between}{yaml}");
    super::parse(&text, &project.file, &common.set).map_err(|failure| {
        let message =
            format!("the section cannot be added at the end of the file: {}; add it by hand", failure.message);
        Failure::new(Fault::Conflict, message)
    })?;
    Ok(store::write_atomic(&project.file, text.as_bytes())?)
}
