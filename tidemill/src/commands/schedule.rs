//! `tidemill collect --every`: snapshots of tables and sources on a schedule, until stopped or for a while.
//!
//! It holds the data folder's lock only while it takes snapshots, so that `tidemill run` works between.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::time::MissedTickBehavior;

use crate::cli::Collect;
use crate::config::{Project, snapshot_name};
use crate::failure::{Failure, Fault, Result};
use crate::pipeline;
use crate::terminal::{Terminal, count, table};

/// What became of a table or source.
#[derive(Debug, Default, Serialize)]
struct Kept {
    /// Rounds in which its snapshot was taken, or nothing had come.
    done: u64,
    /// Rounds in which it could not be, or its expectations did not hold.
    failed: u64,
    /// The newest snapshot that was taken.
    newest: Option<String>,
    /// Why the last round failed.
    trouble: Option<String>,
}

/// Takes snapshots until stopped. What fails is tried again in the next round; where the last one failed, exit code 1.
pub(super) fn schedule(project: &Project, args: &Collect, period: Duration, terminal: &Terminal) -> Result<()> {
    let names = chosen(project, &args.sources)?;
    let runtime = pipeline::runtime()?;
    let mut kept: BTreeMap<&str, Kept> = names.iter().map(|name| (*name, Kept::default())).collect();
    terminal.note(format!("snapshots of {} every {}; Ctrl-C ends it", names.join(", "), said(period)));
    runtime.block_on(async {
        let end = super::collect::until(args.time.map(|time| tokio::time::Instant::now() + time));
        tokio::select! {
            () = rounds(project, period, &mut kept, terminal) => (),
            () = super::stop_signal() => (),
            () = end => (),
        }
    });
    terminal.result(describe(&kept));
    terminal.document(&json!({ "snapshots": kept }));
    let troubles: Vec<&str> = kept.values().filter_map(|kept| kept.trouble.as_deref()).collect();
    match troubles.as_slice() {
        [] => Ok(()),
        troubles => Err(Failure::new(Fault::Input, troubles.join("\nerror: ")).documented()),
    }
}

/// The tables and sources of these names, or all sources that are read when asked.
fn chosen<'a>(project: &'a Project, names: &'a [String]) -> Result<Vec<&'a str>> {
    let is_stream = |name: &str| {
        let source = project.sources.iter().find(|source| source.name == name);
        source.is_some_and(|source| source.spec.stream().is_some())
    };
    if names.is_empty() {
        let sources = project.sources.iter().map(|source| source.name.as_str());
        let all: Vec<&str> = sources.filter(|name| !is_stream(name)).collect();
        return match all.is_empty() {
            true => Err(Failure::input(
                "the project has no source to take snapshots of; streams are collected without --every",
            )),
            false => Ok(all),
        };
    }
    let mut all: Vec<&str> = Vec::new();
    for name in names {
        pipeline::check_table(project, name)?;
        if snapshot_name(name).is_some() {
            return Err(Failure::new(
                Fault::Usage,
                format!("\"{name}\" is a snapshot already; name a table or source"),
            ));
        }
        if is_stream(name) {
            return Err(Failure::input(format!("source \"{name}\" is a stream; it is collected without --every")));
        }
        if !all.contains(&name.as_str()) {
            all.push(name);
        }
    }
    Ok(all)
}

/// One round after the other, for ever.
async fn rounds(project: &Project, period: Duration, kept: &mut BTreeMap<&str, Kept>, terminal: &Terminal) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip); // a slow round is followed by the next one in time
    loop {
        ticks.tick().await;
        for (name, kept) in kept.iter_mut() {
            match once(project, name, terminal).await {
                Ok(taken) => {
                    terminal.note(taken.describe());
                    kept.done += 1;
                    kept.newest = Some(taken.snapshot.name());
                    kept.trouble = None;
                }
                Err(failure) => {
                    let trouble = failure.at(format!("\"{name}\"")).message;
                    terminal.warning(&trouble);
                    kept.failed += 1;
                    kept.trouble = Some(trouble);
                }
            }
        }
    }
}

/// Checks what is expected of a table, and freezes it.
async fn once(project: &Project, name: &str, terminal: &Terminal) -> Result<pipeline::Taken> {
    for expected in pipeline::expectations_of(project, &[name]) {
        let results = pipeline::expect(project, expected, true).await?;
        for result in results.iter().filter(|result| result.status == data::ExpectationStatus::Warned) {
            terminal.warning(format!("table \"{}\": {}", expected.table, result.message()));
        }
        if let Some(failure) = pipeline::failed(&expected.table, &results) {
            return Err(failure);
        }
    }
    let store = super::open(project)?;
    let taken = match project.snapshots.cursors.contains_key(name) {
        true => pipeline::freeze_later(project, &store, name).await?,
        false => pipeline::freeze(project, &store, name).await?.into(),
    };
    store.prune_snapshots(project.snapshots.unused_kept)?;
    Ok(taken)
}

fn describe(kept: &BTreeMap<&str, Kept>) -> String {
    let head = ["source", "rounds", "failed", "newest"].map(str::to_owned).to_vec();
    let line = |(name, kept): (&&str, &Kept)| {
        vec![(*name).to_owned(), count(kept.done), count(kept.failed), kept.newest.clone().unwrap_or_default()]
    };
    table(&std::iter::once(head).chain(kept.iter().map(line)).collect::<Vec<_>>())
}

/// A time as it is written.
fn said(period: Duration) -> String {
    match period.as_secs() {
        0 => format!("{} ms", period.as_millis()),
        seconds if seconds.is_multiple_of(3_600) => format!("{} h", seconds / 3_600),
        seconds if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

/// A time between two rounds: as [`super::collect::time`], 100 ms at least.
pub(crate) fn period(text: &str) -> Result<Duration, String> {
    let period = super::collect::time(text)?;
    match period >= Duration::from_millis(100) {
        true => Ok(period),
        false => Err("rounds follow one another after 100ms at least".to_owned()),
    }
}
