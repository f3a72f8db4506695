//! What was tried? The finished trials of a search, durable one by one, so that a killed search loses none of them.

use rusqlite::params;
use serde::Serialize;
use serde_json::Value;

use crate::database::{json_column, json_text, now_unix_ms};
use crate::runs::{RECORD_BYTES_MAX, check_running, find, shorten};
use crate::{Error, Result, RunId, Store};

/// Trials of a run that are listed.
const TRIALS_LISTED_MAX: i64 = 100_000;

/// A finished trial of a search.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// Its number in the search, as the caller counts.
    pub number: usize,
    /// How far it was taken: trials that are compared early and go on later have several.
    pub rung: usize,
    /// When it ended, milliseconds since 1970 UTC.
    pub finished_unix_ms: i64,
    /// What was tried.
    pub setting: Value,
    /// What it was worth; none for a trial that failed.
    pub score: Option<f64>,
    /// Why it failed.
    pub why: Option<String>,
    /// The caller's further facts.
    pub record: Value,
}

impl Store {
    /// Records a finished trial of a running run, durable; the same one again replaces it. A score that is not finite counts
    /// as none; the time is set here.
    ///
    /// # Errors
    /// `Invalid` for a record over 64 KiB, `NotFound`, `Conflict` when the run is not running, `Exhausted`.
    pub fn record_trial(&self, run: RunId, trial: &Trial) -> Result<()> {
        let setting = json_text("the trial's setting", &trial.setting, RECORD_BYTES_MAX)?;
        let record = json_text("the trial's record", &trial.record, RECORD_BYTES_MAX)?;
        let place =
            |number: usize| i64::try_from(number).map_err(|_| Error::Invalid(format!("trial {number} is too large")));
        let (number, rung) = (place(trial.number)?, place(trial.rung)?);
        let why = trial.why.as_deref().map(shorten);
        let score = trial.score.filter(|score| score.is_finite());
        self.inner.write(|transaction| {
            check_running(transaction, run)?;
            transaction.execute(
                "INSERT OR REPLACE INTO trials VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![run.0, number, rung, now_unix_ms(), setting, score, why, record],
            )?;
            Ok(())
        })
    }

    /// The finished trials of a run by number and rung; at most 100,000.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn trials(&self, run: RunId) -> Result<Vec<Trial>> {
        self.inner.read(|connection| {
            find(connection, run)?;
            let sql = "SELECT * FROM trials WHERE run = ?1 ORDER BY number, rung LIMIT ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![run.0, TRIALS_LISTED_MAX], |row| {
                let place = |name| row.get::<_, i64>(name).map(|number| usize::try_from(number).unwrap_or_default());
                Ok(Trial {
                    number: place("number")?,
                    rung: place("rung")?,
                    finished_unix_ms: row.get("finished_unix_ms")?,
                    setting: json_column(row, "setting")?,
                    score: row.get("score")?,
                    why: row.get("why")?,
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

    use super::*;
    use crate::{ErrorKind, RunOutcome};

    fn trial(number: usize, rung: usize, score: Option<f64>) -> Trial {
        let why = score.is_none().then(|| "it diverged".to_owned());
        let setting = json!({"train.epochs": number});
        Trial { number, rung, finished_unix_ms: 0, setting, score, why, record: json!({"seconds": 1.5}) }
    }

    #[test]
    fn finished_trials_survive_the_process_and_let_the_run_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let run = store.begin_run("digits", "tune", &json!({})).unwrap();
        assert!(store.trials(run).unwrap().is_empty());
        for (number, rung, score) in [(1, 0, Some(0.5)), (0, 0, None), (1, 1, Some(0.75)), (2, 0, Some(f64::NAN))] {
            store.record_trial(run, &trial(number, rung, score)).unwrap();
        }
        drop(store); // without an end, as by a kill
        let store = Store::open(folder.path()).unwrap();
        let found = store.trials(run).unwrap();
        let places: Vec<_> = found.iter().map(|trial| (trial.number, trial.rung, trial.score)).collect();
        assert_eq!(places, [(0, 0, None), (1, 0, Some(0.5)), (1, 1, Some(0.75)), (2, 0, None)]);
        assert_eq!(found[0].why.as_deref(), Some("it diverged"));
        assert_eq!((&found[1].setting, &found[1].record), (&json!({"train.epochs": 1}), &json!({"seconds": 1.5})));
        assert!(store.last_resumable("digits", "train").unwrap().is_none());
        assert_eq!(store.last_resumable("digits", "tune").unwrap().unwrap().id, run);
        assert_eq!(store.record_trial(run, &trial(3, 0, None)).unwrap_err().kind(), ErrorKind::Conflict);
        store.resume_run(run).unwrap();
        store.record_trial(run, &trial(0, 0, Some(0.25))).unwrap();
        assert_eq!(store.trials(run).unwrap()[0].score, Some(0.25));
        store.finish_run(run, RunOutcome::Done).unwrap();
        assert!(store.last_resumable("digits", "tune").unwrap().is_none());
        assert_eq!(store.run(run).unwrap().version, None);
        assert_eq!(store.trials(RunId(99)).unwrap_err().kind(), ErrorKind::NotFound);
        let large = Trial { record: json!("x".repeat(1 << 20)), ..trial(1, 0, None) };
        assert_eq!(store.record_trial(run, &large).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
