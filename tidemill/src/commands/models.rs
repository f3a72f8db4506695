//! `tidemill models`, `promote`, `rollback`: the versions, best first, and which one is served.

use serde_json::json;
use store::Version;

use crate::cli::{Common, Models, Promote, Rollback};
use crate::failure::Result;
use crate::terminal::{Terminal, bytes, table};

/// Lists the versions as a leaderboard, with why a run failed.
pub fn models(common: &Common, args: &Models, terminal: &Terminal) -> Result<()> {
    let project = super::load(common)?;
    if let Some(name) = &args.model {
        project.model(name)?;
    }
    let store = super::open_to_read(&project)?;
    let board = store.leaderboard(args.model.as_deref())?;
    let head = ["model", "version", "", "metric", "validation", "test", "predict", "train", "size", "why it failed"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(board.iter().map(line));
    terminal.result(if board.is_empty() { "no versions yet; train one: tidemill run\n".to_owned() } else { table(&rows) });
    terminal.document(&json!({ "models": board }));
    Ok(())
}

fn line(version: &Version) -> Vec<String> {
    vec![]
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
