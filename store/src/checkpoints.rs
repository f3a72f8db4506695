//! Where can a run go on from? Folders for checkpoints, kept while a run can still be resumed and no longer.

use std::path::PathBuf;

use rusqlite::OptionalExtension;

use crate::{Inner, Result, Run, RunId, Store, check_model_name, files};

/// Runs of a model that keep their checkpoints although they did not end well.
const RESUMABLE_KEPT_PER_MODEL: usize = 3;

/// Running, or ended early after the model's last success: resuming what a later run has finished helps nobody.
const KEEPS_CHECKPOINTS: &str = "(status = 'running' OR (status IN ('stopped', 'interrupted') AND id > (
    SELECT ifnull(max(later.id), 0) FROM runs AS later WHERE later.model = runs.model AND later.kind = runs.kind
    AND later.status = 'succeeded')))";

impl Store {
    /// The folder for a run's checkpoints, made on the first call.
    ///
    /// # Errors
    /// `NotFound`, `Exhausted`.
    pub fn run_folder(&self, id: RunId) -> Result<PathBuf> {
        self.run(id)?;
        let folder = self.inner.run_folder(id);
        match self.inner.lock {
            Some(_) => files::create_folder(&folder),
            None => Ok(folder),
        }
    }

    /// The newest run of the model and kind that can go on: stopped or interrupted, with a checkpoint, and newer than the
    /// last run of its kind that ended well.
    ///
    /// # Errors
    /// `Invalid` for a bad model name.
    pub fn last_resumable(&self, model: &str, kind: &str) -> Result<Option<Run>> {
        check_model_name(model)?;
        for id in self.resumable(model)? {
            if !files::entries(&self.inner.run_folder(id))?.is_empty() {
                let run = self.run(id)?;
                if run.kind == kind {
                    return Ok(Some(run));
                }
            }
        }
        Ok(None)
    }

    pub(crate) fn forget_old_checkpoints(&self, model: &str) -> Result<()> {
        for run in self.resumable(model)?.into_iter().skip(RESUMABLE_KEPT_PER_MODEL) {
            self.delete_checkpoints(run);
        }
        Ok(())
    }

    /// Runs of the model whose checkpoints are kept, newest first.
    fn resumable(&self, model: &str) -> Result<Vec<RunId>> {
        self.inner.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT id FROM runs WHERE model = ?1 AND {KEEPS_CHECKPOINTS} AND status <> 'running' ORDER BY id DESC"
            ))?;
            let rows = statement.query_map([model], |row| row.get(0).map(RunId))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The end of the run is durable already: what cannot be deleted now is swept when the folder is opened next.
    pub(crate) fn delete_checkpoints(&self, run: RunId) {
        let _ = files::remove_folder(&self.inner.run_folder(run));
    }
}

impl Inner {
    fn run_folder(&self, id: RunId) -> PathBuf {
        self.folder.join("runs").join(id.to_string())
    }

    /// Deletes the checkpoints of runs that need none; a folder that cannot be deleted is left for the next time.
    pub(crate) fn sweep_run_folders(&self) -> Result<()> {
        for folder in files::entries(&self.folder.join("runs"))? {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Ok(id) = name.parse::<i64>() else { continue }; // not ours
            let keep = self.read(|connection| {
                let sql = format!("SELECT 1 FROM runs WHERE id = ?1 AND {KEEPS_CHECKPOINTS}");
                Ok(connection.query_row(&sql, [id], |_| Ok(())).optional()?.is_some())
            })?;
            if !keep {
                let _ = files::remove_folder(&folder);
            }
        }
        Ok(())
    }
}
