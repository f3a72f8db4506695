//! Every operation's forward pass.

use super::net::{PlanNet, Tensors, tokens_of};
use super::room::{Kept, Room};
use super::shapes::{Steps, put};
use super::{Node, NodeId, Op, Pick, Plan, Role, Window};
use crate::kernels::{
    self, AttentionDropout, AttentionInput, Buffer, ConvShape, LinearShape, Norm, NormScratch, PoolShape,
    RecurrentWeights, Running, Team,
};
use crate::net::Chance;
use crate::net::fused::DROPOUT_STREAM;
use crate::random::Stream;
use crate::spec::Activation;

/// Share of a batch's statistics that comes into the running ones.
pub(crate) const MOMENTUM: f32 = 0.1;

/// A node at work.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) plan: &'a Plan,
    pub(super) id: NodeId,
    pub(super) node: &'a Node,
    /// Rows of the batch.
    pub(super) rows: usize,
    /// Tokens of its longest text.
    pub(super) length: usize,
    /// None where nothing is learned.
    pub(super) chance: Option<Chance>,
    /// Whether there are gradients of earlier batches, to be added to.
    pub(super) pending: bool,
}

impl PlanNet {
    /// All values from those of the inputs; `chance` where something is learned from them.
    pub(super) fn forward(&mut self, chance: Option<Chance>) {
        let Self { plan, team, tensors, room, .. } = self;
        let (rows, length) = (room.count, room.length);
        for (id, node) in plan.nodes.iter().enumerate() {
            Work { plan, id, node, rows, length, chance, pending: false }.forward(team, tensors, room);
        }
    }
}

