//! What does a network of any kind consist of? Operations on values, each with a shape per row.
//!
//! A family (`net/conv.rs`, `net/recurrent.rs`, ...) writes its network down as a [`Plan`], once. From it come the first
//! weights, the check of foreign ones, the training step on the CPU ([`PlanNet`]) and the ONNX file. A plan is straight:
//! a node reads nodes before it, the last one gives the logits or the value.
//!
//! Layouts: pictures `[height, width, channels]`, sequences `[steps, width]`, weights `[inputs, outputs]`, those of
//! convolutions `[kernel height, kernel width, inputs / groups, outputs]`.

mod backward;
mod build;
mod forward;
mod freeze;
mod init;
pub(crate) mod inputs;
mod net;
#[cfg(test)]
pub(crate) mod reference;
mod room;
mod shapes;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use build::{Builder, ConvLayer, RecurrentLayer};
#[cfg(feature = "burn")]
pub(crate) use forward::MOMENTUM;
pub(crate) use init::initial_weights;
pub(crate) use net::PlanNet;

use super::Head;
pub(crate) use crate::kernels::Cell;
use crate::spec::Activation;

/// The place of a node in [`Plan::nodes`].
pub(crate) type NodeId = usize;
/// The place of a parameter in [`Plan::parameters`].
pub(crate) type ParameterId = usize;

/// A network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// In the order of the work; the last one's outputs go to the head.
    pub(crate) nodes: Vec<Node>,
    /// What is learned, and what is kept beside it.
    pub(crate) parameters: Vec<Parameter>,
    /// What becomes of the last node's outputs.
    pub(crate) head: Head,
}

/// One operation and the value it gives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// What is done.
    pub(crate) op: Op,
    /// The nodes it reads.
    pub(crate) inputs: Vec<NodeId>,
    /// Axes of the value of one row.
    pub(crate) shape: Vec<usize>,
    /// Whether the first axis counts tokens: then a step works on as many as the longest text of its batch has.
    pub(crate) timed: bool,
}

impl Node {
    /// Numbers per row where the first axis of timed nodes is `length` long.
    pub(crate) fn size(&self, length: usize) -> usize {
        self.steps(length) * self.shape.iter().skip(1).product::<usize>()
    }

    /// Length of the first axis where texts have up to `length` tokens.
    pub(crate) fn steps(&self, length: usize) -> usize {
        match (self.timed, self.shape.first()) {
            (true, Some(&most)) => length.min(most),
            (false, Some(&steps)) => steps,
            (_, None) => 1,
        }
    }

    /// Length of the last axis: the width of a vector, the channels of a picture.
    pub(crate) fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}

/// An operation. Figures of one row are given; every operation works on all rows of a batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    /// Numbers, indicators, ordinals and one-hots: `[table_width]`.
    Table,
    /// The code of an embedded category, by its place among them: a whole number.
    Code(usize),
    /// A picture column: `[height, width, channels]`.
    Image(usize),
    /// The tokens of a text column: whole numbers `[length]`.
    Tokens(usize),
    /// All series columns side by side: `[steps, series]`.
    Series,
    /// A learned vector per whole number; for padding 0.
    Embedding {
        /// `[count, width]`.
        table: ParameterId,
    },
    /// Adds a learned vector per step, `[steps, width]`.
    Positions {
        /// `[steps, width]`, of which the first ones are read.
        table: ParameterId,
    },
    /// `activation(x W + b)` along the last axis.
    Linear {
        /// `[inputs, outputs]`.
        weight: ParameterId,
        /// `[outputs]`.
        bias: ParameterId,
        /// None leaves the sums as they are.
        activation: Option<Activation>,
    },
    /// `activation(x * W + b)` over a picture.
    Conv {
        /// Kernel, stride, padding, groups.
        window: Window,
        /// `[kernel height, kernel width, inputs / groups, outputs]`.
        weight: ParameterId,
        /// `[outputs]`.
        bias: Option<ParameterId>,
        /// Inputs and outputs are divided into this many groups.
        groups: usize,
        /// None leaves the sums as they are.
        activation: Option<Activation>,
    },
    /// The largest value of each window.
    MaxPool(Window),
    /// The mean over all axes but the last; of a text over its tokens (second input).
    Mean,
    /// The largest value over all axes but the last; of a text over its tokens (second input).
    Max,
    /// One vector of a sequence.
    Pick(Pick),
    /// Batch normalisation over the last axis (Ioffe and Szegedy 2015), then the activation.
    BatchNorm {
        /// `[width]`.
        gain: ParameterId,
        /// `[width]`.
        bias: ParameterId,
        /// Running mean and variance `[width]`, read where nothing is learned.
        statistics: [ParameterId; 2],
        /// Added to the variance.
        epsilon: f32,
        /// ReLU or nothing.
        activation: Option<Activation>,
    },
    /// Layer normalisation over the last axis (Ba et al. 2016).
    LayerNorm {
        /// `[width]`.
        gain: ParameterId,
        /// `[width]`.
        bias: ParameterId,
        /// Added to the variance.
        epsilon: f32,
    },
    /// Puts every number through a function.
    Activate(Activation),
    /// The sum of two values of one shape, then the activation.
    Add(Option<Activation>),
    /// Leaves this share of the numbers out at random while learning.
    Dropout(f32),
    /// Scaled dot-product attention (Vaswani et al. 2017) on queries, keys and values side by side `[steps, 3 width]`;
    /// a second input names the tokens whose padding is not looked at.
    Attention {
        /// Parts of the width that look for themselves.
        heads: usize,
        /// Share of the attention left out at random while learning.
        dropout: f32,
    },
    /// A recurrent layer over a sequence `[steps, inputs]`: `[steps, units]`.
    Recurrent {
        /// LSTM or GRU.
        cell: Cell,
        /// `[inputs, gates x units]`.
        input: ParameterId,
        /// `[units, gates x units]`.
        recurrent: ParameterId,
        /// `[4 x units]`: of an LSTM one per gate, of a GRU those of reset, update and new, and of new's hidden product.
        bias: ParameterId,
        /// From the last step to the first.
        reverse: bool,
    },
    /// Turns the valid part of a text round; the padding stays. Its second input are the tokens.
    Turn,
    /// `scale * ln(mean squared difference) + offset` of two values of one shape: `[1]`.
    Reconstruction {
        /// `[1]`, not learned by steps.
        scale: ParameterId,
        /// `[1]`, not learned by steps.
        offset: ParameterId,
    },
    /// Values side by side along the last axis.
    Concat,
    /// The same numbers under other axes.
    Reshape,
}

