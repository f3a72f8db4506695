//! A plan in plain loops on `f64`: what the kernels and the ONNX file are compared with in tests. Nothing is left out at
//! random; batch normalisation takes the statistics of the batch where `learning`.

use std::collections::BTreeMap;

use super::{Cell, Node, Op, ParameterId, Pick, Plan, Role, Window};
use crate::net::{Batch, HeadActivation, HeadLoss};
use crate::spec::Activation;

/// A plan with its weights in `f64`.
pub(crate) struct Reference<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) weights: BTreeMap<String, Vec<f64>>,
    pub(crate) learning: bool,
}

type Values = Vec<Vec<f64>>;

impl Reference<'_> {
    fn parameter(&self, id: ParameterId) -> &[f64] {
        &self.weights[&self.plan.parameters[id].name]
    }

    /// The last node's outputs `[rows, outputs]`.
    pub(crate) fn logits(&self, batch: Batch) -> Vec<f64> {
        self.values(batch).pop().unwrap()
    }

    /// The mean loss of the batch.
    pub(crate) fn loss(&self, batch: Batch, targets: &[f32]) -> f64 {
        let head = self.plan.head;
        let logits = self.logits(batch);
        let row = |(z, &target): (&[f64], &f32)| {
            let target = f64::from(target);
            match (head.activation, head.loss) {
                (HeadActivation::Linear, _) => (z[0] - target).powi(2),
                (_, HeadLoss::Reconstruction) => z[0].exp(),
                (HeadActivation::Sigmoid, HeadLoss::CrossEntropy) => (1.0 + z[0].exp()).ln() - z[0] * target,
                (HeadActivation::Softmax, HeadLoss::CrossEntropy) => {
                    let most = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    z.iter().map(|x| (x - most).exp()).sum::<f64>().ln() + most - z[target as usize]
                }
                other => panic!("the reference does not know {other:?}"),
            }
        };
        logits.chunks(head.outputs).zip(targets).map(row).sum::<f64>() / targets.len() as f64
    }

    /// Every node's value.
    fn values(&self, batch: Batch) -> Values {
        let mut values: Values = Vec::new();
        for node in &self.plan.nodes {
            let value = self.value(node, &values, batch);
            values.push(value);
        }
        values
    }

    #[allow(clippy::too_many_lines, reason = "one arm per operation")]
    fn value(&self, node: &Node, values: &Values, batch: Batch) -> Vec<f64> {
        let rows = batch.rows.len();
        let input = |n: usize| &values[node.inputs[n]];
        let source = |n: usize| &self.plan.nodes[node.inputs[n]];
        let size = node.size(usize::MAX);
        let width = node.width();
        let lengths = || lengths(node.inputs.get(1).map(|&id| (&values[id], &self.plan.nodes[id])), rows);
        match &node.op {
            Op::Table | Op::Image(_) | Op::Series | Op::Tokens(_) | Op::Code(_) => read(node, batch),
            Op::Embedding { table } => {
                let table = self.parameter(*table);
                let vector = |&code: &f64| match code as usize {
                    0 if node.timed => vec![0.0; width],
                    code => table[code * width..][..width].to_vec(),
                };
                input(0).iter().flat_map(vector).collect()
            }
            Op::Positions { table } => {
                let table = self.parameter(*table);
                input(0).iter().enumerate().map(|(n, x)| x + table[n % size]).collect()
            }
            Op::Linear { weight, bias, activation } => {
                let (inputs, weight, bias) = (source(0).width(), self.parameter(*weight), self.parameter(*bias));
                let mut out = Vec::new();
                for vector in input(0).chunks(inputs) {
                    for o in 0..width {
                        let sum: f64 = vector.iter().enumerate().map(|(i, x)| x * weight[i * width + o]).sum();
                        out.push(activate(sum + bias[o], *activation));
                    }
                }
                out
            }
            Op::Conv { window, weight, bias, groups, activation } => {
                let shape = &source(0).shape;
                let bias = bias.map(|bias| self.parameter(bias));
                let pictures = input(0).chunks(shape.iter().product());
                let one = |picture: &[f64]| conv(picture, shape, *window, self.parameter(*weight), *groups, width);
                let sums = pictures.flat_map(one);
                sums.enumerate().map(|(n, x)| activate(x + bias.map_or(0.0, |b| b[n % width]), *activation)).collect()
            }
            Op::MaxPool(window) => {
                let shape = &source(0).shape;
                input(0).chunks(shape.iter().product()).flat_map(|picture| max_pool(picture, shape, *window)).collect()
            }
            Op::Mean | Op::Max | Op::Pick(_) => {
                let per_row = source(0).size(usize::MAX);
                let lengths = lengths();
                let row = |(row, input): (usize, &[f64])| {
                    let length = lengths.get(row).copied().unwrap_or(per_row / width);
                    over_steps(&node.op, &input[..length * width], width)
                };
                input(0).chunks(per_row).enumerate().flat_map(row).collect()
            }
            Op::Turn => {
                let lengths = lengths();
                let row = |(row, input): (usize, &[f64])| {
                    let mut vectors: Vec<&[f64]> = input.chunks(width).collect();
                    vectors[..lengths[row]].reverse();
                    vectors.concat()
                };
                input(0).chunks(size).enumerate().flat_map(row).collect()
            }
            Op::BatchNorm { gain, bias, statistics, epsilon, activation } => {
                let [mean, variance] = statistics.map(|id| self.parameter(id).to_vec());
                let learning = self.learning && self.plan.parameters[statistics[0]].role != Role::Frozen;
                let (mean, variance) = if learning { moments(input(0), width) } else { (mean, variance) };
                let (gain, bias) = (self.parameter(*gain), self.parameter(*bias));
                let one = |(n, x): (usize, &f64)| {
                    let c = n % width;
                    let x = (x - mean[c]) / (variance[c] + f64::from(*epsilon)).sqrt() * gain[c] + bias[c];
                    activate(x, *activation)
                };
                input(0).iter().enumerate().map(one).collect()
            }
            Op::LayerNorm { gain, bias, epsilon } => {
                let (gain, bias) = (self.parameter(*gain), self.parameter(*bias));
                let vector = |x: &[f64]| {
                    let mean = x.iter().sum::<f64>() / width as f64;
                    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
                    let root = (variance + f64::from(*epsilon)).sqrt();
                    (0..width).map(|i| (x[i] - mean) / root * gain[i] + bias[i]).collect::<Vec<_>>()
                };
                input(0).chunks(width).flat_map(vector).collect()
            }
            Op::Activate(activation) => input(0).iter().map(|&x| activate(x, Some(*activation))).collect(),
            Op::Add(activation) => input(0).iter().zip(input(1)).map(|(a, b)| activate(a + b, *activation)).collect(),
            Op::Dropout(_) | Op::Reshape => input(0).clone(),
            Op::Attention { heads, .. } => {
                let steps = node.shape[0];
                let lengths = lengths();
                let row = |(row, qkv): (usize, &[f64])| {
                    attention(qkv, lengths.get(row).copied().unwrap_or(steps), *heads, width)
                };
                input(0).chunks(steps * 3 * width).enumerate().flat_map(row).collect()
            }
            Op::Recurrent { cell, input: weight, recurrent, bias, reverse } => {
                let weights = [*weight, *recurrent, *bias].map(|id| self.parameter(id));
                let inputs = source(0).width();
                let row = |x: &[f64]| run_cell(*cell, x, inputs, width, weights, *reverse);
                input(0).chunks(node.shape[0] * inputs).flat_map(row).collect()
            }
            Op::Reconstruction { scale, offset } => {
                let [scale, offset] = [scale, offset].map(|id| self.parameter(*id)[0]);
                let width = source(0).size(usize::MAX);
                let one = |(given, back): (&[f64], &[f64])| {
                    let squares = given.iter().zip(back).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
                    scale * (squares / width as f64 + f64::from(crate::kernels::RECONSTRUCTION_FLOOR)).ln() + offset
                };
                input(0).chunks(width).zip(input(1).chunks(width)).map(one).collect()
            }
            Op::Concat => {
                let mut out = Vec::new();
                for vector in 0..rows * size / width {
                    for n in 0..node.inputs.len() {
                        let width = source(n).width();
                        out.extend_from_slice(&input(n)[vector * width..][..width]);
                    }
                }
                out
            }
        }
    }
}

