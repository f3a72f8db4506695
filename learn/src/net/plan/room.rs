//! The memory of a step: values, what is kept for the way back, gradients. Kept from step to step.

use super::{Node, Op, Plan, inputs};
use crate::kernels::{
    Attention, AttentionShape, Buffer, ConvScratch, LayerNorm, Matrix, NormScratch, Recurrent, RecurrentShape,
};
use crate::net::Batch;

/// Memory of a step.
#[derive(Debug)]
pub(super) struct Room {
    /// Rows there is room for.
    pub(super) rows: usize,
    /// Rows of the batch at hand.
    pub(super) count: usize,
    /// Tokens of the longest text of the batch at hand.
    pub(super) length: usize,
    /// Per node `[rows, shape]`; empty where the value is whole numbers.
    pub(super) values: Vec<Buffer>,
    /// Per node the whole numbers `[rows, shape]`, empty elsewhere.
    pub(super) codes: Vec<Vec<i32>>,
    /// Per node of tokens how many of them each row has, at least 1.
    pub(super) lengths: Vec<Vec<u32>>,
    /// Per node what its way back needs.
    pub(super) kept: Vec<Kept>,
    /// Per node its gradient, where one came in already.
    pub(super) gradients: Vec<Option<Buffer>>,
    /// Gradients that are not in use.
    free: Vec<Buffer>,
    /// The last node's outputs, then their gradient: `[rows, outputs]`.
    pub(super) logits: Matrix,
}

/// What a node keeps for its way back.
#[derive(Debug)]
pub(super) enum Kept {
    /// Nothing beside the values.
    Nothing,
    /// 0 or `1 / (1 - share)` per number.
    Mask(Buffer),
    /// The place of each largest value in the input.
    Places(Vec<u32>),
    /// The derivative of each activation, where it cannot be told from its output.
    Slopes(Buffer),
    Conv(ConvScratch),
    BatchNorm(NormScratch),
    LayerNorm(LayerNorm),
    Attention(Attention),
    Recurrent(Recurrent),
}

impl Room {
    /// Room for batches of up to `rows` rows.
    pub(super) fn new(plan: &Plan, rows: usize) -> Self {
        let whole = |node: &Node| matches!(node.op, Op::Tokens(_) | Op::Code(_));
        let size = |node: &Node| rows * node.size(usize::MAX);
        let values = |node: &Node| if whole(node) { Buffer::default() } else { Buffer::zeros(size(node)) };
        let codes = |node: &Node| if whole(node) { vec![0; size(node)] } else { Vec::new() };
        let lengths = |node: &Node| if matches!(node.op, Op::Tokens(_)) { vec![0; rows] } else { Vec::new() };
        Self {
            rows,
            count: 0,
            length: 0,
            values: plan.nodes.iter().map(values).collect(),
            codes: plan.nodes.iter().map(codes).collect(),
            lengths: plan.nodes.iter().map(lengths).collect(),
            kept: plan.nodes.iter().map(|node| kept(node, &plan.nodes, rows)).collect(),
            gradients: plan.nodes.iter().map(|_| None).collect(),
            free: Vec::new(),
            logits: Matrix::zeros(rows, plan.head.outputs),
        }
    }

    /// A buffer of at least this many numbers; what it holds is left from before.
    pub(super) fn borrow(&mut self, numbers: usize) -> Buffer {
        let fits = |buffer: &Buffer| buffer.len() >= numbers;
        // The smallest that fits: the same choice every step, so that after the first step nothing is allocated.
        let best = (0..self.free.len()).filter(|&at| fits(&self.free[at])).min_by_key(|&at| self.free[at].len());
        match best {
            Some(at) => self.free.swap_remove(at),
            None => Buffer::zeros(numbers),
        }
    }

    /// Takes a buffer back.
    pub(super) fn give_back(&mut self, buffer: Buffer) {
        self.free.push(buffer);
    }

    /// The rows of a batch into the nodes that read them.
    pub(super) fn fill(&mut self, plan: &Plan, batch: Batch) {
        self.count = batch.rows.len();
        self.length = 0;
        for (node, lengths) in plan.nodes.iter().zip(&mut self.lengths) {
            if let Op::Tokens(column) = node.op {
                for (slot, length) in lengths.iter_mut().zip(inputs::lengths(batch, column)) {
                    *slot = length as u32;
                    self.length = self.length.max(length);
                }
            }
        }
        for (id, node) in plan.nodes.iter().enumerate() {
            let size = node.size(self.length);
            match node.op {
                Op::Tokens(_) | Op::Code(_) => inputs::write_codes(node, batch, size, &mut self.codes[id]),
                Op::Table | Op::Image(_) | Op::Series => {
                    inputs::write_numbers(node, batch, size, &mut self.values[id]);
                }
                _ => {}
            }
        }
    }
}

fn kept(node: &Node, nodes: &[Node], rows: usize) -> Kept {
    let (numbers, width) = (rows * node.size(usize::MAX), node.width());
    match node.op {
        Op::Dropout(_) => Kept::Mask(Buffer::zeros(numbers)),
        Op::MaxPool(_) | Op::Max => Kept::Places(vec![0; numbers]),
        Op::Linear { activation: Some(activation), .. } | Op::Activate(activation)
            if !activation.has_gradient_of_output() =>
        {
            Kept::Slopes(Buffer::zeros(numbers))
        }
        Op::Conv { .. } => Kept::Conv(ConvScratch::default()),
        Op::BatchNorm { .. } => Kept::BatchNorm(NormScratch::default()),
        Op::LayerNorm { epsilon, .. } => Kept::LayerNorm(LayerNorm::new(numbers / width, width, epsilon)),
        Op::Attention { heads, .. } => {
            Kept::Attention(Attention::new(AttentionShape { length: node.shape[0], width, heads }))
        }
        Op::Recurrent { cell, reverse, .. } => {
            let (inputs, steps) = (nodes[node.inputs[0]].width(), node.shape[0]);
            Kept::Recurrent(Recurrent::new(RecurrentShape { cell, inputs, units: width, steps, reverse }, rows))
        }
        _ => Kept::Nothing,
    }
}
