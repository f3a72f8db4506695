//! Any network in Burn's plain operations: what GPUs run, and what the fused kernels are compared with.

mod dense;
mod device;
mod loss;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use burn::tensor::{Device, FloatDType, Tensor as BurnTensor, TensorData, activation};
pub(crate) use device::{best, check};
use device::{half, open};
use loss::loss;

use super::batch::Batch;
use super::device::{Accelerator, Kind};
use super::fused::Chance;
use super::plan::{Plan, Role};
use super::{Design, Head, Layers, Memory, StepRule};
use crate::kernels::{Decay, Targets, Update};
use crate::spec::{Activation, Precision};
use crate::{Error, Result, Tensor, Weights};

/// Rows worked on at once where nothing is learned.
const ANSWER_ROWS: usize = 256;

/// Steps without an overflow after which the scale of a loss is doubled.
const SCALE_STEPS: f32 = 2000.0;
/// The scale's name among what is remembered; no tensor of a network is called so.
const SCALE: &str = "loss scale";

/// A network with all it needs to learn, on a device of Burn or several.
#[derive(Debug)]
pub(crate) struct PlainNet {
    form: Form,
    head: Head,
    accelerator: Accelerator,
    /// The first holds the parameters; each works on its share of the rows.
    devices: Vec<Device>,
    scale: LossScale,
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

/// By what the loss is multiplied before it goes back, so that small gradients are not lost in 16-bit floats (Micikevicius
/// et al. 2018, section 3.2): halved where one overflows, doubled after many steps where none did.
#[derive(Debug, Clone, Copy, PartialEq)]
struct LossScale {
    factor: f32,
    /// Steps since it changed.
    steps: f32,
}

/// The rows of a batch that one device works on.
#[derive(Debug, Clone, Copy)]
struct Shard<'a> {
    batch: Batch<'a>,
    /// The rows of all devices.
    whole: Batch<'a>,
    /// Place of the first row among those.
    first: usize,
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

/// What the forward passes of a batch give, on the first device.
struct Learned {
    loss: BurnTensor<1>,
    /// As in [`Passed`]: the mean of the devices', weighted by rows.
    statistics: Values,
}

impl PlainNet {
    /// A network with these weights on a device, or on all of a kind. Refuses designs that are no network, and devices
    /// that are not there.
    pub(crate) fn new(accelerator: Accelerator, design: &Design, weights: &Weights) -> Result<Self> {
        Self::on(open(accelerator)?, accelerator, design, weights)
    }

    /// The same on these devices.
    fn on(devices: Vec<Device>, accelerator: Accelerator, design: &Design, weights: &Weights) -> Result<Self> {
        design.check(weights)?;
        let devices: Vec<Device> = devices.into_iter().map(Device::autodiff).collect();
        let device = first(&devices)?.clone().inner();
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
            let (shape, role) = (tensor.shape.clone(), role(name, tensor));
            (name.clone(), Parameter { value: upload(tensor, &device), shape, role, kept: Default::default() })
        };
        let parameters = weights.tensors.iter().map(parameter).collect();
        Ok(Self { form, head, accelerator, devices, scale: LossScale::FIRST, parameters })
    }

    /// Where it lives, in words.
    pub(crate) fn device(&self) -> String {
        let Accelerator { kind, precision, .. } = self.accelerator;
        let place = match (kind, self.devices.len()) {
            (Kind::Flex, _) => "cpu, Burn's own operations".to_owned(),
            (_, 1) => self.accelerator.name(),
            (kind, count) => format!("{count} x {}", kind.name()),
        };
        if precision == Precision::F32 { place } else { format!("{place}, products in {}", precision.name()) }
    }

