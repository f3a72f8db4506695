//! `tidemill collect`: rows of streams into the data folder, until stopped or for a while.
//!
//! It does not take the data folder's lock but one of its own for each stream, so it works beside `tidemill serve` and `run`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use data::{Collected, Figures, Until};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::cli::{Collect, Common};
use crate::config::{NamedSource, Project, did_you_mean};
use crate::failure::{Failure, Fault, Result};
use crate::pipeline;
use crate::terminal::{Terminal, bytes, count, table};

/// Between two lines about what was collected so far.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Collects the named streams, or all. One that fails does not end the others; it ends in exit code 1.
pub fn collect(common: &Common, args: &Collect, terminal: &Terminal) -> Result<()> {
    let project = super::load(common)?;
    if let Some(period) = args.every {
        return super::schedule::schedule(&project, args, period, terminal);
    }
    let sources = chosen(&project, &args.sources)?;
    let runtime = pipeline::runtime()?;
    let stop = super::stop_flag(&runtime);
    let failed = runtime.block_on(all(&project, &sources, args, &stop, terminal));
    let Some(first) = failed.first() else { return Ok(()) };
    let all: Vec<&str> = failed.iter().map(|failure| failure.message.as_str()).collect();
    Err(Failure::new(first.fault, all.join("\nerror: ")).documented())
}

/// The sources of these names, or all that are collected.
fn chosen<'a>(project: &'a Project, names: &[String]) -> Result<Vec<&'a NamedSource>> {
    let is_collected = |source: &&NamedSource| source.spec.stream().is_some() && !source.spec.is_sent_to();
    if names.is_empty() {
        let all: Vec<&NamedSource> = project.sources.iter().filter(is_collected).collect();
        return match all.is_empty() {
            true => Err(Failure::input(
                "the project has no stream to collect; files and databases are read when asked, and snapshots of them taken \
                     with --every",
            )),
            false => Ok(all),
        };
    }
    let find = |name: &String| {
        let Some(source) = project.sources.iter().find(|source| source.name == *name) else {
            let near = did_you_mean(name, project.sources.iter().map(|source| source.name.as_str()));
            return Err(Failure::not_found(format!("no source \"{name}\"{near}")));
        };
        match source {
            source if is_collected(&source) => Ok(source),
            source if source.spec.is_sent_to() => {
                Err(Failure::input(format!("source \"{name}\": its rows are sent to tidemill serve")))
            }
            _ => Err(Failure::input(format!(
                "source \"{name}\" is no stream; it is read when asked, and snapshots of it taken with --every"
            ))),
        }
    };
    names.iter().map(find).collect()
}

/// Collects until the end; what failed.
async fn all(
    project: &Project,
    sources: &[&NamedSource],
    args: &Collect,
    stop: &Arc<AtomicBool>,
    terminal: &Terminal,
) -> Vec<Failure> {
    let mut running = JoinSet::new();
    let figures: Vec<Arc<Figures>> = sources.iter().map(|_| Arc::default()).collect();
    for (source, counted) in sources.iter().zip(&figures) {
        let (source, counted) = (NamedSource::clone(source), Arc::clone(counted));
        let (base, folder) = (project.folder.clone(), project.stream_folder(&source.name));
        let until = Until { stop: Arc::clone(stop), idle: args.until_idle };
        running.spawn(async move {
            let done = data::collect(&source.spec, &base, &folder, &until, &counted).await;
            done.map_err(|error| Failure::from(error).at(format!("source \"{}\"", source.name)))
        });
    }
    let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    terminal.note(format!("collecting {}; Ctrl-C ends it", names.join(", ")));
    let mut failed = Vec::new();
    let end = args.time.map(|time| tokio::time::Instant::now() + time);
    let mut ticks = tokio::time::interval(TOLD_EVERY);
    ticks.tick().await;
    loop {
        tokio::select! {
            done = running.join_next() => match done {
                None => break,
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(failure))) => {
                    if !running.is_empty() {
                        terminal.warning(&failure.message);
                    }
                    failed.push(failure);
                }
                Some(Err(died)) => failed.push(Failure::new(Fault::Ours, format!("a collector died: {died}"))),
            },
            _ = ticks.tick() => tell(terminal, &names, &figures),
            () = until(end), if !stop.load(Ordering::Relaxed) => stop.store(true, Ordering::Relaxed),
        }
    }
    let counted: Vec<Collected> = figures.iter().map(|figures| figures.read()).collect();
    terminal.result(describe(&names, &counted));
    terminal.document(&document(&names, &counted, &failed));
    failed
}

pub(super) async fn until(end: Option<tokio::time::Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

fn tell(terminal: &Terminal, names: &[&str], figures: &[Arc<Figures>]) {
    for (name, figures) in names.iter().zip(figures) {
        let counted = figures.read();
        match counted.trouble {
            Some(trouble) => terminal.warning(format!("{name}: {trouble}; trying again")),
            None => terminal.note(format!("{name}: {} rows", count(counted.rows))),
        }
    }
}

fn describe(names: &[&str], counted: &[Collected]) -> String {
    let head =
        ["source", "rows", "bytes", "segments", "kept aside", "late", "lost", "reconnects"].map(str::to_owned).to_vec();
    let line = |(name, counted): (&&str, &Collected)| {
        let figures = [counted.segments, counted.poison, counted.late, counted.lost, counted.reconnects].map(count);
        let mut line = vec![(*name).to_owned(), count(counted.rows), bytes(counted.bytes)];
        line.extend(figures);
        line
    };
    table(&std::iter::once(head).chain(names.iter().zip(counted).map(line)).collect::<Vec<_>>())
}

fn document(names: &[&str], counted: &[Collected], failed: &[Failure]) -> Value {
    let sources: serde_json::Map<String, Value> =
        names.iter().zip(counted).map(|(name, counted)| ((*name).to_owned(), json!(counted))).collect();
    json!({ "sources": sources, "errors": failed.iter().map(|failure| &failure.message).collect::<Vec<_>>() })
}

/// A time such as `500ms`, `90s`, `10m` or `2h`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("write a time such as 500ms, 90s, 10m or 2h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "write a time such as 90s".to_owned())?;
    number.checked_mul(factor).map(Duration::from_millis).ok_or_else(|| "the time is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, expected) in [("500ms", Some(500)), ("90s", Some(90_000)), ("2h", Some(7_200_000)), ("0s", Some(0))]
        {
            assert_eq!(time(text).ok().map(|time| time.as_millis()), expected, "{text}");
        }
        for text in ["", "5", "s", "1d", "-1s", "99999999999999999999h", "9999999999999999h"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
