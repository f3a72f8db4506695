//! The commands: one function each, called by `main`.

pub mod audit;
pub mod cluster;
pub mod collect;
mod create_model;
pub mod data;
mod diff;
pub mod features;
pub mod init;
pub mod models;
pub mod predict;
pub mod project;
pub mod report;
pub mod run;
pub(crate) mod schedule;
pub mod serve;
mod shell;
pub mod sql;
mod suggest;
pub mod tune;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use store::Store;

use crate::cli::Common;
use crate::config::{ModelSpec, Project};
use crate::failure::{Failure, Fault, Result};

/// The project of `-p`, with `--set` and the environment.
pub(crate) fn load(common: &Common) -> Result<Project> {
    load_from(&common.project, &common.set)
}

/// The project of this folder or file.
pub(crate) fn load_from(project: &Path, set: &[String]) -> Result<Project> {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the environment for the project file")]
    let environment = |name: &str| std::env::var(name).ok();
    Project::load(project, set, &environment).map_err(|errors| {
        let coloured = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let fault = if errors.is_usage() { Fault::Usage } else { Fault::Input };
        Failure::new(fault, if coloured { errors.coloured() } else { errors.to_string() })
    })
}

/// The project of this text, which is to stand in this file.
pub(crate) fn parse(text: &str, file: &Path, set: &[String]) -> Result<Project> {
    #[allow(clippy::disallowed_methods, reason = "the environment of the project file")]
    let environment = |name: &str| std::env::var(name).ok();
    Project::parse(text, file, set, &environment).map_err(|errors| Failure::input(errors.to_string()))
}

/// The project's name: that of its folder.
pub(crate) fn project_name(project: &Project) -> String {
    let folder = std::fs::canonicalize(&project.folder).unwrap_or_else(|_| project.folder.clone());
    folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The models of these names, or all.
pub(crate) fn chosen<'a>(project: &'a Project, names: &[String]) -> Result<Vec<&'a ModelSpec>> {
    if project.models.is_empty() {
        return Err(Failure::input("the project has no models; add one under \"models:\" in tidemill.yaml"));
    }
    if names.is_empty() {
        return Ok(project.models.iter().collect());
    }
    names.iter().map(|name| Ok(project.model(name)?)).collect()
}

/// The project's data folder, for writing: one process at a time.
pub(crate) fn open(project: &Project) -> Result<Store> {
    Ok(Store::open(&project.data_folder)?)
}

/// The project's data folder, for reading beside a writer.
pub(crate) fn open_to_read(project: &Project) -> Result<Store> {
    Ok(Store::read_only(&project.data_folder)?)
}

/// A flag that Ctrl-C and SIGTERM raise; a second Ctrl-C ends the process.
pub(crate) fn stop_flag(runtime: &tokio::runtime::Runtime) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&flag);
    runtime.spawn(async move {
        stop_signal().await;
        raised.store(true, Ordering::Relaxed);
    });
    flag
}

/// Returns at Ctrl-C or SIGTERM.
pub(crate) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _interrupted = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = terminate.recv() => (),
        _ = tokio::signal::ctrl_c() => (),
    }
}

/// This version of the model, or its champion.
pub(crate) fn version_or_champion(store: &Store, model: &str, version: Option<u32>) -> Result<store::Version> {
    match version {
        Some(number) => Ok(store.version(model, number)?),
        None => store.champion(model)?.ok_or_else(|| {
            Failure::not_found(format!("model \"{model}\" has no version yet; train one: tidemill run {model}"))
        }),
    }
}
