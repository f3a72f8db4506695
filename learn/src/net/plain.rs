//! The network in Burn's plain operations: what other devices run, and what the fused kernels are compared with.

use std::collections::BTreeMap;

use burn::tensor::{Device, Int, Tensor as BurnTensor, TensorData, activation};

use super::batch::Batch;
use super::fused::{Chance, DROPOUT_STREAM};
use super::{Head, HeadActivation, HeadLoss, Layers, Memory, StepRule};
use crate::kernels::{Decay, Targets, Update, dropout_mask};
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
    /// First, second and third moment, and the gradient so far.
    kept: [Option<BurnTensor<2>>; 4],
}

impl PlainNet {
    /// A network with these weights on `device`.
    pub(crate) fn new(layers: &Layers, weights: &Weights, device: Device) -> Result<Self> {
        layers.check(weights)?;
        let device = device.autodiff();
        let parameter = |(name, tensor): (&String, &Tensor)| {
            let value = upload(tensor, &device.clone().inner());
            let parameter = Parameter { value, decays: tensor.shape.len() == 2, kept: Default::default() };
            (name.clone(), parameter)
        };
        let parameters = weights.tensors.iter().map(parameter).collect();
        Ok(Self { layers: layers.clone(), device, parameters })
    }

    /// As `FusedNet::step`, by the whole rule.
    pub(crate) fn step(&mut self, batch: Batch, targets: Targets, rule: &StepRule, chance: Chance) -> Result<f32> {
        let tracked: BTreeMap<String, BurnTensor<2>> = self
            .parameters
            .iter()
            .map(|(name, p)| (name.clone(), BurnTensor::from_inner(p.value.clone()).require_grad()))
            .collect();
        let logits = self.forward(batch, &tracked, &self.device, Some(chance))?;
        let second = targets.mixed.map(|mixed| loss(self.layers.head, logits.clone(), mixed.into(), &self.device));
        let first = loss(self.layers.head, logits, targets, &self.device);
        let loss = match second {
            Some(second) => first + second,
            None => first,
        };
        let mut gradients = loss.backward();
        let loss = loss.into_scalar::<f32>();
        if !loss.is_finite() {
            return Ok(loss);
        }
        for (name, parameter) in &mut self.parameters {
            if let Some(gradient) = tracked.get(name).and_then(|value| value.grad_remove(&mut gradients)) {
                let [.., so_far] = &mut parameter.kept;
                let gradient = gradient * rule.share;
                *so_far = Some(match so_far.take() {
                    Some(sum) => sum + gradient,
                    None => gradient,
                });
            }
        }
        if rule.steps {
            self.clip(rule);
            for parameter in self.parameters.values_mut() {
                if let Some(gradient) = parameter.kept[3].take() {
                    parameter.step(gradient, &rule.update);
                }
            }
        }
        Ok(loss)
    }

