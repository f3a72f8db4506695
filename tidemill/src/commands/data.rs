//! `tidemill data`: the frozen rows that models learned from: list, show, compare, take, prune.

use data::TableProfile;
use serde_json::json;
use store::{Snapshot, Store};

use crate::cli::{Common, Data, DataAct};
use crate::config::{Project, snapshot_name};
use crate::failure::{Failure, Fault, Result};
use crate::pipeline;
use crate::terminal::{Terminal, bytes, count, table};

/// Characters of a content that are shown: enough to tell a few million of them apart.
const CONTENT_SHOWN: usize = 12;

/// Does what was asked with snapshots.
pub fn data(common: &Common, args: &Data, terminal: &Terminal) -> Result<()> {
    let project = super::load(common)?;
    match &args.act {
        DataAct::List { table } => list(&super::open_to_read(&project)?, table.as_deref(), terminal),
        DataAct::Show { snapshot } => show(&super::open_to_read(&project)?, snapshot, terminal),
        DataAct::Diff(args) => super::diff::diff(&project, args, terminal),
        DataAct::Take { tables, incremental } => take(&project, tables, *incremental, terminal),
        DataAct::Prune { keep } => prune(&project, *keep, terminal),
    }
}

fn list(store: &Store, of: Option<&str>, terminal: &Terminal) -> Result<()> {
    let snapshots = store.snapshots(of)?;
    let head = ["snapshot", "rows", "columns", "size", "taken", "content", "versions"];
    let line = |snapshot: &Snapshot| {
        let columns = snapshot.columns.as_array().map_or(0, Vec::len);
        let versions = snapshot.versions.iter().map(|(model, number)| format!("{model} {number}"));
        vec![
            snapshot.name(),
            count(snapshot.rows),
            columns.to_string(),
            bytes(snapshot.bytes),
            moment(snapshot.taken_unix_ms),
            snapshot.content[..CONTENT_SHOWN.min(snapshot.content.len())].to_owned(),
            versions.collect::<Vec<_>>().join(", "),
        ]
    };
    let lines: Vec<Vec<String>> =
        std::iter::once(head.map(str::to_owned).to_vec()).chain(snapshots.iter().map(line)).collect();
    terminal.result(match snapshots.is_empty() {
        true => "no snapshots yet; tidemill run makes them, tidemill data take TABLE too\n".to_owned(),
        false => table(&lines),
    });
    terminal.document(&json!({ "snapshots": snapshots }));
    Ok(())
}

fn show(store: &Store, name: &str, terminal: &Terminal) -> Result<()> {
    let snapshot = named(store, name)?;
    let profile = store.snapshot_profile(&snapshot)?;
    if terminal.json() {
        terminal.document(&json!({ "snapshot": snapshot, "profile": profile }));
        return Ok(());
    }
    let versions: Vec<String> =
        snapshot.versions.iter().map(|(model, number)| format!("version {number} of \"{model}\"")).collect();
    terminal.result(format!(
        "{}: {} rows, {}, taken {}\nquery: {}\nfile: {}\nlearned by: {}\nfrom: {:#}\n",
        snapshot.name(),
        count(snapshot.rows),
        bytes(snapshot.bytes),
        moment(snapshot.taken_unix_ms),
        snapshot.query,
        snapshot.path.display(),
        if versions.is_empty() { "no version".to_owned() } else { versions.join(", ") },
        snapshot.sources,
    ));
    let profile: TableProfile = serde_json::from_value(profile)
        .map_err(|e| Failure::new(Fault::Ours, format!("the profile of {name} cannot be read: {e}")))?;
    terminal.result(super::audit::columns(&profile));
    Ok(())
}

fn take(project: &Project, tables: &[String], is_incremental: bool, terminal: &Terminal) -> Result<()> {
    for name in tables {
        pipeline::check_table(project, name)?;
        if snapshot_name(name).is_some() {
            return Err(Failure::new(
                Fault::Usage,
                format!("\"{name}\" is a snapshot already; name a table or source"),
            ));
        }
    }
    let store = super::open(project)?;
    let runtime = pipeline::runtime()?;
    let mut taken = Vec::new();
    for name in tables {
        let frozen = match is_incremental {
            true => runtime.block_on(pipeline::freeze_later(project, &store, name))?,
            false => runtime.block_on(pipeline::freeze(project, &store, name))?.into(),
        };
        terminal.result(frozen.describe());
        taken.push(frozen.snapshot);
    }
    store.prune_snapshots(project.snapshots.unused_kept)?;
    terminal.document(&json!({ "snapshots": taken }));
    Ok(())
}

fn prune(project: &Project, keep: Option<usize>, terminal: &Terminal) -> Result<()> {
    let pruned = super::open(project)?.prune_snapshots(keep.unwrap_or(project.snapshots.unused_kept))?;
    terminal.result(match pruned.snapshots.as_slice() {
        [] => "nothing to take away".to_owned(),
        names => format!("{} taken away, {} free", names.join(", "), bytes(pruned.bytes)),
    });
    terminal.document(&pruned);
    Ok(())
}

/// The snapshot of this name.
fn named(store: &Store, name: &str) -> Result<Snapshot> {
    match snapshot_name(name) {
        Some((table, number)) => Ok(store.snapshot(table, number)?),
        None => Err(Failure::new(
            Fault::Usage,
            format!("\"{name}\" is no snapshot; write TABLE@NUMBER as tidemill data list shows it"),
        )),
    }
}

/// A point in time as people read it, UTC.
fn moment(unix_ms: i64) -> String {
    let moment = chrono::DateTime::from_timestamp_millis(unix_ms);
    moment.map_or_else(String::new, |moment| moment.format("%Y-%m-%d %H:%M:%S").to_string())
}
