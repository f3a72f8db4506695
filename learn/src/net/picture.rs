//! Convolutional networks on pictures: blocks as in VGG, LeNet-5, residual networks.

use super::Head;
use super::plan::{Builder, ConvLayer, NodeId, Plan, Window};
use super::tabular::normalized;
use crate::features::NumericPart;
use crate::spec::{Activation, ConvSpec, LenetSpec, Normalization, ResnetSpec};
use crate::{Error, Result};

/// Convolutions of a network at most.
const CONVOLUTIONS_MAX: usize = 64;

/// Blocks of convolutions, each ended by a 2 x 2 max pool, then fully connected layers.
pub(super) fn conv(spec: &ConvSpec, numeric: &NumericPart, head: Head) -> Result<Plan> {
    super::check_hidden("network.conv", &spec.hidden, spec.dropout)?;
    if !matches!(spec.kernel, 1 | 3 | 5 | 7) {
        return Err(Error::invalid(format!("network.conv.kernel is {}, expected 1, 3, 5 or 7", spec.kernel)));
    }
    let convolutions: usize = spec.blocks.iter().map(Vec::len).sum();
    if spec.blocks.is_empty() || spec.blocks.iter().any(Vec::is_empty) || convolutions > CONVOLUTIONS_MAX {
        return Err(Error::invalid(format!(
            "network.conv.blocks has {} blocks with {convolutions} convolutions, expected at least one in each and \
             {CONVOLUTIONS_MAX} in all at most",
            spec.blocks.len()
        )));
    }
    let mut plan = Builder::new(numeric);
    let mut value = picture(&mut plan, "conv")?;
    for (block, layers) in spec.blocks.iter().enumerate() {
        for (number, &outputs) in layers.iter().enumerate() {
            let plain = spec.normalization == Normalization::None;
            let fused = plain && spec.activation.has_gradient_of_output();
            let layer = ConvLayer {
                outputs,
                window: Window::same(spec.kernel, 1),
                groups: 1,
                activation: fused.then_some(spec.activation),
                bias: plain,
            };
            value = plan.conv(&format!("conv.{block}.{number}"), value, layer)?;
            value = match plain {
                true if fused => value,
                true => plan.activate(value, spec.activation),
                false => {
                    let name = format!("norm.{block}.{number}");
                    normalized(&mut plan, &name, value, spec.normalization, spec.activation)
                }
            };
        }
        value = plan.max_pool(&format!("pool.{block}"), value, Window::inside(2, 2))?;
    }
    let flat = plan.flatten(value);
    let mut value = beside_table(&mut plan, flat)?;
    for (number, &units) in spec.hidden.iter().enumerate() {
        value = plan.dropout(value, spec.dropout);
        value = plan.linear(&format!("dense.{number}"), value, units, Some(spec.activation))?;
    }
    value = plan.dropout(value, spec.dropout);
    plan.finish(value, head)
}

/// LeNet-5 with ReLU and max pools.
pub(super) fn lenet(spec: &LenetSpec, numeric: &NumericPart, head: Head) -> Result<Plan> {
    super::check_hidden("network.lenet", &[], spec.dropout)?;
    let mut plan = Builder::new(numeric);
    let mut value = picture(&mut plan, "lenet")?;
    // A picture of 28 x 28 is read as if it were 32 x 32, as in the paper.
    for (number, (outputs, window)) in [(6, Window::same(5, 1)), (16, Window::inside(5, 1))].into_iter().enumerate() {
        let layer = ConvLayer { outputs, window, groups: 1, activation: Some(Activation::Relu), bias: true };
        value = plan.conv(&format!("conv.{number}"), value, layer)?;
        value = plan.max_pool(&format!("pool.{number}"), value, Window::inside(2, 2))?;
    }
    let flat = plan.flatten(value);
    value = beside_table(&mut plan, flat)?;
    for (number, units) in [120, 84].into_iter().enumerate() {
        value = plan.dropout(value, spec.dropout);
        value = plan.linear(&format!("dense.{number}"), value, units, Some(Activation::Relu))?;
    }
    plan.finish(value, head)
}

