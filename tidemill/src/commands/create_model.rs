//! `CREATE MODEL` in `tidemill sql`: a section of the project file, trained and registered as `tidemill run` would.
//!
//! The section is written once the model is there: a run that fails changes no file.

use data::{CreateModel, IfModelExists};
use serde_json::json;

use crate::cli::Common;
use crate::config::{Created, Project, created};
use crate::failure::{Failure, Fault, Result};
use crate::news::News;
use crate::pipeline::{self, Options, Place};
use crate::terminal::Terminal;

/// Trains the model that a statement asks for, and adds it to the project file.
pub(super) fn create(
    common: &Common,
    project: &Project,
    wanted: &CreateModel,
    runtime: &tokio::runtime::Runtime,
    terminal: &Terminal,
) -> Result<()> {
    let name = &wanted.name;
    match (project.models.iter().any(|model| model.name == *name), wanted.if_exists) {
        (true, IfModelExists::Refuse) => {
            let message = format!(
                "SQL, {}: there is a model \"{name}\" already; write CREATE OR REPLACE MODEL, or choose another name",
                wanted.place
            );
            return Err(Failure::new(Fault::Conflict, message));
        }
        (true, IfModelExists::Keep) => {
            terminal.result(format!("there is a model \"{name}\" already; nothing was done"));
            terminal.document(&json!({ "model": name, "created": false }));
            return Ok(());
        }
        _ => {}
    }
    let made = created(project, wanted).map_err(Failure::input)?;
    let (_, with_model) = added(common, project, &made)?;
    let spec = with_model.model(name)?;
    let store = super::open(&with_model)?;
    let stop = super::stop_flag(runtime);
    let place = Place { project: &with_model, store: &store, runtime: runtime.handle() };
    let promote = wanted.if_exists == IfModelExists::Replace; // the name is to mean the new one
    let mut news = News::new(terminal);
    let options = Options { promote, ..Options::new(&stop) };
    let done = pipeline::run(&place, spec, &options, &mut |progress| news.tell(&progress));
    let summary = done.map_err(|failure| match failure.fault {
        Fault::Stopped => Failure::new(Fault::Stopped, format!("stopped; {} stays as it was", project.file.display())),
        _ => failure,
    })?;
    let (text, _) = added(common, project, &made)?; // the file may have changed meanwhile
    store::write_atomic(&project.file, text.as_bytes())?;
    let sections = match made.table() {
        Some(table) => format!("tables.{table} and models.{name}"),
        None => format!("models.{name}"),
    };
    terminal.result(super::run::describe(name, &summary));
    terminal.result(format!("{sections} written to {}", project.file.display()));
    terminal.document(&json!({ "model": name, "created": true, "project_file": project.file, "run": summary }));
    Ok(())
}

/// The text of the project file with the model, and the project that it is. All else in it stays as it was.
fn added(common: &Common, project: &Project, made: &Created) -> Result<(String, Project)> {
    let file = &project.file;
    let by_hand = |why: String| {
        let message = format!(
            "the model cannot be added to {}: {why}; add it by hand and run tidemill run {}:\n{}",
            file.display(),
            made.name,
            made.yaml()
        );
        Failure::new(Fault::Conflict, message)
    };
    let text = std::fs::read_to_string(file).map_err(|e| Failure::io(file, &e))?;
    let before = super::parse(&text, file, &common.set)?;
    let text = made.added_to(&text).map_err(by_hand)?;
    let after = super::parse(&text, file, &common.set).map_err(|failure| {
        Failure::input(format!("the model that the statement asks for is wrong: {}", failure.message))
    })?;
    let keeps_others = before.sources == after.sources
        && before.expectations == after.expectations
        && before.models.iter().all(|model| model.name == made.name || after.models.contains(model))
        && before.tables.iter().all(|table| made.table() == Some(&table.name) || after.tables.contains(table))
        && after.models.iter().any(|model| model.name == made.name);
    match keeps_others {
        true => Ok((text, after)),
        false => Err(by_hand("something else in the file would change".to_owned())),
    }
}
