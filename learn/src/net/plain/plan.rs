//! A plan's forward pass. Values are `[rows * steps, width]`, where steps are all axes of a row but the last.

use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Bool, Device, FloatDType, Int, Tensor as BurnTensor, TensorData, activation, module};

use super::device::half;
use super::{Passed, Shard, Values, activate, product, value};
use crate::kernels::{RECONSTRUCTION_FLOOR, dropout_mask};
use crate::net::Chance;
use crate::net::fused::DROPOUT_STREAM;
use crate::net::plan::{Cell, MOMENTUM, Node, NodeId, Op, ParameterId, Pick, Plan, Role, Window, inputs};
use crate::random::Stream;
use crate::spec::Precision;
use crate::{Error, Result};

/// Added to scores of what must not be looked at.
const NEVER: f32 = -1e30;
/// Numbers a row of attention is filled up to, in its kernel and so in its mask.
const MASK_UNIT: usize = 16;

/// One forward pass.
pub(super) fn forward(
    plan: &Plan,
    shard: Shard,
    values: &Values,
    (device, precision): (&Device, Precision),
    chance: Option<Chance>,
) -> Result<Passed> {
    let longest = |node: &Node| match node.op {
        Op::Tokens(column) => inputs::lengths(shard.whole, column).max(),
        _ => None,
    };
    let length = plan.nodes.iter().filter_map(longest).max().unwrap_or(0);
    let (nodes, statistics) = (Vec::new(), Values::new());
    let mut pass = Pass { plan, shard, values, device, precision, chance, length, nodes, statistics };
    for (id, node) in plan.nodes.iter().enumerate() {
        let value = pass.node(id, node)?;
        pass.nodes.push(value);
    }
    match pass.nodes.pop() {
        Some(Value::Numbers(logits)) => Ok(Passed { logits, statistics: pass.statistics }),
        _ => Err(Error::Internal("a network ends in no numbers".into())),
    }
}

/// What a node gives.
enum Value {
    /// `[rows * steps, width]`.
    Numbers(BurnTensor<2>),
    /// Whole numbers, `[rows, steps]`.
    Codes(Vec<i32>),
}

struct Pass<'a> {
    plan: &'a Plan,
    shard: Shard<'a>,
    values: &'a Values,
    device: &'a Device,
    precision: Precision,
    chance: Option<Chance>,
    /// Tokens of the whole batch's longest text.
    length: usize,
    nodes: Vec<Value>,
    statistics: Values,
}