/// Which vector of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    /// That of the first step.
    First,
    /// That of the last step; of a text that of its last token (second input).
    Last,
}

/// A window that moves over a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Height and width.
    pub(crate) kernel: [usize; 2],
    /// Steps down and to the right.
    pub(crate) stride: [usize; 2],
    /// Zeros (for maxima nothing) around the picture: top, left, bottom, right.
    pub(crate) padding: [usize; 4],
}

impl Window {
    /// A square window whose outputs are as many as the inputs where `stride` is 1 (kernel odd).
    pub(crate) fn same(kernel: usize, stride: usize) -> Self {
        let around = kernel / 2;
        Self { kernel: [kernel; 2], stride: [stride; 2], padding: [around; 4] }
    }

    /// A square window that stays inside the picture.
    pub(crate) fn inside(kernel: usize, stride: usize) -> Self {
        Self { kernel: [kernel; 2], stride: [stride; 2], padding: [0; 4] }
    }

    /// How many places the window has, down and to the right; nothing where it does not fit.
    pub(crate) fn places(&self, height: usize, width: usize) -> Option<[usize; 2]> {
        let [top, left, bottom, right] = self.padding;
        let place = |length: usize, kernel: usize, stride: usize| Some(length.checked_sub(kernel)? / stride + 1);
        let down = place(height + top + bottom, self.kernel[0], self.stride[0])?;
        Some([down, place(width + left + right, self.kernel[1], self.stride[1])?])
    }
}

/// A tensor of the network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parameter {
    /// Its name in the weights.
    pub(crate) name: String,
    /// Its axes.
    pub(crate) shape: Vec<usize>,
    /// With which numbers it begins.
    pub(crate) init: Init,
    /// What becomes of it while learning.
    pub(crate) role: Role,
}

impl Parameter {
    /// How many numbers it has.
    pub(crate) fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// What becomes of a tensor while learning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Learned, and made smaller by decay.
    Weight,
    /// Learned without decay: biases, gains, embeddings' vectors excepted.
    Bias,
    /// Kept beside what is learned: running statistics.
    Statistic,
    /// Stays as it is.
    Frozen,
}

impl Role {
    /// Whether steps change it.
    pub(crate) fn is_learned(self) -> bool {
        matches!(self, Self::Weight | Self::Bias)
    }
}

/// With which numbers a tensor begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Init {
    /// The same number everywhere.
    Constant(f32),
    /// By the activation behind it, for this many inputs and outputs of a unit: uniform with the variance of He et al.
    /// 2015 before ReLU and its kin, of Glorot and Bengio 2010 elsewhere.
    Fan {
        /// Inputs of a unit.
        inputs: usize,
        /// Units that an input reaches.
        outputs: usize,
        /// The activation behind it.
        activation: Option<Activation>,
    },
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// Uniform between plus and minus this.
    Uniform(f32),
}

impl Plan {
    /// How many numbers are learned.
    pub(crate) fn learned(&self) -> usize {
        self.parameters.iter().filter(|parameter| parameter.role.is_learned()).map(Parameter::len).sum()
    }

    /// The tensors of the linear layer that comes last.
    pub(crate) fn last_layer(&self) -> Vec<&str> {
        let name = |id: ParameterId| self.parameters[id].name.as_str();
        let mut layers = self.nodes.iter().rev().filter_map(|node| match node.op {
            Op::Linear { weight, bias, .. } => Some(vec![name(weight), name(bias)]),
            _ => None,
        });
        layers.next().unwrap_or_default()
    }

    /// Name and shape of every tensor.
    pub(crate) fn shapes(&self) -> Vec<(&str, Vec<usize>)> {
        self.parameters.iter().map(|parameter| (parameter.name.as_str(), parameter.shape.clone())).collect()
    }
}