/// Residual networks of two convolutions per block.
pub(super) fn resnet(spec: &ResnetSpec, numeric: &NumericPart, head: Head) -> Result<Plan> {
    super::check_hidden("network.resnet", &[], spec.dropout)?;
    let mut plan = Builder::new(numeric);
    let input = picture(&mut plan, "resnet")?;
    let relu = Some(Activation::Relu);
    // The paper's table 1 for ImageNet, and its section 4.2 for CIFAR-10.
    let (stem, widths, blocks) = match spec.depth {
        18 => ((Window::same(7, 2), 64), vec![64, 128, 256, 512], 2),
        20 | 32 | 44 | 56 => ((Window::same(3, 1), 16), vec![16, 32, 64], (spec.depth - 2) / 6),
        depth => {
            return Err(Error::invalid(format!("network.resnet.depth is {depth}, expected 18, 20, 32, 44 or 56")));
        }
    };
    let mut value = plan.conv("stem", input, plain(stem.1, stem.0))?;
    value = plan.batch_norm("stem_norm", value, relu);
    if spec.depth == 18 {
        value = plan.max_pool("stem_pool", value, Window::same(3, 2))?;
    }
    for (stage, &width) in widths.iter().enumerate() {
        for block in 0..blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            value = residual(&mut plan, &format!("stage.{stage}.{block}"), value, width, stride)?;
        }
    }
    let mean = plan.mean(value, None);
    value = beside_table(&mut plan, mean)?;
    value = plan.dropout(value, spec.dropout);
    plan.finish(value, head)
}

/// Two convolutions and the way around them, by a 1 x 1 convolution where the shapes differ.
fn residual(plan: &mut Builder, name: &str, input: NodeId, width: usize, stride: usize) -> Result<NodeId> {
    let mut value = plan.conv(&format!("{name}.0"), input, plain(width, Window::same(3, stride)))?;
    value = plan.batch_norm(&format!("{name}.0_norm"), value, Some(Activation::Relu));
    value = plan.conv(&format!("{name}.1"), value, plain(width, Window::same(3, 1)))?;
    value = plan.batch_norm(&format!("{name}.1_norm"), value, None);
    let mut around = input;
    if plan.shape(input) != plan.shape(value) {
        around = plan.conv(&format!("{name}.around"), input, plain(width, Window::inside(1, stride)))?;
        around = plan.batch_norm(&format!("{name}.around_norm"), around, None);
    }
    Ok(plan.add(value, around, Some(Activation::Relu)))
}

/// A convolution before a batch normalisation.
fn plain(outputs: usize, window: Window) -> ConvLayer {
    ConvLayer { outputs, window, groups: 1, activation: None, bias: false }
}

/// The one picture that the rows hold.
pub(super) fn picture(plan: &mut Builder, family: &str) -> Result<NodeId> {
    match plan.numeric.images.len() {
        1 => Ok(plan.image(0)),
        0 => Err(Error::invalid(format!(
            "network.{family} reads a picture, but no column is one; take network.dense, or a column with pictures"
        ))),
        several => {
            let names: Vec<_> = plan.numeric.images.iter().map(|image| format!("\"{}\"", image.name)).collect();
            Err(Error::invalid(format!(
                "network.{family} reads one picture, but {several} columns are pictures ({}); leave all but one out \
                 under features.exclude",
                names.join(", ")
            )))
        }
    }
}

/// What the other columns hold beside what was made of the picture.
pub(super) fn beside_table(plan: &mut Builder, value: NodeId) -> Result<NodeId> {
    let parts: Vec<NodeId> = std::iter::once(value).chain(plan.table()).collect();
    plan.concat(&parts).ok_or_else(|| Error::Internal("a picture became nothing".into()))
}
