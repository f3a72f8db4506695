//! How does a version come into being? It is written in a folder of its own beside the others, sealed with a manifest,
//! moved to its place in one step, and only then listed in the database.
//!
//! A crash before the move leaves a folder in `staging/`, removed on the next open; a crash between the move and the row
//! leaves a complete folder without a row, which the next open registers (see `repair`).

use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::manifest::{self, Manifest};
use crate::{Error, Result, RunId, Store, Version, check_model_name, files};

/// What the caller says of a version. Times must be finite; a score that is not finite counts as none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionSummary {
    /// The run that made it.
    pub run: Option<RunId>,
    /// `regression`, `binary` or `multiclass`.
    pub task: String,
    /// What versions are compared by.
    pub primary: PrimaryMetric,
    /// All metrics on the validation rows.
    pub validation: Value,
    /// All metrics on the test rows.
    pub test: Value,
    /// What cross-validation found, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_validation: Option<Value>,
    /// Contents of the snapshots that it learned from and was judged on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<String>,
    /// How long training took.
    pub train_seconds: f64,
    /// How long one row takes to answer.
    pub predict_microseconds_per_row: f64,
    /// Further facts for `manifest.json`, such as the seed or the number of parameters.
    #[serde(default)]
    pub details: Map<String, Value>,
}

/// The metric that versions are compared by, and its values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrimaryMetric {
    /// Such as `accuracy` or `rmse`.
    pub name: String,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// On the validation rows.
    pub validation: Option<f64>,
    /// On the test rows.
    pub test: Option<f64>,
}

/// A version being written; dropped without [`Staging::commit`], its folder is removed.
#[derive(Debug)]
pub struct Staging {
    store: Store,
    model: String,
    folder: PathBuf,
}

impl Store {
    /// Makes an empty folder for a new version of the model.
    ///
    /// # Errors
    /// `Invalid` for a bad model name, `Exhausted` for a full disk, `Conflict` when opened for reading.
    pub fn stage(&self, model: &str) -> Result<Staging> {
        check_model_name(model)?;
        self.inner.check_writable()?;
        let number = self.inner.staged.fetch_add(1, Ordering::Relaxed);
        let folder = self.inner.folder.join("staging").join(format!("{model}-{number}"));
        files::create_folder(&folder)?;
        Ok(Staging { store: self.clone(), model: model.to_owned(), folder })
    }
}

impl Staging {
    /// The folder to fill: regular files and folders, at most 10,000 files, 8 deep.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The number the version will get, unless another of the model is registered first.
    ///
    /// # Errors
    /// As reading from the store.
    pub fn number(&self) -> Result<u32> {
        self.store.inner.next_number(&self.model)
    }

    /// Registers the version under the next number. When this returns, the version survives a crash; on an error nothing
    /// of it remains. The first version of a model becomes its champion, later ones by [`Store::promote`] only.
    ///
    /// # Errors
    /// `Invalid` for an empty folder, links, or times that are not finite; `Exhausted` for a full disk.
    pub fn commit(self, summary: VersionSummary) -> Result<Version> {
        summary.check()?;
        let sealed = manifest::seal(&self.folder)?; // the slow part, under no lock
        let inner = &self.store.inner;
        let registering = inner.registering.lock().unwrap_or_else(PoisonError::into_inner);
        let number = inner.next_number(&self.model)?;
        let manifest = Manifest::new(&self.model, number, summary, sealed);
        manifest.write(&self.folder)?;
        let place = inner.version_folder(&self.model, number);
        if let Err(error) = self.publish(&manifest, &place) {
            let _ = std::fs::rename(&place, &self.folder); // back, to be removed on drop; else the next open adopts it
            return Err(error);
        }
        drop(registering);
        self.store.version(&self.model, number)
    }

    fn publish(&self, manifest: &Manifest, place: &Path) -> Result<()> {
        let models = files::create_folder(place.parent().unwrap_or(place))?;
        files::rename(&self.folder, place)?;
        files::sync_folder(&models)?;
        self.store.inner.register(manifest)
    }
}

impl Drop for Staging {
    /// After a commit the folder has moved, and there is nothing to remove.
    fn drop(&mut self) {
        let _ = files::remove_folder(&self.folder); // what cannot be removed now is removed on the next open
    }
}

impl VersionSummary {
    fn check(&self) -> Result<()> {
        for (name, value) in
            [("train_seconds", self.train_seconds), ("predict_microseconds_per_row", self.predict_microseconds_per_row)]
        {
            if !value.is_finite() || value < 0.0 {
                return Err(Error::Invalid(format!("{name} is {value}; it must be finite and not negative")));
            }
        }
        Ok(())
    }
}
