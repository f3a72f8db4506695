//! EfficientNet-Lite on pictures, from published weights or fresh ones (Tan and Le 2019).

use std::path::Path;

use super::Head;
use super::picture::{beside_table, picture};
use super::plan::{Builder, ConvLayer, NodeId, Plan, Window};
use crate::features::NumericPart;
use crate::pretrained::efficientnet::{Block, EPSILON, EfficientNetLite, HEAD, PIXELS, STEM, same_padding};
use crate::spec::{Activation, EfficientnetSpec, Freeze};
use crate::{Error, Result, Weights};

/// The network with a head of its own.
pub(super) fn efficientnet(spec: &EfficientnetSpec, numeric: &NumericPart, head: Head) -> Result<Plan> {
    let figures = EfficientNetLite::of_size(spec.size)?;
    let dropout = spec.dropout.unwrap_or(figures.dropout);
    super::check_hidden("network.efficientnet", &[], dropout)?;
    let mut plan = Builder::new(numeric);
    let features = body(&mut plan, &figures)?;
    if spec.weights.is_some() {
        check_pixels(numeric)?;
    }
    let mut value = beside_table(&mut plan, features)?;
    value = plan.dropout(value, dropout);
    let blocks = match spec.freeze {
        Freeze::None => None,
        Freeze::Layers(count) if count <= figures.blocks.len() => Some(count),
        Freeze::Layers(count) => {
            return Err(Error::invalid(format!(
                "network.efficientnet.freeze.layers is {count}, the network has {} blocks",
                figures.blocks.len()
            )));
        }
        Freeze::All => {
            plan.freeze("features.");
            Some(figures.blocks.len())
        }
    };
    if let Some(blocks) = blocks {
        plan.freeze("stem.");
        (0..blocks).for_each(|block| plan.freeze(&format!("block.{block}.")));
    }
    plan.finish(value, head)
}

/// From the picture to the mean of the last convolution: `[1280]`.
pub(super) fn body(plan: &mut Builder, figures: &EfficientNetLite) -> Result<NodeId> {
    let picture = picture(plan, "efficientnet")?;
    let mut value = convolution(plan, "stem", picture, Part { outputs: STEM, kernel: 3, stride: 2, depthwise: false })?;
    value = plan.activate(value, Activation::Relu6);
    for (number, block) in figures.blocks.iter().enumerate() {
        value = bottleneck(plan, &format!("block.{number}"), value, block)?;
    }
    value = convolution(plan, "features", value, Part { outputs: HEAD, kernel: 1, stride: 1, depthwise: false })?;
    value = plan.activate(value, Activation::Relu6);
    Ok(plan.mean(value, None))
}

fn bottleneck(plan: &mut Builder, name: &str, input: NodeId, block: &Block) -> Result<NodeId> {
    let Block { outputs, kernel, stride, .. } = *block;
    let mut value = input;
    if block.expansion != 1 {
        let part = Part { outputs: block.inner(), kernel: 1, stride: 1, depthwise: false };
        value = convolution(plan, &format!("{name}.expand"), value, part)?;
        value = plan.activate(value, Activation::Relu6);
    }
    let part = Part { outputs: block.inner(), kernel, stride, depthwise: true };
    value = convolution(plan, &format!("{name}.depthwise"), value, part)?;
    value = plan.activate(value, Activation::Relu6);
    value = convolution(plan, &format!("{name}.project"), value, Part { outputs, kernel: 1, stride: 1, depthwise: false })?;
    Ok(if block.adds_input() { plan.add(value, input, None) } else { value })
}

/// A convolution's figures.
struct Part {
    outputs: usize,
    kernel: usize,
    stride: usize,
    depthwise: bool,
}

/// A convolution padded as TensorFlow's `SAME`, and its batch normalisation.
fn convolution(plan: &mut Builder, name: &str, input: NodeId, part: Part) -> Result<NodeId> {
    let Part { outputs, kernel, stride, depthwise } = part;
    let &[height, width, channels] = plan.shape(input) else {
        return Err(Error::Internal(format!("layer \"{name}\" reads no picture")));
    };
    let [top, bottom] = same_padding(height, kernel, stride);
    let [left, right] = same_padding(width, kernel, stride);
    let window = Window { kernel: [kernel; 2], stride: [stride; 2], padding: [top, left, bottom, right] };
    let groups = if depthwise { channels } else { 1 };
    let layer = ConvLayer { outputs, window, groups, activation: None, bias: false };
    let value = plan.conv(name, input, layer)?;
    Ok(plan.batch_norm_with(&format!("{name}.norm"), value, None, EPSILON))
}

/// Refuses pictures that are scaled otherwise than those the published weights saw.
fn check_pixels(numeric: &NumericPart) -> Result<()> {
    let [shift, scale] = PIXELS;
    match numeric.images.first() {
        Some(image) if image.channels != 3 => Err(Error::invalid(format!(
            "column \"{name}\" is grey, the weights of network.efficientnet are for colours; set \
             features.columns.{name}.image.channels: rgb",
            name = image.name
        ))),
        Some(image) if image.affine.shift != shift || image.affine.scale != 1.0 / scale => {
            Err(Error::invalid(format!(
                "the weights of network.efficientnet expect pixels of (x - {shift}) / {scale}; set \
                 features.columns.{}.image.scale: centered",
                image.name
            )))
        }
        _ => Ok(()),
    }
}

/// The published weights that `spec` names, without their head; nothing where it names none.
pub(crate) fn published(spec: &EfficientnetSpec) -> Result<Option<Weights>> {
    let Some(path) = &spec.weights else { return Ok(None) };
    let figures = EfficientNetLite::of_size(spec.size)?;
    let mut weights = figures.weights(Path::new(path), &crate::pretrained::read(path)?)?;
    weights.tensors.retain(|name, _| !name.starts_with("output."));
    Ok(Some(weights))
}
