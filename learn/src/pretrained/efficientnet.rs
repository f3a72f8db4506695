//! Which layers do the EfficientNet-Lite networks have, and which published tensors are which of ours?
//!
//! EfficientNet-Lite (Tan and Le 2019, and TensorFlow's `efficientnet/lite`): the mobile inverted bottlenecks of
//! EfficientNet without squeeze-and-excitation, with ReLU6. Pictures are `(pixel - 127) / 128`. Convolutions are padded as
//! TensorFlow's `SAME`: as many outputs as the input divided by the stride, rounded up, the odd zero at bottom and right.

use std::path::Path;

use super::layout::{convolution, linear};
use super::report::compare;
use crate::{Error, Result, Tensor, Weights};

/// Added to the variance by batch normalisation.
pub const EPSILON: f32 = 1e-3;
/// Channels of the first convolution.
pub const STEM: usize = 32;
/// Channels of the last convolution.
pub const HEAD: usize = 1_280;
/// Classes of ImageNet, which the published ones answer.
pub const CLASSES: usize = 1_000;
/// What is subtracted from a pixel of 0 to 255, and what it is divided by then.
pub const PIXELS: [f32; 2] = [127.0, 128.0];

/// Stages of the smallest one: repeats, kernel, stride, expansion, channels.
const STAGES: [[usize; 5]; 7] = [
    [1, 3, 1, 1, 16],
    [2, 3, 2, 6, 24],
    [2, 5, 2, 6, 40],
    [3, 3, 2, 6, 80],
    [3, 5, 1, 6, 112],
    [4, 5, 2, 6, 192],
    [1, 3, 1, 6, 320],
];

/// A mobile inverted bottleneck: a 1 x 1 convolution to `expansion` times the channels (none where that is 1), a depthwise
/// one, a 1 x 1 convolution to `outputs`; batch normalisation behind each, ReLU6 behind the first two; the input is added
/// where `stride` is 1 and the channels stay the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Times the channels inside.
    pub expansion: usize,
    /// Height and width of the depthwise kernel.
    pub kernel: usize,
    /// Stride of the depthwise convolution.
    pub stride: usize,
}

impl Block {
    /// Channels inside.
    pub fn inner(&self) -> usize {
        self.inputs * self.expansion
    }

    /// Whether the input is added.
    pub fn adds_input(&self) -> bool {
        self.stride == 1 && self.inputs == self.outputs
    }
}

/// One of the networks.
#[derive(Debug, Clone, PartialEq)]
pub struct EfficientNetLite {
    /// Height and width of the pictures it was made for.
    pub pixels: usize,
    /// Share of the numbers left out before the last layer.
    pub dropout: f64,
    /// Between the first and the last convolution.
    pub blocks: Vec<Block>,
}

impl EfficientNetLite {
    /// EfficientNet-Lite0 to Lite4.
    pub fn of_size(size: usize) -> Result<Self> {
        let (width, depth, pixels, dropout) = match size {
            0 => (1.0, 1.0, 224, 0.2),
            1 => (1.0, 1.1, 240, 0.2),
            2 => (1.1, 1.2, 260, 0.3),
            3 => (1.2, 1.4, 280, 0.3),
            4 => (1.4, 1.8, 300, 0.3),
            _ => return Err(Error::invalid(format!("there is no EfficientNet-Lite{size}, expected 0 to 4"))),
        };
        let mut blocks = Vec::new();
        let mut inputs = STEM;
        for (number, [repeats, kernel, stride, expansion, channels]) in STAGES.into_iter().enumerate() {
            // First and last stage are repeated as they are.
            let ends = number == 0 || number + 1 == STAGES.len();
            let repeats = if ends { repeats } else { (depth * repeats as f64).ceil() as usize };
            let outputs = scaled(channels, width);
            for repeat in 0..repeats {
                let stride = if repeat == 0 { stride } else { 1 };
                blocks.push(Block { inputs, outputs, expansion, kernel, stride });
                inputs = outputs;
            }
        }
        Ok(Self { pixels, dropout, blocks })
    }

    /// Channels of the last block.
    pub fn features(&self) -> usize {
        self.blocks.last().map_or(STEM, |block| block.outputs)
    }

    /// The published tensors as those of our network: `stem.*`, `block.N.expand.*`, `.depthwise.*`, `.project.*`,
    /// `features.*`, each `.weight` with its batch normalisation under `.norm`, and `output.*`, which answers ImageNet's
    /// classes. `path` is where they come from, for errors that list what is missing, misshapen or of another network.
    pub fn weights(&self, path: &Path, published: &Weights) -> Result<Weights> {
        let parts = self.parts();
        compare(&path.display().to_string(), &self.expected(), published, |name| {
            name.ends_with(".num_batches_tracked")
        })?;
        let mut ours = Weights::default();
        let mut add = |name: String, tensor: Tensor| ours.tensors.insert(name, tensor);
        for part in &parts {
            add(format!("{}.weight", part.ours), convolution(published.get(&format!("{}.weight", part.conv))?));
            for name in NORM {
                add(format!("{}.norm.{name}", part.ours), published.get(&format!("{}.{name}", part.norm))?.clone());
            }
        }
        add("output.weight".into(), linear(published.get("_fc.weight")?));
        add("output.bias".into(), published.get("_fc.bias")?.clone());
        Ok(ours)
    }