impl Work<'_> {
    /// The node that is read first.
    pub(super) fn source(&self) -> &Node {
        &self.plan.nodes[self.node.inputs[0]]
    }

    /// Numbers in use of a node's value.
    pub(super) fn used(&self, node: &Node) -> usize {
        self.rows * node.size(self.length)
    }

    /// The vectors of the first input as a sequence.
    pub(super) fn steps<'l>(&self, lengths: &'l [Vec<u32>]) -> Steps<'l> {
        let source = self.source();
        let width = source.width();
        let lengths = tokens_of(self.node).and_then(|tokens| lengths.get(tokens)).filter(|lengths| !lengths.is_empty());
        Steps { steps: source.size(self.length) / width, width, lengths: lengths.map(|lengths| &lengths[..self.rows]) }
    }

    /// The sizes of a pool.
    pub(super) fn pool(&self, window: &Window) -> PoolShape {
        let ConvShape { height, width, channels, kernel, stride, padding, .. } = self.picture(window, 1);
        PoolShape { height, width, channels, kernel, stride, padding }
    }

    /// The sizes of a convolution.
    pub(super) fn picture(&self, window: &Window, groups: usize) -> ConvShape {
        let source = self.source();
        ConvShape {
            height: source.steps(self.length),
            width: source.shape[1],
            channels: source.shape[2],
            kernel: window.kernel,
            stride: window.stride,
            padding: window.padding,
            outputs: self.node.width(),
            groups,
        }
    }

    /// The numbers of a parameter.
    pub(super) fn value<'v>(&self, values: &'v [Buffer], id: usize) -> &'v [f32] {
        &values[id][..self.plan.parameters[id].len()]
    }

    /// The numbers of different parameters.
    pub(super) fn parts<'g, const N: usize>(&self, all: &'g mut [Buffer], ids: [usize; N]) -> [&'g mut [f32]; N] {
        let mut left: Vec<Option<&mut Buffer>> = all.iter_mut().map(Some).collect();
        ids.map(|id| match left[id].take() {
            Some(buffer) => {
                let used = self.plan.parameters[id].len().min(buffer.len());
                &mut buffer[..used]
            }
            None => &mut [],
        })
    }

    /// The sizes of a linear layer.
    pub(super) fn layer(&self, activation: Option<Activation>) -> LinearShape {
        let (inputs, outputs) = (self.source().width(), self.node.width());
        LinearShape { rows: self.used(self.node) / outputs, inputs, outputs, activation }
    }

    /// Random bits of this node in this step.
    pub(super) fn chance(&self, share: f32) -> Option<u64> {
        let chance = self.chance.filter(|_| share > 0.0)?;
        Some(Stream::new(chance.seed, DROPOUT_STREAM + self.id as u64).bits(chance.step))
    }

    fn forward(self, team: &mut Team, tensors: &mut Tensors, room: &mut Room) {
        let Some(&first) = self.node.inputs.first() else { return };
        let Room { values, codes, lengths, kept, .. } = room;
        let (before, after) = values.split_at_mut(self.id);
        let used = self.used(self.node);
        let out = &mut after[0][..used];
        let (taken, width) = (self.used(self.source()), self.node.width());
        let input = before[first].get(..taken).unwrap_or_default();
        match (&self.node.op, &mut kept[self.id]) {
            (Op::Embedding { table }, _) => {
                let codes = &codes[first][..taken];
                kernels::gather(team, self.value(&tensors.values, *table), codes, width, out);
                if self.node.timed {
                    forget_padding(codes, width, out);
                }
            }
            (Op::Positions { table }, _) => {
                out.copy_from_slice(input);
                let vectors = &self.value(&tensors.values, *table)[..self.node.size(self.length)];
                kernels::add_to_rows(team, out, vectors);
            }
            (Op::Mean, _) => match self.steps(lengths) {
                Steps { lengths: None, .. } => kernels::global_average_forward(team, self.rows, width, input, out),
                steps => steps.mean(input, out),
            },
            (Op::Max, Kept::Places(places)) => self.steps(lengths).max(input, out, &mut places[..used]),
            (Op::Pick(which), _) => self.steps(lengths).pick(*which == Pick::Last, input, out),
            (Op::Turn, _) => self.steps(lengths).turn(input, out),
            (Op::Activate(activation), Kept::Slopes(slopes)) if self.chance.is_some() => {
                out.copy_from_slice(input);
                kernels::activate_with_slope(*activation, out, &mut slopes[..taken]);
            }
            (Op::Activate(activation), _) => {
                out.copy_from_slice(input);
                kernels::activate(*activation, out);
            }
            (Op::Add(activation), _) => {
                let other = &before[self.node.inputs[1]][..taken];
                kernels::sum(team, input, other, *activation == Some(Activation::Relu), out);
                if let Some(activation) = activation.filter(|activation| *activation != Activation::Relu) {
                    kernels::activate(activation, out);
                }
            }
            (Op::Dropout(share), Kept::Mask(mask)) => {
                kernels::copy(team, input, out);
                if let Some(bits) = self.chance(*share) {
                    kernels::dropout_mask_on(team, bits, f64::from(*share), &mut mask[..used]);
                    kernels::multiply_on(team, out, &mask[..used]);
                }
            }
            (&Op::Reconstruction { scale, offset }, _) => {
                let back = &before[self.node.inputs[1]][..taken];
                let fixed = [scale, offset].map(|id| self.value(&tensors.values, id)[0]);
                kernels::reconstruction_score(input, back, fixed, out);
            }
            (Op::Concat, _) => self.concat(before, out),
            (Op::Reshape, _) => out.copy_from_slice(input),
            (_, kept) => self.layer_forward(team, tensors, self.steps(lengths).lengths, input, out, kept),
        }
    }

    /// Operations with weights or with much to reckon.
    fn layer_forward(
        &self,
        team: &mut Team,
        tensors: &mut Tensors,
        lengths: Option<&[u32]>,
        input: &[f32],
        out: &mut [f32],
        kept: &mut Kept,
    ) {
        let value = |id: usize| self.value(&tensors.values, id);
        match (&self.node.op, kept) {
            (Op::Linear { weight, bias, activation }, kept) => {
                let slopes = match kept {
                    Kept::Slopes(slopes) if self.chance.is_some() => Some(&mut slopes[..out.len()]),
                    _ => None,
                };
                let weights = (value(*weight), value(*bias));
                kernels::linear_forward(team, self.layer(*activation), input, weights, out, slopes);
            }
            (Op::Conv { window, weight, bias, groups, activation }, Kept::Conv(scratch)) => {
                let shape = self.picture(window, *groups);
                let bias = bias.map_or(&[][..], value);
                kernels::conv_forward(team, self.rows, &shape, input, value(*weight), bias, *activation, out, scratch);
            }
            (Op::MaxPool(window), Kept::Places(places)) => {
                kernels::max_pool_forward(team, self.rows, &self.pool(window), input, out, &mut places[..out.len()]);
            }
            (Op::BatchNorm { .. }, Kept::BatchNorm(norm)) => {
                self.batch_norm(team, &mut tensors.values, input, out, norm);
            }
            (Op::LayerNorm { gain, bias, .. }, Kept::LayerNorm(norm)) => {
                norm.forward(team, input, value(*gain), value(*bias), out);
            }
            (Op::Attention { dropout, .. }, Kept::Attention(attention)) => {
                let input = self.attention_input(input, lengths, *dropout);
                attention.set_length(self.node.steps(self.length));
                match self.chance {
                    Some(_) => attention.forward(team, input, out),
                    None => attention.answer(team, input, out),
                }
            }
            (&Op::Recurrent { input: weight, recurrent, bias, .. }, Kept::Recurrent(layer)) => {
                let weights = RecurrentWeights { input: value(weight), hidden: value(recurrent), bias: value(bias) };
                layer.set_steps(self.node.steps(self.length));
                layer.forward(team, self.rows, input, weights, out, self.node.width());
            }
            _ => {}
        }
    }

    /// Whether a parameter stays as it is.
    pub(super) fn is_frozen(&self, id: usize) -> bool {
        self.plan.parameters[id].role == Role::Frozen
    }

    /// What an attention layer reads; the same on the way back.
    pub(super) fn attention_input<'i>(
        &self,
        qkv: &'i [f32],
        valid: Option<&'i [u32]>,
        dropout: f32,
    ) -> AttentionInput<'i> {
        let dropout = self.chance(dropout).map(|key| AttentionDropout { key, share: f64::from(dropout) });
        AttentionInput { qkv, valid, dropout }
    }

    fn batch_norm(
        &self,
        team: &mut Team,
        values: &mut [Buffer],
        input: &[f32],
        out: &mut [f32],
        kept: &mut NormScratch,
    ) {
        let Op::BatchNorm { gain, bias, statistics, epsilon, activation } = self.node.op else { return };
        let width = self.node.width();
        let [gain, bias, mean, variance] = self.parts(values, [gain, bias, statistics[0], statistics[1]]);
        let norm = Norm { gain: &*gain, bias: &*bias, epsilon };
        let relu = activation.is_some();
        match self.chance {
            // A batch of one vector has no variance to learn from.
            Some(_) if input.len() > width && !self.is_frozen(statistics[0]) => {
                let running = Running { mean, variance, momentum: MOMENTUM };
                kernels::batch_norm_forward(team, input, norm, running, relu, out, kept);
            }
            _ => kernels::batch_norm_infer(team, input, norm, mean, variance, relu, out, kept),
        }
    }

    fn concat(&self, values: &[Buffer], out: &mut [f32]) {
        let mut at = 0;
        for &input in &self.node.inputs {
            let source = &self.plan.nodes[input];
            put(&values[input][..self.used(source)], source.width(), out, at, self.node.width());
            at += source.width();
        }
    }
}

/// The vectors of padding are 0, whatever the table holds for it.
pub(super) fn forget_padding(codes: &[i32], width: usize, vectors: &mut [f32]) {
    for (vector, _) in vectors.chunks_exact_mut(width).zip(codes).filter(|(_, code)| **code == 0) {
        vector.fill(0.0);
    }
}
