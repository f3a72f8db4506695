//! What is kept so that a stopped or killed run can go on to the same bits?
//!
//! One safetensors file, `checkpoint.safetensors`: the tensors `weights/NAME`, `best/NAME`, `first/NAME`, `second/NAME` and
//! `third/NAME` (the optimiser's moments), `gradient/NAME` (of a step with more batches to come), and the rest as JSON in its header, so that one rename puts all of it in
//! place. Exact numbers are kept as their bits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::EpochRecord;
use super::rate::Plateau;
use crate::net::{MEMORY, Memory};
use crate::weights::{from_bytes, to_bytes, write_atomically};
use crate::{Error, Result, Weights};

const FILE: &str = "checkpoint.safetensors";
const KEY: &str = "tidemill.checkpoint";
const FORMAT: u32 = 2;

/// Where a run is, beside its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Of this layout.
    pub(super) format: u32,
    /// Fingerprint of the settings.
    pub(super) spec: String,
    /// Fingerprint of the rows.
    pub(super) rows: String,
    /// Epochs finished.
    pub(super) epoch: usize,
    /// Batches done in the epoch after them.
    pub(super) batch: usize,
    /// Sum of the losses of that epoch's rows, the bits of an f64.
    pub(super) loss_sum: u64,
    /// Seconds spent in that epoch.
    pub(super) seconds: f64,
    /// The epochs finished.
    pub(super) history: Vec<EpochRecord>,
    /// The best epoch, from 1, and the bits of its figure.
    pub(super) best: Option<(usize, u64)>,
    /// What the schedule remembers.
    pub(super) plateau: Plateau,
    /// Why the run ended, where it did.
    pub(super) ended: Option<String>,
}

/// A run between two batches.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checkpoint {
    pub(super) position: Position,
    pub(super) weights: Weights,
    /// Weights of the best epoch; empty where none is finished.
    pub(super) best: Weights,
    /// What the network keeps beside its weights.
    pub(super) memory: Memory,
}

/// The file of a folder's checkpoint.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

impl Checkpoint {
    /// Writes the checkpoint of a folder in place of the one before. Makes the folder.
    pub(super) fn save(&self, folder: &Path) -> Result<PathBuf> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        let position = serde_json::to_string(&self.position);
        let position = position.map_err(|e| Error::Internal(format!("a checkpoint as text: {e}")))?;
        let groups = [("weights", &self.weights), ("best", &self.best)].into_iter();
        let groups = groups.chain(MEMORY.into_iter().zip(&self.memory));
        let tensors = groups.flat_map(|(group, weights)| {
            weights.tensors.iter().map(move |(name, tensor)| (format!("{group}/{name}"), tensor))
        });
        let path = path(folder);
        write_atomically(&path, &to_bytes(tensors, Some((KEY, position)))?)?;
        Ok(path)
    }

    /// Reads the checkpoint of a folder; none where there is none.
    pub(super) fn load(folder: &Path) -> Result<Option<Self>> {
        let path = path(folder);
        let file = match std::fs::read(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path, e)),
        };
        let corrupt = |reason: String| Error::Corrupt {
            path: path.clone(),
            reason: format!("{reason}; delete it, or train without resume, to begin anew"),
        };
        let (tensors, texts) = match from_bytes(&path, &file) {
            Err(Error::Corrupt { reason, .. }) => return Err(corrupt(reason)),
            other => other?,
        };
        let text = texts.get(KEY).ok_or_else(|| corrupt("not a checkpoint of tidemill".into()))?;
        let position: Position = serde_json::from_str(text).map_err(|e| corrupt(format!("its header: {e}")))?;
        if position.format != FORMAT {
            return Err(corrupt(format!("format {}, this build reads {FORMAT}", position.format)));
        }
        let mut groups: BTreeMap<String, Weights> = BTreeMap::new();
        for (name, tensor) in tensors.tensors {
            let (group, name) = name.split_once('/').ok_or_else(|| corrupt(format!("a tensor \"{name}\"")))?;
            groups.entry(group.to_owned()).or_default().tensors.insert(name.to_owned(), tensor);
        }
        let mut take = |group: &str| groups.remove(group).unwrap_or_default();
        Ok(Some(Self { position, weights: take("weights"), best: take("best"), memory: MEMORY.map(take) }))
    }
}

impl Position {
    /// Of the layout of this build.
    pub(super) fn format() -> u32 {
        FORMAT
    }

    /// Refuses to go on with other settings or rows.
    pub(super) fn check(&self, folder: &Path, spec: &str, rows: &str) -> Result<()> {
        let what = match (self.spec == spec, self.rows == rows) {
            (true, true) => return Ok(()),
            (false, _) => {
                "settings (network, training, features or target; of some schedules the number of epochs too)"
            }
            (true, false) => "rows",
        };
        Err(Error::invalid(format!(
            "the checkpoint in {} was made with other {what}; put them back, or train without resume to begin anew",
            folder.display()
        )))
    }
}