    /// Name and shape of every published tensor that is read.
    fn expected(&self) -> Vec<(String, Vec<usize>)> {
        let mut expected: Vec<(String, Vec<usize>)> = Vec::new();
        for part in self.parts() {
            let channels = part.shape[0];
            expected.push((format!("{}.weight", part.conv), part.shape.to_vec()));
            expected.extend(NORM.map(|name| (format!("{}.{name}", part.norm), vec![channels])));
        }
        expected.push(("_fc.weight".into(), vec![CLASSES, HEAD]));
        expected.push(("_fc.bias".into(), vec![CLASSES]));
        expected
    }

    /// Every convolution with its batch normalisation.
    fn parts(&self) -> Vec<Part> {
        let part = |ours: String, conv: String, norm: String, shape| Part { ours, conv, norm, shape };
        let mut parts = vec![part("stem".into(), "_conv_stem".into(), "_bn0".into(), [STEM, 3, 3, 3])];
        for (number, block) in self.blocks.iter().enumerate() {
            let mut push = |ours: &str, conv: &str, norm: &str, shape| {
                let theirs = |name: &str| format!("_blocks.{number}.{name}");
                parts.push(part(format!("block.{number}.{ours}"), theirs(conv), theirs(norm), shape));
            };
            if block.expansion != 1 {
                push("expand", "_expand_conv", "_bn0", [block.inner(), block.inputs, 1, 1]);
            }
            push("depthwise", "_depthwise_conv", "_bn1", [block.inner(), 1, block.kernel, block.kernel]);
            push("project", "_project_conv", "_bn2", [block.outputs, block.inner(), 1, 1]);
        }
        parts.push(part("features".into(), "_conv_head".into(), "_bn1".into(), [HEAD, self.features(), 1, 1]));
        parts
    }
}

/// The tensors of a batch normalisation, which we call the same.
const NORM: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

/// A convolution, without bias, and its batch normalisation.
struct Part {
    ours: String,
    conv: String,
    norm: String,
    /// `[outputs, inputs / groups, height, width]`.
    shape: [usize; 4],
}

/// Channels times `width`, rounded to a multiple of 8, and not more than a tenth down.
fn scaled(channels: usize, width: f64) -> usize {
    let wanted = channels as f64 * width;
    let rounded = ((wanted + 4.0) as usize / 8 * 8).max(8);
    if (rounded as f64) < 0.9 * wanted { rounded + 8 } else { rounded }
}

/// Zeros around a picture by TensorFlow's `SAME`, `[before, after]`, along an axis of this length.
pub fn same_padding(length: usize, kernel: usize, stride: usize) -> [usize; 2] {
    let around = ((length.div_ceil(stride).max(1) - 1) * stride + kernel).saturating_sub(length);
    [around / 2, around - around / 2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::plan::tests::picture;
    use crate::net::tests::target;
    use crate::net::{Head, check_weights};
    use crate::spec::Loss;

    #[test]
    fn the_sizes_are_those_of_the_published_networks() {
        // `scaled` against the package's `round_filters`, the blocks against its `_blocks`.
        let check = |size: usize, pixels: usize, blocks: usize, last: usize| {
            let net = EfficientNetLite::of_size(size).unwrap();
            assert_eq!((net.pixels, net.blocks.len(), net.features()), (pixels, blocks, last), "lite{size}");
        };
        check(0, 224, 16, 320);
        check(1, 240, 21, 320);
        check(2, 260, 21, 352);
        check(3, 280, 24, 384);
        check(4, 300, 30, 448);
        assert!(EfficientNetLite::of_size(5).is_err());
        let net = EfficientNetLite::of_size(0).unwrap();
        let block = |inputs, outputs, expansion, kernel, stride| Block { inputs, outputs, expansion, kernel, stride };
        assert_eq!(net.blocks[0], block(32, 16, 1, 3, 1));
        assert_eq!(net.blocks[5], block(40, 80, 6, 3, 2));
        assert_eq!(net.blocks[15], block(192, 320, 6, 3, 1));
        assert!(net.blocks[2].adds_input() && !net.blocks[1].adds_input() && !net.blocks[15].adds_input());
    }

    #[test]
    fn the_published_tensors_are_those_of_our_network() {
        let tensor = |(name, shape): (String, Vec<usize>)| {
            let data = vec![0.0; shape.iter().product()];
            (name, Tensor { shape, data })
        };
        let net = EfficientNetLite::of_size(0).unwrap();
        let published = Weights { tensors: net.expected().into_iter().map(tensor).collect() };
        let ours = net.weights(Path::new("lite0.pth"), &published).unwrap();
        let head = Head::of(&target(CLASSES), Loss::Auto).unwrap();
        let plan = crate::net::efficientnet(&net, 0.2, &picture(64, 3), head).unwrap();
        check_weights(&plan.shapes(), &ours).unwrap();
        // 4,652,008 learned numbers, as the package counts them.
        assert_eq!(plan.learned(), 4_652_008);
    }

    #[test]
    fn padding_puts_the_odd_zero_behind() {
        assert_eq!(same_padding(224, 3, 2), [0, 1]);
        assert_eq!(same_padding(112, 3, 1), [1, 1]);
        assert_eq!(same_padding(56, 5, 2), [1, 2]);
        assert_eq!(same_padding(7, 3, 2), [1, 1]);
        assert_eq!(same_padding(4, 1, 2), [0, 0]);
    }
}
