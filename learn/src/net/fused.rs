//! The network on the CPU: forward, backward and the optimiser's step by our own kernels, in memory kept from step to
//! step.
//!
//! There is no graph and no tensor here. A dense network's backward pass is known when it is built, and a step of
//! 784-128-10 with 32 rows takes about 80 microseconds: what recording a graph costs would be a good part of it
//! (measured in `examples/dense_step.rs`, beside Burn's own operations).

use std::collections::BTreeMap;

use super::batch::Batch;
use super::{Head, HeadActivation, HeadLoss, Layers};
use crate::kernels::{self, Buffer, DenseState, Matrix, Moments, Team, Update};
use crate::random::Stream;
use crate::{Result, Tensor, Weights};

/// Rows worked on at once where nothing is learned.
const ANSWER_ROWS: usize = 256;
/// Numbers of input above which two threads gather them.
const SPLIT_INPUTS_MIN: usize = 1 << 13;
/// More threads than this wait for one another longer than they work, on networks of this kind.
const THREADS_MAX: usize = 8;
/// Streams of random numbers from here on belong to dropout.
const DROPOUT_STREAM: u64 = 0x6472_6f70_6f75_7400;

/// A network with all it needs to learn.
#[derive(Debug)]
pub(crate) struct FusedNet {
    layers: Layers,
    team: Team,
    tables: Vec<Table>,
    dense: Vec<DenseState>,
    room: Room,
}

/// A table of learned vectors.
#[derive(Debug)]
struct Table {
    dimension: usize,
    weight: Buffer,
    moments: Moments,
    /// 0 between steps.
    gradient: Buffer,
}

/// Memory of a step.
#[derive(Debug)]
struct Room {
    rows: usize,
    /// `[rows, inputs]`.
    input: Matrix,
    /// `[rows, tables]`.
    codes: Vec<i32>,
    /// Per layer `[rows, outputs]`: after the activation; of the last layer the logits, then their gradient.
    outputs: Vec<Matrix>,
    /// Per hidden layer where there is dropout: the mask, and the outputs under it.
    masks: Vec<Matrix>,
    masked: Vec<Matrix>,
    /// Per hidden layer `[rows, outputs]`: the gradient of its sums.
    deltas: Vec<Matrix>,
    /// Per layer `[outputs, rows]`: the gradient of its sums, turned.
    turned_deltas: Vec<Matrix>,
    /// Per layer `[inputs, rows]`: the gradient of its input, turned; of the first layer that of the embeddings.
    turned_inputs: Vec<Matrix>,
}

impl Room {
    fn new(layers: &Layers, rows: usize) -> Self {
        let hidden = &layers.dense[..layers.dense.len() - 1];
        let each = |width: &dyn Fn(&super::DenseLayer) -> usize, layers: &[super::DenseLayer]| -> Vec<Matrix> {
            layers.iter().map(|layer| Matrix::zeros(rows, width(layer))).collect()
        };
        let masked = if layers.dropout > 0.0 { hidden } else { &[] };
        let gradients = |number: usize, inputs: usize| if number == 0 { inputs - layers.dense_inputs } else { inputs };
        Self {
            rows,
            input: Matrix::zeros(rows, layers.inputs()),
            codes: vec![0; rows * layers.embeddings.len()],
            outputs: each(&|layer| layer.outputs, &layers.dense),
            masks: each(&|layer| layer.outputs, masked),
            masked: each(&|layer| layer.outputs, masked),
            deltas: each(&|layer| layer.outputs, hidden),
            turned_deltas: layers.dense.iter().map(|layer| Matrix::zeros(layer.outputs, rows)).collect(),
            turned_inputs: layers
                .dense
                .iter()
                .enumerate()
                .map(|(number, layer)| Matrix::zeros(gradients(number, layer.inputs), rows))
                .collect(),
        }
    }
}

/// What dropout depends on in a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chance {
    /// The run's seed.
    pub(crate) seed: u64,
    /// Steps made before this one, over all epochs.
    pub(crate) step: u64,
}

impl FusedNet {
    /// A network with these weights that learns up to `rows` rows at a time by steps of the kind of `update`.
    pub(crate) fn new(
        layers: &Layers,
        weights: &Weights,
        rows: usize,
        update: &Update,
        threads: usize,
    ) -> Result<Self> {
        layers.check(weights)?;
        let mut tables = Vec::new();
        for layer in &layers.embeddings {
            let data = &weights.get(&layer.weight)?.data;
            let mut weight = Buffer::zeros(data.len());
            weight[..data.len()].copy_from_slice(data);
            let (moments, gradient) = (Moments::zeros(update, data.len()), Buffer::zeros(data.len()));
            tables.push(Table { dimension: layer.dimension, weight, moments, gradient });
        }
        let mut dense = Vec::new();
        for layer in &layers.dense {
            let (weight, bias) = (&weights.get(&layer.weight)?.data, &weights.get(&layer.bias)?.data);
            dense.push(DenseState::new(layer.inputs, layer.outputs, weight, bias, update));
        }
        let room = Room::new(layers, rows.max(ANSWER_ROWS));
        Ok(Self { layers: layers.clone(), team: Team::new(threads.clamp(1, THREADS_MAX)), tables, dense, room })
    }

