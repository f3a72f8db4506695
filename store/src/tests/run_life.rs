//! Runs from begin to end, resumed, interrupted, forgotten.

use std::fs;

use serde_json::json;

use super::{check_sound, names};
use crate::{Error, ErrorKind, RunId, RunOutcome, RunStatus, Store};

fn begin_with_checkpoint(store: &Store, model: &str) -> RunId {
    let run = store.begin_run(model, "train", &json!({"epochs": 3})).unwrap();
    fs::write(store.run_folder(run).unwrap().join("checkpoint"), "x").unwrap();
    run
}

fn check_kind<T: std::fmt::Debug>(outcome: Result<T, Error>, kind: ErrorKind) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
}

#[test]
fn epochs_grow_and_are_replaced_after_resuming() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let run = begin_with_checkpoint(&store, "digits");
    for epoch in 0..5 {
        store.record_epoch(run, epoch, &json!({"loss": epoch})).unwrap();
        let fresh = store.epochs(run, epoch).unwrap();
        assert_eq!(fresh.len(), 1);
        assert_eq!((fresh[0].epoch, &fresh[0].record), (epoch, &json!({"loss": epoch})));
    }
    store.finish_run(run, RunOutcome::Stopped).unwrap();
    check_kind(store.record_epoch(run, 5, &json!({})), ErrorKind::Conflict);
    assert_eq!(store.resume_run(run).unwrap().status, RunStatus::Running);
    check_kind(store.resume_run(run), ErrorKind::Conflict);
    store.record_epoch(run, 3, &json!({"loss": "again"})).unwrap();
    let epochs = store.epochs(run, 0).unwrap();
    assert_eq!(epochs.len(), 5);
    assert_eq!(epochs[3].record, json!({"loss": "again"}));
    assert!(store.epochs(run, 5).unwrap().is_empty());
    assert!(store.epochs(run, usize::MAX).unwrap().is_empty());
    let shown = store.run(run).unwrap();
    assert_eq!((shown.epochs, shown.kind.as_str(), shown.config), (5, "train", json!({"epochs": 3})));
}

#[test]
fn unknown_runs_and_oversized_records_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let nobody = RunId(99);
    check_kind(store.run(nobody), ErrorKind::NotFound);
    check_kind(store.epochs(nobody, 0), ErrorKind::NotFound);
    check_kind(store.run_folder(nobody), ErrorKind::NotFound);
    check_kind(store.resume_run(nobody), ErrorKind::NotFound);
    check_kind(store.record_epoch(nobody, 1, &json!({})), ErrorKind::NotFound);
    check_kind(store.finish_run(nobody, RunOutcome::Stopped), ErrorKind::NotFound);
    check_kind(store.record_failure("digits", Some(nobody), "why"), ErrorKind::NotFound);
    check_kind(store.begin_run("digits", "train", &json!("x".repeat(5 << 20))), ErrorKind::Invalid);
    let run = store.begin_run("digits", "train", &json!({})).unwrap();
    check_kind(store.record_epoch(run, 1, &json!("x".repeat(1 << 20))), ErrorKind::Invalid);
    check_kind(store.record_epoch(run, usize::MAX, &json!({})), ErrorKind::Invalid);
    store.finish_run(run, RunOutcome::Failed { why: "x".repeat(1 << 20) }).unwrap();
    assert_eq!(store.run(run).unwrap().why.unwrap().len(), 4_000);
}

#[test]
fn runs_of_a_dead_process_are_interrupted_and_resumable() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let saved = begin_with_checkpoint(&store, "digits");
    let unsaved = store.begin_run("digits", "train", &json!({})).unwrap();
    assert!(store.last_resumable("digits", "train").unwrap().is_none());
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.repairs().interrupted, [saved, unsaved]);
    let run = store.last_resumable("digits", "train").unwrap().unwrap();
    assert_eq!((run.id, run.status), (saved, RunStatus::Interrupted));
    assert!(store.last_resumable("cats", "train").unwrap().is_none());
    store.resume_run(saved).unwrap();
    store.finish_run(saved, RunOutcome::Succeeded { version: 1 }).unwrap();
    assert!(store.last_resumable("digits", "train").unwrap().is_none());
    check_sound(&store, "digits");
}

