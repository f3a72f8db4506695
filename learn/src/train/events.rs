//! What does training take, tell while it runs, and give?

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Spool;
use crate::features::{Encoded, NumericPart};
use crate::spec::{NetSpec, TrainSpec};
use crate::{Target, Weights};

/// Everything a training run depends on.
#[derive(Debug)]
pub struct TrainJob<'a> {
    /// The numeric part of the fitted features.
    pub numeric: &'a NumericPart,
    /// The fitted target.
    pub target: &'a Target,
    /// The network.
    pub net: &'a NetSpec,
    /// How it is trained.
    pub train: &'a TrainSpec,
    /// The rows that are learned from; where `spool` has them, a sample of them.
    pub training: Part<'a>,
    /// All rows that are learned from, where memory cannot hold them. For what [`super::reads_spool`] says.
    pub spool: Option<&'a Spool>,
    /// The rows that say when to stop and which epoch was best.
    pub validation: Part<'a>,
    /// A folder of this run for its checkpoint; made if it is not there. None keeps no checkpoint.
    pub checkpoint: Option<&'a Path>,
    /// Goes on from the checkpoint; starts anew where there is none.
    pub resume: bool,
}

/// Some rows of encoded features with their answers.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// The features of all rows.
    pub encoded: &'a Encoded,
    /// The target of all rows: the number of the class, or the value in the target's units.
    pub target: &'a [f32],
    /// The rows of this part.
    pub rows: Vec<u32>,
}

/// What happens while training. `Batch` comes thousands of times a second: whoever draws must choose.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainEvent {
    /// Training begins.
    Started {
        /// Training rows.
        rows: usize,
        /// Batches per epoch.
        batches: usize,
        /// Epochs at most.
        epochs: usize,
        /// Learned numbers.
        parameters: usize,
        /// Where the network is trained, in words.
        device: String,
        /// When training stops and what is kept, in words.
        stopping: String,
        /// The epoch (from 1) that goes on, where a checkpoint was resumed.
        resumed_at: Option<usize>,
    },
    /// A step was made.
    Batch {
        /// The epoch, from 1.
        epoch: usize,
        /// Batches done in this epoch.
        batch: usize,
        /// Batches per epoch.
        batches: usize,
        /// Mean loss of this epoch so far.
        loss: f64,
        /// Rows per second in this epoch so far.
        rows_per_second: f64,
    },
    /// An epoch ended and was validated.
    Epoch(EpochRecord),
    /// A checkpoint is safely on disk.
    Saved {
        /// The file.
        path: PathBuf,
    },
    /// Training ended.
    Stopped {
        /// Why, in words.
        reason: String,
    },
}

/// One epoch of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: usize,
    /// Mean loss of the training rows while they were learned from (dropout included).
    pub train_loss: f64,
    /// Mean loss of the validation rows after the epoch.
    pub validation_loss: f64,
    /// The watched figure: `accuracy`, `auc`, `rmse` or `loss`.
    pub metric: String,
    /// Its value on the validation rows.
    pub validation_metric: f64,
    /// Whether this is the best epoch so far.
    pub best: bool,
    /// How much better than the best epoch before (positive is better); none for the first.
    pub improved_by: Option<f64>,
    /// Time of the epoch with its validation.
    pub seconds: f64,
    /// Step size of its last step.
    pub learning_rate: f64,
}

/// What the listener wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Save a checkpoint and end after this batch.
    Stop,
}

/// What training gives.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The weights of the best epoch; of the last batch where no epoch was finished.
    pub weights: Weights,
    /// All epochs, those before a resume included.
    pub history: Vec<EpochRecord>,
    /// The epoch of the weights, from 1; 0 where no epoch was finished.
    pub best_epoch: usize,
    /// False where `Flow::Stop` ended the run; its checkpoint was saved.
    pub finished: bool,
    /// Where the network was trained, in words.
    pub device: String,
    /// Learned numbers.
    pub parameters: usize,
}
