//! The network in Burn's plain operations: what other devices run, and what the fused kernels are compared with.

use std::collections::BTreeMap;

use burn::tensor::{Device, Int, Tensor as BurnTensor, TensorData, activation};

use super::batch::Batch;
use super::fused::{Chance, DROPOUT_STREAM};
use super::{Head, HeadActivation, HeadLoss, Layers};
use crate::kernels::{Update, dropout_mask};
use crate::random::Stream;
use crate::spec::Activation;
use crate::{Error, Result, Tensor, Weights};

/// A network with all it needs to learn, on a device of Burn.
#[derive(Debug)]
pub(crate) struct PlainNet {
    layers: Layers,
    device: Device,
    /// By name; biases are `[1, outputs]`.
    parameters: BTreeMap<String, Parameter>,
}

#[derive(Debug)]
struct Parameter {
    value: BurnTensor<2>,
    decays: bool,
    first: Option<BurnTensor<2>>,
    second: Option<BurnTensor<2>>,
}

impl PlainNet {
    /// A network with these weights on `device`.
    pub(crate) fn new(layers: &Layers, weights: &Weights, device: Device) -> Result<Self> {
        layers.check(weights)?;
        let device = device.autodiff();
        let parameter = |(name, tensor): (&String, &Tensor)| {
            let value = upload(tensor, &device.clone().inner());
            let parameter = Parameter { value, decays: tensor.shape.len() == 2, first: None, second: None };
            (name.clone(), parameter)
        };
        let parameters = weights.tensors.iter().map(parameter).collect();
        Ok(Self { layers: layers.clone(), device, parameters })
    }

    /// As `FusedNet::step`.
    pub(crate) fn step(&mut self, batch: Batch, targets: &[f32], update: &Update, chance: Chance) -> Result<f32> {
        let tracked: BTreeMap<String, BurnTensor<2>> = self
            .parameters
            .iter()
            .map(|(name, p)| (name.clone(), BurnTensor::from_inner(p.value.clone()).require_grad()))
            .collect();
        let logits = self.forward(batch, &tracked, &self.device, Some(chance))?;
        let loss = loss(self.layers.head, logits, targets, &self.device);
        let mut gradients = loss.backward();
        let loss = loss.into_scalar::<f32>();
        if loss.is_finite() {
            for (name, parameter) in &mut self.parameters {
                if let Some(gradient) = tracked.get(name).and_then(|value| value.grad_remove(&mut gradients)) {
                    parameter.step(gradient, update);
                }
            }
        }
        Ok(loss)
    }

    /// As `FusedNet::logits`.
    pub(crate) fn logits(&mut self, batch: Batch, out: &mut Vec<f32>) -> Result<()> {
        let values = self.parameters.iter().map(|(name, p)| (name.clone(), p.value.clone())).collect();
        let logits = self.forward(batch, &values, &self.device.clone().inner(), None)?;
        out.extend(download(logits)?);
        Ok(())
    }

    fn forward(
        &self,
        batch: Batch,
        values: &BTreeMap<String, BurnTensor<2>>,
        device: &Device,
        chance: Option<Chance>,
    ) -> Result<BurnTensor<2>> {
        let missing = |name: &str| Error::Internal(format!("no parameter \"{name}\""));
        let value = |name: &str| values.get(name).cloned().ok_or_else(|| missing(name));
        let rows = batch.rows.len();
        let mut dense = vec![0.0; rows * self.layers.dense_inputs];
        batch.numeric.write_dense(batch.encoded, batch.rows, &mut dense);
        let tables = self.layers.embeddings.len();
        let mut codes = vec![0; rows * tables];
        batch.numeric.write_codes(batch.encoded, batch.rows, &mut codes);
        let mut parts = Vec::new();
        if self.layers.dense_inputs > 0 {
            parts.push(BurnTensor::<2>::from_data(TensorData::new(dense, [rows, self.layers.dense_inputs]), device));
        }
        for (number, table) in self.layers.embeddings.iter().enumerate() {
            let codes: Vec<i32> = codes.iter().skip(number).step_by(tables).copied().collect();
            let codes = BurnTensor::<1, Int>::from_data(TensorData::new(codes, [rows]), device);
            parts.push(value(&table.weight)?.select(0, codes));
        }
        let mut x = BurnTensor::cat(parts, 1);
        for (number, layer) in self.layers.dense.iter().enumerate() {
            x = x.matmul(value(&layer.weight)?) + value(&layer.bias)?;
            x = match layer.activation {
                None => x,
                Some(Activation::Relu) => activation::relu(x),
                Some(Activation::LeakyRelu) => activation::leaky_relu(x, 0.01),
                Some(Activation::Sigmoid) => activation::sigmoid(x),
                Some(Activation::Tanh) => activation::tanh(x),
                Some(Activation::Gelu) => activation::gelu(x),
                Some(Activation::Silu) => activation::silu(x),
            };
            if let Some(chance) = chance.filter(|_| self.layers.dropout > 0.0 && layer.activation.is_some()) {
                // The fused network draws its mask for rows that begin at a cache line.
                let stride = layer.outputs.next_multiple_of(16);
                let mut mask = vec![0.0; rows * stride];
                let stream = Stream::new(chance.seed, DROPOUT_STREAM + number as u64);
                dropout_mask(stream.bits(chance.step), self.layers.dropout, &mut mask);
                let mask: Vec<f32> = mask.chunks(stride).flat_map(|row| row[..layer.outputs].to_vec()).collect();
                x = x * BurnTensor::<2>::from_data(TensorData::new(mask, [rows, layer.outputs]), device);
            }
        }
        Ok(x)
    }

