//! How does a model leave the house? As one ONNX file that holds the numeric part of the features and the network, so
//! that raw rows go in.

use crate::spec::{Loss, NetSpec};
use crate::{Error, Features, Result, Target, Weights};

/// The bytes of an ONNX file (opset 18).
///
/// Inputs: `numbers` float32 `[batch, numbers]`, `codes` int64 `[batch, categories]` and one uint8
/// `[batch, height, width, channels]` per image column under the column's name, each where there is one.
/// Output: `probabilities` float32 `[batch, classes]`, or `prediction` float32 `[batch]` in the target's units.
/// `metadata_props`: `task`, `target`, `labels`, `threshold`, `features`.
pub fn export_onnx(
    features: &Features,
    target: &Target,
    net: &NetSpec,
    loss: Loss,
    weights: &Weights,
    threshold: Option<f32>,
) -> Result<Vec<u8>> {
    let _ = (features, target, net, loss, weights, threshold);
    Err(Error::Unsupported("the ONNX file is not there yet".into()))
}