#[test]
fn checkpoints_go_when_no_longer_needed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let kept = || names(&store.folder().join("runs"));
    let other = begin_with_checkpoint(&store, "cats");
    let stopped: Vec<RunId> = (0..6)
        .map(|_| {
            let run = begin_with_checkpoint(&store, "digits");
            store.finish_run(run, RunOutcome::Stopped).unwrap();
            run
        })
        .collect();
    let failed = begin_with_checkpoint(&store, "digits");
    assert_eq!(kept(), [other, stopped[3], stopped[4], stopped[5], failed].map(|run| run.to_string()).into());
    store.finish_run(failed, RunOutcome::Failed { why: "loss is NaN".into() }).unwrap();
    assert_eq!(store.run(failed).unwrap().why.as_deref(), Some("loss is NaN"));
    assert_eq!(store.last_resumable("digits", "train").unwrap().unwrap().id, stopped[5]);
    let good = begin_with_checkpoint(&store, "digits");
    store.finish_run(good, RunOutcome::Succeeded { version: 1 }).unwrap();
    assert_eq!(kept(), [other.to_string()].into());
    assert!(store.last_resumable("digits", "train").unwrap().is_none());
    let newest: Vec<RunId> = store.runs(2).unwrap().iter().map(|run| run.id).collect();
    assert_eq!(newest, [good, failed]);
}

#[test]
fn old_runs_are_forgotten_but_those_of_versions() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let run = store.begin_run("digits", "train", &json!({})).unwrap();
    super::add(&store, "digits", Some(run), 0.5).unwrap();
    store.finish_run(run, RunOutcome::Succeeded { version: 1 }).unwrap();
    let plain = store.begin_run("digits", "train", &json!({})).unwrap();
    store.record_epoch(plain, 1, &json!({})).unwrap();
    store.finish_run(plain, RunOutcome::Failed { why: "x".into() }).unwrap();
    store
        .inner
        .write(|transaction| {
            let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100)
                       INSERT INTO runs (model, kind, config, status, started_unix_ms)
                       SELECT 'digits', 'train', '{}', 'failed', 0 FROM n";
            Ok(transaction.execute(sql, [])?)
        })
        .unwrap();
    store.begin_run("digits", "train", &json!({})).unwrap();
    check_kind(store.run(plain), ErrorKind::NotFound);
    assert_eq!(store.run(run).unwrap().version, Some(1));
    assert_eq!(store.runs(5_000).unwrap().len(), 1_000);
    let count =
        |sql: &str| store.inner.read(|connection| Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))?));
    assert_eq!(count("SELECT count(*) FROM runs").unwrap(), 1_001);
    assert_eq!(count("SELECT count(*) FROM epochs").unwrap(), 0);
}

#[test]
fn a_reader_reads_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    check_kind(Store::read_only(folder.path()), ErrorKind::NotFound);
    check_kind(Store::read_only(folder.path().join("missing")), ErrorKind::NotFound);
    let writer = Store::open(folder.path()).unwrap();
    let run = begin_with_checkpoint(&writer, "digits");
    let reader = Store::read_only(folder.path()).unwrap();
    writer.record_epoch(run, 1, &json!({"loss": 1})).unwrap();
    assert_eq!(reader.epochs(run, 0).unwrap().len(), 1);
    assert_eq!(reader.run_folder(run).unwrap(), writer.run_folder(run).unwrap());
    let refused = [
        reader.stage("digits").map(drop),
        reader.begin_run("digits", "train", &json!({})).map(drop),
        reader.record_epoch(run, 2, &json!({})),
        reader.finish_run(run, RunOutcome::Stopped),
        reader.resume_run(run).map(drop),
        reader.rollback("digits").map(drop),
        reader.promote("digits", 1).map(drop),
        reader.record_failure("digits", None, "why"),
    ];
    for outcome in refused {
        check_kind(outcome, ErrorKind::Conflict);
    }
    drop(writer);
    // Without a writer beside it too.
    assert_eq!(reader.run(run).unwrap().epochs, 1);
    assert_eq!(Store::read_only(folder.path()).unwrap().runs(9).unwrap().len(), 1);
}
