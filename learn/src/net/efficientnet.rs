//! EfficientNet-Lite (Tan and Le 2019): mobile inverted bottlenecks without squeeze-and-excitation, with ReLU6.

use super::Head;
use super::picture::{beside_table, picture};
use super::plan::{Builder, ConvLayer, NodeId, Plan, Window};
use crate::features::NumericPart;
use crate::pretrained::efficientnet::{Block, EPSILON, EfficientNetLite, HEAD, PIXELS, STEM, same_padding};
use crate::spec::{Activation, EfficientnetLite0Spec};
use crate::{Error, Result};

/// EfficientNet-Lite0. The names are those of [`EfficientNetLite::weights`].
pub(super) fn lite0(spec: &EfficientnetLite0Spec, numeric: &NumericPart, head: Head) -> Result<Plan> {
    super::check_hidden("network.efficientnet_lite0", &[], spec.dropout)?;
    if spec.weights.is_some() {
        check_picture(numeric)?;
    }
    network(&EfficientNetLite::of_size(0)?, spec.dropout, numeric, head)
}

/// The network of these blocks.
pub(crate) fn network(net: &EfficientNetLite, dropout: f64, numeric: &NumericPart, head: Head) -> Result<Plan> {
    let mut plan = Builder::new(numeric);
    let mut value = picture(&mut plan, "efficientnet_lite0")?;
    value = unit(&mut plan, "stem", value, Layer { outputs: STEM, kernel: 3, stride: 2, groups: 1, bounded: true })?;
    for (number, block) in net.blocks.iter().enumerate() {
        value = bottleneck(&mut plan, &format!("block.{number}"), value, block)?;
    }
    value =
        unit(&mut plan, "features", value, Layer { outputs: HEAD, kernel: 1, stride: 1, groups: 1, bounded: true })?;
    let mean = plan.mean(value, None);
    value = beside_table(&mut plan, mean)?;
    value = plan.dropout(value, dropout);
    plan.finish(value, head)
}

/// Published weights know colours, and pixels as they were brought to about -1 to 1.
fn check_picture(numeric: &NumericPart) -> Result<()> {
    for image in &numeric.images {
        let [shift, divisor] = PIXELS;
        let near = (image.affine.shift - shift).abs() < 1.0 && (image.affine.scale * divisor - 1.0).abs() < 0.01;
        if image.channels != 3 || !near {
            return Err(Error::invalid(format!(
                "network.efficientnet_lite0.weights were made for colour pictures whose pixels are brought to -1 to 1; set \
                 features.columns.{0}.image to {{ channels: rgb, scale: symmetric }}",
                image.name
            )));
        }
    }
    Ok(())
}

/// Wider by a 1 x 1 convolution, over the picture channel by channel, narrow again; and the input where it fits.
fn bottleneck(plan: &mut Builder, name: &str, input: NodeId, block: &Block) -> Result<NodeId> {
    let mut value = input;
    let inner = block.inner();
    if block.expansion != 1 {
        let layer = Layer { outputs: inner, kernel: 1, stride: 1, groups: 1, bounded: true };
        value = unit(plan, &format!("{name}.expand"), value, layer)?;
    }
    let layer = Layer { outputs: inner, kernel: block.kernel, stride: block.stride, groups: inner, bounded: true };
    value = unit(plan, &format!("{name}.depthwise"), value, layer)?;
    let layer = Layer { outputs: block.outputs, kernel: 1, stride: 1, groups: 1, bounded: false };
    value = unit(plan, &format!("{name}.project"), value, layer)?;
    Ok(match block.adds_input() {
        true => plan.add(value, input, None),
        false => value,
    })
}

/// A convolution with its batch normalisation.
#[derive(Debug, Clone, Copy)]
struct Layer {
    outputs: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
    /// Whether ReLU6 follows.
    bounded: bool,
}

fn unit(plan: &mut Builder, name: &str, input: NodeId, layer: Layer) -> Result<NodeId> {
    let Layer { outputs, kernel, stride, groups, bounded } = layer;
    let &[height, width, _] = plan.shape(input) else {
        return Err(Error::Internal("a picture is no picture".into()));
    };
    let [top, bottom] = same_padding(height, kernel, stride);
    let [left, right] = same_padding(width, kernel, stride);
    let window = Window { kernel: [kernel; 2], stride: [stride; 2], padding: [top, left, bottom, right] };
    let sums = plan.conv(name, input, ConvLayer { outputs, window, groups, activation: None, bias: false })?;
    let value = plan.batch_norm_with(&format!("{name}.norm"), sums, None, EPSILON);
    Ok(match bounded {
        true => plan.activate(value, Activation::Relu6),
        false => value,
    })
}
