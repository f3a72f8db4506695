//! `tidemill models`, `promote`, `rollback`: the versions, best first, and which one is served.

use serde_json::json;
use store::Version;

use crate::cli::{Common, Models, Promote, Rollback};
use crate::failure::Result;
use crate::pipeline::CrossValidation;
use crate::terminal::{Terminal, bytes, table};

/// Lists the versions as a leaderboard, with why a run failed.
pub fn models(common: &Common, args: &Models, terminal: &Terminal) -> Result<()> {
    let project = super::load(common)?;
    if let Some(name) = &args.model {
        project.model(name)?;
    }
    let store = super::open_to_read(&project)?;
    let names: Vec<&str> = match &args.model {
        Some(name) => vec![name],
        None => project.models.iter().map(|model| model.name.as_str()).collect(),
    };
    let boards = names.iter().map(|name| store.leaderboard(name)).collect::<store::Result<Vec<_>>>()?;
    let head =
        ["model", "version", "", "metric", "validation", "folds", "test", "predict", "train", "size", "why it failed"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for board in &boards {
        rows.extend(board.versions.iter().map(line));
        rows.extend(board.failures.iter().map(failed));
    }
    terminal.result(if rows.len() == 1 {
        "no versions yet; train one: tidemill run\n".to_owned()
    } else {
        table(&rows)
    });
    terminal.document(&json!({
        "models": boards.iter().flat_map(|board| &board.versions).collect::<Vec<_>>(),
        "failures": boards.iter().flat_map(|board| &board.failures).collect::<Vec<_>>(),
    }));
    Ok(())
}

fn line(version: &Version) -> Vec<String> {
    let score = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
    vec![
        version.model.clone(),
        version.number.to_string(),
        if version.champion { "champion".to_owned() } else { String::new() },
        version.primary.name.replace('_', " "),
        score(version.primary.validation),
        over_folds(version),
        score(version.primary.test),
        format!("{:.1} µs", version.predict_microseconds_per_row),
        format!("{:.1} s", version.train_seconds),
        bytes(version.size_bytes),
        String::new(),
    ]
}

/// Mean and standard deviation of the metric over the folds of a cross-validation.
fn over_folds(version: &Version) -> String {
    let found = version.cross_validation.as_ref();
    let spread = found.and_then(|found| serde_json::from_value::<CrossValidation>(found.clone()).ok());
    let spread = spread.and_then(|found| found.metrics.get(&version.primary.name).copied());
    spread.map_or_else(|| "-".to_owned(), |spread| spread.to_string())
}

fn failed(failure: &store::Failure) -> Vec<String> {
    let dashes = std::iter::repeat_n("-".to_owned(), 7);
    let why = failure.why.lines().next().unwrap_or_default().to_owned();
    [failure.model.clone(), "-".to_owned(), "failed".to_owned()].into_iter().chain(dashes).chain([why]).collect()
}

/// Makes a version the champion.
pub fn promote(common: &Common, args: &Promote, terminal: &Terminal) -> Result<()> {
    let project = super::load(common)?;
    let champion = super::open(&project)?.promote(&args.model, args.version)?;
    announce(terminal, &args.model, champion.number);
    Ok(())
}

/// Makes the champion before this one the champion again.
pub fn rollback(common: &Common, args: &Rollback, terminal: &Terminal) -> Result<()> {
    let project = super::load(common)?;
    let champion = super::open(&project)?.rollback(&args.model)?;
    announce(terminal, &args.model, champion.number);
    Ok(())
}

fn announce(terminal: &Terminal, model: &str, champion: u32) {
    terminal.result(format!("champion of \"{model}\" is version {champion}"));
    terminal.document(&json!({ "model": model, "champion": champion }));
}
