//! What did we do? Runs, and their epochs while they go on.

use std::fmt;

use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::database::{json_column, json_text, now_unix_ms};
use crate::error::Fault;
use crate::{Error, Result, Store, check_model_name};

/// Runs of a model that are remembered; those of registered versions stay beyond it.
const RUNS_KEPT_PER_MODEL: i64 = 1_000;
const RUNS_LISTED_MAX: usize = 1_000;
const EPOCHS_LISTED_MAX: i64 = 10_000;
const CONFIG_BYTES_MAX: usize = 4 << 20;
const RECORD_BYTES_MAX: usize = 64 << 10;
const WHY_CHARS_MAX: usize = 4_000;

/// The number of a run, from 1, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub i64);

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Going on in the process that has the folder open.
    Running,
    /// Its process died; can be resumed if it had saved a checkpoint.
    Interrupted,
    /// Stopped by the user; can be resumed.
    Stopped,
    /// Ended well.
    Succeeded,
    /// Ended with an error.
    Failed,
}

impl RunStatus {
    /// The word in the database, the same as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Stopped => "stopped",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Running, Self::Interrupted, Self::Stopped, Self::Succeeded, Self::Failed]
            .into_iter()
            .find(|status| status.name() == name)
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunOutcome {
    /// It made this version; its checkpoints, and older ones of the model, are deleted.
    Succeeded {
        /// The version's number.
        version: u32,
    },
    /// It cannot go on; its checkpoints are deleted. (For a full disk use `Stopped`: it can go on later.)
    Failed {
        /// The error's message.
        why: String,
    },
    /// It ended well and made no version; its checkpoints are deleted.
    Done,
    /// It can go on from its checkpoint.
    Stopped,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// The model it trains.
    pub model: String,
    /// What it does, a word of the caller's, such as `train`.
    pub kind: String,
    /// The settings it began with.
    pub config: Value,
    /// Where it stands.
    pub status: RunStatus,
    /// The version it made.
    pub version: Option<u32>,
    /// Why it failed.
    pub why: Option<String>,
    /// When it began, milliseconds since 1970 UTC.
    pub started_unix_ms: i64,
    /// When it ended, milliseconds since 1970 UTC.
    pub finished_unix_ms: Option<i64>,
    /// How many epochs are recorded.
    pub epochs: usize,
}

/// What a run recorded of one epoch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Epoch {
    /// The epoch's number, as the caller counts.
    pub epoch: usize,
    /// When, milliseconds since 1970 UTC.
    pub recorded_unix_ms: i64,
    /// The caller's record.
    pub record: Value,
}

impl Store {
    /// Begins a run: status `running`, durable. Forgets the oldest runs and checkpoints of the model beyond the bounds.
    ///
    /// # Errors
    /// `Invalid` for a bad model name or settings over 4 MiB, `Exhausted` for a full disk.
    pub fn begin_run(&self, model: &str, kind: &str, config: &Value) -> Result<RunId> {
        check_model_name(model)?;
        let config = json_text("the run's config", config, CONFIG_BYTES_MAX)?;
        let id = self.inner.write(|transaction| {
            transaction.execute(
                "INSERT INTO runs (model, kind, config, status, started_unix_ms) VALUES (?1, ?2, ?3, 'running', ?4)",
                params![model, kind, config, now_unix_ms()],
            )?;
            let id = transaction.last_insert_rowid();
            forget_old_runs(transaction, model)?;
            Ok(RunId(id))
        })?;
        self.forget_old_checkpoints(model)?;
        Ok(id)
    }

    /// Sets a stopped or interrupted run going again; its epochs stay and are replaced one by one.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` when it is in another state.
    pub fn resume_run(&self, id: RunId) -> Result<Run> {
        self.inner.write(|transaction| {
            let changed = transaction.execute(
                "UPDATE runs SET status = 'running', why = NULL, finished_unix_ms = NULL
                 WHERE id = ?1 AND status IN ('stopped', 'interrupted')",
                [id.0],
            )?;
            let run = find(transaction, id)?;
            match changed {
                0 => Err(Fault::Ours(Error::Conflict(format!(
                    "run {id} of model \"{}\" is {}; only a stopped or interrupted run can be resumed",
                    run.model,
                    run.status.name()
                )))),
                _ => Ok(run),
            }
        })
    }

    /// Records an epoch of a running run, durable; the same epoch again (after resuming) replaces it.
    ///
    /// # Errors
    /// `Invalid` for a record over 64 KiB, `NotFound`, `Conflict` when the run is not running, `Exhausted`.
    pub fn record_epoch(&self, run: RunId, epoch: usize, record: &Value) -> Result<()> {
        let record = json_text("the epoch's record", record, RECORD_BYTES_MAX)?;
        let epoch = i64::try_from(epoch).map_err(|_| Error::Invalid(format!("epoch {epoch} is too large")))?;
        self.inner.write(|transaction| {
            check_running(transaction, run)?;
            transaction.execute(
                "INSERT INTO epochs (run, epoch, recorded_unix_ms, record) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET recorded_unix_ms = excluded.recorded_unix_ms, record = excluded.record",
                params![run.0, epoch, now_unix_ms(), record],
            )?;
            Ok(())
        })
    }