    /// The learned numbers.
    pub(crate) fn weights(&self) -> Result<Weights> {
        self.export(|parameter| Some(parameter.value.clone()))
    }

    /// As `FusedNet::moments`.
    pub(crate) fn moments(&self) -> Result<[Weights; 2]> {
        Ok([self.export(|parameter| parameter.first.clone())?, self.export(|parameter| parameter.second.clone())?])
    }

    fn export(&self, pick: impl Fn(&Parameter) -> Option<BurnTensor<2>>) -> Result<Weights> {
        let mut weights = Weights::default();
        for (name, shape) in self.layers.shapes() {
            if let Some(tensor) = self.parameters.get(name).and_then(&pick) {
                weights.tensors.insert(name.to_owned(), Tensor { shape, data: download(tensor)? });
            }
        }
        Ok(weights)
    }

    /// Takes over what an optimiser remembered.
    pub(crate) fn restore(&mut self, moments: &[Weights; 2]) {
        let device = self.device.clone().inner();
        for (name, parameter) in &mut self.parameters {
            parameter.first = moments[0].tensors.get(name).map(|tensor| upload(tensor, &device));
            parameter.second = moments[1].tensors.get(name).map(|tensor| upload(tensor, &device));
        }
    }
}

impl Parameter {
    /// The formulas of `kernels::Update`.
    fn step(&mut self, gradient: BurnTensor<2>, update: &Update) {
        let value = self.value.clone();
        let decayed = |decay: f32| match decay != 0.0 && self.decays {
            true => gradient.clone() + value.clone() * decay,
            false => gradient.clone(),
        };
        match *update {
            Update::Sgd { learning_rate, momentum, decay } => {
                let mut kept = decayed(decay);
                if momentum != 0.0 {
                    kept = match self.first.take() {
                        Some(first) => first * momentum + kept,
                        None => kept,
                    };
                    self.first = Some(kept.clone());
                }
                self.value = value - kept * learning_rate;
            }
            Update::Adam { step_size, root, first: [keep1, rest1], second: [keep2, rest2], epsilon, decay } => {
                let gradient = decayed(decay);
                let grown = |kept: Option<BurnTensor<2>>, keep: f32, new: BurnTensor<2>| match kept {
                    Some(kept) => kept * keep + new,
                    None => new,
                };
                let first = grown(self.first.take(), keep1, gradient.clone() * rest1);
                let second = grown(self.second.take(), keep2, gradient.clone() * gradient * rest2);
                self.value = value - first.clone() / (second.clone().sqrt() * root + epsilon) * step_size;
                (self.first, self.second) = (Some(first), Some(second));
            }
        }
    }
}

fn upload(tensor: &Tensor, device: &Device) -> BurnTensor<2> {
    let columns = tensor.shape.last().copied().unwrap_or(1);
    let shape = [tensor.data.len() / columns.max(1), columns];
    BurnTensor::from_data(TensorData::new(tensor.data.clone(), shape), device)
}

fn download(tensor: BurnTensor<2>) -> Result<Vec<f32>> {
    tensor.into_data().try_to_vec::<f32>().map_err(|e| Error::Internal(format!("a tensor as numbers: {e:?}")))
}

/// The mean loss of a batch, as in `kernels::loss`.
fn loss(head: Head, logits: BurnTensor<2>, targets: &[f32], device: &Device) -> BurnTensor<1> {
    let rows = targets.len();
    let expected = match head.activation {
        HeadActivation::Softmax => {
            let mut one_hot = vec![0.0f32; rows * head.outputs];
            targets.iter().enumerate().for_each(|(row, class)| one_hot[row * head.outputs + *class as usize] = 1.0);
            one_hot
        }
        _ => targets.to_vec(),
    };
    let expected = BurnTensor::<2>::from_data(TensorData::new(expected, [rows, head.outputs]), device);
    let squared = |answers: BurnTensor<2>| {
        let error = answers - expected.clone();
        (error.clone() * error).mean()
    };
    match (head.activation, head.loss) {
        (HeadActivation::Linear, _) => squared(logits),
        (HeadActivation::Sigmoid, HeadLoss::SquaredError) => squared(activation::sigmoid(logits)),
        (HeadActivation::Softmax, HeadLoss::SquaredError) => squared(activation::softmax(logits, 1)),
        (HeadActivation::Sigmoid, HeadLoss::CrossEntropy) => {
            // -(t ln s(x) + (1 - t) ln s(-x))
            let positive = activation::log_sigmoid(logits.clone()) * expected.clone();
            let negative = activation::log_sigmoid(logits.neg()) * (expected.neg() + 1.0);
            (positive + negative).mean().neg()
        }
        (HeadActivation::Softmax, HeadLoss::CrossEntropy) => {
            (activation::log_softmax(logits, 1) * expected).sum() / -(rows as f32)
        }
    }
}