fn read(node: &Node, batch: Batch) -> Vec<f64> {
    let Batch { numeric, encoded, rows } = batch;
    let mut out = vec![0.0f32; node.size(usize::MAX)];
    let mut all = Vec::new();
    for &row in rows {
        let row = row as usize;
        match node.op {
            Op::Table => numeric.write_table(encoded, row, &mut out),
            Op::Image(column) => numeric.write_image(encoded, column, row, &mut out),
            Op::Series => numeric.write_series(encoded, row, &mut out),
            Op::Code(number) => out[0] = numeric.embedded_code(encoded, row, number) as f32,
            Op::Tokens(column) => {
                let block = &encoded.texts[column];
                let tokens = &block.tokens[row * block.length..][..block.length];
                out.iter_mut().zip(tokens).for_each(|(slot, &token)| *slot = token as f32);
            }
            _ => unreachable!(),
        }
        all.extend(out.iter().map(|x| f64::from(*x)));
    }
    all
}

fn lengths(tokens: Option<(&Vec<f64>, &Node)>, rows: usize) -> Vec<usize> {
    let Some((tokens, node)) = tokens else { return vec![] };
    let row = |row: usize| {
        let tokens = &tokens[row * node.shape[0]..][..node.shape[0]];
        tokens.iter().rposition(|&token| token != 0.0).map_or(1, |last| last + 1)
    };
    (0..rows).map(row).collect()
}

