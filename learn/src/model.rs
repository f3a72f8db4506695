//! What does a model answer? Features, target and the graph of `model.onnx` together: the one thing that answers, in
//! evaluation, in files and behind the endpoint.

mod graph;
mod predictions;

use std::path::Path;

use arrow::array::RecordBatch;

use crate::{Encoded, Error, Features, Result, Target};

pub use predictions::Predictions;

/// A trained model that answers.
pub struct Model {
    features: Features,
    target: Target,
    threshold: Option<f32>,
}

impl Model {
    /// Puts a model together from fitted features, the target and the bytes of its ONNX file (see [`crate::export_onnx`]).
    pub fn from_parts(features: Features, target: Target, onnx: &[u8]) -> Result<Self> {
        let _ = (features, target, onnx);
        Err(Error::Unsupported("models are not there yet".into()))
    }

    /// Reads `features.json`, `target.json` and `model.onnx` of a folder.
    pub fn load(folder: &Path) -> Result<Self> {
        let _ = folder;
        Err(Error::Unsupported("models are not there yet".into()))
    }

    /// Writes the files that [`Model::load`] reads into an existing folder.
    pub fn save(folder: &Path, features: &Features, target: &Target, onnx: &[u8]) -> Result<()> {
        let _ = (folder, features, target, onnx);
        Err(Error::Unsupported("models are not there yet".into()))
    }

    /// Answers for the rows of a batch; columns are found by name, others are ignored.
    ///
    /// # Errors
    /// A missing column, or a value of another kind than the fitted one.
    pub fn predict(&self, batch: &RecordBatch) -> Result<Predictions> {
        self.predict_encoded(&self.features.encode(batch)?)
    }

    /// Answers for rows that these features have encoded.
    pub fn predict_encoded(&self, encoded: &Encoded) -> Result<Predictions> {
        let _ = encoded;
        Err(Error::Unsupported("models are not there yet".into()))
    }

    /// The largest difference between this model's answers and the network's on the same rows: absolute for
    /// probabilities `[rows, classes]`, as a share of the largest value for values `[rows]`. Infinite where one of them is
    /// no number. A model may be registered up to [`Model::TOLERANCE`].
    pub fn agreement(&self, encoded: &Encoded, network: &[f32]) -> Result<f64> {
        self.predict_encoded(encoded)?.difference(network)
    }

    /// How far the ONNX file may be from the network.
    pub const TOLERANCE: f64 = 1e-5;

    /// What it reads.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// What it answers.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The probability from which the second class is answered; nothing unless there are two classes.
    pub fn threshold(&self) -> Option<f32> {
        self.threshold
    }
}
