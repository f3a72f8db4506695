//! Any network in Burn's plain operations: what GPUs run, and what the fused kernels are compared with.

mod dense;
mod device;
mod loss;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor as BurnTensor, TensorData, activation};
use device::open;
pub(crate) use device::{best, check};
use loss::loss;

use super::batch::Batch;
use super::device::{Accelerator, Kind};
use super::fused::Chance;
use super::plan::{Plan, Role};
use super::{Design, Head, Layers, Memory, StepRule};
use crate::kernels::{Decay, Targets, Update};
use crate::spec::Activation;
use crate::{Error, Result, Tensor, Weights};

/// Rows worked on at once where nothing is learned.
const ANSWER_ROWS: usize = 256;

/// A network with all it needs to learn, on a device of Burn.
#[derive(Debug)]
pub(crate) struct PlainNet {
    form: Form,
    head: Head,
    accelerator: Accelerator,
    device: Device,
    /// By name; each `[all axes but the last, the last]`, where it has one axis `[1, the axis]`.
    parameters: BTreeMap<String, Parameter>,
}

#[derive(Debug)]
enum Form {
    Dense(Layers),
    Plan(Plan),
}

#[derive(Debug)]
struct Parameter {
    value: BurnTensor<2>,
    shape: Vec<usize>,
    role: Role,
    /// First, second and third moment, and the gradient so far.
    kept: [Option<BurnTensor<2>>; 4],
}

/// The parameters of a forward pass, tracked or not.
type Values = BTreeMap<String, BurnTensor<2>>;

/// What a forward pass gives.
struct Passed {
    /// `[rows, outputs]`.
    logits: BurnTensor<2>,
    /// Statistics that moved, by name; none where nothing is learned.
    statistics: Values,
}

impl PlainNet {
    /// A network with these weights on a device. Refuses designs that are no network, and devices that are not there.
    pub(crate) fn new(accelerator: Accelerator, design: &Design, weights: &Weights) -> Result<Self> {
        design.check(weights)?;
        let device = open(accelerator)?.autodiff();
        let (form, head) = match design {
            Design::Dense(layers) => (Form::Dense(layers.clone()), layers.head),
            Design::Plan(plan) => (Form::Plan(plan.clone()), plan.head),
            Design::Trees(_) | Design::Ensemble(_) => {
                return Err(Error::Internal("trees or an ensemble reached the training of one network".into()));
            }
        };
        let role = |name: &str, tensor: &Tensor| match &form {
            Form::Dense(_) if tensor.shape.len() == 2 => Role::Weight,
            Form::Dense(_) => Role::Bias,
            Form::Plan(plan) => plan.parameters.iter().find(|p| p.name == name).map_or(Role::Frozen, |p| p.role),
        };
        let parameter = |(name, tensor): (&String, &Tensor)| {
            let value = upload(tensor, &device.clone().inner());
            let (shape, role) = (tensor.shape.clone(), role(name, tensor));
            (name.clone(), Parameter { value, shape, role, kept: Default::default() })
        };
        let parameters = weights.tensors.iter().map(parameter).collect();
        Ok(Self { form, head, accelerator, device, parameters })
    }

    /// Where it lives, in words.
    pub(crate) fn device(&self) -> String {
        let Accelerator { kind, number } = self.accelerator;
        match kind {
            Kind::Flex => "cpu, Burn's own operations".to_owned(),
            kind => format!("{}:{number}", kind.name()),
        }
    }

    /// As `FusedNet::step`, by the whole rule.
    pub(crate) fn step(&mut self, batch: Batch, targets: Targets, rule: &StepRule, chance: Chance) -> Result<f32> {
        let track = |(name, parameter): (&String, &Parameter)| {
            let value = BurnTensor::from_inner(parameter.value.clone());
            (name.clone(), if parameter.role.is_learned() { value.require_grad() } else { value })
        };
        let tracked: Values = self.parameters.iter().map(track).collect();
        let Passed { logits, statistics } = self.forward(batch, &tracked, &self.device, Some(chance))?;
        let second = targets.mixed.map(|mixed| loss(self.head, logits.clone(), mixed.into(), &self.device));
        let first = loss(self.head, logits, targets, &self.device);
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
            if let Some(moved) = statistics.get(name) {
                parameter.value = moved.clone().inner();
            }
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
        let values: Values = self.parameters.iter().map(|(name, p)| (name.clone(), p.value.clone())).collect();
        let device = self.device.clone().inner();
        for rows in batch.rows.chunks(ANSWER_ROWS) {
            out.extend(download(self.forward(Batch { rows, ..batch }, &values, &device, None)?.logits)?);
        }
        Ok(())
    }

    fn forward(&self, batch: Batch, values: &Values, device: &Device, chance: Option<Chance>) -> Result<Passed> {
        match &self.form {
            Form::Dense(layers) => dense::forward(layers, batch, values, device, chance),
            Form::Plan(plan) => plan::forward(plan, batch, values, device, chance),
        }
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
        for (name, parameter) in &self.parameters {
            if let Some(tensor) = pick(parameter) {
                let tensor = Tensor { shape: parameter.shape.clone(), data: download(tensor)? };
                weights.tensors.insert(name.clone(), tensor);
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
        let update = if self.role == Role::Weight { *update } else { update.without_decay() };
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

fn activate(x: BurnTensor<2>, function: Option<Activation>) -> BurnTensor<2> {
    match function {
        None => x,
        Some(Activation::Relu) => activation::relu(x),
        Some(Activation::Relu6) => x.clamp(0.0, 6.0),
        Some(Activation::LeakyRelu) => activation::leaky_relu(x, 0.01),
        Some(Activation::Sigmoid) => activation::sigmoid(x),
        Some(Activation::Tanh) => activation::tanh(x),
        Some(Activation::Gelu) => activation::gelu(x),
        Some(Activation::Silu) => activation::silu(x),
    }
}

/// A parameter by its name.
fn value(values: &Values, name: &str) -> Result<BurnTensor<2>> {
    values.get(name).cloned().ok_or_else(|| Error::Internal(format!("no parameter \"{name}\"")))
}

fn download(tensor: BurnTensor<2>) -> Result<Vec<f32>> {
    tensor.into_data().try_to_vec::<f32>().map_err(|e| Error::Internal(format!("a tensor as numbers: {e:?}")))
}