    /// As `StepRule::clip`.
    fn clip(&mut self, rule: &StepRule) {
        let gradients = || self.parameters.values().filter_map(|parameter| parameter.kept[3].clone());
        let cut = |gradient: BurnTensor<2>| match rule.clip_value {
            Some(size) => gradient.clamp(-size, size),
            None => gradient,
        };
        let factor = rule.clip_norm.map_or(1.0, |most| {
            let squares = gradients().map(|gradient| cut(gradient).square().sum().into_scalar::<f32>());
            (most / (squares.sum::<f32>().sqrt() + 1e-6)).min(1.0)
        });
        for parameter in self.parameters.values_mut() {
            let [.., so_far] = &mut parameter.kept;
            *so_far = so_far.take().map(|gradient| cut(gradient) * factor);
        }
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

    /// As `FusedNet::memory`, with the gradient so far.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let of = |which: usize| self.export(|parameter| parameter.kept[which].clone());
        Ok([of(0)?, of(1)?, of(2)?, of(3)?])
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

    /// Takes over what was kept.
    pub(crate) fn restore(&mut self, memory: &Memory) {
        let device = self.device.clone().inner();
        for (name, parameter) in &mut self.parameters {
            parameter.kept = memory.each_ref().map(|kept| kept.tensors.get(name).map(|tensor| upload(tensor, &device)));
        }
    }
}

impl Parameter {
    /// The formulas of `kernels::Update`.
    fn step(&mut self, gradient: BurnTensor<2>, update: &Update) {
        let update = if self.decays { *update } else { update.without_decay() };
        let value = self.value.clone();
        let decayed = |decay: Decay| gradient + value.clone() * decay.l2 + value.clone().sign() * decay.l1;
        let [first, second, third, _] = &mut self.kept;
        let mean = |kept: &mut Option<BurnTensor<2>>, [keep, take]: [f32; 2], new: BurnTensor<2>| {
            let new = new * take;
            let mean = match kept.take() {
                Some(kept) => kept * keep + new,
                None => new,
            };
            *kept = Some(mean.clone());
            mean
        };
        let step = match update {
            Update::Sgd { learning_rate, momentum, nesterov, decay } => {
                let gradient = decayed(decay);
                let step = match momentum {
                    0.0 => gradient,
                    _ if nesterov => mean(first, [momentum, 1.0], gradient.clone()) * momentum + gradient,
                    _ => mean(first, [momentum, 1.0], gradient),
                };
                step * learning_rate
            }
            Update::Adam { step_size, root, first: by_first, second: by_second, epsilon, kept, decay } => {
                let gradient = decayed(decay);
                let mean_gradient = mean(first, by_first, gradient.clone());
                let square = mean(second, by_second, gradient.square());
                mean_gradient / (square.sqrt() * root + epsilon) * step_size + value.clone() * (1.0 - kept)
            }
            Update::Adagrad { learning_rate, epsilon, decay } => {
                let gradient = decayed(decay);
                let sum = mean(second, [1.0, 1.0], gradient.clone().square());
                gradient / (sum.sqrt() + epsilon) * learning_rate
            }
            Update::Adadelta { learning_rate, mean: by, epsilon, decay } => {
                let gradient = decayed(decay);
                let square = mean(second, by, gradient.clone().square());
                let earlier = third.clone().unwrap_or_else(|| gradient.zeros_like());
                let step = (earlier + epsilon).sqrt() / (square + epsilon).sqrt() * gradient;
                mean(third, by, step.clone().square());
                step * learning_rate
            }
            Update::Rmsprop { learning_rate, mean: by, momentum, centered, epsilon, decay } => {
                let gradient = decayed(decay);
                let mut square = mean(second, by, gradient.clone().square());
                if centered {
                    square = (square - mean(third, by, gradient.clone()).square()).clamp_min(0.0);
                }
                let step = gradient / (square.sqrt() + epsilon);
                let step = if momentum == 0.0 { step } else { mean(first, [momentum, 1.0], step) };
                step * learning_rate
            }
        };
        self.value = value - step;
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
fn loss(head: Head, outputs: BurnTensor<2>, targets: Targets, device: &Device) -> BurnTensor<1> {
    use {HeadActivation as A, HeadLoss as L};
    let rows = outputs.dims()[0];
    let tensor = |data: Vec<f32>| {
        let columns = data.len() / rows;
        BurnTensor::<2>::from_data(TensorData::new(data, [rows, columns]), device)
    };
    let mut expected = targets.values.to_vec();
    if head.activation == A::Softmax {
        expected = vec![0.0; rows * head.outputs];
        targets.values.iter().enumerate().for_each(|(row, class)| expected[row * head.outputs + *class as usize] = 1.0);
    }
    let expected = tensor(expected);
    let smoothed = {
        let among = if head.activation == A::Softmax { head.outputs } else { 2 };
        expected.clone() * (1.0 - head.smoothing) + head.smoothing / among as f32
    };
    let squared = |error: BurnTensor<2>| (error.clone() * error).mean_dim(1);
    // ln of the right class' probability, and of the classes' by their share.
    let ln_p = |share: BurnTensor<2>| match head.activation {
        A::Softmax => (activation::log_softmax(outputs.clone(), 1) * share).sum_dim(1),
        // t ln s(x) + (1 - t) ln s(-x)
        _ => {
            let positive = activation::log_sigmoid(outputs.clone()) * share.clone();
            positive + activation::log_sigmoid(outputs.clone().neg()) * (share.neg() + 1.0)
        }
    };
    let losses = match (head.activation, head.loss) {
        (A::Linear, L::AbsoluteError) => (outputs - expected).abs().mean_dim(1),
        (A::Linear, L::Huber { delta }) => {
            let error = (outputs - expected).abs();
            let near = error.clone().clamp_max(delta);
            (near.clone() * (error - near * 0.5)).mean_dim(1)
        }
        (A::Linear, L::Quantile { quantile }) => {
            let error = expected - outputs;
            (error.clone().clamp_min(0.0) * quantile - error.clamp_max(0.0) * (1.0 - quantile)).mean_dim(1)
        }
        (A::Linear, _) => squared(outputs - expected),
        (A::Sigmoid, L::SquaredError) => squared(activation::sigmoid(outputs) - expected),
        (A::Softmax, L::SquaredError) => squared(activation::softmax(outputs, 1) - expected),
        (_, L::Focal { gamma }) => {
            let ln_p = ln_p(expected);
            let rest = ln_p.clone().exp().neg() + 1.0;
            rest.powf_scalar(gamma) * ln_p.neg()
        }
        (_, _) => ln_p(smoothed).neg(),
    };
    let weighted = match targets.weights {
        [] => losses,
        weights => losses * tensor(weights.to_vec()),
    };
    weighted.mean()
}