    /// Threads that work on a step.
    pub(crate) fn threads(&self) -> usize {
        self.team.threads()
    }

    /// Learns from one batch: `targets` are class numbers or standardised values, one per row. Gives the batch's loss
    /// before the step. Where the loss is not finite nothing is learned.
    pub(crate) fn step(&mut self, batch: Batch, targets: &[f32], update: &Update, chance: Chance) -> f32 {
        let rows = batch.rows.len();
        self.fill(batch);
        self.forward(rows, Some(chance));
        let logits = self.room.outputs.len() - 1;
        let loss = loss_and_gradient(self.layers.head, &mut self.room.outputs[logits], targets);
        if loss.is_finite() {
            self.backward(rows, update);
        }
        loss
    }

    /// Appends the last layer's outputs `[rows, outputs]` of any number of rows.
    pub(crate) fn logits(&mut self, batch: Batch, out: &mut Vec<f32>) {
        for rows in batch.rows.chunks(self.room.rows) {
            self.fill(Batch { rows, ..batch });
            self.forward(rows.len(), None);
            if let Some(last) = self.room.outputs.last() {
                (0..rows.len()).for_each(|row| out.extend_from_slice(last.row(row)));
            }
        }
    }

    fn fill(&mut self, batch: Batch) {
        let Room { input, codes, .. } = &mut self.room;
        let (stride, rows) = (input.stride, batch.rows);
        let part = &mut input.data[..rows.len() * stride];
        let threads = if part.len() < SPLIT_INPUTS_MIN { 1 } else { self.team.threads() };
        self.team.split(threads, part, stride, &|start, part| {
            let rows = &rows[start / stride..][..part.len() / stride];
            batch.numeric.write_dense_apart(batch.encoded, rows, stride, part);
        });
        let tables = self.tables.len();
        if tables == 0 {
            return;
        }
        batch.numeric.write_codes(batch.encoded, rows, &mut codes[..rows.len() * tables]);
        for row in 0..rows.len() {
            let mut slots = &mut input.row_mut(row)[self.layers.dense_inputs..];
            for (table, &code) in self.tables.iter().zip(&codes[row * tables..]) {
                let (slot, rest) = slots.split_at_mut(table.dimension);
                slot.copy_from_slice(&table.weight[code as usize * table.dimension..][..table.dimension]);
                slots = rest;
            }
        }
    }

    fn forward(&mut self, rows: usize, chance: Option<Chance>) {
        let Self { layers, team, dense, room, .. } = self;
        for (number, (layer, state)) in layers.dense.iter().zip(dense).enumerate() {
            let (before, after) = room.outputs.split_at_mut(number);
            let input = match number.checked_sub(1) {
                None => &room.input,
                Some(last) if chance.is_some() && !room.masked.is_empty() => &room.masked[last],
                Some(last) => &before[last],
            };
            let output = &mut after[0];
            kernels::dense_forward(team, rows, input, state, layer.activation, output);
            if let (Some(chance), Some(mask)) = (chance, room.masks.get_mut(number)) {
                let stream = Stream::new(chance.seed, DROPOUT_STREAM + number as u64);
                let used = rows * mask.stride;
                kernels::dropout_mask(stream.bits(chance.step), layers.dropout, &mut mask.data[..used]);
                room.masked[number].data[..used].copy_from_slice(&output.data[..used]);
                kernels::multiply(&mut room.masked[number].data[..used], &mask.data[..used]);
            }
        }
    }

    fn backward(&mut self, rows: usize, update: &Update) {
        let Self { layers, team, tables, dense, room } = self;
        let last = dense.len() - 1;
        for number in (0..=last).rev() {
            let (before, after) = room.deltas.split_at_mut(number);
            let delta = if number == last { &room.outputs[last] } else { &after[0] };
            let state = &mut dense[number];
            if number > 0 || !tables.is_empty() {
                let first = if number == 0 { layers.dense_inputs } else { 0 };
                let turned = &mut room.turned_deltas[number];
                delta.transpose_into(rows, delta.columns, turned);
                let inputs = first..state.weight.inputs;
                kernels::dense_backward(team, rows, inputs, state, turned, &mut room.turned_inputs[number]);
            }
            if let (Some(below), Some(earlier)) = (number.checked_sub(1), before.last_mut()) {
                let turned = &room.turned_inputs[number];
                turned.transpose_into(turned.rows, rows, earlier);
                let used = rows * earlier.stride;
                if let Some(mask) = room.masks.get(below) {
                    kernels::multiply(&mut earlier.data[..used], &mask.data[..used]);
                }
                if let Some(activation) = layers.dense[below].activation {
                    kernels::gradient(activation, &room.outputs[below].data[..used], &mut earlier.data[..used]);
                }
            }
            let input = match number.checked_sub(1) {
                None => &room.input,
                Some(below) => room.masked.get(below).unwrap_or(&room.outputs[below]),
            };
            kernels::dense_update(team, rows, input, delta, state, update);
        }
        update_tables(tables, &room.codes, rows, &room.turned_inputs[0], update);
    }