impl Pass<'_> {
    fn rows(&self) -> usize {
        self.shard.batch.rows.len()
    }

    fn parameter(&self, id: ParameterId) -> Result<BurnTensor<2>> {
        value(self.values, &self.plan.parameters[id].name)
    }

    /// The first input of a node.
    fn source(&self, node: &Node) -> &Node {
        &self.plan.nodes[node.inputs[0]]
    }

    /// The numbers of a node's input.
    fn input(&self, node: &Node, which: usize) -> Result<BurnTensor<2>> {
        match node.inputs.get(which).map(|id| &self.nodes[*id]) {
            Some(Value::Numbers(numbers)) => Ok(numbers.clone()),
            _ => Err(Error::Internal("a node reads numbers that are not there".into())),
        }
    }

    /// The first input as `[rows, steps, width]`.
    fn sequence(&self, node: &Node) -> Result<BurnTensor<3>> {
        let (source, input) = (self.source(node), self.input(node, 0)?);
        let width = source.width();
        Ok(input.reshape([self.rows(), source.size(self.length) / width, width]))
    }

    /// The first input as pictures `[rows, channels, height, width]`.
    fn pictures(&self, node: &Node) -> Result<BurnTensor<4>> {
        let (source, input) = (self.source(node), self.input(node, 0)?);
        let shape = [self.rows(), source.steps(self.length), source.shape[1], source.shape[2]];
        Ok(input.reshape(shape).permute([0, 3, 1, 2]))
    }

    fn numbers(&self, data: Vec<f32>, width: usize) -> BurnTensor<2> {
        let shape = [data.len() / width, width];
        BurnTensor::from_data(TensorData::new(data, shape), self.device)
    }

    fn places(&self, places: Vec<i32>) -> BurnTensor<1, Int> {
        let shape = [places.len()];
        BurnTensor::from_data(TensorData::new(places, shape), self.device)
    }

    /// Steps of each row that count, where the second input are tokens.
    fn lengths(&self, node: &Node) -> Option<Vec<usize>> {
        let id: NodeId = *node.inputs.get(1)?;
        match self.plan.nodes[id].op {
            Op::Tokens(column) => Some(inputs::lengths(self.shard.batch, column).collect()),
            _ => None,
        }
    }

    /// 0 or `1 / (1 - share)` for this many numbers of each row, as the kernels draw them for the whole batch.
    fn mask(&self, id: NodeId, share: f32, row: usize) -> Option<Vec<f32>> {
        let chance = self.chance.filter(|_| share > 0.0)?;
        let mut mask = vec![0.0; self.rows() * row];
        let bits = Stream::new(chance.seed, DROPOUT_STREAM + id as u64).bits(chance.step);
        dropout_mask(bits, f64::from(share), self.shard.first * row, &mut mask);
        Some(mask)
    }

    fn product<const D: usize>(&self, a: BurnTensor<D>, b: BurnTensor<D>) -> BurnTensor<D> {
        product(a, b, self.precision)
    }

    fn node(&mut self, id: NodeId, node: &Node) -> Result<Value> {
        let (rows, size, width) = (self.rows(), node.size(self.length), node.width());
        let numbers = match &node.op {
            Op::Tokens(_) | Op::Code(_) => {
                let mut codes = vec![0; rows * size];
                inputs::write_codes(node, self.shard.batch, size, &mut codes);
                return Ok(Value::Codes(codes));
            }
            Op::Table | Op::Image(_) | Op::Series => {
                let mut numbers = vec![0.0; rows * size];
                inputs::write_numbers(node, self.shard.batch, size, &mut numbers);
                self.numbers(numbers, width)
            }
            Op::Embedding { table } => self.embedding(node, *table)?,
            Op::Positions { table } => {
                let vectors = self.parameter(*table)?.narrow(0, 0, size / width);
                let sum = self.sequence(node)? + vectors.unsqueeze::<3>();
                sum.reshape([rows * size / width, width])
            }
            Op::Linear { weight, bias, activation } => {
                let sums = self.product(self.input(node, 0)?, self.parameter(*weight)?);
                activate(sums + self.parameter(*bias)?, *activation)
            }
            Op::Conv { .. } => self.conv(node)?,
            Op::MaxPool(window) => {
                let options = MaxPoolOptions::<2> {
                    padding: padding(window),
                    stride: window.stride,
                    ..MaxPoolOptions::new(window.kernel)
                };
                last_axis(module::max_pool2d(self.pictures(node)?, options))
            }
            Op::Mean | Op::Max | Op::Pick(_) | Op::Turn => self.over_steps(node)?,
            Op::BatchNorm { .. } => self.batch_norm(node)?,
            Op::LayerNorm { gain, bias, epsilon } => {
                let x = self.input(node, 0)?;
                let x = x.clone() - x.mean_dim(1);
                let variance = x.clone().square().mean_dim(1);
                x / (variance + *epsilon).sqrt() * self.parameter(*gain)? + self.parameter(*bias)?
            }
            Op::Activate(function) => activate(self.input(node, 0)?, Some(*function)),
            Op::Add(function) => activate(self.input(node, 0)? + self.input(node, 1)?, *function),
            Op::Dropout(share) => match self.mask(id, *share, size) {
                Some(mask) => self.input(node, 0)? * self.numbers(mask, width),
                None => self.input(node, 0)?,
            },
            Op::Attention { heads, dropout } => self.attention(id, node, *heads, *dropout)?,
            Op::Recurrent { .. } => self.recurrent(node)?,
            Op::Reconstruction { scale, offset } => {
                let error = self.input(node, 1)? - self.input(node, 0)?;
                let mean = (error.clone() * error).mean_dim(1) + RECONSTRUCTION_FLOOR;
                mean.log() * self.parameter(*scale)? + self.parameter(*offset)?
            }
            Op::Concat => {
                let parts: Result<Vec<_>> = (0..node.inputs.len()).map(|which| self.input(node, which)).collect();
                BurnTensor::cat(parts?, 1)
            }
            Op::Reshape => self.input(node, 0)?.reshape([rows * size / width, width]),
        };
        Ok(Value::Numbers(numbers))
    }

    fn embedding(&self, node: &Node, table: ParameterId) -> Result<BurnTensor<2>> {
        let Value::Codes(codes) = &self.nodes[node.inputs[0]] else {
            return Err(Error::Internal("an embedding reads no codes".into()));
        };
        let vectors = self.parameter(table)?.select(0, self.places(codes.clone()));
        if !node.timed {
            return Ok(vectors);
        }
        let counts = codes.iter().map(|&code| if code == 0 { 0.0 } else { 1.0 }).collect();
        Ok(vectors * self.numbers(counts, 1))
    }

    fn conv(&self, node: &Node) -> Result<BurnTensor<2>> {
        let Op::Conv { window, weight, bias, groups, activation } = &node.op else {
            return Err(Error::Internal("no convolution".into()));
        };
        let [high, wide] = window.kernel;
        let shape = [high, wide, self.source(node).width() / groups, node.width()];
        let weight = self.parameter(*weight)?.reshape(shape).permute([3, 2, 0, 1]);
        let bias = bias.map(|bias| self.parameter(bias)).transpose()?.map(|bias| bias.reshape([node.width()]));
        let options =
            ConvOptions::<2> { stride: window.stride, padding: padding(window), dilation: [1, 1], groups: *groups };
        let pictures = self.pictures(node)?;
        let sums = match half(self.precision) {
            None => module::conv2d(pictures, weight, bias, options),
            Some(kind) => {
                let bias = bias.map(|bias| bias.cast(kind));
                module::conv2d(pictures.cast(kind), weight.cast(kind), bias, options).cast(FloatDType::F32)
            }
        };
        Ok(activate(last_axis(sums), *activation))
    }

    /// Means, maxima, picks and turns of sequences.
    fn over_steps(&self, node: &Node) -> Result<BurnTensor<2>> {
        let sequence = self.sequence(node)?;
        let [rows, steps, width] = sequence.dims();
        let lengths = self.lengths(node).unwrap_or_else(|| vec![steps; rows]);
        let each = |f: &dyn Fn(usize, usize) -> f32| {
            let data = lengths.iter().flat_map(|&length| (0..steps).map(move |step| f(step, length)));
            self.numbers(data.collect(), 1).reshape([rows, steps, 1])
        };
        let pick = |from: &dyn Fn(usize, usize) -> usize, count: usize| {
            let place = |(row, length): (usize, &usize)| {
                (0..count).map(|step| (row * steps + from(step, *length)) as i32).collect::<Vec<_>>()
            };
            let places = lengths.iter().enumerate().flat_map(place).collect();
            sequence.clone().reshape([rows * steps, width]).select(0, self.places(places))
        };
        Ok(match node.op {
            Op::Mean => {
                let shares = each(&|step, length| if step < length { 1.0 / length as f32 } else { 0.0 });
                (sequence * shares).sum_dim(1).reshape([rows, width])
            }
            Op::Max => {
                let hidden = each(&|step, length| if step < length { 0.0 } else { 1.0 });
                let hidden: BurnTensor<3, Bool> = hidden.greater_elem(0.5).expand([rows, steps, width]);
                sequence.mask_fill(hidden, NEVER).max_dim(1).reshape([rows, width])
            }
            Op::Pick(Pick::First) => pick(&|_, _| 0, 1),
            Op::Pick(Pick::Last) => pick(&|_, length| length - 1, 1),
            _ => pick(&|step, length| if step < length { length - 1 - step } else { step }, steps),
        })
    }

    fn batch_norm(&mut self, node: &Node) -> Result<BurnTensor<2>> {
        let Op::BatchNorm { gain, bias, statistics, epsilon, activation } = node.op else {
            return Err(Error::Internal("no batch normalisation".into()));
        };
        let x = self.input(node, 0)?;
        let [count, width] = x.dims();
        let [mut mean, mut variance] = [self.parameter(statistics[0])?, self.parameter(statistics[1])?];
        // A batch of one vector has no variance to learn from.
        if self.chance.is_some() && count > 1 && self.plan.parameters[statistics[0]].role != Role::Frozen {
            let running = [mean, variance];
            mean = x.clone().mean_dim(0);
            variance = (x.clone() - mean.clone()).square().mean_dim(0);
            let unbiased = variance.clone() * (count as f32 / (count - 1) as f32);
            for ((id, before), new) in statistics.into_iter().zip(running).zip([mean.clone(), unbiased]) {
                let moved = before * (1.0 - MOMENTUM) + new * MOMENTUM;
                self.statistics.insert(self.plan.parameters[id].name.clone(), moved);
            }
        }
        let normal = (x - mean) / (variance + epsilon).sqrt();
        let normal = normal * self.parameter(gain)?.reshape([1, width]) + self.parameter(bias)?.reshape([1, width]);
        Ok(activate(normal, activation))
    }

    fn attention(&self, id: NodeId, node: &Node, heads: usize, dropout: f32) -> Result<BurnTensor<2>> {
        let qkv = self.sequence(node)?;
        let [rows, steps, all] = qkv.dims();
        let (width, depth) = (all / 3, all / 3 / heads);
        let part = |which: usize| {
            let part = qkv.clone().narrow(2, which * width, width);
            part.reshape([rows, steps, heads, depth]).swap_dims(1, 2)
        };
        let mut scores = self.product(part(0), part(1).swap_dims(2, 3)) / (depth as f32).sqrt();
        if let Some(lengths) = self.lengths(node) {
            let seen = |&length: &usize| (0..steps).map(move |step| if step < length { 0.0 } else { NEVER });
            let hidden = self.numbers(lengths.iter().flat_map(seen).collect(), steps);
            scores = scores + hidden.reshape([rows, 1, 1, steps]);
        }
        let mut shares = activation::softmax(scores, 3);
        // The kernel draws its mask for rows that begin at a cache line.
        let stride = steps.next_multiple_of(MASK_UNIT);
        if let Some(mask) = self.mask(id, dropout, heads * steps * stride) {
            let mask = self.numbers(mask, stride).reshape([rows, heads, steps, stride]);
            shares = shares * mask.narrow(3, 0, steps);
        }
        Ok(self.product(shares, part(2)).swap_dims(1, 2).reshape([rows * steps, width]))
    }

    fn recurrent(&self, node: &Node) -> Result<BurnTensor<2>> {
        let Op::Recurrent { cell, input, recurrent, bias, reverse } = node.op else {
            return Err(Error::Internal("no recurrent layer".into()));
        };
        let [hidden, bias] = [self.parameter(recurrent)?, self.parameter(bias)?];
        let (rows, units, gates) = (self.rows(), node.width(), cell.gates());
        let steps = node.size(self.length) / units;
        let from_x = self.product(self.input(node, 0)?, self.parameter(input)?).reshape([rows, steps, gates * units]);
        let gate = |sums: &BurnTensor<2>, which: usize| sums.clone().narrow(1, which * units, units);
        let mut h = BurnTensor::<2>::zeros([rows, units], self.device);
        let mut c = h.clone();
        let mut outputs = vec![h.clone(); steps];
        for number in 0..steps {
            let step = if reverse { steps - 1 - number } else { number };
            let x = from_x.clone().narrow(1, step, 1).reshape([rows, gates * units]);
            let from_h = self.product(h.clone(), hidden.clone());
            h = match cell {
                Cell::Lstm => {
                    let sums = x + from_h + bias.clone();
                    let open = |which: usize| activation::sigmoid(gate(&sums, which));
                    c = open(1) * c + open(0) * gate(&sums, 2).tanh();
                    open(3) * c.clone().tanh()
                }
                Cell::Gru => {
                    let open = |n: usize| activation::sigmoid(gate(&x, n) + gate(&from_h, n) + gate(&bias, n));
                    let new = gate(&x, 2) + gate(&bias, 2) + open(0) * (gate(&from_h, 2) + gate(&bias, 3));
                    let (new, update) = (new.tanh(), open(1));
                    new.clone() + update * (h - new)
                }
            };
            outputs[step] = h.clone();
        }
        Ok(BurnTensor::stack::<3>(outputs, 1).reshape([rows * steps, units]))
    }
}

/// Pairs of a window's zeros, down and to the right.
fn padding(window: &Window) -> [(usize, usize); 2] {
    let [top, left, bottom, right] = window.padding;
    [(top, bottom), (left, right)]
}

/// Pictures `[rows, channels, height, width]` as values.
fn last_axis(pictures: BurnTensor<4>) -> BurnTensor<2> {
    let [rows, channels, height, width] = pictures.dims();
    pictures.permute([0, 2, 3, 1]).reshape([rows * height * width, channels])
}
