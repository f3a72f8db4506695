//! What did a crash leave behind? Opening for writing brings folders and rows together again.
//!
//! - A folder under `staging/` was never registered: removed.
//! - A complete folder under `models/` without a row was moved a moment before the crash (or the database was lost):
//!   registered under its number. Nothing that took hours to train is thrown away.
//! - A folder there that is not complete: moved to `rejected/`, for people to look at. One that cannot be read, or is of a
//!   newer release, stays where it is; neither keeps the others from opening.
//! - Snapshots that are described but not listed: listed; files under `snapshots/` that nothing describes: removed.
//! - A run still `running` belongs to a dead process: `succeeded` where its version is there, else `interrupted`.
//! - Checkpoints of runs that need none any more: deleted.

use std::path::{Path, PathBuf};

use rusqlite::params;

use crate::database::now_unix_ms;
use crate::{ErrorKind, Inner, Result, RunId, check_model_name, files, verify};

/// What opening had to repair.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Model and number of versions whose folder was complete but not listed: listed now.
    pub adopted: Vec<(String, u32)>,
    /// Where folders are now that are no complete version or cannot be read, and why.
    pub rejected: Vec<(PathBuf, String)>,
    /// Runs whose process died: they can be resumed if they had saved a checkpoint.
    pub interrupted: Vec<RunId>,
}

impl Inner {
    /// Brings folders and rows together; doing it again after a crash in the midst of it is harmless.
    pub(crate) fn repair(&self) -> Result<Repairs> {
        let mut repairs = Repairs::default();
        for leftover in files::entries(&self.folder.join("staging"))? {
            let _ = files::remove_folder(&leftover); // in nobody's way; tried again on the next open
        }
        self.repair_snapshots()?;
        for folder in files::entries(&self.folder.join("models"))? {
            let model = name_of(&folder);
            if check_model_name(&model).is_ok() {
                self.repair_model(&model, &folder, &mut repairs)?;
            }
        }
        repairs.interrupted = self.settle_runs()?;
        self.sweep_run_folders()?;
        Ok(repairs)
    }

    fn repair_model(&self, model: &str, folder: &Path, repairs: &mut Repairs) -> Result<()> {
        let mut numbers: Vec<u32> =
            files::entries(folder)?.iter().filter_map(|version| number_of(&name_of(version))).collect();
        numbers.sort_unstable(); // so that the oldest of several becomes the champion, as it was
        for number in numbers {
            if !self.is_registered(model, number)? {
                self.repair_version(model, number, repairs)?;
            }
        }
        Ok(())
    }

    fn repair_version(&self, model: &str, number: u32, repairs: &mut Repairs) -> Result<()> {
        let folder = self.version_folder(model, number);
        let why = match verify(&folder) {
            Ok(manifest) if manifest.model == model && manifest.version == number => {
                self.register(&manifest)?;
                repairs.adopted.push((model.to_owned(), number));
                return Ok(());
            }
            Ok(manifest) => format!("it is version {} of model \"{}\"", manifest.version, manifest.model),
            Err(error) if error.kind() == ErrorKind::Corrupt => error.to_string(),
            Err(error) => {
                repairs.rejected.push((folder, error.to_string()));
                return Ok(());
            }
        };
        let rejected = files::create_folder(&self.folder.join("rejected"))?.join(format!("{model}-{number}"));
        files::remove_folder(&rejected)?; // one of the same name from before: keeps the folder bounded
        files::rename(&folder, &rejected)?;
        files::sync_folder(&self.folder.join("models").join(model))?;
        repairs.rejected.push((rejected, why));
        Ok(())
    }

    fn settle_runs(&self) -> Result<Vec<RunId>> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE runs SET status = 'succeeded', finished_unix_ms = ?1,
                        version = (SELECT max(number) FROM versions WHERE run = runs.id)
                 WHERE status = 'running' AND id IN (SELECT run FROM versions WHERE run IS NOT NULL)",
                params![now_unix_ms()],
            )?;
            let mut statement = transaction.prepare(
                "UPDATE runs SET status = 'interrupted', finished_unix_ms = ?1 WHERE status = 'running' RETURNING id",
            )?;
            let rows = statement.query_map(params![now_unix_ms()], |row| row.get(0).map(RunId))?;
            let mut interrupted = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            interrupted.sort_unstable();
            Ok(interrupted)
        })
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A version's number as we write it: "7", not "07" or "+7".
fn number_of(name: &str) -> Option<u32> {
    name.parse().ok().filter(|number| *number > 0 && name == format!("{number}"))
}
