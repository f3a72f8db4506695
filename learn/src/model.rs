//! What does a model answer? Features, target and the graph of `model.onnx` together: the one thing that answers, in
//! evaluation, in files and behind the endpoint.

mod graph;
mod predictions;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::path::Path;

use arrow::array::RecordBatch;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Encoded, Error, Features, Result, Target, Task};

use graph::Graph;
pub(crate) use graph::all_cores;
pub use graph::on_answering_thread;
pub use predictions::Predictions;

/// The fitted features.
const FEATURES: &str = "features.json";
/// The fitted target.
const TARGET: &str = "target.json";
/// Numeric part and network.
const ONNX: &str = "model.onnx";

/// A trained model that answers.
pub struct Model {
    features: Features,
    target: Target,
    threshold: Option<f32>,
    graph: Graph,
}

impl Model {
    /// Puts a model together from fitted features, the target and the bytes of its ONNX file (see
    /// [`crate::export_onnx`]).
    pub fn from_parts(features: Features, target: Target, onnx: &[u8]) -> Result<Self> {
        Self::assemble(features, target, onnx.to_vec(), Path::new(ONNX))
    }

    /// Reads `features.json`, `target.json` and `model.onnx` of a folder.
    ///
    /// # Errors
    /// A file that is missing, cut off, changed, or of another model than its neighbours.
    pub fn load(folder: &Path) -> Result<Self> {
        let onnx = folder.join(ONNX);
        let file = read(&onnx)?;
        Self::assemble(read_json(&folder.join(FEATURES))?, read_json(&folder.join(TARGET))?, file, &onnx)
    }

    /// Writes the files that [`Model::load`] reads into an existing folder.
    pub fn save(folder: &Path, features: &Features, target: &Target, onnx: &[u8]) -> Result<()> {
        write_json(&folder.join(FEATURES), features)?;
        write_json(&folder.join(TARGET), target)?;
        let path = folder.join(ONNX);
        std::fs::write(&path, onnx).map_err(|e| Error::io(path, e))
    }

    fn assemble(features: Features, target: Target, onnx: Vec<u8>, path: &Path) -> Result<Self> {
        let corrupt = |reason: &str| Error::Corrupt { path: path.into(), reason: reason.into() };
        let graph = Graph::load(onnx, features.numeric(), &target, path)?;
        let labels = match target.task {
            Task::Regression => None,
            _ => Some(serde_json::json!(target.labels).to_string()),
        };
        if graph.note("labels") != labels.as_deref() {
            return Err(corrupt("has other labels than the target beside it; restore the folder"));
        }
        let threshold = match (target.task, graph.note("threshold")) {
            (Task::Binary, Some(text)) => Some(text.parse().map_err(|_| corrupt("its threshold is no number"))?),
            (Task::Binary, None) => Some(0.5),
            _ => None,
        };
        Ok(Self { features, target, threshold, graph })
    }

    /// Answers for the rows of a batch; columns are found by name, others are ignored.
    ///
    /// # Errors
    /// A missing column, or a value of another kind than the fitted one.
    pub fn predict(&self, batch: &RecordBatch) -> Result<Predictions> {
        self.predict_encoded(&self.features.encode(batch)?)
    }

    /// Answers for rows that these features have encoded. Many rows use all cores, few rows one thread.
    pub fn predict_encoded(&self, encoded: &Encoded) -> Result<Predictions> {
        self.graph.run(encoded).map(|answers| Predictions::new(&self.target, answers, self.threshold))
    }

    /// As [`Model::predict_encoded`]; for callers who work on [`all_cores`] already.
    pub(crate) fn predict_on_all_cores(&self, encoded: &Encoded) -> Result<Predictions> {
        let answers = self.graph.run_on_all_cores(encoded)?;
        Ok(Predictions::new(&self.target, answers, self.threshold))
    }

    /// The largest difference between this model's answers and the network's on the same rows: absolute for
    /// probabilities `[rows, classes]`, as a share of the largest value for values `[rows]`. Infinite where one of
    /// them is no number. A model may be registered up to [`Model::TOLERANCE`].
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

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("target", &self.target)
            .field("threshold", &self.threshold)
            .finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::Corrupt { path: path.into(), reason: "missing from the model".into() },
        _ => Error::io(path, e),
    })
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_slice(&read(path)?)
        .map_err(|e| Error::Corrupt { path: path.into(), reason: format!("changed or cut off: {e}") })
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec(value).map_err(|e| Error::Internal(format!("{}: {e}", path.display())))?;
    std::fs::write(path, text).map_err(|e| Error::io(path, e))
}