    /// As `FusedNet::step`, by the whole rule. The rows are shared among the devices; gradients come together on the first.
    pub(crate) fn step(&mut self, batch: Batch, targets: Targets, rule: &StepRule, chance: Chance) -> Result<f32> {
        let track = |(name, parameter): (&String, &Parameter)| {
            let value = BurnTensor::from_inner(parameter.value.clone());
            (name.clone(), if parameter.role.is_learned() { value.require_grad() } else { value })
        };
        let tracked: Values = self.parameters.iter().map(track).collect();
        let Learned { loss, statistics } = self.learn(batch, targets, &tracked, chance)?;
        let scale = if self.accelerator.precision == Precision::F16 { self.scale.factor } else { 1.0 };
        let mut gradients = (loss.clone() * scale).backward();
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
                let gradient = gradient * (rule.share / scale);
                *so_far = Some(match so_far.take() {
                    Some(sum) => sum + gradient,
                    None => gradient,
                });
            }
        }
        if rule.steps {
            self.follow(rule);
        }
        Ok(loss)
    }

    /// The mean loss of a batch, each device with its share of the rows.
    fn learn(&self, batch: Batch, targets: Targets, tracked: &Values, chance: Chance) -> Result<Learned> {
        let (rows, count) = (batch.rows.len(), self.devices.len());
        let each = rows.div_ceil(count).max(1);
        let home = first(&self.devices)?;
        let mut losses: Option<BurnTensor<1>> = None;
        let mut statistics = Values::new();
        for (number, (part, device)) in batch.rows.chunks(each).zip(&self.devices).enumerate() {
            let begin = number * each;
            let shard = Shard { batch: Batch { rows: part, ..batch }, whole: batch, first: begin };
            let targets = targets.part(begin..begin + part.len(), rows);
            let moved = tracked.iter().map(|(name, value)| (name.clone(), value.clone().to_device(device)));
            let passed = self.forward(shard, &moved.collect(), device, Some(chance))?;
            let mixed = targets.mixed.map(|mixed| loss(self.head, passed.logits.clone(), mixed.into(), device));
            let mut found = loss(self.head, passed.logits, targets, device);
            if let Some(mixed) = mixed {
                found = found + mixed;
            }
            let share = part.len() as f32 / rows as f32;
            let found = (found * share).to_device(home);
            losses = Some(match losses.take() {
                Some(sum) => sum + found,
                None => found,
            });
            for (name, moved) in passed.statistics {
                let moved = moved.to_device(home) * share;
                let sum = match statistics.remove(&name) {
                    Some(sum) => moved + sum,
                    None => moved,
                };
                statistics.insert(name, sum);
            }
        }
        let loss = losses.ok_or_else(|| Error::Internal("a batch has no rows".into()))?;
        Ok(Learned { loss, statistics })
    }

    /// Makes the step of the gradient so far; drops it where 16-bit floats overflowed.
    fn follow(&mut self, rule: &StepRule) {
        if self.accelerator.precision == Precision::F16 && !self.scale.holds(self.is_finite()) {
            self.parameters.values_mut().for_each(|parameter| parameter.kept[3] = None);
            return;
        }
        self.clip(rule);
        for parameter in self.parameters.values_mut() {
            if let Some(gradient) = parameter.kept[3].take() {
                parameter.step(gradient, &rule.update);
            }
        }
    }

    fn gradients(&self) -> impl Iterator<Item = BurnTensor<2>> {
        self.parameters.values().filter_map(|parameter| parameter.kept[3].clone())
    }

    /// Whether every number of the gradient is.
    fn is_finite(&self) -> bool {
        total(self.gradients().map(|gradient| gradient * 0.0)) == 0.0
    }

    /// As `StepRule::clip`.
    fn clip(&mut self, rule: &StepRule) {
        let cut = |gradient: BurnTensor<2>| match rule.clip_value {
            Some(size) => gradient.clamp(-size, size),
            None => gradient,
        };
        let factor = rule.clip_norm.map_or(1.0, |most| {
            let squares = total(self.gradients().map(|gradient| cut(gradient).square()));
            (most / (squares.sqrt() + 1e-6)).min(1.0)
        });
        for parameter in self.parameters.values_mut() {
            let [.., so_far] = &mut parameter.kept;
            *so_far = so_far.take().map(|gradient| cut(gradient) * factor);
        }
    }

    /// As `FusedNet::logits`.
    pub(crate) fn logits(&mut self, batch: Batch, out: &mut Vec<f32>) -> Result<()> {
        let values: Values = self.parameters.iter().map(|(name, p)| (name.clone(), p.value.clone())).collect();
        let device = first(&self.devices)?.clone().inner();
        for rows in batch.rows.chunks(ANSWER_ROWS) {
            let batch = Batch { rows, ..batch };
            let shard = Shard { batch, whole: batch, first: 0 };
            out.extend(download(self.forward(shard, &values, &device, None)?.logits)?);
        }
        Ok(())
    }

    fn forward(&self, shard: Shard, values: &Values, device: &Device, chance: Option<Chance>) -> Result<Passed> {
        let place = (device, self.accelerator.precision);
        match &self.form {
            Form::Dense(layers) => dense::forward(layers, shard, values, place, chance),
            Form::Plan(plan) => plan::forward(plan, shard, values, place, chance),
        }
    }

    /// The learned numbers.
    pub(crate) fn weights(&self) -> Result<Weights> {
        self.export(|parameter| Some(parameter.value.clone()))
    }

    /// As `FusedNet::memory`, with the gradient so far.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let of = |which: usize| self.export(|parameter| parameter.kept[which].clone());
        let mut memory = [of(0)?, of(1)?, of(2)?, of(3)?];
        if self.accelerator.precision == Precision::F16 {
            let LossScale { factor, steps } = self.scale;
            memory[3].tensors.insert(SCALE.to_owned(), Tensor { shape: vec![2], data: vec![factor, steps] });
        }
        Ok(memory)
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
    pub(crate) fn restore(&mut self, memory: &Memory) -> Result<()> {
        let device = first(&self.devices)?.clone().inner();
        for (name, parameter) in &mut self.parameters {
            parameter.kept = memory.each_ref().map(|kept| kept.tensors.get(name).map(|tensor| upload(tensor, &device)));
        }
        if let Some([factor, steps]) = memory[3].tensors.get(SCALE).map(|tensor| &tensor.data[..]) {
            self.scale = LossScale { factor: *factor, steps: *steps };
        }
        Ok(())
    }
}

