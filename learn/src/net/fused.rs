//! The network on the CPU: forward, backward and the optimiser's step by our own kernels, in memory kept from step to
//! step.
//!
//! There is no graph and no tensor here. A dense network's backward pass is known when it is built. Measured on two
//! cores of an EPYC 9005 with 784-128-10 and 32 rows: a step takes 59 microseconds; recording and walking the graph of
//! three operations behind Burn's extension API alone takes 12 (`examples/extension_step.rs`), a fifth of that, and
//! could not join the optimiser's step to the gradient. Products by the `gemm` crate took 76 and 89 microseconds on one
//! core where the kernels take about 20 and 50, the whole of Adam included.

use std::collections::BTreeMap;

use super::batch::Batch;
use super::{Layers, Memory, loss_and_gradient};
use crate::kernels::{self, Buffer, DenseState, Matrix, Moments, Targets, Team, Update};
use crate::random::Stream;
use crate::{Result, Tensor, Weights};

/// Rows worked on at once where nothing is learned.
const ANSWER_ROWS: usize = 256;
/// Numbers of input above which two threads gather them.
const SPLIT_INPUTS_MIN: usize = 1 << 13;
/// More threads than this wait for one another longer than they work, on networks of this kind.
const THREADS_MAX: usize = 8;
/// Streams of random numbers from here on belong to dropout.
pub(super) const DROPOUT_STREAM: u64 = 0x6472_6f70_6f75_7400;

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

    /// Learns from one batch. Gives its loss before the step. Where the loss is not finite nothing is learned.
    pub(crate) fn step(&mut self, batch: Batch, targets: Targets, update: &Update, chance: Chance) -> f32 {
        let _small = kernels::FlushDenormals::new();
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
        let _small = kernels::FlushDenormals::new();
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
                kernels::dropout_mask(stream.bits(chance.step), layers.dropout, 0, &mut mask.data[..used]);
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

    /// What the optimiser remembers, and no gradient: none is left over from a step.
    pub(crate) fn memory(&self) -> Memory {
        let of = |which: usize| {
            self.export(
                |state| panels(state, state.weight_moments.all()[which]),
                |state| state.bias_moments.all()[which].to_vec(),
                |table| table.moments.all()[which].to_vec(),
            )
        };
        [of(0), of(1), of(2), Weights::default()]
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

    /// Takes over what an optimiser remembered; `memory` as `memory()` gave it.
    pub(crate) fn restore(&mut self, memory: &Memory) -> Result<()> {
        for (which, moments) in memory.iter().enumerate().take(3) {
            if moments.tensors.is_empty() {
                continue;
            }
            self.layers.check(moments)?;
            for (layer, table) in self.layers.embeddings.iter().zip(&mut self.tables) {
                fill(table.moments.all_mut()[which], &moments.get(&layer.weight)?.data);
            }
            for (layer, state) in self.layers.dense.iter().zip(&mut self.dense) {
                let rows = &moments.get(&layer.weight)?.data;
                let panels = kernels::Panels::from_rows(layer.inputs, layer.outputs, rows);
                fill(state.weight_moments.all_mut()[which], &panels.data);
                fill(state.bias_moments.all_mut()[which], &moments.get(&layer.bias)?.data);
            }
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{Encoded, NumericPart};
    use crate::kernels::Decay;
    use crate::net::tests::{layers_of, numeric, target};
    use crate::net::{Head, HeadActivation, HeadLoss, initial_weights};
    use crate::spec::{Activation, DenseSpec, Loss, NetSpec};

    const CHANCE: Chance = Chance { seed: 5, step: 3 };
    const ACTIVATIONS: [Activation; 5] =
        [Activation::Sigmoid, Activation::Relu, Activation::Relu6, Activation::LeakyRelu, Activation::Tanh];
    const LOSSES: [(usize, Loss); 6] = [
        (0, Loss::Auto),
        (2, Loss::BinaryCrossEntropy),
        (2, Loss::MeanSquaredError),
        (2, Loss::CategoricalCrossEntropy),
        (4, Loss::CategoricalCrossEntropy),
        (4, Loss::MeanSquaredError),
    ];

    /// A network in f64, written for this test: plain loops over names and rows.
    struct Reference<'a> {
        layers: &'a Layers,
        weights: BTreeMap<String, Vec<f64>>,
        /// Dropout masks per hidden layer and row.
        masks: Vec<Vec<Vec<f64>>>,
    }

    impl Reference<'_> {
        fn loss(&self, numbers: &[f32], codes: &[i32], targets: &[f32]) -> f64 {
            let rows = targets.len();
            let (width, tables) = (numbers.len() / rows, codes.len() / rows);
            let mut total = 0.0;
            for row in 0..rows {
                let mut values: Vec<f64> = numbers[row * width..][..width].iter().map(|x| f64::from(*x)).collect();
                for (table, code) in self.layers.embeddings.iter().zip(&codes[row * tables..]) {
                    let vectors = &self.weights[&table.weight];
                    values.extend(&vectors[*code as usize * table.dimension..][..table.dimension]);
                }
                for (number, layer) in self.layers.dense.iter().enumerate() {
                    let (weight, bias) = (&self.weights[&layer.weight], &self.weights[&layer.bias]);
                    let sum =
                        |o: usize| (0..layer.inputs).map(|i| values[i] * weight[i * layer.outputs + o]).sum::<f64>();
                    let sums: Vec<f64> = (0..layer.outputs).map(|o| sum(o) + bias[o]).collect();
                    let mask = |o: usize| self.masks.get(number).map_or(1.0, |mask| mask[row][o]);
                    values = sums.iter().enumerate().map(|(o, x)| activated(layer.activation, *x) * mask(o)).collect();
                }
                total += row_loss(self.layers.head, &values, f64::from(targets[row]));
            }
            total / rows as f64
        }
    }

    fn activated(activation: Option<Activation>, x: f64) -> f64 {
        match activation {
            None => x,
            Some(Activation::Relu) => x.max(0.0),
            Some(Activation::Relu6) => x.clamp(0.0, 6.0),
            Some(Activation::LeakyRelu) => x.max(0.01 * x),
            Some(Activation::Sigmoid) => 1.0 / (1.0 + (-x).exp()),
            Some(Activation::Tanh) => x.tanh(),
            Some(other) => panic!("{other:?} is not for these kernels"),
        }
    }

    fn row_loss(head: Head, outputs: &[f64], target: f64) -> f64 {
        let p = match head.activation {
            HeadActivation::Linear => return (outputs[0] - target).powi(2),
            HeadActivation::Sigmoid => {
                let p = 1.0 / (1.0 + (-outputs[0]).exp());
                vec![1.0 - p, p]
            }
            HeadActivation::Softmax => {
                let sum: f64 = outputs.iter().map(|x| x.exp()).sum();
                outputs.iter().map(|x| x.exp() / sum).collect()
            }
        };
        let right = |class: usize| f64::from(u8::from(class as f64 == target));
        match (head.loss, head.activation) {
            (HeadLoss::CrossEntropy, _) => -p[target as usize].ln(),
            (HeadLoss::SquaredError, HeadActivation::Sigmoid) => (p[1] - target).powi(2),
            (_, _) => p.iter().enumerate().map(|(c, p)| (p - right(c)).powi(2)).sum::<f64>() / p.len() as f64,
        }
    }

    fn example(rows: usize, classes: usize) -> (NumericPart, Encoded, Vec<f32>) {
        let numbers: Vec<f32> = (0..rows * 3).map(|n| ((n * 29) % 23) as f32 / 7.0 - 1.6).collect();
        let codes = (0..rows * 2).map(|n| ((n * 5 + n / 7) % if n % 2 == 0 { 6 } else { 4 }) as i32).collect();
        let answer = |row: usize| if classes == 0 { (row % 5) as f32 * 0.7 - 1.0 } else { (row * 3 % classes) as f32 };
        let encoded = Encoded { rows, numbers, codes, ..Encoded::default() };
        (numeric(3, &[(6, 2), (4, 3)]), encoded, (0..rows).map(answer).collect())
    }

    /// The gradient of every weight: SGD with step size 1 moves it by just that. Against central differences in f64.
    fn check_gradient(activation: Activation, classes: usize, loss: Loss, dropout: f64) {
        let place = format!("{activation:?}, {classes} classes, {loss:?}, dropout {dropout}");
        let spec = NetSpec::Dense(DenseSpec { hidden: vec![7, 18], activation, dropout, ..DenseSpec::default() });
        let rows = 21;
        let (numeric, encoded, targets) = example(rows, classes);
        let layers = layers_of(&spec, &numeric, &target(classes), loss);
        let mut weights = initial_weights(&layers, 11);
        for table in &layers.embeddings {
            weights.tensors.get_mut(&table.weight).unwrap().data.iter_mut().for_each(|x| *x *= 10.0);
        }
        let update = Update::Sgd { learning_rate: 1.0, momentum: 0.0, nesterov: false, decay: Decay::NONE };
        let mut net = FusedNet::new(&layers, &weights, rows, &update, 2).unwrap();
        let all: Vec<u32> = (0..rows as u32).collect();
        let found = net.step(
            Batch { numeric: &numeric, encoded: &encoded, rows: &all },
            Targets::from(&targets[..]),
            &update,
            CHANCE,
        );
        let after = net.weights();
        let wide = |data: &[f32]| data.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let mask = |mask: &Matrix| (0..rows).map(|row| wide(mask.row(row))).collect();
        let mut reference = Reference {
            layers: &layers,
            weights: weights.tensors.iter().map(|(name, tensor)| (name.clone(), wide(&tensor.data))).collect(),
            masks: net.room.masks.iter().map(mask).collect(),
        };
        let expected = reference.loss(&encoded.numbers, &encoded.codes, &targets);
        assert!((f64::from(found) / expected - 1.0).abs() < 1e-5, "{place}: loss {found} for {expected}");
        for (name, tensor) in &weights.tensors {
            let moved = |at: usize| f64::from(tensor.data[at]) - f64::from(after.tensors[name].data[at]);
            let mut differences = Vec::new();
            for at in 0..tensor.data.len() {
                let mut shifted = |h: f64| {
                    reference.weights.get_mut(name).unwrap()[at] = f64::from(tensor.data[at]) + h;
                    reference.loss(&encoded.numbers, &encoded.codes, &targets)
                };
                let gradient = (shifted(1e-6) - shifted(-1e-6)) / 2e-6;
                shifted(0.0);
                differences.push((moved(at) - gradient, gradient));
            }
            let norm = |of: &dyn Fn(&(f64, f64)) -> f64| differences.iter().map(|d| of(d).powi(2)).sum::<f64>().sqrt();
            let error = norm(&|d| d.0) / norm(&|d| d.1).max(1e-4);
            assert!(error < 1e-3, "{place}: the gradient of {name} is off by {error}");
        }
    }

    #[test]
    fn every_gradient_follows_central_differences_in_f64() {
        for activation in ACTIVATIONS {
            for (classes, loss) in LOSSES {
                check_gradient(activation, classes, loss, 0.0);
            }
            check_gradient(activation, 4, Loss::Auto, 0.4);
        }
    }
}
