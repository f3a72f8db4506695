//! What did a search try? One row per finished trial, so that a search that was killed goes on after the last of them.

use rusqlite::params;
use serde_json::Value;

use crate::database::{json_column, json_text, now_unix_ms};
use crate::error::Fault;
use crate::{Error, Result, RunId, Store};

const RECORD_BYTES_MAX: usize = 256 << 10;
const TRIALS_LISTED_MAX: i64 = 100_000;

/// A finished trial of a search.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Trial {
    /// Its number, as the caller counts.
    pub number: usize,
    /// When it was recorded, milliseconds since 1970 UTC.
    pub recorded_unix_ms: i64,
    /// The caller's record: settings, score, why it failed.
    pub record: Value,
}

impl Store {
    /// Records a finished trial of a running run, durable; the same number again replaces it.
    ///
    /// # Errors
    /// `Invalid` for a record over 256 KiB, `NotFound`, `Conflict` when the run is not running, `Exhausted`.
    pub fn record_trial(&self, run: RunId, number: usize, record: &Value) -> Result<()> {
        let record = json_text("the trial's record", record, RECORD_BYTES_MAX)?;
        let number = i64::try_from(number).map_err(|_| Error::Invalid(format!("trial {number} is too large")))?;
        self.inner.write(|transaction| {
            crate::runs::check_running(transaction, run)?;
            transaction.execute(
                "INSERT INTO trials (run, number, recorded_unix_ms, record) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET recorded_unix_ms = excluded.recorded_unix_ms, record = excluded.record",
                params![run.0, number, now_unix_ms(), record],
            )?;
            Ok(())
        })
    }

    /// The finished trials of a run by their numbers, at most 100,000.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn trials(&self, run: RunId) -> Result<Vec<Trial>> {
        self.run(run)?;
        self.inner.read(|connection| -> Result<Vec<Trial>, Fault> {
            let mut statement = connection.prepare_cached(
                "SELECT number, recorded_unix_ms, record FROM trials WHERE run = ?1 ORDER BY number LIMIT ?2",
            )?;
            let rows = statement.query_map([run.0, TRIALS_LISTED_MAX], |row| {
                Ok(Trial {
                    number: usize::try_from(row.get::<_, i64>("number")?).unwrap_or_default(),
                    recorded_unix_ms: row.get("recorded_unix_ms")?,
                    record: json_column(row, "record")?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{ErrorKind, RunOutcome, Store};

    #[test]
    fn trials_outlive_a_kill_and_a_number_replaces_itself() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let run = store.begin_run("digits", "tune", &json!({})).unwrap();
        std::fs::write(store.run_folder(run).unwrap().join("search.json"), "{}").unwrap();
        store.record_trial(run, 2, &json!({ "score": 0.5 })).unwrap();
        store.record_trial(run, 1, &json!({ "score": 0.25 })).unwrap();
        store.record_trial(run, 2, &json!({ "score": 0.75 })).unwrap();
        drop(store); // the run was not finished: the next start finds it interrupted
        let store = Store::open(folder.path()).unwrap();
        let found = store.trials(run).unwrap();
        let scores: Vec<_> = found.iter().map(|trial| (trial.number, trial.record["score"].as_f64())).collect();
        assert_eq!(scores, [(1, Some(0.25)), (2, Some(0.75))]);
        assert_eq!(store.record_trial(run, 3, &json!({})).unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(store.last_resumable("digits", "train").unwrap(), None, "a search is no training");
        assert_eq!(store.last_resumable("digits", "tune").unwrap().unwrap().id, run);
        store.resume_run(run).unwrap();
        store.finish_run(run, RunOutcome::Done).unwrap();
        let run = store.run(run).unwrap();
        assert_eq!((run.status.name(), run.version), ("succeeded", None));
    }

    #[test]
    fn a_finished_search_leaves_a_stopped_training_its_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let training = store.begin_run("digits", "train", &json!({})).unwrap();
        std::fs::write(store.run_folder(training).unwrap().join("checkpoint"), "x").unwrap();
        store.finish_run(training, RunOutcome::Stopped).unwrap();
        let search = store.begin_run("digits", "tune", &json!({})).unwrap();
        store.finish_run(search, RunOutcome::Done).unwrap();
        assert_eq!(store.last_resumable("digits", "train").unwrap().unwrap().id, training);
    }
}