impl LossScale {
    /// As PyTorch's `GradScaler` begins.
    const FIRST: Self = Self { factor: 65536.0, steps: 0.0 };

    /// Whether a step may be made; the scale of the next.
    fn holds(&mut self, is_finite: bool) -> bool {
        if !is_finite {
            *self = Self { factor: self.factor / 2.0, steps: 0.0 };
        } else if self.steps + 1.0 < SCALE_STEPS {
            self.steps += 1.0;
        } else {
            *self = Self { factor: self.factor * 2.0, steps: 0.0 };
        }
        is_finite
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

/// The device that holds the parameters.
fn first(devices: &[Device]) -> Result<&Device> {
    devices.first().ok_or_else(|| Error::Internal("a network on no device".into()))
}

/// The sum of all numbers.
fn total(tensors: impl Iterator<Item = BurnTensor<2>>) -> f32 {
    tensors.map(BurnTensor::sum).reduce(|a, b| a + b).map_or(0.0, |sum| sum.into_scalar::<f32>())
}

/// A product in this precision; all other operations are in f32, as with PyTorch's `autocast`.
fn product<const D: usize>(a: BurnTensor<D>, b: BurnTensor<D>, precision: Precision) -> BurnTensor<D> {
    match half(precision) {
        None => a.matmul(b),
        Some(kind) => a.cast(kind).matmul(b.cast(kind)).cast(FloatDType::F32),
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