fn activate(x: f64, activation: Option<Activation>) -> f64 {
    match activation {
        None => x,
        Some(Activation::Relu) => x.max(0.0),
        Some(Activation::Relu6) => x.clamp(0.0, 6.0),
        Some(Activation::LeakyRelu) => x.max(0.01 * x),
        Some(Activation::Sigmoid) => 1.0 / (1.0 + (-x).exp()),
        Some(Activation::Tanh) => x.tanh(),
        Some(Activation::Gelu) => 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        Some(Activation::Silu) => x / (1.0 + (-x).exp()),
    }
}

/// By its series (Abramowitz and Stegun 7.1.5), good to 1e-12 for |x| below 5.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.5 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

/// Calls `visit(place, tap, input place)` for every place of a window and every tap that lies inside the picture.
fn taps(shape: &[usize], window: Window, visit: &mut dyn FnMut(usize, usize, usize)) {
    let (height, width) = (shape[0], shape[1]);
    let [down, right] = window.places(height, width).unwrap();
    for place in 0..down * right {
        for tap in 0..window.kernel[0] * window.kernel[1] {
            let y = place / right * window.stride[0] + tap / window.kernel[1];
            let x = place % right * window.stride[1] + tap % window.kernel[1];
            let (y, x) = (y.wrapping_sub(window.padding[0]), x.wrapping_sub(window.padding[1]));
            if y < height && x < width {
                visit(place, tap, y * width + x);
            }
        }
    }
}

fn conv(x: &[f64], shape: &[usize], window: Window, weight: &[f64], groups: usize, outputs: usize) -> Vec<f64> {
    let inputs = shape[2];
    let [down, right] = window.places(shape[0], shape[1]).unwrap();
    let (each, outs) = (inputs / groups, outputs / groups);
    let mut out = vec![0.0; down * right * outputs];
    taps(shape, window, &mut |place, tap, from| {
        for o in 0..outputs {
            for i in 0..each {
                let channel = o / outs * each + i;
                out[place * outputs + o] += x[from * inputs + channel] * weight[(tap * each + i) * outputs + o];
            }
        }
    });
    out
}