    /// Ends a running run. Checkpoints that are no longer needed are deleted after the end is durable.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when the run is not running, `Exhausted`.
    pub fn finish_run(&self, run: RunId, outcome: RunOutcome) -> Result<()> {
        let (status, version, why) = match outcome {
            RunOutcome::Succeeded { version } => (RunStatus::Succeeded, Some(version), None),
            RunOutcome::Done => (RunStatus::Succeeded, None, None),
            RunOutcome::Failed { why } => (RunStatus::Failed, None, Some(shorten(&why))),
            RunOutcome::Stopped => (RunStatus::Stopped, None, None),
        };
        self.inner.write(|transaction| {
            check_running(transaction, run)?;
            transaction.execute(
                "UPDATE runs SET status = ?2, version = ?3, why = ?4, finished_unix_ms = ?5 WHERE id = ?1",
                params![run.0, status.name(), version, why, now_unix_ms()],
            )?;
            Ok(())
        })?;
        match status {
            RunStatus::Succeeded => self.inner.sweep_run_folders(),
            RunStatus::Failed => {
                self.delete_checkpoints(run);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The newest `limit` runs (at most 1,000), newest first.
    pub fn runs(&self, limit: usize) -> Result<Vec<Run>> {
        self.inner.read(|connection| {
            let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY id DESC LIMIT ?1"))?;
            let rows = statement.query_map([limit.min(RUNS_LISTED_MAX) as i64], run_of)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// One run.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn run(&self, id: RunId) -> Result<Run> {
        self.inner.read(|connection| find(connection, id))
    }

    /// The recorded epochs in order, without the first `after` of them (what a live curve already has); at most 10,000.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn epochs(&self, id: RunId, after: usize) -> Result<Vec<Epoch>> {
        self.inner.read(|connection| {
            find(connection, id)?;
            let mut statement = connection.prepare_cached(
                "SELECT epoch, recorded_unix_ms, record FROM epochs WHERE run = ?1 ORDER BY epoch LIMIT ?2 OFFSET ?3",
            )?;
            let after = i64::try_from(after).unwrap_or(i64::MAX);
            let rows = statement.query_map([id.0, EPOCHS_LISTED_MAX, after], |row| {
                Ok(Epoch {
                    epoch: usize::try_from(row.get::<_, i64>("epoch")?).unwrap_or_default(),
                    recorded_unix_ms: row.get("recorded_unix_ms")?,
                    record: json_column(row, "record")?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }
}

const SELECT: &str = "SELECT *, (SELECT count(*) FROM epochs WHERE run = runs.id) AS epochs FROM runs";

fn find(connection: &rusqlite::Connection, id: RunId) -> Result<Run, Fault> {
    let run = connection.query_row(&format!("{SELECT} WHERE id = ?1"), [id.0], run_of).optional()?;
    run.ok_or_else(|| {
        Fault::Ours(Error::NotFound(format!("no run {id}; it never was, or it was forgotten as one of the oldest")))
    })
}

pub(crate) fn check_running(transaction: &Transaction<'_>, id: RunId) -> Result<(), Fault> {
    let sql = "SELECT 1 FROM runs WHERE id = ?1 AND status = 'running'";
    if transaction.query_row(sql, [id.0], |_| Ok(())).optional()?.is_some() {
        return Ok(());
    }
    let run = find(transaction, id)?;
    let (model, status) = (run.model, run.status.name());
    Err(Fault::Ours(Error::Conflict(format!("run {id} of model \"{model}\" is {status}, not running"))))
}

fn forget_old_runs(transaction: &Transaction<'_>, model: &str) -> rusqlite::Result<usize> {
    transaction.execute(
        "DELETE FROM runs WHERE model = ?1 AND status <> 'running'
           AND id NOT IN (SELECT run FROM versions WHERE run IS NOT NULL)
           AND id <= (SELECT id FROM runs WHERE model = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        params![model, RUNS_KEPT_PER_MODEL],
    )
}

/// A reason is for people: one that quotes a whole file is cut.
pub(crate) fn shorten(why: &str) -> String {
    why.chars().take(WHY_CHARS_MAX).collect()
}

fn run_of(row: &Row<'_>) -> rusqlite::Result<Run> {
    let status: String = row.get("status")?;
    Ok(Run {
        id: RunId(row.get("id")?),
        model: row.get("model")?,
        kind: row.get("kind")?,
        config: json_column(row, "config")?,
        status: RunStatus::from_name(&status).unwrap_or(RunStatus::Failed), // the table's check allows no other
        version: row.get("version")?,
        why: row.get("why")?,
        started_unix_ms: row.get("started_unix_ms")?,
        finished_unix_ms: row.get("finished_unix_ms")?,
        epochs: usize::try_from(row.get::<_, i64>("epochs")?).unwrap_or_default(),
    })
}
