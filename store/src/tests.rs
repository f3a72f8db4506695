//! Tests that need more than one part: the registry as a whole, faults at every step, crashes, several processes.

mod crash;
mod disk_full;
pub(crate) mod faults;
mod registry;
mod run_life;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Map, json};

use crate::{PrimaryMetric, Result, RunId, RunStatus, Store, Version, VersionSummary, verify};

pub(crate) fn summary(run: Option<RunId>, score: f64) -> VersionSummary {
    let primary = PrimaryMetric {
        name: "accuracy".into(),
        higher_is_better: true,
        validation: Some(score),
        test: Some(score / 2.0),
    };
    VersionSummary {
        run,
        task: "multiclass".into(),
        primary,
        validation: json!({"accuracy": score, "log_loss": 0.25}),
        test: json!({"accuracy": score / 2.0}),
        cross_validation: (score > 0.5).then(|| json!({"folds": 5})),
        snapshots: Vec::new(),
        train_seconds: 1.5,
        predict_microseconds_per_row: 12.0,
        details: Map::from_iter([("seed".to_owned(), json!(7))]),
    }
}

/// Registers a version of three files, one of them in a folder.
fn add(store: &Store, model: &str, run: Option<RunId>, score: f64) -> Result<Version> {
    let staging = store.stage(model)?;
    fs::write(staging.path().join("model.onnx"), format!("onnx of {model} {score}")).unwrap();
    fs::write(staging.path().join("weights.safetensors"), vec![7; 5_000]).unwrap();
    fs::create_dir(staging.path().join("report")).unwrap();
    fs::write(staging.path().join("report").join("index.html"), "").unwrap();
    staging.commit(summary(run, score))
}

/// One run from its begin to its champion.
fn cycle(store: &Store, model: &str) -> Result<u32> {
    let run = store.begin_run(model, "train", &json!({"epochs": 1}))?;
    let checkpoint = store.run_folder(run)?.join("checkpoint");
    crate::write_atomic(checkpoint, b"weights so far")?;
    store.record_epoch(run, 1, &json!({"train_loss": 0.5}))?;
    let version = add(store, model, Some(run), 0.9)?;
    store.promote(model, version.number)?;
    store.finish_run(run, crate::RunOutcome::Succeeded { version: version.number })?;
    Ok(version.number)
}

/// What holds after every opening: rows and folders agree, all is whole, nothing is left over.
fn check_sound(store: &Store, model: &str) {
    let versions = store.versions(Some(model)).unwrap();
    let numbers: BTreeSet<u32> = versions.iter().map(|version| version.number).collect();
    assert_eq!(numbers, (1..=versions.len() as u32).collect(), "numbers have no gap and no double");
    let folders = names(&store.folder().join("models").join(model));
    assert_eq!(folders, numbers.iter().map(u32::to_string).collect(), "each folder has a row and each row a folder");
    for version in &versions {
        let manifest = verify(&version.folder).unwrap();
        assert_eq!((manifest.model.as_str(), manifest.version), (model, version.number));
        assert_eq!(version.size_bytes, manifest.size_bytes());
    }
    assert_eq!(store.champion(model).unwrap().is_some(), !versions.is_empty());
    assert_eq!(versions.iter().filter(|version| version.champion).count(), versions.len().min(1));
    assert!(names(&store.folder().join("staging")).is_empty(), "nothing is left in staging");
    let runs = store.runs(1_000).unwrap();
    assert!(runs.iter().all(|run| run.status != RunStatus::Running), "{runs:?}");
    let kept = runs.iter().filter(|run| matches!(run.status, RunStatus::Stopped | RunStatus::Interrupted));
    let kept: BTreeSet<String> = kept.map(|run| run.id.to_string()).collect();
    assert!(names(&store.folder().join("runs")).is_subset(&kept), "only runs that can go on keep checkpoints");
    let check: String = store
        .inner
        .read(|connection| Ok(connection.pragma_query_value(None, "integrity_check", |row| row.get(0))?))
        .unwrap();
    assert_eq!(check, "ok");
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = crate::files::entries(folder).unwrap();
    entries.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}