    /// The learned numbers.
    pub(crate) fn weights(&self) -> Weights {
        self.export(|state| state.weight.to_rows(), |state| state.bias.to_vec(), |table| table.weight.to_vec())
    }

    /// What the optimiser remembers: first and second moments by the names of the weights; empty where it needs none.
    pub(crate) fn moments(&self) -> [Weights; 2] {
        let of = |pick: &dyn Fn(&Moments) -> &Buffer| {
            self.export(
                |state| panels(state, pick(&state.weight_moments)),
                |state| pick(&state.bias_moments).to_vec(),
                |table| pick(&table.moments).to_vec(),
            )
        };
        [of(&|moments| &moments.first), of(&|moments| &moments.second)]
    }

    fn export(
        &self,
        weight: impl Fn(&DenseState) -> Vec<f32>,
        bias: impl Fn(&DenseState) -> Vec<f32>,
        table: impl Fn(&Table) -> Vec<f32>,
    ) -> Weights {
        let mut tensors = BTreeMap::new();
        let mut put = |name: &str, shape: Vec<usize>, mut data: Vec<f32>| {
            if !data.is_empty() {
                data.truncate(shape.iter().product());
                tensors.insert(name.to_owned(), Tensor { shape, data });
            }
        };
        for (layer, kept) in self.layers.embeddings.iter().zip(&self.tables) {
            put(&layer.weight, vec![layer.cardinality, layer.dimension], table(kept));
        }
        for (layer, state) in self.layers.dense.iter().zip(&self.dense) {
            put(&layer.weight, vec![layer.inputs, layer.outputs], weight(state));
            put(&layer.bias, vec![layer.outputs], bias(state));
        }
        Weights { tensors }
    }

    /// Takes over what an optimiser remembered; `moments` as `moments()` gave them.
    pub(crate) fn restore(&mut self, moments: &[Weights; 2]) -> Result<()> {
        for (which, moments) in moments.iter().enumerate() {
            if moments.tensors.is_empty() {
                continue;
            }
            self.layers.check(moments)?;
            for (layer, table) in self.layers.embeddings.iter().zip(&mut self.tables) {
                fill(slot(which, &mut table.moments), &moments.get(&layer.weight)?.data);
            }
            for (layer, state) in self.layers.dense.iter().zip(&mut self.dense) {
                let rows = &moments.get(&layer.weight)?.data;
                let panels = kernels::Panels::from_rows(layer.inputs, layer.outputs, rows);
                fill(slot(which, &mut state.weight_moments), &panels.data);
                fill(slot(which, &mut state.bias_moments), &moments.get(&layer.bias)?.data);
            }
        }
        Ok(())
    }
}

fn slot(which: usize, kept: &mut Moments) -> &mut Buffer {
    if which == 0 { &mut kept.first } else { &mut kept.second }
}

fn fill(slot: &mut Buffer, data: &[f32]) {
    let length = slot.len().min(data.len());
    slot[..length].copy_from_slice(&data[..length]);
}

/// Moments in panels as rows; nothing where there are none.
fn panels(state: &DenseState, moments: &Buffer) -> Vec<f32> {
    if moments.is_empty() {
        return vec![];
    }
    let (inputs, outputs) = (state.weight.inputs, state.weight.outputs);
    kernels::Panels { inputs, outputs, data: moments.clone() }.to_rows()
}

fn loss_and_gradient(head: Head, logits: &mut Matrix, targets: &[f32]) -> f32 {
    match (head.activation, head.loss) {
        (HeadActivation::Linear, _) => kernels::squared_error(logits, targets),
        (HeadActivation::Sigmoid, HeadLoss::CrossEntropy) => kernels::sigmoid_cross_entropy(logits, targets),
        (HeadActivation::Sigmoid, HeadLoss::SquaredError) => kernels::sigmoid_squared_error(logits, targets),
        (HeadActivation::Softmax, HeadLoss::CrossEntropy) => kernels::softmax_cross_entropy(logits, targets),
        (HeadActivation::Softmax, HeadLoss::SquaredError) => kernels::softmax_squared_error(logits, targets),
    }
}

/// Adds up the gradient of each vector in the order of the rows, and moves all vectors (a vector without gradient
/// moves too where the optimiser remembers one, as in PyTorch). `turned` is `[sum of dimensions, rows]`.
fn update_tables(tables: &mut [Table], codes: &[i32], rows: usize, turned: &Matrix, update: &Update) {
    let count = tables.len();
    let mut first = 0;
    for (number, table) in tables.iter_mut().enumerate() {
        for row in 0..rows {
            let code = codes[row * count + number] as usize;
            let slots = &mut table.gradient[code * table.dimension..][..table.dimension];
            for (n, slot) in slots.iter_mut().enumerate() {
                *slot += turned.data[(first + n) * turned.stride + row];
            }
        }
        first += table.dimension;
        kernels::update(update, &mut table.weight, &mut table.gradient, &mut table.moments);
    }
}