fn max_pool(x: &[f64], shape: &[usize], window: Window) -> Vec<f64> {
    let channels = shape[2];
    let [down, right] = window.places(shape[0], shape[1]).unwrap();
    let mut out = vec![f64::NEG_INFINITY; down * right * channels];
    taps(shape, window, &mut |place, _, from| {
        for c in 0..channels {
            out[place * channels + c] = out[place * channels + c].max(x[from * channels + c]);
        }
    });
    out
}

fn over_steps(op: &Op, x: &[f64], width: usize) -> Vec<f64> {
    let steps = x.len() / width;
    let column = |c: usize| x.iter().skip(c).step_by(width).copied();
    let one = |c: usize| match op {
        Op::Mean => column(c).sum::<f64>() / steps as f64,
        Op::Max => column(c).fold(f64::NEG_INFINITY, f64::max),
        Op::Pick(Pick::First) => x[c],
        _ => x[(steps - 1) * width + c],
    };
    (0..width).map(one).collect()
}

fn moments(x: &[f64], width: usize) -> (Vec<f64>, Vec<f64>) {
    let count = (x.len() / width) as f64;
    let mean: Vec<f64> = (0..width).map(|c| x.iter().skip(c).step_by(width).sum::<f64>() / count).collect();
    let variance = |c: usize| x.iter().skip(c).step_by(width).map(|x| (x - mean[c]).powi(2)).sum::<f64>() / count;
    let variance = (0..width).map(variance).collect();
    (mean, variance)
}

fn attention(qkv: &[f64], length: usize, heads: usize, width: usize) -> Vec<f64> {
    let (steps, each) = (qkv.len() / (3 * width), width / heads);
    let at = |step: usize, part: usize, head: usize, n: usize| qkv[step * 3 * width + part * width + head * each + n];
    let mut out = vec![0.0; steps * width];
    for head in 0..heads {
        for query in 0..steps {
            let score = |key: usize| {
                (0..each).map(|n| at(query, 0, head, n) * at(key, 1, head, n)).sum::<f64>() / (each as f64).sqrt()
            };
            let weights: Vec<f64> = (0..length).map(|key| score(key).exp()).collect();
            let sum: f64 = weights.iter().sum();
            for n in 0..each {
                let value = (0..length).map(|key| weights[key] / sum * at(key, 2, head, n)).sum();
                out[query * width + head * each + n] = value;
            }
        }
    }
    out
}

fn run_cell(cell: Cell, x: &[f64], inputs: usize, units: usize, weights: [&[f64]; 3], reverse: bool) -> Vec<f64> {
    let [w, u, b] = weights;
    let (steps, wide) = (x.len() / inputs, cell.gates() * units);
    let (mut h, mut c) = (vec![0.0; units], vec![0.0; units]);
    let mut out = vec![0.0; steps * units];
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    for n in 0..steps {
        let step = if reverse { steps - 1 - n } else { n };
        let x = &x[step * inputs..][..inputs];
        let product = |of: &[f64], with: &[f64]| -> Vec<f64> {
            (0..wide).map(|g| of.iter().enumerate().map(|(i, x)| x * with[i * wide + g]).sum()).collect()
        };
        let (from_x, from_h) = (product(x, w), product(&h, u));
        for unit in 0..units {
            let at = |g: usize| g * units + unit;
            let gate = |g: usize| from_x[at(g)] + from_h[at(g)] + b[at(g)];
            h[unit] = match cell {
                Cell::Lstm => {
                    c[unit] = sigmoid(gate(1)) * c[unit] + sigmoid(gate(0)) * gate(2).tanh();
                    sigmoid(gate(3)) * c[unit].tanh()
                }
                Cell::Gru => {
                    let (reset, update) = (sigmoid(gate(0)), sigmoid(gate(1)));
                    let new = (from_x[at(2)] + b[at(2)] + reset * (from_h[at(2)] + b[at(3)])).tanh();
                    (1.0 - update) * new + update * h[unit]
                }
            };
        }
        out[step * units..][..units].copy_from_slice(&h);
    }
    out
}
